"""A finished search as people use it: what to take, its table, its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from calmix.models import ModelFactory
from calmix.report.page import Page
from calmix.report.sentences import Advice
from calmix.studies.tuning.decision import Gain
from calmix.studies.tuning.families import Family
from calmix.studies.tuning.outcome import Outcome, table_of
from calmix.studies.tuning.page import print_tuning, tuning_page, write_tuning
from calmix.studies.tuning.rows import OneTest
from calmix.studies.tuning.sentences import tuning_advice
from calmix.studies.tuning.trials import Trial
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
    def python(self) -> Sequence[str]:
        """The lines that train the winner. Data and networks that are objects are those of the script."""
        return self.outcome.python

    def table(self) -> pd.DataFrame:
        """A row a training, as in results.csv."""
        return table_of(self.outcome)

    def print(self) -> None:
        """Default against chosen on the test rows, and the verdict, on stdout."""
        print_tuning(self.outcome)

    def page(self) -> Page:
        """The report as a value."""
        return tuning_page(self.outcome)

    def write_report(self, folder: Path | str) -> Path:
        """Write report.html, and figures/ with each figure as PNG, SVG and CSV. Return the path of the page.

        Raises:
            DataError: the folder cannot be written.
        """
        return write_tuning(Path(folder), self.outcome)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        paragraphs = (self.verdict.headline, " ".join(self.verdict.reasons), " ".join(self.verdict.cautions))
        return "".join(f"<p>{escape(text)}</p>" for text in paragraphs if text)
