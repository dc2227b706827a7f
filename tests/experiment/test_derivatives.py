"""Expansions by method, seed and epoch: paired, of the network as it was then, and of Mixup whatever it learnt with."""

import json

import pytest
import torch

from calmix import Classification, erm, mixup, scheduled
from calmix.diagnose.derivatives import expand
from calmix.errors import SettingError
from calmix.experiment import Recipe, Source
from calmix.experiment.derivatives import PARTS_OF_THE_WAY, directional_derivatives, measured_epochs, partners
from calmix.experiment.run import initial_model
from calmix.train import TrainingSettings, fit

WINE, FIT = Source("wine"), TrainingSettings(epochs=3, device="cpu")
METHODS = {"erm": erm(), "mixup": mixup(), "late": scheduled(erm(), 2, mixup())}


@pytest.fixture(scope="module")
def found() -> dict:
    return directional_derivatives(WINE, METHODS, FIT, seeds=2, pairs=16, orders=2)


def test_it_is_plain_data_with_an_entry_a_method_seed_and_epoch(found: dict):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    asked = [(run["method"], run["seed"], run["epoch"]) for run in found["runs"]]
    assert sorted(asked) == sorted((m, s, e) for m in METHODS for s in range(2) for e in range(4))
    assert [run["part"] for run in found["reach"]] == list(PARTS_OF_THE_WAY) * len(METHODS) * 2
    assert all(len(run["terms"]) == len(run["remainders"]) - 1 == 2 for run in found["runs"] + found["reach"])


def test_networks_of_a_seed_start_alike_and_those_of_two_seeds_do_not(found: dict):
    start = {(run["method"], run["seed"]): run["mixup"] for run in found["runs"] if run["epoch"] == 0}
    assert start["erm", 0] == start["mixup", 0] != start["erm", 1]


def test_each_epoch_is_that_of_the_network_then(found: dict):
    """A method that is plain training for two epochs is plain training so far, and no longer."""
    by_epoch = {(run["method"], run["epoch"]): run["mixup"] for run in found["runs"] if run["seed"] == 0}
    assert [by_epoch["late", epoch] == by_epoch["erm", epoch] for epoch in range(4)] == [True, True, True, False]


def test_the_last_epoch_is_the_trained_network(found: dict):
    splits = WINE.splits(1)
    network = initial_model(Recipe(WINE, "mixup", mixup(), "smooth_mlp", FIT, 1), splits)
    fit(network, splits, mixup(), Classification(3), FIT, 1)
    expected = expand(network.double(), Classification(3), *partners(splits.train, 16, 1), orders=2)
    last = next(run for run in found["runs"] if (run["method"], run["seed"], run["epoch"]) == ("mixup", 1, 3))
    whole = next(run for run in found["reach"] if (run["method"], run["seed"], run["part"]) == ("mixup", 1, 1.0))
    for run in (last, whole):
        assert run["mixup"] == pytest.approx(expected.mixup)
        assert run["terms"] == pytest.approx(expected.terms)


def test_measuring_changes_no_training(found: dict):
    """With fewer epochs measured in between, the last is the same to the bit."""
    long = directional_derivatives(
        WINE, {"mixup": mixup()}, TrainingSettings(epochs=20, device="cpu"), seeds=1, pairs=4, orders=1
    )
    splits = WINE.splits(0)
    network = initial_model(Recipe(WINE, "mixup", mixup(), "smooth_mlp", TrainingSettings(epochs=20)), splits)
    fit(network, splits, mixup(), Classification(3), TrainingSettings(epochs=20, device="cpu"), 0)
    expected = expand(network.double(), Classification(3), *partners(splits.train, 4, 0), orders=1)
    assert long["runs"][-1]["mixup"] == expected.mixup


def test_every_pair_comes_with_its_reverse():
    x, y, toward = partners(WINE.splits(0).train, 10, seed=3)
    assert x.dtype == torch.float64
    assert torch.equal(x[:5], toward[5:])
    assert torch.equal(toward[:5], x[5:])
    assert y.shape == (10,)


@pytest.mark.parametrize("last", [1, 2, 7, 30, 1000])
def test_epochs_begin_untrained_and_end_with_the_last(last: int):
    epochs = measured_epochs(last)
    assert epochs[0] == 0
    assert epochs[-1] == last
    assert epochs == sorted(set(epochs))
    assert len(epochs) <= 7


def test_regression_is_expanded_too():
    found = directional_derivatives(
        Source("diabetes"), {"erm": erm()}, TrainingSettings(epochs=1), seeds=1, pairs=4, orders=1
    )
    assert found["runs"][-1]["mixup"] > 0


def test_errors_are_advice():
    with pytest.raises(SettingError, match="seeds must be at least 1"):
        directional_derivatives(WINE, METHODS, FIT, seeds=0)
    with pytest.raises(SettingError, match="pairs at least 2"):
        directional_derivatives(WINE, METHODS, FIT, pairs=1)
