"""Every number that predictions give: metrics by condition, `{"plain": {"accuracy": ...}, "scaled": {...}, ...}`.

n  rows
K  classes
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from calmix import metrics as m
from calmix import posthoc
from calmix.metrics.unequal import mean_one_against_rest, summary
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
NEAR_ZERO, CLIPPED = 1e-6, 1e-15  # of the truth: all but ruled out; where other tools clip
MOST_CLASSES = 100  # of which each has conditions of its own
MOST_RANKED = 2 * 10**7  # probabilities that are ranked class by class: about ten seconds


class ClassScores(NamedTuple):
    """The scores of class predictions, and the corrections that were fitted."""

    scores: Scored
    rows: dict[str, m.RowScores]  # of the test rows: `plain`, and after each correction
    tables: dict[str, m.ClassBins]  # the same of each class against the rest
    corrections: dict[str, Calibrator]
    temperature: float | None  # that of `scaled`


def class_scores(
    test: ClassPredictions,
    calibration: ClassPredictions | None = None,
    bins: int = 15,
    calibrators: Mapping[str, Fitter] = CALIBRATORS,
    shares: Tensor | None = None,
) -> ClassScores:
    """The metrics of class predictions, and those after each correction fitted on the calibration split.

    Conditions: `plain`; the calibrators' names; `intervals/low` and `intervals/high`, the ends of what other test rows
    would show (`ece_interval`), and those of the temperatures that the calibration split does not rule out
    (`temperature_interval`); `positive`, for two classes, P(y = 1); `sure`, the answers with a confidence of 85 to
    95 %, if there are any: their number, mean confidence and share right; `conformal`; `near_zero`, of rows that give
    the truth a probability below 1e-6, if there are any; `by_class/0`, `by_class/1`, ..., of at most 100 classes: share
    of the rows, share of the answers, recall.

    shares: (K,) how frequent the classes are among the training rows, which `nll_skill` refers to; None: among the test
    rows. The test rows are read once, a few at a time, but for AUROC and average precision, which need all rows of a
    class and are left out of more than 20 million probabilities.
    """
    held = None if calibration is None else CalibrationLogits(calibration.logits, calibration.labels)
    corrections = {} if held is None else {name: fit(held) for name, fit in calibrators.items()}
    conformal = None if held is None else posthoc.fit_conformal_sets(held, ALPHA)
    stages = {name: m.ClassificationMetrics(bins) for name in ("plain", *corrections)}
    counts = m.class_counts(test.labels[:0], test.labels[:0], test.num_classes)
    positive: list[Tensor] = []
    covered = size = 0.0  # sums over rows
    for logits, labels in test.pieces():
        probs = logits.softmax(1)
        stages["plain"].update(probs, labels)
        counts += m.class_counts(probs.argmax(1), labels, test.num_classes)
        for name, correction in corrections.items():
            stages[name].update(correction(logits).softmax(1), labels)
        if conformal is not None:
            sets = conformal(probs)
            covered += len(sets) * posthoc.set_coverage(sets, labels)
            size += len(sets) * posthoc.set_size(sets)
        if test.num_classes == 2:
            positive.append(probs[:, 1])
    rows = {name: stage.rows for name, stage in stages.items()}
    confidence, correct = rows["plain"].confidence, rows["plain"].correct
    low, high = m.error_interval(confidence, correct, bins)
    scores: Scored = {
        "plain": stages["plain"].compute() | _unequal(test, counts, rows["plain"].nll(), shares),
        "intervals/low": {"ece": low},
        "intervals/high": {"ece": high},
    }
    scores |= _ruled_out(rows["plain"].of_label)
    if test.num_classes <= MOST_CLASSES:
        scores |= _by_class(counts)
    if positive:
        scores["positive"] = m.binary_metrics(torch.cat(positive), test.labels, bins)
    sure = (confidence >= ABOUT[0]) & (confidence <= ABOUT[1])
    if sure.any():
        scores["sure"] = {
            "claimed": confidence[sure].mean().item(),
            "observed": correct[sure].double().mean().item(),
            "count": float(sure.sum()),
        }
    scores |= {name: stages[name].compute() for name in corrections}
    for name, found in rows.items():
        scores[name]["mce_rows"] = float(m.equal_width(found.confidence, found.correct, bins).worst()[1])
    if conformal is not None:
        scores["conformal"] = {"promised": 1 - ALPHA, "coverage": covered / len(test), "size": size / len(test)}
    temperatures = [one.value for one in corrections.values() if isinstance(one, posthoc.Temperature)]
    if held is not None and temperatures:
        for end, value in zip(("low", "high"), posthoc.temperature_interval(held), strict=True):
            scores[f"intervals/{end}"]["temperature"] = value
    tables = {name: stage.table for name, stage in stages.items()}
    return ClassScores(scores, rows, tables, corrections, temperatures[-1] if temperatures else None)


def _unequal(test: ClassPredictions, counts: m.ClassCounts, nll: float, shares: Tensor | None) -> dict[str, float]:
    """`imbalance_metrics`; without the areas where ranking would take long."""
    few = test.outputs.numel() <= MOST_RANKED
    return summary(counts, mean_one_against_rest(test.columns(), test.labels) if few else None, nll, shares)


def _ruled_out(of_label: Tensor) -> Scored:
    """How many rows (n,) give the truth a probability below 1e-6, their part of the NLL, and the NLL as others clip."""
    few = of_label < NEAR_ZERO
    if not few.any():
        return {}
    losses = -of_label.clamp(min=torch.finfo(torch.float64).tiny).log()
    found = {
        "count": float(few.sum()),
        "nll_share": float(losses[few].sum() / losses.sum()),
        "nll_clipped": float(-of_label.clamp(min=CLIPPED).log().mean()),
    }
    return {"near_zero": found}


def _by_class(counts: m.ClassCounts) -> Scored:
    """Each class with rows under a condition of its own."""
    rows = int(counts.actual.sum())
    of_each = zip(counts.actual.tolist(), counts.answered.tolist(), counts.recalls(), strict=True)
    return {
        f"by_class/{number}": {"share": actual / rows, "answered": answered / rows, "recall": recall}
        for number, (actual, answered, recall) in enumerate(of_each)
        if actual
    }


def ood_scores(test: ClassPredictions, outside: Tensor) -> Scored:
    """How well each score of confidence tells rows of no class, logits (m, K), from the test rows, by score.

    Without the energy where one of the two came as probabilities, whose logarithms have none.
    """
    inside, foreign = m.shift_scores(logits for logits, _ in test.pieces()), m.shift_scores([outside])
    known = all(found["energy"].abs().max() > 2 * SUM_TOLERANCE for found in (inside, foreign))
    return {
        score: m.detection_metrics(inside[score], foreign[score]) for score in m.SCORES if known or score != "energy"
    }


def multilabel_scores(test: MultilabelPredictions, bins: int = 15) -> Scored:
    """The metrics of any number of labels a row.

    Conditions: `plain`; `by_label/0`, `by_label/1`, ..., of at most 100 labels: share of the rows that have it, the
    calibration error of its probability, and its AUROC where there are rows of both kinds.
    """
    scores: Scored = {"plain": dict(m.multilabel_metrics(test.probs, test.labels, bins))}
    labels = test.probs.shape[1]
    for number in range(labels if labels <= MOST_CLASSES else 0):
        p, y = test.probs[:, number], test.labels[:, number]
        share = float(y.double().mean())
        ranked = {"auroc": m.auroc(p, y)} if 0 < share < 1 else {}
        scores[f"by_label/{number}"] = {"share": share, "positive_ece": m.positive_ece(p, y, bins), **ranked}
    return scores


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
