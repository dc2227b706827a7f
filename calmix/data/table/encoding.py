"""Columns become numbers, with what the training rows know.

An encoder is of one column, and a frozen value of plain numbers and texts: what it learnt from the training rows.
Called with the cells of any rows it gives their features, so that new rows are encoded as the training rows were.

n rows, d features
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.column_use import DATE_PARTS, ONE_HOT, TARGET_ENCODING
from calmix.data.splits import RowIds
from calmix.data.table.columns import MAX_LEVELS, Column, Taken, date_part, floats, is_number, parts_that_vary
from calmix.data.table.levels import LevelMeans, fit_level_means
from calmix.errors import DataError
from calmix.reading import visible

Cells = NDArray[Any]  # (n,): float64 numbers, or dates in seconds, with NaN where missing; or text, None where missing


@dataclass(frozen=True)
class Number:
    """(x - mean) / std, with the median in place of missing cells.

    >>> Number("age", median=30.0, mean=40.0, std=10.0)(np.array([50.0, np.nan]))
    array([[ 1.],
           [-1.]])
    """

    column: str
    median: float
    mean: float
    std: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column,)

    def __call__(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((np.where(np.isnan(cells), self.median, cells) - self.mean) / self.std)[:, None]


@dataclass(frozen=True)
class DatePart:
    """A part of a date, such as its month, as `Number` has it. Cells are seconds since 1970."""

    column: str
    part: str
    median: float
    mean: float
    std: float

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.column}_{self.part}",)

    def __call__(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        return Number(self.column, self.median, self.mean, self.std)(date_part(cells, self.part))


@dataclass(frozen=True)
class Missing:
    """Whether the cell is missing, standardised."""

    column: str
    mean: float
    std: float

    @property
    def names(self) -> tuple[str, ...]:
        return (f"missingindicator_{self.column}",)

    def __call__(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((np.isnan(cells) - self.mean) / self.std)[:, None]


@dataclass(frozen=True)
class OneHot:
    """A feature a level: 1 where the cell is the level, else 0. A missing cell is the most frequent level.

    An unknown level is 0 everywhere, or the last feature, `other`, where rare levels are that together.
    """

    column: str
    levels: tuple[str, ...]
    frequent: str
    others: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.column}_{level}" for level in (*self.levels, *(["other"] if self.others else [])))

    def __call__(self, cells: Cells) -> NDArray[np.float64]:
        codes = pd.Index(self.levels, dtype=object).get_indexer(np.where(pd.isna(cells), self.frequent, cells))
        return np.eye(len(self.levels) + 1)[codes][:, : len(self.names)]  # -1, an unknown level, is the last


AnyEncoder = Number | DatePart | Missing | OneHot | LevelMeans
"""column: what it is of. names: of its d features. Called with cells (n,), it gives features (n, d)."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """xs: a part each, (len(rows), d) float32. encoders: in the order of the d features."""

    xs: list[NDArray[np.float32]]
    encoders: tuple[AnyEncoder, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for encoder in self.encoders for name in encoder.names)

    @property
    def features(self) -> Mapping[str, int]:
        """How many features each column gave."""
        counts: Counter[str] = Counter()
        for encoder in self.encoders:
            counts[encoder.column] += len(encoder.names)
        return counts


def encoded(columns: Sequence[Taken], parts: Sequence[RowIds], goal: NDArray[Any]) -> Encoded:
    """The columns of each part, encoded with the statistics of the first part.

    One column is encoded at a time, so that nothing of the size of the table is made in float64. goal: (n,) class ids,
    or numbers to regress; only those of the first part are looked at.
    """
    train = parts[0]
    known = [column for column in columns if pd.Series(column.values).iloc[train].notna().any()]
    if not known:  # nothing can be learned from a column that is empty there
        raise DataError("every cell of the train split is missing; fill some, or raise train_size.")
    encoders: list[AnyEncoder] = []
    made: list[list[NDArray[np.float32]]] = [[] for _ in parts]  # by part and feature
    for encoder, cells, x in _fitted(known, train, goal):
        encoders.append(encoder)
        for part, rows in zip(made, parts, strict=True):
            part.extend((x if rows is train else encoder(cells[rows])).T.astype(np.float32))
    xs = []
    while made:  # each part's features go as they are joined
        xs.append(np.stack(made.pop(0), 1))
    return Encoded(xs, tuple(encoders))


def cells_of(column: Column) -> Cells:
    """Numbers with NaN, or text with None, where missing."""
    if isinstance(column, np.ndarray):
        return column
    if is_number(column):
        return floats(column)
    cells = column.astype(object).map(lambda cell: visible(str(cell))).to_numpy(object, copy=True)
    cells[column.isna().to_numpy()] = None
    return cells


def _fitted(
    columns: Sequence[Taken], train: RowIds, goal: NDArray[Any]
) -> Iterator[tuple[AnyEncoder, Cells, NDArray[np.float64]]]:
    """Encoders in the order of features, the cells of all rows, and the features (n, d) of the training rows."""
    texts = [column for column in columns if not isinstance(column.values, np.ndarray) and not is_number(column.values)]
    numbers = [column for column in columns if column not in texts]

    def fitted(encoder: AnyEncoder, cells: Cells) -> tuple[AnyEncoder, Cells, NDArray[np.float64]]:
        return encoder, cells, encoder(cells[train])

    for column in numbers:
        cells = cells_of(column.values)
        yield fitted(Number(column.name, *_centre(cells[train])), cells)
    for column in numbers:
        if column.use.used_as == DATE_PARTS:
            cells = cells_of(column.values)
            for part in parts_that_vary(cells):
                yield fitted(DatePart(column.name, part, *_centre(date_part(cells[train], part))), cells)
    for column in numbers:
        cells = cells_of(column.values)
        if np.isnan(cells[train]).any():
            yield fitted(Missing(column.name, *_spread(np.isnan(cells[train]).astype(float))), cells)
    classes = len(np.unique(goal[train])) if goal.dtype.kind == "i" else 0
    for column in texts:
        cells = cells_of(column.values)
        if column.use.used_as == TARGET_ENCODING and classes <= MAX_LEVELS:
            encoder, x = fit_level_means(column.name, cells[train], goal[train])
            yield encoder, cells, x
        else:  # of classes so many that their shares made more features than this
            yield fitted(_one_hot(column.name, cells[train], column.use.used_as == ONE_HOT), cells)


def _centre(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Median, and mean and standard deviation with the median in place of NaN."""
    missing = np.isnan(values)
    median = float(np.median(values[~missing])) if missing.any() else float(np.median(values))
    return median, *_spread(np.where(missing, median, values))


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation; 1 for the latter where it is no more than the rounding of its own sums."""
    n, mean, variance, eps = len(values), float(values.mean()), float(values.var()), np.finfo(np.float64).eps
    alike = variance <= n * eps * variance + (n * mean * eps) ** 2
    return mean, 1.0 if alike else float(np.sqrt(variance))


def _one_hot(name: str, cells: NDArray[Any], all_levels: bool) -> OneHot:
    """Of all levels, or of the most frequent ones."""
    levels, counts = np.unique(cells[pd.notna(cells)].astype(str), return_counts=True)
    frequent = str(levels[counts.argmax()])
    if all_levels or len(levels) <= MAX_LEVELS:
        return OneHot(name, tuple(map(str, levels)), frequent)
    most = np.sort(np.argsort(counts, kind="stable")[1 - MAX_LEVELS :])
    return OneHot(name, tuple(map(str, levels[most])), frequent, others=True)
