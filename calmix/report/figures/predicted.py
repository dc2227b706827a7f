"""Predicted against observed, of a regression.

n  test rows, pooled over seeds
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calmix.report.drawing import CsvRow, Drawing, wrapped
from calmix.report.style import Style
from calmix.results.catalogue import power_of, powered
from calmix.results.files import NamedArrays


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a regression says of the test rows of all seeds, in the unit of the targets."""

    method: str
    predicted: NDArray[np.float64]  # (n,)
    observed: NDArray[np.float64]  # (n,)

    def rows(self) -> Iterator[CsvRow]:
        for predicted, observed in zip(self.predicted.tolist(), self.observed.tolist(), strict=True):
            yield {"method": self.method, "predicted": predicted, "observed": observed}


def prepare_predicted(method: str, seeds: Sequence[NamedArrays]) -> Predicted:
    mean, targets = (np.concatenate([seed[name].ravel() for seed in seeds]) for name in ("mean", "targets"))
    return Predicted(method, mean, targets)


def draw_predicted(ax: Axes, data: Predicted, style: Style, power: int = 0) -> None:
    """A dot a row; on the dashed line, prediction and observation agree. Numbers are shown in this power of ten."""
    observed, predicted = (values / 10.0**power for values in (data.observed, data.predicted))
    alpha = float(np.clip(10 / np.sqrt(len(data.observed)), 0.05, 0.7))
    ax.scatter(observed, predicted, s=10, color=style.color, alpha=alpha, linewidths=0, rasterized=True)
    ax.axline((0, 0), slope=1, color="#222222", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set(xlabel=powered("observed", power), ylabel=powered("predicted", power), aspect="equal")


def predicted_drawing(name: str, data: Predicted, limits: tuple[float, float], style: Style) -> Drawing:
    """`limits`: the lowest and the highest number of all methods, so that all panels have the same axes."""
    power = power_of(max(map(abs, limits)))
    low, high = (limit / 10.0**power for limit in limits)
    air = 0.04 * (high - low) or 0.5

    def paint(figure: Figure) -> None:
        ax = figure.add_subplot()
        draw_predicted(ax, data, style, power)
        ax.set(xlim=(low - air, high + air), ylim=(low - air, high + air))
        ax.set_title(wrapped(data.method, 34), fontweight="bold")

    return Drawing(name, f"Predicted against observed, {data.method}.", [data], 3.2, paint, width=3.0)
