"""What a batch of mixes looks like: pictures between their parents, or points between theirs.

m mixes that are shown, C channels, H x W pixels
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calmix.report.drawing import Drawing, wrapped
from calmix.studies.diagnosis.mixes import MixedRows

SHOWN = 6  # pictures; of points all
_MARKERS = ("o", "s", "^", "D", "v", "P")
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


@dataclass(frozen=True, eq=False)
class Mixes:
    """Mixes of a batch in the order of distance, the nearest first; `rows` are their numbers, without the pixels."""

    method: str
    classes: Sequence[str]
    anchor: NDArray[np.float64]  # (m, H, W, 3) or (m, H, W) in [0, 1]; (m, 2) for points
    mixed: NDArray[np.float64]
    partner: NDArray[np.float64]
    anchor_y: NDArray[np.int64]  # (m,)
    partner_y: NDArray[np.int64]
    distance: NDArray[np.float64]  # (m,)
    tau: NDArray[np.float64] | None
    lam: NDArray[np.float64]

    def rows(self) -> Iterator[dict[str, Any]]:
        for place in range(len(self.lam)):
            yield {
                "method": self.method,
                "anchor": self.classes[int(self.anchor_y[place])],
                "partner": self.classes[int(self.partner_y[place])],
                "distance": float(self.distance[place]),
                "tau": "" if self.tau is None else float(self.tau[place]),
                "lam": float(self.lam[place]),
            }


def prepare_mixes(method: str, batch: MixedRows, classes: Sequence[str], count: int = SHOWN) -> Mixes:
    """`count` mixes at equal steps of the rank of distance, from the nearest to the farthest that are two rows; all of
    them for points."""
    order = batch.distance.argsort(stable=True)
    order = order[batch.distance[order] > 0] if (batch.distance > 0).any() else order  # a row with itself shows nothing
    images = batch.mixed.ndim == 4
    count = min(count, len(order)) if images else len(order)
    some = order[torch.linspace(0, len(order) - 1, count).round().long()]
    low, high = _range(torch.cat([batch.anchor, batch.partner])) if images else (0.0, 1.0)

    def shown(rows: torch.Tensor) -> NDArray[np.float64]:
        values = ((rows[some].double() - low) / (high - low)).clamp(0, 1) if images else rows[some].double()
        if images:
            values = values.permute(0, 2, 3, 1)
            values = values[..., 0] if values.shape[-1] != 3 else values
        return values.numpy()

    tau = None if batch.tau is None else batch.tau[some].double().numpy()
    return Mixes(
        method=method,
        classes=classes,
        anchor=shown(batch.anchor),
        mixed=shown(batch.mixed),
        partner=shown(batch.partner),
        anchor_y=batch.anchor_y[some].long().numpy(),
        partner_y=batch.partner_y[some].long().numpy(),
        distance=batch.distance[some].double().numpy(),
        tau=tau,
        lam=batch.lam[some].double().numpy(),
    )


def _range(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the largest value of each channel (1, C, 1, 1): black and white."""
    low, high = x.double().amin((0, 2, 3), keepdim=True), x.double().amax((0, 2, 3), keepdim=True)
    return low, torch.where(high > low, high, low + 1)


def mixes_drawing(name: str, data: Mixes) -> Drawing:
    """Images: anchors above, mixes between, partners below. Points of a plane: each mix on the line of its parents."""
    images = data.mixed.ndim > 2

    def paint(figure: Figure) -> None:
        if images:
            draw_images(figure, data)
        else:
            draw_points(figure, data)
        figure.suptitle(wrapped(data.method, 56), fontweight="bold", fontsize=9.5)

    strength = "" if data.tau is None else ", tau"
    alt = f"Mixes of {data.method} with their parents, the nearest pair first, with distance{strength} and lam."
    return Drawing(name, alt, [data], 3.5 if images else 3.6, paint)


def draw_images(figure: Figure, data: Mixes) -> None:
    axes: Any = figure.subplots(3, len(data.lam), squeeze=False)
    for place, column in enumerate(axes.T):
        for ax, rows in zip(column, (data.anchor, data.mixed, data.partner), strict=True):
            ax.imshow(rows[place], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set(xticks=(), yticks=())
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
        lines = [f"d {data.distance[place]:.2f}", f"lam {data.lam[place]:.2f}"]
        lines.insert(1, "" if data.tau is None else f"tau {_short(data.tau[place])}")
        column[0].set_title("\n".join(line for line in lines if line), fontsize=8)
        column[0].set_xlabel(_name(data.classes[int(data.anchor_y[place])]), fontsize=7)
        column[2].set_xlabel(_name(data.classes[int(data.partner_y[place])]), fontsize=7)
    for ax, label in zip(axes[:, 0], ("anchor", "mix", "partner"), strict=True):
        ax.set_ylabel(label)


def draw_points(figure: Figure, data: Mixes) -> None:
    """Parents by class; each mix on the line between them, the darker the closer to half and half."""
    ax = figure.add_subplot()
    ends = np.stack([data.anchor, data.partner], 1)  # (m, 2, 2)
    ax.add_collection(LineCollection(list(ends), colors="#BBBBBB", linewidths=0.6, zorder=1))
    parents, y = np.concatenate([data.anchor, data.partner]), np.concatenate([data.anchor_y, data.partner_y])
    for place, name in enumerate(data.classes):
        color, marker = _COLORS[place % 6], _MARKERS[place % 6]
        ax.scatter(*parents[y == place].T, s=12, color=color, marker=marker, alpha=0.6, linewidths=0, label=_name(name))
    smaller = np.minimum(data.lam, 1 - data.lam)
    look = {"cmap": "Greys", "vmin": -0.1, "vmax": 0.5, "edgecolors": "black", "linewidths": 0.5, "zorder": 3}
    dots = ax.scatter(*data.mixed.T, s=22, c=smaller, **look)
    levels = np.linspace(0, 0.5, 51)
    figure.colorbar(dots, ax=ax, label="mix: share of the smaller parent", boundaries=levels, ticks=(0, 0.25, 0.5))
    ax.set(xlabel="x1", ylabel="x2", aspect="equal")
    ax.legend(loc="upper right")


def _short(tau: float) -> str:
    """
    >>> _short(893.2), _short(0.0221), _short(9e-8)
    ('893', '0.022', '9e-8')
    """
    if 0.001 <= tau < 1e5:
        return f"{tau:.0f}" if tau >= 100 else f"{tau:.2g}"
    return f"{tau:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _name(name: str) -> str:
    return name if len(name) <= 11 else f"{name[:10]}…"
