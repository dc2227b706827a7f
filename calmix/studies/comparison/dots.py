"""A metric under several headings: a row a method, a dot its mean, a bar its interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calmix.report.drawing import TITLE, CsvRow, Drawing, wrapped
from calmix.report.style import Style
from calmix.results.catalogue import Column
from calmix.results.scores import Scores
from calmix.results.statistics import Interval


@dataclass(frozen=True)
class Dot:
    """A method's mean and interval under one heading, in the unit that is shown."""

    method: str
    heading: str
    value: Interval

    def rows(self) -> Iterator[CsvRow]:
        value = {"mean": self.value.mean, "low": self.value.low, "high": self.value.high}
        yield {"method": self.method, "heading": self.heading, **value}


def prepare_dots(scores: Scores, column: Column, heading: str) -> list[Dot]:
    """The mean over seeds of every method."""
    return [
        Dot(method, heading, scores.interval(method, column.key, column.condition, column.scale))
        for method in scores.methods
    ]


def draw_dots(ax: Axes, dots: Sequence[Dot], styles: Mapping[str, Style]) -> None:
    """The first on top."""
    for place, dot in enumerate(dots):
        style = styles[dot.method]
        ax.errorbar(
            dot.value.mean,
            place,
            xerr=dot.value.half_width,
            color=style.color,
            marker=style.marker,
            markersize=5,
            elinewidth=0.9,
        )
    ax.set_yticks(range(len(dots)), [wrapped(dot.method, TITLE) for dot in dots])
    ax.set_ylim(len(dots) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def dots_drawing(name: str, label: str, dots: Sequence[Dot], styles: Mapping[str, Style]) -> Drawing:
    """A pair of axes a heading, side by side, on one scale."""
    headings = list(dict.fromkeys(dot.heading for dot in dots))
    methods = list(dict.fromkeys(dot.method for dot in dots))

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(1, len(headings), sharex=True, sharey=True, squeeze=False)
        for ax, heading in zip(axes.flat, headings, strict=True):
            draw_dots(ax, [dot for dot in dots if dot.heading == heading], styles)
            ax.set_title(heading)
        figure.supxlabel(label)

    lines = sum(1 + wrapped(method, TITLE).count("\n") for method in methods)
    alt = f"{label}, {' and '.join(headings)}, of {', '.join(methods)}."
    return Drawing(name, alt, dots, 0.9 + 0.21 * lines, paint)
