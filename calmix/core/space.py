"""Where the distance of two rows is measured: parts that return positions (n, d), without gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.method import Step
from calmix.core.task import Regression
from calmix.errors import ShapeError


@dataclass(frozen=True)
class Inputs:
    """The input rows, flattened. Costs no forward."""

    def __call__(self, step: Step) -> Tensor:
        x = step.batch.x
        if not isinstance(x, Tensor):
            raise ShapeError(
                f"distances between inputs need x to be one tensor, got {type(x).__name__}; use Embedding() instead."
            )
        return x.detach().flatten(1)


@dataclass(frozen=True)
class Targets:
    """The target rows: values in regression, one-hot rows in classification. Costs no forward."""

    def __call__(self, step: Step) -> Tensor:
        return step.target.detach()


@dataclass(frozen=True)
class Embedding:
    """The clean rows' embeddings: the output of the module `site`, or for None the input of the last nn.Linear.

    Costs the step's clean forward, shared with whoever else asks for it.
    """

    site: str | None = None

    def __call__(self, step: Step) -> Tensor:
        return step.clean.embedding(self.site)


@dataclass(frozen=True)
class ByTask:
    """As the Similarity Kernel Mixup paper has it: targets for regression, the penultimate embedding otherwise."""

    def __call__(self, step: Step) -> Tensor:
        return (Targets() if isinstance(step.task, Regression) else Embedding())(step)


def pair_distance(rows: Tensor, anchor: Tensor, partner: Tensor) -> Tensor:
    """d = |z_anchor - z_partner|^2 / mean over the pairs (m,), float32; 1 for all where no pair differs.

    >>> pair_distance(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0]), torch.tensor([1, 2]))
    tensor([0.2000, 1.8000])
    """
    squared = (rows[anchor].float() - rows[partner].float()).square().sum(1)
    mean = squared.mean()
    return torch.where(mean > 0, squared / mean, 1.0)
