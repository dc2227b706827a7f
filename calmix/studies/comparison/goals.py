"""What methods are judged by: first how often they are right, then what their probabilities are worth.

K  classes
"""

from dataclasses import dataclass

from calmix.results.catalogue import ACCURACY, ECE, METRICS, NLL, RMSE, SCALED_ECE, SCALED_NLL, Column
from calmix.results.store import Results

UNEQUAL = 3  # the most frequent class has so many times the training rows of the rarest, or more
BALANCED = Column(METRICS["balanced_accuracy"])
SKILL = Column(METRICS["nll_skill"])


@dataclass(frozen=True)
class Goals:
    """right: what comes first. honest: the probabilities, as trained; scaled: the same after temperature scaling.

    Numbers to regress have no probabilities.
    """

    right: Column
    honest: Column | None = None
    scaled: Column | None = None

    @property
    def trained(self) -> tuple[Column, ...]:
        """What networks are judged by as they were trained."""
        return (self.right,) if self.honest is None else (self.right, self.honest)


def goals_of(results: Results) -> Goals:
    """Right answers and ECE; of unequal classes balanced accuracy and log-loss skill; of numbers the RMSE.

    Where 99 of 100 rows are of one class, always answering it is right 99 times in a hundred with an ECE of zero.
    Balanced accuracy counts every class alike, and log-loss skill is zero for that answer. After temperature scaling,
    and where a class has no training rows, the NLL stands for it: of runs of one seed, the smaller has more skill.
    """
    if results.regression:
        return Goals(RMSE)
    if unequal(results) and results.scores.has(BALANCED.key):
        return Goals(BALANCED, SKILL if results.scores.has(SKILL.key) else NLL, SCALED_NLL)
    return Goals(ACCURACY, ECE, SCALED_ECE)


def unequal(results: Results) -> bool:
    """Whether classes are so unequal that right answers alone say little.

    Of two classes one then holds three quarters or more; of many, one is three times as frequent as another, which
    accuracy may pass over. Never where the rows of each class are not known, as of calmix 0.1.0.
    """
    rows = results.facts.data.class_rows
    return len(rows) > 1 and max(rows) >= UNEQUAL * min(rows)


def tested(results: Results) -> int:
    """How many rows are tested: those of the test split; of folds, those of all folds together."""
    sizes, folds = results.facts.data.sizes, results.facts.data.folds
    if not folds:
        return sizes["test"]
    most = folds * sizes["test"]  # the first fold is one of the largest, and none is smaller by more than a row
    rows = sum(sizes.values())  # all, unless --train-size left some out
    by_group = any(column.taken_for == "group" for column in results.facts.data.columns)  # folds of unequal sizes
    return rows if by_group or most - folds < rows <= most else most


def tested_of_rarest(results: Results) -> int:
    """About how many of them are of the rarest class."""
    rows = results.facts.data.class_rows
    return round(tested(results) * min(rows) / sum(rows))


def counted(results: Results, goal: Column) -> int:
    """How many rows a goal of 100 % stands for: those that are tested; of balanced accuracy K times the rarest's.

    One row of the rarest class moves balanced accuracy by 1 / (K rows of it).
    """
    if goal != BALANCED:
        return tested(results)
    return len(results.facts.data.class_rows) * tested_of_rarest(results)
