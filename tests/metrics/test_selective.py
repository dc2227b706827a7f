import itertools
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import ShapeError
from calmix.metrics import accuracy, aurc, auroc_correct, risk_coverage, risk_curve

Draw = Callable[..., tuple[Tensor, Tensor]]
Real = tuple[np.ndarray, np.ndarray, float, float]


def answers(confidence: list[float], right: list[bool]) -> tuple[Tensor, Tensor]:
    """Two classes; each row is that confident of class 0."""
    p = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([p, 1 - p], 1), 1 - torch.tensor(right).long()


def test_by_hand():
    probs, labels = answers([0.9, 0.6, 0.8, 0.7], [True, True, False, True])
    curve = risk_coverage(probs, labels)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert aurc(probs, labels) == curve.area() == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


@given(st.lists(st.tuples(st.sampled_from([0.6, 0.75, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_ties_count_as_the_mean_over_all_orders(rows: list[tuple[float, bool]]):
    confidence, right = zip(*rows, strict=True)
    risks = []
    for order in itertools.permutations(range(len(rows))):
        ranked = sorted(order, key=lambda i: -confidence[i])
        risks.append(np.cumsum([not right[i] for i in ranked]) / np.arange(1, len(rows) + 1))
    curve = risk_coverage(*answers(list(confidence), list(right)))
    assert curve.risk.tolist() == pytest.approx(np.mean(risks, 0).tolist())


def test_the_curve_ends_at_the_error_rate(real: Real):
    probs, labels, known_accuracy, _ = real
    assert risk_coverage(probs, labels).risk[-1].item() == pytest.approx(1 - known_accuracy)


def test_the_best_order_has_the_area_of_geifman_and_the_worst_the_other():
    n, wrong = 2000, 500  # with every right answer first, the area is r + (1 - r) log(1 - r) for an error rate r
    confidence = torch.linspace(0.99, 0.51, n).tolist()
    r = wrong / n
    best = aurc(*answers(confidence, [k < n - wrong for k in range(n)]))
    worst = aurc(*answers(confidence, [k >= wrong for k in range(n)]))
    assert best == pytest.approx(r + (1 - r) * np.log(1 - r), abs=2 / n)
    assert worst == pytest.approx(r - r * np.log(r), abs=2 / n)


def test_scikit_learn_agrees_on_the_order(predictions: Draw):
    probs, labels = predictions(500, 4)
    confidence, predicted = probs.max(1)
    assert auroc_correct(probs, labels) == pytest.approx(sklearn.metrics.roc_auc_score(predicted == labels, confidence))


def test_confidence_without_meaning_gains_nothing(predictions: Draw):
    probs, labels = answers([0.8] * 10, [True] * 7 + [False] * 3)
    assert auroc_correct(probs, labels) == 0.5
    assert risk_coverage(probs, labels).risk.tolist() == pytest.approx([0.3] * 10)
    assert aurc(probs, labels) == pytest.approx(1 - accuracy(probs, labels))
    probs, labels = predictions(2000, 3)
    assert aurc(probs, labels) < 1 - accuracy(probs, labels) - 0.05


def test_the_curve_of_confidences_is_the_curve_of_the_probabilities():
    curve = risk_curve(torch.tensor([0.6, 0.9, 0.9]), torch.tensor([1, 0, 1]))
    assert curve.risk.tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3])  # the two equal ones share their mean
    with pytest.raises(ShapeError, match=r"claimed has shape \(2,\) and observed \(3,\)"):
        risk_curve(torch.zeros(2), torch.zeros(3))
