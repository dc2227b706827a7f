"""Batches of a split."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from calmix.data import Split
from calmix.rows import Rows

Loaded = tuple[Tensor, Tensor, Tensor]  # x, y, index


_MOST = 1024  # rows at a time


def rows_at_a_time(split: Split, device: str) -> int:
    """How many rows a network on a device is asked about: fewer of large ones, whose activations are larger still.

    On a CPU half a megabyte of rows, whose activations stay in its cache (2 to 3 times as fast as 16 MB for images of
    32 x 32, `benchmarks/rows_at_a_time.py`); elsewhere 16 MB.
    """
    most = 2**19 if device == "cpu" else 2**24
    return max(1, min(_MOST, most // (4 * math.prod(split.shape))))


def fits_on(device: torch.device, split: Split) -> bool:
    """Whether the rows are in memory, and take at most a tenth of what is free on a GPU."""
    if device.type != "cuda" or isinstance(split.rows, Rows):
        return False
    return 10 * split.rows.nbytes <= torch.cuda.mem_get_info(device)[0]


class Batches:
    """The rows of a split as (x, y, index), in a new order every epoch where a seed is given.

    weights: (n,), how often each row is drawn, in proportion, instead of once an epoch; it needs a seed. evenly: in
    every epoch a row comes n w_i / sum w times, rounded down or up (systematic sampling); else each draw is alone.
    Batches are nearly equal (sizes differ by at most one), so there is no small last one. Rows that are not in memory
    are read ahead, by as many processes as they ask for. waited: seconds that whoever took batches has waited for them.
    Rows that are in memory may stay on a device (`keep_on`), and so do the batches then.

    rank, ranks: of `ranks` processes, which must be at most `size`, each has its share of every batch: by turns it
    takes a row of the order, which is the same for all. In an order that is drawn, up to ranks - 1 rows at its end are
    left out, others in each epoch, so that all have as many; without a seed every row comes exactly once.
    """

    def __init__(
        self,
        split: Split,
        size: int,
        seed: int | None = None,
        weights: Tensor | None = None,
        evenly: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        assert weights is None or seed is not None, "rows are drawn from a seed"
        self.split: Split = split
        self.size: int = size
        self.waited: float = 0.0
        of_rank = len(split) // ranks if seed is not None else -(-len(split) // ranks)
        self._count = -(-of_rank // (size // ranks))
        self._rank, self._ranks = rank, ranks
        self._shares = None if weights is None else weights.cumsum(0) / weights.sum()
        self._weights = weights if evenly else None
        self._trained_on = None if weights is None else weights.nonzero().squeeze(1)
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)
        self._before: Tensor | None = None  # the generator's state before the order of this epoch was drawn
        self._start = 0  # the batch at which the next epoch begins

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Loaded]:
        start, self._start = self._start, 0
        order = self._share(self._order()).to(self.split.y.device)
        batches = iter(self._loaded(order.tensor_split(self._count)[start:]))
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def keep_on(self, device: torch.device) -> None:
        """Move the rows, which must be in memory, and their labels, so that no batch has to travel."""
        assert isinstance(self.split.rows, Tensor), "rows that are not in memory are read on the CPU"
        self.split = replace(self.split, rows=self.split.rows.to(device), y=self.split.y.to(device))

    def places(self, most: int) -> Tensor:
        """Of at most so many rows (k,), evenly over the split, which may be sorted by class; none has a weight of 0."""
        rows = torch.arange(len(self.split)) if self._trained_on is None else self._trained_on
        count = min(most, len(rows))
        return rows[(2 * torch.arange(count) + 1) * len(rows) // (2 * count)]

    def _loaded(self, order: Sequence[Tensor]) -> Iterable[Loaded]:
        read, rows = _Read(self.split), self.split.rows
        if not isinstance(rows, Rows):
            return map(read.__getitem__, order)
        return DataLoader(
            read,
            sampler=order,  # of batches
            batch_size=None,
            num_workers=rows.loaders,
            prefetch_factor=4 if rows.loaders else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else it would draw from the stream that dropout draws from
        )

    def state_dict(self, batch: int) -> dict[str, Any]:
        """From where to go on: a batch of this epoch, or, where it is 0, the next epoch."""
        assert self._generator is not None, "rows that come in one order need no state"
        generator = self._before if batch else self._generator.get_state()
        return {"generator": generator, "batch": batch, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next epoch be the one of the state, without the batches before its own."""
        assert self._generator is not None, "rows that come in one order have no state"
        self._generator.set_state(state["generator"])
        self._start = state["batch"]
        self.waited = state.get("waited", 0.0)  # earlier versions of calmix did not keep it

    def _share(self, order: Tensor) -> Tensor:
        """This rank's part of an epoch's order."""
        even = len(order) if self._generator is None else len(order) - len(order) % self._ranks
        return order[self._rank : even : self._ranks]

    def _order(self) -> Tensor:
        rows = len(self.split)
        if self._generator is None:
            return torch.arange(rows)
        self._before = self._generator.get_state()
        if self._shares is None:
            return torch.randperm(rows, generator=self._generator)
        if self._weights is not None:
            return evenly_drawn(self._weights, self._generator)
        drawn = torch.rand(rows, generator=self._generator, dtype=torch.float64)
        return torch.searchsorted(self._shares, drawn, right=True).clamp(max=rows - 1)


def evenly_drawn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """n of n rows (n,), each n w_i / sum w times, rounded down or up, in random order.

    >>> evenly_drawn(torch.tensor([3.0, 0.0, 1.0, 0.0]), torch.Generator()).bincount(minlength=4)
    tensor([3, 0, 1, 0])
    """
    rows = len(weights)
    order = torch.randperm(rows, generator=generator)
    ends = weights.double()[order].cumsum(0)
    ends = ends / ends[-1] * rows  # of each row's stretch of the line from 0 to n, on which points stand 1 apart
    points = torch.arange(rows) + torch.rand(1, generator=generator, dtype=torch.float64)
    drawn = order[torch.searchsorted(ends, points, right=True).clamp(max=rows - 1)]
    return drawn[torch.randperm(rows, generator=generator)]


class _Read(Dataset[Loaded]):
    """A batch by the places of its rows."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __getitem__(self, places: Tensor) -> Loaded:
        return self.split.rows[places], self.split.y[places], places
