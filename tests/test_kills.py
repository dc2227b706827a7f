"""A comparison that is killed at random moments, again and again, ends in the records of one that was left alone.

`make kills` kills 200 times, and 50 times inside runs, and prints what it saw.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import pytest

COMPARE = ["wine", "--methods", "erm", "sk_mixup", "mixup", "--seeds", "4", "--epochs", "20", "--workers", "2"]
COMPARE += ["--checkpoint-minutes", "0.0005"]  # every 30 ms
LONG = ["wine", "--methods", "erm", "sk_mixup(remember=True)", "mixup", "--seeds", "2", "--epochs", "20", "--quiet"]
LONG += ["--batch-size", "8", "--workers", "1", "--checkpoint-minutes", "0.001"]
RUN = "import sys; from calmix.cli import main; main(sys.argv[1:])"
# the same, but the process kills itself inside a write: before the file is in its place, or right after
KILLED_IN_A_WRITE = """
import os, random, signal, sys
from calmix.cli import main
chance, replace = random.Random(int(sys.argv[1])), os.replace
def killing_replace(*places):
    early, late = (chance.random() < 0.1 for _ in range(2))
    if early:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*places)
    if late:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = killing_replace
main(sys.argv[2:])
"""


def started(out: Path, *before: str) -> subprocess.Popen[bytes]:
    arguments = before or ("-c", RUN)
    return subprocess.Popen(
        [sys.executable, *arguments, "compare", *COMPARE, "--resume", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def left_alone(out: Path) -> int:
    """The exit code of a command that nobody kills."""
    with started(out) as command:
        command.communicate()
    return command.returncode


def workers_of(parent: int) -> list[int]:
    """The process ids of a command's workers; Linux alone tells them so."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(entry.name)] if b"spawn_main" in (entry / "cmdline").read_bytes() else []
        except OSError:  # it has ended
            continue
    return found


def records(out: Path) -> dict[str, object]:
    """What does not depend on the clock: records, and the content of predictions."""
    found: dict[str, object] = {}
    for path in sorted((out / "runs").iterdir()):
        record = json.loads(path.read_text())
        found[path.name] = {name: value for name, value in record.items() if name not in TIMES}
    for path in sorted((out / "predictions").iterdir()):
        with np.load(path) as arrays:
            found[path.name] = {name: arrays[name].tobytes() for name in arrays}
    return found


TIMES = ("train_seconds", "waited_seconds", "relative_cost", "cost_machine")


def killed_again_and_again(folder: Path, kills: int, seed: int, longest: float) -> dict[str, int]:
    """Kill `kills` commands, each on the folder that the last one left; how often each kind, by exit code.

    Raises:
        AssertionError: the finished folder is not that of a command that was left alone, or something is left over.
    """
    calm, torn = folder / "calm", folder / "torn"
    assert left_alone(calm) == 0
    chance, seen, rounds = random.Random(seed), dict[str, int](), 0
    while sum(seen.values()) < kills:
        kind = chance.choice(
            ["command killed", "command told to end", "worker killed", "worker told to end", "in a write"]
        )
        command = (
            started(torn, "-c", KILLED_IN_A_WRITE, str(chance.random())[2:9]) if kind == "in a write" else started(torn)
        )
        if kind != "in a write":
            time.sleep(chance.uniform(0, longest))
            how = signal.SIGKILL if kind.endswith("killed") else signal.SIGTERM
            victims = [command.pid] if kind.startswith("command") else workers_of(command.pid)
            if victims and command.poll() is None:
                os.kill(chance.choice(victims), how)
        _, told = command.communicate()
        # Python's own start of a worker says that its parent is gone
        assert b"Traceback" not in told or command.returncode == -signal.SIGKILL, told.decode()
        if command.returncode != 0:
            seen[f"{kind}: {command.returncode}"] = seen.get(f"{kind}: {command.returncode}", 0) + 1
            print(sum(seen.values()), kind, command.returncode, file=sys.stderr, flush=True)
        if (torn / "results.json").exists():
            check(calm, torn, command.returncode)
            rounds += 1
            torn = folder / f"torn{rounds}"
    last = started(torn)
    _, told = last.communicate()
    assert last.returncode == 0, told.decode()
    check(calm, torn, 0)
    return seen


def killed_inside_runs(folder: Path, kills: int, seed: int, longest: float) -> int:
    """Kill the command `kills` times while a run is trained; how many comparisons were finished in pieces.

    The command is a fork of this process, which has loaded what it needs: a command that begins anew takes seconds, and
    a run of this comparison takes less.

    Raises:
        AssertionError: as above; or a kill left no unfinished run.
    """
    import lightning.pytorch  # noqa: F401

    import calmix.studies.comparison.study  # noqa: F401
    from calmix.cli import main

    def began(out: Path) -> ForkProcess:
        command = get_context("fork").Process(target=main, args=(["compare", *LONG, "--resume", "--out", str(out)],))
        command.start()
        return command

    def finish(out: Path) -> None:
        command = began(out)
        command.join()
        assert command.exitcode == 0
        check(calm, out, 0)

    calm, torn = folder / "calm", folder / "torn"
    finish(calm)
    chance, killed, rounds = random.Random(seed), 0, 0
    while killed < kills:
        before, command = states_of(torn), began(torn)
        while command.is_alive() and states_of(torn) == before:  # until a run goes on
            time.sleep(0.002)
        time.sleep(chance.uniform(0, longest))
        command.kill()
        command.join()
        if command.exitcode != 0 and states_of(torn):
            killed += 1
            print(killed, *(name for name, _ in states_of(torn)), file=sys.stderr, flush=True)
        if (torn / "results.json").exists():  # it was too late for a kill
            finish(torn)
            rounds += 1
            torn = folder / f"torn{rounds}"
    finish(torn)
    return rounds + 1


def states_of(out: Path) -> set[tuple[str, int]]:
    """The checkpoints in a folder, and when each was written."""
    found = set()
    for path in (out / "checkpoints").glob("*.safetensors"):
        with suppress(FileNotFoundError):  # its run has just finished
            found.add((path.stem, path.stat().st_mtime_ns))
    return found


def check(calm: Path, torn: Path, code: int) -> None:
    """Where runs were lost with their workers, one more command makes them up."""
    if code != 0:
        assert left_alone(torn) == 0
    assert records(torn) == records(calm)
    left = {path.relative_to(torn) for path in torn.rglob("*")} ^ {path.relative_to(calm) for path in calm.rglob("*")}
    assert not left, left


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found in /proc")
def test_kills_lose_and_change_nothing(tmp_path: Path):
    seen = killed_again_and_again(tmp_path, kills=8, seed=0, longest=8)
    assert sum(seen.values()) == 8


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="commands are forked")
def test_kills_inside_runs_lose_and_change_nothing():
    """In a process of its own, as one that has threads is better not forked."""
    subprocess.run([sys.executable, __file__, "0", "10"], check=True)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rounds = killed_inside_runs(Path(folder) / "inside", int(sys.argv[2]), seed=1, longest=0.5)
        print(f"{sys.argv[2]} kills inside the runs of {rounds} comparisons; all records are those of one left alone")
        if int(sys.argv[1]):
            seen = killed_again_and_again(Path(folder) / "anywhere", int(sys.argv[1]), seed=1, longest=10)
            print(json.dumps(seen, indent=1))
