"""What the runs of a comparison and the intervals over them are called, in tables, notes and sentences alike."""

import math

from calmix.report.tables import seeds
from calmix.results.statistics import LEVEL
from calmix.results.store import Results


def rounds(results: Results) -> str:
    """Over what means are taken: `5 seeds`, or `2 × 5 folds` where rows were cut into five folds twice."""
    folds, count = results.facts.data.folds, results.seeds
    if not folds:
        return seeds(count)
    repeats = math.ceil(count / folds)
    planned = f"{repeats} × {folds} folds" if repeats > 1 else f"{folds} folds"
    return planned if count == repeats * folds else f"{count} of {planned}"


def one_round(results: Results) -> str:
    """What a difference is paired by: `seed` or `fold`."""
    return "fold" if results.facts.data.folds else "seed"


def of_the_mean(results: Results) -> str:
    """Which interval a mean is shown with."""
    corrected = ", corrected for rows that folds share" if results.facts.data.folds else ""
    return f"the 95 % interval of the mean over {rounds(results)} (Student's t{corrected})"


def of_the_difference(results: Results) -> str:
    """Which interval marks, tables and sentences judge a difference by."""
    others, level = results.scores.comparisons, f"{100 * results.scores.level:.4g} %"
    corrected = ", corrected for rows that folds share (Nadeau and Bengio, 2003)" if results.facts.data.folds else ""
    together = f", so that a method's differences from all {others} others hold together at {100 * LEVEL:.0f} %"
    return (
        f"the {level} interval of the difference, paired by {one_round(results)}{corrected}"
        f"{together if others > 1 else ''}"
    )
