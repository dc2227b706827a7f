"""Differences that a single seed or fold makes, or hides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calmix.report.sentences import called
from calmix.results.catalogue import ACCURACY, ECE, NLL, RMSE, SCALED_ECE, SCALED_NLL, Column, digits_of, number
from calmix.results.statistics import LEVEL, Interval, interval, stands_out
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose, contenders, margin
from calmix.studies.comparison.goals import BALANCED, SKILL
from calmix.studies.comparison.wording import one_round

FEWEST = 5  # seeds, so that four others tell what is usual
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
    """The seed, by its place, that alone makes or hides a lead; and the differences with it and without it."""

    place: int
    does: Literal["makes", "hides"]
    every: Interval
    without: Interval


def lucky(differences: Sequence[float], least: float, level: float = LEVEL, overlap: float = 0.0) -> Lucky | None:
    """The seed that alone decides which of two methods leads, by their paired differences; None where no seed does.

    Three things must hold. The seed's difference stands out among the others (Grubbs' test at `level`). Leaving it out
    moves the mean by `least` or more. And the conclusion turns: less than half of the lead is left, or it is no longer
    beyond chance (the seed makes the lead); or it is beyond chance only without the seed (the seed hides it).

    Of two methods with normal noise no seed is lucky, and at most 5 of 100 comparisons name one (the first condition).
    With noise of a point a seed and `least` half a point, 2.8, 0.3 and 0.0 of 100 comparisons of 5, 10 and 20 seeds do
    where the methods are equal, and 2.6, 0.2 and 0.0 where one is a point ahead; without the first condition, 24 of 100
    comparisons of 5 seeds would. `python -m tests.studies.comparison.test_lucky` prints these shares.
    """
    place = stands_out(differences, level) if len(differences) >= FEWEST else None
    if place is None:
        return None
    rest = [value for at, value in enumerate(differences) if at != place]
    every, without = (interval(values, level, overlap) for values in (differences, rest))
    does = turned(every, without)
    return Lucky(place, does, every, without) if does and abs(every.mean - without.mean) >= least else None


def turned(every: Interval, without: Interval) -> Literal["makes", "hides"] | None:
    """What a seed does to a lead, by the differences with it and without it."""
    left = without.mean * (1 if every.mean > 0 else -1)
    if left < abs(every.mean) / 2 or (every.side != 0 and without.side != every.side):
        return "makes"
    return "hides" if every.side == 0 and without.side != 0 else None


def lucky_seeds(results: Results) -> list[str]:
    """A sentence for each seed that alone makes or hides a lead over the method to take, or of it."""
    if results.seeds < FEWEST or len(results.methods) < 2:
        return []
    choice, scores, said = choose(results), results.scores, []
    for goal in choice.goals:
        for method in contenders(results):
            by_seed = scores.by_seed(method, choice.method, goal.key, goal.condition)
            least = margin(results, choice.method, goal) / 2
            found = lucky(list(by_seed.values()), least, scores.level, scores.overlap)
            if found is not None:
                seed = list(by_seed)[found.place]
                said.append(_sentence(results, goal, seed, method, choice.method, found))
    return said


def _sentence(results: Results, goal: Column, seed: int, method: str, other: str, found: Lucky) -> str:
    lead = goal.better * (found.every if found.does == "makes" else found.without).mean
    ahead, behind = (method, other) if lead > 0 else (other, method)
    largest = max(results.scores.interval(one, goal.key, goal.condition).mean for one in results.methods)
    percent = goal.metric.unit == "%"
    digits = 1 if percent else digits_of(largest) if goal.metric.digits is None else goal.digits

    def size(one: Interval) -> str:
        amount = number(goal.scale * abs(one.mean), digits)
        turned = " the other way" if one.mean * goal.better * lead < 0 and amount.strip("0.") else ""
        return f"{amount}{' points' * percent}{turned} ({'beyond' if one.side else 'within'} chance)"

    unit = one_round(results)
    return (
        f"{unit.capitalize()} {seed} alone {found.does} the lead of {called(ahead)} over {called(behind)} in "
        f"{_SAID[goal]}: with it {size(found.every)}, without it {size(found.without)}; look at its runs, and add "
        f"{unit}s, before you rely on the lead."
    )
