"""Mixup of near pairs only, or of far pairs only: the experiment that motivates the similarity kernel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.coefficient import Beta
from calmix.core.method import Method, Pairs, Space, Step
from calmix.core.objective import MixedLoss
from calmix.core.space import ByTask
from calmix.errors import SettingError


@dataclass(frozen=True)
class QuantileBand:
    """Draws a partner among the rows whose distance lies between two quantiles of the batch's pairwise distances.

    low, high: quantile levels, 0 <= low < high <= 1. A row without such a partner is its own partner, so it is not
    mixed. Takes memory of n^2 for n rows.
    self_pairs: as published, a row's distance to itself, 0, counts among the pairwise distances, and every row may
    also be its own partner. By default neither.
    """

    low: float
    high: float
    space: Space = ByTask()
    self_pairs: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise SettingError(f"quantile must be a number between 0 and 1; got the band {self.low} to {self.high}.")

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        n, rows = step.size, self.space(step).float()
        rows = rows - rows.nanmean(0)  # far from the origin, rounding would hide the distances
        anchor = torch.arange(n, device=rows.device)
        if n == 1:
            return Pairs(anchor, anchor)
        distance = torch.cdist(rows, rows)  # (n, n)
        distance = torch.where(distance.isnan(), distance.nanmean(), distance).nan_to_num()  # rows of unknown position
        pairs = distance.flatten()
        pairs = pairs if self.self_pairs else pairs[:-1].view(n - 1, n + 1)[:, 1:].flatten()  # without the diagonal
        low, high = (_quantile(pairs, level) for level in (self.low, self.high))
        keys = torch.rand(n, n, generator=generator, device=rows.device)
        allowed, itself = (distance >= low) & (distance <= high), anchor[:, None] == anchor
        allowed = allowed | itself if self.self_pairs else allowed & ~itself
        best, partner = torch.where(allowed, keys, -1.0).max(1)
        return Pairs(anchor, torch.where(best < 0, anchor, partner))


def _quantile(values: Tensor, level: float) -> Tensor:
    """The smallest value with a share of at least `level` at or below it."""
    return values.kthvalue(max(1, -int(-level * len(values) // 1))).values


def near_mixup(
    quantile: float = 0.5,
    alpha: float = 1.0,
    per_row: bool = False,
    space: Space = ByTask(),
    self_pairs: bool = False,
) -> Method:
    """Near Mixup: Mixup whose pairs are closer than a quantile of the batch's distances.

    Formula: that of `mixup`, j drawn among the rows with |z_i - z_j| <= the `quantile` of the pairwise distances.
    Source: the motivating experiment of Bouniot et al., ICLR 2025 (arXiv 2311.01434), and its authors' code.
    Defaults: the median; `space` as in `sk_mixup`.
    Deviation: a row and itself are no pair, neither in the quantile nor as partners; with self_pairs=True they are, as
    there.
    Cost: 1 forward, 1 backward; with embeddings 1 more forward, without a graph.

    alpha, per_row: as in `mixup`.
    """
    return Method(QuantileBand(0.0, quantile, space, self_pairs), Beta(alpha, per_row), MixedLoss())


def far_mixup(
    quantile: float = 0.5,
    alpha: float = 1.0,
    per_row: bool = False,
    space: Space = ByTask(),
    self_pairs: bool = False,
) -> Method:
    """Far Mixup: Mixup whose pairs are farther apart than a quantile of the batch's distances.

    Formula: that of `mixup`, j drawn among the rows with |z_i - z_j| >= the `quantile` of the pairwise distances.
    Source: the motivating experiment of Bouniot et al., ICLR 2025 (arXiv 2311.01434), and its authors' code.
    Defaults: the median; `space` as in `sk_mixup`.
    Deviations: a row and itself are no pair, neither in the quantile nor as partners; with self_pairs=True they are, as
    there. Pairs at the quantile itself count (there only those beyond it).
    Cost: 1 forward, 1 backward; with embeddings 1 more forward, without a graph.

    alpha, per_row: as in `mixup`.
    """
    return Method(QuantileBand(quantile, 1.0, space, self_pairs), Beta(alpha, per_row), MixedLoss())
