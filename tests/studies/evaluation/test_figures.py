"""The figures of an evaluation draw numbers that were worked out by hand, by scikit-learn or by scipy."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom, norm
from sklearn.metrics import recall_score, roc_auc_score

from calmix.metrics import classwise_ece, equal_mass, positive_ece
from calmix.predictions import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.report.drawing import Drawing
from calmix.report.figures.reliability import Reliability
from calmix.report.style import NAMED
from calmix.studies.evaluation import Evaluation, evaluate
from calmix.studies.evaluation.classes import DRAWN, classes_table, worst_first
from calmix.studies.evaluation.page import evaluation_page
from calmix.studies.evaluation.residuals import (
    MOST_POINTS,
    PIT_BINS,
    draw_pit,
    draw_quantiles,
    draw_residuals,
    prepare_residuals,
    prepare_standardised,
)
from calmix.studies.evaluation.tables import summary_table

STYLE = NAMED["sk_mixup"]


def classified(seed: int, classes: int = 4, sharpness: float = 2.0, rows: int = 600) -> ClassPredictions:
    """Labels are drawn from the softmax of logits, which are then multiplied; the last class is rare."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    logits[:, -1] -= 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return ClassPredictions(sharpness * logits, labels, tuple(f"class {k}" for k in range(classes)))


@pytest.fixture(scope="module")
def corrected() -> Evaluation:
    return evaluate(classified(0), calibration=classified(1))


def drawings_of(evaluation: Evaluation, title: str) -> dict[str, Drawing]:
    sections = {section.title: section for section in evaluation_page("x", evaluation).sections}
    return {drawing.name: drawing for drawing in sections[title].drawings}


def painted(drawing: Drawing) -> list[Axes]:
    figure = Figure((drawing.width, drawing.height), layout="constrained")
    drawing.paint(figure)
    figure.draw_without_rendering()
    return figure.axes


# ------------------------------------------------------------------------------------------------- residuals


def test_a_residual_is_true_minus_predicted_and_the_line_its_mean_over_equal_parts():
    predicted = np.arange(20.0)
    data = prepare_residuals(predicted, predicted + np.where(predicted < 10, 1, -3))
    np.testing.assert_array_equal(data.residual, [1] * 10 + [-3] * 10)
    assert data.means.count.tolist() == [2] * 10
    assert data.means.observed.tolist() == [1] * 5 + [-3] * 5
    ax = Figure().add_subplot()
    draw_residuals(ax, data, STYLE)
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_array_equal(points, np.stack([predicted, data.residual], 1))
    line = np.asarray(ax.lines[-1].get_xydata())
    np.testing.assert_allclose(line, np.stack([np.arange(0.5, 20, 2), [1] * 5 + [-3] * 5], 1))
    rows = list(data.rows())
    assert [row["kind"] for row in rows].count("mean") == 10
    assert rows[0] == {"kind": "row", "predicted": 0.0, "residual": 1.0, "rows": 1}


def test_standardised_residuals_stand_against_normal_quantiles():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=50), 0.5 + rng.random(50)
    targets = mean + std * rng.normal(size=50)
    data = prepare_standardised("as given", mean, std, targets)
    np.testing.assert_allclose(data.observed, np.sort((targets - mean) / std))
    np.testing.assert_allclose(data.expected, norm.ppf((np.arange(1, 51) - 0.5) / 50))
    ax = Figure().add_subplot()
    draw_quantiles(ax, data, STYLE)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.stack([data.expected, data.observed], 1))


def test_of_very_many_rows_a_thousand_quantiles_are_drawn_with_both_ends():
    z = torch.linspace(-3, 3, 5000, dtype=torch.float64)
    data = prepare_standardised("", torch.zeros(5000), torch.ones(5000), z)
    assert len(data.observed) == MOST_POINTS
    assert data.observed[[0, -1]].tolist() == [-3, 3]
    np.testing.assert_allclose(data.expected[[0, -1]], norm.ppf([0.5 / 5000, 4999.5 / 5000]))


def test_the_pit_is_the_share_of_the_distribution_below_the_truth():
    """Truths at the 2 %, the 52 % and twice at the 98 % quantile, of N(1, 4)."""
    targets = norm(1, 2).ppf([0.02, 0.52, 0.98, 0.98])
    data = prepare_standardised("", np.ones(4), np.full(4, 2.0), targets)
    expected = np.zeros(PIT_BINS)
    expected[[0, 10, 19]] = 0.25, 0.25, 0.5
    np.testing.assert_allclose(data.shares, expected)
    ax = Figure().add_subplot()
    draw_pit(ax, data, STYLE)
    heights = ax.patches[0].get_path().vertices  # type: ignore[union-attr]
    assert heights.max() == pytest.approx(50)  # pyright: ignore


def test_the_band_of_the_pit_holds_95_of_100_bars_of_an_honest_model():
    z = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = prepare_standardised("", torch.zeros(2000), torch.ones(2000), z)
    low, high = data.band
    assert (round(2000 * low), round(2000 * high)) == tuple(binom(2000, 0.05).ppf([0.025, 0.975]))
    assert low < 1 / PIT_BINS < high
    assert ((low <= data.shares) & (data.shares <= high)).sum() >= 17


def test_deviations_are_drawn_as_given_and_after_variance_scaling():
    generator = torch.Generator().manual_seed(0)
    halves = []
    for _ in range(2):
        std = 0.5 + torch.rand(400, generator=generator, dtype=torch.float64)
        targets = std * torch.randn(400, generator=generator, dtype=torch.float64)
        halves.append(RegressionPredictions(torch.zeros(400, dtype=torch.float64), targets, std / 3))
    evaluation = evaluate(halves[0], calibration=halves[1])
    plain, scaled = (evaluation.deviations[name] for name in ("plain", "scaled"))
    ratio = scaled / plain
    assert ratio.min().item() == pytest.approx(ratio.max().item())
    assert 2.8 < ratio[0].item() < 3.2
    widths = [evaluation.value("width_90", name) for name in ("plain", "scaled")]
    assert widths[1] / widths[0] == pytest.approx(ratio[0].item())  # the factor that the scores were measured with
    assert list(drawings_of(evaluation, "Standard deviations")) == ["spread", "spread-scaled"]
    found = drawings_of(evaluation, "Standardised residuals")
    assert list(found) == ["standardised", "standardised-scaled"]
    first, second = (drawing.data[0] for drawing in found.values())
    np.testing.assert_allclose(first.observed, second.observed * ratio[0].item())  # pyright: ignore
    assert [ax.get_title() for ax in painted(found["standardised"])] == ["", ""]


def test_without_deviations_only_residuals_are_drawn():
    bare = evaluate(RegressionPredictions(torch.zeros(50), torch.randn(50)))
    titles = [section.title for section in evaluation_page("x", bare).sections]
    assert titles == ["", "Predicted values and residuals", "All metrics"]
    assert summary_table(bare.measured, regression=True).headings == ["RMSE\u00a0↓", "MAE\u00a0↓", "R²\u00a0↑"]


# ------------------------------------------------------------------------------------------- classes and labels


def test_the_error_of_each_class_is_that_of_its_probability(corrected: Evaluation):
    test, evaluation = classified(0), corrected
    for condition, probs in (
        ("plain", test.probs),
        *((name, correct(test.logits).softmax(1)) for name, correct in evaluation.corrections.items()),
    ):
        paths = [f"by_class/{k}" if condition == "plain" else f"by_class/{k}/{condition}" for k in range(4)]
        errors = [evaluation.value("classwise_ece", path) for path in paths]
        by_hand = [positive_ece(probs[:, k], test.labels == k) for k in range(4)]
        assert errors == pytest.approx(by_hand)
        assert sum(errors) / 4 == pytest.approx(classwise_ece(probs, test.labels))


def test_classes_stand_in_the_order_of_their_errors_in_the_figure_and_in_the_table(corrected: Evaluation):
    test, evaluation = classified(0), corrected
    errors = np.array([evaluation.value("classwise_ece", f"by_class/{k}") for k in range(4)])
    order = np.argsort(-errors).tolist()
    assert worst_first(evaluation.measured, "by_class") == order
    drawing = drawings_of(evaluation, "Class by class")["classes"]
    shown = [one for one in drawing.data if isinstance(one, Reliability)]
    assert [one.error for one in shown] == pytest.approx(sorted(errors, reverse=True))
    assert [ax.get_title() for ax in painted(drawing)] == [f"class {k} ({100 * errors[k]:.1f} %)" for k in order]
    assert shown[0].bins.count.sum() == 600
    table = classes_table(evaluation.measured, test.classes, order)
    assert table.headings[:2] == ["ECE as given, %", "ECE after temperature, %"]
    recalls = recall_score(test.labels, test.outputs.argmax(1), average=None)  # pyright: ignore
    for k, row in zip(order, table.rows, strict=True):
        cells = [cell.value for cell in row.cells]
        assert row.method == f"class {k}"
        assert cells[0] == f"{100 * errors[k]:.2f}"
        assert cells[1] == f"{100 * evaluation.value('classwise_ece', f'by_class/{k}/scaled'):.2f}"
        answered, share = (float((ids == k).double().mean()) for ids in (test.outputs.argmax(1), test.labels))
        assert cells[-3:] == [f"{100 * x:.1f}" for x in (recalls[k], answered, share)]  # pyright: ignore


def test_of_many_classes_the_worst_are_drawn_and_the_table_is_folded():
    evaluation = evaluate(classified(0, classes=30, rows=2000))
    drawing = drawings_of(evaluation, "Class by class")["classes"]
    assert len(drawing.data) == DRAWN
    (numbers,) = [s for s in evaluation_page("x", evaluation).sections if s.title == "Every class as numbers"]
    assert numbers.folded
    assert len(numbers.tables[0].table.rows) == len(worst_first(evaluation.measured, "by_class")) > DRAWN


def test_two_classes_have_a_diagram_of_the_second_for_every_correction():
    test, held = classified(0, classes=2), classified(1, classes=2)
    evaluation = evaluate(test, calibration=held)
    drawings = drawings_of(evaluation, "Reliability of P(y = 1)")
    errors = [one.error for drawing in drawings.values() for one in drawing.data if isinstance(one, Reliability)]
    probs = [test.probs, *(correct(test.logits).softmax(1) for correct in evaluation.corrections.values())]
    assert errors == pytest.approx([positive_ece(p[:, 1], test.labels) for p in probs])
    assert "classes" not in drawings_of(evaluation, "Class by class")


def test_labels_stand_in_the_order_of_their_errors():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(400, 3, generator=generator, dtype=torch.float64)
    truth = torch.bernoulli(probs**2, generator=generator).long()
    truth[:, 1] = torch.bernoulli(probs[:, 1], generator=generator).long()  # honest
    evaluation = evaluate(MultilabelPredictions(probs, truth, ("a", "b", "c")))
    errors = {name: positive_ece(probs[:, k], truth[:, k]) for k, name in enumerate("abc")}
    (section,) = [s for s in evaluation_page("x", evaluation).sections if s.title == "Label by label"]
    table = section.tables[0].table
    assert [row.method for row in table.rows] == sorted(errors, key=lambda name: -errors[name])
    assert table.rows[-1].method == "b"
    aurocs = {name: roc_auc_score(truth[:, k], probs[:, k]) for k, name in enumerate("abc")}
    for row in table.rows:
        assert [cell.value for cell in row.cells[1:]] == [
            f"{100 * errors[row.method]:.2f}",
            f"{100 * aurocs[row.method]:.1f}",
        ]


def test_float32_probabilities_that_sum_to_a_little_more_than_one_are_drawn():
    probs = torch.tensor([[1.0000005, 0.0, 0.0], [0.2, 0.5, 0.3]], dtype=torch.float32).repeat(20, 1)
    evaluation = evaluate(ClassPredictions(probs, torch.arange(40) % 2, are_probs=True))
    assert len(drawings_of(evaluation, "Class by class")["classes"].data) == 2  # classes with rows


def test_the_summary_has_a_row_a_correction_and_the_numbers_of_the_whole_table(corrected: Evaluation):
    evaluation = corrected
    table = summary_table(evaluation.measured, regression=False)
    assert [row.method for row in table.rows] == [
        "As given", "Temperature", "Vector scaling", "Matrix scaling", "Isotonic regression"
    ]  # fmt: skip
    assert [cell.value for cell in table.rows[1].cells] == [
        f"{100 * evaluation.value('accuracy', 'scaled'):.1f}",
        f"{100 * evaluation.value('ece', 'scaled'):.2f}",
        f"{evaluation.value('nll', 'scaled'):.3f}",
        f"{evaluation.value('brier', 'scaled'):.3f}",
    ]
    assert not any(cell.best for row in table.rows for cell in row.cells)
    spreads = [cell.spread for row in table.rows for cell in row.cells if cell.spread]
    assert spreads == [table.rows[0].cells[1].spread] != [""]


def test_means_of_equal_parts_are_those_of_the_metric():
    rng = np.random.default_rng(0)
    mean, targets = rng.normal(size=35), rng.normal(size=35)
    assert torch.equal(prepare_residuals(mean, targets).means.observed, equal_mass(mean, targets - mean, 10).observed)
