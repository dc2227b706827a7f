"""Figures are data first, and what the drawing shows is what the data say."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from calmix.data import Split
from calmix.report.style import styles
from calmix.results.scores import Scores
from calmix.results.statistics import interval
from calmix.studies.diagnosis.conditions import CONTROLS, SHARES
from calmix.studies.diagnosis.expansion_figures import (
    draw_reach,
    draw_sizes,
    prepare_terms,
    reach_drawing,
    sizes_drawing,
)
from calmix.studies.diagnosis.labels_figures import (
    LamByDistance,
    draw_lam,
    draw_rise,
    prepare_lam,
    prepare_rises,
    prepare_wrong,
)
from calmix.studies.diagnosis.mixes import MixedRows
from calmix.studies.diagnosis.mixes_figures import draw_points, mixes_drawing, prepare_mixes
from calmix.studies.diagnosis.results import DiagnosisResults
from calmix.studies.diagnosis.surface import Surface
from calmix.studies.diagnosis.surface_figures import Plane, draw_plane, surface_drawing

Made = Callable[..., DiagnosisResults]

# ------------------------------------------------------------------------------------------------- labels


def test_a_line_goes_through_the_means_and_an_empty_bin_leaves_a_gap(made: Made):
    rises = prepare_rises(made().scores, "inputs", "neither", ("agreed",))
    assert len(rises) == 2 * len(SHARES)
    assert rises[0].mean[0] == pytest.approx(0.2)
    assert np.isnan(rises[0].mean[1])
    full = prepare_rises(made().scores, "inputs", "neither", ("all",))[0]
    assert full.mean[1] == pytest.approx(0.31)
    ax = Figure().add_subplot()
    draw_rise(ax, full, "#000000", "o")
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_xdata()), [0.5, 1.5])
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), 100 * full.mean)
    (row, _) = full.rows()
    assert (row["neither"], row["distance"], row["bin"]) == (pytest.approx(0.2), 0.5, 1)


def test_each_column_of_lam_adds_up_to_its_mixes(made: Made):
    data = LamByDistance("m", "inputs", np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([0.1, np.nan]))
    ax = Figure().add_subplot()
    draw_lam(ax, data)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[0.75, 0.0], [0.25, 0.0]])  # bins along x
    assert [row["mixes"] for row in data.rows()] == [3.0, 1.0, 0.0, 0.0]
    assert [row["share_to"] for row in data.rows()][:2] == [0.25, 0.5]
    both = prepare_lam(made().scores, "sk_mixup", "inputs")
    assert both.mean[0] == pytest.approx(0.25)
    assert np.isnan(both.mean[1])
    assert both.histogram.tolist() == [[2.0] * 10, [0.0] * 10]  # the mixes of both seeds


def test_controls_stand_beside_the_method(made: Made):
    found = prepare_wrong(made().scores, "network", ("mass",))
    assert [(one.method, one.control) for one in found] == [(m, c) for m in ("sk_mixup", "mixup") for c in CONTROLS]
    assert [one.value.mean for one in found[:3]] == pytest.approx([0.3 * 0.71, 0.3, 0.3])


# -------------------------------------------------------------------------------------------------- mixes


def test_mixes_are_shown_from_the_nearest_pair_to_the_farthest_and_no_row_with_itself():
    x = torch.arange(5.0)[:, None, None, None].expand(5, 3, 2, 2)
    distance, y = torch.tensor([2.0, 0.0, 1.0, 3.0, 0.5]), torch.arange(5)
    batch = MixedRows(x, x, x, y, y, distance, None, torch.rand(5))
    data = prepare_mixes("mixup", batch, list("abcde"), count=3)
    assert data.batch.distance.tolist() == [0.5, 2.0, 3.0]  # of 0.5 1 2 3 at equal steps of rank
    assert data.batch.mixed.shape == (3, 2, 2, 3)
    assert data.batch.mixed.min() >= 0
    assert data.batch.mixed.max() <= 1
    assert data.batch.mixed[:, 0, 0, 0].tolist() == [1.0, 0.0, 0.75]
    assert [row["anchor"] for row in data.rows()] == ["e", "a", "d"]
    grey = prepare_mixes("mixup", MixedRows(x[:, :1], x[:, :1], x[:, :1], y, y, distance, None, y / 5), "abcde")
    for one in (data, grey):
        (png,) = mixes_drawing("mixes", one).save("png")
        assert png.startswith(b"\x89PNG")


def test_every_mix_of_points_lies_on_the_line_of_its_parents():
    anchor, partner, lam = torch.randn(9, 2), torch.randn(9, 2), torch.rand(9)
    mixed = lam[:, None] * anchor + (1 - lam)[:, None] * partner
    y = torch.arange(9) % 2
    batch = MixedRows(anchor, partner, mixed, y, 1 - y, (anchor - partner).square().sum(1), None, lam)
    figure = Figure()
    draw_points(figure, prepare_mixes("mixup", batch, ["a", "b"]))
    lines, *classes, dots = figure.axes[0].collections
    assert isinstance(lines, LineCollection)
    assert sum(len(np.asarray(points.get_offsets())) for points in classes) == 18
    for (start, end), dot in zip(np.asarray(lines.get_segments()), np.asarray(dots.get_offsets()), strict=True):
        along, off = end - start, dot - start
        assert along[0] * off[1] == pytest.approx(along[1] * off[0], abs=1e-5)


# ------------------------------------------------------------------------------------ derivatives, surfaces

METHODS = ("erm", "mixup", "sk_mixup(tau_std=1.0)")
ORDERS, EPOCHS, PARTS = 4, (0, 1, 5), (1.0, 0.5, 0.25)


def terms(seed: int) -> dict[str, dict[str, float]]:
    found = {}
    for epoch in EPOCHS:
        found[f"expansion/{epoch}"] = {"clean_loss": 0.5, "mixup_loss": 0.75}
        found[f"expansion/{epoch}/0"] = {"remainder": 0.25}
        for order in range(1, ORDERS + 1):
            size = 10.0**-order * (1 + seed) * (1 + epoch)
            found[f"expansion/{epoch}/{order}"] = {"term_size": size, "output_size": 2 * size, "remainder": 0.0}
    for part in PARTS:
        found[f"reach/{part:g}"] = {"clean_loss": 0.5, "mixup_loss": 0.75}
        found |= {f"reach/{part:g}/{order}": {"remainder": (-part) ** (order + 1)} for order in range(ORDERS + 1)}
    return found


SCORES = Scores.of((method, seed, terms(seed)) for seed in range(3) for method in METHODS)
EXPANSION, REACH = SCORES.under("expansion"), SCORES.under("reach")


def test_sizes_keep_method_order_seed_and_epoch():
    sizes = prepare_terms(EXPANSION, "output_size", "epoch")
    assert [data.method for data in sizes] == list(METHODS)
    assert sizes[0].orders == [1, 2, 3, 4]
    assert sizes[0].values.shape == (ORDERS, len(EPOCHS), 3)
    assert sizes[0].values[1, 1, 2] == pytest.approx(2 * 10**-2 * 3 * 2)
    last = list(sizes[0].rows())[-1]
    assert (last["method"], last["seed"], last["epoch"]) == ("erm", 2, 5)
    assert last["output_size_2"] == pytest.approx(2 * 10**-2 * 3 * 6)


def test_a_line_is_the_geometric_mean_over_seeds():
    ax = Figure().add_subplot()
    draw_sizes(ax, prepare_terms(EXPANSION, "term_size", "epoch")[0], 1, styles(METHODS)["erm"])
    expected = 0.1 * 6 ** (1 / 3) * np.array([1, 2, 6])
    np.testing.assert_allclose(np.array(ax.get_lines()[0].get_ydata()), expected)


def test_reach_shows_what_is_lacking_without_its_sign():
    reach = prepare_terms(REACH, "remainder", "part")
    assert [data.method for data in reach] == list(METHODS)
    assert reach[0].orders == [0, 1, 2, 3, 4]
    ax = Figure().add_subplot()
    draw_reach(ax, reach[0])
    for order, line in enumerate(ax.get_lines()):
        np.testing.assert_allclose(np.array(line.get_xdata()), PARTS)
        np.testing.assert_allclose(np.array(line.get_ydata()), np.array(PARTS) ** (order + 1))
    assert len(list(reach[0].rows())) == 3 * len(PARTS)


def plane(method: str, classes: int) -> Plane:
    """Class k is certain in the k-th vertical strip."""
    strip = torch.clamp(torch.arange(12) * classes // 12, max=classes - 1)
    surface = Surface(torch.linspace(0, 11, 12), torch.linspace(0, 5, 6), torch.eye(classes)[strip].expand(6, 12, -1))
    train = Split(torch.tensor([[1.0, 1.0], [10.0, 4.0]]), torch.tensor([0, classes - 1]))
    names = [f"kind {k}" for k in range(classes)]
    return Plane(method, surface, train, names, ["across", "up"], interval([0.9, 0.92, 0.94]), interval([0.05] * 3))


def image_of(ax: Axes) -> np.ndarray:
    return np.array(ax.images[0].get_array(), dtype=float)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_surface_has_the_colour_of_the_class_that_it_is_sure_of(classes: int):
    ax = Figure().add_subplot()
    draw_plane(ax, plane("erm", classes))
    image = image_of(ax)
    scattered = [np.asarray(collection.get_facecolor())[0, :3] for collection in ax.collections[-classes:]]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == classes
    for k, color in enumerate(scattered):
        column = 1 if k == 0 else 11 if k == classes - 1 else 6
        assert np.argmin([np.abs(image[2, column] - other).sum() for other in scattered]) == k, color
    assert "accuracy 92.0 ± 5.0 %" in ax.get_title()
    assert "ECE 5.0 ± 0.0 %" in ax.get_title()


def test_what_is_not_sure_is_white():
    sure = plane("erm", 2)
    even = replace(sure, surface=replace(sure.surface, probs=torch.full_like(sure.surface.probs, 0.5)))
    ax = Figure().add_subplot()
    draw_plane(ax, even)
    assert image_of(ax).min() == 1
    assert len(ax.collections) == 2  # the points of two classes; no line where nothing is crossed


def test_drawings_are_files_with_their_data():
    shown = styles(METHODS)
    drawings = [
        sizes_drawing("sizes", prepare_terms(EXPANSION, "term_size", "epoch"), shown),
        sizes_drawing("output-sizes", prepare_terms(EXPANSION, "output_size", "epoch"), shown),
        reach_drawing("reach", prepare_terms(REACH, "remainder", "part")),
        surface_drawing("surface", [plane(method, 2) for method in METHODS]),
        surface_drawing("surface-3", [plane(method, 3) for method in METHODS]),
    ]
    for drawing in drawings:
        (svg,) = drawing.save("svg")
        assert [svg] == drawing.save("svg")
        assert all(method in drawing.alt for method in METHODS)
        rows = [row for data in drawing.data for row in data.rows()]
        file = io.StringIO()
        csv.DictWriter(file, rows[0]).writerows(rows)  # the same columns in every row
        assert len(file.getvalue().splitlines()) == len(rows) > 0
