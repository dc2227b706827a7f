"""A seed that alone makes or hides a lead is named, and chance alone seldom names one."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from calmix.results.statistics import interval, stands_out
from calmix.studies.comparison.lucky import lucky, lucky_seeds, turned

NOISE = [0.001, -0.002, 0.002, 0.0, -0.001, 0.001, 0.0, -0.001, 0.002]
Rule = Callable[[np.ndarray], bool]


def share(rule: Rule, seeds: int, ahead: float, count: int = 2000) -> float:
    """Of so many comparisons of two methods, each with normal noise of a point a seed, those of which it is true."""
    rng = np.random.default_rng(0)
    return float(np.mean([rule(ahead + 0.01 * np.sqrt(2) * rng.normal(size=seeds)) for _ in range(count)]))


def named(differences: np.ndarray) -> bool:
    return lucky(differences.tolist(), 0.005) is not None


def any_that_turns(differences: np.ndarray) -> bool:
    """The rule without its first condition."""
    place = np.abs(differences - differences.mean()).argmax()
    every, without = interval(differences.tolist()), interval(np.delete(differences, place).tolist())
    return turned(every, without) is not None and abs(every.mean - without.mean) >= 0.005


@pytest.mark.parametrize(("seeds", "ahead", "most"), [(5, 0.0, 0.05), (10, 0.0, 0.02), (5, 0.01, 0.05)])
def test_chance_alone_seldom_names_a_seed(seeds: int, ahead: float, most: float):
    assert share(named, seeds, ahead, 400) <= most
    assert seeds > 5 or share(any_that_turns, seeds, ahead, 400) > 0.15


def test_a_seed_that_stands_out_by_the_level_that_is_promised():
    """Grubbs' test as it is written elsewhere: G > (S - 1) / sqrt(S) sqrt(t^2 / (S - 2 + t^2))."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(500):
        values, level = rng.normal(size=7), 0.9
        t = stats.t.ppf(1 - 0.1 / 14, 5)
        g = np.abs(values - values.mean()).max() / values.std(ddof=1)
        expected = g > 6 / np.sqrt(7) * np.sqrt(t**2 / (5 + t**2))
        assert (stands_out(values.tolist(), level) is not None) == expected
        found += expected
    assert 30 < found < 70
    assert stands_out([0.0, 1.0]) is None


def test_a_seed_makes_a_lead_or_hides_it():
    makes = lucky([*NOISE, 0.1], 0.005)
    assert makes is not None
    assert (makes.place, makes.does) == (9, "makes")
    assert (makes.every.mean, makes.without.mean) == pytest.approx((0.0102, 0.002 / 9))
    hides = lucky([-0.1, *(0.02 + np.array(NOISE))], 0.005)
    assert hides is not None
    assert (hides.place, hides.does, hides.every.side, hides.without.side) == (0, "hides", 0, 1)
    backwards = lucky([0.1, *(-0.02 - np.array(NOISE))], 0.005)
    assert backwards is not None
    assert (backwards.does, backwards.without.side) == ("hides", -1)


def test_a_seed_that_decides_nothing_is_not_named():
    assert lucky([*NOISE, 0.02], 0.005) is None  # it moves the mean by 0.2 points
    assert lucky([*(0.1 + np.array(NOISE)), 0.2], 0.005) is None  # the lead is there without it
    assert lucky([0.0, 0.0, 0.0, 0.1], 0.005) is None  # four seeds
    assert lucky([0.0, 0.0, 0.0, 0.0, 0.1], 0.005) is not None
    assert lucky([0.1, -0.1, 0.1, -0.1, 0.1, 0.3], 0.005) is None  # noise


def test_folds_that_share_rows_are_told_apart_later():
    """Without the seed the lead is beyond chance; of folds, whose intervals are wider, it is not."""
    values = [0.1, *(0.002 + np.array(NOISE))]
    seeds, folds = lucky(values, 0.005), lucky(values, 0.005, overlap=1.0)
    assert seeds is not None
    assert folds is not None
    assert (seeds.without.side, folds.without.side) == (1, 0)


def test_the_sentence_names_the_unit_and_the_direction(made: Callable):
    error = [3.0, 3.01, 2.99, 3.0, 3.02, 2.98]
    results = made({"rmse": {"erm": error, "mixup": [*error[:5], 2.0]}}, task="regression")
    assert lucky_seeds(results) == [
        "Seed 5 alone makes the lead of plain Mixup over plain training in error: with it 0.163 (within chance), "
        "without it 0.000 (within chance); look at its runs, and add seeds, before you rely on the lead."
    ]
    ece = {"erm": [0.05, 0.06, 0.05, 0.06, 0.05, 0.25], "mixup": [0.06, 0.07, 0.061, 0.071, 0.06, 0.05]}
    [said] = lucky_seeds(made({"ece": ece}, folds=3))
    assert said == (
        "Fold 5 alone makes the lead of plain Mixup over plain training in ECE: with it 2.5 points (within chance), "
        "without it 1.0 points the other way (beyond chance); look at its runs, and add folds, before you rely on the "
        "lead."
    )
    right = {"erm": [0.8, 0.81, 0.8, 0.81, 0.8, 0.9], "mixup": [0.83, 0.84, 0.831, 0.841, 0.83, 0.78]}
    [said] = lucky_seeds(made({"accuracy": right}))
    assert said.startswith(
        "Seed 5 alone hides the lead of plain Mixup over plain training in right answers: with it 0.5 points (within "
        "chance), without it 3.0 points (beyond chance);"
    )


if __name__ == "__main__":
    for ahead in (0.0, 0.01):
        for rule in (named, any_that_turns):
            shares = ", ".join(f"{100 * share(rule, seeds, ahead):.1f}" for seeds in (5, 10, 20))
            print(f"{100 * ahead:.0f} points ahead, {rule.__name__}: {shares} of 100 comparisons of 5, 10, 20 seeds")
