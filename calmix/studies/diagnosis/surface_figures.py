"""Decision surfaces: every point in the colour of the most probable class, the paler the less sure the network is.

n training points, K classes, w by h grid points
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from calmix.data import Split
from calmix.report.drawing import PANELS, CsvRow, Drawing, wrapped
from calmix.report.tables import mean_cell, seeds
from calmix.results.catalogue import ACCURACY, ECE, Column
from calmix.results.statistics import Interval
from calmix.studies.diagnosis.surface import Surface

_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")  # of classes
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_SURE = 0.9  # the confidence of the thin lines


@dataclass(frozen=True, eq=False)
class Plane:
    """What networks trained with one method say of the plane (the first seed's), and how right they are (all seeds)."""

    method: str
    surface: Surface
    train: Split  # of the first seed
    classes: Sequence[str]
    features: Sequence[str]  # the two axes
    accuracy: Interval
    ece: Interval

    def rows(self) -> Iterator[CsvRow]:
        for y, along in zip(self.surface.y.tolist(), self.surface.probs.tolist(), strict=True):
            for x, probs in zip(self.surface.x.tolist(), along, strict=True):
                named = {"method": self.method, self.features[0]: x, self.features[1]: y}
                yield {**named, **dict(zip(self.classes, probs, strict=True))}


def draw_plane(ax: Axes, data: Plane) -> None:
    """In a class's colour where the network is sure of it, else white; its border, and where it is 90 % sure."""
    x, y, probs = (values.double().numpy() for values in (data.surface.x, data.surface.y, data.surface.probs))
    classes = probs.shape[2]
    ordered = np.sort(probs, 2)
    colors = np.array([to_rgb(_COLORS[k % len(_COLORS)]) for k in range(classes)])  # (K, 3)
    sure = np.clip((ordered[..., -1:] - 1 / classes) / (1 - 1 / classes), 0, 1)  # (h, w, 1)
    image = 1 - 0.7 * sure * (1 - colors[probs.argmax(2)])
    step_x, step_y = (np.diff(values[:2])[0] / 2 for values in (x, y))
    extent = (x[0] - step_x, x[-1] + step_x, y[0] - step_y, y[-1] + step_y)
    ax.imshow(image, origin="lower", extent=extent, aspect="equal", interpolation="bilinear")

    def contour(values: NDArray[np.float64], level: float, **look: Any) -> None:
        """The line where values (h, w) cross the level, if they do anywhere."""
        if values.min() < level < values.max():
            ax.contour(x, y, values, [level], colors="black", **look)

    for k in range(1, classes):
        contour(probs[..., k] - np.delete(probs, k, 2).max(2), 0, linewidths=1.2)
    contour(ordered[..., -1], _SURE, linewidths=0.7, linestyles="dashed")
    for k in range(classes):
        look = {"s": 7, "marker": _MARKERS[k % len(_MARKERS)], "color": colors[k]}
        ax.scatter(*data.train.x[data.train.y == k].double().numpy().T, edgecolors="white", linewidths=0.3, **look)
    ax.set(xticks=(), yticks=(), xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    numbers = f"accuracy {_percent(ACCURACY, data.accuracy)}\nECE {_percent(ECE.with_digits(1), data.ece)}"
    ax.set_title(f"{wrapped(data.method, 26)}\n{numbers}", fontsize=8)


def surface_drawing(name: str, planes: Sequence[Plane]) -> Drawing:
    """All methods side by side."""
    columns = min(PANELS, len(planes))
    lines = -(-len(planes) // columns)
    high, wide = (np.ptp(values.double().numpy()) for values in (planes[0].surface.y, planes[0].surface.x))

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, columns, squeeze=False)
        for ax, plane in zip(axes.flat, planes, strict=False):
            draw_plane(ax, plane)
        for ax in axes.flat[len(planes) :]:
            ax.set_axis_off()
        classes = planes[0].classes
        handles = [
            Line2D([], [], color=_COLORS[k % len(_COLORS)], marker=_MARKERS[k % len(_MARKERS)], linestyle="")
            for k in range(len(classes))
        ]
        handles += [Line2D([], [], color="black", lw=1.2), Line2D([], [], color="black", lw=0.7, linestyle="dashed")]
        labels = [*classes, "border", f"{100 * _SURE:.0f} % sure"]
        figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=1.8)

    count = planes[0].accuracy.count
    each = (f"{plane.method} {100 * plane.accuracy.mean:.1f} % and {100 * plane.ece.mean:.1f} %" for plane in planes)
    over = f" over {seeds(count)}" if count > 1 else ""
    alt = f"Decision surfaces, with test accuracy and ECE{over}: {', '.join(each)}."
    return Drawing(name, alt, planes, 0.65 + lines * (0.48 + 4.0 / columns * high / wide), paint)


def _percent(column: Column, interval: Interval) -> str:
    cell = mean_cell(column, interval)
    return f"{cell.value} {cell.spread}".rstrip() + " %"
