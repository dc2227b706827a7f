"""A multilayer perceptron for tables."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from calmix.errors import SettingError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one


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
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least_one(width=width, depth=depth)
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")
        sizes = [inputs] + [width] * depth
        dropped = [nn.Dropout(dropout)] if dropout else []
        hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation(), *dropped)]
        self.body: nn.Sequential = nn.Sequential(nn.Flatten(), *hidden)
        self.head: nn.Linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def mlp(shape: Shape, outputs: int, width: int = 256, depth: int = 2) -> nn.Module:
    """Multilayer perceptron: two hidden layers of 256, ReLU; for tables (images and series are flattened)."""
    return MLP(math.prod(shape), outputs, width, depth)


def smooth_mlp(shape: Shape, outputs: int, width: int = 256, depth: int = 2) -> nn.Module:
    """The same perceptron with GELU for ReLU: it has derivatives of all orders, and no kinks between its rows."""
    return MLP(math.prod(shape), outputs, width, depth, nn.GELU)


def dropout_mlp(shape: Shape, outputs: int, width: int = 128, depth: int = 2, dropout: float = 0.2) -> nn.Module:
    """Perceptron with dropout: two hidden layers of 128, LeakyReLU of slope 0.1, for stochastic passes."""
    return MLP(math.prod(shape), outputs, width, depth, partial(nn.LeakyReLU, 0.1), dropout)
