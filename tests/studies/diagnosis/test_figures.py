"""Figures of derivatives and surfaces: data first, and what the drawing shows is what the data say."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calmix.report.figures.derivatives import (
    draw_reach,
    draw_sizes,
    prepare_reach,
    prepare_sizes,
    reach_drawing,
    sizes_drawing,
)
from calmix.report.figures.surface import Plane, draw_plane, prepare_planes, surface_drawing
from calmix.report.style import styles
from calmix.report.theory import derivatives_section, surface_section

METHODS = ("erm", "mixup", "sk_mixup(tau_std=1.0)")
ORDERS, EPOCHS, PARTS = 4, (0, 1, 5), (1.0, 0.5, 0.25)


def run(method: str, seed: int, epoch: int, part: float) -> dict[str, Any]:
    sizes = [10.0**-order * (1 + seed) * (1 + epoch) for order in range(1, ORDERS + 1)]
    remainders = [(-part) ** (order + 1) for order in range(ORDERS + 1)]
    named = {"method": method, "seed": seed, "epoch": epoch, "part": part}
    return {**named, "sizes": sizes, "output_sizes": [2 * size for size in sizes], "remainders": remainders}


DERIVATIVES = {
    "orders": ORDERS,
    "runs": [run(m, s, e, 1.0) for s in range(3) for m in METHODS for e in EPOCHS],
    "reach": [run(m, s, 5, part) for s in range(3) for m in METHODS for part in PARTS],
}


def surfaces(classes: int) -> dict[str, Any]:
    """Class k is certain in the k-th vertical strip."""
    strip = np.minimum(np.arange(12) * classes // 12, classes - 1)
    probs = np.broadcast_to(np.eye(classes)[strip], (6, 12, classes)).tolist()
    return {
        "classes": [f"kind {k}" for k in range(classes)],
        "features": ["across", "up"],
        "x": np.linspace(0, 11, 12).tolist(),
        "y": np.linspace(0, 5, 6).tolist(),
        "points": [[1.0, 1.0], [10.0, 4.0]],
        "labels": [0, classes - 1],
        "surfaces": dict.fromkeys(METHODS, probs),
        "runs": [{"method": m, "seed": s, "accuracy": 0.9 + 0.02 * s, "ece": 0.05} for s in range(3) for m in METHODS],
    }


def image_of(ax: Axes) -> np.ndarray:
    return np.array(ax.images[0].get_array(), dtype=float)


def test_sizes_keep_method_order_seed_and_epoch():
    sizes = prepare_sizes(DERIVATIVES, "output_sizes")
    assert [(data.method, data.order) for data in sizes] == [(m, k) for m in METHODS for k in range(1, ORDERS + 1)]
    assert sizes[1].values.shape == (3, len(EPOCHS))
    assert sizes[1].values[2, 1] == pytest.approx(2 * 10**-2 * 3 * 2)
    assert list(sizes[1].rows())[-1] == {
        "method": "erm",
        "order": 2,
        "seed": 2,
        "epoch": 5,
        "output_sizes": pytest.approx(2 * 10**-2 * 3 * 6),
    }


def test_a_line_is_the_geometric_mean_over_seeds():
    ax = Figure().add_subplot()
    draw_sizes(ax, prepare_sizes(DERIVATIVES)[0], styles(METHODS)["erm"])
    expected = 0.1 * 6 ** (1 / 3) * np.array([1, 2, 6])
    np.testing.assert_allclose(np.array(ax.get_lines()[0].get_ydata()), expected)


def test_reach_shows_what_is_lacking_without_its_sign():
    reach = prepare_reach(DERIVATIVES)
    assert [data.method for data in reach] == list(METHODS)
    ax = Figure().add_subplot()
    draw_reach(ax, reach[0])
    for order, line in enumerate(ax.get_lines()):
        np.testing.assert_allclose(np.array(line.get_xdata()), PARTS)
        np.testing.assert_allclose(np.array(line.get_ydata()), np.array(PARTS) ** (order + 1))
    assert len(list(reach[0].rows())) == 3 * len(PARTS)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_surface_has_the_colour_of_the_class_that_it_is_sure_of(classes: int):
    plane = prepare_planes(surfaces(classes))[0]
    ax = Figure().add_subplot()
    draw_plane(ax, plane)
    image = image_of(ax)
    scattered = [np.asarray(collection.get_facecolor())[0, :3] for collection in ax.collections[-classes:]]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == classes
    for k, color in enumerate(scattered):
        column = 1 if k == 0 else 11 if k == classes - 1 else 6
        assert np.argmin([np.abs(image[2, column] - other).sum() for other in scattered]) == k, color
    assert "accuracy 92.0" in ax.get_title()


def test_what_is_not_sure_is_white():
    plane = prepare_planes(surfaces(2))[0]
    even = Plane(**{**vars(plane), "probs": np.full_like(plane.probs, 0.5)})
    ax = Figure().add_subplot()
    draw_plane(ax, even)
    assert image_of(ax).min() == 1
    assert len(ax.collections) == 2  # the points of two classes; no line where nothing is crossed


def test_drawings_are_files_with_their_data():
    shown = styles(METHODS)
    drawings = [
        sizes_drawing("sizes", prepare_sizes(DERIVATIVES), shown),
        sizes_drawing("output-sizes", prepare_sizes(DERIVATIVES, "output_sizes"), shown),
        reach_drawing("reach", prepare_reach(DERIVATIVES)),
        surface_drawing("surface", prepare_planes(surfaces(2))),
        surface_drawing("surface-3", prepare_planes(surfaces(3))),
    ]
    for drawing in drawings:
        png, svg = drawing.save("png", "svg")
        assert [png, svg] == drawing.save("png", "svg")
        assert png.startswith(b"\x89PNG")
        assert all(method in drawing.alt for method in METHODS)
        rows = [row for data in drawing.data for row in data.rows()]
        file = io.StringIO()
        csv.DictWriter(file, rows[0]).writerows(rows)  # the same columns in every row
        assert len(file.getvalue().splitlines()) == len(rows) > 0


def test_sections_carry_figures_and_numbers():
    found = DERIVATIVES | {
        "alpha": 1.0,
        "pairs": 8,
        "reach": [
            {**entry, "clean": 0.5, "mixup": 0.75 + 0.01 * entry["seed"], "terms": [0.125] * ORDERS}
            for entry in DERIVATIVES["reach"]
        ],
    }
    section = derivatives_section(found)
    assert [drawing.name for drawing in section.drawings] == ["taylor-loss", "taylor-outputs", "taylor-reach"]
    (table,) = section.tables
    assert [row.method for row in table.table.rows] == list(METHODS)
    assert table.table.rows[0].cells[1].value == "0.760"
    assert len(table.table.rows[0].cells) == len(table.table.headings)
    assert "over 3 seeds" in surface_section(surfaces(2)).caption
