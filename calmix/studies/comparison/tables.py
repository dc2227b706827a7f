"""The numbers of a comparison as rows, for the terminal and for the page."""

from collections.abc import Sequence

from calmix.report.sentences import named
from calmix.report.tables import Cell, Row, Table, best_mean, bracketed, difference_cell, mean_cell
from calmix.results.catalogue import (
    ACCURACY,
    BRIER,
    COST,
    ECE,
    ENCE,
    MAE,
    NLL,
    R2,
    RMSE,
    SCALED_ECE,
    SCALED_ENCE,
    Column,
    number,
)
from calmix.results.scores import Scores
from calmix.results.statistics import MOST_RESAMPLED, Difference
from calmix.results.store import Results
from calmix.studies.comparison.balance import columns_of_unequal
from calmix.studies.comparison.balance import notes as balance_notes
from calmix.studies.comparison.goals import unequal
from calmix.studies.comparison.wording import of_the_difference, of_the_mean, one_round

MOST_MISSING = 10  # runs that are named


def columns_of(results: Results) -> list[Column]:
    """What a comparison is judged by, the most telling first; errors in the target's unit with four digits or more."""
    if unequal(results):
        return columns_of_unequal(results)
    if not results.regression:
        return [ACCURACY, ECE, SCALED_ECE, NLL, BRIER, COST]
    largest = max(results.scores.interval(method, RMSE.key).mean for method in results.methods)
    claimed = [one for one in (ENCE, SCALED_ENCE) if results.scores.has(one.key, one.condition)]  # of passes
    return [RMSE.sized(largest), MAE.sized(largest), R2, *claimed, COST]


def summary_table(results: Results) -> Table:
    """A row a method: means over seeds, and which of them differ from the reference beyond chance."""
    notes = ["Cost: the time of a training step over that of plain training."]
    if results.seeds == 1:
        notes.append("One seed gives no interval, so nothing here can be told from chance.")
    else:
        notes.append(f"± is half of {of_the_mean(results)}.")
        if len(results.methods) > 1:
            notes.append(marks_note(results))
    notes += balance_notes(results)
    notes += [f"Missing: {run.method} with seed {run.seed}: {run.reason}" for run in results.failures[:MOST_MISSING]]
    if (more := len(results.failures) - MOST_MISSING) > 0:
        notes.append(f"Missing: {more:,} more; results.json names all of them (failures).")
    return Table(*_means(results.scores, results.reference, columns_of(results)), notes)


def marks_note(results: Results) -> str:
    """What the marks of a table say."""
    return (
        f"▲ better, ▼ worse than {named(results.reference)}, beyond chance: zero lies outside "
        f"{of_the_difference(results)}."
    )


def means_table(scores: Scores, reference: str, columns: Sequence[Column]) -> Table:
    """`summary_table` of any columns, without notes."""
    return Table(*_means(scores, reference, columns), [])


def difference_table(results: Results, reference: str | None = None) -> Table:
    """Every method but the reference: the mean difference from it, seed by seed, with the interval that marks go by.

    reference: one of `results.references`; None is the first.
    """
    other = reference or results.reference
    columns = [column for column in columns_of(results) if column is not COST]
    rows = [
        Row(
            method,
            [
                difference_cell(column, results.scores.difference(method, other, column.key, column.condition))
                for column in columns
            ],
        )
        for method in results.methods
        if method != other
    ]
    return Table([_points(column) for column in columns], rows, [])


def evidence_table(results: Results, column: Column, reference: str | None = None) -> Table:
    """One metric's differences from the reference, as every test sees them: for readers who know the tests."""
    other = reference or results.reference
    rows = [
        Row(method, _evidence(column, results.scores.evidence(method, other, column.key, column.condition)))
        for method in results.methods
        if method != other
    ]
    headings = [_points(column), "Bootstrap interval", "Wilcoxon p", "Effect size"]
    notes = [
        "In the first column the mean difference with Student's interval, which the marks go by; then the BCa "
        "bootstrap's interval, which assumes no shape and is too narrow for few seeds; the two-sided p-value of the "
        "signed-rank test; and Cohen's d, the mean of the differences over their standard deviation.",
    ]
    others = results.scores.comparisons
    if others > 1:
        notes.append(
            f"All are corrected for {others} comparisons (Bonferroni): p is {others} times what the test gives."
        )
    if results.seeds > MOST_RESAMPLED:
        notes.append(f"Of more than {MOST_RESAMPLED:,} {one_round(results)}s the bootstrap's interval is Student's.")
    if results.facts.data.folds:
        notes.append("The bootstrap and the signed-rank test take folds for independent, which they are not.")
    if 1 < results.seeds < 6:
        least = min(1.0, others * 2 / 2**results.seeds)
        notes.append(f"Of {results.seeds} {one_round(results)}s, a signed-rank test cannot give p below {least:g}.")
    return Table(headings, rows, notes)


def _means(scores: Scores, reference: str, columns: Sequence[Column]) -> tuple[list[str], list[Row]]:
    cells: dict[str, list[Cell]] = {method: [] for method in scores.methods}
    for column in columns:
        means = {method: scores.interval(method, column.key, column.condition) for method in scores.methods}
        best = best_mean(column, list(means.values()))
        for method, mean in means.items():
            is_best = best is not None and round(column.shown(mean).mean, column.digits) == best
            if column is COST:
                cells[method].append(Cell(f"{number(mean.mean, column.digits)}×", best=is_best))
                continue
            difference = scores.difference(method, reference, column.key, column.condition)
            cells[method].append(mean_cell(column, mean, is_best, column.mark(difference)))
    return [column.heading for column in columns], [Row(method, row) for method, row in cells.items()]


def _evidence(column: Column, found: Difference) -> list[Cell]:
    several = found.t.count > 1
    return [
        difference_cell(column, found.t),
        Cell(bracketed(column, found.bootstrap) or "–"),
        Cell(number(found.wilcoxon, 3) if several else "–"),
        Cell("–" if found.effect is None else number(found.effect, 2, "+")),
    ]


def _points(column: Column) -> str:
    return column.heading.replace("%", "points")
