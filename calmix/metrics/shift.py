"""Out-of-distribution detection: how well scores of the logits separate test rows from rows of something else.

    n  rows of the test set (inside)
    m  rows of something else (outside)
    K  classes

A score is larger for rows that look like the training data. Each function takes logits, as probabilities do not
determine the energy, and raises

    ShapeError  logits are not (n, K), or there are no rows
    DataError   a logit is NaN or infinite
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.ranking import auprc, auroc, fpr_at
from calmix.metrics.tensors import Array, cpu_tensor, row_slices


def max_probability(logits: Array) -> Tensor:
    """(n,) float64: the largest softmax probability, in [1 / K, 1].

    Source: Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017.

    >>> max_probability(torch.tensor([[1.0, 1.0]]))
    tensor([0.5000], dtype=torch.float64)
    """
    return _logit_rows(logits).softmax(1).amax(1)


def negative_entropy(logits: Array) -> Tensor:
    """(n,) float64: sum_k p_k log p_k of the softmax, in nats, in [-log K, 0].

    >>> negative_entropy(torch.tensor([[0.0, 0.0]])).exp()
    tensor([0.5000], dtype=torch.float64)
    """
    logs = _logit_rows(logits).log_softmax(1)
    return (logs.exp() * logs).sum(1)


def negative_energy(logits: Array) -> Tensor:
    """(n,) float64: log sum_k exp(logit_k), any number.

    Source: Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020, at temperature 1.

    >>> negative_energy(torch.tensor([[0.0, 0.0]])).exp()
    tensor([2.], dtype=torch.float64)
    """
    return _logit_rows(logits).logsumexp(1)


SCORES: dict[str, Callable[[Array], Tensor]] = {
    "max_probability": max_probability,
    "entropy": negative_entropy,
    "energy": negative_energy,
}


def detection_metrics(in_scores: Array, out_scores: Array) -> dict[str, float]:
    """How well a score (n,) of inside rows and (m,) of outside rows tells them apart; the inside rows are positive.

    `auroc` and `aupr` in [0, 1], more is better; 0.5 and n / (n + m) are chance. `fpr95` in [0, 1], less is better: the
    share of outside rows that pass where 95 % of the inside rows do.

    Raises:
        ShapeError: a score is not a vector, or empty.
        DataError: a score is NaN.

    >>> detection_metrics(torch.tensor([3.0, 2.0]), torch.tensor([1.0]))
    {'auroc': 1.0, 'aupr': 1.0, 'fpr95': 0.0}
    """
    inside, outside = cpu_tensor(in_scores).double(), cpu_tensor(out_scores).double()
    if inside.ndim != 1 or outside.ndim != 1 or len(inside) == 0 or len(outside) == 0:
        raise ShapeError(
            f"in_scores has shape {tuple(inside.shape)} and out_scores {tuple(outside.shape)}, "
            "expected (n,) and (m,), at least one row each; pass one score a row."
        )
    scores = torch.cat([inside, outside])
    positive = torch.arange(len(scores)) < len(inside)
    return {"auroc": auroc(scores, positive), "aupr": auprc(scores, positive), "fpr95": fpr_at(scores, positive, 0.95)}


def shift_metrics(in_logits: Array, out_logits: Array) -> dict[str, dict[str, float]]:
    """`detection_metrics` for each score, from logits (n, K) of the test set and (m, K) of something else.

    >>> shift_metrics(torch.tensor([[9.0, 0.0], [0.0, 8.0]]), torch.tensor([[0.1, 0.0]]))["energy"]
    {'auroc': 1.0, 'aupr': 1.0, 'fpr95': 0.0}
    """
    inside, outside = (shift_scores([logits]) for logits in (in_logits, out_logits))
    return {name: detection_metrics(inside[name], outside[name]) for name in SCORES}


def shift_scores(batches: Iterable[Array]) -> dict[str, Tensor]:
    """(n,) float64 each: every score of the rows of all batches of logits (m, K), in order.

    >>> shift_scores([torch.tensor([[9.0, 9.0]]), torch.tensor([[0.0, 0.0]])])["max_probability"]
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    found: dict[str, list[Tensor]] = {name: [] for name in SCORES}
    for batch in batches:
        logits = _logit_shaped(batch)
        for rows in row_slices(logits):
            for name, score in SCORES.items():
                found[name].append(score(logits[rows]))
    return {name: torch.cat(parts) for name, parts in found.items()}


def _logit_shaped(logits: Array) -> Tensor:
    logits = cpu_tensor(logits)
    if logits.ndim != 2 or logits.numel() == 0:
        raise ShapeError(f"logits have shape {tuple(logits.shape)}, expected (n, K), at least one row.")
    return logits


def _logit_rows(logits: Array) -> Tensor:
    logits = _logit_shaped(logits).double()
    if not logits.isfinite().all():
        raise DataError("logits hold NaN or infinity; drop these rows or repair the model.")
    return logits
