"""k-Mixup: pairs between two groups of rows, by optimal transport."""

from dataclasses import dataclass

import torch

from calmix.core import require
from calmix.core.coefficient import Beta
from calmix.core.method import Method, Pairs, Space, Step
from calmix.core.objective import MixedLoss
from calmix.core.space import Inputs
from calmix.errors import SettingError, needs


@dataclass(frozen=True)
class OptimalAssignment:
    """Cuts the batch into groups of k rows, and pairs two groups so that the sum of squared distances is least.

    The groups are cut from a random permutation, and each is paired with the one before it, never with itself, where
    the best assignment would be each row with itself. k is at most half of the batch. Every row is an anchor once and a
    partner once. The assignment is solved on the CPU, so each step waits for the device.
    """

    k: int = 16
    space: Space = Inputs()

    def __post_init__(self) -> None:
        require.at_least("k", self.k, 1)

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError:
            raise SettingError(needs("k_mixup", "scipy", "train")) from None
        device = step.device
        order = torch.randperm(step.size, generator=generator, device=device)
        k = max(1, min(self.k, step.size // 2))
        rows, partner = self.space(step).float(), torch.empty_like(order)
        rows = rows - rows.nanmean(0)  # far from the origin, rounding would hide the distances
        for left, right in zip(order.split(k), order.roll(k).split(k), strict=True):
            cost = torch.cdist(rows[left], rows[right]).square()
            cost = torch.where(cost.isnan(), cost.nanmean(), cost).nan_to_num()  # rows of unknown position
            partner[left] = right[torch.as_tensor(linear_sum_assignment(cost.cpu().numpy())[1], device=device)]
        return Pairs(torch.arange(step.size, device=device), partner)


def k_mixup(k: int = 16, alpha: float = 1.0, per_row: bool = False, space: Space = Inputs()) -> Method:
    """k-Mixup: Mixup between groups of k rows, paired by optimal transport.

    Formula: that of `mixup`; the batch is cut into groups of k at random, and between two groups j is given by the
    assignment of least sum |z_i - z_j|^2.
    Source: Greenewald et al., k-Mixup Regularization for Deep Learning via Optimal Transport, TMLR 2023
    (arXiv 2106.02933).
    Defaults: alpha = 1, one lam for a batch; k = 16 of the values the paper tries (2 to 32); distances between
    inputs, as there. k = 1 is `mixup` without self-pairs.
    Cost: 1 forward, 1 backward, and n / k assignments of k rows on the CPU.

    per_row: a lam for each row, in place of one for the batch.
    space: where distances are measured, e.g. `Embedding()`.
    """
    return Method(OptimalAssignment(k, space), Beta(alpha, per_row), MixedLoss())
