"""Predictions for the calibration split, as types of their own, on which all corrections are fitted.

    n  rows
    K  classes
    d  outputs of a row

`fit_temperature` and the other `fit_` functions take nothing else, so that nobody passes them the test split, a pair of
tensors, by mistake.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError

Array = Tensor | np.ndarray


@dataclass(frozen=True, eq=False)
class CalibrationLogits:
    """Logits and labels of the calibration split, which must be neither the validation nor the test split.

    Takes tensors or numpy arrays, and keeps detached copies as float64 and int64 on the CPU.

    Raises:
        ShapeError: `logits` is not (n, K) with n at least 1 and K at least 2, or `labels` is not (n,) or not integer.
        DataError: a logit is not finite, or a label is outside 0 .. K - 1.

    >>> CalibrationLogits(torch.tensor([[4.0, 0.0], [1.0, 2.0]]), torch.tensor([0, 1])).labels
    tensor([0, 1])
    """

    logits: Tensor  # (n, K) float64. A single logit z of a binary model becomes the two columns (0, z).
    labels: Tensor  # (n,) int64

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        logits, labels = _tensor(self.logits), _tensor(self.labels)
        if logits.ndim != 2 or logits.shape[1] < 2 or len(logits) == 0:
            raise ShapeError(
                f"logits has shape {tuple(logits.shape)}, expected (n, K) with at least one row and two classes; "
                "a single logit z per row becomes the two columns (0, z)."
            )
        if labels.shape != logits.shape[:1] or labels.is_floating_point():
            raise ShapeError(
                f"labels is {labels.dtype} of shape {tuple(labels.shape)}, expected integers ({len(logits)},); "
                "pass one class id for each row of logits."
            )
        classes = logits.shape[1]
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(
                f"labels span {labels.min().item()} to {labels.max().item()}, expected 0 to {classes - 1}; "
                "number the classes as the columns of logits are numbered."
            )
        if not logits.isfinite().all():
            raise DataError("logits hold NaN or infinity; of probabilities, clip before taking the logarithm.")
        object.__setattr__(self, "logits", logits.double())
        object.__setattr__(self, "labels", labels.long())


@dataclass(frozen=True, eq=False)
class CalibrationGaussian:
    """Predicted means and standard deviations of the calibration split, and its targets; see `CalibrationLogits`.

    Raises:
        ShapeError: the three shapes differ or are neither (n,) nor (n, d) with at least one row.
        DataError: a number is not finite, or a standard deviation is not positive.

    >>> CalibrationGaussian(torch.zeros(2), torch.ones(2), torch.tensor([1.0, -1.0])).std
    tensor([1., 1.], dtype=torch.float64)
    """

    mean: Tensor  # (n,) or (n, d) float64, in the unit of the targets
    std: Tensor  # as mean, positive
    targets: Tensor  # as mean

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        mean, std, targets = (_tensor(values) for values in (self.mean, self.std, self.targets))
        if not mean.shape == std.shape == targets.shape or mean.ndim not in (1, 2) or mean.numel() == 0:
            raise ShapeError(
                f"mean, std and targets have shapes {tuple(mean.shape)}, {tuple(std.shape)} and "
                f"{tuple(targets.shape)}, expected (n,) or (n, d) for all three; squeeze or unsqueeze the odd one out."
            )
        if not (mean.isfinite().all() and std.isfinite().all() and targets.isfinite().all()):
            raise DataError("mean, std or targets hold NaN or infinity; drop these rows or repair the model.")
        if std.min() <= 0:
            raise DataError(
                f"std is as small as {std.min().item():.4g}, expected above 0; of a variance, take the root."
            )
        for name, values in (("mean", mean), ("std", std), ("targets", targets)):
            object.__setattr__(self, name, values.double())


Kind = TypeVar("Kind", CalibrationLogits, CalibrationGaussian)


def required(calibration: object, kind: type[Kind]) -> Kind:
    """`calibration` itself. Raises SettingError if it is not of the kind that a correction is fitted on."""
    if isinstance(calibration, kind):
        return calibration
    fields = ", ".join(kind.__dataclass_fields__)
    raise SettingError(
        f"a correction is fitted on {kind.__name__}, got {type(calibration).__name__}; "
        f"pass {kind.__name__}({fields}) of the calibration split, never of the test split."
    )


def folds_of(calibration: CalibrationLogits, folds: int) -> Iterator[tuple[CalibrationLogits, CalibrationLogits]]:
    """The rows without a random fold, and that fold, for each fold in turn; nothing for a single row.

    With fewer rows than folds, each row is a fold. The folds depend on n alone.
    """
    logits, labels = calibration.logits, calibration.labels
    n = len(labels)
    fold = torch.randperm(n, generator=torch.Generator().manual_seed(0)) % folds  # (n,)
    for left_out in (fold == k for k in range(min(folds, n) if n > 1 else 0)):
        rest = CalibrationLogits(logits[~left_out], labels[~left_out])
        yield rest, CalibrationLogits(logits[left_out], labels[left_out])


def _tensor(values: Array) -> Tensor:
    """A detached copy on the CPU: autograd cannot save inference tensors, and users may change their own."""
    return values.detach().to("cpu", copy=True) if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
