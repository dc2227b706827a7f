"""Every metric that calmix computes stands in the one catalogue, once, with the right direction."""

import pytest
import torch

from calmix import metrics
from calmix.predictions import ClassPredictions, RegressionPredictions, class_scores, regression_scores
from calmix.predictions.scoring import TEMPERATURE
from calmix.results import catalogue
from calmix.results.catalogue import AFTER, METRICS, SCALED_ECE, Column, Metric, number
from calmix.results.statistics import Interval

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(300, 2, generator=GENERATOR)
LABELS = LOGITS.softmax(1).multinomial(1, generator=GENERATOR)[:, 0]
MEAN, STD = torch.randn(300, generator=GENERATOR), torch.rand(300, generator=GENERATOR) + 0.5

COMPUTED = {
    "classification": metrics.classification_metrics(LOGITS.softmax(1), LABELS),
    "imbalance": metrics.imbalance_metrics(LOGITS.softmax(1), LABELS),
    "binary": metrics.binary_metrics(LOGITS.softmax(1)[:, 1], LABELS),
    "multilabel": metrics.multilabel_metrics(LOGITS.sigmoid(), (LOGITS > 0).long()),
    "regression": metrics.regression_metrics(MEAN, MEAN + STD),
    "gaussian": metrics.gaussian_metrics(MEAN, STD, MEAN + STD),
    "human_labels": metrics.human_label_metrics(LOGITS.softmax(1), torch.ones(300, 2)),
    "shift": metrics.shift_metrics(LOGITS, LOGITS / 2)["energy"],
}


@pytest.mark.parametrize("kind", COMPUTED)
def test_every_metric_is_in_the_catalogue(kind: str):
    task = {"multilabel": "multilabel", "regression": "regression", "gaussian": "regression"}.get(
        kind, "classification"
    )
    assert [name for name in COMPUTED[kind] if task not in METRICS[name].tasks] == []


def test_every_function_of_metrics_is_tried_above():
    ours = {name.removesuffix("_metrics") for name in dir(metrics) if name.endswith("_metrics")}
    ours = {{"human_label": "human_labels", "detection": "shift"}.get(name, name) for name in ours}
    assert ours == set(COMPUTED)


def test_every_score_of_predictions_is_in_the_catalogue():
    test, held = (ClassPredictions(LOGITS[rows], LABELS[rows]) for rows in (slice(0, 150), slice(150, 300)))
    numbers, others = (
        RegressionPredictions(MEAN[rows], MEAN[rows] + 1, STD[rows]) for rows in (slice(0, 150), slice(150, 300))
    )
    for scores in (class_scores(test, held, calibrators=TEMPERATURE).scores, regression_scores(numbers, others)):
        for found in scores.values():
            assert set(found) <= set(METRICS)


def test_keys_are_unique_and_their_own():
    assert len(METRICS) == len(catalogue._ENTRIES)
    assert all(key == metric.key for key, metric in METRICS.items())
    assert all(metric.title and metric.meaning and metric.tasks for metric in METRICS.values())


MORE = [
    "accuracy",
    "exact_match",
    "label_accuracy",
    "brier_resolution",
    "auroc",
    "auprc",
    "aupr",
    "auroc_correct",
    "r2",
    "balanced_accuracy",
    "macro_f1",
    "macro_auroc",
    "macro_auprc",
    "nll_skill",
    "recall",
]
LESS = [
    "ece", "adaptive_ece", "smooth_ece", "debiased_ece", "rms_ece", "mce", "classwise_ece", "nll", "brier",
    "brier_reliability", "aurc", "positive_brier", "positive_ece", "labelwise_ece", "rmse", "mae", "mape", "crps",
    "uce", "ence", "quantile_calibration_error", "pinball", "fpr95", "cross_entropy", "kl", "total_variation", "cost",
]  # fmt: skip
NEITHER = ["sharpness", "coverage", "coverage_90", "width_90", "gaussian_sharpness", "temperature", "entropy", "count"]
NEITHER += ["base_rate", "most_answered", "share", "answered"]


@pytest.mark.parametrize(("better", "keys"), [(1, MORE), (-1, LESS), (0, NEITHER)])
def test_directions(better: int, keys: list[str]):
    assert {key: METRICS[key].better for key in keys} == dict.fromkeys(keys, better)


def test_direction_is_that_of_better_predictions():
    """Predictions that know more and are honest beat those that know less, in every metric with a direction."""
    labels = torch.arange(1000) % 2
    good, bad = (torch.tensor([[p, 1 - p]]).repeat(1000, 1) for p in (0.95, 0.2))
    good[labels == 1] = good[labels == 1].flip(1)
    better, worse = (metrics.classification_metrics(probs, labels) for probs in (good, bad))
    better, worse = (
        {**found, **metrics.imbalance_metrics(probs, labels)}
        for found, probs in zip((better, worse), (good, bad), strict=True)
    )
    for key in set(better) - {"brier_reliability", "mce"}:
        metric = METRICS[key]
        if metric.better and key not in ("auroc_correct",):  # which needs right and wrong answers
            assert metric.better * better[key] > metric.better * worse[key], key


def test_numbers_are_shown_in_their_unit():
    assert METRICS["accuracy"].text(0.98765) == "98.8"
    assert METRICS["ece"].text(0.012345) == "1.23"
    assert METRICS["nll"].text(0.12345) == "0.123"
    assert METRICS["rmse"].text(1234.567) == "1,235"
    assert METRICS["rmse"].text(0.00123456) == "0.001235"
    assert METRICS["brier_resolution"].text(-0.5) == "−0.500"
    assert METRICS["mae"].text(-2.5) == "−2.5"
    assert number(-0.001, 2) == "0.00"


def test_columns_say_their_condition_unit_and_direction():
    assert SCALED_ECE.title == "ECE after temperature"
    assert SCALED_ECE.label == "ECE after temperature, %"
    assert SCALED_ECE.heading == "ECE after temperature, %\u00a0↓"
    assert Column(METRICS["accuracy"]).heading.endswith("↑")
    assert Column(METRICS["sharpness"]).heading == "Sharpness"
    assert Column(METRICS["cost"]).label == "Cost, × plain training"
    assert Column(METRICS["cost"]).heading == "Cost\u00a0↓"
    assert Column(METRICS["brier"], name="Brier").title == "Brier"
    assert all(Column(METRICS["ece"], condition).title == f"ECE {text}" for condition, text in AFTER.items())
    assert Column(METRICS["ece"]).with_digits(4).digits == 4
    assert SCALED_ECE.shown(Interval(0.01, 0.005, 0.02, 3)) == Interval(1.0, 0.5, 2.0, 3)


@pytest.mark.parametrize(
    ("key", "interval", "mark"),
    [
        ("accuracy", Interval(0.1, 0.05, 0.15, 3), 1),
        ("accuracy", Interval(-0.1, -0.15, -0.05, 3), -1),
        ("ece", Interval(0.1, 0.05, 0.15, 3), -1),
        ("ece", Interval(-0.1, -0.15, -0.05, 3), 1),
        ("ece", Interval(-0.1, -0.25, 0.05, 3), 0),  # zero is inside
        ("ece", Interval(-0.1, -0.1, -0.1, 1), 0),  # a single seed
        ("sharpness", Interval(0.1, 0.05, 0.15, 3), 0),  # no direction
    ],
)
def test_a_mark_needs_an_interval_beside_zero_and_a_direction(key: str, interval: Interval, mark: int):
    assert Column(METRICS[key]).mark(interval) == mark


def test_a_metric_has_a_scale():
    assert Metric("x", "X", "", 1, unit="%").scale == 100
    assert Metric("x", "X", "", 1).scale == 1


# ------------------------------------------------------------------------------------------ numbers of any size


@pytest.mark.parametrize("power", range(-12, 16))
def test_a_column_of_any_size_shows_four_digits_that_count(power: int):
    value = 1.2344 * 10.0**power
    column = Column(METRICS["rmse"]).sized(value)
    shown = column.shown(Interval(value, value, value, 1)).mean
    text = number(shown, column.digits)
    digits = text.replace(",", "").lstrip("0.").replace(".", "")
    assert digits[:4] == "1234"
    assert len(text) <= 8  # 0.001234, or 123,440
    assert float(text.replace(",", "")) * 10.0**column.power == pytest.approx(value, rel=1e-3)
    said = f"10{str(column.power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    assert (said in column.label) == (said in column.points) == bool(column.power)


@pytest.mark.parametrize("power", range(-12, 16))
def test_a_number_in_a_sentence_is_short_and_right_at_any_size(power: int):
    value = -1.2344 * 10.0**power
    for text in (number(value, max(0, 3 - power)), METRICS["rmse"].text(value)):
        mantissa, _, exponent = text.replace("−", "-").replace(",", "").partition("×10")
        ten = 10.0 ** int(exponent.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
        assert float(mantissa) * ten == pytest.approx(value, rel=1e-3)
        assert len(text) <= 14


def test_numbers_that_round_over_a_power_are_not_shown_as_ten():
    assert Column(METRICS["rmse"]).sized(999_999.0).power == 6
    assert METRICS["rmse"].text(9999999.0) == "1×10⁷"
    assert number(0.0, 12) == "0"
    assert number(float("inf"), 2) == "inf"


def test_deviations_of_values_are_scaled_and_logits_have_a_temperature():
    assert Column(METRICS["ence"], "scaled").title == "ENCE after variance scaling"
    assert Column(METRICS["ece"], "scaled").title == "ECE after temperature"
