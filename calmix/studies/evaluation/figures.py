"""Whether the standard deviations of a regression are what its errors are.

B  bins, or levels
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calmix.metrics import quantile_reliability, variance_reliability
from calmix.metrics.tensors import Array
from calmix.report.drawing import CsvRow, Drawing
from calmix.report.style import Style
from calmix.results.catalogue import power_of, powered

SPREAD_CAPTION = (
    "Left: rows with similar standard deviations, and how large their errors are. On the dashed line errors are as "
    "large as the predictions claim, above it larger (over-confident). Right: how often the truth lies below the "
    "predicted quantile. On the dashed line it does so as often as the prediction claims. A curve that is flatter than "
    "the line means intervals that are too narrow, a steeper one intervals that are too wide."
)


@dataclass(frozen=True, eq=False)
class Spread:
    """Claimed against observed, a point a bin or a level."""

    kind: str  # deviation | quantile
    claimed: NDArray[np.float64]  # (B,)
    observed: NDArray[np.float64]  # (B,)

    def rows(self) -> Iterator[CsvRow]:
        for claimed, observed in zip(self.claimed.tolist(), self.observed.tolist(), strict=True):
            yield {"kind": self.kind, "claimed": claimed, "observed": observed}


def prepare_deviation(mean: Array, std: Array, targets: Array, bins: int = 15) -> Spread:
    """Root mean variance against root mean squared error, in bins of equal mass."""
    found = variance_reliability(mean, std, targets, bins)
    held = found.count > 0
    return Spread("deviation", found.claimed[held].sqrt().numpy(), found.observed[held].sqrt().numpy())


def prepare_quantile(mean: Array, std: Array, targets: Array) -> Spread:
    """Levels 0.01 to 0.99 against the share of targets below."""
    found = quantile_reliability(mean, std, targets)
    return Spread("quantile", found.claimed.numpy(), found.observed.numpy())


def draw_spread(ax: Axes, data: Spread, style: Style, power: int = 0) -> None:
    """`power`: of ten, in which numbers are shown."""
    marker = style.marker if data.kind == "deviation" else ""
    ax.axline((0, 0), slope=1, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    claimed, observed = (values / 10.0**power for values in (data.claimed, data.observed))
    ax.plot(claimed, observed, color=style.color, marker=marker, markeredgecolor="white", mew=0.4)


def spread_drawing(name: str, deviation: Spread, quantile: Spread, style: Style, stage: str = "") -> Drawing:
    highest = float(max(deviation.claimed.max(), deviation.observed.max()))
    power = power_of(highest)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        draw_spread(left, deviation, style, power)
        high = 1.06 * highest / 10.0**power
        left.set(xlim=(0, high), ylim=(0, high))
        left.set_xlabel(powered("claimed standard deviation", power))
        left.set_ylabel(powered("root mean squared error", power))
        draw_spread(right, quantile, style)
        right.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the quantile", ylabel="share of targets below")
        for axis in (right.xaxis, right.yaxis):
            axis.set_ticks((0, 0.5, 1), ("0", "0.5", "1"))
        figure.suptitle(stage, fontweight="bold", fontsize=9.5)

    alt = f"Claimed standard deviations {stage} against errors, and quantiles against shares of targets below."
    return Drawing(name, alt, [deviation, quantile], 2.7, paint)
