"""The two halves of Mixup: mixing inputs only, and mixing targets only."""

from calmix.core.coefficient import Beta, InputsOnly, TargetsOnly
from calmix.core.method import Method
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle


def input_mixup(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Input Mixup: mixed inputs, each with the target of the row that has the larger share.

    Formula: x = lam x_i + (1 - lam) x_j; y = y_i for lam >= 1/2, else y_j; mean loss(f(x), y).
    Source: Wang et al., On the Pitfall of Mixup for Uncertainty Calibration, CVPR 2023.
    Defaults: alpha = 1, Mixup's.
    Cost: 1 forward, 1 backward.

    per_row: a lam for each row, in place of one for the batch.
    """
    return Method(Shuffle(), InputsOnly(Beta(alpha, per_row)), MixedLoss())


def target_mixup(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Target Mixup: clean inputs with mixed targets.

    Formula: x = x_i; y = lam y_i + (1 - lam) y_j with lam folded to max(lam, 1 - lam); mean loss(f(x), y).
    Source: Wang et al., On the Pitfall of Mixup for Uncertainty Calibration, CVPR 2023.
    Defaults: alpha = 1, Mixup's.
    Cost: 1 forward, 1 backward.

    per_row: a lam for each row, in place of one for the batch.
    """
    return Method(Shuffle(), TargetsOnly(Beta(alpha, per_row)), MixedLoss())
