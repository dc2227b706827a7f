"""The verdict says what the intervals say, and nothing more."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calmix.results.catalogue import ACCURACY
from calmix.results.statistics import paired_difference, widened
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose
from calmix.studies.comparison.sentences import SureAnswers, advice, sure_answers

DOCS = Path(__file__).parents[3] / "docs" / "results"
NOISE = np.array([-0.002, 0.001, 0.003, -0.001, 0.002, -0.003, 0.0, 0.001, -0.002, 0.001])
CALLED = {"plain training": "erm", "plain Mixup": "mixup"}


def around(mean: float, shift: int = 0) -> list[float]:
    return list(mean + np.roll(NOISE, shift) - NOISE.mean())


def figures(**means: tuple[float, ...]) -> dict[str, dict[str, list[float]]]:
    """erm=(accuracy, ECE, ECE after temperature, NLL after temperature); the last two may be left out."""
    metrics: dict[str, dict[str, list[float]]] = {"accuracy": {}, "ece": {}, "scaled/ece": {}, "scaled/nll": {}}
    for place, (label, numbers) in enumerate(means.items()):
        for name, mean in zip(metrics, (*numbers, *(0.02, 0.5)[len(numbers) - 2 :]), strict=True):
            metrics[name][label] = around(mean, 3 * place + len(name))
    return metrics


def sentences(results: Results) -> list[str]:
    said = advice(results)
    return [said.headline, *said.reasons, *said.cautions]


# ------------------------------------------------------------------------------------------------ headlines


@pytest.mark.parametrize(
    ("means", "headline"),
    [
        (
            {"erm": (0.80, 0.10), "mixup": (0.80, 0.05), "sk_mixup": (0.82, 0.01)},
            "Take sk_mixup: right more often and more honest than plain training.",
        ),
        (
            {"erm": (0.80, 0.05), "mixup": (0.82, 0.05)},
            "Take plain Mixup: right more often than plain training.",
        ),
        (
            {"erm": (0.876, 0.016), "mixup": (0.861, 0.075)},
            "Take plain training: mixup does not pay on this data.",
        ),
        (
            {"erm": (0.80, 0.05), "mixup": (0.80, 0.05)},
            "Take plain training: mixup does not pay on this data (a gain of one point, in right answers or honesty, "
            "is ruled out).",
        ),
        (
            {"erm": (0.80, 0.01), "mixup": (0.82, 0.08)},
            "Take plain Mixup, with temperature scaling: right more often than plain training.",
        ),
        (
            {"erm": (0.80, 0.01, 0.01), "mixup": (0.82, 0.08, 0.04)},
            "Take plain Mixup only if right answers are all that counts: plain training is the more honest.",
        ),
        (
            {"erm": (0.80, 0.10), "mixup": (0.80, 0.02)},
            "Take plain Mixup only where you cannot fit a temperature: it is more honest than plain training, but no "
            "difference could be told after temperature scaling.",
        ),
        (
            {"erm": (0.80, 0.10, 0.05), "mixup": (0.80, 0.02, 0.02)},
            "Take plain Mixup: more honest than plain training.",
        ),
        (
            {"erm": (0.80, 0.10, 0.05, 0.50), "mixup": (0.80, 0.02, 0.02, 0.60)},
            "Take plain Mixup only where you cannot fit a temperature: with temperature scaling plain training is "
            "better.",
        ),
        (
            {"erm": (0.80, 0.02, 0.04), "mixup": (0.80, 0.08, 0.01)},
            "Take plain training as it is, or plain Mixup with temperature scaling: after scaling, plain Mixup is the "
            "more honest.",
        ),
        (
            {"mixup": (0.80, 0.05), "sk_mixup": (0.75, 0.01)},
            "Take plain Mixup: no other method does better.",
        ),
        (
            {"mixup": (0.80, 0.02), "sk_mixup": (0.82, 0.05)},
            "Take sk_mixup: right more often than plain Mixup, though less honest.",
        ),
    ],
)
def test_headlines(made: Callable, means: dict[str, tuple[float, ...]], headline: str):
    assert advice(made(figures(**means))).headline == headline


@pytest.mark.parametrize(
    ("file", "headline"),
    [
        (
            "fashion_mnist/results.csv",
            "Take sk_mixup(remember=True): right more often and more honest than plain training.",
        ),
        (
            "shared_and_remembered/letter.csv",
            "Take plain training as it is, or plain Mixup with temperature scaling: after scaling, plain Mixup is the "
            "more honest.",
        ),
        (
            "shared_and_remembered/optdigits.csv",
            "Take plain Mixup, with temperature scaling: right more often than plain training.",
        ),
        (
            "shared_and_remembered/fashion_mnist_mlp.csv",
            "Take plain Mixup only where you cannot fit a temperature: with temperature scaling plain training is "
            "better.",
        ),
        (
            "shared_and_remembered/cifar10.csv",
            "No difference could be told between plain Mixup, mixup_e and mixup_e(share=0.25); the other methods do "
            "worse or no better: take plain Mixup if the simplest will do.",
        ),
    ],
)
def test_the_verdict_on_the_recorded_results(made: Callable, file: str, headline: str):
    runs = pd.read_csv(DOCS / file).sort_values("seed")

    def values(column: str) -> dict[str, list[float]]:
        return {str(method): list(found[column]) for method, found in runs.groupby("method", sort=False)}

    names = ("accuracy", "ece", "scaled/ece", "scaled/nll")
    results = made({name: values(name.replace("/", "_")) for name in names}, cost=values("relative_cost"))
    assert advice(results).headline == headline


# --------------------------------------------------------------------------------------------- what is claimed

METRIC = st.lists(st.sampled_from([0.70, 0.72, 0.73, 0.76, 0.80]), min_size=3, max_size=3)
METHODS = st.fixed_dictionaries(dict.fromkeys(("erm", "mixup", "sk_mixup"), METRIC))
GAP = re.compile(r"([\d.]+) (more|fewer|less) than ([\w ]+?) \((beyond|within) chance\)")


@given(METHODS, METHODS, METHODS)
def test_nothing_is_beyond_chance_whose_interval_includes_zero(made: Callable, accuracy, ece, scaled):
    results = made({"accuracy": accuracy, "ece": ece, "scaled/ece": scaled})
    said, chosen = advice(results), choose(results).method
    assert f"ake {name_of(chosen)}" in said.headline
    for sentence, values in zip(said.reasons, (accuracy, ece), strict=False):
        for amount, direction, rival, chance in GAP.findall(sentence):
            difference = paired_difference(values[chosen], values[CALLED.get(rival, rival)], widened(2))
            assert (chance == "beyond") == (difference.side != 0)
            assert (difference.mean > 0) == (direction == "more")
            assert float(amount) == pytest.approx(100 * abs(difference.mean), abs=0.051)
    worse = all(paired_difference(accuracy[other], accuracy["erm"], 0.975).side < 0 for other in ("mixup", "sk_mixup"))
    if worse:
        assert said.headline == "Take plain training: mixup does not pay on this data."


def name_of(label: str) -> str:
    return {"erm": "plain training", "mixup": "plain Mixup"}.get(label, label)


@given(METHODS, METHODS)
def test_one_seed_claims_nothing(made: Callable, accuracy, ece):
    first = {label: values[:1] for label, values in accuracy.items()}
    said = sentences(made({"accuracy": first, "ece": {label: values[:1] for label, values in ece.items()}}))
    assert said[0] == "One seed decides nothing."
    assert not any("Take" in sentence or "chance" in sentence for sentence in said)


def test_what_is_gained_is_said_in_right_answers_and_in_points(made: Callable):
    said = advice(made(figures(erm=(0.80, 0.103, 0.014), mixup=(0.81, 0.023, 0.012), sk_mixup=(0.82, 0.011, 0.013))))
    right, honest, scaled, cost = said.reasons
    assert right == (
        "It is right 82.0 times in a hundred: 2.0 more than plain training (beyond chance) and 1.0 more than plain "
        "Mixup (beyond chance)."
    )
    assert honest == (
        "The confidence it states is off by 1.1 points on average: 9.2 less than plain training (beyond chance) and "
        "1.2 less than plain Mixup (beyond chance)."
    )
    assert scaled == (
        "After temperature scaling, which fits one number on held-out rows, it is off by 1.3 points and plain training "
        "by 1.4 (within chance)."
    )
    assert cost == "A training step takes 20 % longer than a plain one."


def test_who_needs_temperature_scaling_is_judged_with_and_without(made: Callable):
    said = advice(made(figures(erm=(0.80, 0.01, 0.01), mixup=(0.82, 0.08, 0.01))))
    assert said.reasons[1] == (
        "Without temperature scaling the confidence it states is off by 8.0 points on average: "
        "7.0 more than plain training (beyond chance)."
    )
    assert "it is off by 1.0 points and plain training by 1.0 (within chance)." in said.reasons[2]


def test_a_small_difference_beyond_chance_is_not_rounded_away(made: Callable):
    plain = [0.8, 0.81, 0.79, 0.8, 0.81, 0.79]
    sure = {"erm": plain, "mixup": [value + 0.0003 for value in plain], "cutmix": plain}
    said = advice(made({"accuracy": sure, "ece": {label: [0.1] * 6 for label in sure}}))
    assert "0.03 more than plain training (beyond chance)" in said.reasons[0]
    assert "0.03 more than cutmix (beyond chance)" in said.reasons[0]
    assert "as much as plain training (within chance)" in said.reasons[1]


def sure(claimed: list[float], observed: list[float], count: list[float]) -> dict[str, list[float]]:
    return {"sure/claimed": claimed, "sure/observed": observed, "sure/count": count}


def with_claims(made: Callable, **claims: dict[str, list[float]]) -> Results:
    """erm and mixup, of two seeds."""
    metrics = figures(erm=(0.80, 0.10), mixup=(0.82, 0.05))
    first = {name: {label: values[:2] for label, values in found.items()} for name, found in metrics.items()}
    for name in ("sure/claimed", "sure/observed", "sure/count"):
        first[name] = {label: found[name] for label, found in claims.items()}
    return made(first)


def test_about_ninety_per_cent_sure_is_said_for_those_who_say_it_often_enough(made: Callable):
    plain = sure([0.9, 0.9], [0.671, 0.671], [250, 250])
    results = with_claims(made, erm=plain, mixup=sure([0.9, 0.9], [0.998, 0.998], [250, 250]))
    assert advice(results).headline.startswith("Take plain Mixup")
    assert "When it says about 90 %, it is right 99.8 times in a hundred (plain training: 67)." in sentences(results)
    rarely = sure([0.9, 0.9], [0.671, 0.671], [49, 50])
    ours = with_claims(made, erm=rarely, mixup=sure([0.9, 0.9], [0.998, 0.998], [50, 50]))
    assert "When it says about 90 %, it is right 99.8 times in a hundred." in sentences(ours)
    others = with_claims(made, erm=plain, mixup=sure([0.9, 0.9], [0.998, 0.998], [49, 50]))
    assert not any("about 90 %" in sentence for sentence in sentences(others))
    without = made(figures(erm=(0.80, 0.10), mixup=(0.82, 0.05)))  # as of calmix 0.1.0
    assert not any("about 90 %" in sentence for sentence in sentences(without))


def test_sure_answers_are_pooled_over_seeds(made: Callable):
    """Each row counts alike, so a seed with more sure answers counts more."""
    rng = np.random.default_rng(0)
    claims, rights = (
        [rng.uniform(0.85, 0.95, 30), rng.uniform(0.85, 0.95, 300)],
        [rng.random(30) > 0.5, rng.random(300) > 0.1],
    )
    each = sure([c.mean() for c in claims], [r.mean() for r in rights], [len(c) for c in claims])
    found = sure_answers(with_claims(made, erm=each, mixup=each), "erm")
    assert isinstance(found, SureAnswers)
    assert found.claimed == pytest.approx(np.concatenate(claims).mean())
    assert found.observed == pytest.approx(np.concatenate(rights).mean())
    assert found.count == 330
    assert sure_answers(made({"rmse": {"erm": [1.0, 2.0]}}, task="regression"), "erm") is None


def test_more_honest_at_the_price_of_right_answers_is_said(made: Callable):
    said = sentences(made(figures(mixup=(0.80, 0.05), sk_mixup=(0.75, 0.01), cutmix=(0.75, 0.05))))
    assert "More honest but right less often, both beyond chance: sk_mixup." in said
    assert "Plain training took no part, so whether mixup pays at all on this data is open: add erm." in said


def test_what_could_not_be_seen_is_said_where_nothing_is_seen(made: Callable):
    results = made(figures(erm=(0.80, 0.05), mixup=(0.80, 0.05)))
    assert 100 * results.scores.difference("mixup", "erm", ACCURACY.key).half_width < 0.6  # six of 1,000 rows
    least = "A gain of less than about 0.6 right answers in a hundred would not show here: that is 6 of 1,000 test rows"
    assert any(sentence.startswith(least) for sentence in sentences(results))
    spread = made({"accuracy": {"erm": [0.8, 0.9, 0.7], "mixup": [0.7, 0.8, 0.85]}})
    half = 100 * spread.scores.difference("mixup", "erm", ACCURACY.key).half_width
    assert f"A gain of less than about {half:.1f} right answers in a hundred would not show here." in sentences(spread)
    wild = made({"accuracy": {"erm": [0.9, 0.5], "mixup": [0.4, 0.8]}})
    assert wild.scores.difference("mixup", "erm", ACCURACY.key).half_width > 1
    assert "No gain could show here: by so few seeds, not even a hundred in a hundred." in sentences(wild)


@pytest.mark.parametrize(("seeds", "advised"), [(2, True), (9, True), (10, False)])
def test_fewer_than_ten_seeds_are_too_few_for_a_claim(made: Callable, seeds: int, advised: bool):
    metrics = figures(erm=(0.80, 0.05), mixup=(0.80, 0.05))
    cut = {name: {label: values[:seeds] for label, values in found.items()} for name, found in metrics.items()}
    assert ("10 seeds or more are advised before a claim." in sentences(made(cut))) is advised


@pytest.mark.parametrize(
    ("untold", "said"), [(10, "In 10 of 20 runs"), (11, "In 11 of 20 runs"), (20, "In 20 of 20 runs")]
)
def test_splits_that_cannot_tell_the_temperature_are_named(made: Callable, untold: int, said: str):
    metrics = figures(erm=(0.80, 0.05), mixup=(0.82, 0.05))
    low = np.where(np.arange(20) < untold, 0.6, 1.1).reshape(2, 10)
    for end, values in (("low", low), ("high", np.full((2, 10), 1.4))):
        metrics[f"intervals/{end}/temperature"] = {"erm": list(values[0]), "mixup": list(values[1])}
    results = made(metrics)
    sized = replace(results.facts.data, sizes={"test": 1000, "calibration": 1500})
    found = advice(replace(results, facts=replace(results.facts, data=sized))).cautions
    sentence = f"{said} the 1,500 calibration rows cannot tell the temperature from 1, so what temperature scaling"
    assert any(caution.startswith(sentence) for caution in found) is (untold > 10)


@pytest.mark.parametrize(("accuracy", "guessed"), [(0.12, True), (0.8, False)])
def test_networks_that_only_guess_decide_nothing(made: Callable, accuracy: float, guessed: bool):
    results = made(figures(erm=(accuracy, 0.05), mixup=(accuracy, 0.05)))
    classes = [str(k) for k in range(10)]
    said = advice(replace(results, facts=replace(results.facts, data=replace(results.facts.data, classes=classes))))
    assert ("hardly learnt" in " ".join(said.cautions)) == guessed


def test_a_regression_is_judged_by_its_error(made: Callable):
    said = advice(made({"rmse": {"erm": around(3.0), "sk_mixup": around(2.9, 1)}}, task="regression"))
    assert said.headline == "Take sk_mixup: closer to the truth than plain training."
    assert said.reasons[0] == (
        "Its predictions are off by 2.900 (root mean square, in the unit of the target): "
        "0.100 less than plain training (beyond chance)."
    )
    assert not any("confidence" in sentence for sentence in said.reasons)


def test_one_method_is_described(finish: Callable, tmp_path: Path):
    results: Results = finish(tmp_path, ["mixup"])
    said = advice(results)
    accuracy = np.mean([record.metrics["plain"]["accuracy"] for record in results.records])
    assert said.headline == "One method: nothing to compare it with."
    assert said.reasons[0] == f"It is right {100 * accuracy:.1f} times in a hundred."


def test_a_first_reader_meets_no_word_of_the_trade(made: Callable):
    for means in ({"erm": (0.8, 0.1), "mixup": (0.82, 0.02)}, {"erm": (0.8, 0.1), "mixup": (0.8, 0.1)}):
        said = advice(made(figures(**means)))
        words = " ".join([said.headline, *said.reasons])
        assert not re.search(r"\b(ECE|NLL|Brier|calibrat\w+|p-value|significan\w+|accuracy|logits?)\b", words)
