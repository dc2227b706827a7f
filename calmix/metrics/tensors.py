"""What every metric accepts, and how it becomes a tensor on the CPU."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from calmix.errors import SettingError, ShapeError

Array = Tensor | np.ndarray


def cpu_tensor(values: Array) -> Tensor:
    """`values` on the CPU and outside the graph. A numpy array is copied, so a read-only one will do."""
    return values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))


def row_slices(values: Tensor, numbers: int = 2**20) -> Iterator[slice]:
    """Slices of the rows of `values`, of about so many numbers each: what is made of them needs little memory.

    >>> list(row_slices(torch.zeros(5, 10), numbers=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    rows = max(1, numbers // max(1, values[:1].numel()))
    return (slice(start, start + rows) for start in range(0, len(values), rows))


class Collected:
    """Batches of equally long tensors, whose rows keep the shape of the first batch's."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, ...]] = []

    def add(self, *batch: Tensor) -> None:
        """Add a batch. Raises ShapeError if its rows have another shape than earlier ones."""
        first = self._batches[0] if self._batches else batch
        if first[0].shape[1:] != batch[0].shape[1:]:
            raise ShapeError(
                f"a batch has shape {tuple(batch[0].shape)}, expected {('n', *first[0].shape[1:])} as in earlier "
                "batches; begin anew for another predictor."
            )
        self._batches.append(batch)

    def concat(self) -> tuple[Tensor, ...]:
        """All rows so far. Raises SettingError if there are none."""
        if not self._batches:
            raise SettingError("there is nothing to compute, expected at least one batch; call update first.")
        return tuple(map(torch.cat, zip(*self._batches, strict=True)))
