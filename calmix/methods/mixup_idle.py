"""Mixup beside an idle clean forward: the control for methods that have one."""

from dataclasses import dataclass

from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import Beta
from calmix.core.method import Method, Objective, Outcome, Step
from calmix.core.mix import Mix
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle


@dataclass(frozen=True)
class IdleCleanPass:
    """`objective` after a clean forward in training mode that nobody uses: all it does is move batch norm's statistics.

    The control for methods whose published clean pass moves them, too.
    """

    objective: Objective = MixedLoss()

    @property
    def clean_grad(self) -> CleanGrad:
        return self.objective.clean_grad

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        if step.batch_norm == "mixed":  # else the step has such a pass of its own
            _ = CleanPass(step.model, step.batch.x, moves_statistics=True).output
        return self.objective(step, mix)


def mixup_idle(alpha: float = 1.0, per_row: bool = False) -> Method:
    """Mixup with an idle clean forward: a control that only moves batch norm's statistics.

    Formula: that of `mixup`; before it, a forward on the clean batch in training mode whose output nobody uses.
    Source: ours. The published code of MixupE and of Similarity Kernel Mixup has such a forward; what a network with
    batch norm gains from it alone must not be credited to the method. Without batch norm this is `mixup`.
    Defaults: those of `mixup`.
    Cost: 2 forwards, 1 backward.
    """
    return Method(Shuffle(), Beta(alpha, per_row), IdleCleanPass())
