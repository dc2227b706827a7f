"""Which method of a comparison to take, by a rule that is said before the numbers are seen.

Right answers first, then honest confidence, then cost; and the simpler method keeps its place, plain training first and
plain Mixup next, until another beats it beyond chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from calmix.results.catalogue import ACCURACY, ECE, RMSE, SCALED_ECE, Column, Mark
from calmix.results.statistics import widened
from calmix.results.store import PLAIN_MIXUP, PLAIN_TRAINING, Results, is_control


@dataclass(frozen=True)
class Choice:
    """The method to take, and the metrics that told methods apart, the most important first."""

    method: str
    goals: tuple[Column, ...]

    @property
    def scaled(self) -> bool:
        """Whether honesty was compared after temperature scaling, which the method then needs."""
        return SCALED_ECE in self.goals


def choose(results: Results) -> Choice:
    """The method to take; of one seed, which tells nothing apart, it is the simplest.

    Plain training stays unless it is beaten; then the choice is among those that beat it, and plain Mixup, if it is one
    of them, stays unless one of the others beats it. Of what is left, the method that the fewest of the rest beat,
    then the cheapest (to a tenth of a plain step), then the first. Where that method is right more often than plain
    training but less honest, methods are compared again as they are after temperature scaling.

    If no method differed from plain training, it would still lose its place at most once in twenty comparisons: each of
    two goals errs on one of the two sides that an interval leaves out.
    """
    goals = (RMSE,) if results.regression else (ACCURACY, ECE)
    method = _choose(results, goals)
    plain = PLAIN_TRAINING in contenders(results) and not results.regression
    if plain and side(results, method, PLAIN_TRAINING, ECE) == -1:
        goals = (ACCURACY, SCALED_ECE)
        method = _choose(results, goals)
    return Choice(method, goals)


def beats(results: Results, method: str, other: str, goals: Sequence[Column]) -> bool:
    """Whether the first of the goals that tells the two apart speaks for `method`."""
    sides = (side(results, method, other, goal) for goal in goals)
    return next((found for found in sides if found), 0) == 1


def side(results: Results, method: str, other: str, column: Column) -> Mark:
    """Whether `method` is better (1) or worse (-1) than `other` beyond chance, or neither (0).

    Beyond chance: the paired interval of `level` excludes zero.
    """
    return column.mark(results.scores.difference(method, other, column.key, column.condition, level(results)))


def level(results: Results) -> float:
    """95 %, widened so that the intervals of one method's differences from all others hold together."""
    return widened(len(contenders(results)) - 1)


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
