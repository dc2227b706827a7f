"""Which method is taken follows the rule, and keeps its promise about chance."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calmix.results.catalogue import ECE, SCALED_ECE
from calmix.results.statistics import paired_difference
from calmix.studies.comparison.choice import beats, choose, contenders, side

NOISE = np.array([-0.002, 0.001, 0.003, -0.001, 0.002, -0.003, 0.0, 0.001, -0.002, 0.001])


def around(mean: float, shift: int = 0) -> list[float]:
    """Ten seeds of this mean, whose noise is another one for another shift."""
    return list(mean + np.roll(NOISE, shift) - NOISE.mean())


def figures(**means: tuple[float, ...]) -> dict[str, dict[str, list[float]]]:
    """erm=(accuracy, ECE) or (accuracy, ECE, ECE after temperature)."""
    metrics: dict[str, dict[str, list[float]]] = {"accuracy": {}, "ece": {}, "scaled/ece": {}}
    for place, (label, numbers) in enumerate(means.items()):
        for name, mean in zip(metrics, (*numbers, 0.02)[:3], strict=True):
            metrics[name][label] = around(mean, 3 * place + len(name))
    return metrics


@pytest.mark.parametrize(
    ("means", "taken", "scaled"),
    [
        # right answers come before honesty ...
        ({"erm": (0.80, 0.05), "mixup": (0.82, 0.05), "sk_mixup": (0.81, 0.01)}, "mixup", False),
        # ... which decides where right answers cannot be told apart
        ({"erm": (0.80, 0.05), "mixup": (0.80, 0.03), "sk_mixup": (0.80, 0.01)}, "sk_mixup", False),
        # plain training is beaten by nobody: 6,000 images of Fashion-MNIST, 15 epochs
        ({"erm": (0.876, 0.016), "mixup": (0.861, 0.075), "sk_mixup": (0.862, 0.05)}, "erm", False),
        ({"erm": (0.80, 0.05), "mixup": (0.80, 0.05), "sk_mixup": (0.80, 0.05)}, "erm", False),
        # plain Mixup beats it, and no other method beats plain Mixup
        ({"erm": (0.80, 0.05), "mixup": (0.82, 0.02), "sk_mixup": (0.82, 0.02)}, "mixup", False),
        # a method that beats plain Mixup but not plain training is not taken
        ({"erm": (0.82, 0.02), "mixup": (0.80, 0.02), "sk_mixup": (0.81, 0.02)}, "erm", False),
        # more right answers at the price of honesty: judged after temperature scaling
        ({"erm": (0.80, 0.01, 0.01), "mixup": (0.82, 0.08, 0.01), "sk_mixup": (0.82, 0.05, 0.02)}, "mixup", True),
        # the control is no method to take
        ({"erm": (0.80, 0.05), "mixup": (0.80, 0.05), "mixup_idle": (0.90, 0.01)}, "erm", False),
        # without plain training and plain Mixup, whom nobody beats
        ({"cutmix": (0.80, 0.05), "sk_mixup": (0.82, 0.05), "mixup_e": (0.82, 0.03)}, "mixup_e", False),
    ],
)
def test_the_rule(made: Callable, means: dict[str, tuple[float, ...]], taken: str, scaled: bool):
    found = choose(made(figures(**means)))
    assert (found.method, found.scaled) == (taken, scaled)


def test_of_equals_the_cheapest_is_taken_then_the_first(made: Callable):
    metrics = figures(erm=(0.80, 0.05), cutmix=(0.82, 0.02), sk_mixup=(0.82, 0.02), mixup_e=(0.82, 0.02))
    cost = {"erm": [1.0] * 10, "cutmix": [2.0] * 10, "sk_mixup": [1.34] * 10, "mixup_e": [1.31] * 10}
    assert choose(made(metrics, cost=cost)).method == "sk_mixup"  # to a tenth of a step they cost the same


def test_regression_goes_by_its_error(made: Callable):
    results = made({"rmse": {"erm": around(3.0), "sk_mixup": around(2.9, 1)}}, task="regression")
    assert choose(results).method == "sk_mixup"
    assert [goal.key for goal in choose(results).goals] == ["rmse"]


METRIC = st.lists(st.sampled_from([0.70, 0.72, 0.73, 0.76, 0.80]), min_size=3, max_size=3)


@given(*(st.fixed_dictionaries(dict.fromkeys(("erm", "mixup", "sk_mixup"), METRIC)) for _ in range(3)))
def test_who_is_taken_over_plain_training_beats_it_beyond_chance(made: Callable, accuracy, ece, scaled):
    results = made({"accuracy": accuracy, "ece": ece, "scaled/ece": scaled})
    found = choose(results)
    assert not any(beats(results, method, method, found.goals) for method in contenders(results))
    if found.method == "erm":
        return
    sides = [
        paired_difference(values[found.method], values["erm"]).side * better
        for values, better in ((accuracy, 1), (scaled if found.scaled else ece, -1))
    ]
    assert 1 in sides
    assert sides[0] >= 0 or sides[1] == 1


def test_where_no_method_differs_plain_training_keeps_its_place_in_nineteen_of_twenty_comparisons(made: Callable):
    """At most 5 % are promised; 300 comparisons of five methods, allowed three standard errors of 5 %."""
    rng = np.random.default_rng(1)
    labels = ["erm", "mixup", "sk_mixup", "mixup_e", "cutmix"]
    unseated = 0
    for _ in range(300):
        metrics = {name: {label: list(rng.normal(size=5)) for label in labels} for name in ("accuracy", "ece")}
        unseated += choose(made(metrics)).method != "erm"
    assert unseated / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_more_methods_need_wider_intervals(made: Callable):
    few = made(figures(erm=(0.8, 0.1), mixup=(0.8, 0.1)))
    many = made(figures(erm=(0.8, 0.1), mixup=(0.8, 0.1), sk_mixup=(0.8, 0.1), mixup_idle=(0.8, 0.1)))
    assert few.scores.level == pytest.approx(0.95)
    assert many.scores.level == pytest.approx(1 - 0.05 / 3)  # the control has marks, too


def test_a_side_is_that_of_the_condition_and_of_the_better_direction(made: Callable):
    results = made(figures(erm=(0.80, 0.05, 0.01), mixup=(0.80, 0.02, 0.04)))
    assert (side(results, "mixup", "erm", ECE), side(results, "mixup", "erm", SCALED_ECE)) == (1, -1)
    assert (side(results, "erm", "mixup", ECE), side(results, "erm", "erm", ECE)) == (-1, 0)


def test_seeds_are_paired_by_their_number_not_by_their_order(made: Callable):
    """A method ahead by the same amount on every seed is told apart, however far the seeds themselves are."""
    values = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    results = made({"accuracy": {"erm": values, "mixup": [value + 0.01 for value in values]}})
    assert choose(results).method == "mixup"
    backwards = made({"accuracy": {"erm": values, "mixup": [value + 0.01 for value in values[::-1]]}})
    assert choose(backwards).method == "erm"
    mixed_up = type(results)(results.facts, [*results.records[:6], *results.records[:5:-1]], results.reference)
    assert [record.seed for record in mixed_up.records] == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]
    assert choose(mixed_up).method == "mixup"
