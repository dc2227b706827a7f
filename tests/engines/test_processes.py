"""Runs one after the other, and several at a time: the same numbers, the same errors, the same news."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import active_children, current_process
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import calmix
from calmix.data import NamedSet, Splits, load
from calmix.engines import Orders, Processes, default_workers, processes
from calmix.errors import SettingError
from calmix.models import MLP
from calmix.results.files import NamedArrays
from calmix.results.records import Epoch, Failure, Record
from calmix.train import Checkpoints, Recipe, TrainingSettings

QUICK = TrainingSettings(epochs=2)
METHODS = {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}
RECIPES = [
    Recipe(NamedSet("wine"), label, method, settings=QUICK, seed=seed)
    for seed in (0, 1)
    for label, method in METHODS.items()
]
ALL_NEWS = [(recipe.label, recipe.seed, epoch) for recipe in RECIPES for epoch in (1, 2)]

Finished = dict[tuple[str, int], tuple[Record, NamedArrays]]
News = list[tuple[str, int, int]]


def carried_out(recipes: list[Recipe], workers: int) -> tuple[Finished, News]:
    news: News = []
    found = list(Processes(workers).carry_out(recipes, Orders(lambda *told: news.append(told[:3]))))
    finished = [ended for ended in found if not isinstance(ended, Failure)]
    assert len(finished) == len(found)
    return {(record.method, record.seed): (record, predictions) for record, predictions in finished}, news


@pytest.fixture(scope="module")
def in_turn() -> tuple[Finished, News]:
    return carried_out(RECIPES, 1)


@pytest.fixture(scope="module")
def at_a_time() -> tuple[Finished, News]:
    return carried_out(RECIPES, 2)


def test_workers_give_what_one_after_the_other_gives(in_turn: tuple[Finished, News], at_a_time: tuple[Finished, News]):
    ours, theirs = at_a_time[0], in_turn[0]
    assert set(ours) == set(theirs) == {(recipe.label, recipe.seed) for recipe in RECIPES}
    for run, (record, predictions) in ours.items():
        assert replace(record, train_seconds=0) == replace(theirs[run][0], train_seconds=0)
        assert {name: array.tobytes() for name, array in predictions.items()} == {
            name: array.tobytes() for name, array in theirs[run][1].items()
        }


def test_the_numbers_do_not_depend_on_the_threads_of_the_process(in_turn: tuple[Finished, News]):
    """Neither the splits, nor the training, nor what is measured."""
    record, _ = in_turn[0]["sk_mixup", 0]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        [(again, _)] = carried_out([RECIPES[1]], 1)[0].values()
    finally:
        torch.set_num_threads(before)
    assert replace(again, train_seconds=0) == replace(record, train_seconds=0)


def test_one_after_the_other_keeps_the_order_and_tells_every_epoch(in_turn: tuple[Finished, News]):
    finished, news = in_turn
    assert list(finished) == [(recipe.label, recipe.seed) for recipe in RECIPES]
    assert news == ALL_NEWS


def test_workers_tell_of_every_run_until_its_last_epoch(at_a_time: tuple[Finished, News]):
    news = at_a_time[1]
    assert set(news) <= set(ALL_NEWS)
    last = {(label, seed): epoch for label, seed, epoch in news if epoch == 2}
    assert set(last) == {(recipe.label, recipe.seed) for recipe in RECIPES}


def test_runs_are_carried_out_as_they_are_asked_for():
    """Nothing is trained before the first result is taken, and no second run before the second."""
    news: News = []
    runs = Processes(1).carry_out(RECIPES, Orders(lambda *told: news.append(told[:3])))
    assert news == []
    next(runs)
    assert news == ALL_NEWS[:2]
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert news == ALL_NEWS[:2]


def failing(seed: int) -> Recipe:
    settings = TrainingSettings(epochs=30, learning_rate=1e20)
    return Recipe(NamedSet("diabetes"), "erm", calmix.erm(), settings=settings, seed=seed)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_fails_is_named_and_the_others_go_on(workers: int):
    before = set(active_children())
    ended = list(Processes(workers).carry_out([failing(0), RECIPES[0], failing(1)]))
    failures = {run.seed: run for run in ended if isinstance(run, Failure)}
    assert set(failures) == {0, 1}
    assert len(ended) == 3
    for seed, failure in failures.items():
        assert (failure.method, failure.seed) == ("erm", seed)
        assert re.search(r"training diverged in epoch \d+ .* lower the learning rate", failure.reason)
    assert not [child for child in active_children() if child not in before and child.is_alive()]


class Ends(nn.Linear):
    """A network that comes to its end in the third step."""

    steps, how = 0, ""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.steps == 3:
            if self.how in ("SIGKILL", "SIGTERM"):
                os.kill(os.getpid(), signal.Signals[self.how])
                time.sleep(60)
            raise MemoryError if self.how == "memory" else KeyError("third")
        return super().forward(input)


def ends(shape: tuple[int, ...], outputs: int, how: str) -> nn.Module:
    network = Ends(shape[0], outputs)
    network.how = how
    return network


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("error", r"^KeyError: 'third' \(.*test_processes.py, line \d+\)$"),
        ("memory", "^it ran out of memory; take smaller"),
    ],
)
def test_an_error_of_the_users_network_is_told_with_its_place(how: str, reason: str):
    recipe = Recipe(NamedSet("wine"), "erm", calmix.erm(), partial(ends, how=how), QUICK)
    [failure] = Processes(1).carry_out([recipe])
    assert isinstance(failure, Failure)
    assert re.search(reason, failure.reason)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_a_process_that_is_killed_costs_its_run_alone(how: str):
    killed = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), partial(ends, how=how), QUICK)
    ended = list(Processes(2).carry_out([killed, *RECIPES[:2], replace(killed, seed=1)]))
    failures = [run for run in ended if isinstance(run, Failure)]
    assert len(ended) == 4
    assert sorted(run.seed for run in failures) == [0, 1]
    assert all(run.method == "mixup" and "its process died" in run.reason for run in failures)


class Hangs(nn.Linear):
    """A network that is never done with its first step, but in one process."""

    folder, free = Path(), 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training and os.getpid() != self.free:
            (self.folder / f"hangs{os.getpid()}").touch()
            time.sleep(3600)
        return super().forward(input)


def hangs(shape: tuple[int, ...], outputs: int, folder: Path, free: int) -> nn.Module:
    network = Hangs(shape[0], outputs)
    network.folder, network.free = folder, free
    return network


def hanging(folder: Path, seed: int = 0) -> Recipe:
    factory = partial(hangs, folder=folder, free=os.getpid())
    return Recipe(NamedSet("wine"), "mixup", calmix.mixup(), factory, QUICK, seed)


def a_day_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock for time limits: a day passes whenever a run has begun to hang, and no time else."""
    clock = SimpleNamespace(monotonic=lambda: 86400.0 * len(list(folder.glob("hangs*"))))
    monkeypatch.setattr(processes, "time", clock)


def check_ended(ended: object, folder: Path, runs: int) -> None:
    """A run that hung is a failure, and its process is gone."""
    assert isinstance(ended, Failure)
    assert ended.method == "mixup"
    assert re.match(r"it was ended, as it took longer than 1439 minutes; if it does not hang, allow it", ended.reason)
    left = [int(path.name.removeprefix("hangs")) for path in folder.glob("hangs*")]
    assert len(left) == runs
    assert os.getpid() not in left
    assert not any(map(alive, left))


def test_a_run_that_hangs_is_ended_and_the_others_go_on(
    tmp_path: Path, in_turn: tuple[Finished, News], monkeypatch: pytest.MonkeyPatch
):
    """Also from a daemon, which multiprocessing lets have no children."""
    a_day_passes(tmp_path, monkeypatch)
    monkeypatch.setitem(vars(current_process())["_config"], "daemon", True)
    hung, good = Processes(1).carry_out([hanging(tmp_path), RECIPES[0]], Orders(run_timeout=1439))
    assert current_process().daemon
    check_ended(hung, tmp_path, 1)
    assert not isinstance(good, Failure)
    assert replace(good[0], train_seconds=0) == replace(in_turn[0]["erm", 0][0], train_seconds=0)


def test_a_run_that_is_only_slow_is_ended_with_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It may finish its step, and goes on from there when it is asked for again."""
    long, checkpoints, told = replace(RECIPES[1], settings=replace(QUICK, epochs=150)), Checkpoints(tmp_path), [0]
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: 61.0 if told[-1] else 0.0))
    orders = Orders(lambda label, seed, epochs, entry: told.append(epochs), checkpoints, run_timeout=1)
    [failure] = Processes(1).carry_out([long], orders)
    assert isinstance(failure, Failure)
    assert "it was ended" in failure.reason
    left = checkpoints.read(long)
    assert left is not None
    assert 1 <= left.epoch < 150
    [again, alone] = (next(Processes(1).carry_out([long], Orders(checkpoints=given))) for given in (checkpoints, None))
    assert not isinstance(again, Failure)
    assert not isinstance(alone, Failure)
    assert replace(again[0], train_seconds=0) == replace(alone[0], train_seconds=0)


def test_minutes_that_no_run_can_keep_to_are_refused():
    for given in (0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="run_timeout must be a"):
            Orders(run_timeout=given)


ORPHANS = """
import os, sys, time
from functools import partial
from torch import nn
import calmix
from calmix.data import NamedSet

class Waits(nn.Linear):
    def forward(self, input):
        if self.training and os.getpid() != int(os.environ["PARENT"]):
            open(f"worker{os.getpid()}", "w").close()
            time.sleep(100)
        return super().forward(input)

def waits(shape, outputs):
    return Waits(shape[0], outputs)

if __name__ == "__main__":
    os.environ["PARENT"] = str(os.getpid())
    calmix.compare(waits, NamedSet("wine"), {"erm": calmix.erm()}, seeds=2, workers=2)
"""


def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path: Path):
    (tmp_path / "orphans.py").write_text(ORPHANS)
    with subprocess.Popen([sys.executable, "orphans.py"], cwd=tmp_path, stderr=subprocess.DEVNULL) as parent:
        while len(found := list(tmp_path.glob("worker*"))) < 2:
            assert parent.poll() is None
            time.sleep(0.1)
        parent.kill()
    left = [int(path.name.removeprefix("worker")) for path in found]
    for _ in range(100):
        left = [worker for worker in left if alive(worker)]
        time.sleep(0.1)
        if not left:
            break
    assert left == []


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_script_without_a_guard_is_advice(tmp_path: Path):
    """Its workers would run it again, and so never come to life."""
    run = 'import calmix\ncalmix.compare(data=calmix.data.NamedSet("wine"), seeds=1, workers=2)\n'
    (tmp_path / "script.py").write_text(run)
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "a run's process could not start" in found.stderr.splitlines()[-1]
    assert "if __name__ == '__main__':" in found.stderr.splitlines()[-1]


@dataclass(frozen=True)
class Here:
    """Data that only one process can read."""

    process: int
    train_size: int | None = None

    def splits(self, seed: int) -> Splits:
        assert os.getpid() == self.process
        return load("wine", train_size=50)

    def whole(self) -> "Here":
        return self


def test_workers_that_are_no_longer_wanted_leave_a_checkpoint(tmp_path: Path):
    """And the run goes on from it, to the record of one that was left alone."""
    long = replace(RECIPES[1], settings=replace(QUICK, epochs=150))
    checkpoints, told = Checkpoints(tmp_path), []

    class Enough(Exception):
        pass

    def tick(label: str, seed: int, epochs: int, entry: Epoch | None) -> None:
        told.append(epochs)
        raise Enough

    with pytest.raises(Enough):
        next(Processes(2).carry_out([long, replace(long, seed=1)], Orders(tick, checkpoints)))
    left = checkpoints.read(long) or checkpoints.read(replace(long, seed=1))
    assert left is not None
    assert left.epoch < 150
    stopped = replace(long, seed=0 if checkpoints.read(long) else 1)
    [again, alone] = (
        next(Processes(1).carry_out([stopped], Orders(checkpoints=given))) for given in (checkpoints, None)
    )
    assert not isinstance(again, Failure)
    assert not isinstance(alone, Failure)
    assert replace(again[0], train_seconds=0) == replace(alone[0], train_seconds=0)


def test_splits_travel_to_workers_and_not_their_source():
    """A worker that read the same file again would hold the data twice."""
    recipe = Recipe(Here(os.getpid()), "erm", calmix.erm(), settings=QUICK)
    recipes = [recipe, replace(recipe, seed=1)]
    finished = carried_out(recipes, 2)[0]
    assert {record.recipe for record, _ in finished.values()} == {recipe.text for recipe in recipes}


def test_what_cannot_be_sent_to_a_worker_is_advice():
    anonymous = Recipe(NamedSet("wine"), "erm", calmix.erm(), lambda outputs: MLP(13, outputs), QUICK)
    with pytest.raises(SettingError, match=r"cannot be sent .* define the model's factory, .* at the top of a module"):
        next(Processes(2).carry_out([anonymous, replace(anonymous, seed=1)]))
    [(record, _)] = carried_out([anonymous], 1)[0].values()
    assert record.epoch == 2


def test_there_are_no_more_workers_than_runs_or_cores_and_one_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_cores", lambda: 6)
    assert [default_workers(runs, TrainingSettings(device="cpu")) for runs in (1, 4, 100)] == [1, 4, 6]
    assert [default_workers(100, TrainingSettings(device="cpu", threads=n)) for n in (2, 4, 16)] == [3, 1, 1]
    monkeypatch.setattr(TrainingSettings, "accelerator", "cuda")
    assert default_workers(100, TrainingSettings(device="cpu")) == 1
