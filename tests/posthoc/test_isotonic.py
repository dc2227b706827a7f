from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from torch import Tensor

from calmix.errors import SettingError
from calmix.metrics import adaptive_ece, ece, nll
from calmix.posthoc import CalibrationLogits, fit_isotonic
from calmix.posthoc.calibration import folds_of


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
    ours = fit_isotonic(CalibrationLogits(logits, labels), share=1)(new).exp()
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
    probs = fit_isotonic(CalibrationLogits(logits, torch.zeros(n).long()), share=1)(logits).softmax(1)
    assert probs[0, 0] > 1 - 1 / n
    assert (probs > 0).all()


def test_each_curve_rises():
    logits, labels = drawn(300)
    for claimed, becomes in fit_isotonic(CalibrationLogits(logits, labels)).knots:
        assert (np.diff(claimed) > 0).all()
        assert (np.diff(becomes) >= 0).all()
        assert becomes.min() > 0
        assert becomes.max() <= 1


def test_few_rows_give_the_curves_a_part_of_the_say_and_many_all_of_it():
    new, new_labels = drawn(5000, classes=10, seed=1)
    after: dict[int, float] = {}
    for n in (50, 5000):
        calibration = CalibrationLogits(*drawn(n, classes=10))
        found, curves = fit_isotonic(calibration), fit_isotonic(calibration, share=1)
        after[n] = nll(found(new).softmax(1), new_labels) - nll(curves(new).softmax(1), new_labels)
        assert nll(found(new).softmax(1), new_labels) < nll(new.softmax(1), new_labels)
        assert 0 < found.share < 1
    assert after[50] < -0.1
    assert fit_isotonic(calibration).share > 0.95
    assert abs(after[5000]) < 0.02


def test_the_average_is_one_of_probabilities():
    calibration, (new, _) = CalibrationLogits(*drawn(200)), drawn(100, seed=1)
    none, some, all_ = (fit_isotonic(calibration, share)(new).exp() for share in (0.0, 0.25, 1.0))
    torch.testing.assert_close(none, new.softmax(1))
    torch.testing.assert_close(some, 0.75 * none + 0.25 * all_)


def test_the_share_is_the_mean_over_all_shares():
    """Of a network that is wrong every third time the left-out rows' likelihood is a polynomial in the share."""
    logits = torch.tensor([[4.0, 0.0]]).repeat(30, 1)
    labels = (torch.arange(30) % 3 == 0).long()
    as_it_was, by_curves = [], []
    for rest, left_out in folds_of(CalibrationLogits(logits, labels), 5):
        wrong = rest.labels.double().mean()  # one knot: the curve is the share of the class
        by_curves += torch.stack([1 - wrong, wrong])[left_out.labels].tolist()
        as_it_was += logits[0].double().softmax(0)[left_out.labels].tolist()
    p, q = np.array(as_it_was), np.array(by_curves)
    likelihood = lambda s: np.prod((1 - s) * p + s * q)  # noqa: E731
    expected = quad(lambda s: s * likelihood(s), 0, 1)[0] / quad(likelihood, 0, 1)[0]
    assert fit_isotonic(CalibrationLogits(logits, labels)).share == pytest.approx(expected, abs=0.01)
    assert fit_isotonic(CalibrationLogits(logits[:1], labels[:1])).share == 0.5  # nothing is left to predict it by


def test_advice():
    with pytest.raises(SettingError, match=r"share is 1.5, expected a number in \[0, 1\], or None"):
        fit_isotonic(CalibrationLogits(*drawn(10)), share=1.5)


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
