"""Mixup plus an unused clean forward: a control for methods that have a clean forward."""

from dataclasses import dataclass

from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import Beta
from calmix.core.method import Method, Objective, Outcome, Step
from calmix.core.mix import Mix
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle


@dataclass(frozen=True)
class IdleCleanPass:
    """`objective` after a clean forward in training mode whose output is not used: it moves batch norm's statistics.

    A control for methods whose published clean pass moves them.
    """

    objective: Objective = MixedLoss()

    @property
    def clean_grad(self) -> CleanGrad:
        return self.objective.clean_grad

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        if step.batch_norm == "mixed":  # else the step has a clean pass that moves them
            _ = CleanPass(step.model, step.batch.x, moves_statistics=True).output
        return self.objective(step, mix)


def mixup_idle(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Mixup plus an unused clean forward: a control, which differs from Mixup only in batch norm's statistics.

    Formula: that of `mixup`; before it, a forward on the clean batch in training mode whose output is not used.
    Source: ours. The published code of MixupE and of Similarity Kernel Mixup has such a forward; what a network with
    batch norm gains by it alone is not the method's gain. Without batch norm this is `mixup`.
    Defaults: those of `mixup`.
    Cost: 2 forwards, 1 backward.

    alpha, per_row: as in `mixup`.
    """
    return Method(Shuffle(), Beta(alpha, per_row), IdleCleanPass())
