"""Metrics of unequal classes are scikit-learn's, and what is known of predictors that know nothing."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics import (
    balanced_accuracy,
    base_rate,
    class_recalls,
    classification_metrics,
    imbalance_metrics,
    macro_auprc,
    macro_auroc,
    macro_f1,
    nll,
    nll_skill,
)
from calmix.metrics.ranking import auprc, auroc
from calmix.metrics.unequal import one_against_rest

Draw = Callable[..., tuple[Tensor, Tensor]]
METRICS = [balanced_accuracy, macro_f1, class_recalls, macro_auroc, macro_auprc, nll_skill, imbalance_metrics]


@given(n=st.integers(2, 80), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_scikit_learn_agrees(predictions: Draw, n: int, classes: int, seed: int):
    probs, labels = predictions(n, classes, seed)
    probs = (probs * 20).round() / (probs * 20).round().sum(1, keepdim=True)  # many equal probabilities
    answers = probs.argmax(1)
    options: Any = {"labels": range(classes), "average": None, "zero_division": np.nan}
    recalls = np.asarray(sklearn.metrics.recall_score(labels, answers, **options))
    assert class_recalls(probs, labels) == pytest.approx(recalls.tolist(), nan_ok=True)
    assert balanced_accuracy(probs, labels) == pytest.approx(np.nanmean(recalls))
    assert macro_f1(probs, labels) == pytest.approx(sklearn.metrics.f1_score(labels, answers, average="macro"))
    both = [k for k in range(classes) if 0 < (labels == k).sum() < n]
    if not both:
        assert (macro_auroc(probs, labels), macro_auprc(probs, labels)) == (0.5, 0.0)
        return
    for ours, theirs in (
        (macro_auroc, sklearn.metrics.roc_auc_score),
        (macro_auprc, sklearn.metrics.average_precision_score),
    ):
        expected = np.mean([theirs(labels == k, probs[:, k]) for k in both])
        assert ours(probs, labels) == pytest.approx(expected)


def test_scikit_learn_agrees_on_the_area_of_all_classes_at_once(predictions: Draw):
    probs, labels = predictions(400, 4)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    expected = sklearn.metrics.roc_auc_score(labels, probs, multi_class="ovr", average="macro")
    assert macro_auroc(probs, labels) == pytest.approx(expected)
    two, labels = predictions(200, 2)
    assert macro_auroc(two, labels) == pytest.approx(sklearn.metrics.roc_auc_score(labels, two[:, 1]))


@given(scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_the_fast_areas_are_the_plain_ones(scores: list[float], seed: int):
    values = torch.tensor(scores, dtype=torch.float64)
    positive = torch.rand(len(scores), generator=torch.Generator().manual_seed(seed)) < 0.4
    positive[0], positive[-1] = True, False
    assert one_against_rest(values, positive) == pytest.approx((auroc(values, positive), auprc(values, positive)))


def test_always_the_majority_is_right_often_and_knows_nothing():
    labels = torch.tensor([0] * 99 + [1])
    probs = torch.tensor([[0.99, 0.01]], dtype=torch.float64).repeat(100, 1)
    found = imbalance_metrics(probs, labels)
    assert classification_metrics(probs, labels)["accuracy"] == found["base_rate"] == 0.99
    assert found["balanced_accuracy"] == found["macro_auroc"] == 0.5
    assert found["most_answered"] == 1
    assert found["nll_skill"] == pytest.approx(0, abs=1e-12)
    assert found["macro_f1"] == pytest.approx((2 * 99 / 199 + 0) / 2)
    assert class_recalls(probs, labels) == [1, 0]


def test_skill_is_one_less_the_ratio_of_two_losses(predictions: Draw):
    probs, labels = predictions(300, 3)
    known = torch.tensor([30, 60, 10])
    said = (known / known.sum()).repeat(300, 1)
    assert nll_skill(probs, labels, known) == pytest.approx(1 - nll(probs, labels) / nll(said, labels))
    assert nll_skill(said, labels, known) == pytest.approx(0, abs=1e-6)
    own = labels.bincount().double() / 300
    assert nll_skill(probs, labels) == pytest.approx(1 - nll(probs, labels) / nll(own.repeat(300, 1), labels))
    assert nll_skill(torch.eye(3)[labels], labels, known) == 1
    assert nll_skill(probs, labels) < nll_skill(probs, labels, known)  # their own frequencies know more


def test_skill_needs_shares_of_the_classes_that_have_rows(predictions: Draw):
    probs, labels = predictions(50, 3)
    assert math.isnan(nll_skill(probs, labels, torch.tensor([1, 1, 0])))
    assert math.isnan(nll_skill(probs, torch.zeros(50, dtype=torch.int64)))
    assert "nll_skill" not in imbalance_metrics(probs, labels, torch.tensor([1, 1, 0]))
    with pytest.raises(ShapeError, match="one for each class"):
        nll_skill(probs, labels, torch.tensor([1, 1]))
    with pytest.raises(DataError, match="how frequent"):
        nll_skill(probs, labels, torch.tensor([1, -1, 0]))


@pytest.mark.parametrize("metric", METRICS)
def test_bad_predictions_are_refused(metric: Callable[..., object]):
    good, labels = torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1])
    assert metric(good.numpy(), labels.numpy()) == metric(good, labels)
    with pytest.raises(ShapeError):
        metric(good[:, 0], labels)
    with pytest.raises(DataError, match="sum to one"):
        metric(2 * good, labels)
    with pytest.raises(DataError):
        metric(good, labels + 1)


def test_a_base_rate_needs_ids():
    assert base_rate(torch.tensor([3, 3, 1])) == pytest.approx(2 / 3)
    for labels in (torch.tensor([]), torch.tensor([0.5]), torch.zeros(2, 2, dtype=torch.int64)):
        with pytest.raises(ShapeError):
            base_rate(labels)


def test_many_rows_of_many_classes_are_ranked_soon(predictions: Draw):
    probs, labels = predictions(20_000, 50)
    plain = partial(np.mean, dtype=float)
    expected = plain([auroc(probs[:, k], labels == k) for k in range(50)])
    assert macro_auroc(probs, labels) == pytest.approx(expected)
