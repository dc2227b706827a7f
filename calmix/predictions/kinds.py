"""What a trained model said of rows whose truth is known.

n  rows
K  classes, or labels of a multilabel model
d  targets of a row
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.probabilities import SUM_TOLERANCE


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Class predictions. Probabilities p are stored as the logits log p; softmax gives p back.

    Raises:
        ShapeError: shapes that are not (n, K), K at least 2, and (n,), of at least one row.
        DataError: NaN or infinity, or a label outside 0 .. K - 1.
    """

    logits: Tensor  # (n, K)
    labels: Tensor  # (n,) int64
    classes: tuple[str, ...] = ()  # K names, or none

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.logits.shape[1] < 2:
            raise ShapeError(f"predictions have shape {tuple(self.logits.shape)}, expected (rows, classes).")
        _same_rows(self.logits, self.labels, "labels")
        _finite(self.logits, "the predictions")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= self.logits.shape[1]:
            raise DataError(
                f"labels run from {low} to {high}, expected 0 to {self.logits.shape[1] - 1}, the "
                f"{self.logits.shape[1]} classes of the predictions; number them as the predictions are."
            )

    @property
    def probs(self) -> Tensor:
        """(n, K) float64."""
        return self.logits.double().softmax(1)

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
        _finite(self.probs, "the predictions")
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
                _finite(values, name)
        _finite(self.mean, "mean")
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
    if probs.numel() == 0:
        return probs
    _finite(probs, "the predictions")
    if probs.min() < 0 or probs.max() > 1 + SUM_TOLERANCE:
        raise DataError(
            f"probabilities run from {probs.min().item():.4g} to {probs.max().item():.4g}, expected 0 to 1; "
            "if these are logits, pass them as logits (--logits)."
        )
    off = (probs.double().sum(1) - 1).abs()
    if off.max() > SUM_TOLERANCE:
        row, far = int(off.argmax()), int((off > SUM_TOLERANCE).sum())
        raise DataError(
            f"probabilities must sum to one in every row, but row {row} sums to {probs[row].sum().item():.4g} "
            f"({far} of {len(off)} rows are off by more than {SUM_TOLERANCE:g}); if these are logits, pass "
            "them as logits (--logits)."
        )
    return probs.double().clamp(min=torch.finfo(torch.float64).tiny).log()


def class_logits(outputs: Tensor) -> Tensor:
    """(n, K): logits as they are, but a single logit z, (n, 1), of the second of two classes as the columns 0, z."""
    return torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs


def _same_rows(predictions: Tensor, truth: Tensor, name: str) -> None:
    if len(predictions) != len(truth):
        raise ShapeError(f"{len(predictions)} predictions but {len(truth)} {name}; expected one for each row.")
    if len(truth) == 0:
        raise ShapeError("there are no rows, expected at least one.")


def _finite(values: Tensor, name: str) -> None:
    bad = (~values.isfinite()).reshape(len(values), max(1, values[:1].numel())).any(1)
    if bad.any():
        raise DataError(
            f"{name} hold NaN or infinity in {int(bad.sum())} of {len(bad)} rows, first in row "
            f"{int(bad.int().argmax())}; drop these rows or repair the model."
        )
