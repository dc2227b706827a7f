import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import binary_metrics, multilabel_metrics, positive_ece, positive_smooth_ece


def rows(n: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, L) and targets drawn from them: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    probs = generator.random((n, labels))
    return probs, (generator.random((n, labels)) < probs).astype(int)


@settings(max_examples=30)
@given(n=st.integers(1, 30), labels=st.integers(1, 5), seed=st.integers(0, 1000))
def test_scikit_learn_agrees(n: int, labels: int, seed: int):
    probs, targets = rows(n, labels, seed)
    measured, answers = multilabel_metrics(probs, targets), (probs > 0.5).astype(int)
    assert measured["exact_match"] == pytest.approx((answers == targets).all(1).mean())
    assert measured["label_accuracy"] == pytest.approx(1 - sklearn.metrics.hamming_loss(targets, answers))
    assert measured["nll"] == pytest.approx(sklearn.metrics.log_loss(targets.ravel(), probs.ravel(), labels=[0, 1]))
    told = [k for k in range(labels) if 0 < targets[:, k].sum() < n]
    if told:
        auroc = sklearn.metrics.roc_auc_score(targets[:, told], probs[:, told], average="macro")
        precision = sklearn.metrics.average_precision_score(targets[:, told], probs[:, told], average="macro")
        assert measured["macro_auroc"] == pytest.approx(auroc)
        assert measured["macro_auprc"] == pytest.approx(precision)
    else:
        assert (measured["macro_auroc"], measured["macro_auprc"]) == (0.5, 0)


def test_one_label_is_the_binary_case():
    probs, targets = rows(100, 1)
    several, binary = multilabel_metrics(probs, targets), binary_metrics(probs[:, 0], targets[:, 0])
    assert several["exact_match"] == several["label_accuracy"] == binary["accuracy"]
    assert several["labelwise_ece"] == several["positive_ece"] == binary["positive_ece"]
    assert (several["macro_auroc"], several["macro_auprc"]) == (binary["auroc"], binary["auprc"])


def test_errors_of_labels_cancel_together_and_not_apart():
    probs = torch.full((10, 2), 0.5)
    targets = torch.tensor([[1, 0]]).repeat(10, 1)
    measured = multilabel_metrics(probs, targets)
    assert measured["positive_ece"] == 0
    assert measured["labelwise_ece"] == 0.5


def test_all_answers_together():
    probs, targets = rows(50, 3)
    measured = multilabel_metrics(probs, targets, bins=5)
    assert measured["positive_ece"] == positive_ece(probs.ravel(), targets.ravel(), bins=5)
    assert measured["positive_smooth_ece"] == positive_smooth_ece(probs.ravel(), targets.ravel())
    assert measured["positive_brier"] == pytest.approx(((probs - targets) ** 2).mean())


def test_advice():
    probs, targets = torch.full((3, 2), 0.5), torch.ones(3, 2)
    with pytest.raises(ShapeError, match=r"probs has shape \(3, 2\) and targets \(3,\), expected \(n, L\)"):
        multilabel_metrics(probs, targets[:, 0])
    with pytest.raises(ShapeError, match=r"probs has shape \(0, 2\)"):
        multilabel_metrics(probs[:0], targets[:0])
    for bad in (torch.nan, 1.5):
        with pytest.raises(DataError, match=r"of logits, pass logits.sigmoid\(\)"):
            multilabel_metrics(probs.where(targets == 0, bad), targets)
    with pytest.raises(DataError, match="one column of 0 and 1 for each label"):
        multilabel_metrics(probs, targets * 2)
    with pytest.raises(SettingError, match="bins is 0"):
        multilabel_metrics(probs, targets, bins=0)
