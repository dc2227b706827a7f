"""What a batch of mixes looks like: pictures between their parents, or points between theirs.

m mixes that are shown, C channels, H x W pixels
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from calmix.report.drawing import CsvRow, Drawing, wrapped
from calmix.studies.diagnosis.mixes import MixedRows

SHOWN = 6  # pictures; of points all
_MARKERS = ("o", "s", "^", "D", "v", "P")
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


@dataclass(frozen=True, eq=False)
class Mixes:
    """Mixes of a batch in the order of distance, the nearest first; `rows` are their numbers, without the pixels."""

    method: str
    classes: Sequence[str]
    batch: MixedRows  # parents and mixes (m, H, W, 3) or (m, H, W) in [0, 1]; (m, 2) for points

    def rows(self) -> Iterator[CsvRow]:
        batch = self.batch
        for place, lam in enumerate(batch.lam.tolist()):
            yield {
                "method": self.method,
                "anchor": self.classes[int(batch.anchor_y[place])],
                "partner": self.classes[int(batch.partner_y[place])],
                "distance": float(batch.distance[place]),
                "tau": "" if batch.tau is None else float(batch.tau[place]),
                "lam": lam,
            }


def prepare_mixes(method: str, batch: MixedRows, classes: Sequence[str], count: int = SHOWN) -> Mixes:
    """`count` mixes at equal steps of the rank of distance, from the nearest to the farthest that are two rows; all of
    them for points."""
    order = batch.distance.argsort(stable=True)
    order = order[batch.distance[order] > 0] if (batch.distance > 0).any() else order  # a row with itself shows nothing
    images = batch.mixed.ndim == 4
    count = min(count, len(order)) if images else len(order)
    some = order[torch.linspace(0, len(order) - 1, count).round().long()]
    fields: dict[str, Any] = {name: None if value is None else value[some] for name, value in vars(batch).items()}
    picked = MixedRows(**fields)
    if images:
        low, high = _range(torch.cat([batch.anchor, batch.partner]))
        pictures = (_picture((rows - low) / (high - low)) for rows in (picked.anchor, picked.partner, picked.mixed))
        picked = replace(picked, **dict(zip(("anchor", "partner", "mixed"), pictures, strict=True)))
    return Mixes(method, classes, picked)


def _range(x: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each channel (1, C, 1, 1): black and white."""
    low, high = x.double().amin((0, 2, 3), keepdim=True), x.double().amax((0, 2, 3), keepdim=True)
    return low, torch.where(high > low, high, low + 1)


def _picture(shades: Tensor) -> Tensor:
    """(m, C, H, W) -> (m, H, W, 3), or (m, H, W) of a single channel."""
    last = shades.clamp(0, 1).permute(0, 2, 3, 1)
    return last if last.shape[-1] == 3 else last[..., 0]


def mixes_drawing(name: str, data: Mixes) -> Drawing:
    """Images: anchors above, mixes between, partners below. Points of a plane: each mix on the line of its parents."""
    images = data.batch.mixed.ndim > 2

    def paint(figure: Figure) -> None:
        if images:
            draw_images(figure, data)
        else:
            draw_points(figure, data)
        figure.suptitle(wrapped(data.method, 56), fontweight="bold", fontsize=9.5)

    strength = "" if data.batch.tau is None else ", tau"
    alt = f"Mixes of {data.method} with their parents, the nearest pair first, with distance{strength} and lam."
    return Drawing(name, alt, [data], 3.5 if images else 3.6, paint, photo=images)


def draw_images(figure: Figure, data: Mixes) -> None:
    axes: Any = figure.subplots(3, len(data.batch.lam), squeeze=False)
    for place, (column, row) in enumerate(zip(axes.T, data.rows(), strict=True)):
        for ax, pictures in zip(column, (data.batch.anchor, data.batch.mixed, data.batch.partner), strict=True):
            ax.imshow(pictures[place].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set(xticks=(), yticks=())
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
        tau = [] if data.batch.tau is None else [f"tau {_short(float(row['tau']))}"]
        column[0].set_title("\n".join([f"d {row['distance']:.2f}", *tau, f"lam {row['lam']:.2f}"]), fontsize=8)
        column[0].set_xlabel(_name(str(row["anchor"])), fontsize=7)
        column[2].set_xlabel(_name(str(row["partner"])), fontsize=7)
    for ax, label in zip(axes[:, 0], ("anchor", "mix", "partner"), strict=True):
        ax.set_ylabel(label)


def draw_points(figure: Figure, data: Mixes) -> None:
    """Parents by class; each mix on the line between them, the darker the closer to half and half."""
    ax, batch = figure.add_subplot(), data.batch
    ends = torch.stack([batch.anchor, batch.partner], 1).double().numpy()  # (m, 2, 2)
    ax.add_collection(LineCollection(list(ends), colors="#BBBBBB", linewidths=0.6, zorder=1))
    parents = torch.cat([batch.anchor, batch.partner]).double().numpy()
    y = torch.cat([batch.anchor_y, batch.partner_y]).numpy()
    for place, name in enumerate(data.classes):
        color, marker = _COLORS[place % 6], _MARKERS[place % 6]
        ax.scatter(*parents[y == place].T, s=12, color=color, marker=marker, alpha=0.6, linewidths=0, label=_name(name))
    smaller = torch.minimum(batch.lam, 1 - batch.lam).double().numpy()
    look = {"cmap": "Greys", "vmin": -0.1, "vmax": 0.5, "edgecolors": "black", "linewidths": 0.5, "zorder": 3}
    dots = ax.scatter(*batch.mixed.double().numpy().T, s=22, c=smaller, **look)
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
