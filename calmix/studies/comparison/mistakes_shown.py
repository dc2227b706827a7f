"""The most confident mistakes, or the largest errors, on the page of a comparison."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from calmix.data.given_rows import Unusual
from calmix.report.drawing import CsvRow, Drawing
from calmix.report.page import PageTable, Section
from calmix.report.sentences import joined, named
from calmix.report.tables import Cell, Row, Table
from calmix.results.catalogue import number, significant
from calmix.results.store import Results
from calmix.studies.comparison.mistakes import LargeError, Mistakes, Picture, WrongAnswer
from calmix.studies.comparison.wording import one_round

SURE = 0.9  # mean confidence from which wrong answers of all networks make a label doubtful
ACROSS = 4  # pictures in a row
_LONGEST = 15  # characters above a picture
_CLASS = 24  # characters of the name of a class in the table


def mistakes_section(results: Results, mistakes: Mistakes | None) -> list[Section]:
    """The section of a page; none where it is not known which rows were tested."""
    if mistakes is None:
        return []
    title = "Largest errors" if results.regression else "Most confident mistakes"
    if not mistakes.contents:
        return [Section(title, none_at_all(mistakes))]
    table = _errors_table(mistakes, results) if results.regression else _answers_table(mistakes, results)
    pictures = [content.picture for content in mistakes.contents]
    drawings = [] if None in pictures else [_drawing(mistakes, [one for one in pictures if one is not None])]
    caption = _errors_caption(mistakes, results) if results.regression else _answers_caption(mistakes, results)
    corner, last = mistakes.unit.capitalize(), len(table.headings) - 1
    prose = (last,) if _described(mistakes) or _named(mistakes) else ()
    shown = PageTable(title, table, corner, _unusual_note(mistakes), prose=prose)
    return [Section(title, caption, drawings, [shown])]


def _named(mistakes: Mistakes) -> bool:
    return any(content.name for content in mistakes.contents)


def _described(mistakes: Mistakes) -> bool:
    return any(content.unusual is not None for content in mistakes.contents)


# ------------------------------------------------------------------------------------------------ sentences


def none_at_all(mistakes: Mistakes) -> str:
    networks = "The network" if mistakes.networks == 1 else f"None of the {mistakes.networks} networks"
    made = "made no mistake" if mistakes.networks == 1 else "made a mistake"
    return f"{networks} of {named(mistakes.method)} {made} on the {mistakes.rows:,} rows that were tested."


def doubtful(mistakes: Mistakes) -> list[int]:
    """The rows that all networks called wrong, of two seeds or folds or more, with SURE confidence on average.

    Networks of one seed have learnt the same rows, and err alike where these mislead.
    """
    return [
        one.row
        for one in mistakes.answers
        if one.tested > 1 and one.all_wrong == one.all_tested and min(one.confidence, one.all_confidence) >= SURE
    ]


def doubts(mistakes: Mistakes, methods: int) -> str:
    """Which labels to check first; empty where there is none."""
    rows = doubtful(mistakes)
    if not rows:
        return ""
    several = len(rows) > 1
    whose = f"the {len(rows)} rows below" if several and len(rows) == len(mistakes.answers) else ""
    whose = whose or f"{mistakes.unit}{'s' * several} {joined([str(row) for row in rows])}"
    who = "all networks of every method" if methods > 1 else "all networks"
    return (
        f"The label{'s' * several} of {whose} may be wrong, so check {'them' if several else 'it'} first: {who} that "
        f"were tested there, two or more of a method, said something else, with a mean confidence of {100 * SURE:.0f} "
        "% or more."
    )


def _answers_caption(mistakes: Mistakes, results: Results) -> str:
    said = [f"The test rows that {named(mistakes.method)} got wrong with the highest confidence."]
    said += filter(None, [doubts(mistakes, len(results.methods))])
    if mistakes.networks > 1:
        said.append(
            f"Confidence: before temperature scaling, the mean over the networks that were wrong, one a "
            f"{one_round(results)}. In the order of the rows, a network that was right counts as 0."
        )
    else:
        said.append("Confidence: before temperature scaling.")
    return " ".join([*said, mistakes.note])


def _errors_caption(mistakes: Mistakes, results: Results) -> str:
    said = [
        f"The test rows with the largest absolute errors of {named(mistakes.method)}, in the unit of the target.",
        f"Times typical: the error over the median error of all test rows, {significant(mistakes.typical)}.",
    ]
    if mistakes.networks > 1:
        said.append("Predicted and error: means over the networks that were tested on the row.")
    if len(results.methods) > 1:
        said.append("Where all methods are far off, the observed value may be wrong, so check it first.")
    return " ".join([*said, mistakes.note])


def _unusual_note(mistakes: Mistakes) -> str:
    if not _described(mistakes):
        return ""
    return (
        "Unusual values: up to three of a row, the rarest first, compared with all rows of the table. A value is "
        "ordinary if more than a tenth of the rows lie as far out, to either side, or hold what is as rare."
    )


def unusual_text(unusual: Sequence[Unusual]) -> str:
    """The unusual values of a row.

    >>> unusual_text([Unusual("size", "6.9", "number", 1, 0.9933), Unusual("city", "Oslo", "category", 0, 0.003)])
    'size 6.9 (larger than 99.3 % of rows); city Oslo (0.3 % of rows)'
    """
    return "; ".join(f"{one.column} {one.value or 'empty'} ({_place(one)})" for one in unusual) or "all ordinary"


def _place(one: Unusual) -> str:
    if one.side == 0:
        return f"{_share(one.share)} of rows"
    how = {("number", 1): "larger", ("number", -1): "smaller", ("date", 1): "later", ("date", -1): "earlier"}
    return f"{how[one.kind, one.side]} than {_share(one.share)} of rows" if (one.kind, one.side) in how else ""


def _share(share: float) -> str:
    """Cut, so that fewer than all rows are never 100 %; and more than none never 0."""
    percent = math.floor(1000 * share + 1e-6) / 10
    if 0 < share < 1 and percent in (0, 100):
        return "less than 0.1 %" if percent == 0 else "99.9 %"
    return f"{percent:.0f} %" if percent == round(percent) else f"{percent:.1f} %"


# --------------------------------------------------------------------------------------------------- tables


def _answers_table(mistakes: Mistakes, results: Results) -> Table:
    several = len(results.methods) > 1
    headings = ["Label", "Said", "Confidence, %", "Wrong in", *(["All methods"] if several else [])]
    rows = [
        [
            _cut(one.truth, _CLASS),
            _cut(one.said, _CLASS),
            confidence_text(one.confidence),
            f"{one.wrong} of {one.tested}",
            *([f"{one.all_wrong} of {one.all_tested}"] if several else []),
        ]
        for one in mistakes.answers
    ]
    return _table(mistakes, headings, [one.row for one in mistakes.answers], rows)


def confidence_text(confidence: float) -> str:
    """In per cent; 100.0 for 1 alone."""
    return number(100 * confidence if confidence == 1 else min(100 * confidence, 99.9), 1)


def _errors_table(mistakes: Mistakes, results: Results) -> Table:
    several = len(results.methods) > 1
    headings = ["Observed", "Predicted", *(["By all methods"] if several else []), "Error", "× typical", "Tests"]
    rows = [
        [
            significant(one.observed),
            significant(one.predicted),
            *([significant(one.all_predicted)] if several else []),
            significant(one.size),
            number(one.size / mistakes.typical, 1) if mistakes.typical else "–",
            str(one.tested),
        ]
        for one in mistakes.errors
    ]
    return _table(mistakes, headings, [one.row for one in mistakes.errors], rows)


def _table(mistakes: Mistakes, headings: list[str], numbers: Sequence[int], rows: Sequence[list[str]]) -> Table:
    described, named = _described(mistakes), _named(mistakes)
    more = [
        [*([unusual_text(content.unusual or ())] if described else []), *([content.name] if named else [])]
        for content in mistakes.contents
    ]
    cells = [[Cell(text) for text in (*row, *rest)] for row, rest in zip(rows, more, strict=True)]
    shown = [Row(str(number), row) for number, row in zip(numbers, cells, strict=True)]
    further = [*(["Unusual values"] if described else []), *(["File"] if named else [])]
    return Table([*headings, *further], shown, [])


# -------------------------------------------------------------------------------------------------- pictures


@dataclass(frozen=True, eq=False)
class Shown:
    """What is drawn: a picture of each row, and what is said of it."""

    unit: str
    mistakes: Sequence[WrongAnswer | LargeError]
    pictures: Sequence[Picture]

    def rows(self) -> Iterator[CsvRow]:
        for one in self.mistakes:
            values = dict(vars(one))
            yield {self.unit: values.pop("row"), **values}


def _drawing(mistakes: Mistakes, pictures: Sequence[Picture]) -> Drawing:
    shown = Shown(mistakes.unit, [*mistakes.answers, *mistakes.errors], pictures)
    lines = -(-len(pictures) // ACROSS)

    def paint(figure: Figure) -> None:
        draw_pictures(figure, shown)

    alt = f"The {len(pictures)} images of the table below."
    return Drawing("mistakes", alt, [shown], 0.1 + 1.45 * lines, paint, photo=True)


def draw_pictures(figure: Figure, shown: Shown) -> None:
    lines = -(-len(shown.pictures) // ACROSS)
    axes = np.ravel(figure.subplots(lines, ACROSS, squeeze=False))
    for ax in axes:
        ax.set_axis_off()
    for ax, one, picture in zip(axes, shown.mistakes, shown.pictures, strict=False):
        pixels = picture.array.transpose(1, 2, 0)
        ax.imshow(pixels.repeat(3, 2) if pixels.shape[2] == 1 else pixels, interpolation="nearest")
        ax.set_title("\n".join([f"{shown.unit} {one.row}", *_said(one)]), fontsize=7)


def _said(one: WrongAnswer | LargeError) -> list[str]:
    if isinstance(one, WrongAnswer):
        both = f"is {one.truth}, said {one.said}"
        said = [both] if len(both) <= _LONGEST else [_cut(f"is {one.truth}"), _cut(f"said {one.said}")]
        return [*said, f"{confidence_text(one.confidence)} %"]
    return [f"is {significant(one.observed)}", f"said {significant(one.predicted)}"]


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
