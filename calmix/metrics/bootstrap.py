"""Confidence intervals for calibration errors, by the test-inversion bootstrap.

n  rows
B  bins
R  resamples
"""

import numpy as np
import torch
from torch import Tensor

from calmix.errors import SettingError
from calmix.metrics.bins import check_bins, unit_pairs, width_index
from calmix.metrics.row_scores import score_rows
from calmix.metrics.tensors import Array

FINE = 16  # rows of a bin whose confidence - correct agrees to 1 / (FINE B) are resampled as one kind


def ece_interval(
    probs: Array, labels: Array, bins: int = 15, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """A confidence interval (low, high) for the `ece` of infinitely many such rows in the same bins.

    ECE is biased upwards: with few rows even a calibrated predictor shows an error, and a resample of the rows shows a
    larger one. Quantiles of resampled errors (the percentile bootstrap) therefore lie too high and never include 0. The
    test-inversion bootstrap includes every true error under which the observed `ece` is not an extreme value:

        d_b    = 1/n sum of (confidence - correct) over bin b, so that ece = sum_b |d_b|
        e_b    = its error of sampling, from R resamples of the rows; s_b its standard deviation
        g_b(t) = d_b moved by t s_b away from zero, or towards zero and no further
        low    = sum_b |g_b(t)| at the t where the observed ece is the (1 + level) / 2 quantile of sum_b |g_b(t) + e_b|
        high   = the same, where it is the (1 - level) / 2 quantile

    and 0 if no t is low enough.

    Source: Carpenter, Test Inversion Bootstrap Confidence Intervals, JRSS B 1999; Carpenter and Bithell, Bootstrap
    Confidence Intervals: When, Which, What?, Statistics in Medicine 2000. The family of true errors g(t) is ours.
    Deviations: e_b does not depend on t, so the rows are resampled once. Each bin that holds rows adds one calibrated
    row of its mean confidence to the resampling, else a bin whose few rows agree would have s_b = 0. For `high`, an ece
    below the median of sum_b |e_b|, the typical ece of a calibrated predictor, is replaced by that median.

    The predictor is fixed: the interval is about the choice of test rows, not about training again. With a hundred
    rows or more it covered the true value in a share of at least about `level` of the runs, in every simulation tried;
    with twenty very confident rows, in three of four.

    Args:
        probs: (n, K).
        labels: (n,), class ids.
        level: the probability with which the interval should cover the true value.
        resamples: R.
        seed: of the resampling.

    Raises:
        ShapeError, DataError: as every metric of calmix.metrics.classification.
        SettingError: `bins` or `resamples` is less than 1, or `level` is outside (0, 1).

    >>> low, high = ece_interval(torch.tensor([[0.75, 0.25]]).repeat(400, 1), torch.arange(400) % 4 // 3)
    >>> low, high < 0.06  # 300 of 400 rows are right
    (0.0, True)
    """
    rows = score_rows(probs, labels)
    return error_interval(rows.confidence, rows.correct, bins, level, resamples, seed)


def error_interval(
    claimed: Array, observed: Array, bins: int = 15, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """`ece_interval` for `claimed` (n,) in [0, 1] and `observed` (n,), 0 or 1, for example of P(y = 1).

    Raises:
        ShapeError, DataError: as `equal_width`.
        SettingError: `bins` or `resamples` is less than 1, or `level` is outside (0, 1).
    """
    check_bins(bins)
    if not (resamples >= 1 and 0 < level < 1):
        raise SettingError(
            f"resamples is {resamples} and level {level}, expected at least 1 and a share such as 0.95, less than 1."
        )
    claimed, observed = unit_pairs(claimed, observed)
    index = width_index(claimed, bins)  # (n,)
    gaps = index.bincount(claimed - observed, bins) / len(claimed)  # (B,), d
    errors = _errors(claimed, observed, index, bins, resamples, seed)  # (R, B), e
    deviation = errors.std(0, correction=0)  # (B,), s
    away = torch.where(gaps < 0, -1.0, 1.0)

    def moved(t: float) -> Tensor:
        return (gaps.abs() + t * deviation).clamp(min=0)  # (B,), |g|

    def size_at(share: float, ece: float) -> float:
        """The true error under which that share of resamples would show less than `ece`, by bisection."""

        def shown(t: float) -> float:
            return float(((away * moved(t) + errors).abs().sum(1) < ece).double().mean())

        none = -float((gaps.abs() / deviation.where(deviation > 0, 1)).max())  # where moved(t) has become 0
        low, high = none, 1.0
        while shown(high) > share and high < 1e6:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if shown(middle) > share else (low, middle)
        return float(moved(low).sum().clamp(max=1))

    ece = float(gaps.abs().sum())
    typical = float(errors.abs().sum(1).median())  # of a calibrated predictor
    return size_at((1 + level) / 2, ece), size_at((1 - level) / 2, max(ece, typical))


def _errors(claimed: Tensor, observed: Tensor, index: Tensor, bins: int, resamples: int, seed: int) -> Tensor:
    """(R, B): how far the mean of each resample's claimed - observed, by bin, is from that of all rows.

    Rows of one kind, the same bin and almost the same claimed - observed, are drawn together: one number a kind.
    """
    lender = index.unique()  # (b,), bins that hold rows
    lent = (index.bincount(claimed) / index.bincount().clamp(min=1))[lender]  # (b,), wrong with a share of 1 - lent
    gap = torch.cat([claimed - observed, lent, lent - 1])  # (m,), rows and what is lent
    weight = torch.cat([torch.ones_like(claimed), 1 - lent, lent])
    index = torch.cat([index, lender, lender])
    parts = 2 * FINE * bins + 1  # of [-1, 1]
    kind, inverse = (index * parts + ((gap + 1) * FINE * bins).long()).unique(return_inverse=True)  # (k,) and (m,)
    rows = inverse.bincount(weight)  # (k,)
    mean = inverse.bincount(weight * gap) / rows.clamp(min=torch.finfo(torch.float64).tiny)
    share = rows / rows.sum()

    drawn = np.random.default_rng(seed).multinomial(len(claimed), share.numpy(), size=resamples)  # (R, k)
    error = (torch.from_numpy(drawn).double() / len(claimed) - share) * mean
    return torch.zeros(resamples, bins, dtype=torch.float64).index_add_(1, kind // parts, error)
