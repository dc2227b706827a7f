"""Steps of one and of two processes that share a batch, and what of a step is communication.

python -m benchmarks.devices [STEPS]

Two processes with gloo on this machine, one thread each, SGD. Strong: the batch is shared; weak: each has as many rows
as one process. Steps a second by the CPU time of a process, which is what a core of its own would give, and by the
clock, which is that only on an idle machine. The share of communication is what remains of a step's CPU time when
gradients are not exchanged (`no_sync`): it counts the work of sending, and not the waiting, which a network adds.
"""

import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

import calmix
from calmix.core.method import Method
from calmix.models import build, mlp, resnet

STEPS, WARM_UP = 60, 10
NETWORKS = {"mlp, 20 features": (mlp, (20,), 64), "resnet, 1 x 28 x 28": (resnet, (1, 28, 28), 128)}
METHODS = {
    "erm": calmix.erm(),
    "sk_mixup": calmix.sk_mixup(),
    "sk_mixup(remember=True)": calmix.sk_mixup(remember=True),
}
CLASSES = 10


@dataclass(frozen=True)
class Speed:
    """Seconds of a step, by the CPU time of this process and by the clock."""

    cpu: float
    clock: float


def speed(network: str, method: Method, rows: int, steps: int, exchange: bool = True) -> Speed:
    """That of this process, whose share of the batch has so many rows."""
    factory, shape, _ = NETWORKS[network]
    torch.manual_seed(0)
    model = build(factory, shape, CLASSES)
    together = torch.distributed.is_initialized()
    model = DistributedDataParallel(model) if together else model
    training_loss = calmix.TrainingLoss(method, calmix.Classification(CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    x, y, index = torch.randn(rows, *shape), torch.randint(CLASSES, (rows,)), torch.arange(rows)
    alone = model.no_sync() if isinstance(model, DistributedDataParallel) and not exchange else nullcontext()
    cpu = clock = 0.0
    with alone:
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                cpu, clock = time.process_time(), time.perf_counter()
            optimizer.zero_grad()
            training_loss(model, x, y, index).backward()
            optimizer.step()
    return Speed((time.process_time() - cpu) / steps, (time.perf_counter() - clock) / steps)


def on_rank(rank: int, folder: Path, steps: int) -> None:
    """Measure all that two processes do; rank 0 keeps it."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=(folder / "s").as_uri(), rank=rank, world_size=2)
    found = {}
    for network, (_, _, rows) in NETWORKS.items():
        for name, method in METHODS.items():
            for kind, share in (("strong", rows // 2), ("weak", rows)):
                for exchange in (True, False):
                    found[network, name, kind, exchange] = speed(network, method, share, steps, exchange)
    if rank == 0:
        torch.save(found, folder / "found.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def main(steps: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, context = Path(name), get_context("spawn")
        processes = [context.Process(target=on_rank, args=(rank, folder, steps)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        found = torch.load(folder / "found.pt", weights_only=False)
    print("steps a second of a process's CPU time (by the clock)\n")
    print(f"{'network':22} {'method':24} {'one':>15} {'two, strong':>15} {'two, weak':>15}  sending, strong and weak")
    for network, (_, _, rows) in NETWORKS.items():
        for method in METHODS:
            two = {kind: found[network, method, kind, True] for kind in ("strong", "weak")}
            lone = {kind: found[network, method, kind, False] for kind in ("strong", "weak")}
            shown = [
                f"{1 / s.cpu:6.0f} ({1 / s.clock:5.0f})"
                for s in (speed(network, METHODS[method], rows, steps), *two.values())
            ]
            shares = [f"{max(0.0, 1 - lone[kind].cpu / two[kind].cpu):.0%}" for kind in two]
            print(f"{network:22} {method:24} {shown[0]:>15} {shown[1]:>15} {shown[2]:>15}  {' and '.join(shares)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
