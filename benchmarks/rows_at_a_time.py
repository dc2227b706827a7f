"""What a prediction costs on a CPU by how many rows a network is asked about at a time.

python -m benchmarks.rows_at_a_time

Microseconds of CPU time a row, in one thread: medians over rounds in which all sizes take turns. 42 images of 32 x 32
are half a megabyte, which is what `calmix.train.batches.rows_at_a_time` asks about.
"""

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.timing import Timing, compare
from calmix.models import MODELS

NETWORKS = {
    "resnet, 3 x 32 x 32": ("resnet", (3, 32, 32)),
    "lenet, 1 x 64 x 64": ("lenet", (1, 64, 64)),
    "mlp, 13": ("mlp", (13,)),
}
SIZES = (42, 16, 128, 256, 512, 1024)
SECONDS = 5.0


@torch.no_grad()
def predicted(network: nn.Module, rows: Tensor, size: int) -> None:
    for some in rows.split(size):
        network(some)


def main() -> None:
    """Print a row a network."""
    torch.set_num_threads(1)
    print(f"| network | {' | '.join(map(str, sorted(SIZES)))} |\n|---|{'---|' * len(SIZES)}")
    for name, (model, shape) in NETWORKS.items():
        network, rows = MODELS[model](shape, 10).eval(), torch.randn(max(SIZES), *shape)
        calls = {str(size): partial(predicted, network, rows, size) for size in SIZES}
        spent = {one.name: one.seconds for one in compare(calls, seconds=SECONDS) if isinstance(one, Timing)}
        cells = [f"{1e6 * spent[str(size)] / len(rows):.3g}" for size in sorted(SIZES)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
