"""Figures: data first, then drawing. `prepare_*` returns what is shown, `draw_*` puts it on axes.

B  bins
S  seeds
E  epochs with a validation
n  test rows, pooled over seeds
"""

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from matplotlib import style as rc_style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from calmix.experiment.record import Predictions, Record
from calmix.experiment.statistics import Interval
from calmix.metrics import Bins, reliability
from calmix.report.results import Summary
from calmix.report.style import RC, Style
from calmix.report.tables import Column

WIDTH = 4.8  # inches: text keeps its size on a phone, and two figures stand beside each other on a desk
BEFORE, AFTER = "before temperature", "after temperature"
FEW = 0.01  # the share of rows below which a bar is pale


class Shown(Protocol):
    """The data of a figure."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """The same as a table, for those who draw it themselves."""
        ...


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn: its file name, what it shows in words, its data and its painter."""

    name: str
    alt: str
    data: Sequence[Shown]
    height: float  # inches
    paint: Callable[[Figure], object]
    width: float = WIDTH

    def save(self, *formats: str) -> list[bytes]:
        """The figure as files of these formats, `svg` or `png`; the same data give the same bytes."""
        with rc_style.context(RC, after_reset=True):
            figure = Figure((self.width, self.height), layout="constrained")
            self.paint(figure)
            return [_file(figure, format) for format in formats]


def _file(figure: Figure, format: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=200, metadata={"Date": None} if format == "svg" else None)
    return file.getvalue()


# -------------------------------------------------------------------------------------- reliability


@dataclass(frozen=True, eq=False)
class Reliability:
    """Claimed against observed, of the test rows of all seeds together."""

    method: str
    stage: str  # before | after temperature
    bins: Bins

    def rows(self) -> Iterator[dict[str, Any]]:
        bins = (self.bins.count.tolist(), self.bins.claimed.tolist(), self.bins.observed.tolist())
        for number, (count, claimed, observed) in enumerate(zip(*bins, strict=True), start=1):
            yield {
                "method": self.method,
                "stage": self.stage,
                "bin": number,
                "count": count,
                "confidence": claimed if count else "",
                "accuracy": observed if count else "",
            }


def prepare_reliability(method: str, seeds: Sequence[Predictions]) -> tuple[Reliability, Reliability]:
    """Before temperature, and after that of each seed's own run."""
    labels = np.concatenate([seed["labels"] for seed in seeds])
    before = np.concatenate([seed["probs"] for seed in seeds])
    after = torch.cat([torch.from_numpy(seed["logits"] / seed["temperature"]).softmax(1) for seed in seeds])
    return (
        Reliability(method, BEFORE, reliability(before, labels)),
        Reliability(method, AFTER, reliability(after, labels)),
    )


def draw_reliability(ax: Axes, data: Reliability, style: Style) -> None:
    """A bar a bin, its accuracy, pale where few rows stand behind it; the hatched gap ends at its confidence."""
    count, claimed, observed = (values.numpy() for values in (data.bins.count, data.bins.claimed, data.bins.observed))
    full = count > 0
    left, width = _left_edges(data)[full], 1 / len(count)
    gap = (claimed - observed)[full]
    colors = [to_rgba(style.color, 0.6 if share >= FEW else 0.2) for share in count[full] / count.sum()]
    ax.bar(left, observed[full], width, align="edge", color=colors, edgecolor="white", linewidth=0.5)
    ax.bar(
        left, gap, width, observed[full], align="edge", fill=False, edgecolor="#444444", hatch="/////", linewidth=0.5
    )
    ax.plot([0, 1], [0, 1], color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set(xlim=(0, 1), ylim=(0, 1), title=f"{data.stage}\nECE {100 * data.bins.expected_error():.2f} %")


def draw_counts(ax: Axes, data: Reliability, style: Style) -> None:
    """Which share of the rows lies in each bin."""
    share = 100 * data.bins.count.numpy() / data.bins.count.sum().item()
    ax.bar(
        _left_edges(data),
        share,
        1 / len(share),
        align="edge",
        color=to_rgba(style.color, 0.6),
        edgecolor="white",
        linewidth=0.5,
    )
    ax.set(xlim=(0, 1), ylim=(0, 100), xlabel="confidence", yticks=(0, 50, 100))


def _left_edges(data: Reliability) -> NDArray[np.float64]:
    return np.arange(len(data.bins.count)) / len(data.bins.count)  # (B,)


def reliability_drawing(name: str, stages: tuple[Reliability, Reliability], style: Style) -> Drawing:
    method = stages[0].method

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(4, 1))
        for (top, bottom), data in zip(axes.T, stages, strict=True):
            draw_reliability(top, data, style)
            draw_counts(bottom, data, style)
            bottom.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        axes[0, 0].set_ylabel("accuracy")
        axes[1, 0].set_ylabel("rows, %")
        figure.suptitle(_wrapped(method, 56), fontweight="bold", fontsize=9.5)

    before, after = (100 * stage.bins.expected_error() for stage in stages)
    alt = f"Reliability of {method}: ECE of the pooled rows {before:.2f} % before and {after:.2f} % after temperature."
    return Drawing(name, alt, stages, height=3.7, paint=paint)


# ---------------------------------------------------------------------------------- learning curves


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity of the validation split while a method trains."""

    method: str
    quantity: str  # loss | accuracy
    seeds: Sequence[int]  # S of them
    epochs: NDArray[np.int64]  # (E,), counted from 1
    values: NDArray[np.float64]  # (S, E)

    def rows(self) -> Iterator[dict[str, Any]]:
        for seed, values in zip(self.seeds, self.values.tolist(), strict=True):
            for epoch, value in zip(self.epochs.tolist(), values, strict=True):
                yield {"method": self.method, "seed": seed, "epoch": epoch, self.quantity: value}


def prepare_curve(runs: Sequence[Record], quantity: str) -> Curve:
    """The validation history of one method's runs; all have the same epochs."""
    points = [[entry for entry in run.history if "validation" in entry] for run in runs]
    return Curve(
        method=runs[0].method,
        quantity=quantity,
        seeds=[run.seed for run in runs],
        epochs=np.array([entry["epoch"] for entry in points[0]]),
        values=np.array([[entry["validation"][quantity] for entry in run] for run in points]),
    )


def draw_curve(ax: Axes, data: Curve, style: Style, scale: float = 1.0) -> None:
    """The mean over seeds; a thin line a seed."""
    if len(data.seeds) > 1:
        ax.plot(data.epochs, scale * data.values.T, color=style.color, linewidth=0.5, alpha=0.35)
    mean = scale * data.values.mean(0)
    ax.plot(
        data.epochs,
        mean,
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markeredgecolor="white",
        mew=0.4,
    )


def curves_drawing(name: str, curves: Sequence[Curve], styles: Mapping[str, Style]) -> Drawing:
    quantity = curves[0].quantity
    methods = {curve.method: styles[curve.method] for curve in curves}
    logarithmic = quantity == "loss" and all((curve.values > 0).all() for curve in curves)

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        for curve in curves:
            draw_curve(ax, curve, styles[curve.method], scale=100 if quantity == "accuracy" else 1)
        ax.set(xlabel="epoch", ylabel="validation accuracy, %" if quantity == "accuracy" else "validation loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        _legend(figure, methods)

    alt = f"Validation {quantity} against epoch of {', '.join(methods)}."
    return Drawing(name, alt, curves, 2.9 + _legend_height(methods), paint)


# ------------------------------------------------------------------------- one metric against another


@dataclass(frozen=True)
class Point:
    """A method's means and intervals in two metrics, in the units of their columns."""

    method: str
    stage: str  # "", or before | after temperature
    x: Interval
    y: Interval

    def rows(self) -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"method": self.method, "stage": self.stage}
        for axis, interval in (("x", self.x), ("y", self.y)):
            row |= {axis: interval.mean, f"{axis}_low": interval.low, f"{axis}_high": interval.high}
        yield row


def prepare_points(summaries: Sequence[Summary], x: Column, y: Column, stage: str = "") -> list[Point]:
    return [
        Point(summary.method, stage, x.shown(summary.metrics[x.name]), y.shown(summary.metrics[y.name]))
        for summary in summaries
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


def points_drawing(name: str, points: Sequence[Point], x: Column, y: Column, styles: Mapping[str, Style]) -> Drawing:
    methods = {point.method: styles[point.method] for point in points}

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        for point in points:
            draw_point(ax, point, styles[point.method])
        ax.set(xlabel=x.label, ylabel=y.label)
        ax.set_xlim(_limits([point.x for point in points], x))
        ax.set_ylim(_limits([point.y for point in points], y))
        stages = [BEFORE, AFTER] if any(point.stage for point in points) else []
        _legend(figure, methods, lines=False, stages=stages)

    alt = f"{y.label} against {x.label} of {', '.join(methods)}."
    return Drawing(name, alt, points, 3.3 + _legend_height(methods), paint)


def _limits(intervals: Sequence[Interval], column: Column) -> tuple[float, float]:
    """From the lowest to the highest end of an interval, as far as values are possible at all, and a little air."""
    low = max(min(interval.low for interval in intervals), 0.0)
    high = max(interval.high for interval in intervals)
    if column.unit == "%":
        high = min(high, 100.0)
    air = 0.06 * (high - low) or 0.5
    return low - air, high + air


# ---------------------------------------------------------------------------- predicted against observed


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a regression says of the test rows of all seeds, in the unit of the targets."""

    method: str
    predicted: NDArray[np.float64]  # (n,)
    observed: NDArray[np.float64]  # (n,)

    def rows(self) -> Iterator[dict[str, Any]]:
        for predicted, observed in zip(self.predicted.tolist(), self.observed.tolist(), strict=True):
            yield {"method": self.method, "predicted": predicted, "observed": observed}


def prepare_predicted(method: str, seeds: Sequence[Predictions]) -> Predicted:
    mean, targets = (np.concatenate([seed[name].ravel() for seed in seeds]) for name in ("mean", "targets"))
    return Predicted(method, mean, targets)


def draw_predicted(ax: Axes, data: Predicted, style: Style) -> None:
    """A dot a row; on the dashed line, prediction and observation agree."""
    alpha = float(np.clip(10 / np.sqrt(len(data.observed)), 0.05, 0.7))
    ax.scatter(data.observed, data.predicted, s=10, color=style.color, alpha=alpha, linewidths=0, rasterized=True)
    ax.axline((0, 0), slope=1, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set(xlabel="observed", ylabel="predicted", aspect="equal")


def predicted_drawing(name: str, data: Predicted, limits: tuple[float, float], style: Style) -> Drawing:
    """`limits`: the lowest and the highest number of all methods, so that all panels have the same axes."""
    air = 0.04 * (limits[1] - limits[0]) or 0.5

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        draw_predicted(ax, data, style)
        ax.set(xlim=(limits[0] - air, limits[1] + air), ylim=(limits[0] - air, limits[1] + air))
        ax.set_title(_wrapped(data.method, 34), fontweight="bold")

    return Drawing(name, f"Predicted against observed, {data.method}.", [data], 3.2, paint, width=3.0)


# ------------------------------------------------------------------------------------------ what they share


def _legend(figure: Figure, methods: Mapping[str, Style], lines: bool = True, stages: Sequence[str] = ()) -> None:
    """Below the axes, where it covers nothing. `stages` are shown as filled and hollow."""
    handles = [
        Line2D([], [], color=style.color, marker=style.marker, linestyle=style.line if lines else "")
        for style in methods.values()
    ]
    names = [_wrapped(method, 60) for method in methods]
    for stage in stages:
        face = "white" if stage == AFTER else "#777777"
        handles.append(Line2D([], [], color="#777777", marker="o", linestyle="", markerfacecolor=face))
        names.append(stage)
    columns, length = _legend_columns(methods), 3 if lines else 1
    figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=length)


def _legend_columns(methods: Mapping[str, Style]) -> int:
    longest = max(map(len, methods))
    return 3 if longest < 16 else 2 if longest < 28 else 1


def _legend_height(methods: Mapping[str, Style]) -> float:
    return 0.18 * (len(methods) // _legend_columns(methods) + 2)  # inches


def _wrapped(label: str, width: int) -> str:
    return textwrap.fill(label, width)
