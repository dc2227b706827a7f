"""Metrics of several labels: each row has L independent yes-or-no answers.

n  rows
L  labels
B  bins
"""

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.binary import positive_ece, positive_smooth_ece
from calmix.metrics.ranking import auprc, auroc
from calmix.metrics.tensors import Array, cpu_tensor


def multilabel_metrics(probs: Array, targets: Array, bins: int = 15) -> dict[str, float]:
    """All metrics of `probs` (n, L), P(y_l = 1) of each row and label, and `targets` (n, L), 0 or 1, by name.

    exact_match            share of rows with all L answers right; p > 1/2 answers yes
    label_accuracy         share of the n L answers that are right
    nll                    mean of -log p of the answer that was right, over all n L answers, in nats
    positive_brier         mean of (p - y)^2 over all n L answers
    positive_ece           calibration error of all n L answers together
    positive_smooth_ece    the same without bins
    labelwise_ece          mean over the labels of each label's own positive_ece
    macro_auroc, macro_auprc  mean over the labels that have rows of both kinds; 0.5 and 0 where none has

    All computed in float64 on the CPU.

    Raises:
        ShapeError: `probs` and `targets` are not both (n, L), or there are no entries.
        DataError: `probs` is not finite or leaves [0, 1], or a target is neither 0 nor 1.
        SettingError: `bins` is less than 1.

    >>> metrics = multilabel_metrics(torch.tensor([[0.75, 0.0], [0.75, 1.0]]), torch.tensor([[1, 0], [0, 1]]))
    >>> metrics["exact_match"], metrics["label_accuracy"], metrics["positive_ece"], metrics["labelwise_ece"]
    (0.5, 0.75, 0.125, 0.125)
    """
    probs, targets = _label_rows(probs, targets)
    right = (probs > 0.5) == (targets == 1)  # (n, L)
    of_answer = torch.where(targets == 1, probs, 1 - probs)
    pooled = probs.flatten(), targets.flatten()
    by_label = list(zip(probs.T, targets.T, strict=True))  # L pairs of (n,)
    with_both = [(p, y) for p, y in by_label if y.min() < y.max()]
    return {
        "exact_match": float(right.all(1).double().mean()),
        "label_accuracy": float(right.double().mean()),
        "nll": float(-of_answer.clamp(min=torch.finfo(torch.float64).tiny).log().mean()),
        "positive_brier": float((probs - targets).square().mean()),
        "positive_ece": positive_ece(*pooled, bins),
        "positive_smooth_ece": positive_smooth_ece(*pooled),
        "labelwise_ece": sum(positive_ece(p, y, bins) for p, y in by_label) / len(by_label),
        "macro_auroc": sum(auroc(p, y) for p, y in with_both) / len(with_both) if with_both else 0.5,
        "macro_auprc": sum(auprc(p, y) for p, y in with_both) / len(with_both) if with_both else 0.0,
    }


def _label_rows(probs: Array, targets: Array) -> tuple[Tensor, Tensor]:
    """(n, L) float64 each."""
    probs, targets = cpu_tensor(probs).double(), cpu_tensor(targets).double()
    if probs.ndim != 2 or probs.shape != targets.shape or probs.numel() == 0:
        raise ShapeError(
            f"probs has shape {tuple(probs.shape)} and targets {tuple(targets.shape)}, expected (n, L) for both; "
            "pass one column for each label."
        )
    if not (probs.isfinite().all() and probs.min() >= 0 and probs.max() <= 1):
        raise DataError("probs leaves [0, 1] or holds NaN; of logits, pass logits.sigmoid().")
    if not ((targets == 0) | (targets == 1)).all():
        raise DataError("targets hold something other than 0 and 1; pass one column of 0 and 1 for each label.")
    return probs, targets
