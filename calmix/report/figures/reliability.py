"""Claimed against observed: reliability diagrams before and after temperature.

B  bins
S  seeds
P  points of a smooth curve
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calmix.metrics import (
    Bins,
    RowScores,
    SmoothReliability,
    equal_width,
    positive_reliability,
    positive_smooth_reliability,
    smooth_curve,
)
from calmix.metrics.row_scores import concat_rows
from calmix.metrics.smooth import POINTS
from calmix.metrics.tensors import Array
from calmix.report.drawing import TITLE, CsvRow, Drawing, panels, panels_height, wrapped
from calmix.report.style import Style, darker

FEW = 0.01  # the share of rows below which a bar is pale
STEP = 64  # every which point of a smooth curve is drawn: 65 of 4,097
ENOUGH = 20  # rows that must support a point of a smooth curve

RELIABILITY_CAPTION = (
    "A bar is the accuracy of the test rows in that bin of confidence; the hatched gap ends at their mean confidence. "
    "On the dashed line probabilities mean what they say; bars that end below it are over-confident, above it "
    "under-confident. Pale bars hold fewer than 1 % of the rows, as the counts underneath show. The line says the same "
    f"without bins, smoothed as far as the rows allow, where at least {ENOUGH} rows support it."
)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Claimed against observed, of the test rows of all seeds together."""

    method: str
    stage: str  # before | after temperature
    bins: Bins
    smooth: SmoothReliability
    error: float  # the mean over seeds of their calibration errors
    band: NDArray[np.float64]  # (2, P) the lowest and the highest seed's curve; NaN where there are no two
    claimed: str = "confidence"
    observed: str = "accuracy"

    def rows(self) -> Iterator[CsvRow]:
        bins = (self.bins.count.tolist(), self.bins.claimed.tolist(), self.bins.observed.tolist())
        said = {"method": self.method, "stage": self.stage}
        for count, claimed, observed in zip(*bins, strict=True):
            means = {self.claimed: claimed, self.observed: observed} if count else {}
            yield {**said, "kind": "bin", **means, "count": count}
        claimed, observed, density = _curve(self.smooth)
        shown = self.supported
        for at in np.flatnonzero(shown):
            point = {self.claimed: float(claimed[at]), self.observed: float(observed[at])}
            low, high = self.band[:, at].tolist()
            ends = {} if np.isnan(low) else {"low": low, "high": high}
            yield {**said, "kind": "curve", **point, "density": float(density[at]), **ends}

    @property
    def supported(self) -> NDArray[np.bool_]:
        """(P,) whether ENOUGH rows stand behind a point of the curve."""
        return _supported(self.smooth, int(self.bins.count.sum()))


def prepare_reliability(
    method: str, stage: str, seeds: Sequence[RowScores], bins: int = 15, error: float | None = None
) -> Reliability:
    """Of the confidence in the answers.

    error: the mean over seeds of the calibration errors; None where it is not known yet.
    """
    rows = concat_rows(seeds)
    pair = rows.confidence, rows.correct
    smooth = smooth_curve(*pair)
    if error is None:
        errors = [equal_width(seed.confidence, seed.correct, bins).expected_error() for seed in seeds]
        error = sum(errors) / len(errors)
    return Reliability(method, stage, equal_width(*pair, bins), smooth, error, _band(seeds, smooth.bandwidth))


def _band(seeds: Sequence[RowScores], bandwidth: float) -> NDArray[np.float64]:
    """(2, P) between which the curves of the seeds lie, all smoothed alike."""
    curves = []  # (S, P)
    for seed in seeds if len(seeds) > 1 else ():
        smooth = smooth_curve(seed.confidence, seed.correct, bandwidth)
        curves.append(np.where(_supported(smooth, len(seed.confidence)), _curve(smooth)[1], np.nan))
    if not curves:
        return np.full((2, len(range(0, POINTS, STEP))), np.nan)
    held = np.array(curves)
    several = (~np.isnan(held)).sum(0) > 1
    low, high = np.where(np.isnan(held), np.inf, held).min(0), np.where(np.isnan(held), -np.inf, held).max(0)
    return np.where(several, np.array([low, high]), np.nan)


def _curve(smooth: SmoothReliability) -> tuple[NDArray[np.float64], ...]:
    """(P,) each: claimed, observed, density."""
    return tuple(values[::STEP].numpy() for values in (smooth.claimed, smooth.observed, smooth.density))


def _supported(smooth: SmoothReliability, rows: int) -> NDArray[np.bool_]:
    """(P,) whether the kernel's weights, as shares of its peak, sum to ENOUGH rows."""
    weights = rows * _curve(smooth)[2] * smooth.bandwidth * np.sqrt(2 * np.pi)
    return weights >= min(ENOUGH, rows)


def prepare_positive(
    method: str, stage: str, p: Array, labels: Array, bins: int = 15, bandwidth: float | None = None
) -> Reliability:
    """Of P(y = 1), (n,), and labels 0 or 1, (n,). bandwidth: of the smooth curve; None looks for its own."""
    found, smooth = positive_reliability(p, labels, bins), positive_smooth_reliability(p, labels, bandwidth)
    said = found.expected_error(), _band([], smooth.bandwidth)
    return Reliability(method, stage, found, smooth, *said, claimed="P(y = 1)", observed="share of ones")


def draw_reliability(ax: Axes, data: Reliability, style: Style) -> None:
    """`draw_bars` under the stage and its error."""
    draw_bars(ax, data, style)
    ax.set_title(f"{data.stage}\nECE {100 * data.error:.2f} %".strip())


def draw_bars(ax: Axes, data: Reliability, style: Style) -> None:
    """A bar a bin, its accuracy, pale where few rows stand behind it; the hatched gap ends at its confidence.

    The line is the smooth curve, the band that of the seeds.
    """
    count, claimed, observed = (values.numpy() for values in (data.bins.count, data.bins.claimed, data.bins.observed))
    full = count > 0
    left, width = _left_edges(data)[full], 1 / len(count)
    gap = (claimed - observed)[full]
    colors = [to_rgba(style.color, 0.45 if share >= FEW else 0.15) for share in count[full] / count.sum()]
    _bars(ax, left, width, observed[full], facecolors=colors, edgecolors="white")
    _bars(ax, left, width, gap, observed[full], facecolors="none", edgecolors="#888888", hatch="/////")
    ax.plot([0, 1], [0, 1], color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    draw_smooth(ax, data, style)
    ax.set(xlim=(0, 1), ylim=(0, 1))


def draw_smooth(ax: Axes, data: Reliability, style: Style) -> None:
    claimed, observed, _ = _curve(data.smooth)
    shown, (low, high) = data.supported, data.band
    banded = shown & ~np.isnan(low)
    color = darker(style.color)
    ax.fill_between(claimed, low, high, where=banded.tolist(), color=color, alpha=0.22, linewidth=0, zorder=2)
    points = np.stack([claimed, observed], 1)  # (P, 2)
    pieces = np.stack([points[:-1], points[1:]], 1)[shown[1:] & shown[:-1]]  # (P - 1, 2, 2)
    for width, shade in ((3.2, "white"), (1.8, color)):
        ax.add_collection(LineCollection(list(pieces), linewidths=width, colors=shade, capstyle="round", zorder=3))


def draw_counts(ax: Axes, data: Reliability, style: Style) -> None:
    """Which share of the rows lies in each bin."""
    share = 100 * data.bins.count.numpy() / data.bins.count.sum().item()
    _bars(ax, _left_edges(data), 1 / len(share), share, facecolors=to_rgba(style.color, 0.6), edgecolors="white")
    ax.set(xlim=(0, 1), ylim=(0, 100), xlabel=data.claimed, yticks=(0, 50, 100))


def _bars(
    ax: Axes, left: NDArray[Any], width: float, height: NDArray[Any], bottom: NDArray[Any] | float = 0.0, **looks: Any
) -> None:
    """Bars as one thing to draw, in a fraction of the time that one thing a bar takes."""
    x, low, high = np.broadcast_arrays(left, bottom, bottom + height)
    corners = [(x, low), (x + width, low), (x + width, high), (x, high)]
    ax.add_collection(PolyCollection(list(np.array(corners).transpose(2, 0, 1)), linewidths=0.5, **looks))  # (B, 4, 2)


def _left_edges(data: Reliability) -> NDArray[np.float64]:
    return np.arange(len(data.bins.count)) / len(data.bins.count)  # (B,)


def reliability_drawing(name: str, stages: Sequence[Reliability], style: Style) -> Drawing:
    """A diagram a stage, side by side."""
    method = stages[0].method

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(2, len(stages), sharex="col", sharey="row", height_ratios=(4, 1), squeeze=False)
        for (top, bottom), data in zip(axes.T, stages, strict=True):
            draw_reliability(top, data, style)
            draw_counts(bottom, data, style)
            bottom.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        axes[0, 0].set_ylabel(stages[0].observed)
        axes[1, 0].set_ylabel("rows, %")
        figure.suptitle(wrapped(method, 56), fontweight="bold", fontsize=9.5)

    errors = ", ".join(f"{100 * stage.error:.2f} % {stage.stage}".strip() for stage in stages)
    return Drawing(name, f"Reliability of {method}: ECE {errors}.", stages, height=3.7, paint=paint)


def small_drawing(name: str, alt: str, shown: Sequence[Reliability], style: Style) -> Drawing:
    """A small diagram a `method`, which here is a class or a label, under its name and its error."""
    names = [f"{_short(data.method)} ({100 * data.error:.1f} %)" for data in shown]

    def paint(figure: Figure) -> None:
        for ax, data in zip(panels(figure, names), shown, strict=True):
            draw_bars(ax, data, style)
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_ticks((0, 0.5, 1), ("0", "0.5", "1"))
        figure.supxlabel(shown[0].claimed)
        figure.supylabel(shown[0].observed)

    return Drawing(name, f"{alt}: {', '.join(names)}.", shown, panels_height(names) + 0.1, paint)


def _short(name: str) -> str:
    """So that the error fits beside it."""
    return name if len(name) <= TITLE - 9 else f"{name[: TITLE - 10]}…"
