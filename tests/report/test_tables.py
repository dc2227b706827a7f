"""Cells, marks and numbers of tables."""

import pytest

from calmix.report.tables import best_mean, bracketed, difference_cell, mean_cell, seeds
from calmix.results.catalogue import ACCURACY, ECE, METRICS, NLL, RMSE, Column, number
from calmix.results.statistics import Interval

FIVE = Interval(0.8125, 0.8, 0.825, 5)


@pytest.mark.parametrize(
    ("low", "high", "accuracy", "ece"), [(0.1, 0.3, 1, -1), (-0.3, -0.1, -1, 1), (-0.1, 0.1, 0, 0), (0, 0, 0, 0)]
)
def test_a_mark_needs_an_interval_that_excludes_zero(low: float, high: float, accuracy: int, ece: int):
    difference = Interval((low + high) / 2, low, high, 5)
    assert (ACCURACY.mark(difference), ECE.mark(difference)) == (accuracy, ece)
    assert (difference_cell(ACCURACY, difference).mark, difference_cell(ECE, difference).mark) == (accuracy, ece)
    assert ACCURACY.mark(Interval(0.2, 0.2, 0.2, 1)) == 0  # a single seed decides nothing
    assert Column(METRICS["sharpness"]).mark(difference) == 0  # neither direction is better


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert [number(-0.001, 2), number(-0.001, 2, "+"), number(-1.5, 1)] == ["0.00", "+0.00", "−1.5"]


def test_shares_are_shown_in_per_cent_and_others_as_they_are():
    assert (mean_cell(ACCURACY, FIVE).value, mean_cell(ACCURACY, FIVE).spread) == ("81.2", "± 1.2")
    assert (mean_cell(NLL, FIVE).value, mean_cell(NLL, FIVE).spread) == ("0.812", "± 0.012")
    assert mean_cell(ACCURACY, Interval(0.8, 0.8, 0.8, 1)).spread == ""


def test_differences_have_a_sign_an_interval_and_a_digit_more():
    cell = difference_cell(ACCURACY, Interval(-0.0125, -0.025, 0.0, 5))
    assert (cell.value, cell.spread) == ("−1.25", "[−2.50, +0.00]")
    assert [bracketed(ACCURACY, Interval(0.1, 0.1, 0.1, count)) for count in (1, 2, 5)] == ["", "", ""]
    assert bracketed(ACCURACY, Interval(0.1, 0.1, 0.1, 6)) == "[+10.00, +10.00]"


def test_the_best_mean_is_as_it_is_shown():
    means = [Interval(mean, mean, mean, 3) for mean in (0.81234, 0.8119, 0.7)]
    assert best_mean(ACCURACY, means) == 81.2  # shown alike, the first two are both best
    assert best_mean(ECE, means) == 70.0
    assert best_mean(ACCURACY, means[:1]) is None
    assert best_mean(Column(METRICS["sharpness"]), means) is None


def test_a_column_says_its_unit_its_condition_and_the_better_direction():
    assert ACCURACY.heading == "Accuracy, %\u00a0↑"
    assert Column(METRICS["ece"], "scaled").heading == "ECE after temperature, %\u00a0↓"
    assert Column(METRICS["nll"], "refreshed").title == "NLL with refreshed batch norm"
    assert RMSE.with_digits(1).shown(Interval(2.0, 1.0, 3.0, 3)).low == 1.0
    assert mean_cell(RMSE.with_digits(1), Interval(2.04, 1.0, 3.0, 3)).value == "2.0"


def test_seeds_are_counted_in_words():
    assert (seeds(1), seeds(10)) == ("one seed", "10 seeds")
