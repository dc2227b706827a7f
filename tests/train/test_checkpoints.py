"""A training that is stopped between any two steps, and goes on, ends bit for bit where an undisturbed one does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

import calmix
from calmix.data import Fixed, NamedSet, Splits, load
from calmix.errors import DataError, SettingError
from calmix.methods.table import METHODS
from calmix.parts import Method, Scheduled
from calmix.train import Checkpoints, Recipe, Trained, TrainingSettings, train
from calmix.train.checkpoints import Unfinished

SETTINGS = TrainingSettings(epochs=3, batch_size=22, device="cpu")  # 5 steps an epoch on wine
WINE = NamedSet("wine")
ALWAYS = 1e-9  # minutes: after every step


class Stopping(Exception):
    """What ends a training in these tests."""


def recipe_of(method: Method | Scheduled, settings: TrainingSettings = SETTINGS, **fields: Any) -> Recipe:
    return Recipe(**{"data": WINE, "label": "tried", "method": method, "settings": settings, **fields})


def pictures() -> Splits:
    """Wine's rows as little natural pictures."""
    splits = load("wine")
    parts = {name: getattr(splits, name) for name in ("train", "validation", "calibration", "test")}
    shown = {name: part.x[:, :12].reshape(-1, 3, 2, 2).repeat(1, 1, 4, 4) for name, part in parts.items()}
    about = replace(splits.about, kind="image", natural=True)
    return replace(splits, about=about, **{name: replace(part, rows=shown[name]) for name, part in parts.items()})


def with_dropout(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, outputs))


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Let the block's training end once it has written so many checkpoints."""
    write, written = Checkpoints.write, 0

    def writing(self: Checkpoints, recipe: Recipe, unfinished: Unfinished) -> None:
        nonlocal written
        write(self, recipe, unfinished)
        written += 1
        if written == steps:
            raise Stopping

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "write", writing)
        with pytest.raises(Stopping):
            yield


def resumed(recipe: Recipe, folder: Path, stops: list[int]) -> Trained:
    """The training that is stopped so many steps after each beginning."""
    checkpoints = Checkpoints(folder, ALWAYS)
    for steps in stops:
        with stopped_after(steps):
            train(recipe, checkpoints=checkpoints)
    return train(recipe, checkpoints=checkpoints)


@cache
def undisturbed(recipe: Recipe) -> Trained:
    return train(recipe)


def same(one: Trained, other: Trained) -> bool:
    """Weights, statistics, learning curve and kept epoch, bit for bit."""
    first, second = one.model.state_dict(), other.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert one.history == other.history
    return one.epoch == other.epoch


@pytest.mark.parametrize("name", METHODS)
def test_every_method_ends_where_it_would_have_ended(name: str, tmp_path: Path):
    data = {"cutmix": Fixed(pictures()), "c_mixup": NamedSet("diabetes", train_size=110)}.get(name, WINE)
    recipe = recipe_of(METHODS[name](), data=data)
    assert same(resumed(recipe, tmp_path, [2, 1, 2, 4]), train(recipe))  # after step 2, 3, 5 (an epoch) and 9 of 15


WITH_DROPOUT = {"method": calmix.sk_mixup(), "model": with_dropout}
KINDS = {
    **{
        f"{optimizer}, {schedule}": recipe_of(
            settings=replace(SETTINGS, optimizer=optimizer, schedule=schedule), **WITH_DROPOUT
        )
        for optimizer in ("sgd", "adamw")
        for schedule in ("cosine", "one_cycle", "constant")
    },
    "the best epoch": recipe_of(calmix.mixup(), replace(SETTINGS, select="best", learning_rate=0.5)),
    "balanced": recipe_of(calmix.mixup(), replace(SETTINGS, sampler="balanced", class_weight="balanced")),
    "crop and flip": recipe_of(calmix.mixup(), data=Fixed(pictures())),
    "remembered": recipe_of(calmix.sk_mixup(remember=True)),
    "scheduled": recipe_of(calmix.scheduled(calmix.mixup(), until=1, then=calmix.regmixup())),
    "clean statistics": recipe_of(
        settings=replace(SETTINGS, batch_norm="clean", refresh_batch_norm=True), **WITH_DROPOUT
    ),
    "half precision": recipe_of(calmix.mixup(), replace(SETTINGS, precision="bf16")),
    "moving average": recipe_of(settings=replace(SETTINGS, average="ema", select="best"), **WITH_DROPOUT),
    "average of the last epochs": recipe_of(settings=replace(SETTINGS, average="swa(start=0.3)"), **WITH_DROPOUT),
    "one batch an epoch": recipe_of(calmix.mixup(), replace(SETTINGS, batch_size=200, epochs=20)),
    "a strength of its own": recipe_of(calmix.auto(calmix.sk_mixup()), replace(SETTINGS, average="ema")),
    "strengths of classes": recipe_of(calmix.auto(per_class=True), SETTINGS),
    "a strength, seldom validated": recipe_of(calmix.auto(), replace(SETTINGS, epochs=40, batch_size=60)),
    "seldom validated": recipe_of(calmix.mixup(), replace(SETTINGS, epochs=40, batch_size=60)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_changes_in_a_training_is_in_its_checkpoint(kind: str, tmp_path: Path):
    recipe = KINDS[kind]
    assert same(resumed(recipe, tmp_path, [1, 4, 7]), undisturbed(recipe))  # after step 1, 5 (an epoch) and 12


def test_a_run_that_was_stopped_as_its_patience_ended_does_not_go_on(tmp_path: Path):
    settings = replace(SETTINGS, epochs=30, select="best", learning_rate=0.5, schedule="constant")
    recipe = recipe_of(calmix.mixup(), settings)
    expected = train(recipe, patience=1)
    epochs = len(expected.history)
    assert epochs < 30
    for steps in (5 * epochs, 5 * epochs - 3):  # after the last step of all, and before
        checkpoints = Checkpoints(tmp_path / str(steps), ALWAYS)
        with stopped_after(steps):
            train(recipe, checkpoints=checkpoints, patience=1)
        assert same(train(recipe, checkpoints=checkpoints, patience=1), expected)


@settings(max_examples=6)
@given(st.lists(st.integers(1, 6), max_size=4).filter(lambda stops: sum(stops) <= 15))
@example([5, 5, 5])  # at every epoch's end
@example([14])
@example([15])  # the training is done
def test_wherever_and_however_often_it_is_stopped(stops: list[int]):
    with tempfile.TemporaryDirectory() as folder:
        assert same(resumed(KINDS["the best epoch"], Path(folder), stops), undisturbed(KINDS["the best epoch"]))


def test_a_step_is_neither_repeated_nor_left_out(tmp_path: Path):
    """15 steps in all, wherever the training was stopped; their time adds up."""
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    with stopped_after(7):
        train(recipe, checkpoints=checkpoints)
    left = checkpoints.read(recipe)
    assert left is not None
    assert (left.epoch, left.batch) == (1, 2)
    steps = 0

    class Counting(calmix.TrainingLoss):
        def forward(self, model: Any, x: Any, y: Any, index: Any = None) -> Any:
            nonlocal steps
            steps += self.training
            return super().forward(model, x, y, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calmix.train.training.TrainingLoss", Counting)
        trained = train(recipe, checkpoints=checkpoints)
    assert steps == 15 - 7
    assert trained.seconds > left.seconds > 0


def test_seconds_waited_add_up_over_all_parts_of_a_run(tmp_path: Path):
    """In a checkpoint after step 7 of 15, with 60 seconds waited in the first epoch and 40 in the second so far."""
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    with stopped_after(7):
        train(recipe, checkpoints=checkpoints)
    left = checkpoints.read(recipe)
    assert left is not None
    module = left.states["module"]["_extra_state"]
    assert left.states["batches"]["waited"] > module["waited"] == module["history"][0]["waited"] > 0
    module["waited"] = module["history"][0]["waited"] = 60.0
    left.states["batches"]["waited"] = 100.0
    checkpoints.write(recipe, left)
    trained = train(recipe, checkpoints=checkpoints)
    waited = [epoch.waited or 0.0 for epoch in trained.history]
    assert trained.waited > 100
    assert sum(waited) == pytest.approx(trained.waited)
    assert (waited[0], waited[1] > 40) == (60, True)


def test_a_checkpoint_of_a_version_that_kept_no_waiting_goes_on(tmp_path: Path):
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    with stopped_after(7):
        train(recipe, checkpoints=checkpoints)
    left = checkpoints.read(recipe)
    assert left is not None
    module = left.states["module"]["_extra_state"]
    del left.states["batches"]["waited"], module["waited"], module["history"][0]["ended"]
    checkpoints.write(recipe, left)
    assert same(train(recipe, checkpoints=checkpoints), undisturbed(recipe))


# ------------------------------------------------------------------------------------------------ in the file


def test_a_checkpoint_is_tensors_and_plain_values_in_one_file(tmp_path: Path):
    recipe = recipe_of(calmix.sk_mixup(remember=True), replace(SETTINGS, optimizer="adamw", select="best"))
    checkpoints = Checkpoints(tmp_path, ALWAYS)
    with stopped_after(6):
        train(recipe, checkpoints=checkpoints)
    path = checkpoints.path("tried", 0)
    assert [path] == [found for found in tmp_path.rglob("*") if found.is_file()]
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["calmix"])
        assert described["recipe"] == recipe.text
        assert (described["epoch"], described["batch"]) == (1, 1)
        assert torch.bfloat16 in {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    left = checkpoints.read(recipe)
    assert left is not None
    assert left.states["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert set(left.states["optimizer"]["state"]) == set(range(len(list(recipe.network().parameters()))))


def test_nothing_is_written_before_its_time(tmp_path: Path):
    train(recipe_of(calmix.mixup()), checkpoints=Checkpoints(tmp_path, minutes=5.0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_minutes_are_positive(minutes: float, tmp_path: Path):
    with pytest.raises(SettingError, match="checkpoint_minutes must be a positive number"):
        Checkpoints(tmp_path, minutes)


@pytest.mark.parametrize(
    "other", [{"method": calmix.mixup(alpha=2.0)}, {"settings": replace(SETTINGS, epochs=4)}, {"weights_seed": 9}]
)
def test_another_run_of_the_same_name_is_refused(other: dict[str, Any], tmp_path: Path):
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    with stopped_after(2):
        train(recipe, checkpoints=checkpoints)
    with pytest.raises(DataError, match="holds 'tried' with other settings, data or code; repeat the command"):
        train(replace(recipe, **other), checkpoints=checkpoints)


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"", lambda content: content[::-1]])
def test_a_damaged_checkpoint_is_passed_over(damage: Any, tmp_path: Path):
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    with stopped_after(2):
        train(recipe, checkpoints=checkpoints)
    path = checkpoints.path("tried", 0)
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoints.read(recipe) is None
    assert same(train(recipe, checkpoints=checkpoints), train(recipe))


def test_a_state_that_does_not_fit_is_one_sentence(tmp_path: Path):
    recipe, checkpoints = recipe_of(calmix.mixup()), Checkpoints(tmp_path, ALWAYS)
    checkpoints.write(recipe, Unfinished(recipe.text, 1, 0, 1.0, {"module": {}, "torch": {}}))
    with pytest.raises(DataError, match=r"tried-seed0.safetensors cannot be read .*; delete it to begin the run anew"):
        train(recipe, checkpoints=checkpoints)


def test_a_training_whose_checkpoint_cannot_be_written_goes_on(tmp_path: Path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="no checkpoint of tried, seed 0: cannot write .*/checkpoints"):
        assert len(train(recipe_of(calmix.mixup()), checkpoints=Checkpoints(tmp_path, ALWAYS)).history) == 3


def test_what_is_no_plain_value_is_not_written(tmp_path: Path):
    recipe = recipe_of(calmix.mixup())
    with pytest.raises(DataError, match="a state of the run holds set; checkpoints hold tensors and plain values"):
        Checkpoints(tmp_path).write(recipe, Unfinished(recipe.text, 1, 0, 1.0, {"odd": {1, 2}}))


# -------------------------------------------------------------------------------------- a run that is told to end


class Told(BaseException):
    """What a handler of a signal raises here."""


@contextmanager
def handled(number: int) -> Iterator[None]:
    def tell(number: int, frame: object) -> None:
        raise Told

    before = signal.signal(number, tell)
    try:
        yield
        assert signal.getsignal(number) is tell  # as it was
    finally:
        signal.signal(number, before)


def told_in_step(number: int, step: int, times: int = 1) -> Any:
    """A training loss during whose step the process is told to end."""

    class Telling(calmix.TrainingLoss):
        done = 0

        def forward(self, model: Any, x: Any, y: Any, index: Any = None) -> Any:
            found = super().forward(model, x, y, index)
            self.done += self.training
            if self.training and self.done == step:
                for _ in range(times):
                    signal.raise_signal(number)
            return found

    return Telling


@pytest.mark.parametrize("step", [3, 5, 15])  # in an epoch, at the end of one, at the very end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_end_finishes_the_step_and_writes_a_checkpoint(
    number: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe, checkpoints = recipe_of(calmix.sk_mixup()), Checkpoints(tmp_path)
    with monkeypatch.context() as patch, handled(number):
        patch.setattr("calmix.train.training.TrainingLoss", told_in_step(number, step))
        with pytest.raises(Told):
            train(recipe, checkpoints=checkpoints)
    left = checkpoints.read(recipe)
    assert left is not None
    assert (left.epoch, left.batch) == divmod(step, 5)
    assert same(train(recipe, checkpoints=checkpoints), undisturbed(recipe))


def test_who_is_told_twice_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.train.training.TrainingLoss", told_in_step(signal.SIGTERM, 3, times=2))
    with handled(signal.SIGTERM), pytest.raises(Told):
        train(recipe_of(calmix.mixup()), checkpoints=Checkpoints(tmp_path))
    assert not list(tmp_path.iterdir())


def test_without_a_handler_the_exit_code_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.train.training.TrainingLoss", told_in_step(signal.SIGTERM, 3))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as stopped:
            train(recipe_of(calmix.mixup()), checkpoints=Checkpoints(tmp_path))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 143
    assert Checkpoints(tmp_path).path("tried", 0).exists()


# ------------------------------------------------------------------------------------------------- the command

TRAIN = ["train", "wine", "--method", "auto", "--epochs", "60", "--checkpoint-minutes", "1e-6", "--quiet"]
TIMES = ("train_seconds", "waited_seconds", "relative_cost", "cost_machine")
RUN = [sys.executable, "-c", "import sys; from calmix.cli import main; main(sys.argv[1:])"]


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_killed_inside_its_run_goes_on_there(how: int, code: int, tmp_path: Path):
    calm, torn = tmp_path / "calm", tmp_path / "torn"
    subprocess.run([*RUN, *TRAIN, "--out", str(calm)], check=True)
    path = Checkpoints(torn).path("auto", 0)
    command = subprocess.Popen([*RUN, *TRAIN, "--out", str(torn)], stderr=subprocess.PIPE)
    while not path.exists() and command.poll() is None:
        time.sleep(0.001)
    os.kill(command.pid, how)
    _, told = command.communicate()
    assert command.returncode == code, told.decode()
    assert path.exists()
    refused = subprocess.run([*RUN, *TRAIN, "--out", str(torn)], check=False, stderr=subprocess.PIPE, text=True)
    assert (refused.returncode, "already holds a run that was stopped; add --resume" in refused.stderr) == (2, True)
    subprocess.run([*RUN, *TRAIN, "--resume", "--out", str(torn)], check=True)
    assert (torn / "model.safetensors").read_bytes() == (calm / "model.safetensors").read_bytes()
    assert run_of(torn) == run_of(calm)
    assert {path.relative_to(torn) for path in torn.rglob("*")} == {path.relative_to(calm) for path in calm.rglob("*")}


def run_of(folder: Path) -> dict[str, Any]:
    """The record without what a clock said."""
    record = json.loads((folder / "runs" / "auto-seed0.json").read_text())
    return {name: value for name, value in record.items() if name not in TIMES}
