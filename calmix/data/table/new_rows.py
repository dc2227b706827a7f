"""New rows of a table that a network was trained on: their columns are read as the training rows were, and encoded.

n rows, d features
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from calmix.data.new_rows import NewRows
from calmix.data.splits import listed
from calmix.data.table.cells import numbers_of, tidy
from calmix.data.table.columns import LARGEST, Taken, class_names, dates_of, floats, is_number
from calmix.data.table.encoding import AnyEncoder, Cells, Encoded, OneHot, cells_of
from calmix.data.table.files import read_table
from calmix.data.table.format import TableFormat
from calmix.data.table.levels import LevelMeans
from calmix.errors import DataError
from calmix.reading import visible


@dataclass(frozen=True)
class TableEncoding:
    """How rows become features, as the training rows taught it: plain numbers and texts, no code.

    encoders: in the order of the features. dates: the columns of dates, and whether days come before months in them.
    target: the column that is predicted; regression: whether it holds numbers. units: of the columns of numbers that
    have one in their cells.
    """

    encoders: tuple[AnyEncoder, ...]
    dates: Mapping[str, bool]
    target: str
    regression: bool
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns that are looked at."""
        return list(dict.fromkeys(encoder.column for encoder in self.encoders))

    @property
    def feature_names(self) -> list[str]:
        """What the network sees, in its order."""
        return [name for encoder in self.encoders for name in encoder.names]

    def __call__(self, rows: Any) -> NewRows:
        """Features of a DataFrame, or of what pandas makes one of: a list of mappings, or a mapping of columns.

        Other columns than those of the encoders and the target are not looked at.

        Raises:
            DataError: a column is missing, or holds other things than it did in training.
        """
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
        truth = next((column for name, column in frame.items() if str(name) == self.target), None)
        cells, notices = self.cells(frame)
        return NewRows(torch.from_numpy(self.features(cells)), truth=self._truth(truth), notices=notices)

    def features(self, cells: Mapping[str, Cells]) -> NDArray[np.float32]:
        """(n, d) of cells by column."""
        return np.hstack([encoder(cells[encoder.column]).astype(np.float32) for encoder in self.encoders])

    def cells(self, frame: pd.DataFrame) -> tuple[dict[str, Cells], list[str]]:
        """The cells of the columns that are looked at, as the encoders take them, and what the user should be told."""
        given = {str(name): column for name, column in frame.items()}
        lacking = [name for name in self.columns if name not in given]
        if lacking:
            raise DataError(f"the table lacks columns that the network was trained on: {listed(lacking)}; add them.")
        notices: list[str] = []
        cells: dict[str, Cells] = {}
        for encoder in self.encoders:
            name = encoder.column
            if name not in cells:
                cells[name], told = self._cells(name, given[name], encoder)
                notices += told
        return cells, notices

    def read(self, path: Path, format: TableFormat) -> NewRows:
        table = read_table(path, format)
        rows = self(table.frame)
        return replace(rows, notices=(*table.notices, *rows.notices))

    def check(self, shape: Sequence[int]) -> None:
        x = self({name: [None] for name in self.columns}).x
        if tuple(x.shape) != (1, *shape) or not x[:].isfinite().all():
            raise ValueError("the encoding of the columns does not fit the network")

    def _truth(self, column: pd.Series | None) -> NDArray[Any] | None:
        if column is None:
            return None
        if self.regression:
            return np.asarray(pd.to_numeric(numbers_of(tidy(column)).column, errors="coerce"), np.float64)
        return class_names(tidy(column))

    def _cells(self, name: str, column: pd.Series, encoder: AnyEncoder) -> tuple[Cells, list[str]]:
        if name in self.dates:
            return _dates(name, tidy(column), self.dates[name]), []
        if isinstance(encoder, OneHot | LevelMeans):
            return _texts(name, tidy(column), encoder.levels)
        return _numbers(name, tidy(column), self.units.get(name, ""))


def encoding_of(made: Encoded, used: Sequence[Taken], target: str, regression: bool) -> TableEncoding:
    dates = {column.name: column.day_first for column in used if column.use.taken_for == "date"}
    units = {column.name: column.unit for column in used if column.unit}
    return TableEncoding(made.encoders, dates, target, regression, units)


def _dates(name: str, column: pd.Series, day_first: bool) -> Cells:
    if column.isna().all():
        return np.full(len(column), np.nan)
    dates = dates_of(column, day_first)
    if dates is None:
        raise DataError(f"column {name!r} held dates in training, and holds {_some(column)} here; give dates.")
    return dates.seconds


def _numbers(name: str, column: pd.Series, unit: str) -> tuple[Cells, list[str]]:
    understood = numbers_of(column)
    if understood.column.isna().all():
        return np.full(len(column), np.nan), []
    if not is_number(understood.column):
        raise DataError(f"column {name!r} held numbers in training, and holds {_some(column)} here; give numbers.")
    values = floats(understood.column)
    if (np.abs(values) > LARGEST).any():
        raise DataError(f"column {name!r} has values that are infinite or beyond float32; empty these cells.")
    notices = [understood.notice] if understood.notice else []
    if unit and understood.unit and unit != understood.unit:
        raise DataError(
            f"column {name!r} was in {unit!r} in training, and is in {understood.unit!r} here; convert the numbers."
        )
    if unit != understood.unit:
        had, has = (repr(one) if one else "no unit" for one in (unit, understood.unit))
        notices.append(f"column {name!r} had {had} in training, and has {has} here: its numbers are taken as they are.")
    return values, notices


def _texts(name: str, column: pd.Series, levels: Sequence[str | None]) -> tuple[Cells, list[str]]:
    cells = cells_of(column)
    if is_number(column):  # of levels such as A, 1 and 2 there are only the latter here; with missing cells, as 1.0
        cells = np.array([None if pd.isna(cell) else str(cell).removesuffix(".0") for cell in cells], object)
    unknown = ~pd.isna(cells) & ~np.isin(cells.astype(str), [level for level in levels if level is not None])
    if not unknown.any():
        return cells, []
    seen = listed(dict.fromkeys(map(str, cells[unknown])), at_most=4)
    rows = f"{unknown.sum()} of {len(cells)} rows"
    return cells, [f"column {name!r}: {rows} have values that no training row had, and count as unknown: {seen}."]


def _some(column: pd.Series) -> str:
    return listed([visible(str(cell))[:30] for cell in column.dropna().unique()[:3].tolist()])
