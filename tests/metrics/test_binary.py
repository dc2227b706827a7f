import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import (
    binary_metrics,
    brier,
    ece,
    nll,
    positive_adaptive_ece,
    positive_brier,
    positive_ece,
    positive_reliability,
    positive_smooth_ece,
    positive_smooth_reliability,
)

ERRORS = [positive_ece, positive_adaptive_ece, positive_smooth_ece]


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """P(y = 1) and labels drawn from it: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    p = generator.beta(0.7, 1.5, n)
    return p, (generator.random(n) < p).astype(int)


@settings(max_examples=30)
@given(n=st.integers(1, 50), seed=st.integers(0, 1000))
def test_others_agree(n: int, seed: int):
    p, labels = rows(n, seed)
    measured = binary_metrics(p, labels)
    assert measured["accuracy"] == sklearn.metrics.accuracy_score(labels, p > 0.5)
    assert measured["nll"] == pytest.approx(sklearn.metrics.log_loss(labels, p, labels=[0, 1]))
    assert measured["positive_brier"] == pytest.approx(sklearn.metrics.brier_score_loss(labels, p))
    theirs = binary_calibration_error(torch.tensor(p), torch.tensor(labels), n_bins=15)
    assert measured["positive_ece"] == pytest.approx(theirs.item(), abs=1e-6)
    if 0 < labels.sum() < n:
        assert measured["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, p))
        assert measured["auprc"] == pytest.approx(sklearn.metrics.average_precision_score(labels, p))


def test_the_two_columns_tell_the_same_but_for_the_calibration_error():
    p, labels = rows(500)
    probs = np.stack([1 - p, p], 1)
    assert binary_metrics(p, labels)["nll"] == pytest.approx(nll(probs, labels))
    assert positive_brier(p, labels) == pytest.approx(brier(probs, labels) / 2)


def test_honest_about_the_top_label_and_not_about_the_positive_class():
    # 0.2 never comes true, 0.8 comes true in six of ten: as confidences both are 0.8, and eight of ten rows are right
    p = torch.tensor([0.2] * 10 + [0.8] * 10, dtype=torch.float64)
    labels = torch.tensor([0] * 10 + [1] * 6 + [0] * 4)
    assert ece(torch.stack([1 - p, p], 1), labels) == pytest.approx(0, abs=1e-12)
    assert positive_ece(p, labels) == pytest.approx(0.2)


@pytest.mark.parametrize("error", ERRORS)
def test_turning_the_classes_around_changes_nothing(error):
    p, labels = rows(300)
    assert error(1 - p, 1 - labels) == pytest.approx(error(p, labels), abs=1e-9)


@pytest.mark.parametrize("error", ERRORS)
def test_calibrated_and_not(error):
    p, labels = rows(20_000)
    assert error(p, labels) < 0.02
    assert error(p**2, labels) > 0.05
    assert error(torch.tensor([1.0, 0.0]), torch.tensor([1, 0])) == pytest.approx(0, abs=1e-12)
    assert error(torch.tensor([1.0, 1.0]), torch.tensor([0, 0])) == pytest.approx(1)


def test_reliability_is_of_the_positive_class():
    bins = positive_reliability(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0, 1, 1]), bins=2)
    assert bins.count.tolist() == [2, 1]
    assert bins.claimed.tolist() == pytest.approx([0.15, 0.9])
    assert bins.observed.tolist() == [0.5, 1]


@pytest.mark.parametrize("metric", [binary_metrics, positive_brier, positive_reliability, *ERRORS])
def test_advice(metric):
    p, labels = torch.tensor([0.5, 0.5]), torch.tensor([0, 1])
    with pytest.raises(ShapeError, match=r"p has shape \(2, 2\).* pass the second, probs\[:, 1\]"):
        metric(torch.stack([p, p], 1), labels)
    with pytest.raises(ShapeError, match=r"p has shape \(0,\)"):
        metric(p[:0], labels[:0])
    for bad in (torch.nan, -0.1, 1.5):
        with pytest.raises(DataError, match=r"p leaves \[0, 1\] or holds NaN; of logits, pass logits.sigmoid\(\)"):
            metric(torch.tensor([0.5, bad]), labels)
    with pytest.raises(DataError, match="something other than 0 and 1"):
        metric(p, labels + 1)


def test_advice_on_settings():
    p, labels = torch.tensor([0.5, 0.5]), torch.tensor([0, 1])
    with pytest.raises(SettingError, match="bins is 0"):
        binary_metrics(p, labels, bins=0)
    with pytest.raises(SettingError, match="norm is 0"):
        positive_ece(p, labels, norm=0)
    with pytest.raises(SettingError, match="bandwidth is 2"):
        positive_smooth_reliability(p, labels, bandwidth=2)
