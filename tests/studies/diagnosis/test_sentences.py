"""The sentences say what was measured, and nothing that its interval does not show."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.results.scores import Score, Scores
from calmix.results.statistics import interval
from calmix.studies.diagnosis.results import DiagnosisResults
from calmix.studies.diagnosis.sentences import verdict

Made = Callable[..., DiagnosisResults]


def without(results: DiagnosisResults, path: str) -> Scores:
    rows = map(Score._make, results.scores.frame.itertuples(index=False))
    return Scores.from_rows(row for row in rows if not re.match(path, row.condition))


def test_the_verdict_in_full(made: Made):
    said = made([0.1, 0.12, 0.11], [0.3, 0.28, 0.29], methods=["sk_mixup"]).verdict
    assert said.headline == "Wrong labels grow with distance here, by inputs as well as by embedding."
    assert said.reasons == [
        "By distance of the inputs, labels are wrong more often far apart than near by. When two rows of different "
        "classes are mixed half and half, the oracle sees neither of their classes in 20.0 % of the mixes in the "
        "nearest of 2 equal parts of the pairs, and in 31.0 % in the farthest (+11.0 points [+8.5, +13.5]).",
        "By distance of the oracle's embedding, labels are wrong more often far apart than near by. When two rows of "
        "different classes are mixed half and half, the oracle sees neither of their classes in 20.0 % of the mixes in "
        "the nearest of 2 equal parts of the pairs, and in 31.0 % in the farthest (+11.0 points [+8.5, +13.5]).",
        "sk_mixup: 21.3 % of the labels' probability would have to move to match the oracle, 29 % [27, 31] less than "
        "with the same lams on random pairs (30.0 %). Against random pairs of the same kind (same class or not) it is "
        "29 % [27, 31] less.",
    ]
    assert said.cautions == [
        "An oracle, which learnt rows that the methods do not train on, stands in for the truth: as a network it is "
        "right on 90.0 % of the test rows, as nearest neighbours in its embedding on 90.0 %.",
        "Mixed rows do not exist in nature, so what the oracle says of them is an opinion.",
        "The oracle learnt only 900 rows; a smaller --train-size leaves it more.",
    ]


def test_one_seed_claims_nothing(made: Made):
    said = made([0.5], [0.5]).verdict
    assert said.headline == "One seed decides nothing; this is what it showed."
    for claim in ("grow", "often", "told apart", "less than"):
        assert claim not in " ".join(said.reasons)
    assert said.cautions[-1].startswith("One seed: ")


@settings(max_examples=40)
@given(st.lists(st.floats(-0.19, 0.7), min_size=2, max_size=6), st.lists(st.floats(-0.5, 0.9), min_size=6, max_size=6))
def test_nothing_is_claimed_that_its_interval_does_not_show(made: Made, rises: list[float], cuts: list[float]):
    said = made(rises, cuts).verdict
    *found, method, _ = said.reasons
    side = interval([(0.2 + rise) - 0.2 for rise in rises]).side
    cut_side = interval([1 - 0.3 * (1 - cut) / 0.3 for cut in cuts[: len(rises)]]).side
    assert (" grow " in said.headline) == (side > 0)
    assert (" fewer " in said.headline) == (side < 0)
    for sentence in found:
        assert ("more often far apart" in sentence) == (side > 0)
        assert ("less often far apart" in sentence) == (side < 0)
        assert ("not told apart" in sentence) == (side == 0)
    assert (" less than with the same lams" in method) == (cut_side > 0)
    assert (" more than with the same lams" in method) == (cut_side < 0)
    assert ("not told apart from it" in method) == (cut_side == 0)
    assert "-" not in re.sub(r"[a-z]-[a-z]", "", " ".join(found))  # true minus signs


@pytest.mark.parametrize("missing", ["pairs/.*/different/.*/1$", "pairs/.*/different/"])
def test_distances_that_take_too_few_values_are_said_to(made: Made, missing: str):
    said = verdict(without(made(), missing), 3)
    assert "too few values" in said.reasons[0]
    assert said.headline.startswith("Wrong labels were not seen to change")


def test_two_classes_are_judged_by_what_is_avoidable(made: Made):
    first = made(classes=["a", "b"]).verdict.reasons[0]
    assert "avoidable error" in first
    assert "80 to 20" in first


def test_the_two_ways_to_measure_distance_may_disagree(made: Made):
    assert made([0.1, 0.11], by_embedding=[-0.1, -0.11]).verdict.headline == (
        "Wrong labels grow with the distance of inputs, and become fewer with that in the oracle's embedding."
    )


def test_labels_that_are_never_wrong_leave_nothing_to_cut(made: Made):
    results = made()
    frame = results.scores.frame
    frame = frame.assign(value=frame["value"].where(~frame["condition"].str.startswith("labels/"), 0.0))
    assert verdict(Scores(frame), 3).reasons[2] == (
        "sk_mixup: 0.0 % of the labels' probability would have to move to match the oracle."
    )
