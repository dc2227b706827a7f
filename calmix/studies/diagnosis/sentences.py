"""What a diagnosis found, in sentences: do wrong labels grow with distance, and how many of them does a method avoid?

Functions of scores alone. No sentence claims what its interval does not show.
"""

from calmix.report.sentences import Advice
from calmix.results.catalogue import number
from calmix.results.scores import Scores
from calmix.results.statistics import Interval
from calmix.studies.diagnosis.conditions import NO_METHOD, ORACLES, SPACES
from calmix.studies.diagnosis.findings import Place, cut, measured, methods_of, pair_bins, rise

MAIN_ORACLE = "network"  # what the sentences go by; the page shows the other opinion, too
_FEW_ROWS = 1000  # an oracle that learnt fewer is not trusted without a caution


def verdict(scores: Scores, classes: int) -> Advice:
    """Whether wrong labels grow with distance, then for each method which part of them it avoids."""
    return Advice(
        headline=_headline(scores, classes),
        reasons=[
            *(_rise_sentence(scores, classes, space) for space in SPACES),
            *(_cut_sentence(scores, method) for method in methods_of(scores)),
        ],
        cautions=_cautions(scores),
    )


def main_measure(classes: int) -> tuple[str, float]:
    """The measure and the share of the larger parent that tell most.

    With two classes, two parents of different classes have all classes between them: the oracle cannot see a third, and
    the label can only be wrong by siding with the smaller share.
    """
    return ("neither", 0.5) if classes > 2 else ("excess", 0.8)


def main_rise(scores: Scores, classes: int, space: str) -> Interval | None:
    """How much more often labels are wrong far apart than near by; None where near and far pairs cannot be told."""
    measure, share = main_measure(classes)
    place = Place(MAIN_ORACLE, space, "different", share)
    return rise(scores, place, measure) if measured(scores, place) else None


def _headline(scores: Scores, classes: int) -> str:
    """Whether wrong labels grow with distance, among pairs of different classes, by each way to measure it."""
    if len(scores.seeds) == 1:
        return "One seed decides nothing; this is what it showed."
    rises = [main_rise(scores, classes, space) for space in SPACES]
    says = {1: "grow", -1: "become fewer", 0: "were not seen to change"}
    first, second = (says[0 if one is None else one.side] for one in rises)
    if first == second:
        return f"Wrong labels {first} with distance here, by inputs as well as by embedding."
    return f"Wrong labels {first} with the distance of inputs, and {second} with that in the oracle's embedding."


def _rise_sentence(scores: Scores, classes: int, space: str) -> str:
    measure, share = main_measure(classes)
    found = main_rise(scores, classes, space)
    if found is None:
        return "Distances take too few values here to tell near pairs of different classes from far ones."
    bins = pair_bins(scores, Place(MAIN_ORACLE, space, "different", share), measure)
    near, far = bins[0], bins[-1]
    assert near is not None
    assert far is not None
    told = {
        1: "labels are wrong more often far apart than near by",
        -1: "labels are wrong less often far apart than near by",
        0: "near and far pairs were not told apart" if len(scores.seeds) > 1 else "one seed shows this",
    }[found.side]
    what, of, at = (
        ("the oracle sees neither of their classes in", " of the mixes", "in ")
        if measure == "neither"
        else ("the label's avoidable error, by the oracle, is", "", "")
    )
    mixed = "half and half" if share == 0.5 else f"{100 * share:.0f} to {100 * (1 - share):.0f}"
    return (
        f"By distance of the {SPACES[space]}, {told}. When two rows of different classes are mixed {mixed}, {what} "
        f"{_percent(near.mean)}{of} in the nearest of {len(bins)} equal parts of the pairs, and {at}"
        f"{_percent(far.mean)} in the farthest ({_points(found)})."
    )


def _cut_sentence(scores: Scores, method: str) -> str:
    own, shuffled = (
        scores.interval(method, "mass", f"labels/{MAIN_ORACLE}/{control}").mean for control in ("none", "shuffled")
    )
    start = f"{method}: {_percent(own)} of the labels' probability would have to move to match the oracle"
    found, within = (cut(scores, method, MAIN_ORACLE, control) for control in ("shuffled", "shuffled_within"))
    if found is None or within is None:
        return f"{start}."
    if len(scores.seeds) == 1:
        return f"{start}; on random pairs the same lams give {_percent(shuffled)}."
    if found.side == 0:
        return f"{start}; on random pairs the same lams give {_percent(shuffled)}, which is not told apart from it."
    fewer = "less" if found.side > 0 else "more"
    rest = {
        1: f"it is {_relative(within)} less",
        0: "it is not told apart",
        -1: f"it is {_relative(within)} more",
    }[within.side]
    return (
        f"{start}, {_relative(found)} {fewer} than with the same lams on random pairs ({_percent(shuffled)}). Against "
        f"random pairs of the same kind (same class or not) {rest}."
    )


def _cautions(scores: Scores) -> list[str]:
    right = [_percent(scores.interval(NO_METHOD, "accuracy", f"oracle/{oracle}").mean) for oracle in ORACLES]
    told = [
        f"An oracle, which learnt rows that the methods do not train on, stands in for the truth: as a network it is "
        f"right on {right[0]} of the test rows, as nearest neighbours in its embedding on {right[1]}.",
        "Mixed rows do not exist in nature, so what the oracle says of them is an opinion.",
    ]
    learnt = int(scores.values(NO_METHOD, "count", "oracle")[0])
    if learnt < _FEW_ROWS:
        told.append(f"The oracle learnt only {learnt:,} rows; a smaller --train-size leaves it more.")
    if len(scores.seeds) == 1:
        told.append("One seed: intervals are over its pairs, and methods cannot be told apart beyond chance.")
    return told


def _percent(value: float) -> str:
    return f"{number(100 * value, 1)} %"


def _points(value: Interval) -> str:
    mean = f"{number(100 * value.mean, 1, '+')} points"
    if value.count < 2:
        return mean
    return f"{mean} [{number(100 * value.low, 1, '+')}, {number(100 * value.high, 1, '+')}]"


def _relative(value: Interval) -> str:
    sign = 1 if value.mean >= 0 else -1
    low, high = sorted((100 * sign * value.low, 100 * sign * value.high))
    ends = "" if value.count < 2 else f" [{number(low, 0)}, {number(high, 0)}]"
    return f"{number(100 * abs(value.mean), 0)} %{ends}"
