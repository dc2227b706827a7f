"""A finished comparison as people use it: its table, its verdict, its report."""

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from calmix.report.page import Page, write_page
from calmix.report.sentences import Advice, named
from calmix.report.terminal import Sheet, print_sheets
from calmix.results.records import read_predictions
from calmix.results.scores import Scores
from calmix.results.store import Results, read_results
from calmix.studies.comparison.mistakes import Mistakes, read_mistakes
from calmix.studies.comparison.page import PredictionsOf, comparison_page
from calmix.studies.comparison.sentences import advice
from calmix.studies.comparison.tables import columns_of, difference_table, summary_table
from calmix.studies.comparison.wording import of_the_difference, one_round, rounds
from calmix.threads import using_threads


@dataclass(frozen=True, eq=False)
class Compared:
    """A finished comparison.

    results: facts and records. predictions_of: the test predictions of a run, `calmix.results.records`. mistakes: the
    test rows that the recommended method gets most wrong; None where it is not known which rows were tested.
    """

    results: Results
    predictions_of: PredictionsOf
    mistakes: Mistakes | None = None

    @property
    def scores(self) -> Scores:
        """Everything that was measured, as a tidy table: `scores.frame`."""
        return self.results.scores

    @cached_property
    def verdict(self) -> Advice:
        """Which method to take, why, and how far to trust it."""
        return advice(self.results)

    def table(self) -> pd.DataFrame:
        """The means over seeds, a row a method, in the units of the headings."""
        scores, columns = self.scores, columns_of(self.results)
        means = {
            column.label: [
                column.shown(scores.interval(method, column.key, column.condition)).mean
                for method in self.results.methods
            ]
            for column in columns
        }
        return pd.DataFrame(means, index=pd.Index(self.results.methods, name="method"))

    def print(self) -> None:
        """The table, the paired differences and the verdict on stdout."""
        table = summary_table(self.results)
        best = ["* The best mean of a column."] if len(table.rows) > 1 else []
        title = f"calmix: {self.results.facts.data.name}, {rounds(self.results)}"
        sheets = [Sheet(title, table, [*best, *table.notes])]
        if len(table.rows) > 1:
            apart = f"Minus {named(self.results.reference)}, {one_round(self.results)} by {one_round(self.results)}"
            note = f"In brackets {of_the_difference(self.results)}." if self.results.seeds > 1 else ""
            sheets.append(Sheet(apart, difference_table(self.results), [note]))
        print_sheets(sheets, self.verdict)

    def page(self) -> Page:
        """The report as a value."""
        with using_threads(1):  # each run is small
            return comparison_page(self.results, self.predictions_of, self.mistakes)

    def write_report(self, folder: Path | str) -> Path:
        """Write report.html, and figures/ with each figure as PNG, SVG and CSV. Return the path of the page.

        Raises:
            DataError: the folder cannot be written, or the predictions cannot be read.
        """
        return write_page(Path(folder), self.page())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        paragraphs = (self.verdict.headline, " ".join(self.verdict.reasons), " ".join(self.verdict.cautions))
        digits = {column.label: column.digits for column in columns_of(self.results)}
        shown = self.table()
        for label, count in digits.items():
            shown[label] = shown[label].map(f"{{:.{count}f}}".format)
        return "".join(f"<p>{escape(text)}</p>" for text in paragraphs if text) + shown.to_html()


def read_comparison(folder: Path, reference: str | None = None) -> Compared:
    """The comparison in a folder, also one that calmix 0.1.0 wrote.

    reference: the method that marks refer to; as it was, where none is given.

    Raises:
        DataError: the folder holds no comparison, or a damaged one. UnknownNameError: the reference takes no part.
    """
    results, mistakes = read_results(folder, reference), read_mistakes(folder)
    return Compared(results, lambda record: read_predictions(folder, record), mistakes)
