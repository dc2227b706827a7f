"""A multilayer perceptron for tables."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Rows (n, d) or anything that flattens to them -> outputs (n, K), through `depth` hidden layers.

    >>> import torch
    >>> MLP(4, 3)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 256,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation())]
        self.body: nn.Sequential = nn.Sequential(nn.Flatten(), *hidden)
        self.head: nn.Linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
