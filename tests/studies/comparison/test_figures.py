"""The comparison's figures draw the numbers of its runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from calmix.data.corruptions import CORRUPTED_ROWS
from calmix.methods.table import METHODS
from calmix.metrics import ece
from calmix.report.drawing import AFTER, TOGETHER, Drawing, wrapped
from calmix.report.figures.curves import curves_drawing, draw_curve
from calmix.report.style import NAMED, styles
from calmix.results.catalogue import ACCURACY, ECE, SCALED_ECE
from calmix.results.records import read_predictions
from calmix.results.statistics import Interval, interval
from calmix.studies.comparison.answers import answers_of
from calmix.studies.comparison.curves import (
    CORRUPTED_ACCURACY,
    CORRUPTED_ECE,
    LEARNING_ACCURACY,
    LEARNING_LOSS,
    prepare_corruption,
    prepare_learning,
)
from calmix.studies.comparison.dots import Dot, dots_drawing, draw_dots, prepare_dots
from calmix.studies.comparison.points import Point, Scatter, draw_point, points_drawing, prepare_points
from calmix.studies.comparison.quantile import prepare_quantiles, quantile_of, quantiles_drawing

STYLE = NAMED["mixup"]


def painted(drawing: Drawing) -> list[Axes]:
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    figure.draw_without_rendering()
    return figure.axes


# ------------------------------------------------------------------------------------------------ curves


def test_a_learning_curve_is_the_mean_of_validations_alone(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, ["erm"])
    curve = prepare_learning(results.records, LEARNING_ACCURACY)
    assert curve.x.tolist() == [2, 4]  # epoch 1 was not validated
    ax = Figure().add_subplot()
    draw_curve(ax, curve, STYLE)
    (thin,), (line,) = ax.collections, ax.lines
    assert isinstance(thin, LineCollection)
    seeds, mean = [segment[:, 1] for segment in thin.get_segments()], np.asarray(line.get_ydata())
    assert len(seeds) == 3
    np.testing.assert_allclose(mean, np.mean(seeds, 0))
    assert seeds[1][0] == 100 * results.records[1].history[1].validation["accuracy"]


def test_corruption_starts_at_the_clean_rows_and_averages_families(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, ["erm"], beyond=True)
    predictions = [read_predictions(tmp_path, record) for record in results.records]
    answers = [answers_of(said) for said in predictions]
    curve = prepare_corruption(results.scores, "erm", answers, CORRUPTED_ACCURACY)
    assert curve.x.tolist() == [0, 1, 2, 3, 4, 5]
    clean = [(said["probs"].argmax(1) == said["labels"])[:CORRUPTED_ROWS].mean() for said in predictions]
    assert curve.values[:, 0].tolist() == pytest.approx(clean)
    np.testing.assert_allclose(curve.values[:, 1:], [[0.8, 0.7, 0.6, 0.5, 0.4]] * 3)
    errors = prepare_corruption(results.scores, "erm", answers, CORRUPTED_ECE).values[:, 0]
    clean = [ece(said["probs"][:CORRUPTED_ROWS], said["labels"][:CORRUPTED_ROWS]) for said in predictions]
    assert errors.tolist() == clean


@pytest.mark.parametrize(("methods", "axes"), [(TOGETHER, 1), (TOGETHER + 1, TOGETHER + 1), (18, 18)])
def test_many_methods_have_a_panel_each(finish: Callable, tmp_path: Path, methods: int, axes: int):
    labels = list(METHODS)[:methods]
    results = finish(tmp_path, labels, seeds=1)
    curves = [prepare_learning(results.of_method(label), LEARNING_LOSS) for label in labels]
    found = painted(curves_drawing("x", curves, styles(labels)))
    assert len(found) == axes
    if axes > 1:
        assert [ax.get_title() for ax in found] == [wrapped(label, 20) for label in labels]
        assert [len(ax.collections[0].get_paths()) for ax in found] == [methods - 1] * axes  # behind the method


# ------------------------------------------------------------------------------------------- points, dots


def test_points_are_in_the_unit_of_the_table(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, ["erm", "mixup"])
    for point in prepare_points(results.scores, ACCURACY, ECE):
        runs = [record.metrics["plain"] for record in results.of_method(point.method)]
        assert point.x.mean == pytest.approx(100 * np.mean([run["accuracy"] for run in runs]))
        assert point.y.high == pytest.approx(100 * interval([run["ece"] for run in runs]).high)
    (after, _) = prepare_points(results.scores, ACCURACY, SCALED_ECE, AFTER)
    assert next(iter(after.rows()))["y_metric"] == "scaled_ece"


def test_a_point_after_temperature_is_hollow():
    ax = Figure().add_subplot()
    for stage in ("before temperature", AFTER):
        draw_point(ax, Point("mixup", stage, Interval(1, 0, 2, 3), Interval(4, 3, 5, 3)), STYLE)
    filled, hollow = (line for line in ax.lines if line.get_marker() == STYLE.marker)
    assert filled.get_markerfacecolor() == STYLE.color
    assert hollow.get_markerfacecolor() == "white"
    assert (np.squeeze(filled.get_xdata()), np.squeeze(filled.get_ydata())) == (1, 4)


def test_axes_end_where_no_value_is_possible():
    """An interval of shares may reach below 0 and above 100 %; the axes do so by a little air alone."""
    wide = Interval(50, -80, 180, 3)
    drawing = points_drawing("x", [Scatter([Point("mixup", "", wide, wide)], ACCURACY, ECE)], {"mixup": STYLE})
    [ax] = painted(drawing)
    assert ax.get_xlim() == ax.get_ylim() == (-6, 106)


def test_dots_stand_at_the_mean_from_top_to_bottom():
    dots = [Dot(name, "energy", Interval(mean, mean - 1, mean + 1, 3)) for name, mean in (("erm", 80), ("mixup", 90))]
    ax = Figure().add_subplot()
    draw_dots(ax, dots, styles(["erm", "mixup"]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["erm", "mixup"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    markers = [line for line in ax.lines if len(np.atleast_1d(line.get_xdata())) == 1]
    assert [float(np.squeeze(line.get_xdata())) for line in markers] == [80, 90]


def test_each_heading_has_axes_with_every_method(finish: Callable, tmp_path: Path):
    scores = finish(tmp_path, ["erm", "mixup"]).scores
    dots = [*prepare_dots(scores, ECE, "as trained"), *prepare_dots(scores, SCALED_ECE, "scaled")]
    assert dots[3].value.mean == pytest.approx(100 * np.mean(scores.values("mixup", "ece", "scaled")))
    found = painted(dots_drawing("x", "ECE, %", dots, styles(["erm", "mixup"])))
    assert [ax.get_title() for ax in found] == ["as trained", "scaled"]
    assert len({ax.get_xlim() for ax in found}) == 1


# ---------------------------------------------------------------------------------------------- quantiles

QUANTILES = ["mixup", "near_mixup(quantile=0.25)", "near_mixup(quantile=0.75)", "far_mixup", "my own", "erm"]


def test_quantiles_are_read_from_the_methods_and_their_means_are_drawn(finish: Callable, tmp_path: Path):
    scores = finish(tmp_path, QUANTILES).scores
    points = prepare_quantiles(scores, [ECE])
    assert [(point.kind, point.quantile) for point in points] == [
        ("far_mixup", 0.5),
        ("mixup", None),
        ("near_mixup", 0.25),
        ("near_mixup", 0.75),
    ]
    for point, label in zip(points, ("far_mixup", "mixup", *QUANTILES[1:3]), strict=True):
        assert point.value.mean == pytest.approx(np.mean(scores.values(label, "ece")))
    [ax] = painted(quantiles_drawing("x", points))
    (near,) = [line for line in ax.lines if line.get_marker() == NAMED["near_mixup"].marker]
    (level,) = [line for line in ax.lines if line.get_color() == NAMED["mixup"].color]
    assert list(np.asarray(near.get_xdata())) == [0.25, 0.75]
    assert np.asarray(near.get_ydata(), float) == pytest.approx([100 * point.value.mean for point in points[2:]])
    np.testing.assert_allclose(np.asarray(level.get_ydata()), 100 * points[1].value.mean)


def test_without_near_or_far_pairs_there_is_nothing_to_draw(finish: Callable, tmp_path: Path):
    assert prepare_quantiles(finish(tmp_path, ["erm", "mixup"]).scores) == []
    assert quantile_of("mixup(alpha=0.3)") is None  # another method than all pairs of the same Mixup
    assert quantile_of("near_mixup(quantile=7)") is None  # a label of somebody's own
