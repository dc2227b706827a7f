"""What several seeds say together: means with intervals, and paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % t-interval; low = high = mean for a single seed, `count` says so."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """mean +- t sd / sqrt(n), t the quantile of Student's distribution with n - 1 degrees of freedom."""
    array = np.asarray(values, dtype=float)
    mean, count = float(array.mean()), len(array)
    if count < 2:
        return Interval(mean, mean, mean, count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * array.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


def paired_difference(values: Sequence[float], reference: Sequence[float], level: float = 0.95) -> Interval:
    """The interval of values - reference, seed by seed: what runs of a seed share cancels out."""
    return interval([value - other for value, other in zip(values, reference, strict=True)], level)
