"""The training set, for methods that use rows from outside the batch."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from calmix.core.mix import Batch
from calmix.core.task import Task
from calmix.core.tree import cat_rows, leaves, map_leaves
from calmix.errors import SettingError, ShapeError
from calmix.rows import Rows


class IndexedDataset(Dataset[tuple[Any, ...]]):
    """A data set whose rows say their position: (x, y) becomes (x, y, index).

    dataset: a map-style data set, whose rows are tuples.

    >>> IndexedDataset([("a", 0), ("b", 1)])[1]
    ('b', 1, 1)
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return (*self.dataset[index], index)


class TrainingSet:
    """A training set of N rows, fetched by position: (x, y) as tensors (or trees of them), or a map-style data set.

    x may be `Rows`, which are not in memory: those that are fetched are read. weights: (N,), how often each row is to
    be drawn, in proportion; None: alike.
    """

    def __init__(self, data: Any, weights: Tensor | None = None) -> None:
        self.data = data
        self.weights = weights
        self._tensors = isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], Tensor | dict)
        if isinstance(data, dict) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            raise SettingError(
                f"data must be the training set, as (x, y) tensors or with len() and [i]; got {type(data).__name__}."
            )
        lengths = {tuple(leaf.shape[:1]) for part in data for leaf in _leaves(part)} if self._tensors else {(1,)}
        if len(lengths) != 1 or () in lengths:
            raise SettingError("data=(x, y): x and y must have the same number of rows.")
        if len(self) == 0:
            raise SettingError("data must be the training set; got one without rows.")
        if isinstance(data, tuple | list) and len(data) == 2 and not self._tensors and not isinstance(data[0], tuple):
            raise SettingError("data must be the tuple (x, y) of tensors, or a data set with rows (x, y).")
        if weights is not None:
            _check_weights(weights, len(self))
        self._targets: Any = None

    def __len__(self) -> int:
        return len(leaves(self.data[1])[0] if self._tensors else self.data)

    def targets(self, task: Task, device: torch.device) -> Any:
        """All target rows (N, K), on the device. A data set that is not tensors is read once, row by row, for them."""
        if self._targets is None or leaves(self._targets)[0].device != device:
            y = self.data[1] if self._tensors else default_collate([self._row(i)[1] for i in range(len(self))])
            self._targets = task.target(map_leaves(lambda leaf: leaf.to(device), y))
        return self._targets

    def draw(self, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
        """Positions (count,), drawn with replacement."""
        if self.weights is None:
            return torch.randint(len(self), (count,), generator=generator, device=device)
        ends = self.weights.to(device, torch.float64).cumsum(0)
        places = torch.rand(count, generator=generator, device=device, dtype=torch.float64) * ends[-1]
        return torch.searchsorted(ends, places, right=True).clamp(max=len(self) - 1)

    def fetch(self, index: Tensor) -> Batch:
        """The rows at the positions `index` (m,), on its device."""
        if self._tensors:
            x, y = (_taken(part, index) for part in self.data)
        else:
            rows = default_collate([self._row(i) for i in index.tolist()])
            x, y = map_leaves(lambda leaf: leaf.to(index.device), rows)
        return Batch(x, y, index)

    def _row(self, i: int) -> tuple[Any, Any]:
        row = self.data[i]
        if not isinstance(row, tuple | list) or len(row) < 2:
            raise SettingError(f"data must have rows (x, y); got {type(row).__name__}.")
        return row[0], row[1]


def _leaves(part: Any) -> list[Any]:
    return [part] if isinstance(part, Rows) else leaves(part)


def _taken(part: Any, index: Tensor) -> Any:
    """Rows of a tree, or of what is not in memory, on the device of the index."""
    if isinstance(part, Rows):
        return part[index.cpu()].to(index.device)
    return map_leaves(lambda leaf: leaf[index.to(leaf.device)].to(index.device), part)


def _check_weights(weights: Tensor, count: int) -> None:
    """Raise unless there is a finite weight of at least 0 for each of `count` rows, and one above 0."""
    if weights.shape != (count,):
        raise ShapeError(f"data_weights must be (n,), one for each of the {count} rows; got {tuple(weights.shape)}.")
    if not weights.isfinite().all() or (weights < 0).any() or not weights.any():
        raise SettingError("data_weights must be finite numbers of at least 0, and not all 0.")


def concat_batches(batch: Batch, others: Batch) -> Batch:
    """The rows of `batch`, then those of `others`.

    Raises:
        ShapeError: rows of other shapes.
    """
    for what, own, other in (("x", batch.x, others.x), ("y", batch.y, others.y)):
        shape, given = (map_leaves(lambda leaf: tuple(leaf.shape[1:]), tree) for tree in (own, other))
        if shape != given:
            raise ShapeError(
                f"a row of the training set must be like one of the batch; its {what} has the shape {given}, in the "
                f"batch {shape}: give data= the rows that the loader draws from."
            )
    index = None
    if batch.index is not None and others.index is not None:
        index = torch.cat([batch.index, others.index.to(batch.index.device)])
    return Batch(cat_rows(batch.x, others.x), cat_rows(batch.y, others.y), index)
