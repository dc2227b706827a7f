"""Intervals by bin, rises and cuts: over seeds where there are several, over pairs where there is one."""

from collections.abc import Callable

import pytest

from calmix.results.scores import Score, Scores
from calmix.results.statistics import interval
from calmix.studies.diagnosis.findings import (
    Place,
    bins_of,
    cut,
    measured,
    methods_of,
    pair_bins,
    rate_interval,
    rise,
)
from calmix.studies.diagnosis.results import DiagnosisResults

Made = Callable[..., DiagnosisResults]
PLACE = Place("network", "inputs", "different", 0.5)


def test_several_seeds_have_student_s_interval_over_seeds(made: Made):
    scores = made([0.1, 0.12, 0.3], [0.1, 0.2, 0.3]).scores
    near, far = pair_bins(scores, PLACE, "neither")
    assert near == interval([0.2] * 3)
    assert far == interval([0.2 + 0.1, 0.2 + 0.12, 0.2 + 0.3])
    assert rise(scores, PLACE, "neither") == interval([(0.2 + r) - 0.2 for r in (0.1, 0.12, 0.3)])
    assert (bins_of(scores), methods_of(scores)) == (2, ["sk_mixup", "mixup"])


def test_one_seed_has_the_intervals_of_its_pairs(made: Made):
    scores = made([0.3], [0.1], count=100).scores
    rate, mean = (pair_bins(scores, PLACE, metric)[1] for metric in ("neither", "mass"))
    assert rate is not None
    assert mean is not None
    assert (rate.low, rate.high) == (pytest.approx(0.404, abs=1e-3), pytest.approx(0.596, abs=1e-3))
    assert mean.high - mean.mean == mean.mean - mean.low == pytest.approx(1.96 * 0.4 / 10)
    assert rate.count == mean.count == 100
    few = pair_bins(made([0.3], [0.1], count=1).scores, PLACE, "mass")[1]
    assert few is not None
    assert (few.low, few.high) == (0.0, 1.0)  # a share stays one


def test_an_empty_bin_has_no_interval_and_no_rise(made: Made):
    place = PLACE._replace(population="agreed")
    for seeds in (1, 2):
        scores = made([0.1] * seeds, [0.1] * seeds).scores
        assert [one is None for one in pair_bins(scores, place, "mass")] == [False, True]
        assert rise(scores, place, "mass") is None
        assert measured(scores, place)


def test_pairs_that_a_seed_lacks_are_not_measured(made: Made):
    rows = list(map(Score._make, made().scores.frame.itertuples(index=False)))
    lacking = Scores.from_rows(row for row in rows if row.seed == 0 or "/agreed/" not in row.condition)
    assert not measured(lacking, PLACE._replace(population="agreed"))
    assert measured(lacking, PLACE)
    assert not measured(Scores.from_rows(row for row in rows if row.method), PLACE)


def test_the_cut_is_of_each_seed_by_itself():
    def seed(own: float, shuffled: float) -> dict[str, dict[str, float]]:
        by_control = {"none": own, "shuffled": shuffled, "shuffled_within": own}
        return {f"labels/network/{control}": {"mass": value} for control, value in by_control.items()}

    scores = Scores.of([("m", 0, seed(0.1, 0.2)), ("m", 1, seed(0.3, 0.4)), ("none wrong", 0, seed(0.0, 0.0))])
    found, within = (cut(scores, "m", "network", control) for control in ("shuffled", "shuffled_within"))
    assert found is not None
    assert within is not None
    assert found.mean == pytest.approx((0.5 + 0.25) / 2)
    assert within.mean == within.low == within.high == 0
    assert scores.interval("m", "mass", "labels/network/none").mean == pytest.approx(0.2)
    assert cut(scores, "none wrong", "network", "shuffled") is None


def test_wilson_s_ends_are_the_rates_that_the_seen_one_is_just_consistent_with():
    for hits, count in ((3, 40), (0, 7), (500, 1000)):
        for end in rate_interval(hits / count, count):  # |seen - end| = z sqrt(end (1 - end) / n)
            distance = 1.959964 * (end * (1 - end) / count) ** 0.5
            assert abs(hits / count - end) == pytest.approx(distance, abs=1e-6)
    assert all(end != end for end in rate_interval(0.0, 0))
