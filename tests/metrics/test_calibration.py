import importlib
import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from calmix.errors import SettingError
from calmix.metrics import Bins, adaptive_ece, classwise_ece, debiased_ece, ece, mce, reliability, rms_ece

Draw = Callable[..., tuple[Tensor, Tensor]]
Real = tuple[np.ndarray, np.ndarray, float, float]


def netcal():
    """netcal.metrics, whose import warns of its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("netcal.metrics")
        except ImportError:
            pytest.skip("netcal is not installed: pip install netcal")


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


def test_ece_by_hand():
    confidence = torch.tensor([0.55, 0.65, 0.95, 0.85])
    probs = torch.stack([confidence, 1 - confidence], 1)
    labels = torch.tensor([0, 1, 0, 0])
    # bins of width 1/5: {0.55} right, {0.65} wrong, {0.85, 0.95} right
    gaps, weights = np.array([0.45, 0.65, 0.1]), np.array([0.25, 0.25, 0.5])
    assert ece(probs, labels, bins=5) == pytest.approx(weights @ gaps)
    assert rms_ece(probs, labels, bins=5) == pytest.approx(np.sqrt(weights @ gaps**2))
    assert ece(probs, labels, bins=5, norm=3) == pytest.approx((weights @ gaps**3) ** (1 / 3))
    assert mce(probs, labels, bins=5) == pytest.approx(0.65)
    # two bins of two rows: {0.55, 0.65} half right, {0.85, 0.95} right
    assert adaptive_ece(probs, labels, bins=2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_classwise_ece_by_hand():
    probs = torch.tensor([[0.9, 0.1, 0.0], [0.7, 0.1, 0.2], [0.2, 0.2, 0.6]])
    # two bins a class; 0: {0.2} none, {0.7, 0.9} one of two; 1: {0.1, 0.1, 0.2} one; 2: {0, 0.2} none, {0.6} one
    gaps = [1 / 3 * 0.2 + 2 / 3 * 0.3, abs(0.4 - 1) / 3, 2 / 3 * 0.1 + 1 / 3 * 0.4]
    assert classwise_ece(probs, torch.tensor([0, 1, 2]), bins=2) == pytest.approx(np.mean(gaps))
    largest = [0.3, abs(0.4 - 1) / 3, 0.4]
    assert classwise_ece(probs, torch.tensor([0, 1, 2]), bins=2, norm=math.inf) == pytest.approx(np.mean(largest))


@pytest.mark.parametrize("metric", [ece, adaptive_ece, classwise_ece, mce, rms_ece, debiased_ece])
def test_confidence_of_exactly_one_is_counted(metric):
    probs = torch.tensor([[1.0, 0.0]]).repeat(20, 1)  # a phantom bin beyond the last would lose these rows
    assert metric(probs, torch.arange(20) % 2) == pytest.approx(0.5, abs=0.03)


def test_reliability_shows_where_the_rows_are():
    bins = reliability(torch.tensor([[0.9, 0.1], [1.0, 0.0], [0.4, 0.6]]), torch.tensor([0, 1, 1]), bins=4)
    assert bins.count.tolist() == [0, 0, 1, 2]
    assert bins.claimed.tolist() == pytest.approx([0, 0, 0.6, 0.95])
    assert bins.observed.tolist() == [0, 0, 1, 0.5]


@given(n=st.integers(1, 60), classes=st.integers(2, 5), bins=st.integers(1, 20), seed=st.integers(0, 1000))
def test_a_larger_norm_never_shows_less(predictions: Draw, n: int, classes: int, bins: int, seed: int):
    probs, labels = predictions(n, classes, seed)
    for metric in (ece, adaptive_ece, classwise_ece):
        errors = [metric(probs, labels, bins, norm) for norm in (1, 1.5, 2, 8, 1000, math.inf)]
        assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(errors))
        assert errors[-2] == pytest.approx(errors[-1], rel=0.05)
    assert debiased_ece(probs, labels, bins) <= rms_ece(probs, labels, bins) * (1 + 1e-9)  # equal but for rounding


@pytest.mark.parametrize(("norm", "theirs"), [(1, "l1"), (2, "l2"), (math.inf, "max")])
@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("classes", [2, 5])
def test_torchmetrics_agrees_away_from_edges(predictions: Draw, bins: int, classes: int, norm: float, theirs: str):
    probs, labels = predictions(2000, classes)
    error = multiclass_calibration_error(probs, labels, num_classes=classes, n_bins=bins, norm=theirs)  # pyright: ignore[reportArgumentType]
    assert ece(probs, labels, bins, norm) == pytest.approx(error.item(), abs=1e-6)


def test_netcal_agrees(predictions: Draw):
    theirs = netcal()
    probs, labels = predictions(2000, 5)
    given = probs.numpy(), labels.numpy()
    assert ece(probs, labels) == pytest.approx(theirs.ECE(bins=15).measure(*given), abs=1e-9)
    assert mce(probs, labels) == pytest.approx(theirs.MCE(bins=15).measure(*given), abs=1e-9)


def test_netcal_agrees_on_real_predictions(real: Real):
    probs, labels, _, known = real
    assert netcal().ECE(bins=15).measure(probs, labels) == pytest.approx(ece(probs, labels), abs=1e-6)
    assert ece(probs, labels) == pytest.approx(ece_by_loop(probs, labels), abs=1e-12)
    assert ece(probs, labels) == pytest.approx(known, abs=5e-5)


@pytest.mark.parametrize("metric", [ece, adaptive_ece])
def test_a_calibrated_predictor_errs_by_sampling_only(metric, predictions: Draw):
    n, bins = 20_000, 15
    probs, labels = predictions(n, 4)
    # a bin's gap has a mean size of at most 1 / (2 sqrt(n_b)), so by Cauchy-Schwarz the sum is at most this
    assert metric(probs, labels, bins) < 0.5 * math.sqrt(bins / n)
    sharpened = probs.square() / probs.square().sum(1, keepdim=True)
    assert metric(sharpened, labels, bins) > 5 * math.sqrt(bins / n)


def test_the_debiased_error_is_right_on_average_and_the_plain_one_is_not(predictions: Draw):
    n, bins, draws = 200, 5, 400
    probs, _ = predictions(n, 3)
    # one fixed set of claims, labels drawn anew: the true gap of each bin is known
    shifted = 0.8 * probs + 0.2 / 3  # what the labels follow; the claims are too sharp
    confidence, predicted = probs.max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = index.bincount(confidence - shifted.gather(1, predicted[:, None])[:, 0], bins)
    true = (gap.square() / index.bincount(minlength=bins).clamp(min=1)).sum() / n
    generator = torch.Generator().manual_seed(1)
    errors = []
    for _ in range(draws):
        labels = torch.multinomial(shifted, 1, generator=generator)[:, 0]
        errors.append((debiased_ece(probs, labels, bins) ** 2, rms_ece(probs, labels, bins) ** 2))
    debiased, plain = np.mean(errors, 0)
    chance = np.std(errors, 0)[0] / math.sqrt(draws)
    assert debiased == pytest.approx(true, abs=4 * chance)
    assert plain > true + 10 * chance


def test_adaptive_ece_is_the_mean_over_equal_parts(predictions: Draw):
    probs, labels = predictions(600, 5)
    theirs = adaptive_ece_by_split(probs.numpy(), labels.numpy(), 15)
    assert adaptive_ece(probs, labels) == pytest.approx(theirs)


def test_real_confidences_of_exactly_one_have_no_order(real: Real):
    probs, labels, *_ = real  # the wide network claims exactly 1 in 2,469 rows
    wrong_first = np.argsort(probs.argmax(1) == labels, kind="stable")
    assert adaptive_ece(probs[wrong_first], labels[wrong_first]) == pytest.approx(adaptive_ece(probs, labels))


@pytest.mark.parametrize("metric", [ece, adaptive_ece, classwise_ece])
def test_advice_on_the_norm(metric):
    for norm in (0.5, math.nan, -1):
        with pytest.raises(SettingError, match=r"norm is .*, expected at least 1; 1 is the mean"):
            metric(torch.eye(2), torch.arange(2), norm=norm)


def test_the_debiased_error_subtracts_the_variance_of_the_bins_accuracy():
    """Four rows of confidence 1, two of them right: (1 - 1/2)^2 - 1/2 1/2 / (4 - 1) = 1/6."""
    probs = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    assert debiased_ece(probs, torch.tensor([0, 0, 1, 1])) == pytest.approx(math.sqrt(1 / 6))
    assert Bins(torch.tensor([4]), torch.tensor([1.0]), torch.tensor([0.5])).debiased_error() ** 2 == pytest.approx(
        1 / 6
    )
