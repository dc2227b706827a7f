"""Who is mixed with whom: parts that return anchor and partner, row indices (m,)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.method import Step


@dataclass(frozen=True)
class Shuffle:
    """Every row once as anchor, in order, with a partner from a uniform permutation of the batch.

    A row may meet itself (once a batch on average), as in every published implementation.
    """

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        device = step.target.device
        return (
            torch.arange(step.size, device=device),
            torch.randperm(step.size, generator=generator, device=device),
        )


@dataclass(frozen=True)
class Alone:
    """Every row with itself: nothing is mixed and nothing is drawn."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        rows = torch.arange(step.size, device=step.target.device)
        return rows, rows
