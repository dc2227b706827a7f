import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from calmix.errors import DataError, ShapeError
from calmix.metrics import accuracy, adaptive_ece, brier, classification_metrics, ece, nll, reliability

METRICS = [accuracy, nll, brier, ece, adaptive_ece]
REAL = [("cifar10_lenet5", 0.5308), ("cifar10_wrn16_4", 0.9109)]


def predictions(n: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (n, K) and labels (n,) drawn from them: perfectly calibrated."""
    generator = torch.Generator().manual_seed(seed)
    probs = (2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)).softmax(1)
    return probs, torch.multinomial(probs, 1, generator=generator)[:, 0]


def ece_by_loop(probs: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Guo et al. (2017), equation 3, with [low, high) bins."""
    confidence, right = probs.max(1).astype(np.float64), probs.argmax(1) == labels
    total = 0.0
    for k in range(bins):
        inside = (confidence >= k / bins) & ((confidence < (k + 1) / bins) | (k == bins - 1))
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def adaptive_ece_by_split(probs: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Equal parts of the sorted rows; for n a multiple of B, without equal confidences."""
    confidence, right = probs.max(1).astype(np.float64), probs.argmax(1) == labels
    parts = np.array_split(np.argsort(confidence), bins)
    return float(np.mean([abs(confidence[part].mean() - right[part].mean()) for part in parts]))


@pytest.fixture(params=REAL, ids=[name for name, _ in REAL])
def real(request: pytest.FixtureRequest, real_data: Path) -> tuple[np.ndarray, np.ndarray, float]:
    name, published_accuracy = request.param
    file = np.load(real_data / "predictions" / f"{name}.npz")
    return file["probs"], file["labels"], published_accuracy


@given(st.integers(1, 60), st.integers(3, 7), st.integers(0, 1000))
def test_scikit_learn_agrees(n: int, classes: int, seed: int):
    probs, labels = predictions(n, classes, seed)
    ids = range(classes)
    assert accuracy(probs, labels) == pytest.approx(sklearn.metrics.accuracy_score(labels, probs.argmax(1)))
    assert nll(probs, labels) == pytest.approx(sklearn.metrics.log_loss(labels, probs, labels=ids))
    assert brier(probs, labels) == pytest.approx(sklearn.metrics.brier_score_loss(labels, probs, labels=ids))


def test_brier_of_two_classes_is_twice_the_binary_score():
    probs, labels = predictions(50, 2)
    assert brier(probs, labels) == pytest.approx(2 * sklearn.metrics.brier_score_loss(labels, probs[:, 1]))


def test_certain_and_wrong_is_the_worst_and_still_finite():
    probs, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    assert nll(probs, wrong) == pytest.approx(-math.log(2**-1022))
    assert (brier(probs, wrong), ece(probs, wrong), accuracy(probs, wrong)) == (2, 1, 0)


def test_certain_and_right_is_perfect():
    probs, labels = torch.eye(3), torch.arange(3)
    assert classification_metrics(probs, labels) == {
        "accuracy": 1, "nll": 0, "brier": 0, "ece": 0, "adaptive_ece": 0
    }  # fmt: skip


def test_ece_by_hand():
    confidence = torch.tensor([0.55, 0.65, 0.95, 0.85])
    probs = torch.stack([confidence, 1 - confidence], 1)
    labels = torch.tensor([0, 1, 0, 0])
    # bins of width 1/5: {0.55} right, {0.65} wrong, {0.85, 0.95} right
    assert ece(probs, labels, bins=5) == pytest.approx(0.25 * 0.45 + 0.25 * 0.65 + 0.5 * 0.1)
    # two bins of two rows: {0.55, 0.65} half right, {0.85, 0.95} right
    assert adaptive_ece(probs, labels, bins=2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


@pytest.mark.parametrize("metric", [ece, adaptive_ece])
def test_confidence_of_exactly_one_is_counted(metric):
    probs = torch.tensor([[1.0, 0.0]]).repeat(20, 1)
    assert metric(probs, torch.arange(20) % 2) == 0.5


def test_reliability_shows_where_the_rows_are():
    bins = reliability(torch.tensor([[0.9, 0.1], [1.0, 0.0], [0.4, 0.6]]), torch.tensor([0, 1, 1]), bins=4)
    assert bins.count.tolist() == [0, 0, 1, 2]
    assert bins.claimed.tolist() == pytest.approx([0, 0, 0.6, 0.95])
    assert bins.observed.tolist() == [0, 0, 1, 0.5]


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("classes", [2, 5])
def test_torchmetrics_agrees_away_from_edges(bins: int, classes: int):
    probs, labels = predictions(2000, classes)
    theirs = multiclass_calibration_error(probs, labels, num_classes=classes, n_bins=bins, norm="l1")
    assert ece(probs, labels, bins) == pytest.approx(theirs.item(), abs=1e-6)


def test_netcal_agrees():
    netcal = pytest.importorskip("netcal.metrics")
    probs, labels = predictions(2000, 5)
    theirs = netcal.ECE(bins=15).measure(probs.numpy(), labels.numpy())
    assert ece(probs, labels) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("metric", [ece, adaptive_ece])
def test_a_calibrated_predictor_errs_by_sampling_only(metric):
    n, bins = 20_000, 15
    probs, labels = predictions(n, 4)
    # a bin's gap has a mean size of at most 1 / (2 sqrt(n_b)), so by Cauchy-Schwarz the sum is at most this
    assert metric(probs, labels, bins) < 0.5 * math.sqrt(bins / n)
    sharpened = probs.square() / probs.square().sum(1, keepdim=True)
    assert metric(sharpened, labels, bins) > 5 * math.sqrt(bins / n)


def test_adaptive_ece_is_the_mean_over_equal_parts():
    probs, labels = predictions(600, 5)
    theirs = adaptive_ece_by_split(probs.numpy(), labels.numpy(), 15)
    assert adaptive_ece(probs, labels) == pytest.approx(theirs)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_and_classes_have_no_order(metric):
    probs, labels = predictions(300, 5)
    generator = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(300, generator=generator), torch.randperm(5, generator=generator)
    assert metric(probs[rows], labels[rows]) == pytest.approx(metric(probs, labels))
    assert metric(probs[:, classes], classes.argsort()[labels]) == pytest.approx(metric(probs, labels))


@pytest.mark.parametrize("metric", METRICS)
def test_one_row(metric):
    right, wrong = (metric(torch.tensor([[0.25, 0.75]]), torch.tensor([label])) for label in (1, 0))
    expected = {
        accuracy: (1, 0), nll: (-math.log(0.75), -math.log(0.25)), brier: (0.125, 1.125),
        ece: (0.25, 0.75), adaptive_ece: (0.25, 0.75),
    }  # fmt: skip
    assert (right, wrong) == pytest.approx(expected[metric])


def test_real_predictions(real: tuple[np.ndarray, np.ndarray, float]):
    probs, labels, published_accuracy = real
    measured = classification_metrics(probs, labels)
    assert measured["accuracy"] == pytest.approx(published_accuracy, abs=1e-12)
    assert measured["ece"] == pytest.approx(ece_by_loop(probs, labels), abs=1e-12)
    assert list(measured.values()) == [metric(probs, labels) for metric in METRICS]


def test_real_confidences_of_exactly_one_have_no_order(real: tuple[np.ndarray, np.ndarray, float]):
    probs, labels, _ = real  # the wide network claims exactly 1 in 2,469 rows
    wrong_first = np.argsort(probs.argmax(1) == labels, kind="stable")
    assert adaptive_ece(probs[wrong_first], labels[wrong_first]) == pytest.approx(adaptive_ece(probs, labels))


def test_numpy_views_and_half_precision_come_as_they_are():
    probs, labels = predictions(30, 3)
    views = probs.numpy()[::-1], labels.numpy()[::-1].astype(np.uint8)
    views[0].flags.writeable = False
    assert classification_metrics(*views) == pytest.approx(classification_metrics(probs, labels))
    half = probs.half().requires_grad_()
    assert classification_metrics(half, labels) == classification_metrics(half.detach().double(), labels)


def test_a_row_may_exceed_one_by_rounding():
    assert ece(torch.tensor([[1.0000002, 0.0]]), torch.tensor([0])) == 0


@pytest.mark.parametrize("metric", [*METRICS, reliability, classification_metrics])
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
