"""The numbers of a comparison as rows, for the screen and for the page."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from calmix.experiment.statistics import Interval
from calmix.report.results import Results, parse_results

Verdict = Literal[-1, 0, 1]  # worse, open, better

SIGNS: Mapping[Verdict, str] = {1: "▲", 0: "", -1: "▼"}
_ASCII = str.maketrans("▲▼↑↓±×−\u00a0", "+-^v~x- ")


@dataclass(frozen=True)
class Column:
    """A metric as it is shown."""

    name: str
    title: str
    better: Literal[-1, 1]  # the direction of improvement
    digits: int = 3
    unit: Literal["", "%", "×"] = ""

    @property
    def label(self) -> str:
        unit = {"": "", "%": ", %", "×": ", × plain training"}[self.unit]
        return f"{self.title}{unit}"

    @property
    def heading(self) -> str:
        return f"{self.title if self is COST else self.label}\u00a0{'↑' if self.better == 1 else '↓'}"

    def shown(self, interval: Interval) -> Interval:
        """The interval in the unit of the column."""
        scale = 100 if self.unit == "%" else 1
        return Interval(scale * interval.mean, scale * interval.low, scale * interval.high, interval.count)

    def verdict(self, difference: Interval) -> Verdict:
        """Whether an interval of differences excludes zero, and on which side; a single seed decides nothing."""
        if difference.count < 2 or difference.low <= 0 <= difference.high:
            return 0
        return 1 if difference.mean * self.better > 0 else -1


ACCURACY = Column("accuracy", "Accuracy", +1, digits=1, unit="%")
ECE = Column("ece", "ECE", -1, digits=2, unit="%")
SCALED_ECE = Column("scaled.ece", "ECE after temperature", -1, digits=2, unit="%")
NLL = Column("nll", "NLL", -1)
BRIER = Column("brier", "Brier", -1)
COST = Column("cost", "Cost", -1, digits=2, unit="×")


def columns_of(results: Results) -> list[Column]:
    """What a comparison is judged by, the most telling first; errors in the target's unit with four digits or more."""
    if not results.regression:
        return [ACCURACY, ECE, SCALED_ECE, NLL, BRIER, COST]
    largest = max(summary.metrics["rmse"].mean for summary in results.methods)
    digits = max(0, 3 - math.floor(math.log10(largest))) if largest > 0 else 3
    return [Column("rmse", "RMSE", -1, digits), Column("mae", "MAE", -1, digits), Column("r2", "R²", +1), COST]


@dataclass(frozen=True)
class Cell:
    value: str  # "97.3"
    spread: str = ""  # "± 0.4", or "[+0.1, +0.5]" of a difference
    best: bool = False
    verdict: Verdict = 0  # against the reference


@dataclass(frozen=True)
class Row:
    method: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    headings: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str]  # full sentences


def summary_table(results: Results) -> Table:
    """A row a method: means over seeds, and which of them differ from the reference beyond chance."""
    columns = columns_of(results)
    cells = [_means(results, column) for column in columns]
    notes = ["Cost: the time of a training step over that of plain training."]
    if results.seeds == 1:
        notes.append("One seed gives no interval, so nothing here can be told from chance.")
    else:
        notes.append(f"± is half of the 95 % interval of the mean over {results.seeds} seeds (Student's t).")
        if len(results.methods) > 1:
            notes.append(
                f"▲ better, ▼ worse than {results.reference}: the 95 % interval of the difference, paired by seed, "
                "excludes zero. Without any effect, about one in twenty would, too."
            )
    return Table([column.heading for column in columns], _rows(results.methods, cells), notes)


def difference_table(results: Results) -> Table:
    """Every method but the reference: the mean difference from it, seed by seed, with its 95 % interval."""
    columns = [column for column in columns_of(results) if column is not COST]
    others = [summary for summary in results.methods if summary.method != results.reference]
    cells = [[_difference(column, summary.difference[column.name]) for summary in others] for column in columns]
    headings = [column.heading.replace("%", "points") for column in columns]
    return Table(headings, _rows(others, cells), [])


def number(value: float, digits: int, sign: Literal["", "+"] = "") -> str:
    """With a true minus sign, and never a negative zero.

    >>> number(-0.04, 1), number(1.25, 2, "+"), number(-3, 1)
    ('0.0', '+1.25', '−3.0')
    """
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def print_table(results: dict[str, Any]) -> None:
    """The summary on stdout. Where the terminal is too narrow for the table, a line a number."""
    parsed = parse_results(results)
    table = summary_table(parsed)
    title = f"calmix: {parsed.data.name}, {seeds(parsed.seeds)}"
    wide = _wide(table)
    console = Console(highlight=False)
    needed = Console(width=10_000).measure(wide).maximum
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, needed))
    with console.capture() as captured:
        console.print(Text(title, "bold"))
        console.print(wide if needed <= console.width else _narrow(table))
        best = ["* The best mean of a column."] if len(table.rows) > 1 else []
        console.print(Text("\n".join([*best, *table.notes])))
    sys.stdout.write(_encodable(captured.get(), console.encoding))


def _rows(summaries: Sequence[Any], columns: Sequence[Sequence[Cell]]) -> list[Row]:
    return [Row(summary.method, cells) for summary, *cells in zip(summaries, *columns, strict=True)]


def _means(results: Results, column: Column) -> list[Cell]:
    digits = column.digits
    shown = [column.shown(summary.metrics[column.name]) for summary in results.methods]
    best = max((round(interval.mean, digits) for interval in shown), key=lambda mean: mean * column.better)
    cells = []
    for summary, interval in zip(results.methods, shown, strict=True):
        is_best = len(shown) > 1 and round(interval.mean, digits) == best
        value = number(interval.mean, digits)
        if column is COST:
            cells.append(Cell(f"{value}{column.unit}", best=is_best))
        else:
            spread = f"± {number(interval.half_width, digits)}" if interval.count > 1 else ""
            cells.append(Cell(value, spread, is_best, column.verdict(summary.difference[column.name])))
    return cells


def _difference(column: Column, interval: Interval) -> Cell:
    """One digit more than means have: differences are smaller."""
    shown = column.shown(interval)
    mean, low, high = (number(value, column.digits + 1, "+") for value in (shown.mean, shown.low, shown.high))
    return Cell(mean, f"[{low}, {high}]" if shown.count > 1 else "", verdict=column.verdict(shown))


# ---------------------------------------------------------------------------------------------- on the screen


def _wide(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("Method", no_wrap=True)
    for heading in table.headings:
        shown.add_column(heading.replace(" after ", " after\n"), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.method), *map(_text, row.cells))
    return shown


def _narrow(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE, pad_edge=False, show_header=False)
    shown.add_column(overflow="fold")
    shown.add_column(justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.method, "bold"))
        for heading, cell in zip(table.headings, row.cells, strict=True):
            shown.add_row(f"  {heading}", _text(cell), end_section=heading == table.headings[-1])
    return shown


def _text(cell: Cell) -> Text:
    """The verdict's place is kept, so that numbers stay in line."""
    value = f"{'*' if cell.best else ''}{cell.value} {cell.spread}".rstrip()
    return Text(f"{value} {SIGNS[cell.verdict] or ' '}", "bold" if cell.best else "")


def _encodable(text: str, encoding: str) -> str:
    """`text` for a stream that may not know every sign, such as a pipe on Windows."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
