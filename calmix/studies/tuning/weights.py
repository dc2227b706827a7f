"""Which weights of a training are judged beside those that it ends with: they cost no further training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from calmix.studies.tuning.trials import Trial, by_family
from calmix.train import TrainingSettings


def other_weights(given: TrainingSettings, batch_norm: bool, controlled: bool) -> tuple[TrainingSettings, ...]:
    """The settings whose weights the training with the given ones leaves, too.

    Averages, where none is given: `ema`, and `swa`, which refreshes batch norm. Refreshed batch norm, where the network
    has one and it is not refreshed anyway. There is no other epoch: see docs/tune.md. No `ema` for a method that sets
    its own strength, as validation rows would then be shown to the average.

    >>> [one.weights for one in other_weights(TrainingSettings(), batch_norm=True, controlled=False)]
    ['trained refreshed', 'ema', 'ema refreshed', 'swa']
    """
    averages = [given.average]
    if given.averaging is None and given.select == "last":
        averages += ["swa"] if controlled else ["ema", "swa"]
    found = []
    for average in averages:
        one = replace(given, average=average)
        found.append(one)
        refreshed = replace(one, refresh_batch_norm=True)
        if batch_norm and refreshed.weights != one.weights:
            found.append(refreshed)
    return tuple(one for one in found if one != given)


@dataclass(frozen=True)
class WeightsGain:
    """What some weights gain on those that trainings end with, in the goal's stored unit.

    means: by method, over all its trainings; less loss is a gain. kept: by how many trials, of how many.
    """

    weights: str
    means: dict[str, float]
    kept: int
    trials: int


def gains_of(trials: Sequence[Trial]) -> list[WeightsGain]:
    """A value for each kind of weights that was judged beside those that trainings end with."""
    sound = [trial for trial in trials if trial.runs and not trial.failure and trial.runs[0].also]
    names: dict[str, dict[str, list[float]]] = {}
    for family, own in by_family(sound).items():
        for trial in own:
            for run in trial.runs:
                for other in run.also:
                    weights = _weights(trial, other.average, other.refresh_batch_norm)
                    names.setdefault(weights, {}).setdefault(family, []).append(run.goal - other.goal)
    kept = [trial.settled.settings.weights for trial in sound]
    return [
        WeightsGain(name, {family: fmean(gains) for family, gains in found.items()}, kept.count(name), len(kept))
        for name, found in names.items()
    ]


def _weights(trial: Trial, average: str, refresh_batch_norm: bool) -> str:
    return replace(trial.settings, average=average, refresh_batch_norm=refresh_batch_norm).weights
