"""Mixup, as first published."""

from calmix.core.coefficient import Beta
from calmix.core.method import Method
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle


def mixup(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Mixup: train on random convex combinations of two rows and of their targets.

    Formula: x = lam x_i + (1 - lam) x_j, y = lam y_i + (1 - lam) y_j, j from a permutation of the batch,
    lam ~ Beta(alpha, alpha); mean loss(f(x), y).
    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (arXiv 1710.09412).
    Defaults: alpha = 1, the paper's for CIFAR (0.2 for ImageNet); one lam for a batch as in its code, `per_row` draws
    one for each row.
    Cost: 1 forward, 1 backward.
    """
    return Method(Shuffle(), Beta(alpha, per_row), MixedLoss())
