"""A data set before it is drawn into splits, and the drawing.

N rows in all; a row is a vector (d,), a series (t, d) or an image (C, H, W)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.dataset_rows import DatasetRows
from calmix.data.given_rows import Field, GivenRows
from calmix.data.new_rows import RowEncoding
from calmix.data.splits import (
    IN_MEMORY,
    PARTS,
    SAME_TEST,
    SHARES,
    About,
    Draw,
    Fold,
    Joined,
    RowIds,
    Split,
    Splits,
    check_classes,
    cut_train,
    draw_parts,
    split_rows,
    split_sizes,
)
from calmix.data.stored import StoredRows
from calmix.data.table.drawing import parts_by_group
from calmix.errors import SettingError
from calmix.reprs import shown
from calmix.threads import using_threads

Scale = tuple[float, ...]  # a number a column, or a channel
WholeRows = Tensor | StoredRows | DatasetRows


class WholeSource(ABC):
    """What sources have in common whose rows are all known before they are drawn: their splits, and their text.

    A subclass is a frozen dataclass (repr=False) with a field train_size. The last splits stay in memory.
    """

    train_size: int | None

    def __repr__(self) -> str:
        return shown(self)

    @property
    @abstractmethod
    def _changed(self) -> Hashable:
        """What changes when a file does."""

    @property
    @abstractmethod
    def _whole(self) -> "Whole": ...

    @property
    def foldable(self) -> bool:
        """Whether no part is given, so that the rows can be cut into folds."""
        return not self._whole.given

    def splits(self, seed: Draw) -> Splits:
        return _last_splits(self, seed, self._changed)

    def _splits(self, seed: Draw) -> Splits:
        return self._whole.splits(seed, self.train_size)

    def whole(self) -> Self:
        return replace(self, train_size=None)  # pyright: ignore[reportArgumentType, reportCallIssue]  (a dataclass)


@lru_cache(maxsize=1)
def _last_splits(source: WholeSource, seed: Draw, changed: Hashable) -> Splits:
    return source._splits(seed)  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, eq=False)
class Whole:
    """All rows of a data set.

    x: (N, ...), not standardised; integers where they name what the network knows. y: (N,) int64 class ids 0 .. K - 1,
    or (N, d) float64 values. about: what is known before the splits are. given: the rows of parts that are given and
    not drawn: any but "train". groups: (N,) texts; rows of one group stand in one split. shares: of the four parts,
    among those that are drawn. numbers: (N,), by which the user counts rows; None: from 0. unit, note, fields, names:
    see `GivenRows`. encoding: how further rows become x, once their mean and deviation are known.
    """

    x: WholeRows
    y: NDArray[np.int64] | NDArray[np.float64]
    about: About
    given: Mapping[str, RowIds] = field(default_factory=dict)
    groups: NDArray[np.str_] | None = None
    shares: Sequence[int] = SHARES
    numbers: NDArray[np.int64] | None = None
    unit: str = "row"
    note: str = ""
    fields: Sequence[Field] = ()
    names: Sequence[str] = ()
    encoding: Callable[[Scale, Scale], RowEncoding] | None = None

    def splits(self, draw: Draw, train_size: int | None = None) -> Splits:
        """Four splits, stratified by class; x, and values to regress, standardised by what the train split knows.

        Vectors and series are standardised column by column, images channel by channel; integers stay as they are.
        Stored rows that fit into memory are read.

        Raises:
            DataError, SettingError: rows that cannot be split so.
        """
        about = self.about
        labels = None if about.task == "regression" else self.y.astype(np.int64)
        if labels is not None:
            about = replace(about, notices=(*about.notices, *check_classes(labels, about.classes)))
        train, *others = self._parts(labels, draw)
        parts = [cut_train(train, labels, train_size), *others]
        about = replace(about, notices=(*about.notices, *self._told(parts)))
        x, mean, std = _standardised(self.x, parts[0])
        y = torch.from_numpy(self.y)
        if labels is None:
            y, of_mean, of_std = _standardised_tensor(y.view(len(y), -1), parts[0])
            about = replace(about, target_mean=of_mean, target_std=of_std)
        numbers = np.arange(len(y)) if self.numbers is None else self.numbers
        return Splits(
            *(_split(x, y, rows) for rows in parts),
            about=replace(about, pixel_mean=mean, pixel_std=std) if self._has_pixels else about,
            encoding=self.encoding and self.encoding(mean, std),
            given=GivenRows(numbers, parts[-1], self.unit, self.note, self.fields, self.names),
        )

    @property
    def _has_pixels(self) -> bool:
        """Whether x are images of numbers from 0 to 1."""
        if self.about.kind != "image":
            return False
        return bool(self.x.min() >= 0 and self.x.max() <= 1) if isinstance(self.x, Tensor) else self.x.pixels

    def _parts(self, labels: RowIds | None, draw: Draw) -> list[RowIds]:
        if isinstance(draw, Joined):
            return draw.of(self._parts(labels, draw.seed))
        if self.groups is None and not self.given:
            return draw_parts(labels, len(self.y), draw, self.shares)
        if self.given and isinstance(draw, Fold):
            raise SettingError(f"{self.about.name} has a test split of its own, and no rows to cut into folds.")
        free = np.setdiff1d(np.arange(len(self.y)), np.concatenate([*self.given.values(), np.zeros(0, np.int64)]))
        shares = tuple(share for share, part in zip(self.shares, PARTS, strict=True) if part not in self.given)
        own = None if labels is None else labels[free]
        if self.groups is None:
            assert not isinstance(draw, Fold)
            drawn = split_rows(own, split_sizes(len(free), shares), np.random.default_rng(draw))
        else:
            drawn = parts_by_group(own, np.unique(self.groups[free], return_inverse=True)[1], draw, shares)
        rest = iter(drawn)
        return [self.given[part] if part in self.given else free[next(rest)] for part in PARTS]

    def _told(self, parts: Sequence[RowIds]) -> list[str]:
        """How rows are split, where they are not drawn one by one for every seed."""
        told = [SAME_TEST] if "test" in self.given else []
        if self.groups is not None:
            counts = [
                f"{part} {len(set(self.groups[rows].tolist()))}"
                for part, rows in zip(PARTS, parts, strict=True)
                if part not in self.given
            ]
            told.append(f"all rows of a group stand in one split (groups: {', '.join(counts)}).")
        return told


def _split(x: WholeRows, y: Tensor, rows: RowIds) -> Split:
    places = torch.from_numpy(rows)
    if isinstance(x, Tensor):
        return Split(x[places], y[places])
    part = x.part(places)
    return Split(part[:] if x.fits(IN_MEMORY) else part, y[places])


def _standardised(x: WholeRows, rows: RowIds) -> tuple[WholeRows, Scale, Scale]:
    if isinstance(x, Tensor):
        return _standardised_tensor(x, rows) if x.is_floating_point() else (x, (), ())
    x = x.standardised_by(rows)
    return x, x.mean, x.std


def _standardised_tensor(x: Tensor, rows: RowIds) -> tuple[Tensor, Scale, Scale]:
    """x less its mean over its standard deviation, both over `rows`: of each column, or of each channel of images."""
    over = [d for d in range(x.ndim) if d != (1 if x.ndim == 4 else x.ndim - 1)]
    with using_threads(1):  # the sums are then the same on every machine alike
        std, mean = torch.std_mean(x[torch.from_numpy(rows)].double(), dim=over, correction=0, keepdim=True)
    std[std == 0] = 1
    return ((x - mean) / std).float(), tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())
