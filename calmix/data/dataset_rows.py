"""Rows of torch data sets, read when they are asked for.

N rows of a part, n of all parts, m asked for; a row is a vector (d,), a series (t, d) or an image (C, H, W)
"""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, default_collate

from calmix.data.splits import RowIds
from calmix.errors import DataError, ShapeError

Pair = tuple[Tensor, Tensor]  # x, y
_READ = 256  # rows at a time, where many are read
_LOOKED_AT = 32  # rows of a part that are read to see what they are
_SCALED_BY = 2_000  # training rows that tell mean and deviation


def pairs(rows: Sequence[Sequence[Any]]) -> Any:
    """The (x, y) of rows (x, y, ...), stacked."""
    return default_collate([(row[0], row[1]) for row in rows])


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of a map-style data set, and what makes a batch (x, y) of several.

    What a row draws from the global generators of torch, numpy and `random`, such as augmentation, follows from the
    places that are read together: so it is another in every epoch, and the same in every process and run.
    """

    dataset: Any
    places: RowIds  # (N,): which of the data set's
    collate: Callable[[list[Any]], Any] = pairs
    loaders: int | None = None  # processes that read them; None: not said

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, places: RowIds) -> Pair:
        """x (m, ...) and y (m,) or (m, d). Raise DataError where rows cannot be stacked, or are no numbers."""
        wanted = self.places[places].tolist()
        several = getattr(self.dataset, "__getitems__", None)
        with _drawn_by(places):
            rows = several(wanted) if several else [self.dataset[i] for i in wanted]
            try:
                batch = self.collate(rows)
            except (RuntimeError, TypeError, IndexError, KeyError) as error:
                raise DataError(
                    f"the rows of the data set cannot be stacked ({error}); give tensors of one shape."
                ) from None
        if not isinstance(batch, tuple | list) or len(batch) < 2 or not all(isinstance(t, Tensor) for t in batch[:2]):
            raise DataError("the rows of the data set hold something else than numbers; give tensors (x, y).")
        return batch[0], batch[1]

    def read(self) -> Pair:
        """All rows, read by `loaders` processes."""
        batches = list(_read(self, np.arange(len(self)), self.loaders or 0))
        shapes = {tuple(x.shape[1:]) for x, _ in batches}
        if len(shapes) > 1:
            raise DataError(f"the rows of the data set cannot be stacked (they have shapes {sorted(shapes)}).")
        x, y = zip(*batches, strict=True)
        return torch.cat(x), torch.cat(y)

    def looked_at(self) -> RowIds:
        """A few places, from the first to the last."""
        return np.unique(np.linspace(0, len(self) - 1, _LOOKED_AT).astype(np.int64))

    def changes(self) -> bool:
        """Whether x is another when it is read again."""
        places = self.looked_at()
        once, again = self(places)[0], self(places[::-1].copy())[0].flip(0)
        return not torch.equal(once.nan_to_num(), again.nan_to_num())

    def targets(self) -> Tensor:
        """The y of all rows: those that the data set lists, if a few rows have the same; else every row is read."""
        listed = None if self.collate is not pairs else _listed(self.dataset)
        if listed is not None:
            y, few = torch.from_numpy(listed[self.places]), self.looked_at()
            seen = self(few)[1]
            if y[few].shape == seen.shape and torch.equal(y[few].to(seen.dtype), seen):
                return y.to(seen.dtype)
        return torch.cat([y for _, y in _read(self, np.arange(len(self)), self.loaders or 0)])


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """The rows x of data sets that are not in memory; see `calmix.data.Split`.

    x = (row - mean) / std; mean and std are one number a channel of images, a column of other rows, or () for 0 and 1.
    8-bit images are divided by 255 first. changing: another reading gives other rows, by random augmentation.
    """

    parts: tuple[Part, ...]
    places: RowIds  # (n,): of the rows of all parts, one part after the other
    row: tuple[int, ...]
    pixels: bool  # images of numbers from 0 to 1
    changing: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.row)

    @property
    def loaders(self) -> int:
        return max(part.loaders or 0 for part in self.parts)

    def fits(self, room: int) -> bool:
        """False: what fits into memory was read when it was given, unless it changes."""
        return False

    def __getitem__(self, places: Tensor | slice | int) -> Tensor:
        """(m, ...) float32, or (...) of a single place.

        Raises:
            DataError, ShapeError: rows that hold NaN or infinity, or are of another kind or shape than the first.
        """
        if isinstance(places, int):
            return self[places : places + 1 or None][0]
        wanted = self.places[places if isinstance(places, slice) else places.numpy()]
        x = torch.empty(len(wanted), *self.row)
        ends = np.cumsum([len(part) for part in self.parts])
        owners = np.searchsorted(ends, wanted, side="right")
        for owner in np.unique(owners).tolist():
            part = self.parts[owner]
            mine = owners == owner
            some = measured(part(wanted[mine] - (ends[owner] - len(part)))[0])
            if tuple(some.shape[1:]) != self.row:
                raise ShapeError(f"the first row has shape {self.row}, and another one {tuple(some.shape[1:])}.")
            x[torch.from_numpy(mine)] = some.float()
        if not x.isfinite().all():
            row = wanted[int((~x.flatten(1).isfinite().all(1)).nonzero()[0])]
            raise DataError(f"row {row} of the data set holds NaN or infinity; mend it or leave it out.")
        if self.mean:
            mean, std = (torch.tensor(values).view(self._by_channel) for values in (self.mean, self.std))
            x.sub_(mean).div_(std)
        return x

    def part(self, places: Tensor | slice) -> "DatasetRows":
        return replace(self, places=self.places[places if isinstance(places, slice) else places.numpy()])

    def standardised_by(self, places: RowIds) -> "DatasetRows":
        """With means and deviations over at most 2,000 of the rows at these places; as they are if they change."""
        channels = self.row[0] if len(self.row) == 3 else self.row[-1]
        if self.changing:
            return replace(self, mean=(0.0,) * channels, std=(1.0,) * channels)
        bare = replace(self, mean=(), std=(), places=self.places[places[:_SCALED_BY]])
        count, total, squares = 0, torch.zeros(channels).double(), torch.zeros(channels).double()
        for x in _read(bare.__getitem__, torch.arange(len(bare.places)), self.loaders):
            values = x.double().movedim(1 if len(self.row) == 3 else -1, 0).flatten(1)  # (channels, numbers)
            count += values.shape[1]
            total += values.sum(1)
            squares += values.square().sum(1)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        std[std < 1e-6] = 1
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @property
    def _by_channel(self) -> tuple[int, ...]:
        return (-1, 1, 1) if len(self.row) == 3 else (-1,)


def measured(x: Tensor) -> Tensor:
    """Rows as floating numbers: 8-bit images (m, C, H, W) divided by 255. Raise ShapeError for other integers."""
    if x.dtype == torch.uint8 and x.ndim == 4:
        return x / 255
    if not x.is_floating_point():
        raise ShapeError(
            f"x has dtype {x.dtype}; convert measurements with x.float(). (Images are (n, C, H, W), of 8-bit "
            "integers or of floating numbers from 0 to 1.)"
        )
    return x


def class_names(dataset: Any) -> tuple[str, ...]:
    """The names of its classes that a data set lists, as those of torchvision do; () where it lists none."""
    if isinstance(dataset, Subset):
        return class_names(dataset.dataset)
    names = getattr(dataset, "classes", ())
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if known else ()


def _listed(dataset: Any) -> NDArray[Any] | None:
    """The targets (N, ...) of all rows that a data set lists; None where it lists no numbers."""
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].detach().cpu().numpy()
    if isinstance(dataset, Subset):
        inner = _listed(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, np.int64)]
    if isinstance(dataset, ConcatDataset):
        several = [_listed(one) for one in dataset.datasets]
        known = [one for one in several if one is not None]
        return np.concatenate(known) if len(known) == len(several) else None
    for name in ("targets", "labels"):
        values = np.asarray(getattr(dataset, name, ()))
        if len(values.shape) >= 1 and len(values) == len(dataset) and values.dtype.kind in "biuf":
            return values
    return None


class _Reading(Dataset[Any]):
    """What `read` makes of places, for a DataLoader."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __getitem__(self, places: Any) -> Any:
        return self.read(places)


def _read(read: Callable[[Any], Any], places: Any, loaders: int) -> Iterator[Any]:
    """What `read` makes of the places, a few hundred at a time and in their order, by as many processes."""
    chunks = [places[start : start + _READ] for start in range(0, len(places), _READ)]
    if loaders == 0 or len(chunks) == 1:
        return map(read, chunks)
    generator = torch.Generator()
    return iter(DataLoader(_Reading(read), sampler=chunks, batch_size=None, num_workers=loaders, generator=generator))


@contextmanager
def _drawn_by(places: RowIds) -> Iterator[None]:
    """Within, the global generators start from what the places say; afterwards they are as they were."""
    seed = zlib.crc32(np.ascontiguousarray(places, np.int64).tobytes())
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  (data sets draw from it)
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
