"""Many comparisons together: which methods rank higher over data sets, and which can be told apart.

k  methods that all comparisons share
N  data sets
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calmix.errors import DataError, SettingError
from calmix.experiment.compare import summed_up
from calmix.experiment.record import write_json
from calmix.experiment.statistics import rank
from calmix.experiment.summary import references
from calmix.report.choice import CONTROLS
from calmix.report.figures.ranks import Ranked, ranks_drawing
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.results import Results, parse_results
from calmix.report.screen import print_sheet
from calmix.report.style import styles
from calmix.report.tables import ACCURACY, ECE, NLL, SCALED_ECE, Cell, Row, Table, called, columns_of, named, number
from calmix.report.words import Advice, joined

ENOUGH_SETS = 10  # advised before a claim
_SAID = {"accuracy": "right answers", "ece": "honest confidence", "rmse": "closeness to the truth"}


@dataclass(frozen=True, eq=False)
class Ranking:
    """Several comparisons, the methods that all of them have, and their ranks in each metric."""

    sets: tuple[str, ...]  # N
    comparisons: tuple[Results, ...]  # N
    methods: tuple[str, ...]  # k
    left_out: tuple[str, ...]  # methods that some comparison lacks, and controls
    ranked: tuple[Ranked, ...]  # a metric each, the most important first

    @property
    def repeated(self) -> list[str]:
        """Data sets that several comparisons share."""
        names = [results.data.name for results in self.comparisons]
        return sorted({name for name in names if names.count(name) > 1})


def write_ranks(ranking: Ranking, out: Path, command: Sequence[str] = ()) -> Path:
    """ranks.json, report.html and figures/ in `out`. Returns the path of the page.

    Raises:
        DataError: `out` holds a comparison, or cannot be written.
    """
    if (out / "results.json").exists():
        raise DataError(f"{out} holds a comparison; ranks need a folder of their own: give another --out.")
    page = write_page(out, ranks_page(ranking, command))
    write_json(out / "ranks.json", as_json(ranking))
    return page


def read_ranking(folders: Sequence[Path]) -> Ranking:
    """The comparisons in `folders`, ranked.

    Raises:
        DataError: a folder holds no comparison, or the comparisons pose different tasks or share too few methods.
        SettingError: fewer than two folders, or one given twice.
    """
    places = [folder.resolve() for folder in folders]
    if len(places) < 2 or len(set(places)) < len(places):
        raise SettingError(f"ranks need two or more different folders; got {', '.join(map(str, folders))}.")
    comparisons = [parse_results(summed_up(folder)) for folder in folders]
    if len({results.regression for results in comparisons}) > 1:
        regressions = [str(f) for f, results in zip(folders, comparisons, strict=True) if results.regression]
        raise DataError(f"regression cannot be ranked with classification; rank apart: {', '.join(regressions)}.")
    everyone = list(dict.fromkeys(summary.method for results in comparisons for summary in results.methods))
    shared = [m for m in everyone if m not in CONTROLS and all(results.runs_of(m) for results in comparisons)]
    if len(shared) < 2:
        have = joined(shared) or "none"
        raise DataError(f"ranks need two methods or more that all comparisons have; these share {have}.")
    sets = _set_names(folders, comparisons)
    columns = columns_of(comparisons[0])[:2] if comparisons[0].regression else [ACCURACY, ECE, SCALED_ECE, NLL]
    ranked = []
    for column in columns:
        means = [{s.method: s.metrics[column.name].mean for s in results.methods} for results in comparisons]
        scores = np.array([[mean[method] for method in shared] for mean in means])  # (N, k)
        ranked.append(Ranked(column, rank(scores, column.better, shared, sets)))
    left_out = tuple(method for method in everyone if method not in shared)
    return Ranking(tuple(sets), tuple(comparisons), tuple(shared), left_out, tuple(ranked))


def as_json(ranking: Ranking) -> dict[str, Any]:
    """All ranks, for programs."""
    return {
        "methods": list(ranking.methods),
        "left_out": list(ranking.left_out),
        "sets": list(ranking.sets),
        "ranks": {
            data.column.name: {
                "scores": data.ranks.scores.tolist(),
                "ranks": data.ranks.ranks.tolist(),
                "mean": data.ranks.mean.tolist(),
                "p": data.ranks.p,
                "critical_difference": data.ranks.critical,
                "not_told_apart": [[ranking.methods[i] for i in group] for group in data.ranks.groups],
            }
            for data in ranking.ranked
        },
    }


# ------------------------------------------------------------------------------------------------- words


def ranks_advice(ranking: Ranking) -> Advice:
    """Who ranks first, and from whom that is told apart beyond chance; no more than the tests say."""
    goals = [data for data in ranking.ranked if data.column.name in _SAID]
    first = [f"{_first(data)} ranks first in {_SAID[data.column.name]}" for data in goals if _behind(data)]
    count, k = len(ranking.sets), len(ranking.methods)
    headline = f"Over {count} data sets {joined(first)}." if first else f"{count} data sets put no method ahead."
    whole = (
        "Friedman's test tells the methods apart as a whole"
        if k > 2
        else "Wilcoxon's signed-rank test tells the two apart"
    )
    critical = ranking.ranked[0].ranks.critical
    cautions = [
        f"Beyond chance: {whole} (p below 0.05), and their mean ranks differ by {critical:.2f} or more, Nemenyi's "
        f"critical difference for {k} methods on {count} data sets.",
        "Ranks say who is ahead, not by how much.",
    ]
    if ranking.repeated:
        cautions.append(
            f"Several comparisons are of the same data ({', '.join(ranking.repeated)}), which the tests take for "
            "independent."
        )
    if count < ENOUGH_SETS:
        cautions.append(f"Fewer than {ENOUGH_SETS} data sets tell little apart.")
    if ranking.left_out:
        cautions.append(f"Left out, as controls or because a comparison lacks them: {', '.join(ranking.left_out)}.")
    return Advice(headline, [_standing(data) for data in goals], cautions)


def _standing(data: Ranked) -> str:
    ranks, behind = data.ranks, _behind(data)
    best = f"{_first(data)} ranks best on average ({ranks.mean.min():.1f} of {len(ranks.methods)})"
    if behind:
        return f"In {_SAID[data.column.name]} {best}, beyond chance better than {joined(behind)}."
    if ranks.alike:
        return f"In {_SAID[data.column.name]} {best}, but not beyond chance (p = {ranks.p:.2g})."
    return f"In {_SAID[data.column.name]} {best}, but the ranks of no other are a critical difference away."


def _first(data: Ranked) -> str:
    return called(data.ranks.methods[data.ranks.order[0]])


def _behind(data: Ranked) -> list[str]:
    """The methods that are told apart from the best, and worse."""
    best, *others = data.ranks.order
    return [called(data.ranks.methods[i]) for i in others if data.ranks.apart(best, i)]


# -------------------------------------------------------------------------------------- page and screen


def ranks_page(ranking: Ranking, command: Sequence[str] = ()) -> Page:
    said, looks = ranks_advice(ranking), styles(ranking.methods)
    diagrams = [ranks_drawing(f"ranks-{data.column.name.replace('.', '-')}", data, looks) for data in ranking.ranked]
    return Page(
        title=f"calmix: {len(ranking.sets)} data sets",
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[
            Section("", tables=[PageTable("Mean ranks", mean_ranks_table(ranking), note=_MARKS.format(_who(ranking)))]),
            Section("Critical differences", _CAPTION, drawings=diagrams),
            Section("On each data set", "A mean over seeds; in brackets its rank.", tables=_on_each(ranking)),
        ],
        facts={
            name: f"{results.data.name}, {results.model}, {results.seeds} seeds: {results.data.source}"
            for name, results in zip(ranking.sets, ranking.comparisons, strict=True)
        },
        command=command,
    )


_MARKS = "1 is best. Bold: the best of a column. ▲ ahead of, ▼ behind {} beyond chance."
_CAPTION = (
    "Further left is better. A marker is a method's mean rank, a tick its rank on one data set. Bars on the right join "
    "methods that cannot be told apart; the ruler is as long as mean ranks must differ to be told apart."
)


def mean_ranks_table(ranking: Ranking) -> Table:
    """A row a method: its mean rank in each metric; marked where it is told apart from the first of `references`."""
    place = ranking.methods.index(references(ranking.methods)[0])
    rows = []
    for i, method in enumerate(ranking.methods):
        cells = []
        for data in ranking.ranked:
            mean, apart = data.ranks.mean, data.ranks.apart(i, place)
            verdict = 0 if not apart else 1 if mean[i] < mean[place] else -1
            cells.append(Cell(f"{mean[i]:.2f}", best=bool(mean[i] == mean.min()), verdict=verdict))
        rows.append(Row(method, cells))
    return Table([f"Rank in {data.column.title}" for data in ranking.ranked], rows, [])


def print_ranks(ranking: Ranking) -> None:
    """The mean ranks and the verdict on stdout."""
    notes = _MARKS.format(_who(ranking)).replace("Bold:", "*")
    print_sheet(f"calmix: {len(ranking.sets)} data sets", mean_ranks_table(ranking), [notes], ranks_advice(ranking))


def _who(ranking: Ranking) -> str:
    return named(references(ranking.methods)[0])


def _on_each(ranking: Ranking) -> list[PageTable]:
    tables = []
    for data in ranking.ranked:
        column = data.column
        rows = []
        for name, scores, ranks in zip(ranking.sets, data.ranks.scores, data.ranks.ranks, strict=True):
            scale = 100 if column.unit == "%" else 1
            cells = [
                Cell(number(scale * score, column.digits), f"({place:g})", best=bool(place == ranks.min()))
                for score, place in zip(scores.tolist(), ranks.tolist(), strict=True)
            ]
            rows.append(Row(name, cells))
        tables.append(PageTable(column.label, Table(ranking.methods, rows, []), corner=column.heading, stacked=True))
    return tables


def _set_names(folders: Sequence[Path], comparisons: Sequence[Results]) -> list[str]:
    """The names of the data; where two are the same, with their folders."""
    names = [results.data.name for results in comparisons]
    tails = [folder.resolve().name for folder in folders]
    shown = [f"{n} ({tail})" if names.count(n) > 1 else n for n, tail in zip(names, tails, strict=True)]
    return [f"{n} ({folder})" if shown.count(n) > 1 else n for n, folder in zip(shown, folders, strict=True)]
