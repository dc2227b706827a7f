"""Decimal commas, and marks between thousands: how a table's numbers are written, by the evidence of all columns."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from pandas.api.types import is_object_dtype, is_string_dtype

from calmix.data.splits import listed
from calmix.data.table.format import TableFormat
from calmix.errors import DataError


class Reading(NamedTuple):
    """What stands before decimals, and between thousands (empty: nothing does)."""

    decimal: str
    thousands: str


PLAIN = Reading(".", "")
READINGS = (PLAIN, *(Reading(".", mark) for mark in ",' "), Reading(",", ""), *(Reading(",", mark) for mark in ".' "))
CURRENCY = r"US\$|[$€£¥₹]|EUR|USD|GBP|CHF|JPY|CNY|INR"
UNIT = r"(?:[^\W\d_]|[%‰°$€£¥₹])(?:[^\W\d_]|[/²³%°$€£¥₹. -]){0,14}"
SAME = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "−": "-"})


def _pattern(reading: Reading) -> re.Pattern[str]:
    decimal, mark = map(re.escape, reading)
    whole = r"\d+" if not mark else rf"(?:\d+|[1-9]\d{{0,2}}(?:{mark}\d{{3}})+)"
    if mark == ",":  # 12,34,567 in India
        whole = rf"(?:{whole}|[1-9]\d?(?:,\d\d)+,\d{{3}})"
    return re.compile(rf"[+-]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?")


PATTERNS: Mapping[Reading, re.Pattern[str]] = {reading: _pattern(reading) for reading in READINGS}
_ANY = re.compile("|".join(pattern.pattern for pattern in PATTERNS.values()))
_MARKED = re.compile(r"\d.*[,' ].*\d|[,]\d|\d[,]|\d\.\d+\.\d")
_MEASURED = re.compile(
    rf"(?P<before>(?:{CURRENCY}) ?)?(?P<number>[-+]?[.,]?\d(?:[\d.,' ]*\d)?(?:[eE][-+]?\d+)?)(?P<after> ?{UNIT})?"
)
MARKERS = {  # of missing cells in columns of numbers, in small letters; a column of text may mean them as words
    *("", "?", "??", ".", "..", "-", "--", "---", "*", "n/a", "na", "n.a.", "n/a?", "#n/a", "#na", "<na>", "n/d", "nd"),
    *("nan", "null", "none", "nil", "missing", "unknown", "unknown?", "not available", "not applicable", "no data"),
    *("#value!", "#div/0!", "#ref!", "#null!", "#num!"),
}
AGREE = 0.8  # of the cells of a column must have its unit


def is_number(cell: str) -> bool:
    """Whether a cell is a number, however written.

    >>> [is_number(cell) for cell in ("12", "1.234,5", "1'000", "-0,5", "1e-3", "12.05.2024", "1,2,3")]
    [True, True, True, True, True, False, False]
    """
    cell = cell.strip()
    return _ANY.fullmatch(cell if cell.isascii() else cell.translate(SAME)) is not None


def is_measured(cell: str) -> bool:
    """Whether a cell is a number, however written, with a unit or a currency or without.

    >>> [is_measured(cell) for cell in ("12,5 %", "€ 1.234,50", "1 234,5 kg", "12.05.2024", "12, Main Street")]
    [True, True, True, False, False]
    """
    return is_number(cell) or _measured(cell.strip().translate(SAME)) is not None


class Measured(NamedTuple):
    """A cell that is a number with a unit or a currency."""

    before: str
    number: str
    after: str

    @property
    def unit(self) -> tuple[str, str]:
        return self.before.strip(), self.after.strip()

    @property
    def text(self) -> str:
        return "".join(self)


def _measured(text: str) -> Measured | None:
    found = _MEASURED.fullmatch(text)
    if found is None or not is_number(found["number"]) or not (found["before"] or found["after"]):
        return None
    return Measured(found["before"] or "", found["number"], found["after"] or "")


def _unit_of(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """What stands before and after the numbers of a column of text, if four cells in five have it; else None."""
    found: Counter[tuple[str, str]] = Counter()
    known = {cell: count for cell, count in counts.items() if cell.casefold() not in MARKERS}
    for cell, count in known.items():
        if (measured := _measured(cell)) is not None:
            found[measured.unit] += count
    unit, most = found.most_common(1)[0] if found else (("", ""), 0)
    return unit if most and most >= AGREE * sum(known.values()) else None


def _without_unit(counts: Mapping[str, int], unit: tuple[str, str]) -> dict[str, int]:
    """How often each number of this unit occurs."""
    numbers: Counter[str] = Counter()
    for cell, count in counts.items():
        measured = _measured(cell)
        if measured is not None and measured.unit == unit:
            numbers[measured.number] += count
    return dict(numbers)


@dataclass(frozen=True)
class Spelled:
    """A frame whose numbers are numbers, how they were written where that is not plain, and what to tell of it."""

    frame: pd.DataFrame
    readings: frozenset[Reading]
    notices: tuple[str, ...]


def needs_marks(frame: pd.DataFrame, format: TableFormat) -> bool:
    """Whether anything in a frame, as pandas read it, can be a number that is not written plainly."""
    if format.decimal or format.thousands:
        return True
    if any(_has_marks(column) for _, column in frame.items()):
        return True
    floats = [column.dropna().abs() for _, column in frame.items() if column.dtype.kind == "f"]
    return bool(floats) and not any(_shows_points(values) for values in floats)


def _shows_points(values: pd.Series) -> bool:
    """Whether some value cannot have been written with a point between thousands, as 1.500 can."""
    thousands = values * 1000
    return bool(
        ((values % 1 != 0) & ~((values.between(1, 1000)) & ((thousands - thousands.round()).abs() < 1e-6))).any()
    )


def _has_marks(column: pd.Series) -> bool:
    if not (is_object_dtype(column) or is_string_dtype(column)) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    counts = _counts(column)
    if (unit := _unit_of(counts)) is not None:
        return any(re.search(r"[.,' ]", number) for number in _without_unit(counts, unit))
    marked = [cell for cell in counts if _MARKED.search(cell) and is_number(cell)]
    return bool(marked) and sum(counts[cell] for cell in counts if is_number(cell)) * 2 >= sum(counts.values())


def _counts(column: pd.Series) -> dict[str, int]:
    """How often each text occurs; missing cells are left out."""
    counts: dict[str, int] = {}
    for cell, count in column.dropna().value_counts().items():
        if isinstance(cell, str) and (text := cell.strip().translate(SAME)):
            counts[text] = counts.get(text, 0) + int(count)
    return counts


def read_marks(texts: pd.DataFrame, frame: pd.DataFrame, format: TableFormat, where: str) -> Spelled:
    """The frame with its numbers as numbers.

    texts: the cells as they were written, at least those of the columns that are not numbers in `frame`. A reading
    (decimal mark, mark between thousands) is possible for a column where no other makes numbers of more cells. All
    columns together decide, where one alone leaves several readings that differ.

    Raises:
        DataError: a column can be read in two ways, and neither is the plain one.
    """
    columns: dict[str, pd.Series] = {str(name): column for name, column in texts.items()}
    counts = {name: _counts(column) for name, column in columns.items()}
    units = {name: unit for name, cells in counts.items() if (unit := _unit_of(cells)) is not None}
    counts |= {name: _without_unit(counts[name], unit) for name, unit in units.items()}
    allowed = [reading for reading in READINGS if _allows(format, reading)]
    possible = {name: found for name, cells in counts.items() if (found := _possible(cells, allowed))}
    common = set(allowed).intersection(*possible.values())
    changed: dict[str, pd.Series] = {}
    used: set[Reading] = set()
    doubtful = []
    for name, readings in possible.items():
        cells = counts[name]
        left = [reading for reading in readings if reading in common] or readings
        chosen = left[0]
        doubted = [cell for cell in cells if len({_value(cell, reading) for reading in left}) > 1]
        if doubted and chosen == PLAIN and not any(cell.strip("+-0").isdigit() for cell in cells):
            doubtful.append((name, doubted[0]))
        elif doubted:
            mark = "." if chosen == PLAIN else ","
            ways = " or ".join(f"{float(doubted[0].replace(mark, new)):g}" for new in (".", ""))
            raise DataError(
                f"{where}: column {name!r} can be read in two ways, {doubted[0]!r} as {ways}; say which by --decimal "
                f"{mark!r} or --thousands {mark!r}."
            )
        if any(_value(cell, chosen) != _value(cell, PLAIN) for cell in cells):
            changed[name] = _numbers(columns[name], chosen, units.get(name, ("", "")))
            mark = chosen.thousands if any(chosen.thousands in cell for cell in cells) else ""
            used.add(Reading(chosen.decimal, mark))
    if format.decimal or format.thousands:
        for name, column in frame.items():
            name = str(name)
            if (column.dtype.kind == "f" or name in units) and counts[name] and name not in possible:
                cell = next(iter(counts[name]))
                raise DataError(
                    f"{where}: column {name!r} holds {cell!r}, which is no number of the decimal and thousands given; "
                    "leave them out, or write all columns alike."
                )
    result = frame.assign(**changed) if changed else frame
    notices = []
    if doubtful:
        name, cell = doubtful[0]
        notices.append(
            f"numbers of {listed(name for name, _ in doubtful)} have three digits after the point: {cell!r} is taken "
            f"as {_value(cell, PLAIN):g}; if points stand between thousands, say --thousands '.'."
        )
    pointed = [name for name, readings in possible.items() if all(reading.decimal == "." for reading in readings)]
    commas = [name for name, readings in possible.items() if all(reading.decimal == "," for reading in readings)]
    if pointed and commas:
        notices.append(f"decimals stand after a comma in {listed(commas)}, and after a point in {listed(pointed)}.")
    return Spelled(result, frozenset(used), tuple(notices))


def _allows(format: TableFormat, reading: Reading) -> bool:
    return format.decimal in (None, reading.decimal) and (
        format.thousands in (None, reading.thousands) or (not reading.thousands and format.thousands != reading.decimal)
    )


def _possible(cells: Mapping[str, int], allowed: Iterable[Reading]) -> list[Reading]:
    """The readings that make numbers of most cells, if they do so of half of them or more."""
    matched = {
        reading: sum(count for cell, count in cells.items() if PATTERNS[reading].fullmatch(cell)) for reading in allowed
    }
    most = max(matched.values(), default=0)
    return [reading for reading in matched if matched[reading] == most] if most * 2 >= sum(cells.values()) > 0 else []


def _plain(cell: str, reading: Reading) -> str:
    return cell.replace(reading.thousands, "").replace(reading.decimal, ".")


def _value(cell: str, reading: Reading) -> float | None:
    return float(_plain(cell, reading)) if PATTERNS[reading].fullmatch(cell) else None


def _numbers(column: pd.Series, reading: Reading, unit: tuple[str, str]) -> pd.Series:
    """Numbers; or, where some cells are none or have a unit, text in which the numbers are written plainly."""
    known: dict[object, object] = {}
    for cell in column.dropna().unique():
        known[cell] = _plainly(cell, reading, unit) if isinstance(cell, str) else cell
    plain = column.map(known, na_action="ignore")
    try:
        return pd.Series(pd.to_numeric(plain))
    except (ValueError, TypeError, OverflowError):
        return plain


def _plainly(cell: str, reading: Reading, unit: tuple[str, str]) -> str:
    """A cell whose number is written plainly; as it is where it is no such number, or of another unit."""
    text = cell.strip().translate(SAME)
    measured = (_measured(text) if any(unit) else None) or Measured("", text, "")
    if measured.unit != unit or not PATTERNS[reading].fullmatch(measured.number):
        return cell
    return measured._replace(number=_plain(measured.number, reading)).text
