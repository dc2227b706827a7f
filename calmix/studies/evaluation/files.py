"""Files of predictions, from any framework, as what was predicted.

An .npz file holds arrays, a .csv, .csv.gz or .parquet file columns:

    probs or logits, and labels    (n, K) and class ids (n,); or (n,), of the second of two classes
                                   (n, K) and labels (n, K) of 0 and 1, any number of them a row
    mean and targets               (n,) or (n, d); and std or variance, where the model knows them
    samples and targets            (S, n) or (S, n, d): S stochastic passes or members of an ensemble
    votes                          (n, K) how often people chose each class, where they were asked
    classes                        K names

In a table, an array of K columns is written as K columns, probs_cat, probs_dog, ...; then labels may be those names,
and columns of labels, votes and of the calibration split belong together by name, in whatever order they stand.
What belongs to the calibration split carries the prefix `calibration_`, and predictions for rows that are of none of
the classes `outside_NAME_`; so what `calmix compare` stores of a run is such a file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.table import read_table
from calmix.errors import DataError, SettingError, ShapeError, UnknownNameError
from calmix.evaluation.predictions import Classified, Estimated, Multilabelled, Predictions, class_logits, logits_of

NAMES = ("probs", "logits", "labels", "mean", "std", "variance", "samples", "targets", "votes", "classes")
OTHER_NAMES = {
    "prob": "probs", "probability": "probs", "probabilities": "probs", "logit": "logits", "label": "labels",
    "target": "targets", "var": "variance",
}  # fmt: skip
IGNORED = ("temperature",)  # `calmix compare` notes it beside the predictions
CALIBRATION, OUTSIDE = "calibration_", "outside_"
NAME = re.compile(
    rf"(?P<prefix>{CALIBRATION}|{OUTSIDE}[\w.-]+?_)?(?P<kind>{'|'.join((*NAMES, *OTHER_NAMES))})(_(?P<column>.+))?"
)
CLOSE = 2e-3  # predictions that differ by no more, row by row, are the same in another precision


@dataclass(frozen=True, eq=False)
class Given:
    """All that one evaluation is given."""

    test: Predictions
    calibration: Predictions | None = None
    outside: Mapping[str, Tensor] = field(default_factory=dict)  # logits (m, K) by name
    votes: Tensor | None = None  # (n, K)


def read_given(
    path: Path,
    calibration: Path | None = None,
    outside: Sequence[Path] = (),
    votes: Path | None = None,
    logits: bool = False,
) -> Given:
    """The predictions in `path` and what goes with them, from further files or from the same one.

    outside: files of predictions for rows of no class, each named by its file. logits: numbers that the files call
    probabilities are logits.

    Raises:
        DataError: a file that cannot be read, numbers that cannot be such predictions, or a calibration file that is
            the test file.
        ShapeError: lengths or shapes that do not fit together.
        SettingError: what is for classes only, with other predictions.
        UnknownNameError: an array or column that is none of those above.
    """
    file = _read(path)
    test = _predictions(file, logits)
    if not isinstance(test, Classified) and (outside or votes):
        raise SettingError(f"{path} holds no predictions of one class a row, which --ood and --votes are for.")
    if isinstance(test, Estimated) and logits:
        raise SettingError(f"{path} holds numbers, and --logits is for classes; leave it out.")
    held = file.part(CALIBRATION) if calibration is None else _read(calibration)
    fitted_on = None
    if held.arrays:
        if calibration is not None and calibration.resolve() == path.resolve():
            raise _same_rows(held)
        fitted_on = _predictions(held, logits, test.classes if isinstance(test, Classified) else ())
        _check_calibration(test, fitted_on, held)
    shown: dict[str, Tensor] = {}
    if isinstance(test, Classified):
        parts = {name: file.part(f"{OUTSIDE}{name}_") for name in file.outside_names()}
        for name, part in (*parts.items(), *((other.name.split(".")[0], _read(other)) for other in outside)):
            if name in shown:
                raise DataError(f"two sets of outside rows are named {name!r}; give one of the files another name.")
            shown[name] = _logits(part, logits, test.classes)
            if shown[name].shape[1:] != test.logits.shape[1:]:
                raise ShapeError(
                    f"{part.path}: {shown[name].shape[1]} classes, expected {test.logits.shape[1]} as in {path}; "
                    "predict both with the same model."
                )
    return Given(test, fitted_on, shown, _votes(test, file, votes))


# ------------------------------------------------------------------------------------------- files to arrays


@dataclass(frozen=True, eq=False)
class _File:
    """What a file holds, by prefix and one of NAMES."""

    path: Path
    arrays: Mapping[str, NDArray]
    columns: Mapping[str, tuple[str, ...]]  # names of the columns of what a table spells as several

    def part(self, prefix: str) -> "_File":
        """What carries a prefix, without it; class names are those of all."""
        arrays = {name.removeprefix(prefix): held for name, held in self.arrays.items() if name.startswith(prefix)}
        columns = {name.removeprefix(prefix): held for name, held in self.columns.items() if name.startswith(prefix)}
        if arrays and "classes" in self.arrays:
            arrays.setdefault("classes", self.arrays["classes"])
        return _File(self.path, arrays, columns)

    def outside_names(self) -> list[str]:
        return sorted({name[len(OUTSIDE) : name.rindex("_")] for name in self.arrays if name.startswith(OUTSIDE)})

    def one_of(self, names: tuple[str, ...], what: str) -> tuple[str, NDArray]:
        """The first of the names that is there, and its array."""
        for name in names:
            if name in self.arrays:
                return name, self.arrays[name]
        held = ", ".join(self.arrays) or "nothing"
        raise DataError(f"{self.path} holds {held}: {what} are missing; add {' or '.join(names)}.")


def _read(path: Path) -> _File:
    return _npz(path) if path.suffix.lower() == ".npz" else _table(path)


def _npz(path: Path) -> _File:
    if not path.is_file():
        raise DataError(f"file not found: {path}; give the path of an .npz, .csv or .parquet file.")
    arrays: dict[str, NDArray] = {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            for name in stored.files:
                prefix, kind, column = _parsed(name, path)
                if kind in IGNORED:
                    continue
                if column or prefix + kind in arrays:
                    raise UnknownNameError(f"array in {path.name}", name, NAMES)
                arrays[prefix + kind] = stored[name]
    except (OSError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({str(error).rstrip('.')}); save arrays with numpy.savez.") from error
    except ValueError as error:
        if isinstance(error, UnknownNameError):
            raise
        raise DataError(
            f"{path} holds more than plain arrays of numbers or text; save them with numpy.savez."
        ) from None
    return _File(path, arrays, {})


def _table(path: Path) -> _File:
    if not path.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise DataError(f"{path} is of an unknown type; give an .npz, .csv, .csv.gz or .parquet file.")
    frame = read_table(path)
    wide: dict[str, dict[str, NDArray]] = {}
    for name in map(str, frame.columns):
        if name.startswith("Unnamed:"):  # the index that pandas writes
            continue
        prefix, kind, column = _parsed(name, path)
        wide.setdefault(prefix + kind, {})[column] = frame[name].to_numpy()
    for kind, columns in wide.items():
        if "" in columns and len(columns) > 1:
            raise DataError(f"{path} has a column {kind} beside {kind}_...; keep one or the others.")
    arrays = {
        kind: columns[""] if "" in columns else np.stack(list(columns.values()), 1) for kind, columns in wide.items()
    }
    return _File(path, arrays, {kind: tuple(columns) for kind, columns in wide.items() if "" not in columns})


def _parsed(name: str, path: Path) -> tuple[str, str, str]:
    """ "calibration_label_cat" -> "calibration_", "labels", "cat"."""
    if name in IGNORED:
        return "", name, ""
    match = NAME.fullmatch(name)
    if match is None:
        known = (*NAMES, "probs_NAME", "calibration_probs", "outside_NAME_probs")
        raise UnknownNameError(f"array or column in {path.name} (remove it, or name it as one of these):", name, known)
    return match["prefix"] or "", OTHER_NAMES.get(match["kind"], match["kind"]), match["column"] or ""


# ------------------------------------------------------------------------------------- arrays to predictions

Made = TypeVar("Made")


def _named(path: Path, make: Callable[[], Made]) -> Made:
    """What `make` returns; its advice begins with the file that it is about."""
    try:
        return make()
    except (DataError, ShapeError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def _predictions(file: _File, logits: bool, classes: tuple[str, ...] = ()) -> Predictions:
    """`classes`: in which order the columns are wanted, where the file names them; its own where there are none."""
    if "mean" in file.arrays or "samples" in file.arrays:
        return _named(file.path, lambda: _estimated(file))
    kind, truth = file.one_of(("labels", "targets"), "the true classes")
    if truth.ndim == 2 and truth.shape[1] > 1:
        return _named(file.path, lambda: _multilabelled(file, kind, logits))
    scores, names = _logits(file, logits, classes), classes or _classes(file)
    ids = _class_ids(truth.reshape(-1), file.path, names)
    return _named(file.path, lambda: Classified(scores, ids, names))


def _multilabelled(file: _File, truth: str, logits: bool) -> Multilabelled:
    kind, _ = file.one_of(("logits", "probs"), "the predictions")
    probs, names = _numbers(file, kind), _classes(file)
    if logits or kind == "logits":
        probs = probs.sigmoid()
    elif probs.numel() and (probs.min() < 0 or probs.max() > 1):
        raise DataError("probabilities leave [0, 1]; if these are logits, say --logits.")
    return Multilabelled(probs, _ordered(file, truth, names), names)


def _logits(file: _File, logits: bool, classes: tuple[str, ...]) -> Tensor:
    """(n, K) logits; one column is the second of two classes."""
    kind, values = file.one_of(("logits", "probs"), "the predictions")
    if values.ndim not in (1, 2):
        raise ShapeError(f"{file.path}: {kind} have shape {values.shape}, expected (rows, classes) or (rows,).")
    scores = _ordered(file, kind, classes or _classes(file))
    scores = scores[:, None] if scores.ndim == 1 else scores
    if logits or kind == "logits":
        return class_logits(scores)
    return _named(file.path, lambda: logits_of(torch.cat([1 - scores, scores], 1) if scores.shape[1] == 1 else scores))


def _estimated(file: _File) -> Estimated:
    from calmix.metrics import gaussian_of_samples

    def column(name: str) -> Tensor:
        return _squeezed(_numbers(file, name))

    targets = column(file.one_of(("targets", "labels"), "the true values")[0])
    if "samples" in file.arrays:
        samples = _numbers(file, "samples")
        if samples.ndim not in (2, 3) or len(samples) < 2:
            raise ShapeError(
                f"samples have shape {tuple(samples.shape)}, expected (passes, rows) or (passes, rows, targets), "
                "and two passes or more."
            )
        mean, std = gaussian_of_samples(samples)
        return Estimated(_squeezed(mean), targets, _squeezed(std))
    if "variance" not in file.arrays:
        return Estimated(column("mean"), targets, column("std") if "std" in file.arrays else None)
    variance = column("variance")
    if "std" in file.arrays:
        raise DataError("there are both std and variance; keep one of them.")
    if variance.numel() and variance.min() < 0:
        raise DataError(f"variance is {variance.min().item():.4g} somewhere, expected positive numbers.")
    return Estimated(column("mean"), targets, variance.sqrt())


def _votes(test: Predictions, file: _File, path: Path | None) -> Tensor | None:
    if not isinstance(test, Classified):
        return None
    if path is not None:
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, EOFError, ValueError):
            found = None
        if not isinstance(found, np.ndarray):
            raise DataError(f"{path} cannot be read; give a .npy file of votes (rows, classes).")
        votes = _numbers(_File(path, {"votes": found}, {}), "votes")
    elif "votes" in file.arrays:
        votes = _ordered(file, "votes", test.classes)
    else:
        return None
    if votes.shape != test.logits.shape:
        raise DataError(f"votes have shape {tuple(votes.shape)}, expected one number for each row and class.")
    return votes


def _ordered(file: _File, name: str, classes: tuple[str, ...]) -> Tensor:
    """An array of a column a class, in the order of `classes` where both are named."""
    values, columns = _numbers(file, name), file.columns.get(name) or _named_classes(file)
    if not columns or not classes or columns == classes or values.ndim != 2:
        return values
    if set(columns) != set(classes):
        raise DataError(
            f"{file.path}: the columns of {name} are named {', '.join(columns)}, expected {', '.join(classes)}; "
            "name both alike."
        )
    return values[:, [columns.index(name) for name in classes]]


def _numbers(file: _File, name: str) -> Tensor:
    values = file.arrays[name]
    if values.dtype.kind not in "fiub" or values.ndim == 0:
        raise DataError(f"{file.path}: {name} are {values.dtype} of shape {values.shape}, expected rows of numbers.")
    return torch.from_numpy(values.astype(values.dtype if values.dtype.kind == "f" and values.itemsize > 2 else float))


def _squeezed(values: Tensor) -> Tensor:
    """(n, 1) as (n,)."""
    return values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values


def _classes(file: _File) -> tuple[str, ...]:
    """The names of the classes, or none."""
    return _named_classes(file) or file.columns.get("logits") or file.columns.get("probs") or ()


def _named_classes(file: _File) -> tuple[str, ...]:
    """The names in the array `classes`, or none."""
    if "classes" not in file.arrays:
        return ()
    names = tuple(map(str, file.arrays["classes"].reshape(-1)))
    kind = "logits" if "logits" in file.arrays else "probs"
    count = file.arrays[kind].shape[-1] if kind in file.arrays and file.arrays[kind].ndim == 2 else len(names)
    if len(set(names)) != len(names) or max(count, 2) != len(names):
        raise DataError(f"{file.path}: {len(names)} names in classes, expected {max(count, 2)} different ones.")
    return names


def _class_ids(labels: NDArray, path: Path, classes: tuple[str, ...]) -> Tensor:
    """(n,) int64, from ids or from names of classes."""
    if labels.dtype.kind in "fiub":
        if not np.isfinite(labels).all() or (np.abs(labels) > 2**53).any() or (labels != np.round(labels)).any():
            raise DataError(f"{path}: labels must be class ids 0, 1, ... or names of classes, and some are neither.")
        labels = labels.astype(np.int64)
        if not (classes and all(name.isdigit() for name in classes)):
            return torch.from_numpy(labels)
    ids = {name: number for number, name in enumerate(classes)}
    for label in map(str, labels):
        if label not in ids:
            raise UnknownNameError(f"label in {path.name}", label, classes or ["class ids 0, 1, ..."])
    return torch.tensor([ids[str(label)] for label in labels], dtype=torch.int64)


# ------------------------------------------------------------------------------------------- two files together


def _check_calibration(test: Predictions, calibration: Predictions, held: _File) -> None:
    """Advice where the calibration split is of another kind, allows no correction, or is the test split."""
    if isinstance(test, Multilabelled):
        raise SettingError("corrections are for one class a row or for numbers; leave the calibration split out.")
    if type(test) is not type(calibration) or _first(test).shape[1:] != _first(calibration).shape[1:]:
        raise DataError(
            f"the calibration predictions ({_kind(calibration)}) are not of the kind of the test predictions "
            f"({_kind(test)}); predict both with the same model."
        )
    if any(isinstance(given, Estimated) and given.std is None for given in (test, calibration)):
        raise DataError("corrections of numbers need std, of the test and of the calibration rows; add it to both.")
    ours, theirs = _first(test), _first(calibration)
    if ours.shape == theirs.shape and torch.allclose(ours.double(), theirs.double(), rtol=CLOSE, atol=CLOSE):
        raise _same_rows(held)


def _same_rows(held: _File) -> DataError:
    return DataError(
        f"{held.path} holds the test predictions themselves as calibration split; what is fitted on them cannot be "
        "judged on them: predict rows that are in neither the training nor the test split."
    )


def _first(given: Predictions) -> Tensor:
    if isinstance(given, Classified):
        return given.probs
    return given.mean if isinstance(given, Estimated) else given.probs


def _kind(given: Predictions) -> str:
    if isinstance(given, Classified):
        return f"{given.logits.shape[1]} classes"
    if isinstance(given, Multilabelled):
        return f"{given.probs.shape[1]} labels"
    return "numbers"
