"""Claimed against observed: reliability diagrams before and after temperature.

B  bins
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
from calmix.metrics.tensors import Array
from calmix.report.drawing import CsvRow, Drawing, wrapped
from calmix.report.style import Style, darker

FEW = 0.01  # the share of rows below which a bar is pale
STEP = 64  # every which point of a smooth curve is drawn: 65 of 4,097
NOBODY = 0.05  # the density of rows below which there is no curve; evenly spread rows have a density of 1

RELIABILITY_CAPTION = (
    "A bar is the accuracy of the test rows in that bin of confidence; the hatched gap ends at their mean confidence. "
    "On the dashed line probabilities mean what they say; bars that end below it are over-confident, above it "
    "under-confident. Pale bars hold fewer than 1 % of the rows, as the counts underneath show. The line says the same "
    "without bins, smoothed as far as the rows allow, and is the thicker the more rows there are."
)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Claimed against observed, of the test rows of all seeds together."""

    method: str
    stage: str  # before | after temperature
    bins: Bins
    smooth: SmoothReliability
    claimed: str = "confidence"
    observed: str = "accuracy"

    def rows(self) -> Iterator[CsvRow]:
        bins = (self.bins.count.tolist(), self.bins.claimed.tolist(), self.bins.observed.tolist())
        said = {"method": self.method, "stage": self.stage}
        for count, claimed, observed in zip(*bins, strict=True):
            means = {self.claimed: claimed, self.observed: observed} if count else {}
            yield {**said, "kind": "bin", **means, "count": count}
        curve = (values[::STEP].tolist() for values in (self.smooth.claimed, self.smooth.observed, self.smooth.density))
        for claimed, observed, density in zip(*curve, strict=True):
            if density > NOBODY:
                yield {**said, "kind": "curve", self.claimed: claimed, self.observed: observed, "density": density}


def prepare_reliability(method: str, stage: str, seeds: Sequence[RowScores], bins: int = 15) -> Reliability:
    """Of the confidence in the answers."""
    rows = concat_rows(seeds)
    pair = rows.confidence, rows.correct
    return Reliability(method, stage, equal_width(*pair, bins), smooth_curve(*pair))


def prepare_positive(method: str, stage: str, p: Array, labels: Array, bins: int = 15) -> Reliability:
    """Of P(y = 1), (n,), and labels 0 or 1, (n,)."""
    shown = positive_reliability(p, labels, bins), positive_smooth_reliability(p, labels)
    return Reliability(method, stage, *shown, claimed="P(y = 1)", observed="share of ones")


def draw_reliability(ax: Axes, data: Reliability, style: Style) -> None:
    """A bar a bin, its accuracy, pale where few rows stand behind it; the hatched gap ends at its confidence.

    The line is the smooth curve, the thicker, the more rows there are.
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
    errors = f"ECE {100 * data.bins.expected_error():.2f} %, smooth {100 * data.smooth.error:.2f} %"
    ax.set(xlim=(0, 1), ylim=(0, 1), title=f"{data.stage}\n{errors}".strip())


def draw_smooth(ax: Axes, data: Reliability, style: Style) -> None:
    claimed, observed, density = (
        values[::STEP].numpy() for values in (data.smooth.claimed, data.smooth.observed, data.smooth.density)
    )
    shown = density > NOBODY
    points = np.stack([claimed, observed], 1)  # (P, 2)
    ends = shown[1:] & shown[:-1]
    pieces = np.stack([points[:-1], points[1:]], 1)[ends]  # (P - 1, 2, 2)
    widths = 0.8 + 2.4 * np.sqrt(density[1:].clip(0) / density.max())[ends]
    for extra, color in ((1.4, "white"), (0.0, darker(style.color))):
        ax.add_collection(LineCollection(list(pieces), linewidths=widths + extra, colors=color, capstyle="round"))


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

    errors = ", ".join(f"{100 * stage.bins.expected_error():.2f} % {stage.stage}".strip() for stage in stages)
    return Drawing(name, f"Reliability of {method}: ECE of the pooled rows {errors}.", stages, height=3.7, paint=paint)
