"""Metrics of two classes, of the probability of the positive class, P(y = 1).

    n  rows
    B  bins

These are not the top-label metrics of calmix.metrics.calibration: there a row with P(y = 1) = 0.1 has the confidence
0.9 in class 0, here 0.1 in class 1; the names say `positive`. A predictor that is calibrated for the positive class is
calibrated for the top label, but not the other way round.

Every function takes `p` (n,), P(y = 1) of each row, and `labels` (n,), 0 or 1, as tensors or numpy arrays, and computes
in float64 on the CPU. Each raises

    ShapeError    p and labels are not two equally long, non-empty vectors
    DataError     p is not finite or leaves [0, 1], or a label is neither 0 nor 1
    SettingError  bins is less than 1, or norm is
"""

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.bins import Bins, equal_mass, equal_width
from calmix.metrics.ranking import auprc, auroc
from calmix.metrics.smooth import SmoothReliability, smooth_curve
from calmix.metrics.tensors import Array, cpu_tensor


def positive_reliability(p: Array, labels: Array, bins: int = 15) -> Bins:
    """P(y = 1) against the share of positive rows, in B bins of equal width.

    >>> positive_reliability(torch.tensor([0.1, 0.3, 0.8]), torch.tensor([0, 1, 1]), bins=2).observed
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    return equal_width(*_binary_rows(p, labels), bins)


def positive_smooth_reliability(p: Array, labels: Array, bandwidth: float | None = None) -> SmoothReliability:
    """P(y = 1) against the share of positive rows, as a smooth curve; see `smooth_curve`.

    >>> positive_smooth_reliability(torch.tensor([0.5, 0.5]), torch.tensor([0, 1])).error
    0.0
    """
    return smooth_curve(*_binary_rows(p, labels), bandwidth)


def positive_ece(p: Array, labels: Array, bins: int = 15, norm: float = 1.0) -> float:
    """Expected calibration error of P(y = 1), in [0, 1]: sum_b n_b / n |mean p_b - share of positive rows_b|.

    >>> positive_ece(torch.tensor([0.25, 0.25, 1.0]), torch.tensor([0, 1, 1]), bins=2) == 2 / 3 * 0.25
    True
    """
    return positive_reliability(p, labels, bins).expected_error(norm)


def positive_adaptive_ece(p: Array, labels: Array, bins: int = 15, norm: float = 1.0) -> float:
    """`positive_ece` over bins of equal mass.

    >>> positive_adaptive_ece(torch.tensor([0.25, 0.25]), torch.tensor([0, 1]), bins=1)
    0.25
    """
    return equal_mass(*_binary_rows(p, labels), bins).expected_error(norm)


def positive_smooth_ece(p: Array, labels: Array) -> float:
    """Smooth calibration error of P(y = 1), in [0, 1]; see `smooth_curve`.

    >>> positive_smooth_ece(torch.tensor([0.5, 0.5]), torch.tensor([0, 1]))
    0.0
    """
    return positive_smooth_reliability(p, labels).error


def positive_brier(p: Array, labels: Array) -> float:
    """1/n sum_i (p_i - y_i)^2, in [0, 1]: half of `brier` of the two columns.

    >>> positive_brier(torch.tensor([0.5, 1.0]), torch.tensor([0, 1]))
    0.125
    """
    p, labels = _binary_rows(p, labels)
    return float((p - labels).square().mean())


def binary_metrics(p: Array, labels: Array, bins: int = 15) -> dict[str, float]:
    """All of the numbers above, by name, with accuracy (p > 1/2 answers 1), NLL in nats, AUROC and average precision.

    >>> list(binary_metrics(torch.tensor([0.9]), torch.tensor([1])))[:4]
    ['accuracy', 'nll', 'positive_brier', 'positive_ece']
    >>> list(binary_metrics(torch.tensor([0.9]), torch.tensor([1])))[4:]
    ['positive_adaptive_ece', 'positive_smooth_ece', 'auroc', 'auprc']
    """
    p, labels = _binary_rows(p, labels)
    of_label = torch.where(labels == 1, p, 1 - p)
    return {
        "accuracy": float(((p > 0.5) == (labels == 1)).double().mean()),
        "nll": float(-of_label.clamp(min=torch.finfo(torch.float64).tiny).log().mean()),
        "positive_brier": positive_brier(p, labels),
        "positive_ece": positive_ece(p, labels, bins),
        "positive_adaptive_ece": positive_adaptive_ece(p, labels, bins),
        "positive_smooth_ece": positive_smooth_ece(p, labels),
        "auroc": auroc(p, labels),
        "auprc": auprc(p, labels),
    }


def _binary_rows(p: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """(n,) float64 in [0, 1] and (n,) float64, 0 or 1."""
    p, labels = cpu_tensor(p).double(), cpu_tensor(labels).double()
    if p.ndim != 1 or p.shape != labels.shape or len(p) == 0:
        raise ShapeError(
            f"p has shape {tuple(p.shape)} and labels {tuple(labels.shape)}, expected (n,) for both; "
            "of two columns pass the second, probs[:, 1]."
        )
    if not (p.isfinite().all() and p.min() >= 0 and p.max() <= 1):
        raise DataError("p leaves [0, 1] or holds NaN; of logits, pass logits.sigmoid().")
    if not ((labels == 0) | (labels == 1)).all():
        raise DataError("labels hold something other than 0 and 1; compare them with the positive class first.")
    return p, labels
