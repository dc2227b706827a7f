"""Designed cases: what a reader must be told of each, in the words that matter.

| case | told |
|---|---|
| no difference | that none could be told |
| equal within a point | that a gain is ruled out |
| clearly better; clearly worse | so |
| one worse, one not told apart | both |
| one lucky seed | nothing is recommended, and the seed is named |
| less honest, right answers not told apart | the more honest one |
| better only before temperature | only where no temperature can be fitted |
| better only after temperature; worse before it | only with temperature scaling |
| few test rows; too few for any gain | so, in the headline |
| folds that share rows | a gain needs more than of seeds |
| a split without a class | which |
| unequal classes, one answer for all; the rarest found by one alone | `test_cautions.py` |
| under-trained; over-fitted; one method not yet learnt | `test_cautions.py` |
| options chosen among on the test split | `test_cautions.py` |

n  a number a seed, or a fold
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from calmix.results.store import Results
from calmix.studies.comparison.sentences import advice

NOISE = np.array([-0.02, 0.01, 0.03, -0.01, 0.02, -0.03, 0.0, 0.01, -0.02, 0.01])


def around(mean: float, shift: int, spread: float) -> list[float]:
    return list(mean + spread * (np.roll(NOISE, shift) - NOISE.mean()))


def case(
    made: Callable, spread: float = 1.0, seeds: int = 10, test: int = 1000, folds: int = 0, **means: Sequence[float]
):
    """Results of methods: (accuracy, ECE, ECE after temperature, NLL after temperature); noise of 0.02 times spread."""
    metrics: dict[str, dict[str, list[float]]] = {"accuracy": {}, "ece": {}, "scaled/ece": {}, "scaled/nll": {}}
    for place, (label, numbers) in enumerate(means.items()):
        for name, mean in zip(metrics, (*numbers, *(0.02, 0.5)[len(numbers) - 2 :]), strict=True):
            metrics[name][label] = around(mean, 3 * place + len(name), spread)[:seeds]
    return made(metrics, test=test, folds=folds)


def said(results: Results) -> str:
    return str(advice(results))


def test_no_difference(made: Callable):
    headline = advice(case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05), sk_mixup=(0.80, 0.05))).headline
    assert headline == (
        "No difference could be told between plain training, plain Mixup and sk_mixup: "
        "take plain training if the simplest will do."
    )
    assert "does not pay" not in headline


def test_equivalent_within_a_margin(made: Callable):
    """The same means, with noise a twentieth of the above: a gain of a point is then ruled out."""
    headline = advice(case(made, 0.05, erm=(0.80, 0.05), mixup=(0.80, 0.05))).headline
    assert headline == (
        "Take plain training: mixup does not pay on this data (a gain of one point, in right answers or honesty, is "
        "ruled out)."
    )
    few = advice(case(made, 0.05, test=599, erm=(0.80, 0.05), mixup=(0.80, 0.05))).headline  # six of them are a point
    assert few.startswith("No difference could be told")


def test_one_method_is_worse_and_one_is_not_told_apart(made: Callable):
    headline = advice(case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05), sk_mixup=(0.60, 0.05))).headline
    assert headline == (
        "No difference could be told between plain training and plain Mixup; the other methods do worse or no better: "
        "take plain training if the simplest will do."
    )


@pytest.mark.parametrize("lucky", range(5))
def test_one_lucky_seed_takes_nobody_s_place(made: Callable, lucky: int):
    accuracy = [0.80, 0.81, 0.79, 0.80, 0.81]
    better = [value + 0.1 * (seed == lucky) for seed, value in enumerate(accuracy)]
    verdict = advice(made({"accuracy": {"erm": accuracy, "mixup": better}}))
    assert verdict.headline.startswith("No difference could be told between plain training and plain Mixup")
    assert "2.0 fewer than plain Mixup (within chance)" in verdict.reasons[0]


@pytest.mark.parametrize("lucky", range(10))
def test_one_lucky_seed_of_ten_is_named(made: Callable, lucky: int):
    """Nine seeds are equal, and in one plain Mixup is right in 10 of 100 more."""
    accuracy = around(0.80, 0, 0.2)
    better = [value + 0.1 * (seed == lucky) for seed, value in enumerate(around(0.80, 1, 0.2))]
    verdict = advice(made({"accuracy": {"erm": accuracy, "mixup": better, "sk_mixup": around(0.80, 2, 0.2)}}))
    assert verdict.headline.startswith("No difference could be told between plain training and plain Mixup")
    [named] = [caution for caution in verdict.cautions if "alone" in caution]
    assert named.startswith(
        f"Seed {lucky} alone makes the lead of plain Mixup over plain training in right answers: with it 1.0 points "
        "(within chance), without it 0."
    )


def test_a_seed_of_ten_that_hides_a_lead_is_named(made: Callable):
    better = around(0.83, 1, 0.2)
    verdict = advice(made({"accuracy": {"erm": around(0.80, 0, 0.2), "mixup": [*better[:9], better[9] - 0.2]}}))
    assert verdict.headline.startswith("No difference could be told")
    assert any(
        "Seed 9 alone hides the lead of plain Mixup over plain training in right answers: with it 1.0 points (within "
        "chance), without it 3." in caution
        for caution in verdict.cautions
    )


def test_where_no_seed_decides_none_is_named(made: Callable):
    for results in (
        case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05)),
        case(made, erm=(0.70, 0.15), mixup=(0.80, 0.05)),
        case(made, seeds=4, erm=(0.80, 0.05), mixup=(0.80, 0.05)),
    ):
        assert "alone" not in said(results)


def test_better_only_after_temperature(made: Callable):
    """As trained nothing is told."""
    headline = advice(case(made, erm=(0.80, 0.05, 0.15), mixup=(0.80, 0.05, 0.05))).headline
    assert headline == (
        "Take plain training as it is, or plain Mixup with temperature scaling: after scaling, plain Mixup is the more "
        "honest."
    )


def test_clearly_better(made: Callable):
    verdict = advice(case(made, erm=(0.70, 0.15), mixup=(0.80, 0.05)))
    assert verdict.headline == "Take plain Mixup: right more often and more honest than plain training."
    assert "10.0 more than plain training (beyond chance)" in verdict.reasons[0]


def test_clearly_worse(made: Callable):
    verdict = advice(case(made, erm=(0.80, 0.05), mixup=(0.70, 0.15)))
    assert verdict.headline == "Take plain training: mixup does not pay on this data."
    assert "10.0 more than plain Mixup (beyond chance)" in verdict.reasons[0]


def test_less_honest_with_right_answers_not_told_apart_is_not_called_a_loss(made: Callable):
    still = advice(case(made, erm=(0.80, 0.05, 0.02), mixup=(0.80, 0.20, 0.15))).headline
    assert still == (
        "Take plain training: it is more honest than plain Mixup, and no difference in right answers could be told."
    )
    only_before = advice(case(made, erm=(0.80, 0.05, 0.02), mixup=(0.80, 0.20, 0.02))).headline
    assert "more honest as trained than plain Mixup" in only_before


def test_better_only_before_temperature(made: Callable):
    headline = advice(case(made, erm=(0.80, 0.20, 0.05), mixup=(0.80, 0.05, 0.05))).headline
    assert headline == (
        "Take plain Mixup only where you cannot fit a temperature: it is more honest than plain training, but no "
        "difference could be told after temperature scaling."
    )


def test_worse_before_temperature_and_better_after_it(made: Callable):
    headline = advice(case(made, erm=(0.80, 0.05, 0.15), mixup=(0.80, 0.20, 0.05))).headline
    assert headline == (
        "Take plain training as it is, or plain Mixup with temperature scaling: after scaling, plain Mixup is the more "
        "honest."
    )


# ----------------------------------------------------------------------------------------- few test rows


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        (5, " But 5 test rows are few: too few for any gain to show."),
        (12, " But 12 test rows are few: no gain of less than 50 right answers in a hundred could show."),
        (99, " But 99 test rows are few: no gain of less than 6 right answers in a hundred could show."),
        (100, ""),
    ],
)
def test_few_test_rows_are_in_the_headline(made: Callable, rows: int, warning: str):
    """Of six rows that differ, all in favour of one method, a sign test's p is 2 / 2^6 = 0.031; of five, 0.0625."""
    headline = advice(case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05), test=rows)).headline
    assert headline == (
        "No difference could be told between plain training and plain Mixup: take plain training if the simplest will "
        f"do.{warning}"
    )


def test_seeds_that_agree_do_not_make_small_gains_visible(made: Callable):
    """All runs answer alike: the interval over seeds has no width, and yet twelve rows show next to nothing."""
    same = {"erm": [0.75] * 5, "mixup": [0.75] * 5}
    words = said(made({"accuracy": same}, test=12))
    assert "A gain of less than about 50.0 right answers in a hundred would not show here: that is 6 of 12" in words
    assert "about 0.0 " not in said(made({"accuracy": same}, test=10**6))
    assert "No gain could show here: to be told apart, two methods must differ on 6 rows" in said(
        made({"accuracy": same}, test=5)
    )


def test_a_regression_s_smallest_gain_is_never_nothing(made: Callable):
    tiny = {"erm": [3.0, 3.0, 3.0], "mixup": [3.0, 3.0000002, 2.9999999]}
    words = said(made({"rmse": tiny}, task="regression"))
    assert "A gain of less than about 4×10⁻⁷ would not show here." in words


def same(results: Results) -> Results:
    """With as many right answers in each run, so that the number of rows limits what could show."""
    plain = [{**record.metrics["plain"], "accuracy": 0.8} for record in results.records]
    metrics = [{**record.metrics, "plain": found} for record, found in zip(results.records, plain, strict=True)]
    records = [replace(record, metrics=found) for record, found in zip(results.records, metrics, strict=True)]
    return replace(results, records=records)


def test_folds_count_all_rows_and_say_how_they_are_corrected(made: Callable):
    results = case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05), test=24, folds=5)
    sized = replace(results.facts.data, sizes={"train": 72, "validation": 12, "calibration": 12, "test": 24})
    words = said(replace(results, facts=replace(results.facts, data=sized)))
    assert "test rows are few" not in words  # 120 are tested
    assert "that is 6 of 120 test rows" in said(replace(same(results), facts=replace(results.facts, data=sized)))
    fewer = replace(sized, sizes={"train": 71, "validation": 12, "calibration": 12, "test": 24})  # folds of 24 and 23
    assert "that is 6 of 119 test rows" in said(replace(same(results), facts=replace(results.facts, data=fewer)))
    cut = replace(sized, sizes={"train": 20, "validation": 12, "calibration": 12, "test": 24})  # --train-size 20
    assert "that is 6 of 120 test rows" in said(replace(same(results), facts=replace(results.facts, data=cut)))
    assert "2 × 5 folds, each judged on about 24 test rows." in words
    assert "paired by fold, corrected for rows that folds share (Nadeau and Bengio, 2003)" in words
    assert "The interval speaks of other rows of this kind." in words


def test_a_gain_that_seeds_would_tell_is_not_told_of_folds_that_share_rows(made: Callable):
    seeds, folds = (case(made, folds=folds, erm=(0.80, 0.05), mixup=(0.82, 0.05)) for folds in (0, 5))
    assert advice(seeds).headline == "Take plain Mixup: right more often than plain training."
    assert advice(folds).headline.startswith("No difference could be told")


def test_classes_that_a_split_lacks_are_named(made: Callable):
    results = case(made, erm=(0.80, 0.05), mixup=(0.80, 0.05))
    data = replace(results.facts.data, classes=("a", "b", "c"), absent={"calibration": ("a",), "test": ("b", "c")})
    words = said(replace(results, facts=replace(results.facts, data=data)))
    assert (
        "In the first seed the calibration split has no row of 'a' and the test split has no row of 'b', 'c', so "
        "nothing is known of how they are answered."
    ) in words
    assert "has no row" not in said(results)
