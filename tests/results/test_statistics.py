"""Paired differences and ranks are those of the textbooks, and promise what they hold."""

import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from calmix.errors import SettingError
from calmix.results.statistics import (
    LEVEL,
    MOST_RESAMPLED,
    Ranks,
    difference,
    interval,
    paired_difference,
    rank,
    widened,
)

VALUES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7, 1.0]), min_size=2, max_size=8)


def signed_rank(differences: np.ndarray) -> float:
    found: Any = stats.wilcoxon(differences)
    return found.pvalue


# ------------------------------------------------------------------------------------- paired differences


def test_every_statistic_is_scipy_s():
    rng = np.random.default_rng(3)
    values, reference = rng.normal(0.8, 0.1, 9), rng.normal(0.7, 0.1, 9)
    found = difference(list(values), list(reference))
    test = stats.ttest_rel(values, reference)
    confidence = test.confidence_interval(LEVEL)
    assert (found.t.low, found.t.high) == pytest.approx((confidence.low, confidence.high))
    assert found.wilcoxon == pytest.approx(signed_rank(values - reference))
    assert found.effect == pytest.approx(test.statistic / 3)
    assert found.bootstrap.mean == found.t.mean == pytest.approx((values - reference).mean())
    assert found == difference(list(values), list(reference))  # the bootstrap's seed is fixed


def test_the_bootstrap_is_the_bias_corrected_one():
    skewed = np.exp(np.random.default_rng(1).normal(size=12))
    found = difference(list(skewed), [0.0] * 12).bootstrap

    def ends(method: str) -> tuple[float, float]:
        made: Any = stats.bootstrap((skewed,), np.mean, n_resamples=9999, method=method, rng=np.random.default_rng(0))
        return made.confidence_interval.low, made.confidence_interval.high

    assert (found.low, found.high) == pytest.approx(ends("BCa"), abs=1e-3)
    assert (found.low, found.high) != pytest.approx(ends("percentile"), abs=1e-3)


@given(VALUES, st.data())
def test_a_difference_turned_round_is_its_negative_and_everything_is_finite(values: list[float], data: st.DataObject):
    reference = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.3]), min_size=len(values), max_size=len(values)))
    there, back = difference(values, reference), difference(reference, values)
    assert (there.t.mean, there.t.low, there.t.high) == pytest.approx((-back.t.mean, -back.t.high, -back.t.low))
    assert there.wilcoxon == pytest.approx(back.wilcoxon)
    assert (there.effect is None) == (back.effect is None)
    assert there.effect == pytest.approx(-(back.effect or 0.0)) if there.effect is not None else True
    numbers = (*astuple(there.t), *astuple(there.bootstrap), there.wilcoxon, there.effect or 0.0)
    assert all(map(math.isfinite, numbers))
    assert there.bootstrap.low <= there.t.mean <= there.bootstrap.high


def test_methods_that_do_the_same_do_not_differ():
    same = difference([0.8, 0.9, 0.7], [0.8, 0.9, 0.7])
    assert (same.t.low, same.t.high, same.bootstrap.low, same.wilcoxon, same.effect) == (0, 0, 0, 1, 0)
    assert same.t.side == 0
    shifted = difference([0.8, 0.9, 0.7], [0.6, 0.7, 0.5])
    assert shifted.effect is None  # nothing to measure it by
    assert shifted.t.side == 1
    assert difference([0.9], [0.1]).effect is None


def test_the_bootstrap_of_ten_seeds_covers_what_its_docstring_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        found = difference(list(rng.normal(size=10)), [0.0] * 10).bootstrap
        covered += found.low <= 0 <= found.high
    assert covered / 600 == pytest.approx(0.90, abs=0.04)  # three standard errors


def test_widened_intervals_hold_together():
    rng = np.random.default_rng(0)
    together = 0
    for _ in range(1000):
        plain = rng.normal(size=5)
        others = rng.normal(size=(4, 5))
        together += not any(paired_difference(list(o), list(plain), widened(4)).side for o in others)
    assert together / 1000 >= 0.95 - 0.02
    assert widened(0) == widened(1) == LEVEL
    assert interval([1.0, 2.0], widened(3)).half_width > interval([1.0, 2.0]).half_width


def test_the_corrected_interval_is_the_formula_s():
    """Four folds whose differences have mean 2 and variance 10 / 3; t of 3 degrees of freedom is 3.1824 (a table)."""
    folds = [1.0, 4.0, 0.0, 3.0]
    half = 3.1824 * math.sqrt((1 / 4 + 1 / 3) * 10 / 3)
    assert paired_difference(folds, [0.0] * 4, overlap=1 / 3).half_width == pytest.approx(half, rel=1e-4)
    assert paired_difference(folds, [0.0] * 4).half_width == pytest.approx(3.1824 * math.sqrt(10 / 12), rel=1e-4)


def test_the_corrected_test_is_that_of_scikit_learn_s_published_example():
    """Statistical comparison of models using grid search: of two kernels on 10 x 10 folds, t = 0.750."""
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=folds).tolist()
        for kernel in ("rbf", "linear")
    )
    found = paired_difference(rbf, linear, overlap=10 / 90)
    assert stats.t.ppf(0.975, 99) * found.mean / found.half_width == pytest.approx(0.750, abs=5e-4)


def test_differences_of_folds_that_mean_nothing_are_told_apart_no_more_often_than_promised():
    """Repeated folds of one data set, of two learners that are alike; without the correction it is far too often."""
    rng = np.random.default_rng(0)
    told = {0.0: 0, 1 / 4: 0}
    for _ in range(200):
        rows = rng.normal(size=60)  # how much one learner gains on a row
        folds = [part.mean() for _ in range(2) for part in np.split(rng.permutation(rows), 5)]
        for overlap in told:
            told[overlap] += paired_difference(folds, [0.0] * 10, overlap=overlap).side != 0
    assert told[1 / 4] / 200 <= 0.05
    assert told[0.0] / 200 > 0.1


# --------------------------------------------------------------------------------------------------- ranks


def ranked(scores: np.ndarray, better: int = 1) -> Ranks:
    methods, sets = [f"m{i}" for i in range(scores.shape[1])], [f"d{i}" for i in range(len(scores))]
    return rank(scores, 1 if better == 1 else -1, methods, sets)


@pytest.mark.parametrize(
    ("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)]
)
def test_the_critical_difference_is_that_of_demsar_s_table(k: int, q: float):
    scores = np.random.default_rng(0).random((14, k))
    assert ranked(scores).critical == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * 14)), rel=1e-3)


def told_apart(seed: int, count: int = 12, k: int = 5) -> np.ndarray:
    """Scores in which methods really differ."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, k)) + np.linspace(0, 3, k)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_told_apart_where_scikit_posthocs_tells_them_apart(seed: int):
    posthocs = pytest.importorskip("scikit_posthocs", reason="the oracle is scikit-posthocs, an extra of `dev`")
    scores = told_apart(seed)
    ours, theirs = ranked(scores), posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    assert not ours.alike
    assert any(ours.apart(0, j) for j in range(5))
    for i in range(5):
        for j in range(5):
            assert ours.apart(i, j) == (theirs[i, j] < 0.05)
    assert ours.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)


def test_ranks_and_the_critical_difference_are_autorank_s():
    autorank = pytest.importorskip("autorank", reason="the oracle is autorank, an extra of `dev`")
    pandas = pytest.importorskip("pandas")
    scores = told_apart(0)
    scores = np.exp(scores)  # not normal, so that autorank takes the same test; ranks do not care
    frame = pandas.DataFrame(scores, columns=[f"m{i}" for i in range(5)])
    theirs = autorank.autorank(frame, alpha=0.05, force_mode="nonparametric")
    ours = ranked(scores)
    assert ours.critical == pytest.approx(theirs.cd, rel=1e-4)  # they read a table
    assert dict(zip(ours.methods, ours.mean, strict=True)) == pytest.approx(theirs.rankdf["meanrank"].to_dict())


SCORES = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 4), min_size=k, max_size=k), min_size=2, max_size=6)
)


@given(SCORES)
def test_laws_of_ranks(rows: list[list[int]]):
    scores = np.array(rows, dtype=float)
    k, found = scores.shape[1], ranked(scores)
    assert found.ranks.sum(1) == pytest.approx(k * (k + 1) / 2)
    assert ranked(scores, -1).ranks == pytest.approx(k + 1 - found.ranks)
    assert ranked(np.exp(scores)).ranks == pytest.approx(found.ranks)  # only the order counts
    assert 0 <= found.p <= 1
    for i in range(k):
        for j in range(k):
            together = i == j or any({i, j} <= set(group) for group in found.groups)
            assert together == (not found.apart(i, j))


def test_a_best_of_all_is_told_apart_from_the_worst():
    scores = np.tile(np.arange(4.0), (15, 1))
    found = ranked(scores)
    assert found.mean.tolist() == [4, 3, 2, 1]
    assert found.order == [3, 2, 1, 0]
    assert found.apart(0, 3)
    assert not found.apart(2, 3)
    assert found.groups == [[3, 2], [2, 1], [1, 0]]


def test_methods_that_are_alike_as_a_whole_have_no_pairs_apart():
    same = ranked(np.ones((6, 3)))
    assert same.p == 1
    assert same.groups == [[0, 1, 2]]
    wins = ranked(np.column_stack([np.zeros(4), np.arange(1.0, 5.0)]))  # four of four: Wilcoxon's p is 2 / 2^4
    assert wins.mean[0] - wins.mean[1] >= wins.critical  # Nemenyi's test by itself would tell them apart
    assert wins.p == pytest.approx(0.125)
    assert not wins.apart(0, 1)
    assert wins.groups == [[1, 0]]
    two = ranked(np.column_stack([np.arange(8.0), np.arange(8.0) + 1]))
    assert two.p == pytest.approx(signed_rank(np.ones(8))) == 2 / 2**8
    assert two.apart(0, 1)


def test_a_rank_needs_others():
    for shape in ((1, 3), (3, 1)):
        with pytest.raises(SettingError, match="two methods or more on two data sets or more"):
            ranked(np.zeros(shape))


def test_very_many_values_are_not_resampled(monkeypatch: pytest.MonkeyPatch):
    """9,999 resamples of 100,000 values would take 8 GB; by then the bootstrap's interval is Student's."""
    rng = np.random.default_rng(0)
    values, zeros = rng.exponential(size=MOST_RESAMPLED + 1), np.zeros(MOST_RESAMPLED + 1)
    found = difference(values, zeros)
    assert found.bootstrap == found.t
    assert found.effect == pytest.approx(values.mean() / values.std(ddof=1))
    fewer = difference(values[1:], zeros[1:])
    assert fewer.bootstrap != fewer.t
    assert fewer.bootstrap.half_width == pytest.approx(fewer.t.half_width, rel=0.05)


@pytest.mark.parametrize(("seeds", "side"), [(1, 0), (2, 0), (5, 0), (6, 1), (10, 1)])
def test_equal_differences_of_few_seeds_are_no_evidence(seeds: int, side: int):
    """By chance alone S differences have one sign in 2 / 2^S of all cases: of six fewer than 5 in a hundred."""
    assert interval([0.01] * seeds).side == side
    assert interval([-0.01] * seeds).side == -side
    assert interval([0.01, 0.0101]).side == 1  # with any spread, Student's interval decides
