"""What the columns of a frame are: numbers, text, dates, identifiers; and which of them to learn from.

n rows
"""

import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from calmix.data.splits import listed
from calmix.errors import DataError, UnknownNameError

MISSING = ["?", "", "NA", "N/A", "NaN", "nan", "null", "None"]
DATE = r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?"
IDENTIFIER = re.compile(r"(?i:(.*[\s_.-])?id|index|unnamed: \d+)|.*[a-z]I[dD]")
LARGEST = float(np.finfo(np.float32).max)

Column = pd.Series | NDArray[np.float64]  # dates are seconds


def usable(columns: Mapping[str, pd.Series], keep: Sequence[str]) -> tuple[dict[str, Column], list[str]]:
    """The columns to learn from, and notices on those left out."""
    for name in keep:
        if name not in columns:
            raise UnknownNameError("column to keep", name, columns)
    used: dict[str, Column] = {}
    constant, identifying = [], []
    for name, column in columns.items():
        dates = _as_dates(column)
        if column.nunique() <= 1:
            constant.append(name)
        elif name not in keep and (dates is not None or _is_identifier(name, column)):
            identifying.append(name)
        elif dates is not None:
            used[name] = dates
        else:
            used[name] = column
            if is_number(column) and (np.abs(floats(column)) > LARGEST).any():
                raise DataError(f"column {name!r} has values that are infinite or beyond float32; empty these cells.")
    notices = []
    if constant:
        notices.append(f"columns that hold one value or none are left out: {listed(constant)}.")
    if identifying:
        what = "identifiers, dates or free text"
        notices.append(f"columns that look like {what} are left out: {listed(identifying)}; --keep NAME uses one.")
    if not used:
        raise DataError(" ".join(["no column is left to learn from; give a table with feature columns.", *notices]))
    return used, notices


def tidy(column: pd.Series) -> pd.Series:
    """Text with stray markers of missing cells as text with NaN, or as numbers where that is all there is."""
    if is_numeric_dtype(column) or is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return column
    column = column.mask(column.isin(MISSING))
    try:
        numbers = pd.Series(pd.to_numeric(column, errors="coerce"))
    except OverflowError:
        raise DataError(f"column {column.name!r} has whole numbers beyond float64; empty these cells.") from None
    return numbers if numbers.notna().equals(column.notna()) and column.notna().any() else column


def is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def floats(column: pd.Series) -> NDArray[np.float64]:
    return column.to_numpy(np.float64, na_value=np.nan)


def _is_identifier(name: str, column: pd.Series) -> bool:
    """Text that hardly repeats; or whole numbers, named like an identifier, that only number the rows."""
    if is_number(column):
        values = floats(column) if IDENTIFIER.fullmatch(name) else np.empty(0)
        rows = len(values)
        return rows > 0 and column.nunique() == rows and np.ptp(values) == rows - 1 and bool((values % 1 == 0).all())
    distinct, rows = column.nunique(), column.count()
    return (distinct > 50 and distinct > rows / 2) or (distinct == rows >= 20)


def _as_dates(column: pd.Series) -> NDArray[np.float64] | None:
    """Seconds since 1970, NaN where missing, if the column holds dates; else None."""
    if not is_datetime64_any_dtype(column):
        if is_numeric_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
            return None
        text = column.dropna().astype(str)
        if text.empty or not text.str.fullmatch(DATE).all():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # day first or month first: either way a date
            dates = pd.to_datetime(column.astype(object), format="mixed", utc=True, errors="coerce")
        if not dates.notna().equals(column.notna()):
            return None
        column = dates
    moments = pd.to_datetime(column, utc=True).dt.tz_convert(None).dt.as_unit("us").to_numpy("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)  # in nanoseconds, years end in 2262
