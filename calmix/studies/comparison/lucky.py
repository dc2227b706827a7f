"""Differences that a single seed or fold makes, or hides.

S  seeds, or folds
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calmix.report.sentences import called, joined
from calmix.results.catalogue import ACCURACY, ECE, NLL, RMSE, SCALED_ECE, SCALED_NLL, Column, digits_of, number
from calmix.results.statistics import Interval, stands_out
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose, contenders, margin
from calmix.studies.comparison.goals import BALANCED, SKILL
from calmix.studies.comparison.wording import one_round

FEWEST = 5  # seeds, of which four are to tell what is usual
_SAID = {
    ACCURACY: "right answers",
    BALANCED: "balanced accuracy",
    ECE: "ECE",
    SCALED_ECE: "ECE after temperature scaling",
    SKILL: "log-loss skill",
    NLL: "log-loss",
    SCALED_NLL: "log-loss after temperature scaling",
    RMSE: "error",
}


@dataclass(frozen=True)
class Lucky:
    """A seed that alone makes a method's lead over another in a goal, or hides it. Intervals are ahead - behind."""

    seed: int
    does: Literal["makes", "hides"]
    ahead: str
    behind: str
    goal: Column
    all: Interval
    without: Interval  # that seed


def lucky(results: Results, method: str, other: str, goal: Column) -> Lucky | None:
    """The seed that alone decides between two methods in a goal; None where no seed does.

    It does if its difference stands out among the others (see `stands_out`, at the level of the marks), leaving it out
    moves the mean by half of `choice.MARGIN` or more, and the conclusion turns: less than half of the lead is left, or
    the lead is no longer told from chance (it makes the lead); or only then is it told (it hides it).

    Of 2,000 comparisons of two equal methods with normal noise of 1 point, by 5, 10 and 20 seeds, it named a seed in
    RATES; of two methods that are a point apart in RATES2. Without the first condition it were most of them.
    (`tests/studies/comparison/test_lucky.py` holds both below 2 %.)
    """
    seeds = [seed for seed in results.scores.seeds_of(method) if seed in results.scores.seeds_of(other)]
    if len(seeds) < FEWEST:
        return None

    def differences(label: str) -> list[float]:
        found = (results.scores.value(label, seed, goal.key, goal.condition) for seed in seeds)
        return [value for value in found if value is not None]

    paired = np.subtract(differences(method), differences(other)).tolist()
    place = stands_out(paired, results.scores.level)
    if place is None:
        return None
    found = results.scores.difference(method, other, goal.key, goal.condition)
    without = results.scores.without(seeds[place]).difference(method, other, goal.key, goal.condition)
    if abs(found.mean - without.mean) < margin(results, other, goal) / 2:
        return None
