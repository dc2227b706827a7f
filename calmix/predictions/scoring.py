"""Every number that predictions give: metrics by condition, `{"plain": {"accuracy": ...}, "scaled": {...}, ...}`.

n  rows
K  classes
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from calmix import metrics as m
from calmix import posthoc
from calmix.posthoc import CalibrationGaussian, CalibrationLogits
from calmix.predictions.kinds import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.probabilities import SUM_TOLERANCE

Scored = dict[str, dict[str, float]]  # condition -> metric -> value
Calibrator = Callable[[Tensor], Tensor]  # logits (n, K) -> logits (n, K)
Fitter = Callable[[CalibrationLogits], Calibrator]
CALIBRATORS: Mapping[str, Fitter] = {
    "scaled": posthoc.fit_temperature,
    "vector": posthoc.fit_vector_scaling,
    "matrix": posthoc.fit_matrix_scaling,
    "isotonic": posthoc.fit_isotonic,
}
TEMPERATURE: Mapping[str, Fitter] = {"scaled": posthoc.fit_temperature}
ALPHA = 0.1  # conformal sets and intervals miss the truth at most this often
ABOUT = (0.85, 0.95)  # confidence that counts as about 90 % sure


class ClassScores(NamedTuple):
    """The scores of class predictions, and what corrections made of them."""

    scores: Scored
    corrected: dict[str, Tensor]  # logits (n, K), by the calibrator's name
    temperature: float | None  # that of `scaled`


def class_scores(
    test: ClassPredictions,
    calibration: ClassPredictions | None = None,
    bins: int = 15,
    calibrators: Mapping[str, Fitter] = CALIBRATORS,
) -> ClassScores:
    """The metrics of class predictions, and those after each correction fitted on the calibration split.

    Conditions: `plain`; the calibrators' names; `intervals/low` and `intervals/high`, the ends of what other test rows
    would show (`ece_interval`), and those of the temperatures that the calibration split does not rule out
    (`temperature_interval`); `positive`, for two classes, P(y = 1); `sure`, the answers with a confidence of 85 to
    95 %, if there are any: their number, mean confidence and share right; `conformal`.
    """
    probs, labels = test.probs, test.labels
    low, high = m.ece_interval(probs, labels, bins)
    scores: Scored = {
        "plain": dict(m.classification_metrics(probs, labels, bins)),
        "intervals/low": {"ece": low},
        "intervals/high": {"ece": high},
    }
    if probs.shape[1] == 2:
        scores["positive"] = m.binary_metrics(probs[:, 1], labels, bins)
    confidence, answer = probs.max(1)
    sure = (confidence >= ABOUT[0]) & (confidence <= ABOUT[1])
    if sure.any():
        right = (answer == labels)[sure].double()
        scores["sure"] = {
            "claimed": confidence[sure].mean().item(),
            "observed": right.mean().item(),
            "count": float(len(right)),
        }
    corrected: dict[str, Tensor] = {}
    temperature = None
    if calibration is not None:
        held = CalibrationLogits(calibration.logits, calibration.labels)
        for name, fit in calibrators.items():
            corrector = fit(held)
            corrected[name] = corrector(test.logits.double())
            scores[name] = m.classification_metrics(corrected[name].softmax(1), labels, bins)
            if isinstance(corrector, posthoc.Temperature):
                temperature = corrector.value
                for end, value in zip(("low", "high"), posthoc.temperature_interval(held), strict=True):
                    scores[f"intervals/{end}"]["temperature"] = value
        sets = posthoc.fit_conformal_sets(held, ALPHA)(probs)
        coverage, size = posthoc.set_coverage(sets, labels), posthoc.set_size(sets)
        scores["conformal"] = {"promised": 1 - ALPHA, "coverage": coverage, "size": size}
    return ClassScores(scores, corrected, temperature)


def ood_scores(inside: Tensor, outside: Tensor) -> Scored:
    """How well each score of confidence tells rows of no class (m, K) from test rows (n, K), by score.

    Without the energy where one of the two came as probabilities, whose logarithms have none.
    """
    found = m.shift_metrics(inside, outside)
    known = all(logits.double().logsumexp(1).abs().max() > 2 * SUM_TOLERANCE for logits in (inside, outside))
    return {score: numbers for score, numbers in found.items() if known or score != "energy"}


def multilabel_scores(test: MultilabelPredictions, bins: int = 15) -> Scored:
    """The metrics of any number of labels a row."""
    return {"plain": dict(m.multilabel_metrics(test.probs, test.labels, bins))}


def regression_scores(
    test: RegressionPredictions, calibration: RegressionPredictions | None = None, bins: int = 15
) -> Scored:
    """The metrics of predicted numbers; `scaled` and `conformal` where both splits have standard deviations."""
    scores: Scored = {"plain": dict(m.regression_metrics(test.mean, test.targets))}
    if test.std is None:
        return scores
    scores["plain"] |= m.gaussian_metrics(test.mean, test.std, test.targets, bins)
    if calibration is not None and calibration.std is not None:
        held = CalibrationGaussian(calibration.mean, calibration.std, calibration.targets)
        scaling = posthoc.fit_variance_scaling(held)
        scores["scaled"] = m.gaussian_metrics(test.mean, scaling(test.std.double()), test.targets, bins)
        low, high = posthoc.fit_conformal_intervals(held, ALPHA)(test.mean.double(), test.std.double())
        coverage, width = posthoc.band_coverage(low, high, test.targets.double()), posthoc.band_width(low, high)
        scores["conformal"] = {"promised": 1 - ALPHA, "coverage": coverage}
        if math.isfinite(width):  # infinite where there are too few calibration rows for the promise
            scores["conformal"]["width"] = width
    return scores
