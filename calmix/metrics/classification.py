"""Accuracy, log-likelihood, Brier score and sharpness of class probabilities.

    n  rows
    K  classes
    B  bins

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays,
computes in float64 on the CPU and returns a plain number. Each raises

    ShapeError  probs is not (n, K), labels is not (n,) or not integer, or there are no rows
    DataError   a probability is negative or not finite, a row is further than 0.001 from summing to one,
                or a label is outside 0 .. K - 1

For several metrics at once call `classification_metrics`, or `score_rows` and `class_bins`, whose methods are the
metrics: the probabilities are then read once.
"""

from calmix.metrics.row_scores import BrierParts, class_bins, score_rows
from calmix.metrics.tensors import Array


def accuracy(probs: Array, labels: Array) -> float:
    """Share of rows whose most probable class is the label, in [0, 1]. The first of equal classes counts.

    >>> import torch
    >>> accuracy(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    0.5
    """
    return score_rows(probs, labels).accuracy()


def nll(probs: Array, labels: Array) -> float:
    """Mean negative log-likelihood -1/n sum_i log p_i[y_i], in nats.

    Probabilities are clipped at the smallest positive normal float64: a label that was given probability
    zero costs 708.4 nats, large but finite.

    >>> import torch
    >>> round(nll(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1])), 4)
    0.4904
    """
    return score_rows(probs, labels).nll()


def brier(probs: Array, labels: Array) -> float:
    """Brier score 1/n sum_i sum_k (p_ik - [y_i = k])^2, in [0, 2].

    This is the original sum over all classes (Brier, Monthly Weather Review 1950). For two classes
    scikit-learn's binary `brier_score_loss` is half of it.

    >>> import torch
    >>> brier(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 1]))
    0.25
    """
    return score_rows(probs, labels).brier()


def brier_parts(probs: Array, labels: Array, bins: int = 15) -> BrierParts:
    """Reliability, resolution and uncertainty of the Brier score, summed over classes, one against the rest.

        reliability = sum_k sum_b n_kb / n (claimed_kb - observed_kb)^2
        resolution  = sum_k sum_b n_kb / n (observed_kb - share_k)^2
        uncertainty = sum_k share_k (1 - share_k)

    Source: Murphy, Journal of Applied Meteorology 1973, here over B bins of equal width (Stephenson et al., Weather and
    Forecasting 2008, on the spread within bins).

    Raises also:
        SettingError: `bins` is less than 1.

    >>> import torch
    >>> brier_parts(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    BrierParts(reliability=0.0, resolution=0.5, uncertainty=0.5)
    """
    return class_bins(probs, labels, bins).brier_parts()


def sharpness(probs: Array, labels: Array) -> float:
    """Mean of sum_k p_ik^2, in [1 / K, 1]: 1 for certain predictions, 1 / K for uniform ones.

    The labels are checked, as in every metric, but do not change the number.

    1 - sharpness is the Brier score that the predictor expects of itself, which a calibrated one gets
    (Gneiting, Balabdaoui and Raftery, JRSS B 2007: be as sharp as you can, subject to calibration).

    >>> import torch
    >>> sharpness(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.75
    """
    return score_rows(probs, labels).sharpness()
