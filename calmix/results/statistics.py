"""What several seeds say together, and what several data sets do.

    S  seeds
    N  data sets
    k  methods

Every test and distribution is scipy's. `scipy.stats` takes its time, and is loaded where it is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from calmix.errors import SettingError

Values = Sequence[float] | NDArray[np.float64]  # (S,)

LEVEL = 0.95
_RESAMPLES = 9999
MOST_RESAMPLED = 1000  # values; of more, as many resamples would need gigabytes, and the interval is Student's
_ROUNDED = 12  # decimals: differences that are equal on paper are equal here


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its interval; low = high = mean for a single seed, `count` says so."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @property
    def there(self) -> bool:
        """Whether there is an interval: not of one seed, nor of fewer equal values than a sign test tells from chance.

        Without spread, as right answers of few test rows have, Student's interval would be a point.
        """
        return self.count > 1 and (self.low != self.high or self.count >= fewest_told())

    @property
    def side(self) -> Literal[-1, 0, 1]:
        """On which side of zero the interval lies; 0 where it includes zero, or is not there."""
        if not self.there or self.low <= 0 <= self.high:
            return 0
        return 1 if self.mean > 0 else -1


@dataclass(frozen=True)
class Difference:
    """How a method's values differ from a reference's, seed by seed, where several methods are compared with it.

    t: the mean difference with Student's interval, which the marks and the verdict go by.
    bootstrap: the same mean with the BCa bootstrap's interval, which assumes no shape. Of few values it is too narrow:
        of 5, 10 and 20 normal ones it covers 83, 90 and 93 % where it promises 95 (4,000 simulations each). Of more
        than MOST_RESAMPLED it is Student's, as the two then agree.
    wilcoxon: the two-sided p-value of the signed-rank test, times the number of comparisons and at most 1. Of five
        seeds and one comparison it cannot be below 0.0625.
    effect: Cohen's d of paired values, their mean over their standard deviation; None where all are equal and not
        zero, or for a single seed.
    """

    t: Interval
    bootstrap: Interval
    wilcoxon: float
    effect: float | None


def interval(values: Values, level: float = LEVEL, overlap: float = 0.0) -> Interval:
    """mean +- t sd sqrt(1 / S + overlap), t the quantile of Student's distribution with S - 1 degrees of freedom.

    overlap: test rows over training rows where the values come from folds of the same rows. Such values depend on each
    other, and S of them say less than S independent ones.

    Source: Nadeau and Bengio, Inference for the generalization error, Machine Learning 2003: the corrected resampled
    t-test.

    >>> [round(interval([0.1, 0.2, 0.3, 0.2], overlap=share).half_width, 3) for share in (0.0, 1 / 3)]
    [0.13, 0.198]
    """
    array = np.asarray(values, dtype=float)
    mean, count = float(array.mean()), len(array)
    if count < 2:
        return Interval(mean, mean, mean, count)
    half = float(special.stdtrit(count - 1, (1 + level) / 2) * array.std(ddof=1) * np.sqrt(1 / count + overlap))
    return Interval(mean, mean - half, mean + half, count)


def stands_out(values: Sequence[float], level: float = LEVEL) -> int | None:
    """The place of the value that is too far from the others to be one of them; None where there is none, or S < 3.

    Grubbs' test: it lies outside the interval in which the S - 1 others expect the next one, their mean +- t sd
    sqrt(1 + 1 / (S - 1)), t the quantile of Student's distribution with S - 2 degrees of freedom at
    1 - (1 - level) / (2 S). Of S normal values one stands out in a share 1 - level of all cases.

    >>> stands_out([0.1, 0.0, 0.1, 0.9, 0.0]), stands_out([0.1, 0.0, 0.1, 0.3, 0.0])
    (3, None)
    """
    array = np.round(np.asarray(values, dtype=float), _ROUNDED)
    count = len(array)
    if count < 3:
        return None
    place = int(np.abs(array - array.mean()).argmax())
    others = np.delete(array, place)
    t = float(special.stdtrit(count - 2, 1 - (1 - level) / (2 * count)))
    widest = t * others.std(ddof=1) * np.sqrt(1 + 1 / (count - 1))
    return place if abs(array[place] - others.mean()) > widest else None


def paired_difference(values: Values, reference: Values, level: float = LEVEL, overlap: float = 0.0) -> Interval:
    """The interval of values - reference, seed by seed: what runs of a seed share cancels out."""
    return interval(_paired(values, reference), level, overlap)


def difference(values: Values, reference: Values, comparisons: int = 1, overlap: float = 0.0) -> Difference:
    """All that is said of values - reference, seed by seed. The bootstrap's seed is fixed.

    comparisons: how many methods are compared with the reference, see `widened`. overlap: see `interval`; the
    bootstrap and the signed-rank test take the values for independent.

    >>> found = difference([0.82, 0.85, 0.83], [0.80, 0.82, 0.82])
    >>> round(found.t.mean, 3), round(found.wilcoxon, 3), round(found.effect, 3)
    (0.02, 0.25, 2.0)
    """
    from scipy import stats

    paired = _paired(values, reference)
    level, p = widened(comparisons), min(1.0, max(comparisons, 1) * _wilcoxon(paired))
    t = interval(paired, level, overlap)
    if paired.min() == paired.max():
        return Difference(t, t, p, 0.0 if t.count > 1 and t.mean == 0 else None)
    effect = float(np.mean(paired) / np.std(paired, ddof=1))
    if t.count > MOST_RESAMPLED:
        return Difference(t, t, p, effect)
    resampled = stats.bootstrap(
        (paired,), np.mean, confidence_level=level, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Difference(
        t=t,
        bootstrap=Interval(t.mean, float(resampled.low), float(resampled.high), t.count),
        wilcoxon=p,
        effect=effect,
    )


def widened(comparisons: int) -> float:
    """The level at which each of several comparisons is made so that all hold together at 95 % (Bonferroni).

    Step-wise corrections such as Holm's tell a little more apart, but have no intervals that agree with them: a mark
    could then contradict the interval beside it.

    >>> widened(1), round(widened(5), 3)
    (0.95, 0.99)
    """
    return 1 - (1 - LEVEL) / max(comparisons, 1)


def fewest_told(level: float = LEVEL) -> int:
    """On how many rows one method must be right and another wrong, and on none the other way, to tell the two apart.

    The least that the exact paired test (McNemar's, a sign test) can find: 2 / 2^rows <= 1 - level.

    >>> fewest_told(), fewest_told(widened(4))
    (6, 8)
    """
    return math.ceil(math.log2(2 / (1 - level)))


def _paired(values: Values, reference: Values) -> NDArray[np.float64]:
    differences: NDArray[np.float64] = np.asarray(values, dtype=float) - np.asarray(reference, dtype=float)
    return differences.round(_ROUNDED)


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value; 1 where all differences are zero, of which scipy warns."""
    if not differences.any():
        return 1.0
    from scipy import stats

    found: Any = stats.wilcoxon(differences)
    return float(found.pvalue)


# --------------------------------------------------------------------------------- over many data sets


@dataclass(frozen=True, eq=False)
class Ranks:
    """Methods ranked on each of several data sets: 1 is best, equal scores share the mean of their ranks.

    p: of the hypothesis that all methods are alike: Friedman's test, for two methods Wilcoxon's signed-rank.
    critical: mean ranks that are at least so far apart are told apart (Nemenyi's test).

    Source: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """

    methods: tuple[str, ...]
    sets: tuple[str, ...]
    scores: NDArray[np.float64]  # (N, k)
    ranks: NDArray[np.float64]  # (N, k)
    p: float
    critical: float

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.ranks.mean(0)  # (k,)

    @property
    def order(self) -> list[int]:
        """The columns, best mean rank first."""
        return np.argsort(self.mean, kind="stable").tolist()

    @property
    def alike(self) -> bool:
        """Whether the methods as a whole cannot be told apart, so that no pair should be."""
        return self.p >= 1 - LEVEL

    def apart(self, i: int, j: int) -> bool:
        """Whether two methods, by column, are told apart."""
        return not self.alike and bool(abs(self.mean[i] - self.mean[j]) >= self.critical)

    @property
    def groups(self) -> list[list[int]]:
        """The largest runs of methods, best first, of which no two are told apart; runs of one are left out."""
        order, found = self.order, []
        for first in range(len(order)):
            last = max(j for j in range(first, len(order)) if not self.apart(order[first], order[j]))
            if last > first and not (found and found[-1][1] >= last):
                found.append((first, last))
        return [order[first : last + 1] for first, last in found]


def rank(scores: NDArray[np.float64], better: Literal[-1, 1], methods: Sequence[str], sets: Sequence[str]) -> Ranks:
    """Rank methods by `scores` (N, k), one number a data set and method; better: 1 where more is better, else -1.

    Critical difference: q sqrt(k (k + 1) / (6 N)), with sqrt(2) q the quantile of the studentised range of k values.

    Raises:
        SettingError: fewer than two methods or data sets.

    >>> found = rank(np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.5]]), 1, ["a", "b", "c"], ["wine", "digits"])
    >>> found.mean.tolist(), round(found.critical, 3), found.alike
    ([1.0, 2.25, 2.75], 2.344, True)
    """
    from scipy import stats

    count, k = scores.shape
    if k < 2 or count < 2:
        raise SettingError(f"ranks compare two methods or more on two data sets or more; got {k} on {count}.")
    rounded = np.round(scores, _ROUNDED)
    if (rounded == rounded[:, :1]).all():
        p = 1.0  # of which scipy warns
    elif k == 2:
        p = _wilcoxon(rounded[:, 0] - rounded[:, 1])
    else:
        _, p = stats.friedmanchisquare(*rounded.T)
    quantile = float(stats.studentized_range.ppf(LEVEL, k, np.inf)) / np.sqrt(2)
    critical = float(quantile * np.sqrt(k * (k + 1) / (6 * count)))
    ranks = stats.rankdata(-better * rounded, axis=1)
    return Ranks(tuple(methods), tuple(sets), scores, ranks, float(p), critical)
