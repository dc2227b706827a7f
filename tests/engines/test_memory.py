"""As many runs at a time as fit into the memory that is free, by what runs took."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import calmix
from calmix.data import NamedSet
from calmix.engines import Processes, processes
from calmix.engines.memory import fits, free_memory, peak_memory
from calmix.results.records import Failure
from calmix.train import Recipe, TrainingSettings

MB = 1024**2


def test_the_peak_is_of_what_the_process_has_alone(tmp_path: Path):
    """Libraries and shared memory are there once, whatever the number of processes."""
    status = (
        "Name:\tpython\nVmHWM:\t  900 kB\nVmRSS:\t  700 kB\nRssAnon:\t 300 kB\nRssFile:\t 250 kB\nRssShmem:\t 150 kB\n"
    )
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(status)
    assert peak_memory(tmp_path) == 500 * 1024
    assert peak_memory(tmp_path / "elsewhere") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process takes")
def test_a_peak_stays_when_the_memory_is_given_back():
    """In a process of its own: in this one an earlier test may have taken more."""
    peaks = (
        "from calmix.engines.memory import peak_memory\n"
        "import torch\n"
        "before = peak_memory()\n"
        f"block = torch.ones({75 * MB})\n"  # 300 MB
        "during = peak_memory()\n"
        "del block\n"
        "print(before, during, peak_memory())"
    )
    found = subprocess.run([sys.executable, "-c", peaks], capture_output=True, text=True, check=True)
    before, during, after = map(int, found.stdout.split())
    assert during > before + 250 * MB
    assert after > during - 50 * MB


def test_free_is_what_the_machine_has_and_no_more_than_its_groups_may_take(tmp_path: Path):
    assert free_memory(tmp_path) is None
    root = tmp_path
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 4096 kB\nMemFree: 10 kB\nMemAvailable: 2048 kB\n")
    assert free_memory(root) == 2 * MB
    inner = root / "sys/fs/cgroup/job/step"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("7\n")
    (root / "proc/self/cgroup").write_text("4:memory:/old\n0::/job/step\n")
    assert free_memory(root) == 2 * MB
    (inner.parent / "memory.max").write_text(f"{3 * MB}\n")
    (inner.parent / "memory.current").write_text(f"{2 * MB + 5}\n")
    assert free_memory(root) == MB - 5  # of the group around it
    (inner.parent / "memory.stat").write_text("anon 1\ninactive_file 105\n")
    assert free_memory(root) == MB + 100  # files that the system keeps, as long as there is room
    (inner / "memory.max").write_text("9\n")
    assert free_memory(root) == 2


@pytest.mark.parametrize(
    ("peaks", "tried", "free", "another"),
    [
        ([10], 1, 10, True),
        ([10], 1, 9, False),
        ([10, 4], 1, 9, False),  # as large as the largest
        ([10, 0], 1, 19, False),  # one is still to grow
        ([10, 0], 1, 20, True),
        ([0], 5, 20, True),  # two runs, each twice as large as a step
        ([0], 5, 19, False),
        ([0, 0], 5, 29, False),
        ([10], 99, 10, True),  # what is known counts
        ([10], 1, None, True),
        ([0], 0, 0, True),  # the system tells nothing
    ],
)
def test_another_run_fits(peaks: list[int], tried: int, free: int | None, another: bool):
    assert fits(peaks, tried, free) is another


def test_further_runs_wait_until_the_first_has_told_what_an_epoch_takes(monkeypatch: pytest.MonkeyPatch):
    asked: list[list[int]] = []

    def fits(peaks: Sequence[int], tried: int, free: int | None) -> bool:
        asked.append(list(peaks))
        return all(peaks)

    monkeypatch.setattr(processes, "fits", fits)
    monkeypatch.setattr(processes, "default_workers", lambda runs, settings: 2)
    settings = TrainingSettings(epochs=10, device="cpu")
    recipes = [Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=settings, seed=seed) for seed in (0, 1, 2)]
    ended = list(Processes().carry_out(recipes))
    assert len(ended) == 3
    assert not any(isinstance(one, Failure) for one in ended)
    assert asked[0] == [0]
    if sys.platform == "linux":
        assert MB < max(map(max, asked)) < 10_000 * MB
        assert len(asked[-1]) == 1


def test_a_number_that_was_named_is_taken(monkeypatch: pytest.MonkeyPatch):
    rooms: list[Any] = []
    monkeypatch.setattr(processes, "_at_a_time", lambda *given: rooms.append(given[-1]) or iter(()))
    monkeypatch.setattr(processes, "default_workers", lambda runs, settings: 2)
    monkeypatch.setattr(processes, "free_memory", lambda: 0)
    recipes = [Recipe(NamedSet("wine"), "erm", calmix.erm(), seed=seed) for seed in (0, 1)]
    for engine in (Processes(2), Processes()):
        list(engine.carry_out(recipes))
    named, by_memory = (room([500 * MB]) for room in rooms)
    assert named
    assert not by_memory
