"""Batches of a split held in memory, and the augmentation of a batch of natural images."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.data import Split


class Batches:
    """The rows of a split as (x, y, index), in a new order every epoch where a seed is given.

    weights: (n,), how often each row is drawn, in proportion, instead of once an epoch; it needs a seed. Batches are
    nearly equal (sizes differ by at most one), so there is no small last one.
    """

    def __init__(self, split: Split, size: int, seed: int | None = None, weights: Tensor | None = None) -> None:
        assert weights is None or seed is not None, "rows are drawn from a seed"
        self.split = split
        self._count = -(-len(split) // size)
        self._shares = None if weights is None else weights.cumsum(0) / weights.sum()
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)
        self._before: Tensor | None = None  # the generator's state before the order of this epoch was drawn
        self._start = 0  # the batch at which the next epoch begins

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        start, self._start = self._start, 0
        for index in self._order().tensor_split(self._count)[start:]:
            yield self.split.x[index], self.split.y[index], index

    def state_dict(self, batch: int) -> dict[str, Any]:
        """From where to go on: a batch of this epoch, or, where it is 0, the next epoch."""
        assert self._generator is not None, "rows that come in one order need no state"
        return {"generator": self._before if batch else self._generator.get_state(), "batch": batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next epoch be the one of the state, without the batches before its own."""
        assert self._generator is not None, "rows that come in one order have no state"
        self._generator.set_state(state["generator"])
        self._start = state["batch"]

    def _order(self) -> Tensor:
        rows = len(self.split)
        if self._generator is None:
            return torch.arange(rows)
        self._before = self._generator.get_state()
        if self._shares is None:
            return torch.randperm(rows, generator=self._generator)
        drawn = torch.rand(rows, generator=self._generator, dtype=torch.float64)
        return torch.searchsorted(self._shares, drawn, right=True).clamp(max=rows - 1)


def crop_and_flip(x: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Each image (n, C, H, W) shifted by up to `padding` pixels each way (the border reflected) and flipped or not."""
    n, _, height, width = x.shape
    device = x.device
    padded = F.pad(x, (padding,) * 4, mode="reflect")
    shift = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator, device=device)
    flip = torch.rand(n, 1, generator=generator, device=device) < 0.5
    rows = shift[0] + torch.arange(height, device=device)  # (n, H)
    columns = torch.arange(width, device=device)
    columns = shift[1] + torch.where(flip, columns.flip(0), columns)  # (n, W)
    image = torch.arange(n, device=device)
    # advanced indices around the channel slice put channels last; move them back
    return padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
