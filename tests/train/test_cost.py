"""What a step costs, in units of a plain one."""

import statistics

import pytest
import torch

import calmix
from calmix.core import coefficient
from calmix.data import NamedSet, Split, load
from calmix.models import build, mlp
from calmix.parts import Method, Scheduled
from calmix.train import Recipe, TrainingSettings
from calmix.train import cost as costs
from calmix.train.cost import counted_cost, relative_cost

WINE = load("wine")
FROM_1 = calmix.auto(calmix.mixup(per_row=True))  # its strength begins at 1


def cost(method: Method | Scheduled, model: torch.nn.Module | None = None, train: Split = WINE.train) -> float:
    made = model or build(mlp, (13,), 3)
    return relative_cost(method, made, calmix.Classification(3), train, TrainingSettings(device="cpu"))


def test_plain_training_costs_one_and_two_passes_cost_more():
    assert cost(calmix.erm()) == 1.0
    assert cost(calmix.mixup_e()) > 1.2


def test_the_median_of_the_rounds_ratios_is_reported(monkeypatch: pytest.MonkeyPatch):
    """Plain steps of 1 s; tried ones of 2 s, but for a few that the machine disturbed."""
    ticks = iter([1.0, 2.0] * 3 + [1.0, 2.0] * 9 + [1.0, 50.0] * 4 + [1.0, 1.5] * 2)
    monkeypatch.setattr(costs, "_SECONDS", 0.0)
    monkeypatch.setattr(costs._Stepper, "seconds", lambda stepper: next(ticks))
    assert cost(calmix.mixup()) == 2.0 == statistics.median([2.0] * 9 + [50.0] * 4 + [1.5] * 2)
    assert next(ticks, None) is None


@pytest.mark.parametrize("method", [FROM_1, calmix.scheduled(FROM_1, until=1)])
def test_a_moving_strength_is_measured_where_it_has_moved(method: Method | Scheduled, monkeypatch: pytest.MonkeyPatch):
    """At alpha = 1 alone a share is drawn as a uniform number."""
    drawn = []
    monkeypatch.setattr(costs, "_SECONDS", 0.0)

    def beta(tau: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        drawn.append(tau[0].item())
        return torch.full_like(tau, 0.3)

    monkeypatch.setattr(coefficient, "beta", beta)
    cost(method)
    assert set(drawn) == {0.5}


def test_the_statistics_of_batch_norm_are_moved_as_in_training(monkeypatch: pytest.MonkeyPatch):
    """With `clean` a step of Mixup has a clean forward, which costs something."""
    passes = []

    def counting(shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.Linear(shape[0], 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, outputs))
        model.register_forward_pre_hook(lambda *_: passes.append(1))
        return model

    monkeypatch.setattr(costs, "_SECONDS", 0.0)
    counts = []
    for batch_norm in ("mixed", "clean"):
        passes.clear()
        settings = TrainingSettings(device="cpu", batch_norm=batch_norm)
        relative_cost(calmix.mixup(), build(counting, (13,), 3), calmix.Classification(3), WINE.train, settings)
        counts.append(len(passes))
    assert counts[1] == 1.5 * counts[0]


def test_measuring_leaves_no_trace():
    torch.manual_seed(0)
    model = build(mlp, (13,), 3)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state, threads, x = torch.get_rng_state(), torch.get_num_threads(), WINE.train.x.clone()
    cost(calmix.sk_mixup(), model)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert torch.equal(x, WINE.train.x)


@pytest.mark.parametrize(
    ("name", "cost"), [("erm", 1.0), ("mixup", 1.0), ("regmixup", 2.0), ("mixup_e", 2.0), ("mit_l", 2.0)]
)
def test_counted_operations_are_those_of_forwards_and_backwards(name: str, cost: float):
    recipe = Recipe(NamedSet("wine"), name, calmix.METHODS[name]())
    assert counted_cost(recipe) == pytest.approx(cost)
    assert counted_cost(recipe) == counted_cost(recipe)  # however busy the machine is


def test_a_forward_without_a_backward_is_a_third_of_a_step():
    cost = counted_cost(Recipe(NamedSet("wine"), "sk_mixup", calmix.sk_mixup()))
    assert 1.25 < cost < 1.4  # the last layer is left out, and so is the backward to the inputs
