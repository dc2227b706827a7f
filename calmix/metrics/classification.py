"""How good, and how honest, class probabilities are.

    n  rows
    K  classes
    B  bins

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays,
computes in float64 on the CPU and returns a plain number. Each raises

    ShapeError  probs is not (n, K), labels is not (n,) or not integer, or there are no rows
    DataError   a probability is negative or not finite, a row is further than 0.001 from summing to one,
                or a label is outside 0 .. K - 1
"""

import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.bins import Bins, equal_mass, equal_width
from calmix.metrics.tensors import Array, cpu_tensor


def accuracy(probs: Array, labels: Array) -> float:
    """Share of rows whose most probable class is the label, in [0, 1]. The first of equal classes counts.

    >>> accuracy(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    0.5
    """
    probs, labels = _checked(probs, labels)
    return float((probs.argmax(1) == labels).double().mean())


def nll(probs: Array, labels: Array) -> float:
    """Mean negative log-likelihood -1/n sum_i log p_i[y_i], in nats.

    Probabilities are clipped at the smallest positive normal float64: a label that was given probability
    zero costs 708.4 nats, large but finite.

    >>> round(nll(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1])), 4)
    0.4904
    """
    probs, labels = _checked(probs, labels)
    of_label = probs.gather(1, labels[:, None])  # (n, 1)
    return float(-of_label.clamp(min=torch.finfo(torch.float64).tiny).log().mean())


def brier(probs: Array, labels: Array) -> float:
    """Brier score 1/n sum_i sum_k (p_ik - [y_i = k])^2, in [0, 2].

    This is the original sum over all classes (Brier, Monthly Weather Review 1950). For two classes
    scikit-learn's binary `brier_score_loss` is half of it.

    >>> brier(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 1]))
    0.25
    """
    probs, labels = _checked(probs, labels)
    target = torch.nn.functional.one_hot(labels, probs.shape[1])  # (n, K)
    return float((probs - target).square().sum(1).mean())


def reliability(probs: Array, labels: Array, bins: int = 15) -> Bins:
    """Confidence (the largest probability) against accuracy in B bins of equal width: a reliability diagram.

    >>> reliability(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]), bins=2).observed
    tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    return equal_width(*_confidence(probs, labels), bins)


def ece(probs: Array, labels: Array, bins: int = 15) -> float:
    """Expected calibration error of the top label, in [0, 1]: sum_b n_b / n |confidence_b - accuracy_b|.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Their bins are closed on the
    right, these on the left (and the last on both sides), which matters only to a confidence on an edge.

    >>> ece(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.5
    """
    return reliability(probs, labels, bins).expected_error()


def adaptive_ece(probs: Array, labels: Array, bins: int = 15) -> float:
    """`ece` over bins of equal mass instead of equal width, in [0, 1].

    Source: Nixon et al., Measuring Calibration in Deep Learning, CVPR workshops 2019, here for the top label.
    Rows of equal confidence share their accuracy (see `equal_mass`), so the order of the rows never matters.

    >>> probs = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]])
    >>> adaptive_ece(probs, torch.tensor([0, 1, 0, 0]), bins=2)
    0.0625
    """
    return equal_mass(*_confidence(probs, labels), bins).expected_error()


def classification_metrics(probs: Array, labels: Array) -> dict[str, float]:
    """All of the numbers above, by name; `ece` and `adaptive_ece` with 15 bins.

    >>> list(classification_metrics(torch.tensor([[0.9, 0.1]]), torch.tensor([0])))
    ['accuracy', 'nll', 'brier', 'ece', 'adaptive_ece']
    """
    metrics = (accuracy, nll, brier, ece, adaptive_ece)
    return {metric.__name__: metric(probs, labels) for metric in metrics}


def _confidence(probs: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """(n,) the largest probability, and (n,) whether its class is the label."""
    probs, labels = _checked(probs, labels)
    confidence, predicted = probs.max(1)
    return confidence.clamp(max=1), predicted == labels  # float32 rows may sum to a little more than one


def _checked(probs: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """(n, K) float64 and (n,) int64, or advice."""
    probs, labels = cpu_tensor(probs).double(), cpu_tensor(labels)
    if probs.ndim != 2:
        raise ShapeError(
            f"probs has shape {tuple(probs.shape)}, expected (n, K); "
            "a single probability p per row becomes the two columns (1 - p, p)."
        )
    if labels.shape != probs.shape[:1]:
        raise ShapeError(
            f"labels has shape {tuple(labels.shape)}, expected ({len(probs)},); "
            "pass one class id for each row of probs."
        )
    if len(probs) == 0:
        raise ShapeError("probs has no rows, expected at least one; check that the split is not empty.")
    if labels.is_floating_point():
        raise ShapeError(f"labels has dtype {labels.dtype}, expected class ids; pass labels.long().")
    labels, classes = labels.long(), probs.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels span {labels.min().item()} to {labels.max().item()}, expected 0 to {classes - 1}; "
            "number the classes as the columns of probs are numbered."
        )
    if not probs.isfinite().all() or probs.min() < 0:
        raise DataError("probs holds a negative number, NaN or infinity; of logits, pass logits.softmax(1).")
    off = (probs.sum(1) - 1).abs()  # (n,)
    if off.max() > 1e-3:
        raise DataError(
            f"each row of probs must sum to one, row {off.argmax().item()} is off by {off.max().item():.3g}; "
            "of logits, pass logits.softmax(1)."
        )
    return probs, labels
