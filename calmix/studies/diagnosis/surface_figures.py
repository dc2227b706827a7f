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
from calmix.report.drawing import PANELS, Drawing, wrapped
from calmix.report.tables import mean_cell, seeds
from calmix.results.catalogue import ACCURACY, ECE, Column
from calmix.results.scores import Scores
from calmix.results.statistics import Interval
from calmix.studies.diagnosis.surface import Surface

_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")  # of classes
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_SURE = 0.9  # the confidence of the thin lines


@dataclass(frozen=True, eq=False)
class Plane:
    """What networks trained with one method say of the plane (the first seed's), and how right they are (all seeds)."""

    method: str
    x: NDArray[np.float64]  # (w,)
    y: NDArray[np.float64]  # (h,)
    probs: NDArray[np.float64]  # (h, w, K)
    points: NDArray[np.float64]  # (n, 2)
    labels: NDArray[np.int64]  # (n,)
    classes: Sequence[str]
    features: Sequence[str]  # the two axes
    accuracy: Interval
    ece: Interval

    def rows(self) -> Iterator[dict[str, Any]]:
        for i, y in enumerate(self.y.tolist()):
            for j, x in enumerate(self.x.tolist()):
                probs = dict(zip(self.classes, self.probs[i, j].tolist(), strict=True))
                yield {"method": self.method, self.features[0]: x, self.features[1]: y, **probs}


def prepare_plane(
    scores: Scores, method: str, surface: Surface, train: Split, classes: Sequence[str], features: Sequence[str]
) -> Plane:
    """A method's surface with the training points, and its scores under `plane`."""
    return Plane(
        method=method,
        x=surface.x.double().numpy(),
        y=surface.y.double().numpy(),
        probs=surface.probs.double().numpy(),
        points=train.x.double().numpy(),
        labels=train.y.numpy(),
        classes=classes,
        features=features,
        accuracy=scores.interval(method, "accuracy", "plane"),
        ece=scores.interval(method, "ece", "plane"),
    )


def draw_plane(ax: Axes, data: Plane) -> None:
    """In a class's colour where the network is sure of it, else white; its border, and where it is 90 % sure."""
    ordered = np.sort(data.probs, 2)
    colors = np.array([to_rgb(_COLORS[k % len(_COLORS)]) for k in range(data.probs.shape[2])])  # (K, 3)
    least = 1 / data.probs.shape[2]
    sure = np.clip((ordered[..., -1:] - least) / (1 - least), 0, 1)  # (h, w, 1)
    image = 1 - 0.7 * sure * (1 - colors[data.probs.argmax(2)])
    step_x, step_y = (np.diff(values[:2])[0] / 2 for values in (data.x, data.y))
    extent = (data.x[0] - step_x, data.x[-1] + step_x, data.y[0] - step_y, data.y[-1] + step_y)
    ax.imshow(image, origin="lower", extent=extent, aspect="equal", interpolation="bilinear")
    for k in range(1, data.probs.shape[2]):
        rest = np.delete(data.probs, k, 2).max(2)
        _contour(ax, data, data.probs[..., k] - rest, 0, linewidths=1.2)
    _contour(ax, data, ordered[..., -1], _SURE, linewidths=0.7, linestyles="dashed")
    for k in range(data.probs.shape[2]):
        points = data.points[data.labels == k]
        ax.scatter(
            *points.T, s=7, marker=_MARKERS[k % len(_MARKERS)], color=colors[k], edgecolors="white", linewidths=0.3
        )
    ax.set(xticks=(), yticks=(), xlim=(data.x[0], data.x[-1]), ylim=(data.y[0], data.y[-1]))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    numbers = f"accuracy {_percent(ACCURACY, data.accuracy)}\nECE {_percent(ECE.with_digits(1), data.ece)}"
    ax.set_title(f"{wrapped(data.method, 26)}\n{numbers}", fontsize=8)


def _contour(ax: Axes, data: Plane, values: NDArray[np.float64], level: float, **look: Any) -> None:
    """The line where values (h, w) cross the level, if they do anywhere."""
    if values.min() < level < values.max():
        ax.contour(data.x, data.y, values, [level], colors="black", **look)


def surface_drawing(name: str, planes: Sequence[Plane]) -> Drawing:
    """All methods side by side."""
    columns = min(PANELS, len(planes))
    lines = -(-len(planes) // columns)
    ratio = np.ptp(planes[0].y) / np.ptp(planes[0].x)

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
    return Drawing(name, alt, planes, 0.65 + lines * (0.48 + 4.6 / columns * ratio), paint)


def _percent(column: Column, interval: Interval) -> str:
    cell = mean_cell(column, interval)
    return f"{cell.value} {cell.spread}".rstrip() + " %"
