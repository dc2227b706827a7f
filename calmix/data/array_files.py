"""Files of arrays as splits: rows and targets by name, and parts that are given.

n rows
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.array_parts import ANEW, Named, parts_of
from calmix.data.array_rows import ArrayEncoding, is_unit, layout_of, rows_of
from calmix.data.folders import digest_of_files, last_change
from calmix.data.given_rows import Field
from calmix.data.goals import goal_of
from calmix.data.splits import About
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError
from calmix.reading import visible

_ORDER = ("test", "train", "validation")  # so that test rows are counted from 0
ADVICE = "give x and y, or x_train, y_train, x_test and y_test"


@dataclass(frozen=True, repr=False)
class ArrayFile(WholeSource):
    """Rows and targets in a file of arrays (.npz, .pt, .safetensors), or in a folder of .npy files, by their names.

    x (n, ...) and y (n,), or (n, d) for regression; also called data, images, features or inputs, and labels or
    targets. With x_train, y_train and x_test, y_test (x_val, y_val) these parts are not drawn; the others are,
    from the part to train on. See `calmix.data.goals.goal_of` for
    which targets are classes, and `calmix.data.array_rows.layout_of` for images.
    """

    path: Path
    task: str | None = None
    train_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def _changed(self) -> int:
        return last_change([self.path])

    @property
    def _whole(self) -> Whole:
        return _read_whole(self.path, self.task, self._changed)


@lru_cache(maxsize=1)
def _read_whole(path: Path, task: str | None, changed: int) -> Whole:
    """All rows of the file. changed: when it was, as a file is read once."""
    found = parts_of(path)
    parts = {part: found.parts[part] for part in _ORDER if part in found.parts}
    lacking = [name for part in parts for name in ("x", "y") if name not in parts[part]]
    if "train" not in parts or lacking:
        raise DataError(f"{path} lacks {'x' if not lacking else lacking[0]} (it holds {found.names}); {ADVICE}.")
    shapes = {part: arrays["x"].shape[1:] for part, arrays in parts.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"{path}: the rows of the parts have the shapes {shapes}, and should have one; {ANEW}.")
    for part, arrays in parts.items():
        if arrays["x"].ndim < 2 or len(arrays["x"]) != len(arrays["y"]) or not len(arrays["y"]):
            raise DataError(
                f"{path}: the {part} part has x {arrays['x'].shape} and y {arrays['y'].shape}; expected rows (n, ...) "
                f"and as many targets."
            )
    if len({array["x"].dtype == np.uint8 for array in parts.values()}) > 1:
        raise DataError(f"{path}: x is of 8-bit integers in one part and of others in another; {ANEW}.")
    train = parts["train"]["x"]
    layout, told = layout_of(train.shape, train.dtype == np.uint8)
    x = _joined([rows_of(arrays["x"], layout, f"{path.name}, x of {part}") for part, arrays in parts.items()])
    goal = goal_of(_targets(path, [arrays["y"] for arrays in parts.values()]), task, f"{path.name}, y")
    ends = dict(zip(parts, np.cumsum([len(arrays["y"]) for arrays in parts.values()]).tolist(), strict=True))
    kind = {2: "table", 3: "series", 4: "image"}.get(x.ndim, "table")
    unit = "image" if kind == "image" else "row"
    about = About(
        name=path.name.removesuffix(path.suffix),
        task=goal.task,
        kind=kind,
        classes=goal.classes,
        features=tuple(f"x{column}" for column in range(x.shape[1])) if x.ndim == 2 else (),
        natural=False,
        source=str(path),
        targets=goal.y.shape[1] if goal.task == "regression" else 1,
        notices=tuple(filter(None, [told, _whole_numbers(train, layout), found.left_out, _given(parts)])),
        digest=digest_of_files(found.files),
    )
    given = {part: np.arange(ends[part] - len(parts[part]["y"]), ends[part]) for part in parts if part != "train"}
    unity = is_unit(x)
    where = "x" if len(parts) == 1 else "the x of its test part" if "test" in parts else "the x of its parts in turn"
    return Whole(
        x=x,
        y=goal.y,
        about=about,
        given=given,
        unit=unit,
        note=f"{unit.capitalize()}s are counted from 0, as in {where} in {visible(path.name)}.",
        fields=[Field(name, "number", x[:, column].numpy()) for column, name in enumerate(about.features)],
        encoding=lambda mean, std: ArrayEncoding(
            layout, train.shape[1:], unity, mean, std, regression=goal.task == "regression"
        ),
    )


def _joined(rows: list[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _targets(path: Path, targets: list[NDArray[Any]]) -> NDArray[Any]:
    """Those of all parts, of one kind."""
    kinds = {"text" if y.dtype.kind in "SU" else "numbers" if y.dtype.kind == "f" else "ids" for y in targets}
    if len(kinds) > 1 or len({y.ndim for y in targets}) > 1:
        raise DataError(f"{path}: y is of one kind in one part and of another in another; {ANEW}.")
    return np.concatenate(targets)


def _whole_numbers(x: NDArray[Any], layout: str) -> str:
    if x.dtype.kind not in "iu" or layout == "grey" or (x.ndim == 4 and x.dtype == np.uint8):
        return ""
    return f"x holds whole numbers ({x.dtype}), which are taken for measurements, and not for codes of categories."


def _given(parts: Mapping[str, Named]) -> str:
    given = [f"{part} ({len(arrays['y']):,} rows)" for part, arrays in parts.items() if part != "train"]
    return (
        f"splits that are given: {', '.join(given)}; the others are drawn from the part to train on." if given else ""
    )
