import math
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import (
    RowScores,
    accuracy,
    adaptive_ece,
    aurc,
    auroc_correct,
    brier,
    brier_parts,
    class_bins,
    classification_metrics,
    classwise_ece,
    debiased_ece,
    ece,
    ece_interval,
    mce,
    nll,
    reliability,
    risk_coverage,
    rms_ece,
    score_rows,
    sharpness,
    smooth_ece,
    smooth_reliability,
)

Draw = Callable[..., tuple[Tensor, Tensor]]
Real = tuple[np.ndarray, np.ndarray, float, float]

ROWS = [accuracy, nll, brier, sharpness, auroc_correct, aurc]
METRICS = [*ROWS, ece, adaptive_ece, classwise_ece, mce, rms_ece, debiased_ece, smooth_ece]
NAMES = [
    "accuracy", "nll", "brier", "brier_reliability", "brier_resolution", "ece", "adaptive_ece", "classwise_ece", "mce",
    "rms_ece", "debiased_ece", "smooth_ece", "sharpness", "auroc_correct", "aurc",
]  # fmt: skip
BINNED = [ece, adaptive_ece, classwise_ece, mce, rms_ece, debiased_ece]
OTHERS = [reliability, smooth_reliability, brier_parts, risk_coverage, ece_interval, class_bins, score_rows]


@given(n=st.integers(1, 60), classes=st.integers(3, 7), seed=st.integers(0, 1000))
def test_scikit_learn_agrees(predictions: Draw, n: int, classes: int, seed: int):
    probs, labels = predictions(n, classes, seed)
    ids = range(classes)
    assert accuracy(probs, labels) == pytest.approx(sklearn.metrics.accuracy_score(labels, probs.argmax(1)))
    assert nll(probs, labels) == pytest.approx(sklearn.metrics.log_loss(labels, probs, labels=ids))
    assert brier(probs, labels) == pytest.approx(sklearn.metrics.brier_score_loss(labels, probs, labels=ids))


def test_brier_of_two_classes_is_twice_the_binary_score(predictions: Draw):
    probs, labels = predictions(50, 2)
    assert brier(probs, labels) == pytest.approx(2 * sklearn.metrics.brier_score_loss(labels, probs[:, 1]))


def test_certain_and_wrong_is_the_worst_and_still_finite():
    probs, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    assert nll(probs, wrong) == pytest.approx(-math.log(2**-1022))
    assert (brier(probs, wrong), ece(probs, wrong), accuracy(probs, wrong)) == (2, 1, 0)


def test_certain_and_right_is_perfect():
    perfect = classification_metrics(torch.eye(3), torch.arange(3))
    assert perfect.pop("brier_resolution") == pytest.approx(2 / 3)  # all there is: the labels' own uncertainty
    assert perfect.pop("auroc_correct") == 0.5  # no wrong row to tell from
    assert perfect.pop("smooth_ece") == pytest.approx(0, abs=1e-12)
    assert [name for name, value in perfect.items() if value == 1] == ["accuracy", "sharpness"]
    assert [name for name, value in perfect.items() if value not in (0, 1)] == []


def test_who_is_calibrated_gets_the_brier_score_it_expects(predictions: Draw):
    probs, labels = predictions(200_000, 4)
    assert brier(probs, labels) == pytest.approx(1 - sharpness(probs, labels), abs=0.005)
    sharpened = probs.square() / probs.square().sum(1, keepdim=True)
    assert brier(sharpened, labels) > 1 - sharpness(sharpened, labels) + 0.05


@pytest.mark.parametrize("classes", [2, 4])
def test_brier_is_the_sum_of_its_parts_where_bins_hide_nothing(classes: int):
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(7, classes, generator=generator, dtype=torch.float64).softmax(1)  # seven forecasts
    probs = levels[torch.randint(7, (500,), generator=generator)]
    labels = torch.randint(classes, (500,), generator=generator)
    parts = brier_parts(probs, labels, bins=100_000)
    assert parts.reliability - parts.resolution + parts.uncertainty == pytest.approx(brier(probs, labels), abs=1e-12)


def test_brier_parts_by_hand():
    # claims 0.8 for class 0 in four rows, three of which are; and 0.2 in four rows, one of which is
    probs = torch.tensor([[0.8, 0.2]] * 4 + [[0.2, 0.8]] * 4)
    parts = brier_parts(probs, torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), bins=2)
    assert parts.reliability == pytest.approx(2 * 0.05**2)
    assert parts.resolution == pytest.approx(2 * 0.25**2)
    assert parts.uncertainty == 0.5


@given(n=st.integers(1, 50), classes=st.integers(2, 5), bins=st.integers(1, 20), seed=st.integers(0, 1000))
def test_class_bins_are_the_bins_of_each_class(predictions: Draw, n: int, classes: int, bins: int, seed: int):
    probs, labels = predictions(n, classes, seed)
    probs = (probs * 20).round() / 20  # some on an edge
    probs[:, 0] += 1 - probs.sum(1)
    probs = probs.clamp(min=0) / probs.clamp(min=0).sum(1, keepdim=True)
    table = class_bins(probs, labels, bins)
    for k in range(classes):
        inside = [(probs[:, k] >= b / bins) & ((probs[:, k] < (b + 1) / bins) | (b == bins - 1)) for b in range(bins)]
        assert table.count[k].tolist() == [int(rows.sum()) for rows in inside]
        assert table.observed[k].tolist() == [int((labels[rows] == k).sum()) for rows in inside]
        torch.testing.assert_close(table.claimed[k], torch.stack([probs[rows, k].sum() for rows in inside]))


def test_pieces_make_no_difference(predictions: Draw, monkeypatch: pytest.MonkeyPatch):
    probs, labels = predictions(101, 5)
    whole, rows = classification_metrics(probs, labels), score_rows(probs, labels)
    monkeypatch.setattr("calmix.metrics.row_scores.PIECE", 15)  # three rows
    assert classification_metrics(probs, labels) == pytest.approx(whole, abs=1e-12)
    for name in RowScores.__dataclass_fields__:
        torch.testing.assert_close(getattr(score_rows(probs, labels), name), getattr(rows, name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_and_classes_have_no_order(metric, predictions: Draw):
    probs, labels = predictions(300, 5)
    generator = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(300, generator=generator), torch.randperm(5, generator=generator)
    assert metric(probs[rows], labels[rows]) == pytest.approx(metric(probs, labels))
    assert metric(probs[:, classes], classes.argsort()[labels]) == pytest.approx(metric(probs, labels))


@pytest.mark.parametrize("metric", METRICS)
def test_one_row(metric):
    right, wrong = (metric(torch.tensor([[0.25, 0.75]]), torch.tensor([label])) for label in (1, 0))
    expected = {
        accuracy: (1, 0), nll: (-math.log(0.75), -math.log(0.25)), brier: (0.125, 1.125), sharpness: (0.625, 0.625),
        auroc_correct: (0.5, 0.5), aurc: (0, 1), debiased_ece: (0, 0),
    }  # fmt: skip
    assert (right, wrong) == pytest.approx(expected.get(metric, (0.25, 0.75)))


def test_all_metrics_by_name(real: Real):
    probs, labels, known_accuracy, known_ece = real
    measured = classification_metrics(probs, labels)
    assert list(measured) == NAMES
    assert measured["accuracy"] == pytest.approx(known_accuracy, abs=1e-12)
    assert measured["ece"] == pytest.approx(known_ece, abs=5e-5)
    parts = brier_parts(probs, labels)
    alone = {metric.__name__: metric(probs, labels) for metric in METRICS}
    alone |= {"brier_reliability": parts.reliability, "brier_resolution": parts.resolution}
    assert measured == alone


def test_bins_are_an_argument_of_all_binned_metrics(predictions: Draw):
    probs, labels = predictions(200, 3)
    measured, parts = classification_metrics(probs, labels, bins=4), brier_parts(probs, labels, bins=4)
    for metric in BINNED:
        assert measured[metric.__name__] == metric(probs, labels, bins=4) != metric(probs, labels)
    assert (measured["brier_reliability"], measured["brier_resolution"]) == (parts.reliability, parts.resolution)


def test_numpy_views_and_half_precision_come_as_they_are(predictions: Draw):
    probs, labels = predictions(30, 3)
    views = probs.numpy()[::-1], labels.numpy()[::-1].astype(np.uint8)
    views[0].flags.writeable = False
    assert classification_metrics(*views) == pytest.approx(classification_metrics(probs, labels))
    assert classification_metrics(probs.T.contiguous().T, labels) == classification_metrics(probs, labels)
    half = probs.half().requires_grad_()
    assert classification_metrics(half, labels) == classification_metrics(half.detach().double(), labels)


def test_the_input_is_left_alone(predictions: Draw):
    probs, labels = predictions(30, 3)
    before = probs.clone()
    classification_metrics(probs, labels)
    assert torch.equal(probs, before)


def test_a_row_may_exceed_one_by_rounding():
    assert ece(torch.tensor([[1.0000002, 0.0]]), torch.tensor([0])) == 0
    assert mce(torch.tensor([[1.0000002, 0.0]]), torch.tensor([0])) == 0
    assert class_bins(torch.tensor([[1.0000002, 0.0]]), torch.tensor([0]), 2).count.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_softmax_in_half_precision_is_measured_as_it_is(dtype: torch.dtype, classes: int):
    """Its rows sum to one within its rounding alone; the numbers differ from float32's by no more than that."""
    generator = torch.Generator().manual_seed(0)
    exact = (3 * torch.randn(300, classes, generator=generator)).softmax(1)
    probs, labels = exact.to(dtype), exact.argmax(1)
    rounding = torch.finfo(dtype).eps
    assert 0.2 * rounding < (probs.double().sum(1) - 1).abs().max() < rounding
    assert classification_metrics(probs, labels) == classification_metrics(probs.float(), labels)
    assert brier(probs, labels) == pytest.approx(brier(exact, labels), abs=2 * rounding)
    assert nll(probs, labels) == pytest.approx(nll(exact, labels), abs=rounding)


def test_numbers_between_zero_and_one_are_not_taken_for_probabilities():
    sigmoids = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.3, 0.6]])  # as others do, by a look at the range
    with pytest.raises(DataError, match=r"row 0 is off by 0.5; of logits, pass logits.softmax\(1\)"):
        ece(sigmoids, torch.tensor([0, 2]))


def test_the_row_that_is_off_is_found_in_whatever_piece(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.metrics.row_scores.PIECE", 4)
    probs = torch.full((9, 2), 0.5)
    probs[7, 0] = 0.25
    with pytest.raises(DataError, match=r"row 7 is off by 0.25"):
        accuracy(probs, torch.zeros(9, dtype=torch.long))


@pytest.mark.parametrize("metric", [*METRICS, *OTHERS, classification_metrics])
def test_advice(metric):
    probs, labels = torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([0, 1])
    with pytest.raises(ShapeError, match=r"probs has shape \(2,\), expected \(n, K\).* two columns"):
        metric(probs[:, 0], labels)
    with pytest.raises(ShapeError, match=r"labels has shape \(1,\), expected \(2,\)"):
        metric(probs, labels[:1])
    with pytest.raises(ShapeError, match=r"labels has shape \(2, 2\), expected \(2,\)"):
        metric(probs, torch.eye(2).long())
    with pytest.raises(ShapeError, match="no rows"):
        metric(probs[:0], labels[:0])
    with pytest.raises(ShapeError, match=r"torch.float32, expected class ids; pass labels.long\(\)"):
        metric(probs, labels.float())
    for outside in (-1, 2):
        with pytest.raises(DataError, match="expected 0 to 1"):
            metric(probs, torch.tensor([0, outside]))
    for bad in (torch.nan, torch.inf, -0.1):
        with pytest.raises(DataError, match=r"negative number, NaN or infinity; of logits, pass logits.softmax"):
            metric(torch.tensor([[0.5, 0.5], [bad, 1.1]]), labels)
    with pytest.raises(DataError, match=r"row 1 is off by 0.25; of logits, pass logits.softmax\(1\)"):
        metric(torch.tensor([[0.5, 0.5], [0.5, 0.75]]), labels)


@pytest.mark.parametrize(
    "metric", [*BINNED, reliability, brier_parts, ece_interval, class_bins, classification_metrics]
)
def test_advice_on_bins(metric):
    with pytest.raises(SettingError, match="bins is 0, expected at least 1"):
        metric(torch.eye(2), torch.arange(2), bins=0)
