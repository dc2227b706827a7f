"""Steps of one and of two processes that share a batch, what of a step is sharing, and how that grows with more.

python -m benchmarks.devices [ROUNDS]

Processes with gloo on this machine, one thread each, SGD. One process and two take turns, and what is printed is the
median of the rounds. All is CPU time of a process, which a busy machine changes little: it holds the work of sending,
but not the waiting for a network or for the slowest rank. For these there is a model, `predicted`, whose formula is
compared with a simulation (`simulated`), and whose growth in ranks is compared with all-reduces of up to 4 processes.
"""

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

import calmix
from calmix.models import build, mlp, resnet

ROUNDS, STEPS, WARM_UP = 7, 10, 5
NETWORKS = {"mlp, 20 features": (mlp, (20,), 64), "resnet, 1 x 28 x 28": (resnet, (1, 28, 28), 128)}
METHODS = {
    "erm": calmix.erm(),
    "sk_mixup": calmix.sk_mixup(),
    "sk_mixup(remember=True)": calmix.sk_mixup(remember=True),
}
CLASSES = 10
SIZES = (8, 300_000, 8_000_000)  # bytes of an all-reduce: a kernel's mean, gradients of the perceptron, and larger ones


# --------------------------------------------------------------------------------------------- what is measured


@cache
def stepper(network: str, method: str, rows: int) -> Any:
    """A function that takes so many steps and returns the CPU seconds of one."""
    factory, shape, _ = NETWORKS[network]
    torch.manual_seed(0)
    model = build(factory, shape, CLASSES)
    model = DistributedDataParallel(model) if torch.distributed.is_initialized() else model
    training_loss = calmix.TrainingLoss(METHODS[method], calmix.Classification(CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    x, y, index = torch.randn(rows, *shape), torch.randint(CLASSES, (rows,)), torch.arange(rows)

    def take(steps: int) -> float:
        before = time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            training_loss(model, x, y, index).backward()
            optimizer.step()
        return (time.process_time() - before) / steps

    take(WARM_UP)
    return take


def all_reduces(size: int) -> float:
    """CPU seconds of one all-reduce of so many bytes."""
    value, times = torch.zeros(size // 4), max(5, min(200, 16_000_000 // size))
    before = time.process_time()
    for _ in range(times):
        torch.distributed.all_reduce(value)
    return (time.process_time() - before) / times


def on_rank(rank: int, ranks: int, folder: Path, orders: Connection) -> None:
    """Carry out what the parent orders, until it orders nothing."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=(folder / "s").as_uri(), rank=rank, world_size=ranks)
    while (order := orders.recv()) is not None:
        orders.send(all_reduces(*order) if len(order) == 1 else stepper(*order)(STEPS))
    stepper.cache_clear()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


class Ranks:
    """So many processes, each of which does what it is told."""

    def __init__(self, ranks: int, folder: Path) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(ranks)]
        self._orders = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=on_rank, args=(rank, ranks, folder, pipe[1])) for rank, pipe in enumerate(pipes)
        ]
        for process in self._processes:
            process.start()

    def __call__(self, *order: Any) -> float:
        """The mean of the ranks' CPU seconds."""
        for orders in self._orders:
            orders.send(order)
        return mean(orders.recv() for orders in self._orders)

    def end(self) -> None:
        for orders in self._orders:
            orders.send(None)
        for process in self._processes:
            process.join()


# ---------------------------------------------------------------------------------------------------- the model


@dataclass(frozen=True)
class Network:
    """What carries messages: seconds before a message arrives, and bytes a second."""

    latency: float
    bandwidth: float


def ring(ranks: int, size: float, network: Network) -> float:
    """Seconds of an all-reduce in a ring: 2 (R - 1) messages, one after the other, of size / R bytes each."""
    return 2 * (ranks - 1) * (network.latency + size / ranks / network.bandwidth)


def predicted(ranks: int, fixed: float, a_row: float, rows: int, sizes: Sequence[float], network: Network) -> float:
    """Seconds of a step: that of a rank's share of the rows, then all-reduces of so many bytes, none beside it."""
    return fixed + a_row * rows / ranks + sum(ring(ranks, size, network) for size in sizes)


def simulated(begun: Sequence[float], size: float, network: Network) -> float:
    """When the last of the ranks has the sum, if each begins the all-reduce when it has finished its own work.

    Message by message: a rank goes on when its neighbour's message has arrived, and not before it has sent its own.
    """
    clocks = list(begun)
    for _ in range(2 * (len(clocks) - 1)):
        sent = [clock + size / len(clocks) / network.bandwidth for clock in clocks]
        clocks = [max(own, sent[rank - 1] + network.latency) for rank, own in enumerate(sent)]
    return max(clocks)


def slowed(ranks: int, work: float, spread: float, size: float, network: Network, times: int = 200) -> float:
    """By how much waiting for the slowest lengthens a step, where the ranks' work varies from step to step."""
    chance = random.Random(0)
    steps = [simulated([work * chance.gauss(1, spread) for _ in range(ranks)], size, network) for _ in range(times)]
    return mean(steps) / simulated([work] * ranks, size, network)


# ----------------------------------------------------------------------------------------------------- the tables


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    print(f"CPU milliseconds of a step, medians of {rounds} rounds of {STEPS} steps")
    print("sharing: what of a rank's step one process with as many rows does not do\n")
    print(f"{'network':22}{'method':25}{'one':>7}{'strong':>9}{'gain':>7}{'sharing':>9}{'weak':>8}{'sharing':>9}")
    fixed: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        two = Ranks(2, Path(name))
        for (network, (_, _, rows)), method in product(NETWORKS.items(), METHODS):
            taken: list[tuple[float, ...]] = []
            for _ in range(rounds):
                half, one = (stepper(network, method, count)(STEPS) for count in (rows // 2, rows))
                taken.append((half, one, two(network, method, rows // 2), two(network, method, rows)))
            half, one, strong, weak = (median(column) for column in zip(*taken, strict=True))
            gain, of_strong, of_weak = (median(r) for r in zip(*map(_ratios, taken), strict=True))
            if method == "erm":
                fixed[network] = max(0.0, 2 * half - one), 2 * (one - half) / rows
            print(
                f"{network:22}{method:25}{1e3 * one:7.2f}{1e3 * strong:9.2f}{gain:6.2f}x{of_strong:9.0%}"
                f"{1e3 * weak:8.2f}{of_weak:9.0%}"
            )
        two.end()
    _print_all_reduces(rounds)
    _print_predicted(fixed)


def _ratios(taken: tuple[float, ...]) -> tuple[float, ...]:
    """Of a round: how much quicker a shared batch is; the share of sharing in it, and in a batch twice as large."""
    half, one, strong, weak = taken
    return one / strong, max(0.0, 1 - half / strong), max(0.0, 1 - one / weak)


def _print_all_reduces(rounds: int) -> None:
    """Whether the work of sending grows with the ranks as the ring says."""
    found: dict[int, dict[int, float]] = {}
    for ranks in (2, 3, 4):
        with tempfile.TemporaryDirectory() as name:
            group = Ranks(ranks, Path(name))
            found[ranks] = {size: median(group(size) for _ in range(rounds)) for size in SIZES}
            group.end()
    small, large = SIZES[0], SIZES[-1]
    latency = found[2][small] / 2
    cpu = Network(latency, large / (found[2][large] - 2 * latency))
    print("\nCPU microseconds of an all-reduce, and what the ring makes of those of two processes\n")
    print(f"{'bytes':>10}" + "".join(f"{f'{ranks} processes':>20}" for ranks in found))
    for size in SIZES:
        cells = [f"{1e6 * found[r][size]:.0f} ({1e6 * ring(r, size, cpu):.0f})" for r in found]
        print(f"{size:10,}" + "".join(f"{cell:>20}" for cell in cells))


def _print_predicted(fixed: dict[str, tuple[float, float]]) -> None:
    """Steps a second of plain training by the model, and what the simulation adds to it."""
    print("\nby the model, steps a second of plain training with the same batch, each rank with a core of its own;")
    print("in brackets by how much a spread of 10 % in the ranks' own work lengthens a step (simulated)\n")
    counts = (1, 2, 4, 8, 16, 32)
    print(f"{'network':22}{'between machines':26}" + "".join(f"{count:>14}" for count in counts))
    for name, (factory, shape, rows) in NETWORKS.items():
        size = 4.0 * sum(weights.numel() for weights in build(factory, shape, CLASSES).parameters())
        of_step, of_row = fixed[name]
        for what, network in {
            "100 us, 1 Gbit/s": Network(100e-6, 1.25e8),
            "20 us, 10 Gbit/s": Network(20e-6, 1.25e9),
        }.items():
            cells = []
            for ranks in counts:
                seconds = predicted(ranks, of_step, of_row, rows, (size,), network)
                work = of_step + of_row * rows / ranks
                assert abs(simulated([work] * ranks, size, network) / seconds - 1) < 1e-9  # ranks that are alike
                cells.append(f"{1 / seconds:.0f} ({slowed(ranks, work, 0.1, size, network) - 1:.0%})")
            print(f"{name:22}{what:26}" + "".join(f"{cell:>14}" for cell in cells))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
