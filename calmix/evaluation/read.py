"""Files of predictions, from any framework, as what was predicted.

An .npz file holds arrays, a .csv, .csv.gz or .parquet file columns:

    probs or logits, and labels    (n, K) and class ids (n,); or (n,), of the second of two classes
                                   (n, K) and labels (n, K) of 0 and 1, any number of them a row
    mean and targets               (n,) or (n, d); and std or variance, where the model knows them
    samples and targets            (S, n) or (S, n, d): S stochastic passes or members of an ensemble
    votes                          (n, K) how often people chose each class, where they were asked
    classes                        K names

In a table, an array of K columns is written as K columns, probs_cat, probs_dog, ...; then labels may be those names.
What belongs to the calibration split carries the prefix `calibration_`, and predictions for rows that are of none of
the classes `outside_NAME_`; so what `calmix compare` stores of a run is such a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.table import read_table
from calmix.errors import DataError, UnknownNameError
from calmix.evaluation.predictions import Classified, Estimated, Multilabelled, Predictions, logits_of, two_columns

OTHER_NAMES = {
    "prob": "probs", "probability": "probs", "probabilities": "probs", "logit": "logits", "label": "labels",
    "target": "targets", "var": "variance",
}  # fmt: skip
NAMES = ("probs", "logits", "labels", "mean", "std", "variance", "samples", "targets", "votes", "classes")
CALIBRATION, OUTSIDE = "calibration_", "outside_"
SKIPPED = ("temperature",)  # `calmix compare` notes it beside the predictions

Arrays = Mapping[str, NDArray]


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
    outside: Mapping[str, Path] | None = None,
    votes: Path | None = None,
    logits: bool = False,
) -> Given:
    """The predictions in `path` and what goes with them, from further files or from the same one.

    logits: numbers that the files call probabilities are logits.

    Raises:
        DataError: a file that cannot be read, numbers that cannot be such predictions, or a calibration file that is
            the test file.
        ShapeError: lengths or shapes that do not fit together.
        UnknownNameError: an array or column that is none of those above.
    """
    arrays = _arrays(path)
    test = _predictions(arrays, path, logits)
    if calibration is not None:
        held = _other_file(calibration, path, arrays)
        fitted_on = _predictions(held, calibration, logits)
    else:
        held = _part(arrays, CALIBRATION)
        fitted_on = _predictions(held, path, logits) if held else None
    if fitted_on is not None:
        _same_kind(test, fitted_on)
    shown = {name: _logits(_part(arrays, f"{OUTSIDE}{name}_"), path, logits) for name in _outside_names(arrays)}
    for name, file in (outside or {}).items():
        shown[name] = _logits(_arrays(file), file, logits)
    return Given(test, fitted_on, shown, _votes(test, arrays, votes))


# ------------------------------------------------------------------------------------------- files to arrays


def _arrays(path: Path) -> dict[str, NDArray]:
    """What a file holds, by the names above."""
    found = _npz(path) if path.suffix.lower() == ".npz" else _table(path)
    arrays = {}
    for name, values in found.items():
        prefix, kind = _split_name(name)
        if kind in SKIPPED:
            continue
        if kind not in NAMES:
            raise UnknownNameError(f"array or column in {path.name}", name, NAMES)
        if prefix + kind in arrays:
            raise DataError(f"{path} holds {prefix + kind} twice; keep one of them.")
        arrays[prefix + kind] = values
    return arrays


def _split_name(name: str) -> tuple[str, str]:
    """ "calibration_label" -> "calibration_", "labels"."""
    prefix = ""
    if name.startswith(CALIBRATION):
        prefix, name = CALIBRATION, name.removeprefix(CALIBRATION)
    elif name.startswith(OUTSIDE) and name.count("_") > 1:
        cut = name.rindex("_") + 1
        prefix, name = name[:cut], name[cut:]
    return prefix, OTHER_NAMES.get(name, name)


def _npz(path: Path) -> dict[str, NDArray]:
    if not path.is_file():
        raise DataError(f"file not found: {path}; give the path of an .npz, .csv or .parquet file.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read ({str(error).rstrip('.')}); save plain arrays with numpy.savez."
        ) from error


def _table(path: Path) -> dict[str, NDArray]:
    """The columns of a table; `probs_a`, `probs_b`, ... as one array, and its names as `classes`."""
    frame = read_table(path)
    wide: dict[str, dict[str, NDArray]] = {}
    arrays: dict[str, NDArray] = {}
    for column in map(str, frame.columns):
        prefix, rest = (
            (CALIBRATION, column.removeprefix(CALIBRATION)) if column.startswith(CALIBRATION) else ("", column)
        )
        kind, _, name = rest.partition("_")
        if name and OTHER_NAMES.get(kind, kind) in NAMES:
            wide.setdefault(prefix + OTHER_NAMES.get(kind, kind), {})[name] = frame[column].to_numpy()
        else:
            arrays[column] = frame[column].to_numpy()
    for kind, columns in wide.items():
        arrays[kind] = np.stack(list(columns.values()), 1)
        if kind in ("probs", "logits"):
            arrays["classes"] = np.array(list(columns))
    return arrays


def _part(arrays: Arrays, prefix: str) -> dict[str, NDArray]:
    """The arrays with a prefix, without it; class names are those of all."""
    part = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    return part and {**{name: arrays[name] for name in ("classes",) if name in arrays}, **part}


def _outside_names(arrays: Arrays) -> list[str]:
    return sorted({name[len(OUTSIDE) : name.rindex("_")] for name in arrays if name.startswith(OUTSIDE)})


def _other_file(path: Path, test: Path, arrays: Arrays) -> dict[str, NDArray]:
    """The arrays of a calibration file, which must not be the test file, nor a copy of it."""
    held = _arrays(path)
    same = path.resolve() == test.resolve() or (
        set(held) == set(arrays) and all(np.array_equal(held[name], arrays[name]) for name in held)
    )
    if same:
        raise DataError(
            f"the calibration file {path} holds the test predictions themselves; what is fitted on them cannot be "
            "judged on them: predict rows that are in neither the training nor the test split."
        )
    return held


# ------------------------------------------------------------------------------------- arrays to predictions


def _predictions(arrays: Arrays, path: Path, logits: bool) -> Predictions:
    if "mean" in arrays or "samples" in arrays:
        return _estimated(arrays, path)
    truth = _one_of(arrays, ("labels", "targets"), path, "the true classes")
    if truth.ndim == 2 and truth.shape[1] > 1:
        labels = _numbers(truth, path, "labels")
        given = _one_of(arrays, ("logits", "probs"), path, "the predictions")
        probs = _numbers(given, path, "predictions")
        if logits or "logits" in arrays:
            probs = probs.sigmoid()
        elif probs.numel() and (probs.min() < 0 or probs.max() > 1):
            raise DataError(f"{path}: probabilities leave [0, 1]; if these are logits, say --logits.")
        return Multilabelled(probs, labels, _classes(arrays))
    scores = _logits(arrays, path, logits)
    return Classified(scores, _class_ids(truth.reshape(-1), path, _classes(arrays)), _classes(arrays))


def _logits(arrays: Arrays, path: Path, logits: bool) -> Tensor:
    """(n, K) logits; one column is the second of two classes."""
    values = _numbers(_one_of(arrays, ("logits", "probs"), path, "the predictions"), path, "predictions")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if logits or "logits" in arrays:
        return two_columns(values) if values.ndim == 1 else values
    return logits_of(torch.stack([1 - values, values], 1) if values.ndim == 1 else values)


def _estimated(arrays: Arrays, path: Path) -> Estimated:
    from calmix.metrics import gaussian_of_samples

    def column(name: str) -> Tensor:
        values = _numbers(arrays[name], path, name)
        return values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values

    targets = column(_name_of(arrays, ("targets", "labels"), path, "the true values"))
    if "samples" in arrays:
        mean, std = gaussian_of_samples(_numbers(arrays["samples"], path, "samples"))
        return Estimated(mean, targets, std)
    if "variance" not in arrays:
        return Estimated(column("mean"), targets, column("std") if "std" in arrays else None)
    variance = column("variance")
    if "std" in arrays:
        raise DataError(f"{path} holds both std and variance; keep one of them.")
    if variance.numel() and variance.min() < 0:
        raise DataError(f"{path}: variance is {variance.min().item():.4g} somewhere, expected positive numbers.")
    return Estimated(column("mean"), targets, variance.sqrt())


def _votes(test: Predictions, arrays: Arrays, path: Path | None) -> Tensor | None:
    if path is not None:
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); give a .npy file of votes (rows, classes).") from error
        votes = _numbers(np.asarray(found), path, "votes")
    elif "votes" in arrays:
        votes = _numbers(arrays["votes"], Path("votes"), "votes")
    else:
        return None
    if not isinstance(test, Classified) or votes.shape != test.logits.shape:
        raise DataError(f"votes have shape {tuple(votes.shape)}, expected one number for each row and class.")
    return votes


def _one_of(arrays: Arrays, names: tuple[str, ...], path: Path, what: str) -> NDArray:
    return arrays[_name_of(arrays, names, path, what)]


def _name_of(arrays: Arrays, names: tuple[str, ...], path: Path, what: str) -> str:
    for name in names:
        if name in arrays:
            return name
    held = ", ".join(arrays) or "nothing"
    raise DataError(f"{path} holds {held}, but not {what}; add {' or '.join(names)}.")


def _numbers(values: NDArray, path: Path, name: str) -> Tensor:
    if values.dtype.kind not in "fiub":
        raise DataError(f"{path}: {name} are {values.dtype}, expected numbers.")
    return torch.from_numpy(values.astype(values.dtype if values.dtype.kind == "f" and values.itemsize > 2 else float))


def _classes(arrays: Arrays) -> tuple[str, ...]:
    return tuple(str(name) for name in arrays["classes"]) if "classes" in arrays else ()


def _class_ids(labels: NDArray, path: Path, classes: tuple[str, ...]) -> Tensor:
    """(n,) int64, from ids or from names of classes."""
    if labels.dtype.kind not in "fiub":
        ids = {name: number for number, name in enumerate(classes)}
        for label in map(str, labels):
            if label not in ids:
                raise UnknownNameError(f"label in {path.name}", label, classes or ["class ids 0, 1, ..."])
        return torch.tensor([ids[str(label)] for label in labels])
    if not np.isfinite(labels).all() or (labels != labels.astype(np.int64)).any():
        raise DataError(f"{path}: labels must be class ids 0, 1, ... or names of classes, and some are neither.")
    return torch.from_numpy(labels.astype(np.int64))


def _same_kind(test: Predictions, calibration: Predictions) -> None:
    def shape(given: Predictions) -> tuple[int, ...]:
        first = (
            given.logits
            if isinstance(given, Classified)
            else given.mean
            if isinstance(given, Estimated)
            else given.probs
        )
        return tuple(first.shape[1:])

    if type(test) is not type(calibration) or shape(test) != shape(calibration):
        raise DataError(
            f"the calibration predictions ({_kind(calibration)}) are not of the kind of the test predictions "
            f"({_kind(test)}); predict both with the same model."
        )


def _kind(given: Predictions) -> str:
    if isinstance(given, Classified):
        return f"{given.logits.shape[1]} classes"
    if isinstance(given, Multilabelled):
        return f"{given.probs.shape[1]} labels"
    return "numbers with deviations" if given.std is not None else "numbers"
