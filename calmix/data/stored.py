"""Rows that stay in a file and are read a batch at a time.

N rows of a file, n of them asked for; a row is (C, ...), with C channels.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.errors import DataError

_READ = 2**21  # numbers at a time, where many are looked at


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows of a file of raw numbers, one after the other, without a header; see `calmix.data.Split`.

    x = (raw / 255 - mean) / std of uint8, (raw - mean) / std of floating numbers; mean and std are one number a
    channel, or () for 0 and 1.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.bin"
    >>> _ = path.write_bytes(bytes([0, 51, 102, 255]))
    >>> StoredRows(path, (1, 2), "uint8", np.arange(2))[:].tolist()
    [[[0.0, 0.20000000298023224]], [[0.4000000059604645, 1.0]]]
    """

    file: Path
    row: tuple[int, ...]  # the shape of a row
    dtype: Literal["uint8", "float16", "float32"]
    places: NDArray[np.int64]  # (n,): which rows of the file
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    loaders: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.row)

    @property
    def size(self) -> int:
        """Bytes, as float32."""
        return 4 * math.prod(self.shape)

    def fits(self, room: int) -> bool:
        """Whether they take at most so many bytes in memory."""
        return self.size <= room

    @property
    def pixels(self) -> bool:
        """Whether numbers run from 0 to 1 before they are standardised."""
        return self.dtype == "uint8"

    def __getitem__(self, places: Tensor | slice | int) -> Tensor:
        """(m, C, ...) float32, or (C, ...) of a single place.

        Raises:
            DataError: the file is shorter than it was.
        """
        if isinstance(places, int):
            return self[places : places + 1 or None][0]
        x = torch.from_numpy(self._raw(self.places[_index(places)])).float()
        if self.dtype == "uint8":
            x.div_(255)
        if self.mean:
            mean, std = (torch.tensor(values).view(-1, *(1 for _ in self.row[1:])) for values in (self.mean, self.std))
            x.sub_(mean).div_(std)
        return x

    def part(self, places: Tensor | slice) -> "StoredRows":
        return replace(self, places=self.places[_index(places)])

    def standardised_by(self, places: NDArray[np.int64]) -> "StoredRows":
        """With each channel's mean and standard deviation over the rows at these places; 1 of a constant one."""
        count, total, squares = 0, torch.zeros(self.row[0]).double(), torch.zeros(self.row[0]).double()
        bare = replace(self, mean=(), std=())
        at_once = max(1, _READ // math.prod(self.row))
        for start in range(0, len(places), at_once):
            x = (
                bare[torch.from_numpy(places[start : start + at_once])].double().transpose(0, 1).flatten(1)
            )  # (C, numbers)
            count += x.shape[1]
            total += x.sum(1)
            squares += x.square().sum(1)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        std[std < 1e-6] = 1
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def _raw(self, places: NDArray[np.int64]) -> NDArray[np.generic]:
        raw = np.empty((len(places), *self.row), self.dtype)
        size = math.prod(self.row) * raw.itemsize
        with self.file.open("rb", buffering=0) as file:
            for place, row in zip(places.tolist(), raw, strict=True):
                file.seek(place * size)
                if file.readinto(row) != size:
                    raise DataError(f"{self.file} is shorter than it was; delete it, and it is made anew.")
        return raw


def _index(places: Tensor | slice) -> NDArray[np.int64] | slice:
    return places if isinstance(places, slice) else places.numpy()
