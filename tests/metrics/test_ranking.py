import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import auprc, auroc, fpr_at

RANKINGS = [auroc, auprc, fpr_at]
scored = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)  # many ties
both = scored.filter(lambda rows: {positive for _, positive in rows} == {False, True})


def split(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, positive = zip(*rows, strict=True)
    return np.array(scores) / 7, np.array(positive)


@given(both)
def test_scikit_learn_agrees(rows: list[tuple[int, bool]]):
    scores, positive = split(rows)
    assert auroc(scores, positive) == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))
    assert auprc(scores, positive) == pytest.approx(sklearn.metrics.average_precision_score(positive, scores))
    fpr, tpr, _ = sklearn.metrics.roc_curve(positive, scores, drop_intermediate=False)
    for recall in (0.01, 0.5, 0.95, 1):
        assert fpr_at(scores, positive, recall) == pytest.approx(fpr[tpr >= recall - 1e-9].min())


@given(both)
def test_the_roc_area_is_a_share_of_pairs(rows: list[tuple[int, bool]]):
    scores, positive = split(rows)
    pairs = scores[positive][:, None] - scores[~positive]
    assert auroc(scores, positive) == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())


@given(scored)
def test_only_the_order_counts(rows: list[tuple[int, bool]]):
    scores, positive = split(rows)
    for ranking in RANKINGS:
        assert ranking(np.exp(scores), positive) == pytest.approx(ranking(scores, positive))
        assert ranking(scores[::-1], positive[::-1]) == pytest.approx(ranking(scores, positive))
    assert auroc(-scores, positive) == pytest.approx(1 - auroc(scores, positive))


def test_chance_and_perfection():
    positive = torch.arange(10) < 4
    assert [ranking(positive.double(), positive) for ranking in RANKINGS] == [1, 1, 0]
    assert [ranking(torch.zeros(10), positive) for ranking in RANKINGS] == [0.5, 0.4, 1]


def test_one_kind_alone_is_a_convention():
    scores = torch.tensor([0.1, 0.2])
    assert [ranking(scores, torch.ones(2)) for ranking in RANKINGS] == [0.5, 1, 0]
    assert [ranking(scores, torch.zeros(2)) for ranking in RANKINGS] == [0.5, 0, 1]


def test_nineteen_of_twenty_are_95_percent():
    scores, positive = torch.arange(21.0), torch.arange(21) != 1  # the negative row scores above one positive row only
    assert fpr_at(scores, positive, 0.95) == 0
    assert fpr_at(scores, positive, 0.951) == 1
    assert 0.55 * 100 > 55  # by rounding alone
    scores, positive = torch.cat([torch.arange(100.0), torch.tensor([44.5])]), torch.arange(101) < 100
    assert fpr_at(scores, positive, 0.55) == 0  # the 55 highest are 45 and more
    assert fpr_at(scores, positive, 0.56) == 1


@pytest.mark.parametrize("ranking", RANKINGS)
def test_advice(ranking):
    one = torch.ones(3)
    with pytest.raises(ShapeError, match=r"scores has shape \(3,\) and positive \(2,\)"):
        ranking(one, one[:2])
    with pytest.raises(ShapeError, match="at least one row"):
        ranking(one[:0], one[:0])
    with pytest.raises(DataError, match="scores holds NaN"):
        ranking(one * torch.nan, one)
    with pytest.raises(DataError, match="something other than 0 and 1"):
        ranking(one, one * 2)
    with pytest.raises(SettingError, match="recall is 0, expected more than 0"):
        fpr_at(one, one, 0)
