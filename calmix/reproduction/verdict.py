"""What a reproduction says of a paper's claims."""

from collections.abc import Sequence
from dataclasses import dataclass

from calmix.report.sentences import called
from calmix.report.tables import Cell, Row, Table, difference_cell
from calmix.reproduction.claims import Claim
from calmix.results.catalogue import METRICS, Column
from calmix.results.scores import Scores
from calmix.results.statistics import Interval

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "cannot be told"


@dataclass(frozen=True)
class Verdict:
    """A claim, and the paired difference of its two methods: by honest splits, and as published where that differs."""

    claim: Claim
    difference: Interval
    published: Interval | None = None

    @property
    def column(self) -> Column:
        return Column(METRICS[self.claim.metric], self.claim.condition)

    @property
    def said(self) -> str:
        """`holds`, `does not hold` or `cannot be told`, by the honest splits."""
        return _said(self.column, self.difference)

    @property
    def said_as_published(self) -> str | None:
        return None if self.published is None else _said(self.column, self.published)


def in_words(claim: Claim) -> str:
    """A claim as a sentence.

    >>> in_words(Claim("sk_mixup", "erm", "ece")), in_words(Claim("mixup_e", "mixup", "accuracy"))
    ('sk_mixup has a lower ECE than plain training', 'mixup_e has a higher accuracy than plain Mixup')
    """
    column = Column(METRICS[claim.metric], claim.condition)
    more, title = {1: "higher", -1: "lower"}[column.better], column.title
    title = title if title[:2].isupper() else title[:1].lower() + title[1:]
    return f"{called(claim.method)} has a {more} {title} than {called(claim.than)}"


def _said(column: Column, difference: Interval) -> str:
    """A claim holds where the interval of the difference lies on the better side, and fails where on the worse."""
    return {1: HOLDS, 0: UNTOLD, -1: FAILS}[column.mark(difference)]


def verdicts(claims: Sequence[Claim], scores: Scores, published: Scores | None) -> list[Verdict]:
    """What the scores say of each claim whose methods and metric they have."""

    def known(claim: Claim, among: Scores | None) -> bool:
        return among is not None and all(
            len(among.values(label, claim.metric, claim.condition)) for label in (claim.method, claim.than)
        )

    def of(claim: Claim, among: Scores) -> Interval:
        return among.difference(claim.method, claim.than, claim.metric, claim.condition)

    return [
        Verdict(claim, of(claim, scores), of(claim, published) if published and known(claim, published) else None)
        for claim in claims
        if known(claim, scores)
    ]


def verdict_table(found: Sequence[Verdict]) -> Table:
    """A row a claim: its metric, the difference and the verdict, and these as published where the protocol differs."""
    both = any(one.published is not None for one in found)
    headings = ["Metric", "Difference", "Verdict", *(["As published", "Verdict as published"] if both else [])]
    largest: dict[Column, float] = {}
    for one in found:
        largest[one.column] = max(largest.get(one.column, 0.0), abs(one.difference.low), abs(one.difference.high))
    # in the target's unit, with digits enough for the largest of a metric
    shown = {one: one.sized(most) if one.metric.digits is None else one for one, most in largest.items()}
    rows = []
    for one in found:
        column = shown[one.column]
        cells = [Cell(column.points), difference_cell(column, one.difference), Cell(one.said)]
        if both and one.published is not None:
            cells += [difference_cell(column, one.published), Cell(one.said_as_published or "")]
        elif both:
            cells += [Cell(""), Cell("")]
        rows.append(Row(in_words(one.claim), cells))
    return Table(headings, rows, [])
