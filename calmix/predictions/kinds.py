"""What a trained model said of rows whose truth is known.

n  rows
K  classes, or labels of a multilabel model
d  targets of a row
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.tensors import row_slices
from calmix.probabilities import SUM_TOLERANCE


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Class predictions: logits, or probabilities p, which stand for the logits log p; softmax gives p back.

    They stay in memory as they were given. `pieces` reads a few rows at a time; `logits` and `probs` are of all rows.

    Raises:
        ShapeError: shapes that are not (n, K), K at least 2, and (n,), of at least one row.
        DataError: NaN or infinity, a label outside 0 .. K - 1, or probabilities that are none.
    """

    outputs: Tensor  # (n, K), logits or probabilities
    labels: Tensor  # (n,) int64
    classes: tuple[str, ...] = ()  # K names, or none
    are_probs: bool = False

    def __post_init__(self) -> None:
        if self.outputs.ndim != 2 or self.outputs.shape[1] < 2:
            raise ShapeError(f"predictions have shape {tuple(self.outputs.shape)}, expected (rows, classes).")
        _same_rows(self.outputs, self.labels, "labels")
        (_check_probs if self.are_probs else _check_finite)(self.outputs, "the predictions")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= self.num_classes:
            raise DataError(
                f"labels run from {low} to {high}, expected 0 to {self.num_classes - 1}, the "
                f"{self.num_classes} classes of the predictions; number them as the predictions are."
            )

    @property
    def num_classes(self) -> int:
        return self.outputs.shape[1]

    @property
    def logits(self) -> Tensor:
        """(n, K): those that were given, or the float64 logarithms of probabilities."""
        return _logs(self.outputs) if self.are_probs else self.outputs

    @property
    def probs(self) -> Tensor:
        """(n, K) float64."""
        return self.logits.double().softmax(1)

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A few rows at a time: logits (m, K) float64, and labels (m,)."""
        for rows in row_slices(self.outputs):
            outputs = self.outputs[rows]
            yield _logs(outputs) if self.are_probs else outputs.double(), self.labels[rows]

    def columns(self) -> Iterator[Tensor]:
        """The probabilities of one class after the other, (n,) float64."""
        if self.are_probs:
            return (column.double() for column in self.outputs.T)
        sums = torch.cat([self.outputs[rows].double().logsumexp(1) for rows in row_slices(self.outputs)])
        return ((column.double() - sums).exp_() for column in self.outputs.T)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class MultilabelPredictions:
    """Any number of K labels a row: a probability and a truth for each.

    Raises: as `ClassPredictions`.
    """

    probs: Tensor  # (n, K)
    labels: Tensor  # (n, K), 0 or 1
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.probs.ndim != 2 or self.probs.shape != self.labels.shape or not self.probs.numel():
            raise ShapeError(
                f"predictions have shape {tuple(self.probs.shape)} and labels {tuple(self.labels.shape)}, "
                "expected (rows, labels) for both, and at least one row."
            )
        _check_finite(self.probs, "the predictions")
        if not ((self.labels == 0) | (self.labels == 1)).all():
            raise DataError("labels of several columns are 0 or 1 each; give class ids as one column.")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class RegressionPredictions:
    """Estimates of numbers, with their standard deviations where the model gives any.

    Raises:
        ShapeError: shapes that differ or have no rows.
        DataError: NaN or infinity, or a standard deviation that is not positive.
    """

    mean: Tensor  # (n,) or (n, d)
    targets: Tensor  # as mean
    std: Tensor | None = None  # as mean

    def __post_init__(self) -> None:
        if self.mean.ndim not in (1, 2):
            raise ShapeError(f"mean has shape {tuple(self.mean.shape)}, expected (rows,) or (rows, targets).")
        for name, values in (("targets", self.targets), ("std", self.std)):
            if values is not None:
                _same_rows(self.mean, values, name)
                if values.shape != self.mean.shape:
                    raise ShapeError(f"{name} has shape {tuple(values.shape)} and mean {tuple(self.mean.shape)}.")
                _check_finite(values, name)
        _check_finite(self.mean, "mean")
        if self.std is not None and self.std.min() <= 0:
            row = int(self.std.reshape(len(self.std), -1).min(1).values.argmin())
            raise DataError(f"std is {self.std.min().item():.4g} in row {row}, expected positive numbers.")

    def __len__(self) -> int:
        return len(self.targets)


Predictions = ClassPredictions | MultilabelPredictions | RegressionPredictions


def logits_of(probs: Tensor) -> Tensor:
    """log p, for probabilities (n, K) whose rows sum to one; log of the smallest normal number where p is zero.

    Raises:
        DataError: a row does not sum to one, or holds a number outside [0, 1].

    >>> logits_of(torch.tensor([[0.5, 0.5]])).softmax(1).tolist()
    [[0.5, 0.5]]
    """
    if probs.numel():
        _check_probs(probs, "the predictions")
    return _logs(probs)


def class_logits(outputs: Tensor) -> Tensor:
    """(n, K): logits as they are, but a single logit z, (n, 1), of the second of two classes as the columns 0, z."""
    return torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs


def _logs(probs: Tensor) -> Tensor:
    return probs.double().clamp(min=torch.finfo(torch.float64).tiny).log_()


def _check_probs(probs: Tensor, name: str) -> None:
    """Raise DataError unless every row holds numbers in [0, 1] that sum to one."""
    _check_finite(probs, name)
    if probs.min() < 0 or probs.max() > 1 + SUM_TOLERANCE:
        raise DataError(
            f"probabilities run from {probs.min().item():.4g} to {probs.max().item():.4g}, expected 0 to 1; "
            "if these are logits, pass them as logits (--logits)."
        )
    off = _by_rows(probs, lambda rows: (rows.double().sum(1) - 1).abs())
    if off.max() > SUM_TOLERANCE:
        row, far = int(off.argmax()), int((off > SUM_TOLERANCE).sum())
        raise DataError(
            f"probabilities must sum to one in every row, but row {row} sums to {probs[row].sum().item():.4g} "
            f"({far} of {len(off)} rows are off by more than {SUM_TOLERANCE:g}); if these are logits, pass "
            "them as logits (--logits)."
        )


def _same_rows(predictions: Tensor, truth: Tensor, name: str) -> None:
    if len(predictions) != len(truth):
        raise ShapeError(f"{len(predictions)} predictions but {len(truth)} {name}; expected one for each row.")
    if len(truth) == 0:
        raise ShapeError("there are no rows, expected at least one.")


def _check_finite(values: Tensor, name: str) -> None:
    """Raise DataError where a row holds a number that is not finite."""
    bad = _by_rows(values, lambda rows: ~rows.isfinite().reshape(len(rows), max(1, rows[:1].numel())).all(1))
    if bad.any():
        raise DataError(
            f"{name} hold NaN or infinity in {int(bad.sum())} of {len(bad)} rows, first in row "
            f"{int(bad.int().argmax())}; drop these rows or repair the model."
        )


def _by_rows(values: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """(n,): a function of rows, for all rows, a few at a time."""
    return torch.cat([function(values[rows]) for rows in row_slices(values)])
