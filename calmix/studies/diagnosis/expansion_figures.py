"""The terms of mixup's Taylor expansion: how large each order is while networks learn, and how far the series reaches.

S seeds, E measured epochs, P parts of the way to the partner, orders counted from 1
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from calmix.report.figures.drawing import Drawing, legend, legend_height, wrapped
from calmix.report.style import Style

QUANTITIES = {"sizes": "of the loss", "output_sizes": "of the outputs"}


@dataclass(frozen=True, eq=False)
class TermSizes:
    """E[a^k] / k! times the mean absolute directional derivative of order k, by epoch."""

    method: str
    quantity: str  # one of QUANTITIES
    order: int
    seeds: Sequence[int]
    epochs: NDArray[np.int64]  # (E,), 0 is the untrained network
    values: NDArray[np.float64]  # (S, E)

    def rows(self) -> Iterator[dict[str, Any]]:
        for seed, values in zip(self.seeds, self.values.tolist(), strict=True):
            for epoch, value in zip(self.epochs.tolist(), values, strict=True):
                yield {"method": self.method, "order": self.order, "seed": seed, "epoch": epoch, self.quantity: value}


@dataclass(frozen=True, eq=False)
class Reach:
    """What the expansion of a trained network up to an order lacks, for partners moved to a part of the way."""

    method: str
    orders: int
    seeds: Sequence[int]
    parts: NDArray[np.float64]  # (P,)
    lacking: NDArray[np.float64]  # (S, P, orders + 1) of order 0 ... orders: |remainder|

    def rows(self) -> Iterator[dict[str, Any]]:
        for seed, by_part in zip(self.seeds, self.lacking.tolist(), strict=True):
            for part, values in zip(self.parts.tolist(), by_part, strict=True):
                by_order = {f"lacking_{order}": value for order, value in enumerate(values)}
                yield {"method": self.method, "seed": seed, "part": part, **by_order}


def prepare_sizes(found: Mapping[str, Any], quantity: str = "sizes") -> list[TermSizes]:
    """One a method and order, from what `calmix.experiment.derivatives.directional_derivatives` found."""
    sizes = []
    for method, runs in _by_method(found["runs"]).items():
        seeds, epochs = _distinct(runs, "seed"), _distinct(runs, "epoch")
        values = np.array([run[quantity] for run in runs]).reshape(len(seeds), len(epochs), -1)
        for order in range(1, values.shape[2] + 1):
            sizes.append(TermSizes(method, quantity, order, seeds, np.array(epochs), values[..., order - 1]))
    return sizes


def prepare_reach(found: Mapping[str, Any]) -> list[Reach]:
    """One a method."""
    reach = []
    for method, runs in _by_method(found["reach"]).items():
        seeds, parts = _distinct(runs, "seed"), _distinct(runs, "part")
        lacking = np.abs([run["remainders"] for run in runs]).reshape(len(seeds), len(parts), -1)
        reach.append(Reach(method, found["orders"], seeds, np.array(parts), lacking))
    return reach


def draw_sizes(ax: Axes, data: TermSizes, style: Style) -> None:
    """The geometric mean over seeds against the epoch."""
    ax.plot(
        data.epochs,
        _geometric_mean(data.values),
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markeredgecolor="white",
        mew=0.4,
    )


def draw_reach(ax: Axes, data: Reach) -> None:
    """A line an order: what is lacking against the part of the way."""
    for order, values in enumerate(_geometric_mean(data.lacking).T):
        grey = 0.72 * (1 - order / data.orders)
        marker = "osD^vPX*"[order % 8]
        ax.plot(data.parts, values, color=str(grey), marker=marker, markeredgecolor="white", mew=0.4)
    ax.set_title(wrapped(data.method, 24), fontsize=8)


def sizes_drawing(name: str, sizes: Sequence[TermSizes], styles: Mapping[str, Style]) -> Drawing:
    """A panel an order, a line a method."""
    methods = {data.method: styles[data.method] for data in sizes}
    orders = sorted({data.order for data in sizes})
    what, ticks = QUANTITIES[sizes[0].quantity], _few(sizes[0].epochs)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(-(-len(orders) // 2), 2, sharex=True, squeeze=False)
        for ax, order in zip(axes.flat, orders, strict=False):
            for data in sizes:
                if data.order == order:
                    draw_sizes(ax, data, styles[data.method])
            ax.set_title(f"order {order}")
            ax.set_xscale("symlog", linthresh=1, linscale=0.4)
            ax.set_xticks(ticks, [str(epoch) for epoch in ticks])
            ax.xaxis.set_minor_locator(NullLocator())
            _log_axis(ax)
        for ax in axes.flat[len(orders) :]:
            ax.set_axis_off()
        for ax in axes[-1]:
            ax.set_xlabel("epoch")
        figure.supylabel(f"size of the term {what}", fontsize=8.5)
        legend(figure, methods)

    last = {data.method: _geometric_mean(data.values)[-1] for data in sizes if data.order == 1}
    alt = f"Sizes of the Taylor terms {what} of mixup by epoch; after the last epoch, order 1: "
    alt += ", ".join(f"{method} {value:.3g}" for method, value in last.items()) + "."
    return Drawing(name, alt, sizes, 1.0 + 1.45 * -(-len(orders) // 2) + legend_height(methods), paint)


def reach_drawing(name: str, reach: Sequence[Reach]) -> Drawing:
    """A panel a method, a line an order of the expansion."""
    columns = min(3, len(reach))
    lines = -(-len(reach) // columns)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for number, (ax, data) in enumerate(zip(axes.flat, reach, strict=False)):
            draw_reach(ax, data)
            ax.set_xscale("log", base=2)
            ax.set_xticks(data.parts, [_fraction(part) for part in data.parts])
            ax.xaxis.set_minor_locator(NullLocator())
            _log_axis(ax, subs=(1,))
            ax.yaxis.set_minor_locator(NullLocator())
            if number + columns >= len(reach):  # none below
                ax.tick_params(labelbottom=True)
                ax.set_xlabel("part of the way")
        for ax in axes.flat[len(reach) :]:
            ax.set_axis_off()
        figure.supylabel("|loss along the way - expansion|", fontsize=8.5)
        handles = axes.flat[0].get_lines()
        labels = ["clean loss alone"] + [f"up to order {order}" for order in range(1, reach[0].orders + 1)]
        figure.legend(handles, labels, loc="outside lower center", ncols=3)

    alt = f"What the Taylor expansion of the mixup loss lacks, by order and by part of the way, of {_names(reach)}."
    return Drawing(name, alt, reach, 0.8 + 1.75 * lines, paint)


def _by_method(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["method"], []).append(run)
    return found


def _distinct(runs: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return list(dict.fromkeys(run[name] for run in runs))


def _geometric_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.log(np.maximum(values, 1e-300)).mean(0))


def _few(epochs: NDArray[np.int64]) -> list[int]:
    """The first and every other epoch back from the last."""
    return [0, *epochs[:0:-2][::-1].tolist()] if len(epochs) > 5 else epochs.tolist()


def _fraction(part: float) -> str:
    return "1" if part == 1 else f"1/{1 / part:g}"


def _log_axis(ax: Axes, subs: Sequence[int] = (1, 2, 5)) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _names(reach: Sequence[Reach]) -> str:
    return ", ".join(data.method for data in reach)
