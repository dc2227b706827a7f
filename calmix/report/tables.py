"""Tables as values: cells of text, which a page and a terminal show alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calmix.results.catalogue import Column, Mark, number
from calmix.results.statistics import Interval

SIGNS: Mapping[Mark, str] = {1: "▲", 0: "", -1: "▼"}


@dataclass(frozen=True)
class Cell:
    value: str  # "97.3"
    spread: str = ""  # "± 0.4", or "[+0.1, +0.5]" of a difference
    best: bool = False
    mark: Mark = 0  # better or worse than the reference


@dataclass(frozen=True)
class Row:
    method: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    headings: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str]  # full sentences


def mean_cell(column: Column, interval: Interval, best: bool = False, mark: Mark = 0) -> Cell:
    """A mean in the unit of its column, with half of its interval, to two digits, where there are several seeds."""
    shown = column.shown(interval)
    spread = f"± {number(shown.half_width, _two_digits(shown.half_width, column.digits))}" if shown.count > 1 else ""
    return Cell(number(shown.mean, column.digits), spread, best, mark)


def _two_digits(width: float, digits: int) -> int:
    """Digits behind the point with which two of a width count; between those of its mean and two more."""
    if width == math.inf or round(width, digits + 2) == 0:
        return digits
    return min(max(digits, 1 - math.floor(math.log10(width))), digits + 2)


def best_mean(column: Column, intervals: Sequence[Interval]) -> float | None:
    """The best of several means, rounded as it is shown; None of a single one, or where none is better."""
    if len(intervals) < 2 or column.better == 0:
        return None
    means = [round(column.shown(interval).mean, column.digits) for interval in intervals]
    return max(means, key=lambda mean: mean * column.better)


def difference_cell(column: Column, interval: Interval) -> Cell:
    """A mean difference with its interval; one digit more than means have, as differences are smaller."""
    mean = number(column.shown(interval).mean, column.digits + 1, "+")
    return Cell(mean, bracketed(column, interval), mark=column.mark(interval))


def bracketed(column: Column, interval: Interval) -> str:
    """`[-0.1, +0.3]` in the unit of the column; empty where there is no interval."""
    shown = column.shown(interval)
    low, high = (number(value, column.digits + 1, "+") for value in (shown.low, shown.high))
    return f"[{low}, {high}]" if shown.there else ""


def seeds(count: int) -> str:
    """A number of seeds in words.

    >>> seeds(1), seeds(3)
    ('one seed', '3 seeds')
    """
    return "one seed" if count == 1 else f"{count} seeds"
