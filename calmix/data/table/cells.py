"""Cells of text that are meant as numbers: markers of missing cells, units, and cells that are no numbers."""

import re
from collections import Counter
from dataclasses import dataclass

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from calmix.data.table.marks import CURRENCY, MARKERS, UNIT
from calmix.errors import DataError

MISSING = ["?", "", "NA", "N/A", "NaN", "nan", "null", "None"]  # in any column
NUMBER = re.compile(
    rf"(?P<before>(?:{CURRENCY}) ?)?(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    rf"(?P<after>,\d[\d,.]*\D{{0,15}}| ?{UNIT})?"
)
FEW = 20  # levels that a column of numbers and words may have to be taken as categories


@dataclass(frozen=True)
class Understood:
    """A column whose cells were looked at. note: for its line in the summary. notice: what the user should be told.

    unit: of numbers, as it stands in their cells.
    """

    column: pd.Series
    note: str = ""
    notice: str = ""
    unit: str = ""


def tidy(column: pd.Series) -> pd.Series:
    """Text with stray markers of missing cells as text with NaN, or as numbers where that is all there is."""
    if not is_text(column):
        return column
    column = column.mask(column.isin(MISSING))
    try:
        numbers = pd.Series(pd.to_numeric(column, errors="coerce"))
    except OverflowError:
        raise DataError(f"column {column.name!r} has whole numbers beyond float64; empty these cells.") from None
    return numbers if numbers.notna().equals(column.notna()) and column.notna().any() else column


def is_text(column: pd.Series) -> bool:
    """Text, or cells of several kinds."""
    return not (
        is_numeric_dtype(column) or is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
    )


def numbers_of(column: pd.Series) -> Understood:
    """A column of text whose cells are numbers but for a few, as numbers; any other column as it is.

    Markers of missing cells and a unit that all cells share are understood. Of other cells, up to a twentieth become
    missing; more make the column one of categories, where it has few levels.

    Raises:
        DataError: more cells are no numbers, and there are many levels.

    >>> numbers_of(pd.Series(["12 kg", "7.5 kg", "n/a", "80 kg"])).column.tolist()
    [12.0, 7.5, nan, 80.0]
    """
    if not is_text(column):
        return Understood(column)
    counts = {_plain(cell): 0 for cell in column.dropna().unique()}
    for cell, count in column.value_counts().items():
        counts[_plain(cell)] += int(count)
    markers = [cell for cell in counts if cell.casefold() in MARKERS]
    rows = {cell: count for cell, count in counts.items() if cell not in markers}
    found = {cell: match for cell in rows if (match := NUMBER.fullmatch(cell))}
    forms: Counter[tuple[str, str]] = Counter()
    for cell, match in found.items():
        forms[_form(match)] += rows[cell]
    total = sum(rows.values())
    if not forms or forms.total() < 0.8 * total:
        return Understood(column)
    form, count = forms.most_common(1)[0]
    commas = form[1].startswith(",")
    if count < total / 2:
        return Understood(column)  # codes such as 12A and 7C
    odd = Counter({cell: n for cell, n in rows.items() if cell not in found or _form(found[cell]) != form})
    if commas or odd.total() > max(1, total / 20):
        return _mixed(column, Counter(rows) if commas else odd, total, len(rows))
    numbers = {cell: float(match["number"]) for cell, match in found.items() if _form(match) == form}
    values = column.map(lambda cell: numbers.get(_plain(cell)), na_action="ignore").astype(float)
    unit = " ".join(part for part in form if part)
    notes = [
        f"in {unit}" if unit else "",
        f"missing: {_shown(Counter(dict.fromkeys(markers, 1)))}" if markers else "",
        f"no numbers: {_shown(odd)}" if odd else "",
    ]
    notice = (
        f"column {column.name!r}: {odd.total()} of {total} cells are no numbers and count as missing: {_shown(odd)}; "
        "--keep takes the column as text."
        if odd
        else ""
    )
    return Understood(values, "; ".join(filter(None, notes)), notice, unit)


def _mixed(column: pd.Series, odd: Counter[str], total: int, levels: int) -> Understood:
    """A column of numbers of which many are none."""
    said = f"column {column.name!r}: {odd.total()} of {total} cells are no plain numbers: {_shown(odd)}"
    if levels <= FEW:
        return Understood(column, "numbers and words", f"{said}; as there are {levels} levels, they are categories.")
    raise DataError(f"{said}; mend these cells, leave the column out with --drop, or take it as text with --keep.")


def _plain(cell: object) -> str:
    return " ".join(str(cell).replace("\u2212", "-").split())


def _form(match: re.Match[str]) -> tuple[str, str]:
    """What stands before and after a number; of commas only that there are some."""
    before, after = ((match[part] or "").strip() for part in ("before", "after"))
    return before, "," if after.startswith(",") else after


def _shown(cells: Counter[str], most: int = 5) -> str:
    """The most frequent cells and how often they are there."""
    parts = [repr(cell[:30]) + (f" ({count})" if count > 1 else "") for cell, count in cells.most_common(most)]
    more = f" and {len(cells) - most} more" if len(cells) > most else ""
    return ", ".join(parts) + more
