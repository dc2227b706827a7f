"""Errors of point predictions.

    n  rows
    d  outputs of a row

Every function takes `predictions` and `targets` of one shape, (n,) or (n, d), as tensors or numpy arrays,
computes in float64 on the CPU and returns a plain number. Each raises

    ShapeError  the shapes differ, are neither (n,) nor (n, d), or there are no entries
    DataError   an entry is NaN or infinite
"""

from typing import Self

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.tensors import Array, Collected, cpu_tensor


def rmse(predictions: Array, targets: Array) -> float:
    """Root mean squared error over all entries, in the unit of the targets.

    scikit-learn averages the roots of the d outputs instead; for d = 1 the two agree.

    >>> rmse(torch.tensor([1.0, 2.0, 3.0, 5.0]), torch.tensor([1.0, 2.0, 3.0, 3.0]))
    1.0
    """
    predictions, targets = _value_rows(predictions, targets)
    return float((predictions - targets).square().mean().sqrt())


def mae(predictions: Array, targets: Array) -> float:
    """Mean absolute error over all entries, in the unit of the targets.

    >>> mae(torch.tensor([1.0, 2.0, 3.0, 5.0]), torch.tensor([1.0, 2.0, 3.0, 3.0]))
    0.5
    """
    predictions, targets = _value_rows(predictions, targets)
    return float((predictions - targets).abs().mean())


def mape(predictions: Array, targets: Array) -> float:
    """Mean absolute percentage error as a share, mean |t - p| / |t| over all entries: 0.1 is ten per cent.

    As in scikit-learn, a target of zero counts as 2.2e-16, so that a single one makes the number huge: use another
    metric for such targets.

    >>> mape(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 4.0]))
    0.125
    """
    predictions, targets = _value_rows(predictions, targets)
    size = targets.abs().clamp(min=torch.finfo(torch.float64).eps)
    return float(((predictions - targets).abs() / size).mean())


def r2(predictions: Array, targets: Array) -> float:
    """Coefficient of determination 1 - sum (t - p)^2 / sum (t - mean t)^2, averaged over the d outputs.

    At most 1; predicting the mean gives 0. As in scikit-learn, an output whose targets are all equal
    scores 1 if predicted perfectly and 0 otherwise; so does a single row.

    >>> r2(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 3.0]))
    0.5
    """
    predictions, targets = _value_rows(predictions, targets)
    residual = (targets - predictions).square().sum(0)  # (d,) or ()
    shifted = targets - targets[0]  # a constant target then has a spread of exactly zero
    spread = (shifted - shifted.mean(0)).square().sum(0)
    score = torch.where(spread == 0, (residual == 0).double(), 1 - residual / spread)
    return float(score.mean())


def regression_metrics(predictions: Array, targets: Array) -> dict[str, float]:
    """All of the numbers above, by name.

    >>> regression_metrics(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]))
    {'rmse': 0.0, 'mae': 0.0, 'mape': 0.0, 'r2': 1.0}
    """
    return {metric.__name__: metric(predictions, targets) for metric in (rmse, mae, mape, r2)}


class RegressionMetrics:
    """`regression_metrics` of rows that come in batches; of each entry its two numbers are kept.

    >>> metrics = RegressionMetrics().update(torch.tensor([1.0]), torch.tensor([2.0]))
    >>> metrics.update(torch.tensor([3.0]), torch.tensor([3.0])).compute()["mae"]
    0.5
    """

    def __init__(self) -> None:
        self._rows = Collected()

    def update(self, predictions: Array, targets: Array) -> Self:
        """Add a batch. A batch that raises an error is not added.

        Raises:
            ShapeError, DataError: as every metric, or d is not that of earlier batches.
        """
        self._rows.add(*_value_rows(predictions, targets))
        return self

    def compute(self) -> dict[str, float]:
        """All metrics of all rows so far, by name.

        Raises:
            SettingError: there was no batch yet.
        """
        return regression_metrics(*self._rows.concat())


def _value_rows(predictions: Array, targets: Array) -> tuple[Tensor, Tensor]:
    predictions, targets = cpu_tensor(predictions).double(), cpu_tensor(targets).double()
    if predictions.shape != targets.shape or predictions.ndim not in (1, 2) or predictions.numel() == 0:
        raise ShapeError(
            f"predictions has shape {tuple(predictions.shape)} and targets {tuple(targets.shape)}, "
            "expected (n,) or (n, d) for both; squeeze or unsqueeze one of them, and pass at least one row."
        )
    if not (predictions.isfinite().all() and targets.isfinite().all()):
        raise DataError("predictions or targets hold NaN or infinity; drop these rows or repair the model.")
    return predictions, targets
