"""The points that are tried: one quasi-random list for all methods, and proposals that learn from what was found.

D  dimensions: first the settings of the training, which all methods share, then a method's own options
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calmix.errors import SettingError, needs
from calmix.methods.spaces import Between, Options, SearchSpace
from calmix.train import TrainingSettings

RATE, DECAY, EPOCHS = (0.1, 3.0), Between(1e-5, 1e-2), Between(0.5, 1.0)  # rate and epochs: times those that were given
SHARED, MOST_OWN = 3, 9  # dimensions
STARTUP, BATCH = 8, 4  # trials of a method before proposals learn, and proposals made at a time


def points(count: int, seed: int) -> NDArray[np.float64]:
    """(count, D) numbers in [0, 1), a scrambled Sobol sequence; a longer list begins as a shorter one does."""
    from scipy.stats import qmc  # takes its time

    sequence = qmc.Sobol(SHARED + MOST_OWN, scramble=True, rng=np.random.default_rng(seed))
    return sequence.random_base2(max(1, count - 1).bit_length())[:count]


def shared_settings(given: TrainingSettings, count: int, seed: int) -> list[TrainingSettings]:
    """Settings of the trainings, the same for every method: those that were given, then quasi-random ones.

    Learning rate: from a tenth to three times that which was given. Weight decay: from 1e-5 to 1e-2. Epochs: from half
    of those that were given to all of them. All evenly on a logarithmic scale.

    >>> [settings.epochs for settings in shared_settings(TrainingSettings(epochs=30), 4, seed=0)]
    [30, 27, 18, 25]
    """
    rates = Between(*(factor * given.peak_rate for factor in RATE))
    found = [given]
    for rate, decay, epochs in points(count - 1, seed)[:, :SHARED].tolist() if count > 1 else []:
        found.append(
            replace(
                given,
                learning_rate=rates.at(rate),
                weight_decay=DECAY.at(decay),
                epochs=max(1, round(given.epochs * EPOCHS.at(epochs))),
            )
        )
    return found


def first_options(space: SearchSpace, count: int, seed: int) -> list[Options]:
    """Options of the first trials: a method's own defaults, then quasi-random ones."""
    assert len(space) <= MOST_OWN
    found: list[Options] = [{}]
    for point in points(count - 1, seed)[:, SHARED:].tolist() if count > 1 else []:
        found.append({name: range_.at(share) for (name, range_), share in zip(space.items(), point, strict=False)})
    return found


def proposed(space: SearchSpace, told: Sequence[tuple[Options, float]], count: int, seed: int) -> list[Options]:
    """Options of further trials, by Optuna's tree-structured Parzen estimator (TPE).

    told: options that were tried, and what came of them, less being better; those at their defaults, which are no
    point of the space, are left out. The same `told` and seed give the same proposals: nothing else is remembered.
    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, Any] = {
        name: optuna.distributions.FloatDistribution(range_.low, range_.high, log=True)
        if isinstance(range_, Between)
        else optuna.distributions.CategoricalDistribution(range_.values)
        for name, range_ in space.items()
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1)
    study = optuna.create_study(sampler=sampler)
    for options, goal in told:
        if options.keys() == space.keys():
            study.add_trial(optuna.trial.create_trial(params=dict(options), distributions=distributions, value=goal))
    return [{name: _rounded(value) for name, value in study.ask(distributions).params.items()} for _ in range(count)]


def check_sampler(sampler: str) -> None:
    """Raise SettingError where the sampler is not installed."""
    if sampler == "tpe" and find_spec("optuna") is None:
        needed = needs("a search that learns from its trials", "Optuna", "tune")
        raise SettingError(f"{needed}; or search without: --search quasi-random.")


def _rounded(value: float | bool) -> float | bool:
    """With three digits that count, within the range: a bound has few digits itself."""
    return value if isinstance(value, bool) else float(f"{value:.3g}")
