"""One tidy table of all that was measured: its slices, its wide form, and JSON that people read."""

import string
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calmix.errors import DataError
from calmix.results.scores import COLUMNS, PLAIN, Scores, column_name, flat, nested
from calmix.results.statistics import interval, paired_difference, widened

SCORES = Scores.of(
    [
        ("mixup", 1, {"plain": {"ece": 0.4, "nll": 4.0}, "scaled": {"ece": 0.04}, "ood/a/energy": {"auroc": 0.9}}),
        ("mixup", 0, {"plain": {"ece": 0.3, "nll": 3.0}, "scaled": {"ece": 0.03}, "ood/b/energy": {"auroc": 0.8}}),
        ("erm", 0, {"plain": {"ece": 0.1, "nll": 1.0}, "scaled": {"ece": 0.01}}),
        ("erm", 1, {"plain": {"ece": 0.2}, "scaled": {"ece": 0.02}}),
    ]
)


def test_values_come_in_the_order_of_the_seeds():
    assert SCORES.methods == ["mixup", "erm"]  # as they were measured
    assert SCORES.seeds == SCORES.seeds_of("mixup") == [0, 1]
    assert SCORES.values("mixup", "ece") == [0.3, 0.4]
    assert SCORES.values("mixup", "ece", "scaled") == [0.03, 0.04]
    assert SCORES.values("erm", "nll") == [1.0]
    assert SCORES.values("nobody", "ece") == SCORES.values("erm", "nothing") == SCORES.seeds_of("nobody") == []
    assert SCORES.value("erm", 1, "ece") == 0.2
    assert SCORES.value("erm", 1, "nll") is None


def test_has_means_that_every_run_has_it():
    assert SCORES.has("ece")
    assert SCORES.has("ece", "scaled")
    assert not SCORES.has("nll")
    assert not SCORES.has("auroc", "ood/a/energy")
    assert not Scores.of([]).has("ece")


def test_conditions_and_what_lies_beneath():
    assert SCORES.conditions() == ["plain", "scaled", "ood/a/energy", "ood/b/energy"]
    assert SCORES.conditions("ood") == ["a/energy", "b/energy"]
    assert SCORES.conditions("oo") == []
    assert SCORES.metrics() == ["ece", "nll"]
    assert SCORES.metrics("scaled") == ["ece"]
    inside = Scores.of(
        [("erm", 0, {"refreshed": {"ece": 1.0}, "refreshed/scaled": {"ece": 2.0}, "refreshedly": {"ece": 3.0}})]
    )
    beneath = inside.under("refreshed")
    assert beneath.conditions() == [PLAIN, "scaled"]
    assert (beneath.values("erm", "ece"), beneath.values("erm", "ece", "scaled")) == ([1.0], [2.0])
    assert SCORES.of_method("erm").methods == ["erm"]
    assert SCORES.of_method("erm").values("erm", "ece") == [0.1, 0.2]


def test_intervals_and_differences_are_over_seeds():
    assert SCORES.interval("erm", "ece") == interval([0.1, 0.2])
    assert SCORES.interval("erm", "ece", "scaled", scale=100) == interval([1.0, 2.0])
    assert SCORES.difference("mixup", "erm", "ece") == paired_difference([0.3, 0.4], [0.1, 0.2])
    assert SCORES.difference("mixup", "erm", "ece").mean == pytest.approx(0.2)  # the first minus the second
    assert SCORES.difference("mixup", "erm", "nll") == paired_difference([3.0], [1.0])  # of the only seed of both
    assert SCORES.by_seed("erm", "mixup", "nll") == {0: -2.0}
    torn = Scores.of([(one, s, {"plain": {"ece": v}}) for one, s, v in (("a", 0, 1.0), ("a", 1, 2.0), ("b", 1, 5.0))])
    assert torn.by_seed("a", "b", "ece") == {1: -3.0}
    assert torn.by_seed("b", "a", "ece") == {1: 3.0}
    assert SCORES.by_seed("erm", "mixup", "ece") == pytest.approx({0: -0.2, 1: -0.2})
    assert SCORES.evidence("mixup", "erm", "ece").t == SCORES.difference("mixup", "erm", "ece")


def test_one_level_and_one_correction_serve_all_who_ask():
    more = Scores(pd.concat([SCORES.frame, SCORES.frame.assign(method="a" + SCORES.frame["method"])]), overlap=0.25)
    assert (more.comparisons, more.level) == (3, widened(3))
    expected = paired_difference([0.3, 0.4], [0.1, 0.2], widened(3), overlap=0.25)
    assert more.difference("mixup", "erm", "ece") == more.evidence("mixup", "erm", "ece").t == expected
    assert more.interval("erm", "ece") == interval([0.1, 0.2], overlap=0.25)
    assert (more.of_method("erm").overlap, more.under("scaled").overlap) == (0.25, 0.25)


def test_what_was_not_measured_cannot_be_summed_up():
    with pytest.raises(DataError, match="no mce of 'erm' under 'plain'"):
        SCORES.interval("erm", "mce")
    with pytest.raises(DataError, match="no mce under 'plain' for the same seeds"):
        SCORES.difference("mixup", "erm", "mce")
    other = Scores.of([("a", 0, {"plain": {"ece": 0.1}}), ("b", 1, {"plain": {"ece": 0.1}})])
    with pytest.raises(DataError, match="for the same seeds"):
        other.evidence("a", "b", "ece")


def test_a_difference_is_of_the_seeds_that_both_have():
    """A run that failed, or a score that one run lacks, takes its pair with it."""
    found = SCORES.difference("mixup", "erm", "nll")
    assert (found.mean, found.count) == (2.0, 1)


def test_the_wide_form_has_a_row_a_run_and_a_column_a_score():
    wide = SCORES.wide([("scaled", "ece"), ("plain", "nothing")])
    others = ["nll", "ood_a_energy_auroc", "ood_b_energy_auroc"]
    assert list(wide.columns) == ["method", "seed", "scaled_ece", "ece", *others]
    assert wide[others].isna().sum().tolist() == [1, 3, 3]  # of the runs that lack them
    assert wide.drop(columns=others).to_numpy().tolist() == [
        ["mixup", 1, 0.04, 0.4],
        ["mixup", 0, 0.03, 0.3],
        ["erm", 0, 0.01, 0.1],
        ["erm", 1, 0.02, 0.2],
    ]
    assert column_name("corruptions/jpeg/3", "ece") == "corruptions_jpeg_3_ece"


def test_the_table_is_tidy():
    assert tuple(SCORES.frame.columns) == COLUMNS
    assert len(SCORES.frame) == 3 + 1 + 3 + 1 + 3 + 2
    assert Scores(SCORES.frame).values("mixup", "ece") == [0.3, 0.4]


# ------------------------------------------------------------------------------------- as JSON has it

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def measured(draw: st.DrawFn) -> dict[str, dict[str, float]]:
    """Conditions of one, two or three parts; a metric and a condition beside it never have the same name."""
    paths = draw(
        st.lists(st.lists(NAMES.map(str.upper), min_size=1, max_size=3).map("/".join), unique=True, max_size=6)
    )
    conditions = [PLAIN, *paths]
    return {path: draw(st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=3)) for path in conditions}


@given(measured())
def test_flat_is_nested_backwards(found: dict[str, dict[str, float]]):
    assert flat(nested(found)) == found


@given(measured(), st.integers(0, 9))
def test_measured_is_of_backwards(found: dict[str, dict[str, float]], seed: int):
    other = {"plain": {"only": 1.0}}
    scores = Scores.of([("a", seed, found), ("b", seed, other)])
    assert scores.measured("a", seed) == found
    assert scores.measured("b", seed) == other
    assert scores.measured("a", seed + 1) == {}


def test_json_has_the_plain_metrics_on_top():
    assert nested({"plain": {"ece": 0.2}, "ood/x/energy": {"auroc": 0.9}, "ood/y/energy": {"auroc": 0.8}}) == {
        "ece": 0.2,
        "ood": {"x": {"energy": {"auroc": 0.9}}, "y": {"energy": {"auroc": 0.8}}},
    }


def test_lists_of_an_older_calmix_are_the_ends_of_intervals():
    old = {
        "ece": 0.2,
        "intervals": {"ece": [0.1, 0.3]},
        "scaled": {"intervals": {"nll": [1, 2]}},
        "width": None,
        "n": "x",
    }
    assert flat(old) == {
        "plain": {"ece": 0.2},
        "intervals/low": {"ece": 0.1},
        "intervals/high": {"ece": 0.3},
        "scaled/intervals/low": {"nll": 1.0},
        "scaled/intervals/high": {"nll": 2.0},
    }
    with pytest.raises(DataError, match="expected metrics by name; got list"):
        flat([0.1, 0.2])


def test_numpy_s_numbers_become_floats():
    numbers: Any = {"ece": np.float32(0.5), "count": np.int64(3)}
    scores = Scores.of([("erm", 0, {"plain": numbers})])
    assert scores.measured("erm", 0) == {"plain": {"ece": 0.5, "count": 3.0}}
    assert all(type(value) is float for value in scores.measured("erm", 0)["plain"].values())
