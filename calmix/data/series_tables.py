"""Series in long tables: a row a step, with a column that names the series and one of the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype

from calmix.data.splits import listed
from calmix.data.table.cells import tidy
from calmix.data.table.columns import is_number
from calmix.data.table.files import read_table
from calmix.data.table.format import TableFormat
from calmix.errors import DataError, UnknownNameError
from calmix.reading import visible


@dataclass(frozen=True)
class LongColumns:
    """The columns of a long table: the names of series, the time, the target, and those that are learned from."""

    id: str
    time: str
    target: str
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ReadTable:
    """series: n arrays (t, d). names: (n,). labels: (n,), or None. notices: of the file."""

    series: Sequence[NDArray[np.float64]]
    names: Sequence[str]
    labels: NDArray[Any] | None
    notices: tuple[str, ...]


def columns_of(path: Path, format: TableFormat, target: str, id: str, time: str, drop: Sequence[str]) -> LongColumns:
    """Raise UnknownNameError for a column that the table has not, DataError where none is left to learn from."""
    columns = [str(name) for name in read_table(path, format).frame]
    for kind, name in (
        ("series id", id),
        ("series time", time),
        ("target", target),
        *(("drop", name) for name in drop),
    ):
        if name not in columns:
            raise UnknownNameError(f"{kind} column", name, columns)
    values = tuple(name for name in columns if name not in (id, time, target, *drop))
    if len({id, time, target}) < 3 or not values:
        raise DataError(f"{path} needs columns of the id, of the time, of the target, and others to learn from.")
    return LongColumns(id, time, target, values)


def read_long(path: Path, format: TableFormat, columns: LongColumns) -> ReadTable:
    """The series in the order in which they first appear, each in the order of its time.

    Raises:
        DataError: a column is missing, a cell is empty or no number, a time stands twice in a series, or a target
            changes within one.
    """
    read = read_table(path, format)
    table = {str(name): tidy(column) for name, column in read.frame.items()}
    lacking = [name for name in (columns.id, columns.time, *columns.values) if name not in table]
    if lacking:
        raise DataError(f"{path} lacks the columns {listed(lacking)}, which the series need; add them.")
    for name in (columns.id, columns.time, *columns.values):
        if table[name].isna().any():
            line = read.numbers[np.flatnonzero(table[name].isna())[0]]
            raise DataError(f"{path}: {read.unit} {line} has no {name!r}; fill it in, or take the series out.")
    values = np.stack([_numbers(table[name], name, path) for name in columns.values], 1)  # (rows, d)
    moments = _moments(table[columns.time], columns.time, path)
    ids, names = pd.factorize(table[columns.id])
    order = np.lexsort((moments, ids))
    twice = np.flatnonzero((np.diff(ids[order]) == 0) & (np.diff(moments[order]) == 0))
    if len(twice):
        lines = sorted(read.numbers[order[twice[0] : twice[0] + 2]].tolist())
        raise DataError(f"{path}: {read.unit}s {lines[0]} and {lines[1]} are of one series and one time; keep one.")
    starts = np.flatnonzero(np.diff(ids[order])) + 1
    labels = None
    if columns.target in table:
        goal = table[columns.target]
        codes = pd.factorize(goal)[0]  # -1 where empty
        changing = np.flatnonzero((np.diff(ids[order]) == 0) & (np.diff(codes[order]) != 0))
        if len(changing):
            name = names[int(ids[order][changing[0]])]
            raise DataError(
                f"{path}: the target {columns.target!r} changes within the series {name!r}; give one a series."
            )
        labels = goal.to_numpy()[[rows[0] for rows in np.split(order, starts)]]
        if pd.isna(labels).any():
            name = names[int(np.flatnonzero(pd.isna(labels))[0])]
            raise DataError(f"{path}: the series {name!r} has no {columns.target!r}; fill it in, or take it out.")
        if labels.dtype.kind not in "biuf":
            labels = np.array([str(label) for label in labels])
    texts = [visible(str(name)) for name in names]
    return ReadTable(np.split(values[order], starts), texts, labels, tuple(read.notices))


def _numbers(column: pd.Series, name: str, path: Path) -> NDArray[np.float64]:
    if not is_number(column) and column.dtype != bool:
        raise DataError(f"{path}: the column {name!r} holds other things than numbers; leave it out with --drop.")
    values = column.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: the column {name!r} holds infinity; leave these series out.")
    return values


def _moments(column: pd.Series, name: str, path: Path) -> NDArray[np.float64]:
    if not is_number(column) and not is_datetime64_any_dtype(column):
        try:
            column = pd.to_datetime(column, format="ISO8601", utc=True)
        except (ValueError, TypeError):
            raise DataError(
                f"{path}: the column {name!r} holds neither numbers nor dates such as 2026-01-31 12:00; write them so."
            ) from None
    return pd.Series(column).rank(method="dense").to_numpy(np.float64)
