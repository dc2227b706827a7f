"""One metric against another: a marker a method."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calmix.report.drawing import AFTER, BEFORE, CsvRow, Drawing, legend, legend_height
from calmix.report.style import Style
from calmix.results.catalogue import Column
from calmix.results.scores import Scores, column_name
from calmix.results.statistics import Interval


@dataclass(frozen=True)
class Point:
    """A method's means and intervals in two metrics, in the units of their columns."""

    method: str
    stage: str  # "", or before | after temperature
    x: Interval
    y: Interval
    metrics: tuple[str, str] = ("", "")  # what x and y are

    def rows(self) -> Iterator[CsvRow]:
        row: CsvRow = {"method": self.method, "stage": self.stage}
        row |= {"x_metric": self.metrics[0], "y_metric": self.metrics[1]}
        for axis, interval in (("x", self.x), ("y", self.y)):
            row |= {axis: interval.mean, f"{axis}_low": interval.low, f"{axis}_high": interval.high}
        yield row


def prepare_points(scores: Scores, x: Column, y: Column, stage: str = "") -> list[Point]:
    """A point a method."""
    return [
        Point(
            method,
            stage,
            scores.interval(method, x.key, x.condition, x.scale),
            scores.interval(method, y.key, y.condition, y.scale),
            (column_name(x.condition, x.key), column_name(y.condition, y.key)),
        )
        for method in scores.methods
    ]


def draw_point(ax: Axes, point: Point, style: Style) -> None:
    """A marker with a cross of two intervals; hollow after temperature."""
    hollow = point.stage == AFTER
    ax.errorbar(
        point.x.mean,
        point.y.mean,
        xerr=point.x.half_width,
        yerr=point.y.half_width,
        color=style.color,
        marker=style.marker,
        markersize=6.5,
        markerfacecolor="white" if hollow else style.color,
        markeredgewidth=1.2,
        elinewidth=0.8,
        zorder=2 if hollow else 3,
    )


@dataclass(frozen=True)
class Scatter:
    """Points on one pair of axes."""

    points: Sequence[Point]
    x: Column
    y: Column


def points_drawing(name: str, scatters: Sequence[Scatter], styles: Mapping[str, Style]) -> Drawing:
    """One pair of axes a scatter, below each other; they share what is to the right."""
    points = [point for scatter in scatters for point in scatter.points]
    methods = {point.method: styles[point.method] for point in points}
    stages = [BEFORE, AFTER] if any(point.stage for point in points) else []

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(len(scatters), 1, sharex=True, squeeze=False)
        for ax, scatter in zip(axes.flat, scatters, strict=True):
            for point in scatter.points:
                draw_point(ax, point, styles[point.method])
            ax.set_ylabel(scatter.y.label)
            ax.set_ylim(_limits([point.y for point in scatter.points], scatter.y))
        axes[-1, 0].set_xlabel(scatters[-1].x.label)
        axes[-1, 0].set_xlim(_limits([point.x for point in points], scatters[-1].x))
        legend(figure, methods, lines=False, stages=stages)

    alt = " ".join(f"{scatter.y.label} against {scatter.x.label}." for scatter in scatters)
    height = (3.9 if len(scatters) == 1 else 1.95 * len(scatters)) + legend_height(methods)
    return Drawing(name, f"{alt} Methods: {', '.join(methods)}.", points, height, paint)


def _limits(intervals: Sequence[Interval], column: Column) -> tuple[float, float]:
    """From the lowest to the highest end of an interval, as far as values are possible at all, and a little air."""
    low = max(min(interval.low for interval in intervals), 0.0)
    high = max(interval.high for interval in intervals)
    if column.metric.unit == "%":
        high = min(high, 100.0)
    air = 0.06 * (high - low) or 0.5
    return low - air, high + air
