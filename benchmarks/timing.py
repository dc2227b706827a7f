"""One way to measure: calls take turns in one process, and each is compared with the first of its own round.

Needs torch and nothing of calmix, so that peers can be measured in an environment of their own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

Call = Callable[[], object]

LEAST_ROUNDS, MOST_ROUNDS = 11, 201
WARM_UP_CALLS = 3
SAMPLE_SECONDS = 2e-3  # quicker calls are repeated until one sample takes this long


@dataclass(frozen=True)
class Timing:
    """What one call costs: medians over the rounds, and the quartiles of the ratio."""

    name: str
    seconds: float  # of one call: CPU time on the CPU, wall-clock time between synchronisations on a GPU
    ratio: float  # to the first call of the same round
    low: float
    high: float


@dataclass(frozen=True)
class Absent:
    """Something that could not be measured, and why."""

    name: str
    reason: str  # one line


Result = Timing | Absent


def devices() -> list[str]:
    """The devices that are measured here: cpu, and cuda where there is a GPU."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def compare(calls: Mapping[str, Call], device: str = "cpu", seconds: float = 1.0, settle: bool = True) -> list[Result]:
    """Time the calls turn by turn, for about `seconds` but LEAST_ROUNDS at least; the first one is the unit.

    A call that fails when it is tried first is Absent, with its error as the reason; the unit may not fail.
    settle: run a call once, untimed, before each of its samples, so that it does not meet the memory as its neighbour
    left it: after large results the allocator gives memory back, and whoever comes next pays for getting it again.
    """
    unit = next(iter(calls))
    results: dict[str, Result] = {}
    repeats: dict[str, int] = {}
    for name, call in calls.items():
        try:
            repeats[name] = _warm_up(call, device)
        except Exception as error:
            if name == unit:
                raise
            results[name] = absent(name, error)

    samples: dict[str, list[float]] = {name: [] for name in repeats}
    began = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - began > seconds:
            break
        for name, times in repeats.items():
            if settle:
                calls[name]()
            samples[name].append(_seconds(calls[name], times, device))

    for name, spent in samples.items():
        ratios = [mine / max(base, 1e-12) for mine, base in zip(spent, samples[unit], strict=True)]
        low, _, high = quantiles(ratios, n=4)
        results[name] = Timing(name, median(spent), median(ratios), low, high)
    return [results[name] for name in calls]


def absent(name: str, error: Exception) -> Absent:
    """Why `name` was not measured: the first line of the error."""
    lines = str(error).strip().splitlines() or [""]
    return Absent(name, f"{type(error).__name__}: {lines[0]}")


def _warm_up(call: Call, device: str) -> int:
    """Run the call until it is warm; how often it is to be repeated in a sample."""
    for _ in range(WARM_UP_CALLS):
        call()
    return max(1, round(SAMPLE_SECONDS / max(_seconds(call, 1, device), 1e-6)))


def _seconds(call: Call, repeats: int, device: str) -> float:
    """The time of one call, as the mean of `repeats` calls in a row."""
    start = _now(device)
    for _ in range(repeats):
        call()
    return (_now(device) - start) / repeats


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
