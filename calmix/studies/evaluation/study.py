"""Every number that predictions give.

n  rows
K  classes
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from calmix import metrics as m
from calmix import posthoc
from calmix.errors import DataError
from calmix.evaluation.predictions import FAR, Classified, Estimated, Multilabelled
from calmix.evaluation.read import Given
from calmix.posthoc import CalibrationGaussian, CalibrationLogits

Calibrator = Callable[[Tensor], Tensor]  # logits (n, K) -> logits (n, K)
Fitter = Callable[[CalibrationLogits], Calibrator]
CALIBRATORS: Mapping[str, Fitter] = {
    "scaled": posthoc.fit_temperature,
    "vector": posthoc.fit_vector_scaling,
    "matrix": posthoc.fit_matrix_scaling,
    "isotonic": posthoc.fit_isotonic,
}
MOST_CLASSES = 100  # for matrix scaling, whose K^2 numbers would take long to fit and say little
ALPHA = 0.1  # conformal sets and intervals miss the truth at most this often


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was given, what it says, and the predictions after each correction."""

    given: Given
    metrics: dict[str, Any]  # as metrics.json holds them: fractions, not per cent
    corrected: Mapping[str, Tensor]  # logits (n, K) after each of CALIBRATORS; none without a calibration split


def evaluate(given: Given, bins: int = 15) -> Evaluation:
    """All metrics of the test predictions, and those after each correction that the calibration split allows.

    Raises:
        DataError: fewer rows than bins.
    """
    if len(given.test) < bins:
        raise DataError(f"{len(given.test)} rows cannot fill {bins} bins; give more rows, or fewer --bins.")
    numbers: dict[str, Any] = {"rows": len(given.test), "bins": bins}
    if isinstance(given.test, Multilabelled):
        found = m.multilabel_metrics(given.test.probs, given.test.labels, bins)
        return Evaluation(given, {"task": "multilabel", **numbers, **found}, {})
    if isinstance(given.test, Estimated):
        return Evaluation(
            given, {"task": "regression", **numbers, **_estimated(given.test, given.calibration, bins)}, {}
        )
    numbers = {"task": "classification", "classes": given.test.logits.shape[1], **numbers}
    calibration = given.calibration if isinstance(given.calibration, Classified) else None
    fitters = {name: fit for name, fit in CALIBRATORS.items() if name != "matrix" or numbers["classes"] <= MOST_CLASSES}
    found, corrected = judge_classes(given.test, calibration, bins, fitters)
    numbers |= found
    if given.outside:
        numbers["ood"] = {name: _told_apart(given.test.logits, other) for name, other in given.outside.items()}
    if given.votes is not None:
        numbers["votes"] = m.human_label_metrics(given.test.probs, given.votes)
    return Evaluation(given, numbers, corrected)


def judge_classes(
    test: Classified,
    calibration: Classified | None,
    bins: int = 15,
    calibrators: Mapping[str, Fitter] = CALIBRATORS,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metrics of class predictions, and the logits after each correction fitted on the calibration split.

    The metrics after a correction stand under its name; "temperature" is that of "scaled"; "intervals" holds what
    other test rows would show (`ece_interval`); "positive", for two classes, what is said of the second.
    """
    probs, labels = test.probs, test.labels
    numbers: dict[str, Any] = dict(m.classification_metrics(probs, labels, bins))
    numbers["intervals"] = {"ece": list(m.ece_interval(probs, labels, bins))}
    if probs.shape[1] == 2:
        numbers["positive"] = m.binary_metrics(probs[:, 1], labels, bins)
    corrected: dict[str, Tensor] = {}
    if calibration is not None:
        held = CalibrationLogits(calibration.logits, calibration.labels)
        for name, fit in calibrators.items():
            corrector = fit(held)
            corrected[name] = corrector(test.logits.double())
            numbers[name] = m.classification_metrics(corrected[name].softmax(1), labels, bins)
            if isinstance(corrector, posthoc.Temperature):
                numbers["temperature"] = corrector.value
        sets = posthoc.fit_conformal_sets(held, ALPHA)(probs)
        coverage, size = posthoc.set_coverage(sets, labels), posthoc.set_size(sets)
        numbers["conformal"] = {"promised": 1 - ALPHA, "coverage": coverage, "size": size}
    return numbers, corrected


def _told_apart(inside: Tensor, outside: Tensor) -> dict[str, dict[str, float]]:
    """`shift_metrics`; without the energy where one of the two came as probabilities, whose logarithms have none."""
    found = m.shift_metrics(inside, outside)
    known = all(logits.double().logsumexp(1).abs().max() > 2 * FAR for logits in (inside, outside))
    return {score: numbers for score, numbers in found.items() if known or score != "energy"}


def _estimated(test: Estimated, held: object, bins: int) -> dict[str, Any]:
    numbers: dict[str, Any] = dict(m.regression_metrics(test.mean, test.targets))
    if test.std is None:
        return numbers
    numbers |= m.gaussian_metrics(test.mean, test.std, test.targets, bins)
    if isinstance(held, Estimated) and held.std is not None:
        calibration = CalibrationGaussian(held.mean, held.std, held.targets)
        scaling = posthoc.fit_variance_scaling(calibration)
        numbers["scaled"] = m.gaussian_metrics(test.mean, scaling(test.std.double()), test.targets, bins)
        low, high = posthoc.fit_conformal_intervals(calibration, ALPHA)(test.mean.double(), test.std.double())
        coverage, width = posthoc.band_coverage(low, high, test.targets.double()), posthoc.band_width(low, high)
        numbers["conformal"] = {
            "promised": 1 - ALPHA,
            "coverage": coverage,
            "width": width if math.isfinite(width) else None,  # too few calibration rows for the promise
        }
    return numbers
