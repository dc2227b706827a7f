"""Calibration of class probabilities: confidence against accuracy.

    n  rows
    K  classes
    B  bins

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays, and computes
in float64 on the CPU. All are of the *top label*, the largest probability against whether its class is the label, but
`classwise_ece`, which is of every class against the rest; for P(y = 1) of two classes see calmix.metrics.binary. Each
raises what every metric of calmix.metrics.classification raises, and

    SettingError  bins is less than 1, or norm is

Calibration errors are biased upwards: with few rows even a calibrated predictor has one, of up to 0.4 sqrt(B / n).
"""

import math

from calmix.metrics.bins import Bins, equal_mass, equal_width
from calmix.metrics.row_scores import class_bins, score_rows
from calmix.metrics.smooth import SmoothReliability, smooth_curve
from calmix.metrics.tensors import Array


def reliability(probs: Array, labels: Array, bins: int = 15) -> Bins:
    """Confidence (the largest probability) against accuracy in B bins of equal width: a reliability diagram.

    >>> import torch
    >>> reliability(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]), bins=2).observed
    tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    rows = score_rows(probs, labels)
    return equal_width(rows.confidence, rows.correct, bins)


def smooth_reliability(probs: Array, labels: Array, bandwidth: float | None = None) -> SmoothReliability:
    """Confidence against accuracy as a smooth curve, see `smooth_curve`: what `smooth_ece` measures.

    >>> import torch
    >>> probs = torch.tensor([[0.75, 0.25]]).repeat(10, 1)
    >>> smooth_reliability(probs, torch.zeros(10, dtype=torch.long)).observed[3072].item()  # at 0.75
    1.0
    """
    rows = score_rows(probs, labels)
    return smooth_curve(rows.confidence, rows.correct, bandwidth)


def ece(probs: Array, labels: Array, bins: int = 15, norm: float = 1.0) -> float:
    """Expected calibration error of the top label, in [0, 1]: sum_b n_b / n |confidence_b - accuracy_b|.

    norm: another power mean of the bins' gaps instead of the mean, see `Bins.expected_error`.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Their bins are closed on the
    right, these on the left (and the last on both sides), which matters only to a confidence on an edge.

    >>> import torch
    >>> ece(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.5
    """
    return reliability(probs, labels, bins).expected_error(norm)


def adaptive_ece(probs: Array, labels: Array, bins: int = 15, norm: float = 1.0) -> float:
    """`ece` over bins of equal mass instead of equal width, in [0, 1].

    Source: Nixon et al., Measuring Calibration in Deep Learning, CVPR workshops 2019, here for the top label.
    Rows of equal confidence share their accuracy (see `equal_mass`), so the order of the rows never matters.

    >>> import torch
    >>> probs = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]])
    >>> adaptive_ece(probs, torch.tensor([0, 1, 0, 0]), bins=2)
    0.0625
    """
    rows = score_rows(probs, labels)
    return equal_mass(rows.confidence, rows.correct, bins).expected_error(norm)


def classwise_ece(probs: Array, labels: Array, bins: int = 15, norm: float = 1.0) -> float:
    """Calibration error of each class against the rest, averaged over the classes, in [0, 1].

        1/K sum_k (sum_b n_kb / n |claimed_kb - observed_kb|^norm)^(1 / norm)

    With many classes nearly all rows are in the first bin of nearly every class, so the number is small for every
    predictor: compare it only with that of another predictor on the same rows.

    Source: Kull et al., Beyond temperature scaling, NeurIPS 2019 (the static calibration error of Nixon et al. 2019).

    >>> import torch
    >>> classwise_ece(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.5
    """
    return class_bins(probs, labels, bins).expected_error(norm)


def mce(probs: Array, labels: Array, bins: int = 15) -> float:
    """Maximum calibration error, in [0, 1]: the largest gap of a bin that holds rows, however few.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015.

    >>> import torch
    >>> mce(torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 0]), bins=4)
    0.125
    """
    return ece(probs, labels, bins, norm=math.inf)


def rms_ece(probs: Array, labels: Array, bins: int = 15) -> float:
    """Root mean square calibration error, in [0, 1]: sqrt(sum_b n_b / n (confidence_b - accuracy_b)^2).

    Over the bins of `ece`, so that ece <= rms_ece <= mce (Hendrycks et al. 2019 use bins of equal mass: that is
    `adaptive_ece` with norm = 2).

    >>> import torch
    >>> rms_ece(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.5
    """
    return ece(probs, labels, bins, norm=2)


def debiased_ece(probs: Array, labels: Array, bins: int = 15) -> float:
    """`rms_ece` without the part that sampling alone adds to it, in [0, 1].

        sqrt(max(0, sum_b n_b / n [(confidence_b - accuracy_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)]))

    Its square, before the maximum, is an unbiased estimate of the squared error in the same bins. A bin of one row
    counts 0.

    Source: Kumar, Liang and Ma, Verified Uncertainty Calibration, NeurIPS 2019.

    >>> import torch
    >>> debiased_ece(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([0, 1]))
    0.0
    """
    return reliability(probs, labels, bins).debiased_error()


def smooth_ece(probs: Array, labels: Array) -> float:
    """Smooth calibration error of the top label, in [0, 1], at its own bandwidth; no bins, no setting.

    Source: Blasiok and Nakkiran, Smooth ECE, ICLR 2024; see calmix.metrics.smooth.

    >>> import torch
    >>> round(smooth_ece(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])), 6)
    0.5
    """
    return smooth_reliability(probs, labels).error
