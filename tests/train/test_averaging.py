"""Averaged weights: the closed forms, what is judged, what is kept, and the statistics that belong to them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import calmix
from calmix.core.batch_norm import refresh_batch_norm
from calmix.data import Fixed, load
from calmix.errors import CalmixError, SettingError
from calmix.methods.table import METHODS
from calmix.results.records import Epoch
from calmix.train import Recipe, Trained, TrainingSettings, predict, run, train
from calmix.train.averaging import EMA, SWA, read_average
from calmix.train.batches import Batches

WINE = load("wine")
SETTINGS = TrainingSettings(epochs=6, batch_size=200, device="cpu", schedule="constant")  # one step an epoch
State = dict[str, torch.Tensor]


def normed(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def trained(average: str, method: str = "mixup", **others: Any) -> tuple[Trained, list[State]]:
    """The training, and the network as it was trained, after every epoch."""
    seen: list[State] = []

    def keep(epoch: Epoch, model: nn.Module) -> None:
        seen.append({name: values.double() for name, values in model.state_dict().items()})

    settings = replace(SETTINGS, average=average, **others)
    return train(Recipe(Fixed(WINE), method, METHODS[method](), normed, settings), keep), seen


def moving(states: list[State], decay: float) -> State:
    """Their moving average in float64, by its formula."""
    average = states[0]
    for step, state in enumerate(states[1:], start=2):
        d = min(decay, step / (9 + step))
        average = {name: d * average[name] + (1 - d) * state[name] for name in average}
    return average


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_a_moving_average_is_its_formula_also_of_the_running_statistics(decay: float):
    run, states = trained(f"ema(decay={decay})")
    expected = moving(states, decay)
    for name, values in run.model.state_dict().items():
        if values.is_floating_point():
            assert torch.allclose(values.double(), expected[name], rtol=1e-4, atol=1e-6), name
    assert not torch.allclose(run.model.get_parameter("0.weight").double(), states[-1]["0.weight"], rtol=1e-3)


def test_the_average_of_the_last_epochs_is_their_mean_with_statistics_of_clean_rows():
    run, states = trained("swa(start=0.5)")
    for name, _ in run.model.named_parameters():
        mean = torch.stack([state[name] for state in states[3:]]).mean(0)
        assert torch.allclose(run.model.get_parameter(name).double(), mean, rtol=1e-4, atol=1e-6), name
    before = run.model.get_buffer("1.running_mean").clone()
    refresh_batch_norm(run.model, Batches(WINE.train, 200))
    assert torch.allclose(run.model.get_buffer("1.running_mean"), before, atol=1e-6)
    assert not torch.allclose(before.double(), states[-1]["1.running_mean"], atol=1e-3)


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_averaging_does_not_change_how_the_network_is_trained(average: str):
    (plain, before), (run, states) = trained("none"), trained(average)
    assert [epoch.train for epoch in run.history] == [epoch.train for epoch in plain.history]
    assert all(
        torch.equal(state[name], other[name]) for state, other in zip(states, before, strict=True) for name in state
    )


def test_validation_rows_judge_the_moving_average_and_the_best_one_is_kept():
    run, _ = trained("ema(decay=0.5)", select="best", epochs=12, learning_rate=0.3)
    losses = [epoch.validation["loss"] for epoch in run.history]
    task = calmix.Classification(3)
    again = task.loss(predict(run.model, WINE.validation), task.target(WINE.validation.y)).mean()
    assert run.epoch == 1 + losses.index(min(losses))
    assert float(again) == pytest.approx(min(losses), abs=1e-5)


def test_validation_rows_judge_the_network_that_is_trained_where_the_average_comes_last():
    (plain, _), (run, _) = trained("none"), trained("swa")
    assert run.history == plain.history


@pytest.mark.parametrize("method", ["erm", "sk_mixup", "mixup_e"])
def test_every_method_is_averaged_alike(method: str):
    run, states = trained("ema(decay=0.9)", method)
    expected = moving(states, 0.9)
    assert torch.allclose(run.model.get_parameter("0.weight").double(), expected["0.weight"], rtol=1e-4, atol=1e-6)


def test_an_average_is_in_the_recipe_only_where_it_is_asked_for():
    assert "average" not in repr(TrainingSettings())
    assert eval(repr(TrainingSettings(average="ema")), {"TrainingSettings": TrainingSettings}).averaging == EMA()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emma", "unknown average 'emma'; did you mean 'ema'?"),
        ("ema(dekay=0.9)", "unknown option of ema 'dekay'; did you mean 'decay'?"),
        ("none(decay=0.9)", "unknown option of none 'decay'"),
        ("ema(decay=1.0)", "ema: decay must lie between 0 and 1; got 1.0"),
        ("ema(decay=high)", "ema: decay must be a float; got 'high'"),
        ("swa(start=1.0)", "swa: start must be at least 0 and below 1; got 1.0"),
        ("swa(", "cannot read 'swa\\('"),
    ],
)
def test_averages_that_cannot_be_read_are_one_sentence(text: str, message: str):
    with pytest.raises(CalmixError, match=message):
        TrainingSettings(average=text)


def test_there_is_no_best_epoch_of_an_average_over_epochs():
    with pytest.raises(CalmixError, match="average 'swa' is of the last epochs, and there is no best one"):
        TrainingSettings(average="swa", select="best")


def test_the_epochs_that_are_averaged():
    assert [epoch for epoch in range(1, 9) if SWA(0.5).takes(epoch, 8)] == [5, 6, 7, 8]
    assert [epoch for epoch in range(1, 4) if SWA(0.99).takes(epoch, 3)] == [3]
    assert read_average(" swa(start = 0.5) ") == SWA(0.5)


def dropped(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Whose refreshed statistics depend on what dropout draws."""
    return nn.Sequential(nn.Linear(shape[0], 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


@pytest.mark.parametrize("select", ["last", "best"])
def test_other_weights_of_a_training_are_those_of_a_training_with_their_settings(select: str):
    given = replace(SETTINGS, batch_size=32, select=select)
    also = [replace(given, refresh_batch_norm=True)]
    if select == "last":
        also += [replace(given, average=average) for average in ("ema", "swa(start=0.5)")]
        also += [replace(given, average="ema", refresh_batch_norm=True)]
    recipe = Recipe(Fixed(WINE), "mixup", METHODS["mixup"](), dropped, given)
    alone, together = train(recipe), train(replace(recipe, also=tuple(also)))
    assert together.history == alone.history
    for one, network in zip((given, *also), (together.model, *together.also), strict=True):
        expected = train(replace(recipe, settings=one)).model.state_dict()
        assert not network.training
        for name, values in network.state_dict().items():
            assert torch.equal(values, expected[name]), (one.weights, name)
    found = run(replace(recipe, also=tuple(also)))
    for one in also:
        expected = run(replace(recipe, settings=one))
        metrics = found.record.metrics[f"also/{one.weights}"]
        assert metrics == {name: expected.record.metrics["plain"][name] for name in ("accuracy", "nll", "ece")}
        assert (found.predictions[f"also/{one.weights}"] == expected.predictions["logits"]).all()


def test_a_recipe_without_other_weights_is_written_as_before_there_were_any():
    recipe = Recipe(Fixed(WINE), "mixup", METHODS["mixup"](), normed, SETTINGS)
    assert "also" not in recipe.text
    other = replace(SETTINGS, average="ema")
    assert f"also=({other!r},)" in replace(recipe, also=(other,)).text


@pytest.mark.parametrize(
    ("given", "other", "method", "said"),
    [
        ({}, {"epochs": 3, "average": "ema"}, "mixup", "differ in average and refresh_batch_norm alone; got Training"),
        ({"select": "best"}, {"average": "ema"}, "mixup", "the best epoch of ema is another one than that of none"),
        ({}, {"average": "ema"}, "auto", "auto sets its strength by the average of ema"),
        ({"average": "ema"}, {"average": "none"}, "auto", "auto sets its strength by the average of ema"),
    ],
)
def test_weights_of_another_training_are_refused(given: Any, other: Any, method: str, said: str):
    settings = replace(SETTINGS, **given)
    with pytest.raises(SettingError, match=said):
        Recipe(Fixed(WINE), method, METHODS[method](), normed, settings, also=(replace(settings, **other),))


def test_a_method_that_sets_its_strength_may_leave_the_average_of_its_last_epochs():
    swa = replace(SETTINGS, average="swa")
    recipe = Recipe(Fixed(WINE), "auto", METHODS["auto"](), normed, SETTINGS)
    (network,) = train(replace(recipe, also=(swa,))).also
    expected = train(replace(recipe, settings=swa)).model.state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in network.state_dict().items())
