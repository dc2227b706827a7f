"""Figures of the kit draw the data they were given, and a method looks the same in each."""

import itertools
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

from calmix.methods.table import METHODS
from calmix.metrics import RowScores, reliability, score_rows, smooth_curve, smooth_ece
from calmix.report.drawing import TOGETHER, Drawing, fonts, panels, wrapped
from calmix.report.figures.confidence import confidence_drawing, prepare_ood, prepare_right_wrong
from calmix.report.figures.curves import Curve, Quantity, curves_drawing, draw_curve, prepare_risk
from calmix.report.figures.predicted import Predicted, draw_predicted, predicted_drawing, prepare_predicted
from calmix.report.figures.reliability import (
    draw_counts,
    draw_reliability,
    prepare_positive,
    prepare_reliability,
)
from calmix.report.style import NAMED, styles
from calmix.results.catalogue import power_of, powered
from calmix.results.files import NamedArrays
from calmix.studies.comparison.curves import LEARNING_LOSS

STYLE = NAMED["mixup"]


def class_arrays(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of 80 rows of three classes."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(3), 80), rng.integers(0, 3, 80)


def class_rows(seed: int) -> RowScores:
    return score_rows(*class_arrays(seed))


def value_arrays(seed: int) -> NamedArrays:
    rng = np.random.default_rng(seed)
    targets = 100 + 20 * rng.normal(size=(60, 1))
    return {"mean": targets + rng.normal(size=(60, 1)), "targets": targets}


def curve(method: str, seeds: int = 3) -> Curve:
    rng = np.random.default_rng(len(method))
    loss = Quantity("loss", "loss", 100)
    epoch, x = Quantity("epoch", "epoch", whole=True), np.arange(4.0)
    return Curve(method, epoch, loss, range(seeds), x, rng.random((seeds, 4)))


# --------------------------------------------------------------------------------------------- reliability


def test_reliability_pools_the_seeds():
    probs, labels = (np.concatenate(parts) for parts in zip(*map(class_arrays, range(3)), strict=True))
    shown = prepare_reliability("mixup", "", [class_rows(seed) for seed in range(3)])
    assert torch.equal(shown.bins.observed, reliability(probs, labels).observed)
    assert torch.equal(shown.bins.claimed, reliability(probs, labels).claimed)
    assert shown.smooth.error == smooth_ece(probs, labels)


def test_the_error_on_a_diagram_is_the_mean_over_seeds_as_in_the_table():
    """Half of the seeds claim too much, the others too little: bars of all rows together hide what the number says."""
    labels = np.arange(100) % 2  # half of the answers are right
    seeds = [score_rows(np.tile([p, 1 - p], (100, 1)), labels) for p in (0.65, 0.65)]
    seeds[1] = score_rows(np.tile([0.65, 0.35], (100, 1)), np.arange(100) % 5 == 0)  # four fifths of the answers
    data = prepare_reliability("mixup", "", seeds)
    assert data.bins.expected_error() == pytest.approx(0, abs=1e-6)
    assert data.error == pytest.approx(0.15)
    ax = Figure().add_subplot()
    draw_reliability(ax, data, STYLE)
    assert ax.get_title() == "ECE 15.00 %"
    assert prepare_reliability("mixup", "", seeds, error=0.123).error == 0.123


def test_the_band_holds_the_curves_of_the_seeds():
    seeds = [class_rows(seed) for seed in range(3)]
    data = prepare_reliability("mixup", "", seeds)
    low, high = data.band
    held = ~np.isnan(low)
    assert held.any()
    curves = [
        smooth_curve(seed.confidence, seed.correct, data.smooth.bandwidth).observed[::64].numpy() for seed in seeds
    ]
    assert (np.min(curves, 0)[held] <= low[held] + 1e-12).all()
    assert (low[held] <= high[held]).all()
    assert any(np.allclose(curve[held][:1], high[held][:1]) for curve in curves)
    assert np.isnan(prepare_reliability("mixup", "", seeds[:1]).band).all()


@pytest.mark.parametrize(("rows", "drawn"), [(15, False), (40, True)])
def test_a_curve_is_drawn_only_where_twenty_rows_support_it(rows: int, drawn: bool):
    """1,000 rows that claim 0.95, and some that claim 0.2, far from them."""
    claimed = np.concatenate([np.full(1000, 0.95), np.full(rows, 0.55)])
    labels = (np.arange(len(claimed)) % 20 == 0).astype(int)
    data = prepare_reliability("mixup", "", [score_rows(np.stack([claimed, 1 - claimed], 1), labels)])
    assert data.smooth.bandwidth < 0.1
    near = np.abs(np.linspace(0, 1, 65) - 0.55).argmin()
    assert data.supported[near] == drawn


def boxes(bars: Collection) -> list[BboxBase]:
    return [path.get_extents() for path in bars.get_paths()]


def test_a_bar_is_the_accuracy_and_its_gap_ends_at_the_confidence():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)
    bins = reliability(probs, labels)
    ax = Figure().add_subplot()
    data = prepare_reliability("mixup", "before temperature", [score_rows(probs, labels)])
    draw_reliability(ax, data, STYLE)
    full = bins.count > 0
    accuracy, gap, *_ = map(boxes, ax.collections)
    np.testing.assert_allclose(
        [(bar.y0, bar.y1) for bar in accuracy], [(0, share) for share in bins.observed[full].tolist()]
    )
    ends = zip(bins.observed[full].tolist(), bins.claimed[full].tolist(), strict=True)
    np.testing.assert_allclose([(bar.y0, bar.y1) for bar in gap], [(min(pair), max(pair)) for pair in ends])
    for bars in (accuracy, gap):
        np.testing.assert_allclose([bar.x0 * 15 for bar in bars], full.nonzero().flatten(), atol=1e-9)
        np.testing.assert_allclose([bar.width for bar in bars], 1 / 15)
    assert f"ECE {100 * bins.expected_error():.2f} %" in ax.get_title()

    counts = Figure().add_subplot()
    draw_counts(counts, data, STYLE)
    assert sum(bar.height for bar in boxes(counts.collections[0])) == pytest.approx(100)


def test_the_smooth_curve_is_drawn_where_there_are_rows():
    """Rows that claim 0.7 and are right 0.8 of the time: the curve is near them, and nowhere else."""
    probs, labels = np.tile([0.7, 0.3], (1000, 1)), (np.arange(1000) % 5 == 0).astype(int)
    data = prepare_reliability("mixup", "", [score_rows(probs, labels)])
    ax = Figure().add_subplot()
    draw_reliability(ax, data, STYLE)
    (_, line) = (collection for collection in ax.collections if isinstance(collection, LineCollection))
    points = np.concatenate([np.asarray(segment) for segment in line.get_segments()])
    assert 0.3 < points[:, 0].min() < 0.5
    nearest = points[np.abs(points[:, 0] - 0.7).argmin()]
    assert nearest[1] == pytest.approx(nearest[0] + 0.1, abs=0.01)
    kinds = [row["kind"] for row in data.rows()]
    assert kinds.count("bin") == 15
    assert 0 < kinds.count("curve") < 65


def test_the_reliability_of_the_positive_class_says_so():
    data = prepare_positive("P(y = 1)", "", np.full(10, 0.2), (np.arange(10) < 2).astype(int))
    full = next(row for row in data.rows() if row["count"])
    assert (full["P(y = 1)"], full["share of ones"]) == (pytest.approx(0.2), pytest.approx(0.2))


# ---------------------------------------------------------------------------------------------- confidence


def test_right_and_wrong_answers_are_shares_of_their_own_number():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.3, 0.7]])
    shown = prepare_right_wrong("mixup", [score_rows(probs, np.array([0, 0, 1, 1]))])
    assert shown.filled.sum() == pytest.approx(1)
    assert shown.filled[13] == pytest.approx(2 / 3)  # 0.9 in [13 / 15, 14 / 15)
    assert shown.outlined[8] == 1  # 0.55
    right = prepare_right_wrong("mixup", [score_rows(probs[:1], np.array([0]))])
    assert right.outlined.sum() == 0  # nothing is wrong


def test_rows_of_no_class_are_shares_of_their_own_number():
    known = score_rows(np.array([[1.0, 0.0]]), np.array([0]))
    shown = prepare_ood("mixup", [known], "notmnist", [torch.full((5,), 0.5)])
    assert (shown.filled[14], shown.outlined[7]) == (1, 1)
    assert shown.kinds == ("test rows", "rows of notmnist")
    assert sum(float(row["share"]) for row in shown.rows()) == 2


def test_confidence_has_a_panel_a_method():
    shown = [prepare_right_wrong(method, [class_rows(0)]) for method in ("erm", "mixup")]
    drawing = confidence_drawing("x", shown, styles(["erm", "mixup"]))
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    assert [ax.get_title() for ax in figure.axes] == ["erm", "mixup"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right answers", "wrong answers"]


# -------------------------------------------------------------------------------------------------- curves


def test_the_risk_at_full_coverage_is_the_error():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(3), 300), rng.integers(0, 3, 300)
    curve = prepare_risk("mixup", [7], [score_rows(probs, labels)])
    assert curve.x[-1] == 1
    assert curve.values[0, -1] == pytest.approx((probs.argmax(1) != labels).mean())
    order = np.argsort(-probs.max(1))
    half = int(np.flatnonzero(np.isclose(curve.x, 0.5))[0])
    assert curve.values[0, half] == pytest.approx((probs.argmax(1) != labels)[order[:150]].mean())


def test_a_curve_is_the_mean_before_a_thin_line_a_seed():
    data = curve("mixup")
    ax = Figure().add_subplot()
    draw_curve(ax, data, STYLE)
    (seeds,), (mean,) = ax.collections, ax.lines  # all seeds are one thing to draw
    assert isinstance(seeds, LineCollection)
    np.testing.assert_allclose([segment[:, 1] for segment in seeds.get_segments()], 100 * data.values)
    np.testing.assert_allclose([segment[:, 0] for segment in seeds.get_segments()], [data.x] * 3)
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), 100 * data.values.mean(0))
    assert ax.dataLim.ymax == pytest.approx(100 * data.values.max())  # nothing is cut
    alone = Figure().add_subplot()
    draw_curve(alone, curve("mixup", seeds=1), STYLE)
    assert (len(alone.lines), len(alone.collections)) == (1, 0)


def axes_of(curves: list[Curve]) -> list[Axes]:
    drawing = curves_drawing("x", curves, styles(one.method for one in curves))
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    return figure.axes


@pytest.mark.parametrize("methods", [1, TOGETHER + 1])
def test_risk_and_coverage_have_a_plain_axis_with_counts(methods: int):
    rows, said = [score_rows(*class_arrays(0))], 0
    for ax in axes_of([prepare_risk(label, [0], rows) for label in list(METHODS)[:methods]]):
        assert ax.get_yscale() == "linear"
        assert ax.get_ylim()[0] == 0
        labels = [label.get_text() for label in ax.get_xticklabels()]
        assert labels in ([], ["20\n16", "40\n32", "60\n48", "80\n64", "100\n80"], ["20\n16", "60\n48", "100\n80"])
        said += len(labels)
    assert said


def test_an_axis_shows_where_learning_curves_differ_and_not_where_they_begin():
    late = replace(LEARNING_LOSS, axis="linear")
    x, falling = np.arange(1.0, 9.0), np.array([90, 40, 2, 1.2, 1.1, 1.08, 1.06, 1.05])
    curves = [
        Curve(m, late, late, range(2), x, np.stack([falling, falling]) * w) for m, w in (("erm", 1), ("mixup", 2))
    ]
    [ax] = axes_of(curves)
    low, high = ax.get_ylim()
    assert 0.9 < low < 1.05
    assert 2.2 < high < 2.5
    steady = [replace(one, values=np.linspace(1, 2, 8) + np.zeros((2, 8))) for one in curves]
    assert axes_of(steady)[0].get_ylim()[0] < 1  # where there is little to gain all is shown


@pytest.mark.parametrize("power", [-12, -3, 3, 15])
def test_targets_of_any_size_have_short_numbers_on_their_axes(power: int):
    scale = 10.0**power
    data = Predicted("erm", np.array([1.1, 2.0]) * scale, np.array([1.0, 2.1]) * scale)
    drawing = predicted_drawing("x", data, (scale, 2.1 * scale), STYLE)
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    figure.draw_without_rendering()
    [ax] = figure.axes
    assert all(len(label.get_text()) <= 7 for label in ax.get_xticklabels())
    assert ax.get_xlabel() == powered("observed", power_of(2.1 * scale))
    assert ax.xaxis.get_offset_text().get_text() == ""
    assert next(data.rows())["observed"] == scale  # files are in the unit of the targets


@pytest.mark.parametrize(("methods", "axes"), [(TOGETHER, 1), (TOGETHER + 1, TOGETHER + 1), (18, 18)])
def test_many_methods_have_a_panel_each(methods: int, axes: int):
    labels = list(METHODS)[:methods]
    drawing = curves_drawing("x", [curve(label) for label in labels], styles(labels))
    figure = Figure((drawing.width, drawing.height))
    drawing.paint(figure)
    assert len(figure.axes) == axes
    if axes > 1:
        assert [ax.get_title() for ax in figure.axes] == [wrapped(label, 20) for label in labels]
        assert [len(ax.collections[0].get_paths()) for ax in figure.axes] == [methods - 1] * axes  # the others, in grey
        assert [len(ax.lines) for ax in figure.axes] == [1] * axes


# ----------------------------------------------------------------------------------------------- predicted


def test_every_row_of_every_seed_is_a_dot():
    data = prepare_predicted("erm", [value_arrays(seed) for seed in range(3)])
    assert data.predicted.shape == data.observed.shape == (180,)
    ax = Figure().add_subplot()
    draw_predicted(ax, data, STYLE)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.stack([data.observed, data.predicted], 1))


def test_drawing_changes_no_global_setting_and_repeats_itself():
    data = prepare_predicted("$\\frac{$ _^", [value_arrays(0)])
    drawing = predicted_drawing("x", data, (0.0, 200.0), STYLE)
    before = dict(mpl.rcParams)
    first = drawing.save("svg", "png")
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        assert drawing.save("svg", "png") == first  # whatever the user has set
    assert dict(mpl.rcParams) == before


# ------------------------------------------------------------------------------------------- panels, styles


def test_names_of_panels_do_not_overlap():
    names = ["sk_mixup_e(share=0.25, remember=True)", "mixup", "sk_mixup(remember=True)", "manifold_mixup"]
    figure = Figure((4.8, 4), dpi=100, layout="constrained")
    axes = panels(figure, names)
    figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in axes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_method_looks_the_same_whatever_the_order_and_the_company():
    methods = ["mixup", "erm", "sk_mixup_e", "sk_mixup(tau_max=0.3)", "zeta", "alpha"]
    looks = styles(methods)
    for order in itertools.permutations(methods):
        assert styles(order) == looks
    for name in methods:
        assert styles([name, "mixup_e(share=0.25)"])[name] == looks[name]
    for name, style in NAMED.items():
        assert styles([name, "other"])[name] == style


def test_of_two_names_that_pick_the_same_the_first_in_the_alphabet_keeps_it():
    alone = {name: styles([name])[name] for name in (f"model {i:02}" for i in range(100))}
    same = [
        (first, second)
        for first, second in itertools.combinations(alone, 2)
        if (alone[first].color, alone[first].marker) == (alone[second].color, alone[second].marker)
    ]
    assert len(same) > 5
    for first, second in same:
        looks = styles([second, first])
        assert looks[first] == alone[first]
        assert (looks[second].color, looks[second].marker) != (looks[first].color, looks[first].marker)


def test_every_method_has_its_own_look_and_options_a_shade_of_it():
    assert set(NAMED) == set(METHODS)
    variants = [f"{name}(alpha={alpha})" for name in METHODS for alpha in (0.1, 0.2, 2.0)]
    looks = styles([*METHODS, *variants, *(f"model {i}" for i in range(14))])
    assert len({(style.color, style.marker) for style in looks.values()}) == len(looks)
    blue = looks["sk_mixup(alpha=0.2)"].color
    assert int(blue[5:], 16) > int(blue[1:3], 16)  # sk_mixup is blue
    assert len({style.color for style in NAMED.values()}) == len(NAMED)


def test_lines_of_methods_are_seen_on_white():
    """A contrast of 1.7 to 1 or more, as WCAG measures it. It asks 3 to 1 of thin lines; Okabe's orange has 2.2."""

    def luminance(color: str) -> float:
        channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    looks = styles([*METHODS, *(f"{name}(alpha={alpha})" for name in METHODS for alpha in (0.1, 0.2, 2.0))])
    assert all(1.05 / (luminance(style.color) + 0.05) > 1.7 for style in looks.values())


def test_names_in_any_script_are_drawn_without_a_word_of_the_drawing_library():
    """Letters that no font here has are boxes; a Chinese name would be a warning, and so a failure, else."""
    drawing = Drawing("name", "a name", [], 1.0, lambda figure: figure.subplots().set_title("船 кошка"))
    [svg] = drawing.save("svg")
    assert svg.startswith(b"<?xml")
    assert fonts()[0] == "DejaVu Sans"


def test_fonts_of_other_letters_stand_behind_the_first_where_they_are_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.report.drawing.get_font_names", lambda: ["Yu Gothic", "DejaVu Sans", "Fancy"])
    fonts.cache_clear()
    assert fonts() == ["DejaVu Sans", "Yu Gothic"]
    fonts.cache_clear()
