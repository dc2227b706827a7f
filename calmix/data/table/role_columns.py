"""The cells of columns by which rows are split or weighed, as numbers; and what is said of them.

n rows
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.column_use import ColumnUse
from calmix.data.splits import RowIds, listed
from calmix.data.table.cells import numbers_of, tidy
from calmix.data.table.columns import LARGEST, dates_of, floats, is_number
from calmix.data.table.roles import Role
from calmix.errors import DataError
from calmix.reading import visible

Where = Callable[[int], str]  # what the row at a place is called, such as "line 17"

USED_AS: dict[Role, str] = {"group": "splits by group", "time": "splits by time", "weight": "weight of rows"}


class Moments(NamedTuple):
    """values: (n,) numbers; of dates, seconds since 1970."""

    values: NDArray[np.float64]
    dated: bool

    def of_rows(self, rows: RowIds) -> "Moments":
        return Moments(self.values[rows], self.dated)


def use_of(role: Role, name: str, column: pd.Series, learned: ColumnUse | None) -> ColumnUse:
    """The column's line in the summary. learned: the one that it has where it is learned from, too."""
    if learned is not None:
        return replace(learned, note="; ".join(filter(None, [USED_AS[role], learned.note])))
    column = tidy(column)
    return ColumnUse(name, role, int(column.isna().sum()), column.nunique(), USED_AS[role], note="not learned from")


def groups_of(name: str, column: pd.Series, where: Where) -> NDArray[np.object_]:
    """(n,) the texts that tell groups apart; whole numbers without a point."""
    column = tidy(column)
    _refuse_empty(name, column.isna().to_numpy(), "group", where)
    if is_number(column):
        column = pd.Series(floats(column))
    return column.astype(object).map(lambda cell: str(cell).removesuffix(".0")).to_numpy(object)


def moments_of(name: str, column: pd.Series, where: Where) -> Moments:
    column = tidy(column)
    _refuse_empty(name, column.isna().to_numpy(), "time", where)
    if not is_number(column):
        dates = dates_of(column)
        if dates is not None:
            return Moments(dates.seconds, True)
    return Moments(_numbers(name, column, "time", where, "give dates such as 2024-01-31, or numbers"), False)


def weights_of(name: str, column: pd.Series, where: Where) -> NDArray[np.float64]:
    """(n,) numbers, none below 0."""
    column = tidy(column)
    remedy = "give a number of at least 0 to each row; 0 leaves it out of the training"
    _refuse_empty(name, column.isna().to_numpy(), "weight", where)
    weights = _numbers(name, column, "weight", where, remedy)
    if (bad := weights < 0).any():
        first = int(bad.argmax())
        example = f"{weights[first]:g} in {where(first)}"
        raise DataError(
            f"column {name!r} holds weights below 0 in {bad.sum()} of {len(bad)} rows, such as {example}; {remedy}."
        )
    return weights


def _refuse_empty(name: str, empty: NDArray[np.bool_], role: str, where: Where) -> None:
    if empty.any():
        raise DataError(
            f"column {name!r} is empty in {empty.sum()} of {len(empty)} rows, such as {where(int(empty.argmax()))}; "
            f"every row needs a {role}: fill these cells, or remove the rows."
        )


def _numbers(name: str, column: pd.Series, role: str, where: Where, remedy: str) -> NDArray[np.float64]:
    """The cells as finite numbers."""
    understood = numbers_of(column)
    if understood.notice or not is_number(understood.column):
        cells = listed([visible(str(cell))[:30] for cell in column.unique()[:3].tolist()])
        raise DataError(f"column {name!r} is to hold the {role} of rows, and holds {cells}; {remedy}.")
    values = floats(understood.column)
    _refuse_empty(name, np.isnan(values), role, where)
    if (np.abs(values) > LARGEST).any():
        raise DataError(f"column {name!r} has values that are infinite or beyond float32; {remedy}.")
    return values
