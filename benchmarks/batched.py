"""Whether small networks of several seeds train faster as one batched network than one after the other.

python -m benchmarks.batched

Plain steps of the table's perceptron, 64 rows of 13 columns each, forward, backward and optimiser step in one thread;
each network has rows of its own. The batched network is `torch.func.stack_module_state` and `vmap`. Mixing is left out,
which is the best case: it would have to be written anew for rows with one more dimension.
"""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.timing import Call, Timing, compare
from calmix.models import mlp

SHAPE, CLASSES, BATCH = (13,), 3, 64
NETWORKS = (1, 2, 4, 8, 16)
SECONDS = 5.0  # a number of networks


def main() -> None:
    """Print a line for each number of networks."""
    torch.set_num_threads(1)
    print("| networks | one after the other, ms | batched, times as fast |", "|---|---|---|", sep="\n")
    for count in NETWORKS:
        one_by_one, batched = compare(steps(count), seconds=SECONDS)
        assert isinstance(one_by_one, Timing), one_by_one
        assert isinstance(batched, Timing), batched
        quartiles = f"{1 / batched.high:.2f}, {1 / batched.low:.2f}"
        print(f"| {count} | {1e3 * one_by_one.seconds:.2f} | {1 / batched.ratio:.2f} [{quartiles}] |")


def steps(count: int) -> dict[str, Call]:
    """One step of each of `count` networks: one after the other, and as one."""
    torch.manual_seed(0)
    models = [mlp(SHAPE, CLASSES) for _ in range(count)]
    x, y = torch.randn(count, BATCH, *SHAPE), torch.randint(CLASSES, (count, BATCH))
    optimizers = [sgd(list(model.parameters())) for model in models]

    def one_by_one() -> None:
        for model, optimizer, rows, labels in zip(models, optimizers, x, y, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(rows), labels).backward()
            optimizer.step()

    parameters, buffers = stack_module_state(models)  # pyright: ignore[reportArgumentType]
    empty, together = copy.deepcopy(models[0]).to("meta"), sgd(list(parameters.values()))

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(empty, (parameters, buffers), (rows,)), labels)

    def batched() -> None:
        together.zero_grad()
        vmap(loss)(parameters, buffers, x, y).sum().backward()
        together.step()

    return {"one after the other": one_by_one, "batched": batched}


def sgd(parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 1e-3, momentum=0.9, nesterov=True)


if __name__ == "__main__":
    main()
