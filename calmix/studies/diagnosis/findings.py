"""What the scores of a diagnosis say: intervals by bin of distance, rises from near to far, cuts against a control.

Everything here is computed from `Scores`, for figures, tables and sentences alike; nothing of it is stored.

B bins of distance
"""

import itertools
from typing import NamedTuple

from scipy.stats import binomtest

from calmix.results.scores import Scores
from calmix.results.statistics import Interval, interval
from calmix.studies.diagnosis.conditions import NO_METHOD


class Place(NamedTuple):
    """Which random pairs are looked at, and how strongly they are mixed."""

    oracle: str  # of ORACLES
    space: str  # of SPACES
    population: str  # of POPULATIONS
    share: float  # of SHARES

    @property
    def path(self) -> str:
        return f"{self.oracle}/{self.space}/{self.population}/{self.share:g}"


def methods_of(scores: Scores) -> list[str]:
    return [method for method in scores.methods if method != NO_METHOD]


def bins_of(scores: Scores) -> int:
    """B, the number of bins."""
    edges = (scores.values(NO_METHOD, "distance", f"edges/inputs/{place}") for place in itertools.count())
    return len(list(itertools.takewhile(bool, edges))) - 1


def measured(scores: Scores, place: Place) -> bool:
    """Whether every seed has such pairs."""
    return len(scores.values(NO_METHOD, "count", f"pairs/{place.path}/1")) == len(scores.seeds_of(NO_METHOD)) > 0


def pair_bins(scores: Scores, place: Place, metric: str) -> list[Interval | None]:
    """A metric of random pairs by bin (B,), the nearest first; None where no seed has a pair in the bin.

    Over several seeds the intervals are over seeds (Student's t). For one seed they are over its pairs, taken as
    independent (Wilson's for rates), which they are not quite, because pairs share rows.
    """
    paths = [f"{place.path}/{number}" for number in range(1, bins_of(scores) + 1)]
    found = [over_seeds(scores, NO_METHOD, metric, f"pairs/{path}") for path in paths]
    if len(scores.seeds_of(NO_METHOD)) > 1 or metric == "distance":
        return found
    return [one and over_pairs(scores, path, metric, one.mean) for path, one in zip(paths, found, strict=True)]


def over_pairs(scores: Scores, path: str, metric: str, mean: float) -> Interval:
    """The interval of a bin's mean over its pairs, whose number is `count`."""
    count = int(scores.values(NO_METHOD, "count", f"pairs/{path}")[0])
    if metric == "neither":
        return Interval(mean, *rate_interval(mean, count), count)
    half = 1.96 * scores.values(NO_METHOD, metric, f"deviation/{path}")[0] / count**0.5
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), count)


def rise(scores: Scores, place: Place, metric: str) -> Interval | None:
    """The farthest bin minus the nearest, seed by seed; None where no seed has pairs in both."""
    last = bins_of(scores)
    ends = [
        [scores.value(NO_METHOD, seed, metric, f"pairs/{place.path}/{number}") for number in (1, last)]
        for seed in scores.seeds_of(NO_METHOD)
    ]
    rises = [far - near for near, far in ends if near is not None and far is not None]
    return interval(rises) if rises else None


def cut(scores: Scores, method: str, oracle: str, control: str, metric: str = "mass") -> Interval | None:
    """1 - (as the method mixes) / (under the control), seed by seed; None where nothing is wrong under the control.

    This part of the wrong labels is avoided by the choice of what is mixed strongly: the amount of mixing is the same.
    """
    own, other = (scores.values(method, metric, f"labels/{oracle}/{name}") for name in ("none", control))
    cuts = [1 - mine / theirs for mine, theirs in zip(own, other, strict=True) if theirs > 0]
    return interval(cuts) if cuts else None


def over_seeds(scores: Scores, method: str, metric: str, condition: str) -> Interval | None:
    """The interval over those seeds that have the score; None where none has."""
    values = scores.values(method, metric, condition)
    return interval(values) if values else None


def rate_interval(rate: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate that was seen in `count` independent pairs; (nan, nan) for none.

    For one seed alone: pairs share rows, so over several seeds take the interval over seeds.

    >>> tuple(round(end, 3) for end in rate_interval(0.5, 100))
    (0.404, 0.596)
    """
    if count == 0:
        return float("nan"), float("nan")
    ends = binomtest(round(rate * count), count).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)
