"""Wrong labels against distance, what each method mixes at which distance, and how wrong its labels are.

B bins of distance, L cells of lam
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

from calmix.report.drawing import PANELS, TITLE, CsvRow, Drawing, panels, panels_height, wrapped
from calmix.report.style import Style
from calmix.results.catalogue import METRICS, Column
from calmix.results.scores import Scores
from calmix.results.statistics import Interval
from calmix.studies.diagnosis.conditions import CELLS, CONTROLS, ORACLES, POPULATIONS, SHARES, SPACES
from calmix.studies.diagnosis.findings import Place, bins_of, measured, methods_of, over_seeds, pair_bins

_MARKERS = ("o", "s", "^", "D", "v", "P")  # of shares
_CONTROL_MARKERS = {"none": "o", "shuffled": "s", "shuffled_within": "D"}


def _label(metric: str) -> str:
    return Column(METRICS[metric]).label


# --------------------------------------------------------------------------- wrong labels against distance


@dataclass(frozen=True, eq=False)
class Rise:
    """One measure of how wrong labels are, over bins of distance; NaN where a bin is empty."""

    place: Place
    metric: str
    distance: NDArray[np.float64]  # (B,)
    mean: NDArray[np.float64]  # (B,), a fraction
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def rows(self) -> Iterator[CsvRow]:
        columns = (self.distance, self.mean, self.low, self.high)
        for number, values in enumerate(zip(*(column.tolist() for column in columns), strict=True), start=1):
            found = dict(zip(("distance", self.metric, "low", "high"), values, strict=True))
            yield {**self.place._asdict(), "bin": number, **found}


def prepare_rises(scores: Scores, space: str, metric: str, populations: Sequence[str]) -> list[Rise]:
    """One for each oracle, population and share that every seed has."""
    places = [
        Place(oracle, space, population, share) for oracle in ORACLES for population in populations for share in SHARES
    ]
    return [_rise(scores, place, metric) for place in places if measured(scores, place)]


def _rise(scores: Scores, place: Place, metric: str) -> Rise:
    found = pair_bins(scores, place, metric)
    ends = (
        np.array([np.nan if one is None else getattr(one, end) for one in found]) for end in ("mean", "low", "high")
    )
    distance = [np.nan if one is None else one.mean for one in pair_bins(scores, place, "distance")]
    return Rise(place, metric, np.array(distance), *ends)


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
    oracles = list(dict.fromkeys(rise.place.oracle for rise in rises))
    populations = list(dict.fromkeys(rise.place.population for rise in rises))
    colors = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(SHARES)))  # dark to light, in colour and in grey
    looks = dict(zip(SHARES, zip(colors, _MARKERS, strict=True), strict=True))
    metric, space = rises[0].metric, SPACES[rises[0].place.space]

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(len(oracles), len(populations), sharex=True, sharey=True, squeeze=False)
        for rise in rises:
            ax = axes[oracles.index(rise.place.oracle), populations.index(rise.place.population)]
            draw_rise(ax, rise, *looks[rise.place.share])
        for ax, population in zip(axes[0], populations, strict=True):
            ax.set_title(POPULATIONS[population])
        for row, oracle in zip(axes, oracles, strict=True):
            row[0].set_ylabel(f"oracle: {ORACLES[oracle]}")
            row[0].set_ylim(bottom=0)
        for ax in axes[-1]:
            ax.set_xlabel("squared distance over its mean")  # supxlabel would lie under the legend
        figure.supylabel(_label(metric))
        figure.suptitle(f"distance: {space}", fontweight="bold", fontsize=9.5)
        handles = [Line2D([], [], color=color, marker=marker) for color, marker in looks.values()]
        names = [f"{share:g}" for share in looks]
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), title="share of the larger parent")

    alt = f"{_label(metric)}, against distance ({space}), for each share."
    return Drawing(name, alt, rises, 1.2 + 1.75 * len(oracles), paint)


# --------------------------------------------------------------------------------- lam against distance


@dataclass(frozen=True, eq=False)
class LamByDistance:
    """How strongly a method mixes at which distance: bins hold equally many random pairs, the nearest first."""

    method: str
    space: str
    histogram: NDArray[np.float64]  # (B, L), mixes; cells of the smaller share from 0 to 1/2
    mean: NDArray[np.float64]  # (B,), of the smaller share

    def rows(self) -> Iterator[CsvRow]:
        cells = self.histogram.shape[1]
        for place, counts in enumerate(self.histogram.tolist()):
            for cell, count in enumerate(counts):
                ends = {"share_from": cell / 2 / cells, "share_to": (cell + 1) / 2 / cells}
                named = {"method": self.method, "space": self.space, "bin": place + 1}
                yield {**named, **ends, "mixes": count, "mixing": self.mean[place]}


def prepare_lam(scores: Scores, method: str, space: str) -> LamByDistance:
    """Mixes are added up over seeds; the mean of a bin is the mean over the seeds that have mixes there."""
    histogram, means = [], []
    for number in range(1, bins_of(scores) + 1):
        path = f"lam/{space}/{number}"
        histogram.append([sum(scores.values(method, "mixes", f"{path}/cell/{c}")) for c in range(1, CELLS + 1)])
        mean = over_seeds(scores, method, "mixing", path)
        means.append(np.nan if mean is None else mean.mean)
    return LamByDistance(method, space, np.array(histogram, float), np.array(means))


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
    methods, bins, space = [one.method for one in data], len(data[0].mean), SPACES[data[0].space]

    def paint(figure: Figure) -> None:
        for ax, one in zip(panels(figure, methods), data, strict=True):
            draw_lam(ax, one)
        figure.supxlabel(f"distance, {space}\n1: the nearest of {bins} equal parts of all pairs")
        figure.supylabel("share of the smaller parent")

    alt = f"How strongly {', '.join(methods)} mix at which distance ({space})."
    rows = -(-len(methods) // PANELS)
    return Drawing(name, alt, data, panels_height(methods) + 0.25 * rows + 0.25, paint)


# ------------------------------------------------------------------------------ each method's wrong labels


@dataclass(frozen=True)
class Wrong:
    """A method's mean of a measure, as it mixes or under a control; a fraction."""

    method: str
    oracle: str
    metric: str
    control: str
    value: Interval

    def rows(self) -> Iterator[CsvRow]:
        named = {"method": self.method, "oracle": self.oracle, "metric": self.metric, "control": self.control}
        yield {**named, **vars(self.value)}


def prepare_wrong(scores: Scores, oracle: str, metrics: Sequence[str]) -> list[Wrong]:
    """What one oracle says of every method's labels."""
    return [
        Wrong(method, oracle, metric, control, scores.interval(method, metric, f"labels/{oracle}/{control}"))
        for metric in metrics
        for method in methods_of(scores)
        for control in CONTROLS
    ]


def draw_wrong(ax: Axes, one: Wrong, height: float, style: Style) -> None:
    """A marker with its interval, at a height."""
    ax.errorbar(
        100 * one.value.mean,
        height,
        xerr=100 * one.value.half_width,
        color=style.color,
        marker=_CONTROL_MARKERS[one.control],
        markerfacecolor=_face(one.control, style.color),
        markersize=5,
        elinewidth=0.9,
    )


def wrong_drawing(name: str, data: Sequence[Wrong], styles: Mapping[str, Style]) -> Drawing:
    """A panel a measure, a row a method: filled as it mixes, hollow under the controls."""
    metrics = list(dict.fromkeys(one.metric for one in data))
    methods = list(dict.fromkeys(one.method for one in data))
    controls = list(CONTROLS)

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for one in data:
            height = methods.index(one.method) + 0.22 * (controls.index(one.control) - 1)
            draw_wrong(axes[metrics.index(one.metric)], one, height, styles[one.method])
        for ax, metric in zip(axes, metrics, strict=True):
            ax.set_xlabel(wrapped(_label(metric), 20))
            ax.set_xlim(left=0)
            ax.grid(visible=False, axis="y")
        axes[0].set_yticks(range(len(methods)), [wrapped(method, TITLE) for method in methods])
        axes[0].set_ylim(len(methods) - 0.4, -0.6)
        figure.suptitle(f"oracle: {ORACLES[data[0].oracle]}", fontweight="bold", fontsize=9.5)
        handles = [
            Line2D([], [], color="#555555", linestyle="", marker=marker, markerfacecolor=_face(control))
            for control, marker in _CONTROL_MARKERS.items()
        ]
        figure.legend(handles, list(CONTROLS.values()), loc="outside lower center", ncols=1)

    said = f"By {ORACLES[data[0].oracle]}: how wrong the labels of {', '.join(methods)} are"
    alt = f"{said}, and those of the same lams on random pairs."
    return Drawing(name, alt, data, 1.6 + 0.55 * len(methods), paint)


def _face(control: str, color: str = "#555555") -> str:
    return color if control == "none" else "white"
