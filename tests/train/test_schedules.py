"""The learning rate in steps: its formula in a real training, in one that goes on, and in text."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import calmix
from calmix.data import Fixed, load
from calmix.errors import CalmixError, SettingError, UnknownNameError
from calmix.results.records import Epoch
from calmix.train import Recipe, TrainingSettings, train
from calmix.train.schedules import Steps, read_steps

WINE = load("wine")
ROWS = len(WINE.train)
SETTINGS = TrainingSettings(epochs=4, batch_size=-(-ROWS // 5), device="cpu", learning_rate=0.01)  # 5 steps an epoch
STEPS = 20


def rates(schedule: str, monkeypatch: pytest.MonkeyPatch, **others: Any) -> list[float]:
    """The optimizer's rate in every step of a training."""
    seen: list[float] = []
    step = torch.optim.SGD.step

    def noted(optimizer: torch.optim.SGD, closure: Any = None) -> Any:
        seen.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    train(Recipe(Fixed(WINE), "erm", calmix.erm(), settings=replace(SETTINGS, schedule=schedule, **others)))
    return seen


def test_the_rate_of_a_training_falls_where_it_is_said(monkeypatch: pytest.MonkeyPatch):
    """Of 20 steps, those from the tenth on have a tenth of the rate, and those from the fifteenth on a hundredth."""
    expected = [0.01] * 10 + [0.001] * 5 + [0.0001] * 5
    assert rates("steps", monkeypatch) == pytest.approx(expected)


def test_a_warm_up_rises_in_a_line_and_multiplies_what_has_fallen(monkeypatch: pytest.MonkeyPatch):
    """A rise over half of the training; a fall to a quarter after a fifth of it, while the rate still rises."""
    found = rates("steps(at=[0.2, 0.8], factor=0.25, warm_up=0.5)", monkeypatch)
    falls = [1.0] * 4 + [0.25] * 12 + [0.0625] * 4
    assert found == pytest.approx([0.01 * min(1.0, k / 10) * fall for k, fall in enumerate(falls)])


def test_the_rate_of_the_last_step_of_an_epoch_stands_in_its_curve():
    seen: list[float | None] = []

    def keep(epoch: Epoch, model: torch.nn.Module) -> None:
        seen.append(epoch.learning_rate)

    settings = replace(SETTINGS, schedule="steps(at=[0.5])")
    train(Recipe(Fixed(WINE), "erm", calmix.erm(), settings=settings), keep)
    assert seen == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_two_trainings_of_a_seed_are_the_same_and_another_fall_is_another_training():
    def weights(schedule: str) -> torch.Tensor:
        recipe = Recipe(Fixed(WINE), "erm", calmix.erm(), settings=replace(SETTINGS, schedule=schedule))
        return torch.cat([values.flatten() for values in train(recipe).model.parameters()])

    assert torch.equal(weights("steps"), weights("steps(at=(0.5, 0.75), factor=0.1)"))
    assert not torch.equal(weights("steps"), weights("steps(at=[0.5])"))


def test_shares_and_factors_at_their_borders():
    steps = Steps(at=(0.25, 0.5), factor=0.5, warm_up=0.25)
    assert [steps.at_share(share) for share in (0.0, 0.125, 0.25, 0.499, 0.5, 1.0)] == [0, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("steps(", SettingError, r"cannot read 'steps\('; .*e.g. 'steps\(at=\[0.5, 0.75\]\)'"),
        ("steps()()", SettingError, "cannot read"),
        ("steps(0.5)", SettingError, "options by name"),
        ("steps(at=0.5)", SettingError, "steps: at must be a tuple; got 0.5"),
        ("steps(at=[])", SettingError, r"shares of the training that rise, such as .*got \(\)"),
        ("steps(at=[0.5, 0.5])", SettingError, "that rise"),
        ("steps(at=[0.75, 0.5])", SettingError, "that rise"),
        ("steps(at=[0, 0.5])", SettingError, "that rise"),
        ("steps(at=[0.5, 1])", SettingError, "that rise"),
        ("steps(at=['half'])", SettingError, "that rise"),
        ("steps(at=[True])", SettingError, "that rise"),
        ("steps(factor=0)", SettingError, "steps: factor must be a positive number; got 0"),
        ("steps(factor=True)", SettingError, "steps: factor must be a float; got True"),
        ("steps(factor='much')", SettingError, "steps: factor must be a float; got 'much'"),
        ("steps(warm_up=1)", SettingError, "warm_up must be at least 0 and below 1; got 1"),
        ("steps(warm_up=-0.1)", SettingError, "warm_up must be at least 0 and below 1; got -0.1"),
        ("steps(att=[0.5])", UnknownNameError, "unknown option of steps 'att'; did you mean 'at'"),
        ("steps(at=[0.5], at=[0.6])", SettingError, "cannot read|at is given twice"),
        ("step", UnknownNameError, "unknown schedule 'step'; did you mean 'steps'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_settings(text: str, error: type[CalmixError], message: str):
    with pytest.raises(error, match=message):
        TrainingSettings(schedule=text)


def test_text_is_read_as_the_value_it_stands_for():
    assert TrainingSettings(schedule="steps").steps == Steps()
    assert TrainingSettings(schedule=" steps ( warm_up=0.1, at=[0.3] )").steps == Steps(at=(0.3,), warm_up=0.1)
    assert TrainingSettings(schedule="one_cycle").steps is None
    assert read_steps("stepsize(at=[0.5])") is None
