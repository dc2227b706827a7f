"""Runs on a Dask cluster on this machine: a scheduler and workers as processes, one of which is killed."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import calmix
from calmix.cli import main
from calmix.data import NamedSet
from calmix.engines import Cluster, Orders, Processes, asked, cluster, elsewhere
from calmix.errors import SettingError
from calmix.results.files import hold_folder
from calmix.results.jobs import versions
from calmix.results.records import Failure
from calmix.train import Checkpoints, Recipe, TrainingSettings
from tests.engines.test_elsewhere import dies
from tests.engines.test_processes import QUICK, hanging

pytest.importorskip("distributed", reason="a cluster needs calmix[cluster]")
ROOT = str(Path(__file__).parents[2])


def begun(*words: str) -> subprocess.Popen[bytes]:
    """A process of Dask's command, on loopback."""
    paths = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    given = {**os.environ, "PYTHONPATH": paths, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"}
    command, nowhere = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]], subprocess.DEVNULL
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=given)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    scheduler = begun("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
    yield f"tcp://127.0.0.1:{port}"
    scheduler.kill()
    scheduler.wait()


def worker(address: str) -> subprocess.Popen[bytes]:
    return begun("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard")


@pytest.mark.timeout(600)
def test_a_killed_worker_changes_no_record(address: str, tmp_path: Path):
    """Its run goes on from its checkpoint in the other worker; and a run that kills its workers is a failure."""
    long = TrainingSettings(epochs=60, batch_size=8, device="cpu")
    recipes = [Recipe(NamedSet("wine"), "sk_mixup", calmix.sk_mixup(), settings=long, seed=seed) for seed in (0, 1)]
    workers = [worker(address), worker(address)]
    checkpoints = Checkpoints(tmp_path, 1e-4)
    runs = Cluster(address).carry_out(recipes, Orders(checkpoints=checkpoints))

    def killed() -> None:
        while not any(checkpoints.path(one.label, one.seed).exists() for one in recipes):
            time.sleep(0.02)
        os.kill(workers[0].pid, signal.SIGKILL)

    with hold_folder(tmp_path):
        killer = threading.Thread(target=killed)
        killer.start()
        ended = list(runs)
        killer.join()
    alone = list(Processes(1).carry_out(recipes))
    found, expected = (
        {one[0].seed: replace(one[0], train_seconds=0) for one in some if not isinstance(one, Failure)}
        for some in (ended, alone)
    )
    assert found == expected
    assert workers[0].wait() == -signal.SIGKILL
    workers[1].kill()
    workers[1].wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_hangs_leaves_its_worker_free(address: str, tmp_path: Path):
    """Also a worker that Dask's nanny watches over, which is a daemon."""
    alone = begun("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--nanny", "--no-dashboard")
    [failure] = Cluster(address).carry_out([hanging(tmp_path)], Orders(run_timeout=0.02))
    assert isinstance(failure, Failure)
    assert "it was ended, as it took longer than 0.02 minutes" in failure.reason
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    [ended] = Cluster(address).carry_out([good])
    assert not isinstance(ended, Failure)
    alone.terminate()
    assert alone.wait() == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_needs_no_data_that_are_shipped(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker that was begun in another folder, where the file of the command is not."""
    (tmp_path / "own.csv").write_text("a,y\n" + "".join(f"{n % 7},{n % 7 * 2.5 + n % 3}\n" for n in range(120)))
    alone, out = worker(address), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    short = [
        "own.csv",
        "--target",
        "y",
        "--methods",
        "erm",
        "--seeds",
        "1",
        "--epochs",
        "2",
        "--out",
        str(out),
        "--quiet",
    ]
    with pytest.raises(SystemExit):
        main(["compare", *short, "--scheduler", address])
    assert not list(out.glob("runs/*.json"))
    main(["compare", *short, "--scheduler", address, "--ship-data", "--resume"])
    assert len(list(out.glob("runs/*.json"))) == 1
    alone.kill()
    alone.wait()


seen: list[tuple[str, bool]] = []  # the device of a run, and whether its worker has declared a GPU


def spy(recipe: Recipe, orders: Orders, expected: object) -> Failure:
    from distributed import get_worker

    seen.append((recipe.settings.device, "GPU" in get_worker().state.total_resources))
    return Failure(recipe.label, recipe.seed, "seen")


def test_runs_that_may_use_a_gpu_go_to_workers_that_have_one(monkeypatch: pytest.MonkeyPatch):
    """Where a worker says so; else to any."""
    from distributed import Client, Scheduler, SpecCluster, Worker

    seen.clear()
    monkeypatch.setattr(elsewhere, "_attempt_there", spy)
    inside = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "protocol": "inproc://"}}
    own: dict[str, Any] = {"nthreads": 1, "protocol": "inproc://"}
    workers = {n: {"cls": Worker, "options": {**own, "resources": {"GPU": 2} if n == 7 else {}}} for n in range(8)}
    settings = TrainingSettings(device="auto")
    recipes = [Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=settings, seed=n) for n in range(16)]
    made: Any = SpecCluster  # whose types leave out what it takes
    with made(workers, inside, silence_logs=logging.CRITICAL) as here:
        assert len(list(Cluster(here.scheduler_address, allow_mixed=True).carry_out(recipes))) == 16
        with Client(here.scheduler_address, set_as_default=False) as client:
            asked = partial(cluster._resources, client)
            assert asked(replace(settings, devices=2)) == {"GPU": 2}
            assert asked(replace(settings, device="cpu")) is None
    assert seen == [("auto", True)] * 16
    del workers[7]
    with made(workers, inside, silence_logs=logging.CRITICAL) as here:
        assert len(list(Cluster(here.scheduler_address, allow_mixed=True).carry_out(recipes[:2]))) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_local_cluster_carries_runs_out_and_gives_up_one_that_kills_its_workers():
    deadly = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), partial(dies, parent=os.getpid()), QUICK)
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    ended = list(Cluster("local", 1).carry_out([deadly, good]))
    reasons = {one.method: one.reason for one in ended if isinstance(one, Failure)}
    assert list(reasons) == ["mixup"]
    assert "each worker that carried it out died" in reasons["mixup"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_another_version_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "versions", partial(other_versions, os.getpid()))
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    with pytest.raises(SettingError, match=r"the worker tcp://127\.0\.0\.1:\d+ has other versions .* torch"):
        list(Cluster("local", 1).carry_out([good]))


def other_versions(driver: int) -> dict[str, str]:
    return versions() if os.getpid() == driver else {**versions(), "torch": "0.0"}


def test_what_is_no_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch):
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    monkeypatch.setattr(cluster, "_SECONDS", 0.5)
    with pytest.raises(SettingError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        list(Cluster("tcp://127.0.0.1:1").carry_out([good]))
    for given, message in (
        (("head:8786",), "the scheduler is 'head:8786'"),
        (("tcp://head:8786", 2), "has its own workers"),
        (("local", 0), "workers must be at least 1"),
    ):
        with pytest.raises(SettingError, match=message):
            Cluster(*given)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(asked, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'calmix\[cluster\]'"):
        Cluster("local")
