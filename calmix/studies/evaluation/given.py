"""What one evaluation is given: predictions of test rows, and what goes with them, from arrays or from files.

n  test rows
m  rows of no class
K  classes, or labels of a multilabel model
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.predictions import (
    ClassPredictions,
    MultilabelPredictions,
    Predictions,
    RegressionPredictions,
    class_logits,
    logits_of,
)

CLOSE = 2e-3  # numbers that differ by no more, row by row, are the same in another precision
LARGEST = 2**53  # a float holds whole numbers up to this one exactly

_FOR_CLASSES = "OOD sets and human labels are for predictions of one class a row; leave them out."

Values = Any  # a tensor, an array, or what numpy makes an array of


@dataclass(frozen=True, eq=False)
class Given:
    """All that one evaluation is given.

    calibration: predictions of other rows, which corrections are fitted on. ood: logits (m, K) of rows that are of none
    of the classes, by name. human_labels: (n, K), how often people chose each class. notices: what the reader should be
    told, in full sentences.

    Raises:
        SettingError: what is for classes only, with other predictions.
        DataError: calibration predictions of another kind than the test predictions, without standard deviations, or
            the test predictions themselves.
        ShapeError: another number of classes than the test predictions have, or human labels for other rows.
    """

    test: Predictions
    calibration: Predictions | None = None
    ood: Mapping[str, Tensor] = field(default_factory=dict)
    human_labels: Tensor | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.calibration is not None:
            _check_calibration(self.test, self.calibration)
        if not self.ood and self.human_labels is None:
            return
        if not isinstance(self.test, ClassPredictions):
            raise SettingError(_FOR_CLASSES)
        expected = self.test.num_classes
        for name, logits in self.ood.items():
            if not re.fullmatch(r"[\w.-]+", name):
                raise SettingError(f"the OOD set {name!r} needs a name of letters, digits, '_', '.' and '-'.")
            if logits.ndim != 2 or logits.shape[1] != expected or len(logits) == 0:
                raise ShapeError(
                    f"the predictions of the OOD set {name!r} have shape {tuple(logits.shape)}, expected (rows, "
                    f"{expected}), the {expected} classes of the test predictions; predict both with the same model."
                )
        if self.human_labels is not None and self.human_labels.shape != self.test.outputs.shape:
            raise ShapeError(
                f"human labels have shape {tuple(self.human_labels.shape)}, expected {tuple(self.test.outputs.shape)}: "
                "one number for each row and class."
            )


def _check_calibration(test: Predictions, calibration: Predictions) -> None:
    if isinstance(test, MultilabelPredictions):
        raise SettingError("corrections are for one class a row or for numbers; leave the calibration split out.")
    if type(test) is not type(calibration) or _values(test).shape[1:] != _values(calibration).shape[1:]:
        raise DataError(
            f"the calibration predictions ({_kind(calibration)}) are not of the kind of the test predictions "
            f"({_kind(test)}); predict both with the same model."
        )
    if any(isinstance(given, RegressionPredictions) and given.std is None for given in (test, calibration)):
        raise DataError("corrections of numbers need std, of the test and of the calibration rows; add it to both.")
    if _alike(test, calibration):
        raise DataError(
            "the calibration split holds the test predictions themselves; what is fitted on rows cannot be judged on "
            "them: predict rows that are in neither the training nor the test split."
        )


def _values(given: Predictions) -> Tensor:
    if isinstance(given, RegressionPredictions):
        return given.mean
    return given.probs if isinstance(given, MultilabelPredictions) else given.outputs


def _alike(one: Predictions, other: Predictions) -> bool:
    """Whether both say the same of the same rows, perhaps in another precision."""
    if _values(one).shape != _values(other).shape:
        return False
    pairs = zip(_said(one), _said(other), strict=True)
    return all(_close(a, b) for pair in pairs for a, b in zip(*pair, strict=True))


def _said(given: Predictions) -> Iterator[tuple[Tensor, Tensor]]:
    """The truth, and what was predicted."""
    if isinstance(given, ClassPredictions):
        return ((labels, logits.softmax(1)) for logits, labels in given.pieces())
    truth = given.targets if isinstance(given, RegressionPredictions) else given.labels
    return iter([(truth, _values(given))])


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=CLOSE, atol=CLOSE)


def _kind(given: Predictions) -> str:
    if isinstance(given, ClassPredictions):
        return f"{given.num_classes} classes"
    return f"{given.probs.shape[1]} labels" if isinstance(given, MultilabelPredictions) else "numbers"


# ------------------------------------------------------------------------------------ from arrays and tensors


def given_of(
    predictions: Given | Predictions | None = None,
    *,
    probs: Values = None,
    logits: Values = None,
    labels: Values = None,
    mean: Values = None,
    std: Values = None,
    targets: Values = None,
    calibration: Predictions | tuple[Values, ...] | None = None,
    ood: Mapping[str, Values] | None = None,
    human_labels: Values = None,
) -> Given:
    """What the arguments of `evaluate` say together.

    Raises:
        SettingError: not exactly one of `predictions`, `probs`, `logits` and `mean`, or an argument that is missing or
            would be ignored.
        ShapeError, DataError: as `Given` and the predictions.
    """
    arrays = {"probs": probs, "logits": logits, "labels": labels, "mean": mean, "std": std, "targets": targets}
    there = {name: values for name, values in arrays.items() if values is not None}
    if isinstance(predictions, Given):
        beside = {"calibration": calibration, "ood": ood, "human_labels": human_labels}
        _only("Given", {**there, **{name: values for name, values in beside.items() if values is not None}}, ())
        return predictions
    if not isinstance(predictions, Predictions | None):
        raise SettingError(
            f"predictions must be a value of calmix.predictions; got {type(predictions).__name__}: give arrays by "
            "name, probs= or logits= with labels=, or mean= with targets=."
        )
    if not isinstance(calibration, Predictions | tuple | None):
        raise SettingError(
            f"calibration must be a value of calmix.predictions or a tuple of arrays; got {type(calibration).__name__}."
        )
    if not isinstance(ood, Mapping | None):
        raise SettingError(f"ood must be predictions by name, such as {{'svhn': logits}}; got {type(ood).__name__}.")
    kind = _kind_of(predictions, there)
    if predictions is not None:
        _only(type(predictions).__name__, there, ())
        if isinstance(calibration, tuple):
            raise SettingError(f"calibration must be {type(predictions).__name__}, as the test predictions are.")
        test, held = _detached(predictions), calibration
    elif kind == "mean":
        _only(kind, there, ("mean", "std", "targets"), needed="targets")
        test, order = regression(mean, targets, std), ("mean", "targets") if std is None else ("mean", "std", "targets")
        held = _calibration(calibration, order)
    else:
        _only(kind, there, (kind, "labels"), needed="labels")
        test, held = labelled(there[kind], labels, kind == "logits"), _calibration(calibration, (kind, "labels"))
    if not isinstance(test, ClassPredictions) and (ood or human_labels is not None):
        raise SettingError(_FOR_CLASSES)
    shown = {name: ood_logits(f"ood[{name!r}]", values, kind != "probs") for name, values in (ood or {}).items()}
    people = None if human_labels is None else numbers("human_labels", human_labels)
    return Given(test, held if held is None else _detached(held), shown, people)


def _kind_of(predictions: Predictions | None, there: Mapping[str, Values]) -> str:
    """Which of its four forms the test predictions have."""
    kinds = [
        *(["predictions"] if predictions is not None else []),
        *(k for k in ("probs", "logits", "mean") if k in there),
    ]
    if len(kinds) != 1:
        raise SettingError(f"give one of predictions, probs, logits and mean; got {' and '.join(kinds) or 'none'}.")
    return kinds[0]


def _only(kind: str, there: Mapping[str, Values], allowed: tuple[str, ...], needed: str | None = None) -> None:
    if needed is not None and needed not in there:
        raise SettingError(f"{kind} needs {needed}, the truth of each row; add {needed}=.")
    ignored = [name for name in there if name not in allowed]
    if ignored:
        raise SettingError(f"{' and '.join(ignored)} would be ignored beside {kind}; leave out what is too much.")


def _calibration(given: Predictions | tuple[Values, ...] | None, order: tuple[str, ...]) -> Predictions | None:
    """Predictions of other rows; arrays of them come in the order in which `evaluate` names them."""
    if not isinstance(given, tuple):
        return given
    if len(given) != len(order):
        raise SettingError(f"calibration must be {len(order)} arrays, ({', '.join(order)}); got {len(given)}.")
    arrays = dict(zip(order, given, strict=True))
    if "mean" in arrays:
        return regression(**arrays)
    return labelled(*given, are_logits=order[0] == "logits")


def _detached(predictions: Predictions) -> Predictions:
    """On the CPU and outside the graph."""
    tensors = {name: value for name, value in vars(predictions).items() if isinstance(value, Tensor)}
    return replace(predictions, **{name: tensor.detach().cpu() for name, tensor in tensors.items()})


def numbers(name: str, values: Values) -> Tensor:
    """float32 and float64 as they are, without a copy; shorter floating numbers as float32, others as float64.

    >>> numbers("labels", [[1, 0]]).dtype
    torch.float64
    """
    if isinstance(values, Tensor):
        values = (values.float() if values.dtype == torch.bfloat16 else values).detach().cpu()  # numpy has none
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DataError(f"{name} are {array.dtype} of shape {array.shape}, expected rows of numbers.")
    dtype = np.float32 if array.dtype.kind == "f" and array.itemsize <= 4 else np.float64
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))


def labelled(
    values: Values, labels: Values, are_logits: bool, classes: tuple[str, ...] = ()
) -> ClassPredictions | MultilabelPredictions:
    """Probabilities or logits with class ids (n,), or with labels (n, K) of 0 and 1."""
    truth = numbers("labels", labels)
    if truth.ndim == 2 and truth.shape[1] > 1:
        return MultilabelPredictions(_sigmoid(numbers("predictions", values), are_logits), truth, classes)
    ids = class_ids(truth.reshape(-1))
    return ClassPredictions(class_columns("predictions", values, are_logits), ids, classes, not are_logits)


def _sigmoid(values: Tensor, are_logits: bool) -> Tensor:
    if are_logits:
        return values.sigmoid()
    if values.numel() and (values.min() < 0 or values.max() > 1):
        raise DataError("probabilities leave [0, 1]; if these are logits, pass them as logits (--logits).")
    return values


def class_columns(name: str, values: Values, are_logits: bool) -> Tensor:
    """(n, K), a column a class; (n,) or (n, 1) are logits or probabilities of the second of two classes."""
    found = numbers(name, values)
    if found.ndim not in (1, 2):
        raise ShapeError(f"{name} have shape {tuple(found.shape)}, expected (rows, classes) or (rows,).")
    found = found[:, None] if found.ndim == 1 else found
    if are_logits:
        return class_logits(found)
    return torch.cat([1 - found, found], 1) if found.shape[1] == 1 else found


def ood_logits(name: str, values: Values, are_logits: bool) -> Tensor:
    """(m, K) logits of rows of no class, of logits or probabilities."""
    found = class_columns(name, values, are_logits)
    return found if are_logits else logits_of(found)


def class_ids(labels: Tensor) -> Tensor:
    """Whole numbers as int64. Raises DataError where one is not."""
    if not labels.isfinite().all() or (labels.abs() > LARGEST).any() or (labels != labels.round()).any():
        raise DataError("labels must be class ids 0, 1, ... or names of classes, and some are neither.")
    return labels.long()


def regression(mean: Values, targets: Values, std: Values = None) -> RegressionPredictions:
    """(n, 1) is taken as (n,)."""
    of_mean, of_targets = (squeezed(numbers(*pair)) for pair in (("mean", mean), ("targets", targets)))
    return RegressionPredictions(of_mean, of_targets, None if std is None else squeezed(numbers("std", std)))


def squeezed(values: Tensor) -> Tensor:
    """(n, 1) as (n,)."""
    return values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values
