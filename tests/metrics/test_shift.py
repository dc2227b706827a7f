import math

import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import torch

from calmix.errors import DataError, ShapeError
from calmix.metrics import SCORES, detection_metrics, max_probability, negative_energy, negative_entropy, shift_metrics


def logits(n: int, scale: float, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))


def test_scipy_agrees_on_the_scores():
    given = logits(20, 3)
    probs = scipy.special.softmax(given.double().numpy(), axis=1)
    assert max_probability(given).tolist() == pytest.approx(probs.max(1).tolist())
    assert negative_entropy(given).tolist() == pytest.approx((-scipy.stats.entropy(probs, axis=1)).tolist())
    assert negative_energy(given).tolist() == pytest.approx(
        scipy.special.logsumexp(given.double().numpy(), axis=1).tolist()
    )


def test_large_logits_neither_overflow_nor_become_nan():
    given = torch.tensor([[1e4, -1e4]])
    assert max_probability(given).item() == 1
    assert negative_entropy(given).item() == 0
    assert negative_energy(given).item() == 1e4


def test_scikit_learn_agrees_on_the_detection():
    inside, outside = logits(200, 3), logits(80, 1, seed=1)
    positive = [1] * 200 + [0] * 80
    for name, measured in shift_metrics(inside, outside).items():
        scores = torch.cat([SCORES[name](inside), SCORES[name](outside)])
        fpr, tpr, _ = sklearn.metrics.roc_curve(positive, scores, drop_intermediate=False)
        assert measured["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))
        assert measured["aupr"] == pytest.approx(sklearn.metrics.average_precision_score(positive, scores))
        assert measured["fpr95"] == pytest.approx(fpr[tpr >= 0.95].min())
        assert measured["auroc"] > 0.7


def test_the_same_rows_cannot_be_told_apart():
    given = logits(100, 3)
    for measured in shift_metrics(given, given).values():
        assert measured["auroc"] == pytest.approx(0.5)
        assert measured["aupr"] == pytest.approx(0.5, abs=0.01)
        assert measured["fpr95"] == pytest.approx(0.95)


def test_only_the_energy_sees_a_shift_of_all_logits():
    inside = logits(100, 3)
    measured = shift_metrics(inside + 100, inside)
    assert measured["energy"] == {"auroc": 1, "aupr": 1, "fpr95": 0}
    assert measured["max_probability"]["auroc"] == pytest.approx(0.5, abs=0.01)
    assert measured["entropy"]["auroc"] == pytest.approx(0.5, abs=0.01)


def test_one_row_each():
    measured = shift_metrics(torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    assert set(measured) == {"max_probability", "entropy", "energy"}
    assert all(each == {"auroc": 1, "aupr": 1, "fpr95": 0} for each in measured.values())
    assert negative_entropy(torch.zeros(1, 2)).item() == pytest.approx(-math.log(2))


def test_advice():
    with pytest.raises(ShapeError, match=r"logits have shape \(2,\), expected \(n, K\)"):
        shift_metrics(torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"logits have shape \(0, 2\)"):
        shift_metrics(torch.zeros(2, 2), torch.zeros(0, 2))
    with pytest.raises(DataError, match="logits hold NaN or infinity"):
        shift_metrics(torch.zeros(2, 2), torch.full((2, 2), torch.inf))
    with pytest.raises(ShapeError, match=r"in_scores has shape \(2, 2\)"):
        detection_metrics(torch.zeros(2, 2), torch.zeros(2))
    with pytest.raises(DataError, match="scores holds NaN"):
        detection_metrics(torch.full((2,), torch.nan), torch.zeros(2))
