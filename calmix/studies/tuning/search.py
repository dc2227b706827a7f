"""The search: which settings are tried, and which of them are trained with further seeds.

Every method has the same budget of training cost, and its trials the same settings of the training, in the same order.
Everything follows from the seed and from what trainings gave, so that a search that was stopped, and goes on with what
it had finished, ends in the same trials.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from calmix.errors import SettingError
from calmix.methods.spaces import Options
from calmix.studies.tuning.families import Family
from calmix.studies.tuning.points import BATCH, STARTUP, first_options, proposed, shared_settings
from calmix.studies.tuning.trials import Trial, TrialRun, ranked
from calmix.train import TrainingSettings

RUNGS = (1, 3, 5)  # seeds; after each, the better third of a method's trials goes on
FIRST_RUNG = 0.6  # of a method's budget, at most, before the race
_MOST_TRIALS = 4096  # of a method

# trains trials with seeds, and gives what came of each, in their order: a run, or why it failed
Measure = Callable[[Sequence[tuple[Trial, int]]], Sequence[TrialRun | str]]


@dataclass(frozen=True)
class Plan:
    """Who may spend what.

    budget: of all methods, in plain trainings of the epochs that were given. costs: of a training step of each method,
    by name, in plain ones.

    Raises:
        SettingError: a budget that does not allow each method two trials and three seeds of one.
    """

    budget: float
    costs: Mapping[str, float]

    def __post_init__(self) -> None:
        count = len(self.costs)
        least = ceil(round(count * max(_least(cost) for cost in self.costs.values()), 6))
        if self.budget < least:
            raise SettingError(
                f"a budget of {self.budget:g} trainings is too small to tune {count} "
                f"{'method' if count == 1 else 'methods'}: {', '.join(self.costs)}. "
                f"Give {least} or more{', or name fewer methods' if count > 1 else ''}."
            )

    @property
    def share(self) -> float:
        """What each method may spend."""
        return self.budget / len(self.costs)

    def trials(self, family: str, settings: Sequence[TrainingSettings]) -> int:
        """How many trials of a method begin: as many as leave enough for the race."""
        cost, epochs, count = self.costs[family], settings[0].epochs, 2
        while count < len(settings):
            first = cost * sum(one.epochs for one in settings[: count + 1]) / epochs
            if first > FIRST_RUNG * self.share or first + (RUNGS[1] - 1) * cost > self.share:
                break
            count += 1
        return count


def _least(cost: float) -> float:
    """Two trials, one of them with three seeds, each as long as the longest."""
    return cost * (2 + RUNGS[1] - 1)


def search(
    families: Sequence[Family], plan: Plan, given: TrainingSettings, measure: Measure, seed: int, learning: bool = True
) -> list[Trial]:
    """All trials, method by method.

    given: the settings of every method's first trial, in which its options are its defaults. learning: whether later
    options are proposed by TPE; else all are quasi-random.
    """
    searches = [_Search(family, plan, given, seed, learning) for family in families]

    def carry_out(asked: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Trials, by number, and seeds of each method."""
        todo = [(one, number, of) for one, own in zip(searches, asked, strict=True) for number, of in own]
        todo.sort(key=lambda entry: entry[2])  # seed by seed, as splits are drawn by seeds
        found = measure([(one.trials[number], of) for one, number, of in todo]) if todo else []
        for (one, number, _), run in zip(todo, found, strict=True):
            one.add(number, run)

    while any(one.waiting for one in searches):
        carry_out([one.next_trials() for one in searches])
    for seeds in RUNGS[1:]:
        carry_out([one.promoted(seeds) for one in searches])
    carry_out([one.left_over() for one in searches])
    return [trial for one in searches for trial in one.trials]


class _Search:
    """One method's part."""

    def __init__(self, family: Family, plan: Plan, given: TrainingSettings, seed: int, learning: bool) -> None:
        self.family, self.share, self.step_cost, self.seed = family, plan.share, plan.costs[family.name], seed
        most = min(_MOST_TRIALS, 2 + ceil(2 * plan.share / self.step_cost))  # none takes less than half a training
        self.settings = shared_settings(given, most, seed)
        self.count = plan.trials(family.name, self.settings)
        self.drawn = min(self.count, STARTUP) if learning and family.space else self.count
        self.trials: list[Trial] = []

    @property
    def waiting(self) -> int:
        """How many trials have not begun."""
        return self.count - len(self.trials)

    def next_trials(self) -> list[tuple[int, int]]:
        begun = len(self.trials)
        if begun == 0:
            options = first_options(self.family.space, self.drawn, self.seed)
        else:
            told = [(trial.options, self._told(trial)) for trial in self.trials]
            name = zlib.crc32(self.family.name.encode())
            [of_batch] = np.random.SeedSequence([self.seed, name, begun]).generate_state(1).tolist()
            options = proposed(self.family.space, told, min(BATCH, self.waiting), of_batch) if self.waiting else []
        self.trials += [self._trial(number, one) for number, one in enumerate(options, begun)]
        return [(number, 0) for number in range(begun, len(self.trials))]

    def promoted(self, seeds: int) -> list[tuple[int, int]]:
        """The better third of those that are left gets so many seeds, the best first, as far as the budget goes."""
        most = max(len(trial.runs) for trial in self.trials)
        left = [trial for trial in self.trials if len(trial.runs) == most and not trial.failure]
        asked, spent = [], self.spent
        for trial in ranked(left)[: ceil(len(left) / 3)]:
            further = range(len(trial.runs), seeds)
            if spent + len(further) * trial.cost > self.share + 1e-9:
                break
            spent += len(further) * trial.cost
            asked += [(trial.number, of) for of in further]
        return asked

    def left_over(self) -> list[tuple[int, int]]:
        """What is left goes to further seeds of the best."""
        most = max(len(trial.runs) for trial in self.trials)
        left = [trial for trial in self.trials if len(trial.runs) == most and not trial.failure]
        if not left:
            return []
        best = ranked(left)[0]
        affordable = int((self.share - self.spent + 1e-9) / best.cost)
        return [(best.number, of) for of in range(most, min(RUNGS[-1], most + affordable))]

    def add(self, number: int, run: TrialRun | str) -> None:
        trial = self.trials[number]
        if isinstance(run, str):
            self.trials[number] = replace(trial, failure=trial.failure or run)
        else:
            self.trials[number] = replace(trial, runs=(*trial.runs, run))

    @property
    def spent(self) -> float:
        return sum(trial.spent for trial in self.trials)

    def _told(self, trial: Trial) -> float:
        """The goal in the first seed; of a trial that failed the worst of the others."""
        if trial.runs:
            return trial.goal(1)
        return max((other.goal(1) for other in self.trials if other.runs), default=0.0)

    def _trial(self, number: int, options: Options) -> Trial:
        settings = self.settings[number]
        until = float(options.get("until", 1.0))
        step = until * self.step_cost + (1 - until)
        cost = step * settings.epochs / self.settings[0].epochs
        text = self.family.text(options)
        return Trial(self.family.name, number, options, text, settings, cost)
