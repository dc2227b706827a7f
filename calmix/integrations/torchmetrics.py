"""torchmetrics: the metrics of calibration that it lacks, as `Metric` subclasses, the same over ranks.

n rows, K classes, B bins; the numbers are those of `calmix.metrics` on all rows, to rounding
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from calmix.errors import DataError, SettingError, not_installed
from calmix.metrics.bins import check_bins, equal_mass, equal_width
from calmix.metrics.gaussian import crps, ence, gaussian_rows, quantile_calibration_error, uce
from calmix.metrics.row_scores import ClassBins, class_bins, score_rows
from calmix.metrics.selective import risk_curve
from calmix.metrics.smooth import smooth_error

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ModuleNotFoundError as _error:
    raise not_installed(__name__, _error, "torchmetrics") from None

__all__ = [
    "AURC",
    "ENCE",
    "UCE",
    "AdaptiveECE",
    "ClasswiseECE",
    "DebiasedECE",
    "GaussianCRPS",
    "QuantileCalibrationError",
    "SmoothECE",
]


class _OfAllRows(Metric):
    """A number of columns (n,) that are kept of all rows, and gathered from all ranks."""

    is_differentiable: bool | None = False
    higher_is_better: bool | None = False
    full_state_update: bool | None = False
    columns: tuple[str, ...] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in self.columns:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def _keep(self, *values: Tensor) -> None:
        for name, column in zip(self.columns, values, strict=True):
            getattr(self, name).append(column.detach().double().flatten().to(self.device))

    def _number(self, function: Callable[..., float], *options: int) -> Tensor:
        """float64, as every metric of calmix is computed."""
        kept = [getattr(self, name) for name in self.columns]
        if not len(kept[0]):  # a list, or, once gathered, a tensor
            raise SettingError(f"{type(self).__name__} has seen no rows; call update before compute.")
        number = function(*(dim_zero_cat(column).cpu() for column in kept), *options)
        return torch.tensor(number, dtype=torch.float64, device=self.device)


# --------------------------------------------------------------------------------------------------- of classes


class _OfConfidence(_OfAllRows):
    """Of each row two numbers are kept, whatever K: its largest probability, and whether that class is the label."""

    columns: tuple[str, ...] = ("confidence", "correct")

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """probs: (n, K), rows that sum to one. labels: (n,) class ids. Raises as every metric of calmix.metrics."""
        rows = score_rows(probs, labels)
        self._keep(rows.confidence, rows.correct)


class SmoothECE(_OfConfidence):
    """See `calmix.metrics.smooth_ece`.

    >>> metric = SmoothECE()
    >>> metric.update(torch.tensor([[0.75, 0.25]]).repeat(4, 1), torch.tensor([0, 0, 0, 1]))
    >>> round(float(metric.compute()), 4)
    0.0
    """

    def compute(self) -> Tensor:
        return self._number(smooth_error)


class AURC(_OfConfidence):
    """Area under the risk-coverage curve; see `calmix.metrics.aurc`."""

    def compute(self) -> Tensor:
        return self._number(lambda confidence, correct: risk_curve(confidence, correct).area())


class _OfBins(_OfAllRows):
    """bins: B, at least 1."""

    def __init__(self, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_bins(bins)
        self.bins = bins


class AdaptiveECE(_OfConfidence, _OfBins):
    """ECE over bins of equal mass; see `calmix.metrics.adaptive_ece`."""

    def compute(self) -> Tensor:
        return self._number(lambda *rows: equal_mass(*rows).expected_error(), self.bins)


class DebiasedECE(_OfConfidence, _OfBins):
    """ECE (of squares) less what sampling alone gives; see `calmix.metrics.debiased_ece`.

    >>> metric = DebiasedECE(bins=10)
    >>> float(metric(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])))
    0.0
    """

    def compute(self) -> Tensor:
        return self._number(lambda *rows: equal_width(*rows).debiased_error(), self.bins)


class ClasswiseECE(Metric):
    """The mean over classes of ECE of each against the rest; see `calmix.metrics.classwise_ece`.

    A table (K, B) is kept. Raises DataError in `update` where probs have another number of classes than num_classes.
    """

    is_differentiable: bool | None = False
    higher_is_better: bool | None = False
    full_state_update: bool | None = False
    count: Tensor
    claimed: Tensor
    observed: Tensor

    def __init__(self, num_classes: int, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_bins(bins)
        self.num_classes = num_classes
        self.bins = bins
        for name in ("count", "claimed", "observed"):
            empty = torch.zeros(num_classes, bins, dtype=torch.float64 if name == "claimed" else torch.int64)
            self.add_state(name, default=empty, dist_reduce_fx="sum")

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """probs: (n, K), rows that sum to one. labels: (n,) class ids. Raises as every metric of calmix.metrics."""
        table = class_bins(probs, labels, self.bins)
        if len(table.count) != self.num_classes:
            raise DataError(f"probs has {len(table.count)} classes, and num_classes is {self.num_classes}; make it so.")
        self.count += table.count.to(self.device)
        self.claimed += table.claimed.to(self.device)
        self.observed += table.observed.to(self.device)

    def compute(self) -> Tensor:
        if not self.count.any():
            raise SettingError("ClasswiseECE has seen no rows; call update before compute.")
        error = ClassBins(self.count.cpu(), self.claimed.cpu(), self.observed.cpu()).expected_error()
        return torch.tensor(error, dtype=torch.float64, device=self.device)


# ---------------------------------------------------------------------------------------- of means and deviations


class _OfGaussians(_OfAllRows):
    """Of each entry three numbers are kept."""

    columns: tuple[str, ...] = ("mean", "std", "targets")

    def update(self, mean: Tensor, std: Tensor, targets: Tensor) -> None:
        """Three of one shape, (n,) or (n, d), in the unit of the targets. Raises as every metric of calmix.metrics."""
        self._keep(*gaussian_rows(mean, std, targets))


class GaussianCRPS(_OfGaussians):
    """CRPS of normal predictions, in closed form; see `calmix.metrics.crps`."""

    def compute(self) -> Tensor:
        return self._number(crps)


class QuantileCalibrationError(_OfGaussians):
    """See `calmix.metrics.quantile_calibration_error`."""

    def compute(self) -> Tensor:
        return self._number(quantile_calibration_error)


class ENCE(_OfGaussians, _OfBins):
    """Expected normalised calibration error; see `calmix.metrics.ence`.

    >>> metric = ENCE()
    >>> float(metric(torch.zeros(2), torch.tensor([2.0, 2.0]), torch.tensor([1.0, -1.0])))
    0.5
    """

    def compute(self) -> Tensor:
        return self._number(ence, self.bins)


class UCE(_OfGaussians, _OfBins):
    """Uncertainty calibration error, in the squared unit of the targets; see `calmix.metrics.uce`."""

    def compute(self) -> Tensor:
        return self._number(uce, self.bins)
