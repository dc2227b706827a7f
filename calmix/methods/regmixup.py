"""RegMixup: mixed rows beside the clean ones, not instead of them."""

from calmix.core.coefficient import Beta
from calmix.core.method import Method
from calmix.core.objective import CleanAndMixedLoss
from calmix.core.pairing import Shuffle


def regmixup(alpha: float = 10.0, weight: float = 1.0, per_row: bool = False) -> Method:
    """RegMixup: the plain loss plus the mixup loss as a regulariser, in one joint forward.

    Formula: mean loss(f(x_i), y_i) + weight mean loss(f(mixed x), mixed y), lam ~ Beta(alpha, alpha).
    Source: Pinto et al., Using Mixup as a Regularizer Can Surprisingly Improve Accuracy and Out-of-Distribution
    Robustness, NeurIPS 2022 (arXiv 2206.14502).
    Defaults: weight = 1, the paper's; alpha = 10, its code's for CIFAR-100 (20 for CIFAR-10); one lam a batch as there.
    Deviation: the published code averages over the 2n joint rows, which halves both terms.
    Cost: 2 forwards, 2 backwards (one of twice the rows).
    """
    return Method(Shuffle(), Beta(alpha, per_row), CleanAndMixedLoss(weight))
