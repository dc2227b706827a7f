"""Learning curves, and what becomes of accuracy and calibration as images are corrupted."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from calmix.metrics import accuracy, ece
from calmix.report.figures.curves import Curve, Quantity
from calmix.results.files import Arrays
from calmix.results.records import Record
from calmix.results.scores import Scores
from calmix.data.corruptions import CORRUPTED_ROWS

EPOCH = Quantity("epoch", "epoch", whole=True)
LEARNING_LOSS = Quantity("loss", "validation loss", axis="log")
LEARNING_ACCURACY = Quantity("accuracy", "validation accuracy, %", 100)
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


def prepare_corruption(runs: Sequence[Record], predictions: Sequence[Arrays], quantity: Quantity) -> Curve:
    """The mean over all families of corruptions that were run; severity 0 is the same test rows, clean."""
    clean_metric = {"accuracy": accuracy, "ece": ece}[quantity.name]
    families = runs[0].metrics["corruptions"]
    severities = list(next(iter(families.values())))

    def means(run: Record, clean: Arrays) -> list[float]:
        parts = run.metrics["corruptions"].values()
        corrupted = [np.mean([part[severity][quantity.name] for part in parts]) for severity in severities]
        undamaged = clean_metric(clean["probs"][:CORRUPTED_ROWS], clean["labels"][:CORRUPTED_ROWS])
        return [undamaged, *map(float, corrupted)]

    return Curve(
        method=runs[0].method,
        along=SEVERITY,
        quantity=quantity,
        seeds=[run.seed for run in runs],
        x=np.array([0, *map(int, severities)]),
        values=np.array([means(run, clean) for run, clean in zip(runs, predictions, strict=True)]),
    )
