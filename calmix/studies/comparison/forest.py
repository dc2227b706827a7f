"""The main picture of a comparison: how far every method is from the reference, seed by seed.

S  seeds
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calmix.report.drawing import TITLE, CsvRow, Drawing, wrapped
from calmix.report.sentences import called, named
from calmix.report.style import Style
from calmix.results.catalogue import Column, Mark
from calmix.results.files import slug
from calmix.results.scores import Scores, column_name
from calmix.results.statistics import Interval
from calmix.results.store import Results
from calmix.studies.comparison.wording import of_the_difference, one_round

_REACH = 2.5  # times the largest difference of a seed: as far as intervals are drawn


def forest_caption(results: Results) -> str:
    """What to look at."""
    other, one = named(results.reference), one_round(results)
    shown = "There is one seed, so there are no intervals, and no difference can be told from chance."
    if results.seeds > 1:
        shown = (
            f"The marker is the mean, the line {of_the_difference(results)}, with an arrowhead where it goes on, and a "
            f"grey dot a {one}. Filled: the interval excludes zero; hollow: no difference could be told."
        )
    return (
        f"A method minus {other}, {one} by {one}: what runs of a {one} share (splits, initial weights, order of the "
        f"rows) cancels out. {shown} On the zero line a method is as good as {other}."
    )


@dataclass(frozen=True)
class Distance:
    """How far a method is from the reference in one column, in the unit that is shown."""

    method: str
    metric: str
    seeds: Sequence[float]  # (S,)
    mean: Interval
    mark: Mark  # better or worse than the reference

    def rows(self) -> Iterator[CsvRow]:
        mean = {"mean": self.mean.mean, "low": self.mean.low, "high": self.mean.high}
        yield {"method": self.method, "metric": self.metric, "seeds": self.mean.count, **mean}


def prepare_forest(scores: Scores, reference: str, column: Column, most_seeds: int) -> list[Distance]:
    """Of every method but the reference; dots of the first `most_seeds` seeds alone."""
    found = []
    for method in scores.methods:
        if method == reference:
            continue
        interval = scores.difference(method, reference, column.key, column.condition)
        pairs = zip(
            *(scores.values(name, column.key, column.condition) for name in (method, reference)),
            strict=True,
        )
        seeds = [column.scale * (value - other) for value, other in pairs][:most_seeds]
        metric = column_name(column.condition, column.key)
        found.append(Distance(method, metric, seeds, column.shown(interval), column.mark(interval)))
    return found


def draw_forest(ax: Axes, distances: Sequence[Distance], styles: Mapping[str, Style]) -> None:
    """A row a method, the first on top."""
    left, right = _ends(distances)
    ax.axvline(0, color="#222222", linewidth=0.9)
    for place, one in enumerate(distances):
        style, low, high = styles[one.method], max(one.mean.low, left), min(one.mean.high, right)
        if one.mean.count > 1:
            ax.plot(one.seeds, np.full(len(one.seeds), place), "o", color="#9a9a9a", markersize=2.5, zorder=2)
        ax.plot([low, high], [place, place], color=style.color, linewidth=1.4, solid_capstyle="butt", zorder=2.5)
        for end, whole, sign in ((low, one.mean.low, "<"), (high, one.mean.high, ">")):
            if end != whole:
                ax.plot(end, place, sign, color=style.color, markersize=4, zorder=2.5)
        face = style.color if one.mark else "white"
        ax.plot(
            one.mean.mean, place, style.marker, color=style.color, markerfacecolor=face, markersize=6, mew=1.2, zorder=3
        )
    ax.set_yticks(range(len(distances)), [wrapped(one.method, TITLE) for one in distances])
    air = 0.04 * (right - left)
    ax.set(ylim=(len(distances) - 0.4, -0.6), xlim=(left - air, right + air))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.grid(visible=False, axis="y")


def forest_drawing(
    distances: Sequence[Distance], reference: str, column: Column, styles: Mapping[str, Style]
) -> Drawing:
    """One column's differences; in words above, which side is the better one."""
    methods = [one.method for one in distances]

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        draw_forest(ax, distances, styles)
        ax.set_title(f"{column.points}\n", fontweight="bold")
        if column.better:
            sides = ("worse", "better") if column.better > 0 else ("better", "worse")
            looks = {"transform": ax.transAxes, "va": "bottom", "color": "#555555", "fontsize": 8}
            ax.text(0, 1.01, f"← {sides[0]}", ha="left", **looks)
            ax.text(1, 1.01, f"{sides[1]} →", ha="right", **looks)
        ax.set_xlabel(f"minus {called(reference)}")

    lines = sum(1 + wrapped(method, TITLE).count("\n") for method in methods)
    alt = f"{column.points}: difference from {called(reference)} of {', '.join(methods)}."
    name = f"difference-{slug(column_name(column.condition, column.key))}"
    return Drawing(name, alt, distances, 0.95 + 0.23 * lines, paint)


def _ends(distances: Sequence[Distance]) -> tuple[float, float]:
    """Of the axis: zero, all seeds, and all intervals as far as they are not much longer than that."""
    values = [0.0, *(value for one in distances for value in (one.mean.mean, *one.seeds))]
    reach = _REACH * max(map(abs, values)) or 1.0
    low = max(min(*values, *(one.mean.low for one in distances)), -reach)
    high = min(max(*values, *(one.mean.high for one in distances)), reach)
    air = 0.25 * ((high - low) or 1.0)  # on the side where nothing lies, which has a name, too
    return (low if low < 0 else -air), (high if high > 0 else air)
