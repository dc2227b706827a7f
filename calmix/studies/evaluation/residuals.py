"""Residuals of a regression: against the predictions, and in units of the predicted standard deviations.

n  rows, of all targets
B  bins
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from calmix.metrics import Bins, equal_mass
from calmix.metrics.tensors import Array, cpu_tensor
from calmix.report.drawing import CsvRow, Drawing
from calmix.report.style import Style
from calmix.results.catalogue import power_of, powered

PARTS = 10  # of equally many rows, of each of which the mean residual is shown
PIT_BINS = 20
MOST_POINTS = 1000  # of a quantile plot

RESIDUALS_CAPTION = (
    "A dot is a row. Left: on the dashed line the prediction is right. Right: the residual, which is the true value "
    f"minus the predicted one. The line is the mean residual of {PARTS} parts with equally many rows: where it lies "
    "above zero, predictions of that size are too low, and where it lies below zero, too high."
)
STANDARDISED_CAPTION = (
    "A standardised residual is a residual divided by the predicted standard deviation. Left: sorted standardised "
    "residuals against the quantiles of a normal distribution. On the dashed line the errors are what the predictions "
    "claim; dots that rise more steeply mean standard deviations that are too small, a flatter rise ones that are too "
    "large, and ends that bend away from the line mean more extreme errors than a normal distribution has. Right: how "
    "much of the predicted distribution lies below the true value (the probability integral transform, PIT). Bars of "
    "equal height are right. High bars at both ends mean standard deviations that are too small, a hump in the middle "
    "ones that are too large, and a slope predictions that are too low (rising) or too high (falling). If the "
    "predicted distributions are right, 95 of 100 bars end in the grey band."
)


@dataclass(frozen=True, eq=False)
class Residuals:
    """True minus predicted value of every row, in the unit of the targets, and the means of PARTS parts."""

    predicted: NDArray[np.float64]  # (n,)
    residual: NDArray[np.float64]  # (n,)
    means: Bins  # of the residuals, by predicted value

    def rows(self) -> Iterator[CsvRow]:
        for predicted, residual in zip(self.predicted.tolist(), self.residual.tolist(), strict=True):
            yield {"kind": "row", "predicted": predicted, "residual": residual, "rows": 1}
        found = self.means.claimed.tolist(), self.means.observed.tolist(), self.means.count.tolist()
        for predicted, residual, count in zip(*found, strict=True):
            yield {"kind": "mean", "predicted": predicted, "residual": residual, "rows": count}


def prepare_residuals(mean: Array, targets: Array) -> Residuals:
    """Of all targets together, where rows have several."""
    predicted, observed = (cpu_tensor(values).double().flatten() for values in (mean, targets))
    residual = observed - predicted
    means = equal_mass(predicted, residual, min(PARTS, len(residual)))
    return Residuals(predicted.numpy(), residual.numpy(), means)


def draw_residuals(ax: Axes, data: Residuals, style: Style, power: int = 0) -> None:
    """`power`: of ten, in which numbers are shown."""
    predicted, residual = (values / 10.0**power for values in (data.predicted, data.residual))
    alpha = float(np.clip(10 / np.sqrt(len(residual)), 0.05, 0.7))
    ax.scatter(predicted, residual, s=10, color=style.color, alpha=alpha, linewidths=0, rasterized=True)
    ax.axhline(0, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    means = data.means.claimed.numpy() / 10.0**power, data.means.observed.numpy() / 10.0**power
    ax.plot(*means, color="#D55E00", marker="o", markeredgecolor="white", mew=0.4)
    ax.set(xlabel=powered("predicted", power), ylabel=powered("true minus predicted", power))


def residuals_drawing(name: str, data: Residuals, style: Style) -> Drawing:
    power = power_of(float(max(np.abs(data.predicted).max(), np.abs(data.residual).max())))

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        draw_residuals(ax, data, style, power)
        ax.set_title("residuals", fontweight="bold")

    return Drawing(name, "Residuals against predicted values, with their means.", [data], 3.2, paint, width=3.0)


@dataclass(frozen=True, eq=False)
class Standardised:
    """Sorted residuals over standard deviations against normal quantiles, and a histogram of the PIT.

    Of more than MOST_POINTS rows, quantiles of equally spaced ranks, the first and the last among them.
    """

    stage: str
    expected: NDArray[np.float64]  # quantiles (i - 1/2) / n of N(0, 1)
    observed: NDArray[np.float64]  # (target - mean) / std, sorted
    shares: NDArray[np.float64]  # (PIT_BINS,) of the rows whose Phi(z) lies in a bin
    count: int  # n

    def rows(self) -> Iterator[CsvRow]:
        for expected, observed in zip(self.expected.tolist(), self.observed.tolist(), strict=True):
            yield {"stage": self.stage, "kind": "quantile", "expected": expected, "observed": observed}
        for number, share in enumerate(self.shares.tolist()):
            yield {"stage": self.stage, "kind": "pit", "from": number / PIT_BINS, "share": share}

    @property
    def band(self) -> tuple[float, float]:
        """Between which shares 95 of 100 bars lie if Phi(z) is uniform."""
        from scipy.stats import binom  # takes its time

        low, high = binom.ppf((0.025, 0.975), self.count, 1 / PIT_BINS) / self.count
        return float(low), float(high)


def prepare_standardised(stage: str, mean: Array, std: Array, targets: Array) -> Standardised:
    """Of all targets together, where rows have several."""
    means, stds, truth = (cpu_tensor(values).double().flatten().numpy() for values in (mean, std, targets))
    z = np.sort((truth - means) / stds)
    count = len(z)
    some = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    shares = np.histogram(ndtr(z), PIT_BINS, (0, 1))[0] / count
    return Standardised(stage, ndtri((some + 0.5) / count), z[some], shares, count)


def draw_quantiles(ax: Axes, data: Standardised, style: Style) -> None:
    ax.axline((0, 0), slope=1, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.scatter(data.expected, data.observed, s=8, color=style.color, linewidths=0)
    ax.set(xlabel="quantile of a normal distribution", ylabel="standardised residual")


def draw_pit(ax: Axes, data: Standardised, style: Style) -> None:
    edges = np.linspace(0, 1, PIT_BINS + 1)
    low, high = data.band
    ax.stairs(100 * data.shares, edges, fill=True, color=style.color, alpha=0.55)
    ax.axhspan(100 * low, 100 * high, color="#777777", alpha=0.3, linewidth=0, zorder=0)
    ax.axhline(100 / PIT_BINS, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set(xlim=(0, 1), xlabel="distribution below the truth", ylabel="share of rows, %")
    ax.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))


def standardised_drawing(name: str, data: Standardised, style: Style) -> Drawing:
    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        draw_quantiles(left, data, style)
        draw_pit(right, data, style)
        figure.suptitle(data.stage, fontweight="bold", fontsize=9.5)

    alt = f"Standardised residuals {data.stage} against normal quantiles, and the histogram of their PIT."
    return Drawing(name, alt, [data], 2.6, paint)
