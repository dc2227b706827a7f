"""Files of predictions, from any framework, as what one evaluation is given.

An .npz file holds arrays, a table of any type that `read_table` reads columns:

    probs or logits, and labels    (n, K) and class ids (n,); or (n,), of the second of two classes
                                   (n, K) and labels (n, K) of 0 and 1, any number of them a row
    mean and targets               (n,) or (n, d); and std or variance, where the model knows them
    samples and targets            (S, n) or (S, n, d): S stochastic passes or members of an ensemble
    human_labels                   (n, K) how often people chose each class, where they were asked
    classes                        K names

In a table, an array of K columns is written as K columns, probs_cat, probs_dog, ...; then labels may be those names,
and columns of labels, of human labels and of the calibration split belong together by name, in whatever order they
stand. What belongs to the calibration split carries the prefix `calibration_`, and predictions for rows that are of
none of the classes `ood_NAME_`; so what `calmix compare` stores of a run is such a file. The names of calmix 0.1.0,
`votes` for `human_labels` and `outside_NAME_` for `ood_NAME_`, are still read.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype, is_object_dtype, is_string_dtype
from torch import Tensor

from calmix.data.table.files import KNOWN, OLD, TYPES, read_table
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError, ShapeError, UnknownNameError
from calmix.metrics import gaussian_of_samples
from calmix.predictions import ClassPredictions, Predictions, RegressionPredictions
from calmix.reading import read_array, read_arrays, visible
from calmix.studies.evaluation.columns import Columns, ignored, renamed
from calmix.studies.evaluation.given import (
    Given,
    class_columns,
    class_ids,
    labelled,
    numbers,
    ood_logits,
    regression,
    squeezed,
)

NAMES = ("probs", "logits", "labels", "mean", "std", "variance", "samples", "targets", "human_labels", "classes")
OTHER_NAMES = {
    "prob": "probs", "probability": "probs", "probabilities": "probs", "logit": "logits", "label": "labels",
    "target": "targets", "var": "variance", "human_label": "human_labels", "votes": "human_labels",
}  # fmt: skip
IGNORED = ("temperature", "rows")  # `calmix compare` notes them beside the predictions
PREDICTED = ("file", "answer", "set", "low", "high")  # `calmix predict` has them beside the predictions
CALIBRATION, OOD = "calibration_", "ood_"
OUTSIDE = "outside_"  # as calmix 0.1.0 called it
NAME = re.compile(
    rf"(?P<prefix>{CALIBRATION}|(?:{OOD}|{OUTSIDE})[\w.-]+?_)?"
    rf"(?P<kind>{'|'.join((*NAMES, *OTHER_NAMES))})(_(?P<column>.+))?"
)
OOD_ARRAY = re.compile(rf"{OOD}(?P<name>[\w.-]+?)_({'|'.join(NAMES)})")


def read_given(
    path: Path,
    calibration: Path | None = None,
    ood: Sequence[Path] = (),
    human_labels: Path | None = None,
    logits: bool = False,
    columns: Columns | None = None,
    format: TableFormat = DETECTED,
) -> Given:
    """The predictions in `path` and what goes with them, from further files or from the same one.

    ood: files of predictions for rows of no class, each named by its file. human_labels: a .npy file (n, K). logits:
    numbers that the files call probabilities are logits. columns: what the columns of all tables hold, where their
    names do not say so. format: how all tables are written, where the files do not show it. What is no prediction by
    its name is ignored, and `Given.notices` says so.

    Raises:
        DataError: a file that cannot be read, numbers that cannot be such predictions, or a calibration file that is
            the test file.
        ShapeError: lengths or shapes that do not fit together.
        SettingError: what is for classes only, with other predictions.
        UnknownNameError: an array or column that is nearly one of those above, or a named one that is not there.
    """
    file = _read(path, format, columns)
    test = _predictions(file, logits)
    if isinstance(test, RegressionPredictions) and logits:
        raise SettingError(f"{path} holds numbers, and --logits is for classes; leave it out.")
    classes = () if isinstance(test, RegressionPredictions) else test.classes
    held = file.part(CALIBRATION) if calibration is None else _read(calibration, format, columns)
    notices = (*file.notices, *(held.notices if calibration is not None else ()))
    other = _predictions(held, logits, classes) if held.arrays else None
    if not isinstance(test, ClassPredictions):
        if ood or human_labels is not None:
            raise SettingError(
                f"{path} holds no predictions of one class a row, which --ood and --human-labels are for."
            )
        return _named(path, lambda: Given(test, other, notices=notices))
    shown: dict[str, Tensor] = {}
    parts = [(name, file.part(f"{OOD}{name}_")) for name in file.ood_names()]
    without_truth = None if columns is None else replace(columns, label=None, positive=None)
    for name, part in (*parts, *((one.name.split(".")[0], _read(one, format, without_truth)) for one in ood)):
        notices += part.notices
        if name in shown:
            raise DataError(f"two OOD sets are named {name!r}; give one of the files another name.")
        shown[name] = _of_classes(part, logits, classes, ood_logits)[0]
    people = _human_labels(file, human_labels, classes)
    return _named(path, lambda: Given(test, other, shown, people, notices))


# ------------------------------------------------------------------------------------------- files to arrays


@dataclass(frozen=True, eq=False)
class _File:
    """What a file holds, by prefix and one of NAMES."""

    path: Path
    arrays: Mapping[str, NDArray]
    columns: Mapping[str, tuple[str, ...]]  # names of the columns of what a table spells as several
    notices: tuple[str, ...] = ()

    def part(self, prefix: str) -> "_File":
        """What carries a prefix, without it; class names are those of all."""
        arrays = {name.removeprefix(prefix): held for name, held in self.arrays.items() if name.startswith(prefix)}
        columns = {name.removeprefix(prefix): held for name, held in self.columns.items() if name.startswith(prefix)}
        if arrays and "classes" in self.arrays:
            arrays.setdefault("classes", self.arrays["classes"])
        return _File(self.path, arrays, columns)

    def ood_names(self) -> list[str]:
        return sorted({match["name"] for name in self.arrays if (match := OOD_ARRAY.fullmatch(name))})

    def one_of(self, names: tuple[str, ...], what: str) -> tuple[str, NDArray]:
        """The first of the names that is there, and its array."""
        for name in names:
            if name in self.arrays:
                return name, self.arrays[name]
        held = ", ".join(self.arrays) or "nothing"
        raise DataError(f"{self.path} holds {held}: {what} are missing; add {' or '.join(names)}.")


def _read(path: Path, format: TableFormat, columns: Columns | None) -> _File:
    if path.suffix.lower() != ".npz":
        return _table(path, format, columns or Columns())
    if columns is not None and columns.any:
        raise SettingError(f"--prob-columns, --label-column and --positive are for tables, and {path.name} is none.")
    if format != DETECTED:
        raise SettingError(f"how a table is written was said, and {path.name} is none; leave {format!r} out.")
    return _npz(path)


def _npz(path: Path) -> _File:
    if not path.is_file():
        raise DataError(f"file not found: {path}; give the path of an .npz file or a {TYPES}.")
    arrays: dict[str, NDArray] = {}
    others: list[str] = []
    for name, array in read_arrays(path, "save arrays of numbers or text with numpy.savez").items():
        parsed = _parsed(name, path)
        if parsed is None:
            others.append(name)
            continue
        prefix, kind, column = parsed
        if kind in IGNORED:
            continue
        if column or prefix + kind in arrays:
            raise UnknownNameError(f"array in {path.name}", name, NAMES)
        arrays[prefix + kind] = array
    return _File(path, arrays, {}, (ignored(others, path),) if others else ())


def _table(path: Path, format: TableFormat, given: Columns) -> _File:
    if path.suffix.lower() not in (*KNOWN, *OLD):
        raise DataError(f"{path} is of an unknown type; give an .npz file or a {TYPES}.")
    table = read_table(path, format)
    frame, others = renamed(table.frame, given, path)
    wide: dict[str, dict[str, NDArray]] = {}
    for name in map(str, frame.columns):
        if name.startswith("Unnamed:") or name in PREDICTED:  # the first is the index that pandas writes
            continue
        parsed = _parsed(name, path)
        if parsed is None:
            others.append(name)
            continue
        prefix, kind, column = parsed
        held = frame[name]
        if not (is_numeric_dtype(held) or is_object_dtype(held) or is_string_dtype(held)):
            raise DataError(f"{path}: column {name!r} is {held.dtype}; cells must be numbers or text.")
        if kind != "labels" and not is_numeric_dtype(held):
            _refuse_words(path, name, held)
        wide.setdefault(prefix + kind, {})[column] = held.to_numpy()
    for kind, columns in wide.items():
        if "" in columns and len(columns) > 1:
            raise DataError(f"{path} has a column {kind} beside {kind}_...; keep one or the others.")
    arrays = {
        kind: columns[""] if "" in columns else np.stack(list(columns.values()), 1) for kind, columns in wide.items()
    }
    named = {kind: tuple(columns) for kind, columns in wide.items() if "" not in columns}
    notices = (*table.notices, ignored(others, path)) if others else table.notices
    return _File(path, arrays, named, notices)


def _refuse_words(path: Path, name: str, column: Any) -> None:
    """Raise DataError that names the cells of a column of numbers that are none."""
    numbers: Any = pd.to_numeric(column, errors="coerce")
    odd = column[numbers.isna() & column.notna()]
    if len(odd):
        raise DataError(
            f"{path}: column {name!r} holds {str(odd.iloc[0])[:30]!r} in row {odd.index[0] + 1}, which is no number "
            f"({len(odd)} of {len(column)} rows); mend or remove these rows."
        )


def _parsed(name: str, path: Path) -> tuple[str, str, str] | None:
    """ "calibration_label_cat" -> "calibration_", "labels", "cat"; None for what is no prediction.

    Raise UnknownNameError for a name that was hardly meant otherwise, such as lables.
    """
    if name in IGNORED:
        return "", name, ""
    match = NAME.fullmatch(name)
    if match is None:
        known = (*NAMES, *OTHER_NAMES)
        start = name.removeprefix(CALIBRATION).partition("_")[0]
        if name.startswith((OOD, OUTSIDE)) or any(
            difflib.get_close_matches(part, known, n=1, cutoff=0.8) for part in (name, start)
        ):
            raise UnknownNameError(f"array or column in {path.name} (remove or rename it)", name, known)
        return None
    prefix, kind = match["prefix"] or "", match["kind"]
    today = OOD + prefix.removeprefix(OUTSIDE) if prefix.startswith(OUTSIDE) else prefix
    return today, OTHER_NAMES.get(kind, kind), visible(match["column"] or "")


# ------------------------------------------------------------------------------------- arrays to predictions

Made = TypeVar("Made")


def _named(path: Path, make: Callable[[], Made]) -> Made:
    """What `make` returns; its errors begin with the file that they are about."""
    try:
        return make()
    except (DataError, ShapeError, SettingError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def _predictions(file: _File, logits: bool, classes: tuple[str, ...] = ()) -> Predictions:
    """`classes`: in which order the columns are wanted, where the file names them; its own where there are none."""
    if "mean" in file.arrays or "samples" in file.arrays:
        return _named(file.path, lambda: _regression(file))
    kind, truth = file.one_of(("labels", "targets"), "the true classes")
    if truth.ndim == 2 and truth.shape[1] > 1:
        source, _ = file.one_of(("logits", "probs"), "the predictions")
        names = _classes(file)
        found, ordered = numbers(source, file.arrays[source]), _ordered(file, kind, names)
        return _named(file.path, lambda: labelled(found, ordered, logits or source == "logits", names))
    (found, are_logits), names = _of_classes(file, logits, classes, class_columns), classes or _classes(file)
    ids = _class_ids(truth.reshape(-1), file.path, names)
    return _named(file.path, lambda: ClassPredictions(found, ids, names, not are_logits))


def _of_classes(
    file: _File, logits: bool, classes: tuple[str, ...], take: Callable[[str, Tensor, bool], Tensor]
) -> tuple[Tensor, bool]:
    """What `take` makes of the predictions (n, K), and whether they are logits."""
    kind, _ = file.one_of(("logits", "probs"), "the predictions")
    values, are_logits = _ordered(file, kind, classes or _classes(file)), logits or kind == "logits"
    return _named(file.path, lambda: take(kind, values, are_logits)), are_logits


def _regression(file: _File) -> RegressionPredictions:
    _, targets = file.one_of(("targets", "labels"), "the true values")
    if "samples" in file.arrays:
        samples = numbers("samples", file.arrays["samples"])
        if samples.ndim not in (2, 3) or len(samples) < 2:
            raise ShapeError(
                f"samples have shape {tuple(samples.shape)}, expected (passes, rows) or (passes, rows, targets), "
                "and two passes or more."
            )
        mean, std = gaussian_of_samples(samples)
        return RegressionPredictions(squeezed(mean), squeezed(numbers("targets", targets)), squeezed(std))
    if "variance" not in file.arrays:
        return regression(file.arrays["mean"], targets, file.arrays.get("std"))
    if "std" in file.arrays:
        raise DataError("there are both std and variance; keep one of them.")
    variance = numbers("variance", file.arrays["variance"])
    if variance.numel() and variance.min() < 0:
        raise DataError(f"variance is {variance.min().item():.4g} somewhere, expected positive numbers.")
    return regression(file.arrays["mean"], targets, variance.sqrt())


def _human_labels(file: _File, path: Path | None, classes: tuple[str, ...]) -> Tensor | None:
    """Those of a file of their own, or those beside the predictions, if there are any."""
    if path is None:
        return _ordered(file, "human_labels", classes) if "human_labels" in file.arrays else None
    found = read_array(path, "give a .npy file of human labels (rows, classes)")
    return _named(path, lambda: numbers("human labels", found))


def _ordered(file: _File, name: str, classes: tuple[str, ...]) -> Tensor:
    """An array of a column a class, in the order of `classes` where both are named."""
    values = _named(file.path, lambda: numbers(name, file.arrays[name]))
    columns = file.columns.get(name) or _named_classes(file)
    if not columns or not classes or columns == classes or values.ndim != 2:
        return values
    if set(columns) != set(classes):
        raise DataError(
            f"{file.path}: the columns of {name} are named {', '.join(columns)}, expected {', '.join(classes)}; "
            "name both alike."
        )
    return values[:, [columns.index(name) for name in classes]]


def _classes(file: _File) -> tuple[str, ...]:
    """The names of the classes, or none."""
    return _named_classes(file) or file.columns.get("logits") or file.columns.get("probs") or ()


def _named_classes(file: _File) -> tuple[str, ...]:
    """The names in the array `classes`, or none."""
    if "classes" not in file.arrays:
        return ()
    names = tuple(visible(str(name)) for name in file.arrays["classes"].reshape(-1))
    kind = "logits" if "logits" in file.arrays else "probs"
    count = file.arrays[kind].shape[-1] if kind in file.arrays and file.arrays[kind].ndim == 2 else len(names)
    if len(set(names)) != len(names) or max(count, 2) != len(names):
        raise DataError(f"{file.path}: {len(names)} names in classes, expected {max(count, 2)} different ones.")
    return names


def _class_ids(labels: NDArray, path: Path, classes: tuple[str, ...]) -> Tensor:
    """(n,) int64, from ids or from names of classes."""
    if labels.dtype.kind in "fiub":
        ids = _named(path, lambda: class_ids(numbers("labels", labels)))
        if not (classes and all(name.isdigit() for name in classes)):
            return ids
        labels = ids.numpy()
    places = {name: number for number, name in enumerate(classes)}
    texts = [visible(str(label)) for label in labels]
    for label in texts:
        if label not in places:
            raise UnknownNameError(f"label in {path.name}", label, classes or ["class ids 0, 1, ..."])
    return torch.tensor([places[label] for label in texts], dtype=torch.int64)
