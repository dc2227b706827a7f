"""The paragraph on top says what the intervals say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calmix.experiment.statistics import Interval
from calmix.report.results import Results, parse_results
from calmix.report.words import sentences


@pytest.fixture
def results(finish: Callable, tmp_path: Path) -> Results:
    return parse_results(finish(tmp_path, ["erm", "mixup"]))


def altered(results: Results, name: str, mean: float, difference: Interval) -> Results:
    """mixup with another mean of a metric, and another difference from erm."""
    erm, mixup = results.methods
    mixup = replace(
        mixup,
        metrics={**mixup.metrics, name: Interval(mean, mean, mean, 3)},
        difference={**mixup.difference, name: difference},
    )
    return replace(results, methods=[erm, mixup])


def test_the_best_that_is_told_apart(results: Results):
    text = " ".join(sentences(altered(results, "ece", 0.0001, Interval(-0.03, -0.04, -0.02, 3))))
    assert (
        "Lowest calibration error (ECE): mixup, 0.01 %; its paired difference from plain training (erm), "
        "−3.000 points (95 % interval −4.000 points to −2.000 points), excludes zero." in text
    )


def test_the_best_that_chance_explains(results: Results):
    text = " ".join(sentences(altered(results, "ece", 0.0001, Interval(-0.03, -0.07, 0.01, 3))))
    assert "includes zero, so chance alone can explain it" in text


@pytest.mark.parametrize(("low", "said"), [(0.1, "mixup"), (-0.1, "none")])
def test_the_reference_may_be_the_best(results: Results, low: float, said: str):
    text = " ".join(sentences(altered(results, "ece", 0.9, Interval(0.2, low, 0.5, 3))))
    assert "Lowest calibration error (ECE): plain training (erm)" in text
    assert f"worse, by a paired difference whose 95 % interval excludes zero: {said}." in text


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Interval(0.02, 0.01, 0.03, 3), "plain training (erm): higher mixup."),
        (Interval(-0.02, -0.03, -0.01, 3), "plain training (erm): lower mixup."),
        (Interval(0.02, -0.01, 0.05, 3), "No method's accuracy can be told from that of plain training (erm)."),
    ],
)
def test_accuracy_is_claimed_only_beyond_chance(results: Results, difference: Interval, said: str):
    assert said in " ".join(sentences(altered(results, "accuracy", 0.9, difference)))


@pytest.mark.parametrize(("seeds", "advised"), [(2, True), (9, True), (10, False)])
def test_fewer_than_ten_seeds_are_too_few_for_a_claim(results: Results, seeds: int, advised: bool):
    assert ("10 seeds or more are advised" in sentences(replace(results, seeds=seeds))[-1]) is advised


def test_one_seed_claims_nothing(finish: Callable, tmp_path: Path):
    text = " ".join(sentences(parse_results(finish(tmp_path, ["erm", "mixup"], seeds=1))))
    assert "excludes zero" not in text
    assert "none of this can be told from chance" in text
