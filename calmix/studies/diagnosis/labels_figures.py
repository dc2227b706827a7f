"""Wrong labels against distance, what each method mixes at which distance, and how wrong its labels are.

B bins of distance, G shares, L cells of lam
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from calmix.experiment.statistics import Interval
from calmix.report.figures.drawing import PANELS, TITLE, Drawing, panels, panels_height, wrapped
from calmix.report.style import Style

ORACLE_NAMES = {"network": "a network", "neighbours": "nearest neighbours"}
SPACE_NAMES = {"inputs": "inputs", "embedding": "oracle's embedding"}
PAIR_NAMES = {
    "all": "all pairs",
    "different": "different classes",
    "sound": "different classes, both ends agreed",
}
MEASURE_NAMES = {
    "neither": "neither parent's class, %",
    "excess": "avoidable error of the label, %",
    "hard": "mass off the oracle's class, %",
    "mass": "mass off the oracle's answer, %",
}
DEAL_NAMES = {
    "own": "as the method mixes",
    "dealt": "same lams, random pairs",
    "dealt_within": "same lams, random pairs of the same kind",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DEAL_MARKERS = {"own": "o", "dealt": "s", "dealt_within": "D"}


# --------------------------------------------------------------------------- wrong labels against distance


@dataclass(frozen=True, eq=False)
class Rise:
    """One measure of how wrong labels are, over bins of distance, at one share of the larger parent."""

    oracle: str
    space: str
    pairs: str
    measure: str
    share: float
    distance: NDArray[np.float64]  # (B,)
    mean: NDArray[np.float64]  # (B,), a fraction
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def rows(self) -> Iterator[dict[str, Any]]:
        columns = (self.distance, self.mean, self.low, self.high)
        for number, values in enumerate(zip(*(column.tolist() for column in columns), strict=True), start=1):
            named = {"oracle": self.oracle, "space": self.space, "pairs": self.pairs, "share": self.share}
            yield {**named, "bin": number, **dict(zip(("distance", self.measure, "low", "high"), values, strict=True))}


def prepare_rises(entries: Sequence[Mapping[str, Any]], space: str, measure: str, pairs: Sequence[str]) -> list[Rise]:
    """Of a diagnosis's `mismatch`, the entries of one space and measure."""
    return [
        Rise(
            entry["oracle"],
            space,
            entry["pairs"],
            measure,
            entry["share"],
            np.array(entry["distance"], float),
            *(np.array([np.nan if b is None else b[end] for b in entry["bins"]]) for end in ("mean", "low", "high")),
        )
        for entry in entries
        if (entry["space"], entry["measure"]) == (space, measure) and entry["pairs"] in pairs
    ]


def draw_rise(ax: Axes, data: Rise, color: Any, marker: str) -> None:
    """A line over the bins' mean distances, with an interval at each."""
    ax.errorbar(
        data.distance,
        100 * data.mean,
        yerr=100 * np.stack([data.mean - data.low, data.high - data.mean]).clip(min=0),
        color=color,
        marker=marker,
        markersize=3.5,
        linewidth=1.2,
        elinewidth=0.8,
    )


def rises_drawing(name: str, rises: Sequence[Rise]) -> Drawing:
    """A row of panels an oracle, a column a population of pairs, a line a share."""
    oracles = list(dict.fromkeys(rise.oracle for rise in rises))
    pairs = list(dict.fromkeys(rise.pairs for rise in rises))
    shares = sorted({rise.share for rise in rises})
    looks = {
        share: (color, marker) for share, color, marker in zip(shares, _colors(len(shares)), _MARKERS, strict=False)
    }

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(len(oracles), len(pairs), sharex=True, sharey=True, squeeze=False)
        for rise in rises:
            draw_rise(axes[oracles.index(rise.oracle), pairs.index(rise.pairs)], rise, *looks[rise.share])
        for ax, population in zip(axes[0], pairs, strict=True):
            ax.set_title(PAIR_NAMES[population])
        for row, oracle in zip(axes, oracles, strict=True):
            row[0].set_ylabel(f"oracle: {ORACLE_NAMES[oracle]}")
            row[0].set_ylim(bottom=0)
        for ax in axes[-1]:
            ax.set_xlabel("squared distance over its mean")  # supxlabel would lie under the legend
        figure.supylabel(MEASURE_NAMES[rises[0].measure])
        figure.suptitle(f"distance: {SPACE_NAMES[rises[0].space]}", fontweight="bold", fontsize=9.5)
        handles = [Line2D([], [], color=color, marker=marker) for color, marker in looks.values()]
        names = [f"{share:g}" for share in looks]
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), title="share of the larger parent")

    alt = f"{MEASURE_NAMES[rises[0].measure]} against distance ({SPACE_NAMES[rises[0].space]}), for each share."
    return Drawing(name, alt, rises, 1.2 + 1.75 * len(oracles), paint)


def _colors(count: int) -> list[Any]:
    """Dark to light, in colour and in grey."""
    return [mpl.colormaps["viridis"](place) for place in np.linspace(0, 0.85, count)]


# --------------------------------------------------------------------------------- lam against distance


@dataclass(frozen=True, eq=False)
class LamByDistance:
    """How strongly a method mixes at which distance: bins hold equally many random pairs, the nearest first."""

    method: str
    space: str
    histogram: NDArray[np.float64]  # (B, L), mixes; cells of the smaller share from 0 to 1/2
    mean: NDArray[np.float64]  # (B,), of the smaller share

    def rows(self) -> Iterator[dict[str, Any]]:
        cells = self.histogram.shape[1]
        for place, counts in enumerate(self.histogram.tolist()):
            for cell, count in enumerate(counts):
                ends = {"share_from": cell / 2 / cells, "share_to": (cell + 1) / 2 / cells}
                named = {"method": self.method, "space": self.space, "bin": place + 1}
                yield {**named, **ends, "mixes": count, "mean_share": self.mean[place]}


def prepare_lam(entry: Mapping[str, Any], space: str) -> LamByDistance:
    """Of a diagnosis's `methods`, one entry."""
    lam = entry["lam"][space]
    means = [np.nan if one is None else one["mean"] for one in lam["mean"]]
    return LamByDistance(entry["method"], space, np.array(lam["histogram"], float), np.array(means, float))


def draw_lam(ax: Axes, data: LamByDistance) -> None:
    """The darker, the more of a bin's mixes have that share; the line is their mean."""
    total = data.histogram.sum(1, keepdims=True)
    portion = np.divide(data.histogram, total, out=np.zeros_like(data.histogram), where=total > 0)  # (B, L)
    bins = len(portion)
    ax.imshow(
        portion.T, origin="lower", extent=(0.5, bins + 0.5, 0, 0.5), aspect="auto", cmap="Blues", vmin=0, vmax=0.6
    )
    ax.plot(range(1, bins + 1), data.mean, color="#D55E00", marker="o", markeredgecolor="white", mew=0.5)
    ax.set(xlim=(0.5, bins + 0.5), ylim=(0, 0.5), xticks=range(1, bins + 1), yticks=(0, 0.25, 0.5))
    ax.grid(visible=False)


def lam_drawing(name: str, data: Sequence[LamByDistance]) -> Drawing:
    """A panel a method."""
    methods = [one.method for one in data]
    bins = len(data[0].mean)

    def paint(figure: Figure) -> None:
        for ax, one in zip(panels(figure, methods), data, strict=True):
            draw_lam(ax, one)
        figure.supxlabel(f"distance, {SPACE_NAMES[data[0].space]}: 1 the nearest of {bins} equal parts of all pairs")
        figure.supylabel("share of the smaller parent")

    alt = f"How strongly {', '.join(methods)} mix at which distance ({SPACE_NAMES[data[0].space]})."
    rows = -(-len(methods) // PANELS)
    return Drawing(name, alt, data, panels_height(methods) + 0.25 * rows + 0.25, paint)


# ------------------------------------------------------------------------------ each method's wrong labels


@dataclass(frozen=True)
class Wrong:
    """A method's mean of a measure, as it mixes or under a control; a fraction."""

    method: str
    oracle: str
    measure: str
    deal: str
    value: Interval

    def rows(self) -> Iterator[dict[str, Any]]:
        value = {"mean": self.value.mean, "low": self.value.low, "high": self.value.high}
        yield {"method": self.method, "oracle": self.oracle, "measure": self.measure, "labels": self.deal, **value}


def prepare_wrong(methods: Sequence[Mapping[str, Any]], oracle: str, measures: Sequence[str]) -> list[Wrong]:
    """Of a diagnosis's `methods`, what one oracle says."""
    return [
        Wrong(entry["method"], oracle, measure, deal, Interval(**entry["wrong"][oracle][measure][deal]))
        for measure in measures
        for entry in methods
        for deal in DEAL_NAMES
    ]


def wrong_drawing(name: str, data: Sequence[Wrong], styles: Mapping[str, Style]) -> Drawing:
    """A panel a measure, a row a method: filled as it mixes, hollow under the controls."""
    measures = list(dict.fromkeys(one.measure for one in data))
    methods = list(dict.fromkeys(one.method for one in data))
    deals = list(dict.fromkeys(one.deal for one in data))

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for one in data:
            ax = axes[measures.index(one.measure)]
            place = methods.index(one.method) + 0.22 * (deals.index(one.deal) - 1)
            draw_wrong(ax, one, place, styles[one.method])
        for ax, measure in zip(axes, measures, strict=True):
            ax.set_xlabel(wrapped(MEASURE_NAMES[measure], 20))
            ax.set_xlim(left=0)
            ax.grid(visible=False, axis="y")
        axes[0].set_yticks(range(len(methods)), [wrapped(method, TITLE) for method in methods])
        axes[0].set_ylim(len(methods) - 0.4, -0.6)
        handles = [
            Line2D([], [], color="#555555", linestyle="", marker=_DEAL_MARKERS[deal], markerfacecolor=_face(deal))
            for deal in deals
        ]
        figure.legend(handles, [DEAL_NAMES[deal] for deal in deals], loc="outside lower center", ncols=1)

    alt = f"How wrong the labels of {', '.join(methods)} are, and those of the same lams dealt to random pairs."
    return Drawing(name, alt, data, 1.4 + 0.55 * len(methods), paint)


def draw_wrong(ax: Axes, one: Wrong, place: float, style: Style) -> None:
    """A marker with its interval, at a height."""
    ax.errorbar(
        100 * one.value.mean,
        place,
        xerr=100 * one.value.half_width,
        color=style.color,
        marker=_DEAL_MARKERS[one.deal],
        markerfacecolor=_face(one.deal, style.color),
        markersize=5,
        elinewidth=0.9,
    )


def _face(deal: str, color: str = "#555555") -> str:
    return color if deal == "own" else "white"
