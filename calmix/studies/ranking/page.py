"""A ranking as a page, in the terminal, and on disk.

OUT/ranks.json   all ranks
OUT/report.html  the same with what it means; OUT/figures/ holds a critical-difference diagram a metric
"""

from collections.abc import Sequence
from pathlib import Path

from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import named
from calmix.report.style import styles
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import Sheet, print_sheets
from calmix.results.catalogue import Mark
from calmix.results.files import hold_folder, refuse_finished, write_json
from calmix.results.store import references
from calmix.studies.ranking.diagram import Ranked, ranks_drawing
from calmix.studies.ranking.sentences import ranking_advice
from calmix.studies.ranking.study import Ranking, key_of, ranking_json

_MARKS = "1 is best. {best} best of a column. ▲ ahead of, ▼ behind {reference} beyond chance."
_CAPTION = (
    "Further left is better. A marker is a method's mean rank, a tick its rank on one data set. Bars on the right join "
    "methods that cannot be told apart; the ruler is as long as mean ranks must differ to be told apart."
)


def write_ranks(folder: Path, ranking: Ranking, command: Sequence[str] = ()) -> Path:
    """Write ranks.json, report.html and figures/ to `folder`; the path of the page.

    Raises:
        DataError: `folder` holds results, or cannot be written.
    """
    with hold_folder(folder):
        refuse_finished(folder, "ranks need a folder of their own: give another --out")
        page = write_page(folder, ranking_page(ranking, command))
        write_json(folder / "ranks.json", ranking_json(ranking))
    return page


def print_ranks(ranking: Ranking) -> None:
    """The mean ranks and the verdict on stdout."""
    sheet = Sheet(_title(ranking), mean_ranks_table(ranking), [_marks(ranking, "* The")])
    print_sheets([sheet], ranking_advice(ranking))


def ranking_page(ranking: Ranking, command: Sequence[str] = ()) -> Page:
    """The page of several comparisons together."""
    said, looks = ranking_advice(ranking), styles(ranking.methods)
    diagrams = [
        ranks_drawing(f"ranks-{key_of(column).replace('_', '-')}", Ranked(column, ranks), looks)
        for column, ranks in ranking.ranks.items()
    ]
    means = PageTable("Mean ranks", mean_ranks_table(ranking), note=_marks(ranking, "Bold: the"))
    return Page(
        title=_title(ranking),
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[
            Section("", tables=[means]),
            Section("Critical differences", _CAPTION, drawings=diagrams),
            Section("On each data set", "A mean over seeds; in brackets its rank.", tables=_on_each(ranking)),
        ],
        facts={one.name: one.facts for one in ranking.sets},
        command=command,
    )


def mean_ranks_table(ranking: Ranking) -> Table:
    """A row a method: its mean rank in each metric; marked where it is told apart from the first of `references`."""
    reference = ranking.methods.index(references(ranking.methods)[0])
    rows = []
    for i, method in enumerate(ranking.methods):
        cells = []
        for ranks in ranking.ranks.values():
            mean = ranks.mean
            mark: Mark = 0 if not ranks.apart(i, reference) else 1 if mean[i] < mean[reference] else -1
            cells.append(Cell(f"{mean[i]:.2f}", best=bool(mean[i] == mean.min()), mark=mark))
        rows.append(Row(method, cells))
    return Table([f"Rank in {column.title}" for column in ranking.ranks], rows, [])


def _on_each(ranking: Ranking) -> list[PageTable]:
    """A table a metric: the score and the rank of each method on each data set."""
    tables = []
    for column, ranks in ranking.ranks.items():
        rows = []
        for name, scores, places in zip(ranks.sets, ranks.scores.tolist(), ranks.ranks.tolist(), strict=True):
            cells = [
                Cell(column.metric.text(score), f"({place:g})", best=place == min(places))
                for score, place in zip(scores, places, strict=True)
            ]
            rows.append(Row(name, cells))
        table = Table(ranking.methods, rows, [])
        tables.append(PageTable(column.label, table, corner=column.heading, stacked=True))
    return tables


def _title(ranking: Ranking) -> str:
    return f"calmix: {len(ranking.sets)} data sets"


def _marks(ranking: Ranking, best: str) -> str:
    """What the signs mean; `best`: how the best cell is marked, as the sentence begins."""
    return _MARKS.format(best=best, reference=named(references(ranking.methods)[0]))
