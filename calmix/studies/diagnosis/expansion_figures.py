"""The terms of mixup's Taylor series: how large each order is while networks learn, and how far the series reaches.

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

from calmix.report.drawing import PANELS, Drawing, legend, legend_height, wrapped
from calmix.report.sentences import joined
from calmix.report.style import Style
from calmix.results.catalogue import METRICS
from calmix.results.scores import Scores
from calmix.studies.diagnosis.findings import methods_of


@dataclass(frozen=True, eq=False)
class TermSizes:
    """The size of one order's term by epoch: `term_size`, of the loss, or `output_size`, of the outputs."""

    method: str
    metric: str
    order: int
    seeds: Sequence[int]
    epochs: NDArray[np.int64]  # (E,), 0 is the untrained network
    values: NDArray[np.float64]  # (S, E)

    def rows(self) -> Iterator[dict[str, Any]]:
        for seed, values in zip(self.seeds, self.values.tolist(), strict=True):
            for epoch, value in zip(self.epochs.tolist(), values, strict=True):
                yield {"method": self.method, "order": self.order, "seed": seed, "epoch": epoch, self.metric: value}


@dataclass(frozen=True, eq=False)
class Reach:
    """What the series of a trained network up to an order lacks, for partners moved to a part of the way."""

    method: str
    seeds: Sequence[int]
    parts: NDArray[np.float64]  # (P,)
    lacking: NDArray[np.float64]  # (S, P, orders + 1) of order 0 ... orders: |remainder|

    @property
    def orders(self) -> int:
        return self.lacking.shape[2] - 1

    def rows(self) -> Iterator[dict[str, Any]]:
        for seed, by_part in zip(self.seeds, self.lacking.tolist(), strict=True):
            for part, values in zip(self.parts.tolist(), by_part, strict=True):
                by_order = {f"lacking_{order}": value for order, value in enumerate(values)}
                yield {"method": self.method, "seed": seed, "part": part, **by_order}


def prepare_sizes(expansion: Scores, metric: str) -> list[TermSizes]:
    """One a method and order, from the scores under `expansion`: their conditions are EPOCH and EPOCH/ORDER."""
    epochs = top(expansion)
    return [
        TermSizes(
            method,
            metric,
            order,
            expansion.seeds_of(method),
            np.array(epochs, int),
            np.array([expansion.values(method, metric, f"{epoch}/{order}") for epoch in epochs]).T,
        )
        for method in methods_of(expansion)
        for order in range(1, orders_of(expansion) + 1)
    ]


def prepare_reach(reach: Scores) -> list[Reach]:
    """One a method, from the scores under `reach`: their conditions are PART and PART/ORDER."""
    parts, orders = top(reach), range(orders_of(reach) + 1)
    found = []
    for method in methods_of(reach):
        lacking = [[reach.values(method, "remainder", f"{part}/{order}") for order in orders] for part in parts]
        by_seed = np.abs(np.array(lacking).transpose(2, 0, 1))
        found.append(Reach(method, reach.seeds_of(method), np.array(parts, float), by_seed))
    return found


def top(scores: Scores) -> list[str]:
    """The conditions of the first level: epochs, or parts of the way."""
    return [condition for condition in scores.conditions() if "/" not in condition]


def orders_of(scores: Scores) -> int:
    """The highest order that was measured."""
    return len(scores.conditions(top(scores)[0])) - 1


def draw_sizes(ax: Axes, data: TermSizes, style: Style) -> None:
    """The geometric mean over seeds against the epoch."""
    means = _geometric_mean(data.values)
    look = {"color": style.color, "marker": style.marker, "linestyle": style.line}
    ax.plot(data.epochs, means, markeredgecolor="white", mew=0.4, **look)


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
    what, ticks = METRICS[sizes[0].metric].title, _few(sizes[0].epochs)
    lines = -(-len(orders) // 2)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, 2, sharex=True, squeeze=False)
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
        figure.supylabel(what, fontsize=8.5)
        legend(figure, methods)

    last = {data.method: _geometric_mean(data.values)[-1] for data in sizes if data.order == 1}
    alt = f"{what}, by epoch; after the last epoch, order 1: "
    alt += ", ".join(f"{method} {value:.3g}" for method, value in last.items()) + "."
    return Drawing(name, alt, sizes, 1.0 + 1.45 * lines + legend_height(methods), paint)


def reach_drawing(name: str, reach: Sequence[Reach]) -> Drawing:
    """A panel a method, a line an order of the series."""
    columns = min(PANELS, len(reach))
    lines = -(-len(reach) // columns)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for number, (ax, data) in enumerate(zip(axes.flat, reach, strict=False)):
            draw_reach(ax, data)
            ax.set_xscale("log", base=2)
            ax.set_xticks(data.parts, ["1" if part == 1 else f"1/{1 / part:g}" for part in data.parts])
            ax.xaxis.set_minor_locator(NullLocator())
            _log_axis(ax, subs=(1,))
            ax.yaxis.set_minor_locator(NullLocator())
            if number + columns >= len(reach):  # none below
                ax.tick_params(labelbottom=True)
                ax.set_xlabel("part of the way")
        for ax in axes.flat[len(reach) :]:
            ax.set_axis_off()
        figure.supylabel("|loss along the way - series|", fontsize=8.5)
        labels = ["clean loss alone"] + [f"up to order {order}" for order in range(1, reach[0].orders + 1)]
        figure.legend(axes.flat[0].get_lines(), labels, loc="outside lower center", ncols=3)

    names = joined([data.method for data in reach])
    alt = f"What the Taylor series of Mixup's loss lacks, by order and by part of the way, of {names}."
    return Drawing(name, alt, reach, 0.8 + 1.75 * lines, paint)


def _geometric_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.log(np.maximum(values, 1e-300)).mean(0))


def _few(epochs: NDArray[np.int64]) -> list[int]:
    """The first and every other epoch back from the last."""
    return [0, *epochs[:0:-2][::-1].tolist()] if len(epochs) > 5 else epochs.tolist()


def _log_axis(ax: Axes, subs: Sequence[int] = (1, 2, 5)) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
