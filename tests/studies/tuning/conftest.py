"""A small problem that a search takes seconds for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from calmix import TrainingSettings, erm, mixup
from calmix.data import Splits, load
from calmix.studies.tuning.study import tune
from calmix.studies.tuning.tuned import Tuned


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Wine's, as if they were the user's own."""
    wine = load("wine", seed=0)
    return replace(wine, given=None, about=replace(wine.about, columns=(), natural=False))


Tuner = Callable[..., Tuned]


@pytest.fixture(scope="session")
def tuned_by(splits: Splits) -> Tuner:
    """A search with two methods, small unless told otherwise."""

    def search(data: Any = splits, **options: Any) -> Tuned:
        given = {"methods": [mixup, erm], "budget": 14, "settings": TrainingSettings(epochs=2), "fresh": 2}
        with torch.random.fork_rng():
            return tune(data, **{**given, "search": "quasi-random", **options})

    return search


@pytest.fixture(scope="session")
def tuned(tuned_by: Tuner) -> Tuned:
    return tuned_by()
