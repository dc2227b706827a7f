"""Runs on a Dask cluster on this machine: a scheduler and workers as processes, one of which is killed."""

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

import pytest

import calmix
from calmix.data import NamedSet
from calmix.engines import Cluster, Processes, asked, cluster
from calmix.errors import SettingError
from calmix.results.files import hold_folder
from calmix.results.jobs import versions
from calmix.results.records import Failure
from calmix.train import Checkpoints, Recipe, TrainingSettings
from tests.engines.test_elsewhere import dies
from tests.engines.test_processes import QUICK

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
    runs = Cluster(address).carry_out(recipes, lambda *news: None, checkpoints)

    def killed() -> None:
        while not any(checkpoints.path(one.label, one.seed).exists() for one in recipes):
            time.sleep(0.02)
        os.kill(workers[0].pid, signal.SIGKILL)

    with hold_folder(tmp_path):
        killer = threading.Thread(target=killed)
        killer.start()
        ended = list(runs)
        killer.join()
    alone = list(Processes(1).carry_out(recipes, lambda *news: None))
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
def test_a_local_cluster_carries_runs_out_and_gives_up_one_that_kills_its_workers():
    deadly = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), partial(dies, parent=os.getpid()), QUICK)
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    ended = list(Cluster("local", 1).carry_out([deadly, good], lambda *news: None))
    reasons = {one.method: one.reason for one in ended if isinstance(one, Failure)}
    assert list(reasons) == ["mixup"]
    assert "each worker that carried it out died" in reasons["mixup"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_another_version_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "versions", partial(other_versions, os.getpid()))
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    with pytest.raises(SettingError, match=r"the worker tcp://127\.0\.0\.1:\d+ has other versions .* torch"):
        list(Cluster("local", 1).carry_out([good], lambda *news: None))


def other_versions(driver: int) -> dict[str, str]:
    return versions() if os.getpid() == driver else {**versions(), "torch": "0.0"}


def test_what_is_no_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch):
    good = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=QUICK)
    monkeypatch.setattr(cluster, "_SECONDS", 0.5)
    with pytest.raises(SettingError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        list(Cluster("tcp://127.0.0.1:1").carry_out([good], lambda *news: None))
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
