"""How much of the anchor is kept: parts that return lam_x and lam_y (m,), float32 in [0, 1]."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.method import Space, Step
from calmix.core.random import beta, warp
from calmix.core.space import ByTask, pair_distance
from calmix.errors import SettingError


@dataclass(frozen=True)
class One:
    """lam = 1: the anchor alone, which is plain training."""

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam = torch.ones(len(anchor), device=anchor.device)
        return lam, lam


@dataclass(frozen=True)
class Beta:
    """lam ~ Beta(alpha, alpha): one number for the whole batch, or one a row.

    alpha in (0, inf); small alpha mixes little, alpha = 1 is uniform, large alpha mixes half and half.
    """

    alpha: float = 1.0
    per_row: bool = False

    def __post_init__(self) -> None:
        require_positive("alpha", self.alpha)

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        drawn = len(anchor) if self.per_row else 1
        lam = beta(torch.full((drawn,), float(self.alpha), device=anchor.device), generator)
        lam = lam.expand(len(anchor))
        return lam, lam


@dataclass(frozen=True)
class SimilarityKernel:
    """Similar pairs are mixed strongly, distant pairs hardly: lam is warped to Beta(tau, tau), tau from the distance.

    d = |z_anchor - z_partner|^2 / mean over the batch's pairs, z from `space`;
    tau = tau_max exp(-(d - 1) / (2 tau_std^2));
    lam = quantile of Beta(tau, tau) at u ~ Beta(alpha, alpha), which for alpha = 1 is a draw of Beta(tau, tau).

    One lam a row, the same for inputs and targets. Source: arXiv 2311.01434, equations of section 3; d is divided by
    its mean *before* 1 is subtracted, and the warp is the inverse CDF.

    tau_max: tau of a pair at the mean distance. tau_std: how quickly tau falls with the distance (in units of the
    mean squared distance). alpha: of the base coefficient. All positive.
    """

    tau_max: float = 1.0
    tau_std: float = 0.25
    alpha: float = 1.0
    space: Space = ByTask()

    def __post_init__(self) -> None:
        for name in ("tau_max", "tau_std", "alpha"):
            require_positive(name, getattr(self, name))

    def tau(self, distance: Tensor) -> Tensor:
        """tau (m,) for normalised distances d (m,)."""
        return self.tau_max * torch.exp((1 - distance) / (2 * self.tau_std**2))

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        tau = self.tau(pair_distance(self.space(step), anchor, partner))
        if self.alpha == 1:
            lam = beta(tau, generator)  # the quantile function at a uniform number, drawn directly
            return lam, lam
        lam = warp(beta(torch.full_like(tau, self.alpha), generator), tau)
        return lam, lam


def require_positive(name: str, value: float) -> None:
    """A SettingError unless `value` is a positive, finite number."""
    if not 0 < value < float("inf"):
        raise SettingError(f"{name} must be a positive number; got {value}.")
