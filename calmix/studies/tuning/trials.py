"""What a search has tried, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean

from calmix.methods.spaces import Options
from calmix.results.catalogue import METRICS, NLL, RMSE, SCALED_NLL, Column
from calmix.train import TrainingSettings

# what a trial is chosen by, and what is shown beside it: of rows that are neither trained on nor tested
CLASSIFICATION = (SCALED_NLL, NLL, Column(METRICS["accuracy"]))
REGRESSION = (RMSE, Column(METRICS["mae"]), Column(METRICS["r2"]))


def columns_of(regression: bool) -> tuple[Column, ...]:
    """The goal, and what stands beside it."""
    return REGRESSION if regression else CLASSIFICATION


@dataclass(frozen=True)
class OtherWeights:
    """What other weights of a training gave: an average, or those with refreshed batch norm."""

    average: str
    refresh_batch_norm: bool
    goal: float
    beside: tuple[float, float]


@dataclass(frozen=True)
class TrialRun:
    """One training of a trial. goal: less is better. beside: the other two of `columns_of`.

    also: what other weights gave, without further training, in the same order in every run of a trial.
    """

    seed: int
    goal: float
    beside: tuple[float, float]
    seconds: float
    also: tuple[OtherWeights, ...] = ()

    def of(self, kept: int) -> "TrialRun":
        """As if only these weights had been looked at: 0 for those of the settings, n for the n-th others."""
        if kept == 0:
            return replace(self, also=())
        other = self.also[kept - 1]
        return replace(self, goal=other.goal, beside=other.beside, also=())


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    family, number: the method's name, and which of its trials. text: the method with its options, as
    `calmix train --method` takes it. cost: of one training, in plain trainings of the epochs that were given.
    failure: why a training failed, after which there are no more. A trial is worth what the best of its weights are.
    """

    family: str
    number: int
    options: Options
    text: str
    settings: TrainingSettings
    cost: float
    runs: tuple[TrialRun, ...] = ()
    failure: str = ""

    @property
    def as_given(self) -> "Trial":
        """With the weights of its settings, whatever others gave."""
        return replace(self, runs=tuple(run.of(0) for run in self.runs))

    @property
    def settled(self) -> "Trial":
        """With the weights that are the best in the mean over its seeds, which its settings then name."""
        if not self.runs:
            return self
        kept = min(range(1 + len(self.runs[0].also)), key=lambda place: fmean(run.of(place).goal for run in self.runs))
        if kept == 0:
            return self.as_given
        other = self.runs[0].also[kept - 1]
        settings = replace(self.settings, average=other.average, refresh_batch_norm=other.refresh_batch_norm)
        return replace(self, settings=settings, runs=tuple(run.of(kept) for run in self.runs))

    @property
    def label(self) -> str:
        """What its runs are called in files."""
        return f"{self.family} {self.number}"

    @property
    def spent(self) -> float:
        """In plain trainings; a training that failed counts, too."""
        return self.cost * (len(self.runs) + bool(self.failure))

    def goal(self, seeds: int | None = None) -> float:
        """The mean over the first seeds, or over all, of its best weights; infinite for a trial that failed."""
        if self.failure or not self.runs:
            return inf
        return fmean(run.goal for run in self.settled.runs[:seeds])

    def beside(self, place: int) -> float:
        """The mean over seeds of one of the two numbers beside the goal."""
        return fmean(run.beside[place] for run in self.settled.runs)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The best first, on the seeds that all have that did not fail; of equals the earlier one."""
    seeds = min((len(trial.runs) for trial in trials if not trial.failure), default=0)
    return sorted(trials, key=lambda trial: trial.goal(seeds))


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best of those that stayed in a race to its end; None where all failed."""
    sound = [trial for trial in trials if trial.runs and not trial.failure]
    most = max((len(trial.runs) for trial in sound), default=0)
    return next(iter(ranked([trial for trial in sound if len(trial.runs) == most])), None)


def by_family(trials: Sequence[Trial]) -> Mapping[str, list[Trial]]:
    """In the order in which they were tried."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.family, []).append(trial)
    return found


def bests_of(trials: Sequence[Trial]) -> tuple[list[Trial], int]:
    """The best of every method that has one, and how many seeds these all have: those that they are compared on."""
    bests = [best for own in by_family(trials).values() if (best := best_of(own))]
    return bests, min((len(best.runs) for best in bests), default=0)


def chosen_of(trials: Sequence[Trial]) -> Trial | None:
    """The best of all methods' best, on the seeds that these all have; None where all failed."""
    return next(iter(ranked(bests_of(trials)[0])), None)
