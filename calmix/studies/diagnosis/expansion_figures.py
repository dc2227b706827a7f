"""The terms of mixup's Taylor series: how large each order is while networks learn, and how far the series reaches.

S seeds, P measured epochs or parts of the way to the partner
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from calmix.report.drawing import PANELS, CsvRow, Drawing, legend, legend_height, wrapped
from calmix.report.sentences import joined
from calmix.report.style import Style
from calmix.results.catalogue import METRICS
from calmix.results.scores import Scores
from calmix.studies.diagnosis.findings import methods_of


@dataclass(frozen=True, eq=False)
class Terms:
    """A metric of a method's Taylor series by order, along the epochs of a training or along parts of the way."""

    method: str
    metric: str  # term_size, output_size or remainder
    along: str  # epoch or part
    seeds: Sequence[int]
    places: NDArray[np.float64]  # (P,), epochs (0 is the untrained network) or parts of the way
    orders: Sequence[int]
    values: NDArray[np.float64]  # (orders, P, S), without sign

    def rows(self) -> Iterator[CsvRow]:
        for number, seed in enumerate(self.seeds):
            for place, by_order in zip(self.places.tolist(), self.values[..., number].T.tolist(), strict=True):
                by_name = {f"{self.metric}_{order}": value for order, value in zip(self.orders, by_order, strict=True)}
                yield {"method": self.method, "seed": seed, self.along: place, **by_name}

    @property
    def means(self) -> NDArray[np.float64]:
        """The geometric means over seeds (orders, P)."""
        return np.exp(np.log(np.maximum(self.values, 1e-300)).mean(2))


def prepare_terms(found: Scores, metric: str, along: str) -> list[Terms]:
    """One a method, from the scores under `expansion` (along the epoch) or `reach` (along the part)."""
    places = top(found)
    orders = [order for order in range(orders_of(found) + 1) if metric in found.metrics(f"{places[0]}/{order}")]
    return [
        Terms(
            method,
            metric,
            along,
            found.seeds_of(method),
            np.array(places, float),
            orders,
            np.abs([[found.values(method, metric, f"{place}/{order}") for place in places] for order in orders]),
        )
        for method in methods_of(found)
    ]


def top(found: Scores) -> list[str]:
    """The conditions of the first level: epochs, or parts of the way."""
    return [condition for condition in found.conditions() if "/" not in condition]


def orders_of(found: Scores) -> int:
    """The highest order that was measured."""
    return len(found.conditions(top(found)[0])) - 1


def draw_sizes(ax: Axes, data: Terms, order: int, style: Style) -> None:
    """The mean size of the term of an order against the epoch."""
    means = data.means[data.orders.index(order)]
    look = {"color": style.color, "marker": style.marker, "linestyle": style.line}
    ax.plot(data.places, means, markeredgecolor="white", mew=0.4, **look)


def draw_reach(ax: Axes, data: Terms) -> None:
    """A line an order: what is lacking against the part of the way."""
    for order, means in zip(data.orders, data.means, strict=True):
        grey = 0.72 * (1 - order / data.orders[-1])
        marker = "osD^vPX*"[order % 8]
        ax.plot(data.places, means, color=str(grey), marker=marker, markeredgecolor="white", mew=0.4)
    ax.set_title(wrapped(data.method, 24), fontsize=8)


def sizes_drawing(name: str, sizes: Sequence[Terms], styles: Mapping[str, Style]) -> Drawing:
    """A panel an order, a line a method."""
    orders, what, ticks = sizes[0].orders, METRICS[sizes[0].metric].title, _few(sizes[0].places)
    lines = -(-len(orders) // 2)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, 2, sharex=True, squeeze=False)
        for ax, order in zip(axes.flat, orders, strict=False):
            for data in sizes:
                draw_sizes(ax, data, order, styles[data.method])
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
        legend(figure, styles)

    last = ", ".join(f"{data.method} {data.means[0, -1]:.3g}" for data in sizes)
    alt = f"{what}, by epoch; after the last epoch, order 1: {last}."
    return Drawing(name, alt, sizes, 1.0 + 1.45 * lines + legend_height(styles), paint)


def reach_drawing(name: str, reach: Sequence[Terms]) -> Drawing:
    """A panel a method, a line an order of the series."""
    columns = min(PANELS, len(reach))
    lines = -(-len(reach) // columns)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for number, (ax, data) in enumerate(zip(axes.flat, reach, strict=False)):
            draw_reach(ax, data)
            ax.set_xscale("log", base=2)
            ax.set_xticks(data.places, ["1" if part == 1 else f"1/{1 / part:g}" for part in data.places])
            ax.xaxis.set_minor_locator(NullLocator())
            _log_axis(ax, subs=(1,))
            ax.yaxis.set_minor_locator(NullLocator())
            if number + columns >= len(reach):  # none below
                ax.tick_params(labelbottom=True)
                ax.set_xlabel("part of the way")
        for ax in axes.flat[len(reach) :]:
            ax.set_axis_off()
        figure.supylabel("|loss along the way - series|", fontsize=8.5)
        labels = ["clean loss alone", *(f"up to order {order}" for order in reach[0].orders[1:])]
        figure.legend(axes.flat[0].get_lines(), labels, loc="outside lower center", ncols=3)

    names = joined([data.method for data in reach])
    alt = f"What the Taylor series of Mixup's loss lacks, by order and by part of the way, of {names}."
    return Drawing(name, alt, reach, 0.8 + 1.75 * lines, paint)


def _few(epochs: NDArray[np.float64]) -> list[int]:
    """The first and every other epoch back from the last."""
    shown = [0, *epochs[:0:-2][::-1]] if len(epochs) > 5 else epochs
    return [int(epoch) for epoch in shown]


def _log_axis(ax: Axes, subs: Sequence[int] = (1, 2, 5)) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
