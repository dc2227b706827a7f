"""Which method of a comparison to take, by a rule that is said before the numbers are seen.

Right answers first, then honest confidence, then cost; and the simpler method keeps its place, plain training first and
plain Mixup next, until another beats it beyond chance. What right and honest are measured by is said in `goals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calmix.results.catalogue import RMSE, SCALED_NLL, Column, Mark
from calmix.results.statistics import fewest_told
from calmix.results.store import PLAIN_MIXUP, PLAIN_TRAINING, Results, is_control
from calmix.studies.comparison.goals import counted, goals_of

MARGIN = 0.01  # a smaller gain is none: a right answer in a hundred, a point of ECE, a hundredth of the RMSE
Standing = Literal["beaten", "less honest", "no gain", "open"]


@dataclass(frozen=True)
class Choice:
    """The method to take, and the metrics that told methods apart, the most important first."""

    method: str
    goals: tuple[Column, ...]

    @property
    def scaled(self) -> bool:
        """Whether honesty was compared after temperature scaling, which the method then needs."""
        return self.goals[-1].condition == "scaled"


def choose(results: Results) -> Choice:
    """The method to take; of one seed, which tells nothing apart, it is the simplest.

    Plain training stays unless it is beaten; then the choice is among those that beat it, and plain Mixup, if it is one
    of them, stays unless one of the others beats it. Of what is left, the method that the fewest of the rest beat,
    then the cheapest (to a tenth of a plain step), then the first. Where that method is right more often than plain
    training but less honest, methods are compared again as they are after temperature scaling.

    If no method differed from plain training, it would still lose its place at most once in twenty comparisons: each of
    two goals errs on one of the two sides that an interval leaves out.

    That plain training stays does not say that mixing does not pay: see `standing`.
    """
    goals = goals_of(results)
    choice = Choice(_choose(results, goals.trained), goals.trained)
    if goals.honest is None or goals.scaled is None or PLAIN_TRAINING not in contenders(results):
        return choice
    if side(results, choice.method, PLAIN_TRAINING, goals.honest) != -1:
        return choice
    scaled = (goals.right, goals.scaled)
    return Choice(_choose(results, scaled), scaled)


def beats(results: Results, method: str, other: str, goals: Sequence[Column]) -> bool:
    """Whether the first of the goals that tells the two apart speaks for `method`."""
    sides = (side(results, method, other, goal) for goal in goals)
    return next((found for found in sides if found), 0) == 1


def side(results: Results, method: str, other: str, column: Column) -> Mark:
    """Whether `method` is better (1) or worse (-1) than `other` beyond chance, or neither (0).

    Beyond chance: the paired interval excludes zero, as for the marks of the tables.
    """
    return column.mark(results.scores.difference(method, other, column.key, column.condition))


def standing(results: Results, method: str, choice: Choice) -> Standing:
    """What is known of another method than the chosen one.

    beaten: worse beyond chance. less honest: worse beyond chance, too, but a gain of MARGIN in right answers is left
    open. no gain: for no goal such a gain is left open. open: none of these.
    """
    if beats(results, choice.method, method, choice.goals):
        first = choice.goals[0]
        told = side(results, choice.method, method, first) == 1 or _no_gain(results, method, choice.method, first)
        return "beaten" if told else "less honest"
    return "no gain" if all(_no_gain(results, method, choice.method, goal) for goal in choice.goals) else "open"


def better_once_scaled(results: Results, method: str, other: str) -> bool:
    """Whether a method is the more honest after temperature scaling of both, at no price beyond chance."""
    goals = goals_of(results)
    if goals.scaled is None:
        return False
    price = (side(results, method, other, column) for column in (goals.right, SCALED_NLL))
    return side(results, method, other, goals.scaled) == 1 and -1 not in price


def margin(results: Results, other: str, column: Column) -> float:
    """MARGIN in the stored unit of a column; of the RMSE a share of that of `other`."""
    return MARGIN * results.scores.interval(other, column.key).mean if column.key == RMSE.key else MARGIN


def _no_gain(results: Results, method: str, other: str, column: Column) -> bool:
    """Whether a gain of MARGIN is ruled out: by the interval, and by as many test rows as could show such a gain."""
    rows = counted(results, goals_of(results).right)
    if not results.regression and fewest_told(results.scores.level) > MARGIN * rows:
        return False
    found = results.scores.difference(method, other, column.key, column.condition)
    most = found.high if column.better == 1 else -found.low
    return found.count > 1 and most < margin(results, other, column)


def contenders(results: Results) -> list[str]:
    """The methods that can be taken: all but controls, where that leaves two or more."""
    left = [method for method in results.methods if not is_control(method)]
    return left if len(left) > 1 else results.methods


def _choose(results: Results, goals: Sequence[Column]) -> str:
    left = contenders(results)
    for simple in (PLAIN_TRAINING, PLAIN_MIXUP):
        if simple in left:
            winners = [method for method in left if beats(results, method, simple, goals)]
            if not winners:
                return simple
            left = winners
    cost = {method: round(results.scores.interval(method, "cost").mean, 1) for method in left}

    def losses(method: str) -> int:
        return sum(beats(results, other, method, goals) for other in left)

    return min(left, key=lambda method: (losses(method), cost[method]))
