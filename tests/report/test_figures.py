"""Figures draw the data they were given, and a method looks the same in each."""

import itertools
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calmix.experiment.record import read_predictions
from calmix.metrics import reliability
from calmix.report.figures import (
    Reliability,
    draw_counts,
    draw_curve,
    draw_predicted,
    draw_reliability,
    predicted_drawing,
    prepare_curve,
    prepare_points,
    prepare_predicted,
    prepare_reliability,
)
from calmix.report.results import parse_results
from calmix.report.style import NAMED, styles
from calmix.report.tables import ACCURACY, ECE

STYLE = NAMED["mixup"]


def test_reliability_pools_the_seeds_before_and_after_each_own_temperature(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, ["mixup"]))
    seeds = [read_predictions(tmp_path, run) for run in results.runs]
    labels = np.concatenate([seed["labels"] for seed in seeds])
    scaled = [torch.tensor(seed["logits"] / seed["temperature"]).softmax(1) for seed in seeds]
    expected = (
        reliability(np.concatenate([seed["probs"] for seed in seeds]), labels),
        reliability(torch.cat(scaled), labels),
    )
    for stage, bins in zip(prepare_reliability("mixup", seeds), expected, strict=True):
        for name in ("count", "claimed", "observed"):
            torch.testing.assert_close(getattr(stage.bins, name), getattr(bins, name))


def test_a_bar_is_the_accuracy_and_its_gap_ends_at_the_confidence():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)
    bins = reliability(probs, labels)
    ax = Figure().add_subplot()
    draw_reliability(ax, Reliability("mixup", "before temperature", bins), STYLE)
    full = bins.count > 0
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    accuracy, gap = bars[: int(full.sum())], bars[int(full.sum()) :]
    np.testing.assert_allclose([bar.get_height() for bar in accuracy], bins.observed[full])
    np.testing.assert_allclose([bar.get_y() + bar.get_height() for bar in gap], bins.claimed[full])
    np.testing.assert_allclose([bar.get_x() * 15 for bar in accuracy], full.nonzero().flatten(), atol=1e-9)
    assert f"ECE {100 * bins.expected_error():.2f} %" in ax.get_title()

    counts = Figure().add_subplot()
    draw_counts(counts, Reliability("mixup", "before temperature", bins), STYLE)
    assert sum(bar.get_height() for bar in counts.patches if isinstance(bar, Rectangle)) == pytest.approx(100)


def test_a_learning_curve_is_the_mean_of_validations_alone(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, ["erm"]))
    curve = prepare_curve(results.runs, "accuracy")
    assert curve.epochs.tolist() == [2, 4]  # epoch 1 was not validated
    ax = Figure().add_subplot()
    draw_curve(ax, curve, STYLE, scale=100)
    *seeds, mean = (np.asarray(line.get_ydata()) for line in ax.lines)
    assert len(seeds) == 3
    np.testing.assert_allclose(mean, np.mean(seeds, 0))
    assert seeds[1][0] == 100 * results.runs[1].history[1]["validation"]["accuracy"]


def test_points_are_in_the_unit_of_the_table(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, ["erm", "mixup"]))
    for point, summary in zip(prepare_points(results.methods, ACCURACY, ECE), results.methods, strict=True):
        assert point.x.mean == 100 * summary.metrics["accuracy"].mean
        assert point.y.high == 100 * summary.metrics["ece"].high


def test_every_row_of_every_seed_is_a_dot(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, ["erm"], task="regression"))
    data = prepare_predicted("erm", [read_predictions(tmp_path, run) for run in results.runs])
    assert data.predicted.shape == data.observed.shape == (180,)
    ax = Figure().add_subplot()
    draw_predicted(ax, data, STYLE)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.stack([data.observed, data.predicted], 1))


def test_drawing_changes_no_global_setting_and_repeats_itself(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, ["erm"], task="regression"))
    data = prepare_predicted("$\\frac{$ _^", [read_predictions(tmp_path, run) for run in results.runs])
    drawing = predicted_drawing("x", data, (0.0, 200.0), STYLE)
    before = dict(mpl.rcParams)
    first = drawing.save("svg", "png")
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        assert drawing.save("svg", "png") == first  # whatever the user has set
    assert dict(mpl.rcParams) == before


def test_a_method_looks_the_same_whatever_the_order_and_the_company():
    methods = ["mixup", "erm", "sk_mixup_e", "sk_mixup(tau_max=0.3)", "zeta", "alpha"]
    looks = styles(methods)
    for order in itertools.permutations(methods):
        assert styles(order) == looks
    for name, style in NAMED.items():
        assert styles([name, "other"])[name] == style


def test_no_two_methods_look_alike():
    looks = styles([*NAMED, *(f"variant {i}" for i in range(14))])
    assert len({(style.color, style.marker) for style in looks.values()}) == len(looks)
    assert len({style.marker for style in NAMED.values()}) == len({style.color for style in NAMED.values()}) == 6
