"""Mixup beside an idle clean forward: the control for methods that have one."""

from calmix.core.coefficient import Beta
from calmix.core.method import Method
from calmix.core.objective import IdleCleanPass
from calmix.core.pairing import Shuffle


def mixup_idle(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Mixup with an idle clean forward: a control that only moves batch norm's statistics.

    Formula: that of `mixup`; before it, a forward on the clean batch in training mode whose output nobody uses.
    Source: ours. The published code of MixupE and of Similarity Kernel Mixup has such a forward; what a network with
    batch norm gains from it alone must not be credited to the method. Without batch norm this is `mixup`.
    Defaults: those of `mixup`.
    Cost: 2 forwards, 1 backward.
    """
    return Method(Shuffle(), Beta(alpha, per_row), IdleCleanPass())
