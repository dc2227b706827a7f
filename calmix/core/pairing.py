"""Who is mixed with whom: parts that return `Pairs` of row indices (m,)."""

from dataclasses import dataclass

import torch

from calmix.core.method import Pairs, Step


@dataclass(frozen=True)
class Shuffle:
    """Every row once as anchor, in order, with a partner from a random permutation of the batch.

    A row can be its own partner (on average one row of a batch is), as in every published implementation. With
    self_pairs=False the permutation is one random cycle through all rows, so that no row is, unless it is the only one.
    """

    self_pairs: bool = True

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        device = step.device
        rows = torch.arange(step.size, device=device)
        order = torch.randperm(step.size, generator=generator, device=device)
        return Pairs(rows, order if self.self_pairs else torch.empty_like(order).scatter_(0, order, order.roll(1)))


@dataclass(frozen=True)
class SelfPairs:
    """Every row with itself: nothing is mixed and nothing is drawn."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        rows = torch.arange(step.size, device=step.device)
        return Pairs(rows, rows)
