"""The numbers of a comparison as rows, for the screen and for the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from calmix.experiment.statistics import Difference, Interval
from calmix.experiment.summary import PLAIN_MIXUP, PLAIN_TRAINING
from calmix.report.results import Results

Verdict = Literal[-1, 0, 1]  # worse, open, better

SIGNS: Mapping[Verdict, str] = {1: "▲", 0: "", -1: "▼"}


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
        if difference.side == 0:
            return 0
        return 1 if difference.side == self.better else -1


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
                f"▲ better, ▼ worse than {named(results.reference)}: the 95 % interval of the difference, paired by "
                "seed, excludes zero. Without any effect, about one in twenty would, too."
            )
    return Table([column.heading for column in columns], _rows(results.methods, cells), notes)


def difference_table(results: Results, reference: str | None = None) -> Table:
    """Every method but the reference: the mean difference from it, seed by seed, with its 95 % interval.

    reference: one of `results.references`; None is the first.
    """
    other = reference or results.reference
    columns = [column for column in columns_of(results) if column is not COST]
    others = [summary for summary in results.methods if summary.method != other]
    cells = [[_paired(column, summary.differences[other][column.name].t) for summary in others] for column in columns]
    return Table([_points(column) for column in columns], _rows(others, cells), [])


def evidence_table(results: Results, column: Column, reference: str | None = None) -> Table:
    """One metric's differences from the reference, as every test sees them: for readers who know the tests."""
    other = reference or results.reference
    others = [summary for summary in results.methods if summary.method != other]
    rows = [Row(summary.method, _evidence(column, summary.differences[other][column.name])) for summary in others]
    headings = [_points(column), "Bootstrap interval", "Wilcoxon p", "Effect size"]
    notes = [
        "In the first column the mean difference with Student's interval, which the marks go by; then the BCa "
        "bootstrap's interval, which assumes no shape and is too narrow for few seeds; the two-sided p-value of the "
        "signed-rank test; and Cohen's d, the mean of the differences over their standard deviation.",
    ]
    if 1 < results.seeds < 6:
        notes.append(f"Of {results.seeds} seeds, a signed-rank test cannot give p below {2 / 2**results.seeds:g}.")
    return Table(headings, rows, notes)


def called(method: str) -> str:
    """The name of a method in a sentence."""
    return {PLAIN_TRAINING: "plain training", PLAIN_MIXUP: "plain Mixup"}.get(method, method)


def named(method: str) -> str:
    """The same, with the label that the tables show."""
    name = called(method)
    return method if name == method else f"{name} ({method})"


def number(value: float, digits: int, sign: Literal["", "+"] = "") -> str:
    """With a true minus sign, and never a negative zero.

    >>> number(-0.04, 1), number(1.25, 2, "+"), number(-3, 1)
    ('0.0', '+1.25', '−3.0')
    """
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


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
            cells.append(
                Cell(value, spread, is_best, column.verdict(summary.differences[results.reference][column.name].t))
            )
    return cells


def _paired(column: Column, interval: Interval) -> Cell:
    """One digit more than means have: differences are smaller."""
    shown = column.shown(interval)
    mean = number(shown.mean, column.digits + 1, "+")
    return Cell(mean, _bracketed(column, interval), verdict=column.verdict(shown))


def _evidence(column: Column, found: Difference) -> list[Cell]:
    several = found.t.count > 1
    return [
        _paired(column, found.t),
        Cell(_bracketed(column, found.bootstrap) or "–"),
        Cell(number(found.wilcoxon, 3) if several else "–"),
        Cell("–" if found.effect is None else number(found.effect, 2, "+")),
    ]


def _bracketed(column: Column, interval: Interval) -> str:
    shown = column.shown(interval)
    low, high = (number(value, column.digits + 1, "+") for value in (shown.low, shown.high))
    return f"[{low}, {high}]" if shown.count > 1 else ""


def _points(column: Column) -> str:
    return column.heading.replace("%", "points")
