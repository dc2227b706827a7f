"""A finished search as people use it: what to take, its table, its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from calmix.models import ModelFactory, name_of
from calmix.report.page import Page, write_page
from calmix.report.sentences import Advice
from calmix.report.terminal import print_sheets
from calmix.reprs import shown
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.families import Family
from calmix.studies.tuning.outcome import Outcome, table_of
from calmix.studies.tuning.page import sheet, tuning_page
from calmix.studies.tuning.rows import OneTest
from calmix.studies.tuning.sentences import tuning_advice
from calmix.studies.tuning.trials import Trial
from calmix.threads import using_threads
from calmix.train import Recipe


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished search. outcome: what it found. data, model, families: what it was about."""

    outcome: Outcome
    data: OneTest
    model: ModelFactory | None
    families: Mapping[str, Family]

    @property
    def trials(self) -> Sequence[Trial]:
        """All that was tried, method by method."""
        return self.outcome.trials

    @property
    def default(self) -> Trial:
        """The first method as it is."""
        return self.outcome.default

    @property
    def chosen(self) -> Trial:
        """The best on the rows to choose by."""
        return self.outcome.chosen

    @property
    def winner(self) -> Trial:
        """What to take: the default, unless the chosen gains more than one standard error on the test rows."""
        return self.outcome.winner

    @property
    def gain(self) -> Gain | None:
        """Of the chosen on the default; None where they are the same."""
        return self.outcome.gain

    @cached_property
    def verdict(self) -> Advice:
        """Whether to change the default, why, and how far to trust it."""
        return tuning_advice(self.outcome)

    def recipe(self, seed: int = 0) -> Recipe:
        """The training of the winner on the data that were given, with the splits of a seed."""
        trial = self.winner
        method = self.families[trial.family].method(trial.options)
        return Recipe(self.data.source, trial.text, method, self.model, trial.settings, seed)

    @property
    def python(self) -> list[str]:
        """The lines that train the winner. Data and networks that are objects are those of the script."""
        recipe = self.recipe()
        model = "" if self.model is None else f", model={name_of(self.model)}"
        call = f"Recipe({self.data.source!r}, 'tuned', read_method({self.winner.text!r}){model}"
        return [
            "from calmix.data import *",
            "from calmix.methods.read import read_method",
            "from calmix.train import Recipe, TrainingSettings, train",
            f"network = train({call}, settings={shown(recipe.settings)})).model",
        ]

    def table(self) -> pd.DataFrame:
        """A row a training, as in results.csv."""
        return table_of(self.outcome)

    def print(self) -> None:
        """Default against chosen on the test rows, and the verdict, on stdout."""
        print_sheets([sheet(self.outcome)], self.verdict)

    def page(self) -> Page:
        """The report as a value."""
        with using_threads(1):
            return tuning_page(self.outcome, self.python)

    def write_report(self, folder: Path | str) -> Path:
        """Write report.html, and figures/ with each figure as PNG, SVG and CSV. Return the path of the page.

        Raises:
            DataError: the folder cannot be written.
        """
        return write_page(Path(folder), self.page())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        paragraphs = (self.verdict.headline, " ".join(self.verdict.reasons), " ".join(self.verdict.cautions))
        return "".join(f"<p>{escape(text)}</p>" for text in paragraphs if text)
