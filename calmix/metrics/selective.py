"""Selective prediction: how well the confidence separates right answers from wrong ones.

    n  rows

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays, and computes
in float64 on the CPU; each raises what every metric of calmix.metrics.classification raises.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.metrics.bins import finite_pairs, tie_means
from calmix.metrics.ranking import auroc
from calmix.metrics.row_scores import score_rows
from calmix.metrics.tensors import Array


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The share of wrong answers among the most confident rows, for each number of rows answered."""

    coverage: Tensor  # (n,) float64, k / n: the share of rows answered
    risk: Tensor  # (n,) float64, the share of wrong answers among them

    def area(self) -> float:
        """Mean risk over all coverages, in [0, 1]; less is better.

        >>> RiskCoverage(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.5])).area()
        0.25
        """
        return float(self.risk.mean())


def auroc_correct(probs: Array, labels: Array) -> float:
    """P(a right row is more confident than a wrong one), a tie counting half, in [0, 1].

    0.5 by convention where all rows are right, or all wrong.

    >>> auroc_correct(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    1.0
    """
    rows = score_rows(probs, labels)
    return auroc(rows.confidence, rows.correct)


def risk_coverage(probs: Array, labels: Array) -> RiskCoverage:
    """The risk-coverage curve: the share of wrong answers among the k most confident rows, for each k.

    Rows of equal confidence each count with their mean, so the curve does not depend on the order of the rows.

    Source: Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017.

    >>> risk_coverage(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1])).risk
    tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    rows = score_rows(probs, labels)
    return risk_curve(rows.confidence, rows.correct)


def aurc(probs: Array, labels: Array) -> float:
    """Area under the risk-coverage curve, 1/n sum_k risk_k, in [0, 1]; less is better.

    It falls with accuracy as well as with a better order; `auroc_correct` is about the order alone.

    Source: Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation, ICLR 2019.

    >>> aurc(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    0.25
    """
    return risk_coverage(probs, labels).area()


def risk_curve(confidence: Array, correct: Array) -> RiskCoverage:
    """`risk_coverage` of confidences (n,) and whether each answer is right (n,), 0 or 1.

    Raises:
        ShapeError, DataError: as `equal_mass`.
    """
    confidence, correct = finite_pairs(confidence, correct)
    _, wrong = tie_means(confidence, 1 - correct)  # rising in confidence
    answered = torch.arange(1, len(wrong) + 1, dtype=torch.float64)  # k
    return RiskCoverage(answered / len(wrong), wrong.flip(0).cumsum(0) / answered)
