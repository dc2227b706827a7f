"""Distance of predicted probabilities from the distribution of human labels.

    n  rows
    K  classes

Every function takes probabilities `probs` (n, K) and `human_labels` (n, K), the counts or shares of the classes that
people chose, in the order of the columns of probs, as tensors or numpy arrays, and computes in float64 on the CPU.
q_i = human_labels_i / sum_k human_labels_ik are the shares of a row. Each raises

    ShapeError  probs is not (n, K), human_labels has another shape, or there are no rows
    DataError   a probability is negative or not finite, a row of probs is further than 0.001 from summing to one,
                or human_labels are negative, not finite, or all 0 in a row
"""

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.row_scores import check_probs, pieces
from calmix.metrics.tensors import Array, cpu_tensor


def human_label_cross_entropy(probs: Array, human_labels: Array) -> float:
    """1/n sum_i sum_k -q_ik log p_ik, in nats; least, but not 0, where p = q. p is clipped as in `nll`.

    >>> round(human_label_cross_entropy(torch.tensor([[0.5, 0.5]]), torch.tensor([[30, 10]])), 4)
    0.6931
    """
    return human_label_metrics(probs, human_labels)["cross_entropy"]


def human_label_total_variation(probs: Array, human_labels: Array) -> float:
    """1/n sum_i 1/2 sum_k |q_ik - p_ik|, in [0, 1].

    >>> human_label_total_variation(torch.tensor([[0.5, 0.5]]), torch.tensor([[30, 10]]))
    0.25
    """
    return human_label_metrics(probs, human_labels)["total_variation"]


def human_label_metrics(probs: Array, human_labels: Array) -> dict[str, float]:
    """Both numbers above, by name, and three to compare them with.

    `entropy`: of the human labels, in nats; the smallest possible cross-entropy.
    `kl`: cross_entropy - entropy, in nats; 0 where p = q.
    `certain_total_variation`: the total variation of a predictor that gives probability 1 to the class that most people
    chose.

    The m human labels of a row are a sample: even the true distribution has a total variation from them of about
    1/2 sum_k sqrt(2 q_k (1 - q_k) / (pi m)).

    >>> metrics = human_label_metrics(torch.tensor([[0.75, 0.25]]), torch.tensor([[30, 10]]))
    >>> {name: round(value, 4) for name, value in metrics.items()}
    {'cross_entropy': 0.5623, 'kl': 0.0, 'entropy': 0.5623, 'total_variation': 0.0, 'certain_total_variation': 0.25}
    """
    probs, human_labels = cpu_tensor(probs), cpu_tensor(human_labels).double()
    if probs.shape != human_labels.shape:
        raise ShapeError(
            f"probs has shape {tuple(probs.shape)} and human_labels {tuple(human_labels.shape)}, expected (n, K) for "
            "both; pass one row of human labels for each row of probs."
        )
    no_labels = torch.zeros(probs.shape[:1], dtype=torch.long)  # stand in for the labels, which are not used here
    probs = torch.cat([piece.clone() for piece, _ in pieces(*check_probs(probs, no_labels))])
    sums = human_labels.sum(1, keepdim=True)  # (n, 1)
    if not (human_labels.isfinite().all() and human_labels.min() >= 0 and sums.min() > 0):
        raise DataError("human_labels hold a negative number, NaN, infinity or a row of zeros; drop these rows.")
    shares = human_labels / sums  # (n, K)
    cross_entropy = float(-torch.special.xlogy(shares, probs.clamp(min=torch.finfo(torch.float64).tiny)).sum(1).mean())
    entropy = float(torch.special.entr(shares).sum(1).mean())
    return {
        "cross_entropy": cross_entropy,
        "kl": cross_entropy - entropy,
        "entropy": entropy,
        "total_variation": float(_distance(shares, probs).mean()),
        "certain_total_variation": float((1 - shares.amax(1)).mean()),
    }


def _distance(shares: Tensor, probs: Tensor) -> Tensor:
    """(n,): 1/2 sum_k |q_k - p_k|."""
    return (shares - probs).abs().sum(1) / 2
