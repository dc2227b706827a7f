"""Learning curves, and what becomes of accuracy and calibration as images are corrupted."""

from collections.abc import Sequence

import numpy as np

from calmix.data.corruptions import CORRUPTED_ROWS
from calmix.metrics import equal_width
from calmix.report.figures.curves import Curve, Quantity
from calmix.results.records import Record
from calmix.results.scores import Scores
from calmix.studies.comparison.answers import Answers

EPOCH = Quantity("epoch", "epoch", whole=True)
LEARNING_LOSS = Quantity("loss", "validation loss", axis="log", late=True)
LEARNING_ACCURACY = Quantity("accuracy", "validation accuracy, %", 100, late=True)
SEVERITY = Quantity("severity", "severity of the corruption (0: none)", whole=True)
CORRUPTED_ACCURACY = Quantity("accuracy", "accuracy, %", 100)
CORRUPTED_ECE = Quantity("ece", "ECE, %", 100)


def prepare_learning(runs: Sequence[Record], quantity: Quantity) -> Curve:
    """The validation history of one method's runs; all have the same epochs."""
    points = [[epoch for epoch in run.history if epoch.validation] for run in runs]
    return Curve(
        method=runs[0].method,
        along=EPOCH,
        quantity=quantity,
        seeds=[run.seed for run in runs],
        x=np.array([epoch.number for epoch in points[0]]),
        values=np.array([[epoch.validation[quantity.name] for epoch in run] for run in points]),
    )


def prepare_corruption(scores: Scores, method: str, answers: Sequence[Answers], quantity: Quantity) -> Curve:
    """The mean over all families of corruptions; severity 0 is the same test rows, undamaged, from the answers."""
    rows = [one.before.first(CORRUPTED_ROWS) for one in answers]
    if quantity is CORRUPTED_ACCURACY:
        clean = [one.accuracy() for one in rows]
    else:
        clean = [equal_width(one.confidence, one.correct).expected_error() for one in rows]
    paths = [path.split("/") for path in scores.conditions("corruptions")]
    families = list(dict.fromkeys(family for family, _ in paths))
    severities = list(dict.fromkeys(severity for _, severity in paths))
    by_family = np.array(  # (severities, families, seeds)
        [
            [scores.values(method, quantity.name, f"corruptions/{family}/{severity}") for family in families]
            for severity in severities
        ]
    )
    return Curve(
        method=method,
        along=SEVERITY,
        quantity=quantity,
        seeds=scores.seeds_of(method),
        x=np.array([0, *map(int, severities)]),
        values=np.concatenate([np.array(clean)[:, None], by_family.mean(1).T], 1),
    )
