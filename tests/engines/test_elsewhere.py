"""Runs by an executor: the same numbers as here, one way for all executors, and only the driver writes."""

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import calmix
from calmix import engines
from calmix.cli import main
from calmix.data import NamedSet, OODSet, TableFile
from calmix.engines import Elsewhere, Orders, Processes, elsewhere, engine_of, processes
from calmix.errors import DataError, SettingError
from calmix.results.files import hold_folder
from calmix.results.records import Failure
from calmix.train import Checkpoints, Loggers, Recipe, Robustness, TrainingSettings
from tests.engines.test_processes import QUICK, RECIPES, Finished, a_day_passes, check_ended, hanging


class AtOnce(Executor):
    """Carries out what is submitted, at once and here; keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given.append(args)
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def carried_out(executor: Executor, recipes: list[Recipe]) -> Finished:
    news: list[object] = []
    ended = list(Elsewhere(executor).carry_out(recipes, Orders(lambda *one: news.append(one))))
    assert sorted(map(str, news)) == sorted(str((one.label, one.seed, one.settings.epochs, None)) for one in recipes)
    finished = [one for one in ended if not isinstance(one, Failure)]
    assert len(finished) == len(ended)
    return {(record.method, record.seed): (record, predictions) for record, predictions in finished}


@pytest.fixture(scope="module")
def here() -> Finished:
    ended = Processes(1).carry_out(RECIPES)
    return {(one[0].method, one[0].seed): one for one in ended if not isinstance(one, Failure)}


@pytest.fixture(params=["threads", "processes", "at once"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Two threads would share the generators of one process."""
    made = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
        "at once": AtOnce,
    }
    with made[request.param]() as executor:
        yield executor


def test_an_executor_gives_what_this_process_gives(executor: Executor, here: Finished):
    there = carried_out(executor, RECIPES)
    assert set(there) == set(here)
    for run, (record, predictions) in there.items():
        assert replace(record, train_seconds=0) == replace(here[run][0], train_seconds=0)
        assert {name: array.tobytes() for name, array in predictions.items()} == {
            name: array.tobytes() for name, array in here[run][1].items()
        }


def test_no_more_runs_are_with_the_executor_than_may_be_claimed(monkeypatch: pytest.MonkeyPatch):
    """But always as many, so that nobody waits for one run."""
    monkeypatch.setattr(elsewhere, "_AT_A_TIME", 3)
    submitted: list[tuple[Recipe, Future[Any]]] = []

    class Waits(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            submitted.append((args[0], Future()))
            return submitted[-1][1]

    recipes = [replace(RECIPES[0], seed=seed) for seed in range(6)]
    asked: list[int] = []

    def wanted(recipe: Recipe) -> bool:
        asked.append(recipe.seed)
        return recipe.seed != 1

    runs = Elsewhere(Waits()).carry_out(recipes, Orders(wanted=wanted))

    def end_the_third() -> None:
        while len(submitted) < 3:
            time.sleep(0.01)
        time.sleep(0.2)  # in which a fourth would be submitted
        submitted[2][1].set_result(Failure("erm", 3, "so"))

    threading.Thread(target=end_the_third).start()
    assert next(runs) == Failure("erm", 3, "so")
    assert [recipe.seed for recipe, _ in submitted] == [0, 2, 3]
    assert asked == [0, 1, 2, 3]
    submitted[0][1].set_exception(KeyError("broken"))
    found = next(runs)
    assert isinstance(found, Failure)
    assert (found.method, found.seed, found.reason[:18]) == ("erm", 0, "KeyError: 'broken'")
    assert [recipe.seed for recipe, _ in submitted] == [0, 2, 3, 4]
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert [future.cancelled() for _, future in submitted] == [False, True, False, True]


class Dies(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return super().forward(input)


def dies(shape: tuple[int, ...], outputs: int, parent: int) -> nn.Module:
    return nn.Linear(shape[0], outputs) if os.getpid() == parent else Dies(shape[0], outputs)


def test_an_executor_that_breaks_ends_in_failures(here: Finished):
    deadly = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), partial(dies, parent=os.getpid()), QUICK)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        ended = list(Elsewhere(executor).carry_out([RECIPES[0], deadly]))
        failures = [one for one in ended if isinstance(one, Failure)]
        assert "mixup" in {one.method for one in failures}
        assert all("its worker died" in one.reason for one in failures)
        later = list(Elsewhere(executor).carry_out(RECIPES[:2]))
    assert [isinstance(one, Failure) and "took no more runs" in one.reason for one in later] == [True, True]


def test_a_run_that_hangs_leaves_its_worker_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run with a time limit has a process of its own there."""
    a_day_passes(tmp_path, monkeypatch)
    [ended] = Elsewhere(AtOnce()).carry_out([hanging(tmp_path)], Orders(run_timeout=1439))
    check_ended(ended, tmp_path, 1)


def test_a_worker_with_other_versions_or_data_is_refused(monkeypatch: pytest.MonkeyPatch, here: Finished):
    real = elsewhere.versions()
    with monkeypatch.context() as patch:
        asked = iter([real, {**real, "torch": "0.1"}])
        patch.setattr(elsewhere, "versions", lambda: next(asked))
        with pytest.raises(SettingError, match=r"a worker has other versions .*: torch 0\.1 for .*allow_mixed=True"):
            list(Elsewhere(AtOnce()).carry_out(RECIPES[:1]))
        asked = iter([{**real, "torch": "0.1"}])
        mixed = Elsewhere(AtOnce(), allow_mixed=True).carry_out(RECIPES[:1])
        assert len(list(mixed)) == 1

    record, predictions = here["erm", 0]
    other = replace(record, recipe="Recipe(other data)"), predictions
    monkeypatch.setattr(processes, "attempt", lambda *given: other)
    with pytest.raises(DataError, match="a worker carried out another run than erm with seed 0: its data"):
        list(Elsewhere(AtOnce()).carry_out(RECIPES[:1]))


def test_workers_use_the_folder_only_where_they_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Which they know by its lock; else a node would keep checkpoints that nobody finds."""
    given: list[Orders] = []
    monkeypatch.setattr(processes, "attempt", lambda recipe, orders: given.append(orders) or Failure("erm", 0, "so"))
    monkeypatch.chdir(tmp_path)
    checkpoints, loggers = Checkpoints(Path("out")), Loggers(Path("out"), ("csv",))
    engine = Elsewhere(AtOnce())
    with hold_folder(tmp_path / "out"):
        list(engine.carry_out(RECIPES[:1], Orders(checkpoints=checkpoints, loggers=loggers)))
    folder = tmp_path / "out"
    assert given.pop() == Orders(
        checkpoints=replace(checkpoints, folder=folder), loggers=replace(loggers, folder=folder)
    )
    list(engine.carry_out(RECIPES[:1], Orders(checkpoints=checkpoints, loggers=Loggers(Path("out"), ()))))
    assert given.pop() == Orders()
    with pytest.raises(SettingError, match="a worker does not see the folder of the results, where loggers write"):
        list(engine.carry_out(RECIPES[:1], Orders(checkpoints=checkpoints, loggers=loggers)))


def test_compare_and_tune_take_an_executor(tmp_path: Path, here: Finished):
    methods = {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}
    executor = AtOnce()
    found = calmix.compare(None, NamedSet("wine"), methods, 2, settings=QUICK, out=tmp_path / "out", executor=executor)
    assert len(executor.given) == 4
    assert {(one.method, one.seed): one.metrics for one in found.results.records} == {
        run: record.metrics for run, (record, _) in here.items()
    }
    assert not (tmp_path / "out" / "checkpoints").exists()
    executor = AtOnce()
    options: dict[str, Any] = {"budget": 8, "settings": TrainingSettings(epochs=1), "fresh": 1}
    tuned = calmix.tune(NamedSet("wine"), [calmix.erm, calmix.mixup], executor=executor, **options)
    finals = sum(map(len, tuned.outcome.finals.values()))
    assert len(executor.given) == sum(len(trial.runs) for trial in tuned.trials) + finals


class Away(AtOnce):
    """Carries out in another folder what it gets as bytes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        sent = pickle.dumps(args)
        self.given.append((len(sent),))
        here = Path.cwd()
        (here / "away").mkdir(exist_ok=True)
        os.chdir(here / "away")
        try:
            return AtOnce().submit(fn, *pickle.loads(sent))
        finally:
            os.chdir(here)


def test_shipped_rows_are_all_that_a_worker_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    lines = ["a,b,c,y", *(f"{a:.3f},{b:.3f},{c:.3f},{'high' if a > b else 'low'}" for a, b, c in rows.tolist())]
    Path("own.csv").write_text("\n".join(lines))
    recipe = Recipe(TableFile(Path("own.csv"), "y"), "erm", calmix.erm(), settings=QUICK)
    [alone] = Processes(1).carry_out([recipe])
    executor = Away()
    [there] = Elsewhere(executor, ship_data=True).carry_out([recipe])
    assert not isinstance(alone, Failure)
    assert not isinstance(there, Failure)
    assert replace(there[0], train_seconds=0) == replace(alone[0], train_seconds=0)
    assert all(there[1][name].tobytes() == array.tobytes() for name, array in alone[1].items())
    [missing] = Elsewhere(Away()).carry_out([replace(recipe, seed=1)])
    assert isinstance(missing, Failure)
    assert "own.csv" in missing.reason
    # the rows of this seed travel, once
    assert executor.given[0][0] < 200 * 4 * 4 + 20_000

    monkeypatch.setattr(elsewhere, "_SHIPPED", 200 * 4 * 4 - 1)
    with pytest.raises(SettingError, match=r"own are 0 MB, and at most 0 MB travel .* leave out --ship-data"):
        next(Elsewhere(Away(), ship_data=True).carry_out([recipe]))
    unlike = replace(recipe, robustness=Robustness((OODSet("notmnist"),)))
    with pytest.raises(SettingError, match="OOD sets are read from files in each run"):
        next(Elsewhere(Away(), ship_data=True).carry_out([unlike]))


def test_every_way_to_carry_out_runs_passes_the_time_limit_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: list[float | None] = []

    @dataclass(frozen=True)
    class Asks:
        def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Failure]:
            given.append(orders.run_timeout)
            yield from (Failure(recipe.label, recipe.seed, "asked") for recipe in recipes)

    few: dict[str, Any] = {"settings": QUICK, "executor": Asks(), "run_timeout": 7}
    with pytest.raises(DataError):  # as nothing was carried out
        calmix.compare(data=NamedSet("wine"), seeds=1, **few)
    with pytest.raises(DataError):
        calmix.tune(NamedSet("wine"), [calmix.mixup, calmix.erm], budget=8, fresh=1, **few)
    monkeypatch.setattr(engines, "Processes", lambda workers: Asks())
    listed, short = str(tmp_path / "listed"), ["wine", "--epochs", "1", "--methods", "erm", "mixup"]
    main(["compare", *short, "--seeds", "1", "--run-timeout", "3", "--plan", "--out", listed])
    for command in (
        ["compare", *short, "--seeds", "1", "--run-timeout", "7", "--out", str(tmp_path / "compared")],
        ["tune", *short, "--budget", "8", "--run-timeout", "7", "--out", str(tmp_path / "tuned")],
        ["work", listed, "--run-timeout", "7"],
        ["work", listed],
    ):
        with pytest.raises(SystemExit):
            main(command)
    assert given == [7, 7, 7, 7, 7, 3]


def test_workers_and_an_executor_are_one_too_many():
    with pytest.raises(SettingError, match="workers are processes on this machine, and an executor has its own"):
        calmix.compare(data=NamedSet("wine"), workers=2, executor=AtOnce())
    with pytest.raises(SettingError, match="workers must be at least 1; got 0"):
        engine_of(0, None)
    assert engine_of(3, None) == Processes(3)
    assert engine_of(1, Processes(4)) == Processes(4)
