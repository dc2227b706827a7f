"""Batches of a split."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from calmix.data import Split
from calmix.rows import Rows

Loaded = tuple[Tensor, Tensor, Tensor]  # x, y, index


_MOST, _BYTES = 1024, 2**24  # rows at a time, and bytes of them as float32


def rows_at_a_time(split: Split) -> int:
    """How many rows a network is asked about at a time: fewer of large ones, whose activations are larger still."""
    return max(1, min(_MOST, _BYTES // (4 * math.prod(split.shape))))


class Batches:
    """The rows of a split as (x, y, index), in a new order every epoch where a seed is given.

    weights: (n,), how often each row is drawn, in proportion, instead of once an epoch; it needs a seed. Batches are
    nearly equal (sizes differ by at most one), so there is no small last one. Rows that are not in memory are read
    ahead, by as many processes as they ask for. waited: seconds that whoever took batches has waited for them.
    """

    def __init__(self, split: Split, size: int, seed: int | None = None, weights: Tensor | None = None) -> None:
        assert weights is None or seed is not None, "rows are drawn from a seed"
        self.split = split
        self.waited = 0.0
        self._count = -(-len(split) // size)
        self._shares = None if weights is None else weights.cumsum(0) / weights.sum()
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Loaded]:
        batches = iter(self._loaded(self._order().tensor_split(self._count)))
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

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

    def _order(self) -> Tensor:
        rows = len(self.split)
        if self._generator is None:
            return torch.arange(rows)
        if self._shares is None:
            return torch.randperm(rows, generator=self._generator)
        drawn = torch.rand(rows, generator=self._generator, dtype=torch.float64)
        return torch.searchsorted(self._shares, drawn, right=True).clamp(max=rows - 1)


class _Read(Dataset[Loaded]):
    """A batch by the places of its rows."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __getitem__(self, places: Tensor) -> Loaded:
        return self.split.rows[places], self.split.y[places], places
