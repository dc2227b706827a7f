"""C-Mixup: partners with similar targets."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core import require
from calmix.core.coefficient import Beta
from calmix.core.method import Method, Pairs, Step
from calmix.core.objective import MixedLoss
from calmix.core.pairing import pairs_with, training_set_of
from calmix.core.space import side_by_side

_CHUNK = 2**22  # kernel values held at a time


@dataclass(frozen=True)
class TargetNeighbours:
    """Draws a partner j for every row i with probability proportional to exp(-|y_i - y_j|^2 / (2 bandwidth^2)).

    j is a row of the whole training set, which the training loss must then have (`data`), or with whole_set=False of
    the batch. Where the rows of the training set have weights, the probability is multiplied by that of row j. For n
    rows of the batch and N of the set it takes time n N and a fixed amount of memory, never N^2.
    """

    bandwidth: float = 1.0
    whole_set: bool = True

    def __post_init__(self) -> None:
        require.positive("bandwidth", self.bandwidth)

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        target = side_by_side(step.target)
        if not self.whole_set:
            rows = torch.arange(step.size, device=step.device)
            return Pairs(rows, self.sample(target, target, generator))
        training_set = training_set_of(step)
        known = side_by_side(training_set.targets(step.task, step.device))
        return pairs_with(step, self.sample(target, known, generator, training_set.weights))

    def sample(
        self, target: Tensor, known: Tensor, generator: torch.Generator | None, weights: Tensor | None = None
    ) -> Tensor:
        """Positions (n,) among `known` (N, K), one for each row of `target` (n, K).

        weights: (N,), by which the probabilities are multiplied.
        """
        uniform = torch.rand(len(target), 1, generator=generator, device=target.device, dtype=torch.float64)
        known, chunks = known.double(), -(-len(target) * len(known) // _CHUNK)
        log_weights = None if weights is None else weights.to(known).log()
        picks = []
        for rows, u in zip(target.double().chunk(chunks), uniform.chunk(chunks), strict=True):
            exponent = -torch.cdist(rows, known).square() / (2 * self.bandwidth**2)
            exponent = exponent if log_weights is None else exponent + log_weights
            cumulative = (exponent - exponent.amax(1, keepdim=True)).exp().cumsum(1)
            picks.append(torch.searchsorted(cumulative, u * cumulative[:, -1:]).squeeze(1))
        return torch.cat(picks).clamp(max=len(known) - 1)


def c_mixup(bandwidth: float = 1.0, alpha: float = 2.0, whole_set: bool = True, per_row: bool = False) -> Method:
    """C-Mixup: Mixup with partners whose targets are similar, for regression.

    Formula: that of `mixup`, j drawn with probability proportional to exp(-|y_i - y_j|^2 / (2 bandwidth^2)) from the
    whole training set, or with whole_set=False from the batch; lam ~ Beta(alpha, alpha).
    Source: Yao et al., C-Mixup: Improving Generalization in Regression, NeurIPS 2022 (arXiv 2210.05775), and its
    authors' code. A row may meet itself, as there.
    Defaults: alpha = 2, the code's for tables (Exchange-Rate: 1.5). The bandwidth is in units of the targets; the code
    uses 1.75 for Airfoil, 1.2 for NO2, 0.05 for Exchange-Rate, 0.5 for Electricity; 1 is ours, for targets of unit
    variance.
    Deviation: partners from the training set are augmented only if the data set itself does it.
    Cost: 1 forward, 1 backward.

    per_row: a lam for each row, in place of one for the batch.
    """
    return Method(TargetNeighbours(bandwidth, whole_set), Beta(alpha, per_row), MixedLoss())
