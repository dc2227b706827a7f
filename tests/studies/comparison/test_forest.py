"""The forest plot draws paired differences, and methods are described by their docstrings."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure

from calmix.methods.table import METHODS
from calmix.report.drawing import Drawing
from calmix.report.style import styles
from calmix.results.catalogue import ACCURACY, ECE, RMSE, Column
from calmix.results.statistics import paired_difference, widened
from calmix.results.store import Results
from calmix.studies.comparison.described import described
from calmix.studies.comparison.forest import Distance, draw_forest, forest_drawing, prepare_forest

VALUES = {"erm": [0.80, 0.84, 0.81], "mixup": [0.82, 0.85, 0.85], "cutmix": [0.90, 0.93, 0.92]}


def forest(results: Results, column: Column = ACCURACY) -> list[Distance]:
    return prepare_forest(results.scores, results.reference, column, 25)


def painted(distances: Sequence[Distance], column: Column = ACCURACY) -> tuple[Figure, Drawing]:
    drawing = forest_drawing(distances, "mixup", column, styles(one.method for one in distances))
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    figure.draw_without_rendering()
    return figure, drawing


def test_distances_are_paired_differences_in_points(made: Callable):
    plain, cutmix = forest(made({"accuracy": VALUES}))
    assert (plain.method, cutmix.method) == ("erm", "cutmix")  # mixup is the reference
    np.testing.assert_allclose(plain.seeds, [-2, -1, -4])
    expected = paired_difference(VALUES["cutmix"], VALUES["mixup"], widened(2))
    assert cutmix.mean.low == pytest.approx(100 * expected.low)
    assert (plain.mark, cutmix.mark) == (0, 1)


def test_a_marker_is_filled_where_the_interval_excludes_zero(made: Callable):
    distances = forest(made({"accuracy": VALUES}))
    ax = Figure().add_subplot()
    draw_forest(ax, distances, styles(one.method for one in distances))
    means = {line.get_xdata()[0]: line.get_markerfacecolor() for line in ax.lines if line.get_markersize() == 6}  # pyright: ignore
    assert means[distances[0].mean.mean] == "white"
    assert means[distances[1].mean.mean] == styles(["cutmix"])["cutmix"].color


@pytest.mark.parametrize(("column", "left", "right"), [(ACCURACY, "worse", "better"), (ECE, "better", "worse")])
def test_which_side_is_better_is_said_in_words(made: Callable, column: Column, left: str, right: str):
    figure, _ = painted(forest(made({column.key: VALUES}), column), column)
    assert [text.get_text() for text in figure.axes[0].texts] == [f"← {left}", f"{right} →"]


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("count", [2, 20])
def test_from_two_to_twenty_methods_zero_and_every_mean_are_inside(made: Callable, count: int, seeds: int):
    rng = np.random.default_rng(count)
    labels = ["mixup", *(f"sk_mixup(tau_max={i}.5, remember=True)" for i in range(count - 1))]
    values = {label: rng.normal(3.0, 1.0, seeds).tolist() for label in labels}
    distances = forest(made({"rmse": values}, task="regression"), RMSE)
    figure, drawing = painted(distances, RMSE)
    low, high = figure.axes[0].get_xlim()
    assert all(low < value < high for one in distances for value in (0, one.mean.mean, *one.seeds))
    assert len([row for one in drawing.data for row in one.rows()]) == count - 1
    bottom, top = figure.axes[0].get_window_extent().y0, figure.axes[0].get_window_extent().y1
    assert (top - bottom) / figure.dpi / count > 0.15  # inches a method


def test_a_very_long_interval_ends_in_an_arrowhead_and_leaves_the_others_readable(made: Callable):
    values = {"mixup": [0.5, 0.5], "erm": [0.51, 0.52], "cutmix": [0.5, 0.6]}  # of two seeds t is 12.7
    distances = forest(made({"accuracy": values}))
    ax = Figure().add_subplot()
    draw_forest(ax, distances, styles(values))
    assert distances[1].mean.high > 60
    assert ax.get_xlim()[1] < 30
    assert {str(line.get_marker()) for line in ax.lines} >= {"<", ">"}


def test_methods_that_do_not_differ_can_be_drawn(made: Callable):
    figure, _ = painted(forest(made({"accuracy": {"mixup": [0.5], "erm": [0.5]}})))
    low, high = figure.axes[0].get_xlim()
    assert low < 0 < high


# ------------------------------------------------------------------------------------------- what a method is


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_said_in_a_sentence_with_its_source_and_no_options(name: str):
    said, docstring = described(name, repr(METHODS[name]())), METHODS[name].__doc__ or ""
    assert said.startswith(docstring.split("\n")[0])
    assert "Options" not in said
    assert "code" not in said
    assert len(said) > len(docstring.split("\n")[0]) + 4
    assert ("arXiv" in said) == ("(arXiv" in docstring.split("Defaults")[0] or name == "sk_mixup_e")


def test_options_are_those_of_the_label_or_of_the_composition():
    mixed = METHODS["sk_mixup"](tau_max=0.3, remember=True)
    assert "Options: tau_max=0.3, remember=True." in described("sk_mixup(tau_max=0.3, remember=True)", "")
    assert "Options: tau_max=0.3, remember=True." in described("sk_mixup", repr(mixed))
    assert described("mine", repr(mixed)) == ""


@pytest.mark.parametrize("text", ["Method(", "f(" * 5000, "\0", "3"])
def test_a_damaged_composition_changes_nothing_else(text: str):
    assert described("mixup", text) == described("mixup", repr(METHODS["mixup"]()))
