from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from torch import Tensor

from calmix.metrics import adaptive_ece, ece, nll
from calmix.posthoc import CalibrationLogits, fit_isotonic


class Softmax(ClassifierMixin, BaseEstimator):
    """A fitted scikit-learn classifier whose inputs are logits."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Softmax":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return torch.from_numpy(x).softmax(1).numpy()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(1)


def drawn(n: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Over-confident logits (n, K) and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return 3 * logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("classes", [2, 4])
def test_scikit_learn_agrees(classes: int):
    logits, labels = drawn(1000, classes)
    new, _ = drawn(500, classes, seed=1)
    ours = fit_isotonic(CalibrationLogits(logits, labels))(new).exp()
    frozen = FrozenEstimator(Softmax().fit(logits.numpy(), labels.numpy()))
    theirs = CalibratedClassifierCV(frozen, method="isotonic").fit(logits.numpy(), labels.numpy())
    expected = theirs.predict_proba(new.numpy())
    # they leave exact zeros, we do not: all of them together hold at most 1 / n of a row
    assert np.abs(ours.numpy() - expected).max() < 1 / 1000
    assert (expected == 0).any()
    torch.testing.assert_close(ours.sum(1), torch.ones(500, dtype=torch.float64))


def test_classes_never_seen_share_at_most_one_rows_worth():
    n, classes = 50, 20
    logits = torch.zeros(n, classes)
    probs = fit_isotonic(CalibrationLogits(logits, torch.zeros(n).long()))(logits).softmax(1)
    assert probs[0, 0] > 1 - 1 / n
    assert (probs > 0).all()


def test_each_curve_rises():
    logits, labels = drawn(300)
    for claimed, becomes in fit_isotonic(CalibrationLogits(logits, labels)).knots:
        assert (np.diff(claimed) > 0).all()
        assert (np.diff(becomes) >= 0).all()
        assert becomes.min() > 0
        assert becomes.max() <= 1


def test_over_confidence_is_repaired_on_new_rows():
    calibration, (new, labels) = CalibrationLogits(*drawn(20_000)), drawn(20_000, seed=1)
    before, after = new.softmax(1), fit_isotonic(calibration)(new).softmax(1)
    assert ece(after, labels) < 0.02 < 0.2 < ece(before, labels)
    assert nll(after, labels) < nll(before, labels)


def test_real_networks_gain_on_the_other_half(real_data: Path):
    for name in ("cifar10_lenet5", "cifar10_wrn16_4"):
        file = np.load(real_data / "predictions" / f"{name}.npz")
        logits, labels = torch.from_numpy(file["probs"]).double().log(), torch.from_numpy(file["labels"])
        corrected = fit_isotonic(CalibrationLogits(logits[::2], labels[::2]))(logits[1::2]).softmax(1)
        before = logits[1::2].softmax(1)
        assert adaptive_ece(corrected, labels[1::2]) < adaptive_ece(before, labels[1::2]) / 2
        assert nll(corrected, labels[1::2]) < nll(before, labels[1::2])
