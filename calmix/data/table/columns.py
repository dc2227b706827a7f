"""What the columns of a frame are: numbers, categories, dates, text, identifiers; and how each is learned from.

n rows
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from calmix.column_use import DATE_PARTS, NUMBER, ONE_HOT, TARGET_ENCODING, ColumnUse, TakenFor
from calmix.data.splits import RowIds, listed
from calmix.data.table.cells import is_text, numbers_of, tidy
from calmix.errors import DataError, SettingError, UnknownNameError

MAX_LEVELS = 50  # of a category that becomes a feature a level
DATE = r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?"
DAY_FIRST = r"^\s*(\d{1,2})([-/.])(\d{1,2})[-/.]\d{2,4}([T ].*)?"
IDENTIFIER = re.compile(
    r"(?i:(.*[\s_.-])?(id|ids|index|key|nr|no|number|serial|uuid|guid)|unnamed: \d+|row[\s_.-]?(names?|num|id)|rows?)"
    r"|.*[a-z](I[dD]|No|Nr|Number|Key|Index)"
)
LARGEST = float(np.finfo(np.float32).max)

Column = pd.Series | NDArray[np.float64]  # dates are seconds since 1970


@dataclass(frozen=True, eq=False)
class Taken:
    """A column, and what it is taken for. use: its line in the summary. notice: what the user should be told of it."""

    name: str
    values: Column
    use: ColumnUse
    notice: str = ""
    day_first: bool = False  # whether days come before months in a date's text
    unit: str = ""  # of numbers that have one in their cells

    def of_rows(self, rows: RowIds) -> "Taken":
        return replace(
            self, values=self.values[rows] if isinstance(self.values, np.ndarray) else self.values.iloc[rows]
        )


def examined(columns: Mapping[str, pd.Series], keep: Sequence[str], drop: Sequence[str]) -> list[Taken]:
    """What each column is taken for, and how it is learned from; not at all where use.used_as is empty.

    keep: columns to learn from although they look like identifiers or free text. drop: columns to leave out.
    """
    for what, names in (("column to keep", keep), ("column to drop", drop)):
        for name in names:
            if name not in columns:
                raise UnknownNameError(what, name, columns)
    both = [name for name in drop if name in keep]
    if both:
        raise SettingError(f"{listed(both)} cannot be both kept and dropped; name it once.")
    return [
        _dropped(name, column) if name in drop else _examined(name, column, name in keep)
        for name, column in columns.items()
    ]


def used_of(taken: Sequence[Taken]) -> list[Taken]:
    """The columns to learn from. Raise DataError where there is none."""
    used = [column for column in taken if column.use.used_as]
    if not used:
        said = " ".join(["no column is left to learn from; give a table with feature columns.", *notices_of(taken)])
        raise DataError(said)
    return used


def notices_of(taken: Sequence[Taken]) -> list[str]:
    """What the user should be told of the columns, in full sentences."""

    def names(*kinds: str, used: bool = False) -> Iterable[str]:
        return [
            column.name
            for column in taken
            if column.use.taken_for in kinds and bool(column.use.used_as) == used and column.use.note != _ASKED
        ]

    notices = [column.notice for column in taken if column.notice]
    if len(notices) > _MOST_NOTICES:
        notices[_MOST_NOTICES:] = [f"the same is true of {len(notices) - _MOST_NOTICES} more columns."]
    if left_out := names("constant"):
        notices.append(f"columns that hold one value or none are left out: {listed(left_out)}.")
    if left_out := names("identifier"):
        notices.append(f"columns that number or name the rows are left out: {listed(left_out)}; --keep NAME uses one.")
    if left_out := names("text"):
        notices.append(f"columns of free text are left out: {listed(left_out)}; --keep NAME uses one.")
    if dates := names("date", used=True):
        notices.append(f"dates become numbers (time since 1970, year, month, ...): {listed(dates)}.")
    many = [column.name for column in taken if column.use.used_as == TARGET_ENCODING]
    if many:
        notices.append(
            f"columns of more than {MAX_LEVELS} levels become what the target is, on average, in the training rows of "
            f"a level: {listed(many)}; --drop NAME leaves one out."
        )
    return notices


_ASKED = "left out as asked"
_MOST_NOTICES = 10


def _dropped(name: str, column: pd.Series) -> Taken:
    kind: TakenFor = "number" if is_number(column) else "date" if is_datetime64_any_dtype(column) else "text"
    return Taken(name, column, ColumnUse(name, kind, int(column.isna().sum()), column.nunique(), note=_ASKED))


def _examined(name: str, column: pd.Series, kept: bool) -> Taken:
    column = tidy(column)
    if is_number(column):
        return _number(name, column, kept)

    def taken(kind: TakenFor, used_as: str = "", note: str = "", values: Column = column, notice: str = "") -> Taken:
        return Taken(name, values, ColumnUse(name, kind, _missing(values), levels, used_as, note=note), notice)

    levels = column.nunique()
    if levels <= 1:
        return taken("constant", note=f"always {_first(column)!s:.40}" if levels else "empty")
    dates = dates_of(column)
    if dates is not None:
        return replace(taken("date", DATE_PARTS, values=dates.seconds), day_first=dates.day_first)
    note, notice = "", ""
    if not kept:
        understood = numbers_of(column)
        note, notice = understood.note, understood.notice
        if is_number(understood.column):
            return replace(_number(name, understood.column, kept, note, notice), unit=understood.unit)
        if _is_identifier(name, column):
            return taken("identifier", note="other text in each row")
        if _hardly_repeats(column):
            return taken("text", note="hardly repeats")
    return taken("category", ONE_HOT if levels <= MAX_LEVELS else TARGET_ENCODING, note, notice=notice)


def _number(name: str, column: pd.Series, kept: bool, note: str = "", notice: str = "") -> Taken:
    """A column of numbers. note, notice: what was said of its cells when they were text."""
    values = floats(column)
    distinct = np.unique(values[~np.isnan(values)])

    def taken(kind: TakenFor, used_as: str = "", note: str = "", notice: str = "") -> Taken:
        return Taken(name, column, ColumnUse(name, kind, _missing(column), len(distinct), used_as, note=note), notice)

    if len(distinct) <= 1:
        return taken("constant", "", note or (f"always {_first(column)!s:.40}" if len(distinct) else "empty"), notice)
    if max(-distinct[0], distinct[-1]) > LARGEST:
        raise DataError(f"column {name!r} has values that are infinite or beyond float32; empty these cells.")
    if not kept and numbers_the_rows(name, values, distinct):
        return taken("identifier", note="numbers the rows")
    code = sentinel(distinct)
    if code is not None:
        count = int((values == code).sum())
        told = (
            f"column {name!r} holds {code:g} in {count} rows, far from all other values; if it stands for missing "
            "cells, empty them."
        )
        notice = " ".join(filter(None, [notice, told]))
        note = "; ".join(filter(None, [note, f"{code:g} in {count} rows"]))
    return taken("number", NUMBER, note, notice)


def _missing(values: Column) -> int:
    return int(np.isnan(values).sum() if isinstance(values, np.ndarray) else values.isna().sum())


def is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def floats(column: pd.Series) -> NDArray[np.float64]:
    return column.to_numpy(np.float64, na_value=np.nan)


def numbers_the_rows(name: str, values: NDArray[np.float64], distinct: NDArray[np.float64]) -> bool:
    """Whether whole numbers, of which none comes twice, are no measurement.

    They follow each other with few gaps, in any order; or they are named like an identifier. Years are a measurement.
    distinct: the values without NaN and repetition, in ascending order.

    >>> rows, years = np.arange(60.0) + 1, np.arange(60.0) + 1871
    >>> numbers_the_rows("rownames", rows[::-1], rows), numbers_the_rows("year", years, years)
    (True, False)
    """
    count = len(distinct)
    if count < max(10, len(values) / 2) or count < (~np.isnan(values)).sum() or (distinct % 1 != 0).any():
        return False
    if IDENTIFIER.fullmatch(name):
        return True
    years = distinct[0] >= 1500 and distinct[-1] <= 2100
    return bool(distinct[-1] - distinct[0] < 1.1 * count) and not years


def sentinel(distinct: NDArray[np.float64]) -> float | None:
    """A number such as -999 or 9999 that stands farther from all other values than these from each other.

    >>> sentinel(np.array([-999.0, 3.0, 5.0, 8.0])), sentinel(np.array([3.0, 8.0, 70.0, 99.0]))
    (-999.0, None)
    """
    for code, rest in ((distinct[:1], distinct[1:]), (distinct[-1:], distinct[:-1])):
        if len(rest) > 1 and re.fullmatch(r"-?9{2,}(\.0|\.9+)?|-9(\.0)?", str(float(code[0]))):
            gap = min(np.abs(rest - code[0]))
            if gap > np.ptp(rest) and gap > 10:
                return float(code[0])
    return None


def _first(column: pd.Series) -> object:
    return column.dropna().iloc[0]


def _is_identifier(name: str, column: pd.Series) -> bool:
    """Text of which each row has its own: a name or a code, and no sentences."""
    distinct, rows = column.nunique(), column.count()
    return distinct == rows >= (10 if IDENTIFIER.fullmatch(name) else 20) and not _is_prose(column)


def _is_prose(column: pd.Series) -> bool:
    return is_text(column) and float(column.dropna().astype(str).str.count(r"\s").mean()) >= 5


def _hardly_repeats(column: pd.Series) -> bool:
    distinct, rows = column.nunique(), column.count()
    return (distinct > MAX_LEVELS and distinct > rows / 2) or distinct == rows >= 20


# ------------------------------------------------------------------------------------------------------- dates


def parts_that_vary(seconds: NDArray[np.float64]) -> list[str]:
    """Parts of dates that are not the same in all rows.

    >>> parts_that_vary(np.array([0.0, 86400.0, np.nan]))
    ['day', 'weekday']
    """
    there = seconds[~np.isnan(seconds)]
    return [part for part in _PARTS if len(np.unique(date_part(there, part))) > 1]


def date_part(seconds: NDArray[np.float64], part: str) -> NDArray[np.float64]:
    """A part of dates; NaN where the date is missing.

    >>> date_part(np.array([0.0, 86400.0, np.nan]), "day")
    array([ 1.,  2., nan])
    """
    there = ~np.isnan(seconds)
    moments = pd.DatetimeIndex((np.where(there, seconds, 0) * 1e6).astype("datetime64[us]"))
    return np.where(there, getattr(moments, _PARTS[part]).to_numpy(np.float64), np.nan)


_PARTS = {"year": "year", "month": "month", "day": "day", "weekday": "day_of_week", "hour": "hour"}


class Dates(NamedTuple):
    """seconds: since 1970, NaN where missing. day_first: whether days come before months in the text."""

    seconds: NDArray[np.float64]
    day_first: bool = False


def dates_of(column: pd.Series, day_first: bool | None = None) -> Dates | None:
    """The column's dates, if it holds dates; else None. day_first: None for what the column itself tells."""
    if not is_datetime64_any_dtype(column):
        if not is_text(column):
            return None
        text = column.dropna().astype(str)
        if text.empty or not text.str.fullmatch(DATE).all():
            return None
        day_first = _day_first(text) if day_first is None else day_first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that cells differ in their format
            dates = pd.to_datetime(column.astype(object), format="mixed", utc=True, errors="coerce", dayfirst=day_first)
        if not dates.notna().equals(column.notna()):
            return None
        column = dates
    moments = pd.to_datetime(column, utc=True).dt.tz_convert(None).dt.as_unit("us").to_numpy("datetime64[us]")
    seconds = np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)  # in nanoseconds, years end in 2262
    return Dates(seconds, bool(day_first))


def _day_first(text: pd.Series) -> bool:
    """Whether 1/2/2020 is the first of February: a number above 12 in some cell tells, or else dots do."""
    found = text.str.extract(DAY_FIRST)
    if found[0].isna().any():  # the year is first
        return False
    first, second = (found[place].astype(int) for place in (0, 2))
    return bool((first > 12).any()) or bool((found[1] == ".").any() and not (second > 12).any())


def class_names(goal: pd.Series) -> NDArray[np.object_]:
    """(n,) what the classes of a target are called: whole numbers without a point; None where missing."""
    if is_number(goal):
        goal = goal.astype(np.float64).astype(object)
    names = goal.astype(object).map(lambda cell: str(cell).removesuffix(".0") if isinstance(cell, float) else str(cell))
    return np.where(goal.isna(), np.array(None), names.to_numpy(object))
