"""Two parts of a diagnosis's page: mixup's Taylor expansion, and decision surfaces in the plane."""

from collections.abc import Mapping, Sequence
from typing import Any

from calmix.experiment.statistics import interval
from calmix.report.figures.derivatives import prepare_reach, prepare_sizes, reach_drawing, sizes_drawing
from calmix.report.figures.surface import prepare_planes, surface_drawing
from calmix.report.page import PageTable, Section
from calmix.report.style import styles
from calmix.report.tables import Cell, Row, Table, number, seeds

_DERIVATIVES_CAPTION = (
    "Mixup's loss is the loss on clean rows plus a sum of derivatives along the way from each row to its partner, one "
    "term an order, where that series converges. Smooth networks were trained with each method, and Mixup's loss was "
    "expanded on pairs of training rows. Sizes are means of absolute values, so that pairs do not cancel; a steep "
    "network with right answers and a flat one with doubtful answers can have the same first term of the loss, so look "
    "at those of the outputs, too. The last figure says how far the series reaches: where more orders lack more, "
    "it does not reach the partners."
)
_SURFACE_CAPTION = (
    "The network of the first seed, asked at every point of the plane: coloured where it is sure of a class, white "
    "where it is not. Accuracy and ECE are those of the test split"
)


def derivatives_section(found: Mapping[str, Any]) -> Section:
    """What `directional_derivatives` found, as a part of a page."""
    methods = list(dict.fromkeys(run["method"] for run in found["runs"]))
    shown = styles(methods)
    drawings = [
        sizes_drawing("taylor-loss", prepare_sizes(found), shown),
        sizes_drawing("taylor-outputs", prepare_sizes(found, "output_sizes"), shown),
        reach_drawing("taylor-reach", prepare_reach(found)),
    ]
    return Section("Mixup as derivatives", _DERIVATIVES_CAPTION, drawings, [_terms_table(found, methods)])


def surface_section(found: Mapping[str, Any]) -> Section:
    """What `decision_surfaces` found, as a part of a page."""
    planes = prepare_planes(found)
    count = planes[0].accuracy.count
    spread = f", means over {seeds(count)} with 95 % intervals." if count > 1 else ", of one seed."
    return Section("Decision surfaces", _SURFACE_CAPTION + spread, [surface_drawing("surfaces", planes)])


def _terms_table(found: Mapping[str, Any], methods: Sequence[str]) -> PageTable:
    """Of the trained networks, with whole ways to the partners."""
    orders = found["orders"]
    headings = ["Clean loss", "Mixup's loss", "Term 1", "Size of term 1", "Slope of outputs", f"Lacking after {orders}"]
    rows = []
    for method in methods:
        runs = [run for run in found["reach"] if run["method"] == method and run["part"] == 1]
        values = [
            [run["clean"] for run in runs],
            [run["mixup"] for run in runs],
            [run["terms"][0] for run in runs],
            [run["sizes"][0] for run in runs],
            [run["output_sizes"][0] for run in runs],
            [run["remainders"][-1] for run in runs],
        ]
        rows.append(Row(method, [_cell(column) for column in values]))
    note = (
        f"Mixup's loss with alpha = {found['alpha']:g} on {found['pairs']} pairs of training rows, whatever the "
        "network was trained with. Lacking: the loss minus its expansion. ± is half of the 95 % interval over seeds."
    )
    return PageTable("Taylor terms of trained networks", Table(headings, rows, []), note=note)


def _cell(values: Sequence[float]) -> Cell:
    found = interval(values)
    digits = 3 if abs(found.mean) < 10 else 1
    spread = f"± {number(found.half_width, digits)}" if found.count > 1 else ""
    return Cell(number(found.mean, digits), spread)
