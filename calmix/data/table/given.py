"""Ready-made parts of a table: the rows of another file or frame, read and encoded as the training rows were.

n rows of a part, K classes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.util import hash_pandas_object

from calmix.data.asked import check_columns
from calmix.data.splits import PARTS, listed
from calmix.data.table.cells import numbers_of, tidy
from calmix.data.table.columns import LARGEST, class_names, floats, is_number
from calmix.data.table.encoding import Cells
from calmix.data.table.new_rows import TableEncoding
from calmix.data.table.role_columns import Moments, groups_of, moments_of
from calmix.data.table.roles import Roles
from calmix.errors import DataError
from calmix.reading import visible


@dataclass(frozen=True, eq=False)
class TableRows:
    """A table as the user counts its rows.

    name: what messages call it. numbers: (n,) of its rows, ascending. unit: what is counted, in the singular.
    """

    frame: pd.DataFrame
    name: str
    numbers: NDArray[np.int64]
    unit: str = "row"

    def where(self, place: int) -> str:
        """What the row at a place is called."""
        return f"{self.unit} {self.numbers[place]}"

    @property
    def note(self) -> str:
        first = "0" if len(self.numbers) and self.numbers[0] == 0 else "1"
        return f"{self.unit.capitalize()}s are those of {visible(self.name)}, counted from {first}."


@dataclass(frozen=True)
class Goal:
    """What is predicted, as the training file has it: how the target of further rows becomes numbers.

    classes: their names in the order of their ids; () for a regression.
    """

    target: str
    classes: tuple[str, ...]
    unit: str = ""  # of numbers

    def __call__(self, column: pd.Series, table: TableRows) -> NDArray[np.float64]:
        """(n,) class ids, or numbers; NaN where the cell is empty.

        Raises:
            DataError: a class that the training file does not have; a target that is no number, or in another unit.
        """
        column = tidy(column)
        if self.classes:
            return self._ids(column, table)
        understood = numbers_of(column)
        if not is_number(understood.column) and not understood.column.isna().all():
            cells = listed([visible(str(cell))[:30] for cell in column.dropna().unique()[:3].tolist()])
            raise DataError(f"target {self.target!r} is numbers in the training file, and holds {cells}; give numbers.")
        if understood.unit != self.unit:
            had, has = (repr(one) if one else "no unit" for one in (self.unit, understood.unit))
            raise DataError(f"target {self.target!r} has {has}, and {had} in the training file; convert the numbers.")
        values = floats(understood.column.astype(float))
        if (np.abs(values) > LARGEST).any():
            raise DataError(f"target {self.target!r} is infinite or beyond float32 in some rows; mend these cells.")
        return values

    def _ids(self, column: pd.Series, table: TableRows) -> NDArray[np.float64]:
        names = class_names(column)
        ids = pd.Index(self.classes).get_indexer(pd.Index(names, dtype=object)).astype(float)
        empty = column.isna().to_numpy()
        if (unknown := (ids < 0) & ~empty).any():
            seen = listed(dict.fromkeys(visible(str(name)) for name in names[unknown]), at_most=4)
            raise DataError(
                f"target {self.target!r} has classes that no row of the training file has: {seen}, in "
                f"{unknown.sum()} rows, such as {table.where(int(unknown.argmax()))}; a network cannot learn them: add "
                "such rows to train on, or remove these."
            )
        return np.where(empty, np.nan, ids)


@dataclass(frozen=True, eq=False)
class ReadyPart:
    """The rows of a ready-made part that have a target.

    places: (n,) where they are in the table. x: (n, d). goal: (n,) class ids, or numbers. keys: (n,) what tells rows of
    other values apart. groups, times: (n,), where rows are split by them.
    """

    table: TableRows
    places: NDArray[np.int64]
    x: NDArray[np.float32]
    cells: Mapping[str, Cells]
    goal: NDArray[np.float64]
    keys: NDArray[np.uint64]
    notices: tuple[str, ...]
    groups: NDArray[np.object_] | None = None
    times: Moments | None = None


def read_part(table: TableRows, goal: Goal, encoding: TableEncoding, roles: Roles) -> ReadyPart:
    """A ready-made part, encoded as new rows are.

    Raises:
        DataError: a column is missing, or holds other things than in the training file.
    """
    try:
        return _read_part(table, goal, encoding, roles)
    except DataError as error:
        raise DataError(f"{table.name}: {error}") from None


def _read_part(table: TableRows, goal: Goal, encoding: TableEncoding, roles: Roles) -> ReadyPart:
    columns = {str(name): column for name, column in table.frame.items()}
    check_columns("the table", columns, [goal.target, *roles.splitting])
    values = goal(columns[goal.target], table)
    places = np.flatnonzero(~np.isnan(values))
    if not len(places):
        raise DataError(f"no row has a {goal.target!r}; give rows whose target is known.")
    notices = []
    if len(places) < len(values):
        left_out = len(values) - len(places)
        notices.append(f"{left_out} of {len(values)} rows have no {goal.target!r} and are left out.")
    cells, told = encoding.cells(table.frame.iloc[places])
    values = values[places]

    def where(place: int) -> str:
        return table.where(int(places[place]))

    groups = times = None
    if roles.group is not None:
        groups = groups_of(roles.group, columns[roles.group].iloc[places], where)
    if roles.time is not None:
        times = moments_of(roles.time, columns[roles.time].iloc[places], where)
    said = tuple(f"{table.name}: {notice}" for notice in (*notices, *told))
    keys = keys_of(cells, values)
    return ReadyPart(table, places, encoding.features(cells), cells, values, keys, said, groups, times)


# ---------------------------------------------------------------------------------- rows that stand in several parts


def keys_of(cells: Mapping[str, Cells], goal: NDArray[np.float64]) -> NDArray[np.uint64]:
    """(n,) numbers that differ where the cells or the target do, whatever types the columns had in their files."""
    frame = pd.DataFrame({**cells, "": goal}, copy=False)
    hash_rows: Any = hash_pandas_object
    return hash_rows(frame, index=False, categorize=False).to_numpy()


def repeated(keys: NDArray[np.uint64], parts: Mapping[str, ReadyPart], training: TableRows) -> list[str]:
    """Notices on rows that hold the same in two files. keys: of the training file's rows.

    Raises:
        DataError: every row of a part stands in another file.
    """
    known = {"": keys, **{name: part.keys for name, part in parts.items()}}
    notices = []
    for first, second in combinations(sorted(known, key=_order), 2):
        part = parts[second]
        same = np.isin(part.keys, known[first])
        if not same.any():
            continue
        other = parts[first].table.name if first else training.name
        if same.all():
            raise DataError(
                f"every row of {part.table.name} stands in {other}, too, and a {second} split of such rows tells "
                "nothing; give other rows."
            )
        twice = 100 * (1 - len(np.unique(known[first])) / len(known[first]))
        first_row = part.table.where(int(part.places[same.argmax()]))
        notices.append(
            f"{same.sum()} of {len(same)} rows of {part.table.name} hold the same as a row of {other} in all columns "
            f"that are used, such as {first_row} (in {other} itself {twice:.0f} % of the rows repeat others); if they "
            "are the same cases, remove them from one of the files."
        )
    return notices


def _order(part: str) -> int:
    return PARTS.index(part) if part else -1


def check_groups(groups: NDArray[np.object_], name: str, parts: Mapping[str, ReadyPart], training: TableRows) -> None:
    """Raise DataError where rows of one group stand in two files. groups: of the training file's rows."""
    known = {"": groups, **{part: ready.groups for part, ready in parts.items() if ready.groups is not None}}
    for first, second in combinations(sorted(known, key=_order), 2):
        both = sorted(set(known[first].tolist()) & set(known[second].tolist()))
        if both:
            other = parts[first].table.name if first else training.name
            raise DataError(
                f"rows of one {name!r} stand in {other} and in {parts[second].table.name}: {listed(both, at_most=4)}; "
                "take them out of one of the files, or leave --group out."
            )


def check_times(train: Moments, name: str, others: Sequence[tuple[str, Moments]]) -> None:
    """Raise DataError unless all rows are later than those to train on, and no row is as late as those of the test.

    train: of the rows to train on. others: of the rows of each other split, the test split last.
    """
    if any(times.dated != train.dated for _, times in others):
        raise DataError(f"{name!r} holds dates in one of the files, and numbers in another; give one of them.")
    tests = others[-1][1].values.min()
    for split, times in others:
        if times.values.min() <= train.values.max() or (split != "test" and times.values.max() >= tests):
            late = "rows to train on" if times.values.min() <= train.values.max() else f"rows of the {split} split"
            early = split if times.values.min() <= train.values.max() else "test"
            raise DataError(
                f"by {name!r}, some {late} are not earlier than all rows of the {early} split; give ready-made parts "
                "that follow the training file in time, or leave --time out."
            )
