"""What the numbers say in plain sentences, and no more than they say."""

from collections.abc import Sequence
from typing import Literal

from calmix.report.results import Results
from calmix.report.tables import ACCURACY, ECE, SCALED_ECE, Column, Verdict, columns_of, number, seeds

ENOUGH_SEEDS = 10  # advised before a claim


def sentences(results: Results) -> list[str]:
    """The paragraph on top of the report."""
    methods = "One method" if len(results.methods) == 1 else f"{len(results.methods)} methods"
    said = [f"{methods}, {seeds(results.seeds)} each, judged on {results.data.sizes['test']} test rows a seed."]
    if len(results.methods) > 1:
        if results.regression:
            said.append(_best(results, columns_of(results)[0], "Lowest error (RMSE)"))
        else:
            said.append(_best(results, ECE, "Lowest calibration error (ECE)"))
            said.append(_best(results, SCALED_ECE, "Lowest after temperature scaling"))
            said.append(_accuracy(results))
    return [*said, _caution(results)]


def reference(results: Results) -> str:
    return "plain training (erm)" if results.reference == "erm" else results.reference


def _best(results: Results, column: Column, praise: str) -> str:
    """Who is best on average, and whether the seeds tell it apart from the reference."""
    best = max(results.methods, key=lambda summary: column.better * summary.metrics[column.name].mean)
    name = reference(results) if best.method == results.reference else best.method
    claim = f"{praise}: {name}, {_value(column, column.shown(best.metrics[column.name]).mean)}"
    if results.seeds == 1:
        return f"{claim}."
    if best.method == results.reference:
        worse = _told_apart(results, column, -1)
        return f"{claim}; worse, by a paired difference whose 95 % interval excludes zero: {_listed(worse)}."
    shown = column.shown(best.difference[column.name])
    mean, low, high = (_value(column, value, "+") for value in (shown.mean, shown.low, shown.high))
    verdict = "excludes zero" if column.verdict(shown) else "includes zero, so chance alone can explain it"
    return (
        f"{claim}; its paired difference from {reference(results)}, {mean} (95 % interval {low} to {high}), {verdict}."
    )


def _accuracy(results: Results) -> str:
    if results.seeds == 1:
        return "Accuracies of one seed cannot be told apart."
    better, worse = _told_apart(results, ACCURACY, 1), _told_apart(results, ACCURACY, -1)
    if not better and not worse:
        return f"No method's accuracy can be told from that of {reference(results)}."
    sides = [f"{side} {', '.join(names)}" for side, names in (("higher", better), ("lower", worse)) if names]
    return f"Accuracy that can be told from that of {reference(results)}: {'; '.join(sides)}."


def _told_apart(results: Results, column: Column, verdict: Verdict) -> list[str]:
    return [summary.method for summary in results.methods if column.verdict(summary.difference[column.name]) == verdict]


def _caution(results: Results) -> str:
    if results.seeds == 1:
        return f"One seed gives no interval, so none of this can be told from chance: run {ENOUGH_SEEDS} seeds or more."
    several = "Intervals are not widened for looking at several methods and metrics at once"
    if results.seeds < ENOUGH_SEEDS:
        return f"{several}, and {ENOUGH_SEEDS} seeds or more are advised before a claim."
    return f"{several}."


def _value(column: Column, value: float, sign: Literal["", "+"] = "") -> str:
    """With the unit: per cent of a mean, points of a difference (one digit more)."""
    text = number(value, column.digits + bool(sign), sign)
    return f"{text} {'points' if sign else '%'}" if column.unit == "%" else text


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
