"""Split conformal prediction: sets of classes, and intervals, that contain the target with a given probability.

    n  calibration rows, m rows to predict
    K  classes
    d  outputs of a row

If the calibration rows and a new row are exchangeable, the set or interval of the new row contains its target with
probability at least 1 - alpha, for any network (and at most 1 - alpha + 1 / (n + 1) if scores have no ties). The
probability is over the draw of the calibration rows and of the new row. For one given calibration split, the coverage
of new rows is a draw of Beta(j, n + 1 - j) with j = ceil((1 - alpha) (n + 1)), without ties.

Corrected logits (`Temperature`, ...) may be used if the correction was fitted on other rows.

Calibration scores are computed in float64. New rows come in any dtype, whose rounding moves their scores: where many
rows have the same score, as confident networks give them, all of these could move past the threshold at once. So a
score passes if it exceeds the threshold by no more than that rounding, and coverage is at least 1 - alpha in every
dtype, with ties and without.

Source: Angelopoulos and Bates, Conformal Prediction: A Gentle Introduction, 2023 (arXiv 2107.07511); each score names
its own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from calmix.errors import DataError, SettingError, ShapeError
from calmix.posthoc.calibration import CalibrationGaussian, CalibrationLogits, required
from calmix.probabilities import SUM_TOLERANCE


@dataclass(frozen=True)
class LeastAmbiguousSets:
    """For each row the classes k with 1 - p_k <= threshold: the smallest sets on average; a set may be empty.

    Source: Sadinle et al., Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 2019.

    >>> LeastAmbiguousSets(0.75)(torch.tensor([[0.5, 0.375, 0.125]]))
    tensor([[ True,  True, False]])
    """

    threshold: float  # inf where n is too small for alpha: all classes

    def __call__(self, probs: Tensor) -> Tensor:
        """Probabilities (m, K) -> whether the class is in the set, (m, K) bool."""
        return 1 - _probabilities(probs) <= self.threshold + _rounding(probs.dtype)


@dataclass(frozen=True)
class AdaptiveSets:
    """For each row the classes k such that the more probable classes have a total probability of at most `threshold`.

    Equally probable classes are all in the set, or none is; a set is never empty. Sets are larger on average than
    `LeastAmbiguousSets`, and their coverage differs less between easy and hard rows.
    Source: Romano et al., Classification with Valid and Adaptive Coverage, NeurIPS 2020.
    Deviation: no random tie-breaking, so that coverage exceeds 1 - alpha if the top class alone is right more often.

    >>> AdaptiveSets(0.75)(torch.tensor([[0.5, 0.375, 0.125], [0.125, 0.0, 0.875]]))
    tensor([[ True,  True, False],
            [False, False,  True]])
    """

    threshold: float  # inf where n is too small for alpha: all classes

    def __call__(self, probs: Tensor) -> Tensor:
        """Probabilities (m, K) -> whether the class is in the set, (m, K) bool."""
        rounding = _rounding(probs.dtype)
        return _mass_before(_probabilities(probs), rounding) <= self.threshold + rounding


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Intervals from mean - factor std to mean + factor std, both ends included.

    >>> ConformalIntervals(torch.tensor(2.0))(torch.tensor([2.0]), torch.tensor([0.5]))
    (tensor([1.0000], dtype=torch.float64), tensor([3.0000], dtype=torch.float64))
    """

    factor: Tensor  # () for targets (n,), or (d,), one for each output; inf where n is too small for alpha

    def __call__(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, (m,) or (m, d) -> lower and upper ends of the same shape, float64."""
        if mean.shape != std.shape or mean.shape[1:] != self.factor.shape:
            raise ShapeError(
                f"mean has shape {tuple(mean.shape)} and std {tuple(std.shape)}, "
                f"expected {('m', *self.factor.shape)} for both, as on the calibration split."
            )
        mean, half = mean.double(), self.factor.to(std.device) * std.double()
        half = half + 4 * torch.finfo(torch.float64).eps * (mean.abs() + half)  # the rounding of score and ends
        return mean - half, mean + half


def fit_conformal_sets(calibration: CalibrationLogits, alpha: float) -> LeastAmbiguousSets:
    """Sets that miss the label of at most a share `alpha` of new rows, as small as can be on average.

    The threshold is the ceil((1 - alpha) (n + 1))-th smallest score 1 - p_y of the calibration split.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `alpha` is not in (0, 1).

    >>> calibration = CalibrationLogits(torch.tensor([[0.0, 2.0]]).repeat(9, 1), torch.ones(9).long())
    >>> fit_conformal_sets(calibration, alpha=0.1)(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    tensor([[ True, False],
            [False, False]])
    """
    calibration = required(calibration, CalibrationLogits)
    return LeastAmbiguousSets(
        conformal_threshold(1 - _of_label(calibration.logits.softmax(1), calibration), alpha).item()
    )


def fit_adaptive_sets(calibration: CalibrationLogits, alpha: float) -> AdaptiveSets:
    """Sets that miss the label of at most a share `alpha` of new rows, never empty and larger for harder rows.

    The threshold is the ceil((1 - alpha) (n + 1))-th smallest mass of the classes before the label.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `alpha` is not in (0, 1).

    >>> calibration = CalibrationLogits(torch.tensor([[0.0, 2.0]]).repeat(9, 1), torch.tensor([0] + [1] * 8))
    >>> fit_adaptive_sets(calibration, alpha=0.1)(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    tensor([[ True, False],
            [ True,  True]])
    """
    return AdaptiveSets(conformal_threshold(adaptive_scores(calibration), alpha).item())


def adaptive_scores(calibration: CalibrationLogits) -> Tensor:
    """(n,) float64: the mass of the classes before the label, of which `AdaptiveSets` takes a quantile.

    >>> adaptive_scores(CalibrationLogits(torch.tensor([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]]), torch.tensor([2, 0])))
    tensor([0., 0.], dtype=torch.float64)
    """
    calibration = required(calibration, CalibrationLogits)
    return _of_label(_mass_before(calibration.logits.softmax(1), rounding=0), calibration)


def fit_conformal_intervals(calibration: CalibrationGaussian, alpha: float) -> ConformalIntervals:
    """Intervals that miss at most a share `alpha` of new targets, of each output by itself.

    The factor is the ceil((1 - alpha) (n + 1))-th smallest score |target - mean| / std of the calibration split.
    The errors need not be Gaussian: std may be any positive estimate of the error's size.
    Source: Lei et al., Distribution-Free Predictive Inference for Regression, JASA 2018, locally weighted.

    Raises:
        SettingError: `calibration` is not CalibrationGaussian, or `alpha` is not in (0, 1).

    >>> calibration = CalibrationGaussian(torch.zeros(9), torch.ones(9), torch.arange(9.0))
    >>> fit_conformal_intervals(calibration, alpha=0.2).factor
    tensor(7., dtype=torch.float64)
    """
    calibration = required(calibration, CalibrationGaussian)
    return ConformalIntervals(
        conformal_threshold((calibration.targets - calibration.mean).abs() / calibration.std, alpha)
    )


def set_coverage(sets: Tensor, labels: Tensor) -> float:
    """Share of rows whose label (m,) is in their set (m, K), in [0, 1].

    Raises:
        ShapeError: the shapes are others.

    >>> set_coverage(torch.tensor([[True, False], [True, False]]), torch.tensor([0, 1]))
    0.5
    """
    if sets.ndim != 2 or labels.shape != sets.shape[:1]:
        raise ShapeError(
            f"sets has shape {tuple(sets.shape)} and labels {tuple(labels.shape)}, expected (m, K) and (m,); "
            "pass one class id for each set."
        )
    return float(sets.gather(1, labels[:, None].long()).double().mean())


def set_size(sets: Tensor) -> float:
    """Mean number of classes in a set, in [0, K].

    >>> set_size(torch.tensor([[True, True], [True, False]]))
    1.5
    """
    return float(sets.sum(1).double().mean())


def band_coverage(low: Tensor, high: Tensor, targets: Tensor) -> float:
    """Share of targets within [low, high], in [0, 1].

    Raises:
        ShapeError: the three shapes differ.

    >>> band_coverage(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.5, 2.0]))
    0.5
    """
    if not low.shape == high.shape == targets.shape:
        raise ShapeError(
            f"low, high and targets have shapes {tuple(low.shape)}, {tuple(high.shape)} and {tuple(targets.shape)}, "
            "expected one for all three; squeeze or unsqueeze the odd one out."
        )
    return float(((low <= targets) & (targets <= high)).double().mean())


def band_width(low: Tensor, high: Tensor) -> float:
    """Mean of high - low, in the unit of the targets.

    >>> band_width(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]))
    1.5
    """
    return float((high - low).double().mean())


def conformal_threshold(scores: Tensor, alpha: float) -> Tensor:
    """The ceil((1 - alpha) (n + 1))-th smallest of (n,) or (n, d) scores along the rows; inf if n is smaller.

    Raises:
        SettingError: `alpha` is not in (0, 1).

    >>> conformal_threshold(torch.arange(1.0, 10.0), alpha=0.2)
    tensor(8.)
    """
    if not 0 < alpha < 1:
        raise SettingError(f"alpha is {alpha}, expected a share of misses in (0, 1), such as 0.1.")
    n = len(scores)
    # 1e-9: with n = 9 and alpha = 0.1 the rank is 9, and rounding of 1 - 0.1 must not make it 10
    rank = math.ceil((1 - alpha) * (n + 1) - 1e-9)
    return scores.sort(0).values[rank - 1] if rank <= n else torch.full_like(scores[0], torch.inf)


def _of_label(values: Tensor, calibration: CalibrationLogits) -> Tensor:
    """(n,): the entry of each row (n, K) at its label."""
    return values.gather(1, calibration.labels[:, None])[:, 0]


def _mass_before(probs: Tensor, rounding: float) -> Tensor:
    """(m, K): the total probability of the classes that are more probable than k by more than rounding makes them."""
    ordered = probs.sort(dim=1, descending=True).values
    before = torch.searchsorted(-ordered, -probs - 2 * rounding)  # (m, K) number of p_j > p_k + 2 rounding
    return pad(ordered.cumsum(1), (1, 0)).gather(1, before)


def _rounding(dtype: torch.dtype) -> float:
    """How far a softmax in this dtype may be from that of the same logits in float64, at most.

    Measured: 12 units of rounding in float32 with 20,000 classes, 3 with a thousand. Half precision is computed in
    float32, and rounded once.
    """
    unit = torch.finfo(dtype if dtype.is_floating_point else torch.float64).eps
    return unit if unit > torch.finfo(torch.float32).eps else 16 * unit


def _probabilities(probs: Tensor) -> Tensor:
    """Probabilities (m, K) as float64. Raises ShapeError or DataError unless they are."""
    if probs.ndim != 2:
        raise ShapeError(f"probs has shape {tuple(probs.shape)}, expected (m, K); of logits, pass logits.softmax(1).")
    probs = probs.detach().double()
    if not ((probs >= 0).all() and ((probs.sum(1) - 1).abs() <= SUM_TOLERANCE).all()):
        raise DataError("each row of probs must sum to one, none below zero; of logits, pass logits.softmax(1).")
    return probs
