"""Near pairs only, far pairs only, all pairs: accuracy and calibration against the quantile of distance.

The motivating experiment of Similarity Kernel Mixup (arXiv 2311.01434). Q quantiles
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calmix.core.method import Method
from calmix.errors import CalmixError
from calmix.methods.quantile import QuantileBand
from calmix.methods.read import method_name, read_method
from calmix.report.drawing import CsvRow, Drawing
from calmix.report.style import NAMED
from calmix.results.catalogue import ACCURACY, ECE, SCALED_ECE, Column
from calmix.results.scores import Scores, column_name
from calmix.results.statistics import Interval

KINDS = {"near_mixup": "only pairs nearer than the quantile", "far_mixup": "only pairs farther", "mixup": "all pairs"}
COLUMNS = (ACCURACY, ECE, SCALED_ECE)


@dataclass(frozen=True)
class QuantilePoint:
    """A method's mean over seeds; quantile None for all pairs. Fractions."""

    kind: str  # of KINDS
    quantile: float | None
    column: Column
    value: Interval

    def rows(self) -> Iterator[CsvRow]:
        value = {"mean": self.value.mean, "low": self.value.low, "high": self.value.high, "seeds": self.value.count}
        yield {
            "kind": self.kind,
            "quantile": self.quantile or "",
            "metric": column_name(self.column.condition, self.column.key),
            **value,
        }


def quantile_of(method: str) -> tuple[str, float | None] | None:
    """Which pairs a method, as text, mixes; None where it is not one of these.

    >>> quantile_of("near_mixup(quantile=0.25)"), quantile_of("far_mixup"), quantile_of("mixup"), quantile_of("erm")
    (('near_mixup', 0.25), ('far_mixup', 0.5), ('mixup', None), None)
    """
    name = method_name(method)
    if name not in KINDS or (name == "mixup" and method.strip() != "mixup"):
        return None
    try:
        made = read_method(method)
    except CalmixError:  # a label of somebody's own
        return None
    if not isinstance(made, Method) or not isinstance(made.pairing, QuantileBand):
        return (name, None) if name == "mixup" else None
    return name, made.pairing.high if name == "near_mixup" else made.pairing.low


def prepare_quantiles(scores: Scores, columns: Sequence[Column] = COLUMNS) -> list[QuantilePoint]:
    """A point a method and column; methods of other kinds are left out. Empty where no method mixes near or far pairs
    alone.
    """
    methods = {method: quantile_of(method) for method in scores.methods}
    known = {method: found for method, found in methods.items() if found is not None}
    if all(quantile is None for _, quantile in known.values()):
        return []
    points = [
        QuantilePoint(kind, quantile, column, scores.interval(method, column.key, column.condition))
        for column in columns
        for method, (kind, quantile) in known.items()
    ]
    return sorted(points, key=lambda point: (columns.index(point.column), point.kind, point.quantile or 0))


def draw_quantiles(ax: Axes, points: Sequence[QuantilePoint]) -> None:
    """A line over the quantiles for near and for far pairs; all pairs are a level with its interval."""
    for kind in KINDS:
        style = NAMED[kind]
        some = [point for point in points if point.kind == kind]
        if not some:
            continue
        if kind == "mixup":
            value = some[0].value
            ax.axhspan(100 * value.low, 100 * value.high, color=style.color, alpha=0.25, linewidth=0)
            ax.axhline(100 * value.mean, color=style.color, linestyle=style.line)
            continue
        ax.errorbar(
            [point.quantile or 0.0 for point in some],
            [100 * point.value.mean for point in some],
            yerr=[100 * point.value.half_width for point in some],
            color=style.color,
            marker=style.marker,
            linestyle=style.line,
            elinewidth=0.9,
            capsize=2,
        )
    ax.set(xlim=(0, 1), xticks=np.linspace(0, 1, 5))


def quantiles_drawing(name: str, points: Sequence[QuantilePoint]) -> Drawing:
    """A panel a metric."""
    columns = list(dict.fromkeys(point.column for point in points))
    kinds = [kind for kind in KINDS if any(point.kind == kind for point in points)]

    def paint(figure: Figure) -> None:
        axes: Any = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for ax, column in zip(axes, columns, strict=True):
            draw_quantiles(ax, [point for point in points if point.column == column])
            ax.set_ylabel(column.label)
            if column.better < 0:
                ax.set_ylim(bottom=0)
        axes[-1].set_xlabel("quantile of the batch's distances")
        handles = [
            Line2D(
                [], [], color=NAMED[k].color, marker="" if k == "mixup" else NAMED[k].marker, linestyle=NAMED[k].line
            )
            for k in kinds
        ]
        figure.legend(handles, [KINDS[kind] for kind in kinds], loc="outside lower center", ncols=1, handlelength=3)

    alt = "Accuracy and calibration error of networks trained on near pairs only, far pairs only, and all pairs."
    return Drawing(name, alt, points, 0.9 + 1.7 * len(columns), paint)
