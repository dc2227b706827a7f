"""Comparisons on a Dask cluster that is broken at random, again and again, end in the records of one left alone.

Scheduler and workers are processes of Dask's commands. Workers, the scheduler and the command are killed, and workers
are stopped for longer than the scheduler waits for them; what is gone is begun again, as those who run a cluster do.
The commands are forks of this process, which has loaded what they need.

`make test-cluster` breaks it 50 times, and prints what it saw.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[1])
sys.path.insert(0, ROOT)
from tests.test_kills import records, states_of  # noqa: E402

COMPARE = ["wine", "--methods", "erm", "sk_mixup(remember=True)", "mixup", "--seeds", "2", "--epochs", "40", "--quiet"]
COMPARE += ["--batch-size", "8", "--checkpoint-minutes", "0.001"]
KINDS = ("worker killed", "worker stopped", "command killed", "scheduler killed")
STOPPED = 40.0  # seconds; the scheduler gives a worker up that it has not heard of for 20
SETTINGS = {"SCHEDULER__WORKER_TTL": "20s", "COMM__TIMEOUTS__CONNECT": "60s"}


def begun(*words: str) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    dask = {f"DASK_DISTRIBUTED__{name}": value for name, value in SETTINGS.items()}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(words, stdout=nowhere, stderr=nowhere, env={**os.environ, "PYTHONPATH": paths, **dask})


class Breakable:
    """A scheduler and two workers on this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler, self.workers = self._scheduler(), [self._worker() for _ in range(2)]

    def _scheduler(self) -> "subprocess.Popen[bytes]":
        where = ("--host", "127.0.0.1", "--port", self.port, "--no-dashboard", "--no-show")
        return begun(sys.executable, "-m", "distributed.cli.dask_scheduler", *where)

    def _worker(self) -> "subprocess.Popen[bytes]":
        how = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        return begun(sys.executable, "-m", "distributed.cli.dask_worker", self.address, *how)

    def stop(self, worker: "subprocess.Popen[bytes]") -> None:
        """For a while."""
        worker.send_signal(signal.SIGSTOP)
        threading.Timer(STOPPED, lambda: worker.send_signal(signal.SIGCONT)).start()

    def mend(self) -> None:
        """Begin anew what has ended."""
        if self.scheduler.poll() is not None:
            self.scheduler = self._scheduler()
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            self.workers.remove(worker)
            self.workers.append(self._worker())

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def broken_again_and_again(folder: Path, breaks: int, seed: int, longest: float) -> "tuple[Counter[str], int]":
    """Break so many times, at random moments while runs go on; how often each kind, and how many comparisons finished.

    Raises:
        AssertionError: a finished folder is not that of a command that was left alone.
    """
    import lightning.pytorch  # noqa: F401

    import calmix.studies.comparison.study  # noqa: F401
    from calmix.cli import main
    from calmix.report import page

    page._drawn = lambda *given: dict.fromkeys(
        ("name", "uri", "alt", "width", "height", "looks"), ""
    )  # figures take long

    def began(out: Path, *options: str) -> ForkProcess:
        arguments = ["compare", *COMPARE, "--resume", "--out", str(out), *options]
        command = get_context("fork").Process(target=main, args=(arguments,))
        command.start()
        return command

    def finish(out: Path) -> None:
        command = began(out, "--workers", "1")
        command.join()
        assert command.exitcode == 0

    calm, chance, seen, finished = folder / "calm", random.Random(seed), Counter[str](), 0
    finish(calm)
    cluster = Breakable()
    try:
        while seen.total() < breaks:
            torn = folder / f"torn{finished}"
            command = began(torn, "--scheduler", cluster.address)
            while command.is_alive() and seen.total() < breaks:
                before = states_of(torn)
                while command.is_alive() and states_of(torn) == before:  # until a run goes on
                    time.sleep(0.02)
                    cluster.mend()  # a worker that was given up may have ended
                command.join(chance.uniform(0, longest))
                if not command.is_alive():
                    break
                kind = chance.choice(KINDS)
                if kind == "command killed":
                    command.kill()
                    command.join()
                elif kind == "scheduler killed":
                    cluster.scheduler.kill()
                    cluster.scheduler.wait()
                else:
                    worker = chance.choice(cluster.workers)
                    if kind == "worker stopped":
                        cluster.stop(worker)
                    else:
                        worker.kill()
                        worker.wait()
                seen[kind] += 1
                print(
                    seen.total(), kind, f"{len(list((torn / 'runs').glob('*.json')))} runs", file=sys.stderr, flush=True
                )
                cluster.mend()
            command.join()
            print(f"the command ended with {command.exitcode}", file=sys.stderr, flush=True)
            assert command.exitcode in (0, 1, 2, -signal.SIGKILL)  # 2 where no run has finished
            cluster.mend()
            if command.exitcode == 0 or seen.total() >= breaks:
                finish(torn)
                assert records(torn) == records(calm)
                finished += 1
    finally:
        cluster.end()
    return seen, finished


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="commands are forked")
def test_a_broken_cluster_loses_and_changes_nothing():
    """In a process of its own, as one that has threads is better not forked."""
    pytest.importorskip("distributed", reason="a cluster needs calmix[cluster]")
    subprocess.run([sys.executable, __file__, "4"], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        seen, finished = broken_again_and_again(Path(place), int(sys.argv[1]), seed=1, longest=4.0)
    print(f"{sys.argv[1]} breaks in {finished} comparisons; all records are those of one left alone: {dict(seen)}")
