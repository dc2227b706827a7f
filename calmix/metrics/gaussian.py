"""Metrics of predicted means and standard deviations: scores and calibration.

    n  rows
    d  outputs of a row
    S  samples of a row: stochastic passes (MC dropout) or members (ensemble)
    B  bins

Every metric takes `mean`, `std` and `targets` of one shape, (n,) or (n, d), in the unit of the targets, as tensors or
numpy arrays, computes in float64 on the CPU and returns a plain number. The entries of several outputs are pooled, so
they should have one scale. The predicted distribution is the normal N(mean, std^2). If you have variances, samples or
the members of an ensemble, `gaussian_of_variance`, `gaussian_of_samples` and `gaussian_of_members` give mean and std.
Each metric raises

    ShapeError    the shapes differ, are neither (n,) nor (n, d), or there are no entries
    DataError     an entry is NaN or infinite, or a standard deviation is not positive
    SettingError  `bins` or `levels` is less than 1, or `level` is not in (0, 1)
"""

import math
from typing import Self

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics.bins import Bins, check_bins, equal_mass
from calmix.metrics.tensors import Array, Collected, cpu_tensor


def gaussian_nll(mean: Array, std: Array, targets: Array) -> float:
    """Mean negative log-likelihood of N(mean, std^2): 1/n sum_i (z_i^2 + log(2 pi std_i^2)) / 2, z = (t - mean) / std.

    In nats. It is of a density, so it may be negative, and changes by log c if the unit of the targets is c times
    smaller.

    >>> round(gaussian_nll(torch.zeros(2), torch.ones(2), torch.tensor([1.0, -1.0])), 4)
    1.4189
    """
    mean, std, targets = gaussian_rows(mean, std, targets)
    z = (targets - mean) / std
    return float((z.square() / 2 + std.log()).mean() + math.log(2 * math.pi) / 2)


def crps(mean: Array, std: Array, targets: Array) -> float:
    """Continuous ranked probability score of N(mean, std^2), in the unit of the targets; at best 0.

    The mean of std (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (t - mean) / std: the integral over x of
    (P(target <= x) - [t <= x])^2. For std -> 0 it is the mean absolute error.
    Source: Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 2007, equation 21.

    >>> round(crps(torch.zeros(1), torch.ones(1), torch.zeros(1)), 4)  # (sqrt(2) - 1) / sqrt(pi)
    0.2337
    """
    mean, std, targets = gaussian_rows(mean, std, targets)
    z = (targets - mean) / std
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    return float((std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))).mean())


def variance_reliability(mean: Array, std: Array, targets: Array, bins: int = 15) -> Bins:
    """Predicted variance (claimed) against squared error (observed) in B bins of equal mass.

    >>> variance_reliability(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), bins=2).observed
    tensor([1., 9.], dtype=torch.float64)
    """
    mean, std, targets = (values.flatten() for values in gaussian_rows(mean, std, targets))
    return equal_mass(std.square(), (targets - mean).square(), bins)


def uce(mean: Array, std: Array, targets: Array, bins: int = 15) -> float:
    """Uncertainty calibration error, in the squared unit of the targets: sum_b n_b / n |mean variance_b - MSE_b|.

    Source: Laves et al., Well-Calibrated Regression Uncertainty in Medical Imaging, MIDL 2020. Their bins are of equal
    width between the smallest and the largest variance, these of equal mass: one huge variance would otherwise leave
    all other rows in one bin.

    >>> uce(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), bins=2)  # 1 - 1, 4 - 9
    2.5
    """
    return variance_reliability(mean, std, targets, bins).expected_error()


def ence(mean: Array, std: Array, targets: Array, bins: int = 15) -> float:
    """Expected normalised calibration error, without unit: mean over bins of |RMV_b - RMSE_b| / RMV_b.

    RMV is the root of the mean variance. 0.1 means that the errors differ from the predicted ones by a tenth. By
    sampling alone a calibrated predictor has about sqrt(B / (pi n)), 0.069 at n = 1000: compare only at the same n.
    Source: Levi et al., Evaluating and Calibrating Uncertainty Prediction in Regression Tasks, Sensors 2022. With fewer
    rows than bins the mean is over the bins that hold one.

    >>> ence(torch.zeros(2), torch.tensor([2.0, 2.0]), torch.tensor([1.0, -1.0]))
    0.5
    """
    variances = variance_reliability(mean, std, targets, bins)
    held = variances.count > 0  # (B,)
    rmv, rmse = variances.claimed[held].sqrt(), variances.observed[held].sqrt()
    return float(((rmv - rmse).abs() / rmv).mean())


def quantile_reliability(mean: Array, std: Array, targets: Array, levels: int = 99) -> Bins:
    """How often targets lie below the predicted quantile (observed) against its level (claimed).

    The levels are 1 / (L + 1), ..., L / (L + 1); each is measured on all entries. A curve through (1/2, 1/2) that is
    flatter than the diagonal means that the standard deviations are too small, a steeper one that they are too large.
    Source: Kuleshov et al., Accurate Uncertainties for Deep Learning Using Calibrated Regression, ICML 2018.

    >>> quantile_reliability(torch.zeros(2), torch.ones(2), torch.tensor([-1.0, 0.5]), levels=3).observed
    tensor([0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """
    ranks = _ranks(mean, std, targets)
    claimed = _levels(levels)
    observed = torch.searchsorted(ranks, claimed, right=True).double() / len(ranks)  # (L,)
    return Bins(torch.full((levels,), len(ranks)), claimed, observed)


def quantile_calibration_error(mean: Array, std: Array, targets: Array) -> float:
    """Area between the curve of `quantile_reliability` and the diagonal, in [0, 1/2], exact and without levels.

    The integral over p of |share of targets below the predicted p-quantile - p|, which is the Wasserstein distance of
    the ranks Phi((t - mean) / std) to the uniform distribution. A calibrated predictor gives about 0.31 / sqrt(n).
    Rows with too small and rows with too large standard deviations can cancel here (in `ence` they do not).

    Source: Chung et al., Uncertainty Toolbox, 2021 (arXiv 2109.10254): their miscalibration_area in the limit of many
    levels, with prop_type="quantile". It is not their default, nor the QCE of netcal that Similarity Kernel Mixup's
    code reports: those count targets within central intervals, whichever side of the mean they are on.

    >>> quantile_calibration_error(torch.zeros(1), torch.ones(1), torch.zeros(1))  # one rank of 1/2: a step
    0.25
    """
    ranks = _ranks(mean, std, targets)  # (n,) rising
    edges = torch.arange(len(ranks) + 1, dtype=torch.float64) / len(ranks)
    # The i-th rank stays for levels between its edges; x |x| / 2 is the antiderivative of |x|.
    low, high = ranks - edges[:-1], ranks - edges[1:]
    return float((low * low.abs() - high * high.abs()).sum() / 2)


def pinball(mean: Array, std: Array, targets: Array, levels: int = 99) -> float:
    """Pinball loss of the predicted quantiles, averaged over levels 1 / (L + 1), ..., L / (L + 1); at best 0.

    For the quantile q of level p: max(p (t - q), (p - 1) (t - q)), in the unit of the targets. Half the `crps` in the
    limit of many levels.

    >>> pinball(torch.zeros(2), torch.ones(2), torch.tensor([2.0, -2.0]), levels=1)  # the median's: half the MAE
    1.0
    """
    mean, std, targets = gaussian_rows(mean, std, targets)
    total = 0.0
    for level in _levels(levels):  # one at a time, so that no (n, L) is held
        above = targets - mean - std * ndtri(level)
        total += torch.maximum(level * above, (level - 1) * above).mean().item()
    return total / levels


def interval_coverage(mean: Array, std: Array, targets: Array, level: float = 0.9) -> float:
    """Share of targets within the central interval of probability `level`, in [0, 1]; `level` if calibrated.

    >>> interval_coverage(torch.zeros(2), torch.ones(2), torch.tensor([1.6, 1.7]))  # 1.645 to either side
    0.5
    """
    mean, std, targets = gaussian_rows(mean, std, targets)
    return float(((targets - mean).abs() <= _half_width(level) * std).double().mean())


def interval_width(std: Array, level: float = 0.9) -> float:
    """Mean width of the central interval of probability `level`, in the unit of the targets.

    >>> round(interval_width(torch.tensor([1.0, 3.0]), level=0.95), 4)
    7.8399
    """
    _, std, _ = gaussian_rows(std, std, std)
    return float(2 * _half_width(level) * std.mean())


def gaussian_sharpness(std: Array) -> float:
    """Root of the mean variance, in the unit of the targets. Small is sharp, and good only if it is also calibrated.

    Source: Kuleshov et al. 2018 (there without the root), and uncertainty-toolbox.

    >>> gaussian_sharpness(torch.tensor([1.0, 7.0]))
    5.0
    """
    _, std, _ = gaussian_rows(std, std, std)
    return float(std.square().mean().sqrt())


def gaussian_metrics(mean: Array, std: Array, targets: Array, bins: int = 15) -> dict[str, float]:
    """All of the numbers above, by name; coverage and width at 90 %.

    >>> list(gaussian_metrics(torch.zeros(2), torch.ones(2), torch.tensor([1.0, -1.0])))[:4]
    ['nll', 'crps', 'uce', 'ence']
    """
    return {
        "nll": gaussian_nll(mean, std, targets),
        "crps": crps(mean, std, targets),
        "uce": uce(mean, std, targets, bins),
        "ence": ence(mean, std, targets, bins),
        "quantile_calibration_error": quantile_calibration_error(mean, std, targets),
        "pinball": pinball(mean, std, targets),
        "coverage_90": interval_coverage(mean, std, targets, 0.9),
        "width_90": interval_width(std, 0.9),
        "gaussian_sharpness": gaussian_sharpness(std),
    }


class GaussianMetrics:
    """`gaussian_metrics` of rows that come in batches; of each entry its three numbers are kept.

    >>> metrics = GaussianMetrics()
    >>> for target in (1.0, -1.0):
    ...     metrics = metrics.update(torch.zeros(1), torch.ones(1), torch.tensor([target]))
    >>> metrics.compute()["ence"]
    0.0
    """

    def __init__(self, bins: int = 15) -> None:
        check_bins(bins)
        self.bins = bins
        self._rows = Collected()

    def update(self, mean: Array, std: Array, targets: Array) -> Self:
        """Add a batch. A batch that raises an error is not added.

        Raises:
            ShapeError, DataError: as every metric, or d is not that of earlier batches.
        """
        self._rows.add(*gaussian_rows(mean, std, targets))
        return self

    def compute(self) -> dict[str, float]:
        """All metrics of all rows so far, by name.

        Raises:
            SettingError: there was no batch yet.
        """
        mean, std, targets = self._rows.concat()
        return gaussian_metrics(mean, std, targets, self.bins)


def gaussian_of_variance(mean: Array, variance: Array) -> tuple[Tensor, Tensor]:
    """(mean, std) of a mean-and-variance head, as float64 on the CPU. Of a head's log variance s, pass s.exp().

    Raises:
        ShapeError: the two differ in shape.
        DataError: a variance is negative, or a number is not finite.

    >>> gaussian_of_variance(torch.tensor([1.0]), torch.tensor([4.0]))
    (tensor([1.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """
    mean, variance = _moments(mean, variance)
    return mean, variance.sqrt()


def gaussian_of_members(means: Array, variances: Array) -> tuple[Tensor, Tensor]:
    """(mean, std) of the equal-weight mixture of S predicted normals, (n,) or (n, d) float64 on the CPU.

    mean = 1/S sum_s mean_s, std^2 = 1/S sum_s variance_s + 1/S sum_s (mean_s - mean)^2.
    Source: Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation Using Deep Ensembles,
    NeurIPS 2017.

    Args:
        means: (S, n) or (S, n, d), one prediction of each member, or of each pass with dropout.
        variances: of the same shape.

    Raises:
        ShapeError: the shapes differ or are others.
        DataError: a variance is negative, or a number is not finite.

    >>> gaussian_of_members(torch.tensor([[0.0], [6.0]]), torch.tensor([[15.0], [17.0]]))
    (tensor([3.], dtype=torch.float64), tensor([5.], dtype=torch.float64))
    """
    means, variances = _moments(means, variances)
    if means.ndim not in (2, 3) or means.numel() == 0:
        raise ShapeError(
            f"samples have shape {tuple(means.shape)}, expected (S, n) or (S, n, d); "
            "stack the passes or members as the first dimension."
        )
    return means.mean(0), (variances.mean(0) + means.var(0, correction=0)).sqrt()


def gaussian_of_samples(samples: Array, noise_std: float = 0.0) -> tuple[Tensor, Tensor]:
    """(mean, std) of S point predictions of each row, (n,) or (n, d) float64 on the CPU.

    std^2 = noise_std^2 + 1/S sum_s (sample_s - mean)^2. The spread of the samples is the uncertainty about the
    function; `noise_std` is the standard deviation of the targets around the true function (in MC dropout
    1 / sqrt(tau)). Without it intervals are too narrow.
    Source: Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016.

    Raises:
        ShapeError: `samples` is neither (S, n) nor (S, n, d).
        DataError: a number is not finite.
        SettingError: `noise_std` is negative.

    >>> gaussian_of_samples(torch.tensor([[0.0], [6.0]]), noise_std=4.0)
    (tensor([3.], dtype=torch.float64), tensor([5.], dtype=torch.float64))
    """
    if not 0 <= noise_std < math.inf:
        raise SettingError(f"noise_std is {noise_std}, expected at least 0, in the unit of the targets.")
    samples = cpu_tensor(samples).double()
    return gaussian_of_members(samples, torch.full_like(samples, noise_std**2))


def _ranks(mean: Array, std: Array, targets: Array) -> Tensor:
    """(n d,) float64, rising: the level of the predicted quantile at which each target lies."""
    mean, std, targets = gaussian_rows(mean, std, targets)
    return ndtr((targets - mean) / std).flatten().sort().values


def _levels(levels: int) -> Tensor:
    """(L,): 1 / (L + 1), ..., L / (L + 1)."""
    if levels < 1:
        raise SettingError(f"levels is {levels}, expected at least 1.")
    return torch.arange(1, levels + 1, dtype=torch.float64) / (levels + 1)


def _half_width(level: float) -> float:
    """Half the width of the central interval of probability `level`, in standard deviations."""
    if not 0 < level < 1:
        raise SettingError(f"level is {level}, expected a probability in (0, 1), such as 0.9.")
    return ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64)).item()


def _moments(means: Array, variances: Array) -> tuple[Tensor, Tensor]:
    means, variances = cpu_tensor(means).double(), cpu_tensor(variances).double()
    if means.shape != variances.shape:
        raise ShapeError(
            f"mean has shape {tuple(means.shape)} and variance {tuple(variances.shape)}, "
            "expected one shape; squeeze or unsqueeze one of them."
        )
    if not (means.isfinite().all() and variances.isfinite().all()):
        raise DataError("mean or variance holds NaN or infinity; drop these rows or repair the model.")
    if (variances < 0).any():
        low = variances.min().item()
        raise DataError(f"variance is as low as {low:.4g}, expected at least 0; of a log variance s, pass s.exp().")
    return means, variances


def gaussian_rows(mean: Array, std: Array, targets: Array) -> tuple[Tensor, Tensor, Tensor]:
    """The three as float64 on the CPU; raises as every metric of this file."""
    mean, std, targets = (cpu_tensor(values).double() for values in (mean, std, targets))
    if not mean.shape == std.shape == targets.shape or mean.ndim not in (1, 2) or mean.numel() == 0:
        raise ShapeError(
            f"mean, std and targets have shapes {tuple(mean.shape)}, {tuple(std.shape)} and {tuple(targets.shape)}, "
            "expected (n,) or (n, d) for all three; squeeze or unsqueeze the odd one out, and pass at least one row."
        )
    if not (mean.isfinite().all() and std.isfinite().all() and targets.isfinite().all()):
        raise DataError("mean, std or targets hold NaN or infinity; drop these rows or repair the model.")
    if std.min() <= 0:
        raise DataError(
            f"std is as low as {std.min().item():.4g}, expected above 0; "
            "pass standard deviations, and with samples that agree add a noise_std (gaussian_of_samples)."
        )
    return mean, std, targets
