import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import ClassificationMetrics, classification_metrics

Draw = Callable[..., tuple[Tensor, Tensor]]


@settings(max_examples=30)
@given(
    n=st.integers(1, 80),
    classes=st.integers(2, 6),
    bins=st.integers(1, 20),
    cuts=st.lists(st.integers(1, 79), max_size=4),
    seed=st.integers(0, 1000),
)
def test_batches_make_no_difference(predictions: Draw, n: int, classes: int, bins: int, cuts: list[int], seed: int):
    probs, labels = predictions(n, classes, seed)
    edges = [0, *sorted({cut for cut in cuts if cut < n}), n]
    metrics = ClassificationMetrics(bins)
    for start, stop in itertools.pairwise(edges):
        metrics.update(probs[start:stop], labels[start:stop])
    assert metrics.compute() == pytest.approx(classification_metrics(probs, labels, bins), rel=1e-12, abs=1e-12)


def test_more_may_come_after_a_look(predictions: Draw):
    probs, labels = predictions(50, 3)
    metrics = ClassificationMetrics().update(probs[:20], labels[:20])
    assert metrics.compute() == classification_metrics(probs[:20], labels[:20])
    assert metrics.update(probs[20:], labels[20:]).compute() == pytest.approx(classification_metrics(probs, labels))


def test_a_bad_batch_leaves_nothing_behind(predictions: Draw, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.metrics.row_scores.PIECE", 6)  # two rows: the bad one is found late
    probs, labels = predictions(20, 3)
    metrics = ClassificationMetrics().update(probs, labels)
    before = metrics.compute()
    bad = probs.clone()
    bad[-1] *= 2
    with pytest.raises(DataError, match="row 19 is off by 1"):
        metrics.update(bad, labels)
    with pytest.raises(ShapeError, match="probs has 4 classes, expected 3 as in earlier batches"):
        metrics.update(torch.full((1, 4), 0.25), torch.tensor([0]))
    assert metrics.compute() == before


def test_what_is_kept_of_a_row_does_not_depend_on_the_classes():
    kept = {}
    for classes in (2, 500):
        metrics = ClassificationMetrics().update(torch.full((64, classes), 1 / classes), torch.zeros(64).long())
        (rows,) = metrics._rows
        kept[classes] = sum(each.untyped_storage().nbytes() for each in vars(rows).values())
    assert kept == {2: 64 * 25, 500: 64 * 25}


def test_advice():
    with pytest.raises(SettingError, match="expected at least one batch; call update first"):
        ClassificationMetrics().compute()
    with pytest.raises(SettingError, match="bins is 0, expected at least 1"):
        ClassificationMetrics(bins=0)
