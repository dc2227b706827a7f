"""Passes with dropout: what they draw and leave behind, what is made of them, and what stands in a run's record."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.data import Arrays, Fixed, Split, Splits, load
from calmix.errors import CalmixError, SettingError
from calmix.metrics import ence, gaussian_of_samples, uce
from calmix.models import MLP, dropout_mlp
from calmix.posthoc import CalibrationGaussian, fit_variance_scaling
from calmix.train import Recipe, TrainingSettings, predict, run
from calmix.train.predicting import stochastic
from calmix.train.running import measure, try_network

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(150, 3, generator=GENERATOR)
Y = 40 + 7 * (X[:, 0] + 0.3 * torch.randn(150, generator=GENERATOR))  # far from a mean of 0 and a deviation of 1
RECIPE = Recipe(
    Arrays(X, Y), "erm", calmix.erm(), dropout_mlp, TrainingSettings(epochs=2, device="cpu", dropout_passes=8)
)


class Noisy(nn.Module):
    """Answers x times (seed's uniform number + 1): one number for all rows of a pass, while its dropout is on."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(1)

    def forward(self, x: Tensor) -> Tensor:
        drawn = torch.rand(()) if self.dropout.training else torch.zeros(())
        return self.norm(x[:, :1]) * (1 + drawn)


class Own(nn.Module):
    """Dropout by a module of somebody's own, that is no dropout of torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.nan if self.training else x


@pytest.fixture(scope="module")
def splits() -> Splits:
    return RECIPE.splits()


@pytest.fixture(scope="module")
def finished():  # pyright: ignore
    return run(RECIPE)


def by_hand(model: nn.Module, split: Split, passes: int, seed: int) -> Tensor:
    """The passes as a reader of the docstring would write them."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        found = torch.stack([model(split.x) for _ in range(passes)])
    model.eval()
    return found


def test_passes_are_those_of_the_seed_whatever_ran_before(splits: Splits):
    model = dropout_mlp((3,), 1)
    first = stochastic(model, splits.test, 5, seed=3)
    torch.rand(17)
    model.train()
    assert torch.equal(stochastic(model, splits.test, 5, seed=3), first)
    assert torch.equal(first, by_hand(model, splits.test, 5, seed=3))
    assert not torch.equal(stochastic(model, splits.test, 5, seed=4), first)
    assert first.shape == (5, len(splits.test), 1)
    assert (first.std(0) > 0).all()  # no two passes drop the same


def test_the_global_random_state_is_given_back_and_the_network_is_in_evaluation(splits: Splits):
    model = dropout_mlp((3,), 1).train()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    stochastic(model, splits.test, 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())


def test_the_network_is_in_evaluation_also_after_an_error(splits: Splits):
    class Fails(Noisy):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("as it was told")

    model = Fails()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="as it was told"):
        stochastic(model, splits.test, 3, seed=0)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_only_dropout_is_as_in_training(splits: Splits):
    """Batch norm keeps its statistics, and other modules that are random in training are not."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Own(), nn.Dropout(0.5), nn.Linear(4, 1)).train()
    state = {name: values.clone() for name, values in model.state_dict().items()}
    found = stochastic(model, splits.test, 4, seed=0)
    assert torch.isfinite(found).all()
    assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())


def test_the_mean_of_many_passes_of_a_linear_network_is_what_it_says_without_dropout(splits: Splits):
    """Dropout keeps the mean: over S passes it differs by a few standard errors."""
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 1))
    found = stochastic(model, splits.test, 4000, seed=0)
    error = found.std(0) / 4000**0.5
    assert ((found.mean(0) - predict(model, splits.test)).abs() < 5 * error).all()


def test_mean_and_deviation_are_those_of_the_passes_in_the_unit_of_the_targets(splits: Splits):
    """A pass multiplies all rows by one number, so that passes and rows cannot be exchanged unnoticed."""
    model = Noisy()
    centre, scale = (torch.tensor(value).double() for value in (splits.about.target_mean, splits.about.target_std))
    assert scale > 2
    assert centre.abs() > 30
    found = measure(model, splits, passes=6, seed=5).predictions
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        factors = 1 + torch.rand(6)
    model.eval()
    rows = model(splits.test.x).detach()  # (n, 1)
    samples = (factors[:, None, None] * rows).double() * scale + centre  # (S, n, 1)
    mean, std = gaussian_of_samples(samples)
    assert np.allclose(found["mean"], mean, rtol=1e-5)
    assert np.allclose(found["std"], std, rtol=1e-4, atol=1e-5)
    assert np.allclose(std, factors.double().std(correction=0) * rows.double().abs() * scale, rtol=1e-4, atol=1e-5)
    assert np.allclose(found["targets"], splits.test.y.double() * scale + centre)


def test_deviations_are_scaled_by_the_calibration_split_and_nothing_else(splits: Splits):
    model = dropout_mlp((3,), 1)
    unit = torch.tensor(splits.about.target_std).double()
    centre = torch.tensor(splits.about.target_mean).double()

    def said(split: Split) -> tuple[Tensor, Tensor, Tensor]:
        mean, std = gaussian_of_samples(by_hand(model, split, 6, seed=2).double() * unit + centre)
        return mean, std, split.y.double() * unit + centre

    mean, std, targets = said(splits.test)
    scaling = fit_variance_scaling(CalibrationGaussian(*said(splits.calibration)))
    found = measure(model, splits, passes=6, seed=2).scores
    for condition, deviations in (("plain", std), ("scaled", scaling(std))):
        assert found[condition]["uce"] == pytest.approx(uce(mean, deviations, targets, 15), rel=1e-4)
        assert found[condition]["ence"] == pytest.approx(ence(mean, deviations, targets, 15), rel=1e-4)
    assert found["plain"]["rmse"] == pytest.approx(float((mean - targets).square().mean().sqrt()), rel=1e-5)
    assert found["scaled"]["uce"] != pytest.approx(found["plain"]["uce"])


def test_a_run_has_them_in_its_record_and_another_has_not(finished):  # pyright: ignore
    metrics, splits = finished.record.metrics, RECIPE.splits()
    assert {"uce", "ence", "rmse", "crps"} <= set(metrics["plain"])
    assert {"uce", "ence"} <= set(metrics["scaled"])
    passes = stochastic(finished.model, splits.test, 8, RECIPE.seed).double() * torch.tensor(splits.about.target_std)
    assert np.allclose(finished.predictions["std"], passes.std(0, correction=0), rtol=1e-4)
    plain = run(replace(RECIPE, settings=replace(RECIPE.settings, dropout_passes=0)))
    assert "std" not in plain.predictions
    assert "uce" not in plain.record.metrics["plain"]
    for name, values in plain.model.state_dict().items():  # measured otherwise, and trained alike
        assert torch.equal(values, finished.model.state_dict()[name]), name


@pytest.mark.parametrize("model", [None, lambda shape, outputs: dropout_mlp(shape, outputs, dropout=0.0)])
def test_a_network_without_dropout_is_refused_before_it_is_trained(model: object):
    with pytest.raises(SettingError, match="this one has none; leave them out, or take a network such as dropout_mlp"):
        try_network(replace(RECIPE, model=model))  # pyright: ignore[reportArgumentType]


def test_classes_are_refused():
    recipe = replace(RECIPE, data=Fixed(load("wine")), model=dropout_mlp)
    with pytest.raises(SettingError, match="dropout_passes are for regressions, and wine has classes; leave them out"):
        try_network(recipe)


@pytest.mark.parametrize("passes", [1, -2])
def test_a_single_pass_has_no_spread(passes: int):
    with pytest.raises(SettingError, match=f"must be 0, or at least 2 to have a spread; got {passes}"):
        TrainingSettings(dropout_passes=passes)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_dropped_is_refused(dropout: float):
    with pytest.raises(CalmixError, match="dropout must be at least 0 and below 1"):
        dropout_mlp((3,), 1, dropout=dropout)


def test_the_perceptron_drops_that_share_after_both_hidden_layers():
    model = dropout_mlp((2, 5), 3, width=7, dropout=0.3)
    assert isinstance(model, MLP)
    body = list(model.body)
    kinds = [type(module).__name__ for module in body]
    assert kinds == ["Flatten", "Linear", "LeakyReLU", "Dropout", "Linear", "LeakyReLU", "Dropout"]
    assert [module.p for module in body if isinstance(module, nn.Dropout)] == [0.3, 0.3]
    assert {module.negative_slope for module in body if isinstance(module, nn.LeakyReLU)} == {0.1}
    assert model(torch.zeros(4, 2, 5)).shape == (4, 3)
