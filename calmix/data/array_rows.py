"""Arrays as rows: which axis is what, and how further arrays become rows of a network.

n rows; a row is a vector (d,), a series (t, d) or an image (C, H, W)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.array_parts import array_of, parts_of
from calmix.data.goals import check_finite, class_texts
from calmix.data.new_rows import NewRows
from calmix.data.splits import listed
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError

Layout = Literal["as given", "grey", "channels last"]
CHANNELS = (1, 3, 4)


def layout_of(shape: Sequence[int], is_bytes: bool) -> tuple[Layout, str]:
    """How arrays (n, ...) become rows, and a notice of what they were taken for; empty where that is plain.

    Images (n, H, W, C) have channels last. Of the axes 1 and 3, that of the channels has 1, 3 or 4 entries; where that
    leaves both or none, the other two are of one length. Arrays (n, H, W) of 8-bit integers are grey images.

    Raises:
        DataError: images whose axis of channels cannot be told.

    >>> layout_of((100, 32, 32, 3), True)[0], layout_of((100, 3, 32, 32), True)[0]
    ('channels last', 'as given')
    """
    if len(shape) == 3 and is_bytes:
        return "grey", f"x {_text(shape)} holds grey images of {shape[1]} x {shape[2]} pixels."
    if len(shape) == 3:
        images = f"images are (n, 1, {shape[1]}, {shape[2]}), or of 8-bit integers"
        return "as given", f"x {_text(shape)} holds series of {shape[1]} steps of {shape[2]} columns ({images})."
    if len(shape) != 4:
        return "as given", ""
    _, a, b, c = shape  # (C, H, W) or (H, W, C)
    first, last = a in CHANNELS, c in CHANNELS
    if first == last:
        first, last = b == c, a == b
    if first == last:
        raise DataError(
            f"x has shape {_text(shape)}, and it cannot be told which axis holds the channels of the images; give "
            "(n, 1, H, W) or (n, 3, H, W)."
        )
    if first:
        return "as given", f"x {_text(shape)} holds images of {b} x {c} pixels; the second axis, {a}, is the channels."
    return "channels last", f"x {_text(shape)} holds images of {a} x {b} pixels; the last axis, {c}, is the channels."


def rows_of(raw: NDArray[Any], layout: Layout, name: str) -> Tensor:
    """Arrays (n, ...) as float32 rows; images of 8-bit integers from 0 to 1.

    Raises:
        DataError: arrays of anything but finite numbers.
    """
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {raw.dtype}, and rows are numbers; give numbers.")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(raw, np.float32)
    check_finite(rows, name)
    x = torch.from_numpy(rows)
    if layout == "grey":
        x = x[:, None]
    elif layout == "channels last":
        x = x.movedim(3, 1).contiguous()
    return x / 255 if raw.dtype == np.uint8 and x.ndim == 4 else x


def is_unit(x: Tensor) -> bool:
    """Whether these are images of numbers from 0 to 1."""
    return x.ndim == 4 and bool(x.min() >= 0 and x.max() <= 1)


@dataclass(frozen=True)
class ArrayEncoding:
    """How further arrays become rows: as those of training did.

    row: the shape of a row as it is given. unit: whether the training rows were images of numbers from 0 to 1. mean,
    std: of each column or channel. regression: whether targets are numbers.
    """

    layout: Layout
    row: tuple[int, ...]
    unit: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    regression: bool

    def __call__(self, rows: Any) -> NewRows:
        """Of an array or tensor (n, ...), the first axis being that of the rows.

        Raises:
            DataError: rows of another shape, or of other numbers than in training.
        """
        return self.encoded(array_of(rows), "x")

    def encoded(self, raw: NDArray[Any], name: str, truth: NDArray[Any] | None = None) -> NewRows:
        """truth: (n,) the targets, where they are known."""
        if raw.shape[1:] != self.row:
            raise DataError(f"{name} has rows of shape {raw.shape[1:]}, and the network was trained on {self.row}.")
        x = rows_of(raw, self.layout, name)
        if self.unit and not is_unit(x):
            raise DataError(
                f"{name} holds numbers from {x.min():g} to {x.max():g}, and the images of training held numbers from 0 "
                "to 1; divide them by 255, or give 8-bit integers."
            )
        return NewRows(scaled(x, self.mean, self.std), truth=None if truth is None else self._truth(truth, len(x)))

    def read(self, path: Path, format: TableFormat) -> NewRows:
        """x of a file, and y where it is there; of several parts those of the test part."""
        if format != DETECTED:
            raise SettingError(f"{format!r} is for tables, and {path} is none: leave it out.")
        found = parts_of(path, alone="x")
        parts = {part: arrays for part, arrays in found.parts.items() if "x" in arrays}
        if not parts:
            raise DataError(f"{path} lacks x (it holds {found.names}); give x, or x_test.")
        if len(parts) > 1 and "test" not in parts:
            raise DataError(f"{path} holds x of {listed(parts)}, and it cannot be told which to predict; give x alone.")
        part = "test" if "test" in parts else next(iter(parts))
        rows = self.encoded(parts[part]["x"], f"{path.name}, x", parts[part].get("y"))
        told = [f"the test part of {path.name} is predicted, and no other."] if len(parts) > 1 else []
        return replace(rows, notices=told)

    def check(self, shape: Sequence[int]) -> None:
        x = self(np.zeros((1, *self.row), np.float32)).x
        if tuple(x.shape) != (1, *shape) or not x[:].isfinite().all():
            raise ValueError("the encoding of the arrays does not fit the network")

    def _truth(self, truth: NDArray[Any], count: int) -> NDArray[Any]:
        values = truth[:, 0] if truth.ndim == 2 and truth.shape[1] == 1 else truth
        if len(values) != count or (values.ndim != 1 and not self.regression):
            raise DataError(f"y has shape {truth.shape}, and there are {count} rows; give one target a row.")
        return values.astype(np.float64) if self.regression else class_texts(values)


def scaled(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Rows less the mean, over the deviation: of images by channel, of others by their last axis."""
    shape = (1, -1, 1, 1) if x.ndim == 4 else (-1,)
    middle, spread = (torch.tensor(values, dtype=torch.float64).view(shape) for values in (mean, std))
    return ((x - middle) / spread).float()


def _text(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"
