"""An experiment carried out: both protocols, the verdicts, and one page.

OUT/...            the comparison with honest splits, as `calmix compare` writes it
OUT/as_published/  the same with the published protocol, where that looks at test rows
OUT/search/        what a search tried, where one was asked for
OUT/reproduction.json, see `calmix.reproduction.stated`
OUT/claims.csv     a line a claim and protocol
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import pandas as pd

from calmix.engines import Engine, Processes, Tick
from calmix.engines.engine import untold
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import Advice, counted
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import Sheet, print_sheets
from calmix.reproduction.experiment import CONTROLS, Experiment
from calmix.reproduction.searched import searched
from calmix.reproduction.stated import Search, Stated, read_stated, write_stated
from calmix.reproduction.table import Entry
from calmix.reproduction.verdict import FAILS, HOLDS, UNTOLD, Verdict, in_words, verdict_table, verdicts
from calmix.results.catalogue import significant
from calmix.results.files import csv_of, write_whole
from calmix.results.records import Failure
from calmix.studies.comparison.compared import Compared, read_comparison
from calmix.studies.comparison.study import Comparison, carry_out_comparison

Progress = Callable[[int, int, Mapping[str, int]], AbstractContextManager[Tick]]
AS_PUBLISHED = "as_published"
_NOTE = (
    "A claim holds where the interval of the difference, paired by seed, lies on the claimed side of zero, and does "
    "not hold where it lies on the other. The papers' own tables were not at hand: their protocol is reproduced, not "
    "their numbers."
)
_BOTH = (
    " As published: the epoch is chosen by test rows, and the temperature is fitted on them; what a claim gains by "
    "that is not the method's."
)
_SMOKE = "This scale shows that everything is there; with so few rows, epochs and seeds its verdicts say nothing."


@dataclass(frozen=True, eq=False)
class Reproduced:
    """A finished reproduction. published: the comparison with the published protocol, where there is one."""

    stated: Stated
    honest: Compared
    published: Compared | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Of both protocols."""
        published = () if self.published is None else self.published.results.failures
        return (*self.honest.results.failures, *published)

    @property
    def verdicts(self) -> list[Verdict]:
        published = None if self.published is None else self.published.scores
        return verdicts(self.stated.claims, self.honest.scores, published)

    @property
    def advice(self) -> Advice:
        """How many claims hold."""
        said = [one.said for one in self.verdicts]
        counts = "; ".join(f"{said.count(one)} {one if said.count(one) == 1 else many}" for one, many in _VERBS.items())
        settings = "" if self.stated.search is None else ", with searched settings"
        stands_for = f"{self.stated.stands_for}, at the scale {self.stated.scale}{settings}."
        headline = f"{stands_for} Of {counted(len(said), 'claim')}: {counts}."
        judged = {one.claim for one in self.verdicts}
        left = [in_words(claim) for claim in self.stated.claims if claim not in judged]
        cautions = [_SMOKE] if self.stated.scale == "smoke" else []
        if left:
            cautions.append(f"Not judged, as a method or its metric is missing: {'; '.join(left)}.")
        return Advice(headline, [_NOTE + (_BOTH if self.published else "")], cautions)

    def claims(self) -> pd.DataFrame:
        """A row a claim and protocol."""
        rows = []
        for one in self.verdicts:
            both = {
                self.stated.protocol: (one.difference, one.said),
                "as published": (one.published, one.said_as_published),
            }
            for protocol, (found, said) in both.items():
                if found is not None:
                    interval = {"difference": found.mean, "low": found.low, "high": found.high, "seeds": found.count}
                    claim = one.claim
                    named = {"method": claim.method, "than": claim.than, "metric": claim.metric}
                    rows.append(
                        {"experiment": self.stated.name, **named, "condition": claim.condition, "protocol": protocol}
                        | {**interval, "verdict": said}
                    )
        return pd.DataFrame(rows)

    def page(self) -> Page:
        """The comparison's page, with what the experiment stands for before it."""
        page, said = self.honest.page(), self.advice
        table = PageTable(
            "Claims", verdict_table(self.verdicts), corner="Claim", note=" ".join([*said.reasons, *said.cautions])
        )
        differs = {f"{number}": one for number, one in enumerate(self.stated.deviations, 1)}
        means, *further = page.sections
        sections = [
            Section("Claims", f"Source: {self.stated.source}", tables=[table]),
            means,
            *([] if self.stated.search is None else [Section("Search", tables=[_chosen_table(self.stated.search)])]),
            Section("Controls", terms=CONTROLS),
            Section("Deviations from the source", terms=differs),
            *further,
        ]
        return replace(page, title=f"calmix: {self.stated.name}", lead=[said.headline, *page.lead], sections=sections)

    def print(self) -> None:
        """The claims and the verdict on stdout."""
        print_sheets([Sheet(f"calmix: {self.stated.name}", verdict_table(self.verdicts), [], "Claim")], self.advice)

    def write(self, folder: Path) -> Path:
        """Write the pages, reproduction.json and claims.csv; the path of the page with the claims."""
        if self.published is not None:
            other = self.published.page()
            title = f"calmix: {self.stated.name}, as published"
            write_page(folder / AS_PUBLISHED, replace(other, title=title, lead=[_BOTH.strip(), *other.lead]))
        write_stated(folder, self.stated)
        page = write_page(folder, self.page())
        write_whole(folder / "claims.csv", lambda file: file.write(csv_of(self.claims())))
        return page


def read_reproduced(folder: Path, reference: str | None = None) -> Reproduced:
    """The reproduction in a folder. reference: as in `read_comparison`. Raise DataError where a file is damaged."""
    honest, other = read_comparison(folder, reference), folder / AS_PUBLISHED
    return Reproduced(read_stated(folder), honest, read_comparison(other, reference) if other.exists() else None)


def _chosen_table(search: Search) -> PageTable:
    """A row a method: what was chosen, and by which value."""
    headings = ["Options", "Learning rate", "Weight decay", "Epochs", "Weights", search.goal, "Trials"]
    rows = []
    for one in search.chosen:
        options = ", ".join(f"{name} {value}" for name, value in one.options.items()) or "its first ones"
        shown = f"{one.learning_rate:g}", f"{one.weight_decay:g}", f"{one.epochs}", one.weights, significant(one.goal)
        rows.append(Row(one.method, [Cell(text) for text in (options, *shown, f"{one.trials}")]))
    note = (
        f"A budget of {search.budget:g} plain trainings, an equal share for every method. Trials were judged on rows "
        "that are neither trained on nor tested; the test rows are the same in all seeds. The first options of a "
        "method are the published ones. The controls have what was chosen for plain Mixup; auto, where it takes part, "
        "has the training that was chosen for plain training."
    )
    return PageTable("What was chosen", Table(headings, rows, []), note=note)


_VERBS = {HOLDS: "hold", FAILS: "do not hold", UNTOLD: "cannot be told"}  # of several


def carry_out(
    name: str,
    scale: str,
    entry: Entry,
    experiment: Experiment,
    out: Path,
    resume: bool = False,
    engine: Engine = Processes(),
    command: Sequence[str] = (),
    progress: Progress = lambda runs, epochs, others: nullcontext(untold),
    budget: float | None = None,
    run_timeout: float | None = None,
) -> Reproduced:
    """Carry out an experiment in a folder, see `carry_out_comparison`.

    scale: as which the experiment was made. budget: of a search before it, in plain trainings; None: settings are as
    published. progress: given the number of runs, their epochs, and those of labels that have others, gives what is
    told how far they are.
    """

    def carried_out(comparison: Comparison, folder: Path) -> Compared:
        others = {label: settings.epochs for label, settings in comparison.own_settings.items()}
        with progress(len(comparison.recipes), comparison.settings.epochs, others) as tick:
            return carry_out_comparison(comparison, folder, resume, engine, command, tick, run_timeout=run_timeout)

    search = None
    if budget is not None:
        with progress(ceil(budget), experiment.comparison.settings.epochs, {}) as tick:
            experiment, search = searched(experiment, budget, out, resume, engine, command, tick, run_timeout)
    honest = carried_out(experiment.comparison, out)
    published = carried_out(experiment.as_published(), out / AS_PUBLISHED) if experiment.judged_on_test else None
    stated = Stated(name, scale, entry.stands_for, experiment.source, experiment.claims, experiment.deviations, search)
    return Reproduced(stated, honest, published)
