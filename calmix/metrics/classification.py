"""How good class probabilities are.

    n  rows
    K  classes
    B  bins

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays,
computes in float64 on the CPU and returns a plain number. Each raises

    ShapeError  probs is not (n, K), labels is not (n,) or not integer, or there are no rows
    DataError   a probability is negative or not finite, a row is further than 0.001 from summing to one,
                or a label is outside 0 .. K - 1

Who streams, or asks for several, judges once: `score_rows` and `class_bins` give what all of them are computed from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.metrics.row_scores import ClassBins, RowScores, class_bins, score_rows
from calmix.metrics.tensors import Array


@dataclass(frozen=True)
class BrierParts:
    """Murphy's parts of the Brier score over bins: brier = reliability - resolution + uncertainty + what bins hide.

    What bins hide is the spread of the claims within a bin; it is nothing where all rows of a bin claim the same.
    """

    reliability: float  # mean squared gap between claimed and observed; 0 is calibrated
    resolution: float  # how far the bins' observed shares are from the classes' overall shares; more is better
    uncertainty: float  # of the labels themselves, sum_k share_k (1 - share_k); no predictor changes it


def accuracy(probs: Array, labels: Array) -> float:
    """Share of rows whose most probable class is the label, in [0, 1]. The first of equal classes counts.

    >>> accuracy(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    0.5
    """
    return accuracy_of(score_rows(probs, labels))


def nll(probs: Array, labels: Array) -> float:
    """Mean negative log-likelihood -1/n sum_i log p_i[y_i], in nats.

    Probabilities are clipped at the smallest positive normal float64: a label that was given probability
    zero costs 708.4 nats, large but finite.

    >>> round(nll(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1])), 4)
    0.4904
    """
    return nll_of(score_rows(probs, labels))


def brier(probs: Array, labels: Array) -> float:
    """Brier score 1/n sum_i sum_k (p_ik - [y_i = k])^2, in [0, 2].

    This is the original sum over all classes (Brier, Monthly Weather Review 1950). For two classes
    scikit-learn's binary `brier_score_loss` is half of it.

    >>> brier(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 1]))
    0.25
    """
    return brier_of(score_rows(probs, labels))


def brier_parts(probs: Array, labels: Array, bins: int = 15) -> BrierParts:
    """Reliability, resolution and uncertainty of the Brier score, summed over classes, one against the rest.

        reliability = sum_k sum_b n_kb / n (claimed_kb - observed_kb)^2
        resolution  = sum_k sum_b n_kb / n (observed_kb - share_k)^2
        uncertainty = sum_k share_k (1 - share_k)

    Source: Murphy, Journal of Applied Meteorology 1973, here over B bins of equal width (Stephenson et al., Weather and
    Forecasting 2008, on what bins hide).

    Raises also:
        SettingError: `bins` is less than 1.

    >>> brier_parts(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    BrierParts(reliability=0.0, resolution=0.5, uncertainty=0.5)
    """
    return brier_parts_of(class_bins(probs, labels, bins))


def sharpness(probs: Array, labels: Array) -> float:
    """Mean of sum_k p_ik^2, in [1 / K, 1]: 1 is all certainty, 1 / K is none. It asks nothing of the labels.

    1 - sharpness is the Brier score that the predictor expects of itself, which a calibrated one gets
    (Gneiting, Balabdaoui and Raftery, JRSS B 2007: be as sharp as you can, subject to calibration).

    >>> sharpness(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([0, 1]))
    0.75
    """
    return sharpness_of(score_rows(probs, labels))


def accuracy_of(rows: RowScores) -> float:
    """`accuracy` of judged rows."""
    return float(rows.correct.double().mean())


def nll_of(rows: RowScores) -> float:
    """`nll` of judged rows."""
    return float(-rows.of_label.clamp(min=torch.finfo(torch.float64).tiny).log().mean())


def brier_of(rows: RowScores) -> float:
    """`brier` of judged rows: sum_k (p_k - [y = k])^2 = sum_k p_k^2 - 2 p_y + 1."""
    return float((rows.squares - 2 * rows.of_label + 1).mean())


def sharpness_of(rows: RowScores) -> float:
    """`sharpness` of judged rows."""
    return float(rows.squares.mean())


def brier_parts_of(table: ClassBins) -> BrierParts:
    """`brier_parts` of rows in bins."""
    count, hits = table.count.double(), table.observed.double()  # (K, B)
    n = count.sum(1, keepdim=True)  # (K, 1)
    weight, share = count / n, hits.sum(1, keepdim=True) / n
    claimed, observed = table.claimed / count.clamp(min=1), hits / count.clamp(min=1)

    def total(squares: Tensor) -> float:
        return float((weight * squares).sum())

    return BrierParts(
        reliability=total((claimed - observed).square()),
        resolution=total((observed - share).square()),
        uncertainty=float((share * (1 - share)).sum()),
    )
