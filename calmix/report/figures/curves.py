"""A quantity along another, a line a method; and the risk of answering only where confident.

S  seeds
N  points of a curve
n  test rows
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from calmix.metrics import RowScores, risk_curve
from calmix.report.drawing import TOGETHER, CsvRow, Drawing, legend, legend_height, panels, panels_height
from calmix.report.style import Style


@dataclass(frozen=True)
class Quantity:
    """What an axis shows."""

    name: str  # in files
    label: str
    scale: float = 1.0  # what is stored times this is what is shown
    axis: Literal["linear", "log"] = "linear"
    whole: bool = False  # only whole numbers exist
    late: bool = False  # the axis shows where curves end, whatever they begin with


COVERAGE = Quantity("coverage", "answered, the most confident first: %, and how many rows", 100)
RISK = Quantity("risk", "wrong among them, %", 100)


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity of a method along another."""

    method: str
    along: Quantity
    quantity: Quantity
    seeds: Sequence[int]  # S of them
    x: NDArray[np.float64]  # (N,)
    values: NDArray[np.float64]  # (S, N)
    count: int = 0  # of the rows that are answered where x is 1; 0 where x is no share of rows

    def rows(self) -> Iterator[CsvRow]:
        for seed, values in zip(self.seeds, self.values.tolist(), strict=True):
            for x, value in zip(self.x.tolist(), values, strict=True):
                yield {"method": self.method, "seed": seed, self.along.name: x, self.quantity.name: value}


def prepare_risk(method: str, seeds: Sequence[int], rows: Sequence[RowScores]) -> Curve:
    """The risk where 20 %, 22 %, ... of the test rows are answered; where there are fewer, a single row decides."""
    coverage = np.linspace(0.2, 1, 41)

    def risk(of_seed: RowScores) -> NDArray[np.float64]:
        whole = risk_curve(of_seed.confidence, of_seed.correct).risk.numpy()  # (n,)
        return whole[np.ceil(coverage * len(whole) - 1e-9).astype(int) - 1]

    values = np.array([risk(of_seed) for of_seed in rows])
    return Curve(method, COVERAGE, RISK, seeds, coverage, values, len(rows[0].confidence))


def draw_curve(ax: Axes, data: Curve, style: Style) -> None:
    """The mean over seeds, marked at ten points or fewer; a thin line a seed."""
    if len(data.seeds) > 1:
        looks = {"colors": style.color, "linewidths": 0.5, "alpha": 0.35, "zorder": Line2D.zorder}
        ax.add_collection(LineCollection(list(_points(data, data.values)), **looks))  # one thing to draw
    ax.plot(
        *_points(data, data.values.mean(0)).T,
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markeredgecolor="white",
        mew=0.4,
        markevery=-(-len(data.x) // 10),
    )


def draw_behind(ax: Axes, curves: Sequence[Curve]) -> None:
    """The means over seeds in grey, for comparison."""
    means = [_points(curve, curve.values.mean(0))[:: -(-len(curve.x) // 40)] for curve in curves]
    ax.add_collection(LineCollection(means, colors="#c4c4c4", linewidths=0.7, zorder=Line2D.zorder))


def _points(curve: Curve, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., N, 2) of values (..., N), as they are shown."""
    return np.stack(np.broadcast_arrays(curve.along.scale * curve.x, curve.quantity.scale * values), -1)


def _late_limits(curves: Sequence[Curve], logarithmic: bool) -> tuple[float, float] | None:
    """The ends of an axis that holds the later half of all means and nearly all seeds; None where that is no zoom."""
    seeds = np.concatenate([curve.values[:, len(curve.x) // 2 :].ravel() for curve in curves])
    means = np.concatenate([curve.values.mean(0)[len(curve.x) // 2 :] for curve in curves])
    whole = np.concatenate([curve.values.ravel() for curve in curves])
    if logarithmic:
        seeds, means, whole = np.log(seeds), np.log(means), np.log(whole)
    low, high = min(np.quantile(seeds, 0.02), means.min()), max(np.quantile(seeds, 0.98), means.max())
    if high - low > 0.4 * (whole.max() - whole.min()) or high == low:
        return None
    air = 0.08 * (high - low)
    ends = np.array([low - air, high + air])
    low, high = curves[0].quantity.scale * (np.exp(ends) if logarithmic else ends)
    return float(low), float(high)


def curves_drawing(name: str, curves: Sequence[Curve], styles: Mapping[str, Style]) -> Drawing:
    """All curves on one pair of axes; of more than TOGETHER methods, each on its own before all others in grey."""
    along, quantity = curves[0].along, curves[0].quantity
    methods = {curve.method: styles[curve.method] for curve in curves}
    logarithmic = quantity.axis == "log" and min(curve.values.min() for curve in curves) > 0
    limits = _late_limits(curves, logarithmic) if quantity.late else None

    def scales(ax: Axes, shares: Sequence[int] = (20, 40, 60, 80, 100)) -> None:
        if curves[0].count:
            ax.set_xticks(shares, [f"{share}\n{curves[0].count * share / 100:,.0f}" for share in shares])
        if along.whole:
            ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        if logarithmic:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        if limits is not None:
            ax.set_ylim(limits)
        elif quantity is RISK:
            ax.set_ylim(bottom=0)

    def together(figure: Figure) -> None:
        ax = figure.add_subplot()
        for curve in curves:
            draw_curve(ax, curve, methods[curve.method])
        ax.set(xlabel=along.label, ylabel=quantity.label)
        scales(ax)
        legend(figure, methods)

    def apart(figure: Figure) -> None:
        for ax, curve in zip(panels(figure, list(methods)), curves, strict=True):
            draw_behind(ax, [other for other in curves if other is not curve])
            draw_curve(ax, curve, replace(methods[curve.method], marker="", line="-"))
            scales(ax, (20, 60, 100))
        figure.supxlabel(along.label)
        figure.supylabel(quantity.label)

    alt = f"{quantity.label} against {along.label}: {', '.join(methods)}."
    if len(curves) > TOGETHER:
        return Drawing(name, alt, curves, panels_height(list(methods)), apart)
    return Drawing(name, alt, curves, 2.9 + legend_height(methods), together)
