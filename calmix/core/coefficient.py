"""How much: parts that return lam_x and lam_y (m,), the anchor's shares, float32 in [0, 1]."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from calmix.core import require
from calmix.core.control import class_shares
from calmix.core.method import Coefficient, Space, Step
from calmix.core.random import beta, warp
from calmix.core.space import ByTask, pair_distance
from calmix.errors import SettingError


@dataclass(frozen=True)
class NoMixing:
    """lam = 1: the anchor alone. This is plain training."""

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam = torch.ones(len(anchor), device=anchor.device)
        return lam, lam


@dataclass(frozen=True)
class Beta:
    """lam ~ Beta(alpha, alpha): one number for the whole batch, or with per_row one for each row.

    alpha in (0, inf); small alpha mixes little, alpha = 1 is uniform, large alpha mixes half and half.
    """

    alpha: float = 1.0
    per_row: bool = False

    def __post_init__(self) -> None:
        require.positive("alpha", self.alpha)

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        drawn = len(anchor) if self.per_row else 1
        if self.alpha == 1:
            lam = torch.rand(drawn, generator=generator, device=anchor.device)  # Beta(1, 1), in one call
        else:
            lam = beta(torch.full((drawn,), float(self.alpha), device=anchor.device), generator)
        lam = lam if self.per_row else lam.expand(len(anchor))
        return lam, lam


def coefficient_or_beta(
    coefficient: Coefficient | None, alpha: float | None, per_row: bool, default_alpha: float = 1.0
) -> Coefficient:
    """`coefficient` if one is given, else Beta(alpha, per_row); alpha = None stands for `default_alpha`.

    Raises:
        SettingError: alpha or per_row beside a coefficient, which would not use them.

    >>> coefficient_or_beta(None, None, per_row=False, default_alpha=2.0)
    Beta(alpha=2.0, per_row=False)
    """
    if coefficient is None:
        return Beta(default_alpha if alpha is None else alpha, per_row)
    if alpha is not None or per_row:
        name = "per_row" if alpha is None else "alpha"
        raise SettingError(
            f"{name} is an option of Beta, which coefficient={coefficient!r} replaces; leave {name} out, or set it "
            "inside the coefficient."
        )
    return coefficient


def base_alpha(coefficient: Any) -> float | None:
    """alpha of the Beta(alpha, alpha) from which a coefficient starts; None if it has none.

    A coefficient that wraps another one starts from the inner one's.

    >>> base_alpha(Folded(SimilarityKernel(alpha=2.0))), base_alpha(NoMixing())
    (2.0, None)
    """
    if isinstance(coefficient, TwoKernels):
        return coefficient.inputs.alpha
    inner = getattr(coefficient, "coefficient", None)
    return getattr(coefficient, "alpha", None) if inner is None else base_alpha(inner)


@dataclass(frozen=True)
class SimilarityKernel:
    """Similar pairs are mixed strongly, distant pairs hardly: lam is warped to Beta(tau, tau), tau from the distance.

    d = |z_anchor - z_partner|^2 / mean over the batch's pairs, z from `space`;
    tau = tau_max exp(-(d - 1) / (2 tau_std^2));
    lam = quantile of Beta(tau, tau) at u ~ Beta(alpha, alpha), which for alpha = 1 is a draw of Beta(tau, tau).

    One lam for each row, the same for inputs and targets. Source: arXiv 2311.01434, equations of section 3. d is
    divided by its mean *before* 1 is subtracted, and the warp is the inverse CDF.

    tau_max: tau of a pair at the mean distance. tau_std: how quickly tau falls with the distance (in units of the
    mean squared distance). alpha: of the base coefficient. All positive.
    """

    tau_max: float = 1.0
    tau_std: float = 0.25
    alpha: float = 1.0
    space: Space = ByTask()

    def __post_init__(self) -> None:
        for name in ("tau_max", "tau_std", "alpha"):
            require.positive(name, getattr(self, name))
        if not callable(self.space):
            raise SettingError(f"space must be a part such as Embedding() or Inputs(); got {self.space!r}.")

    def tau(self, distance: Tensor) -> Tensor:
        """tau (m,) for normalised distances d (m,)."""
        return self.tau_max * torch.exp((1 - distance) / (2 * self.tau_std**2))

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        return self.drawn(self.tau(pair_distance(self.space(step), anchor, partner)), generator)

    def drawn(self, tau: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """lam (m,), twice, of pairs whose tau is known."""
        if self.alpha == 1:
            lam = beta(tau, generator)  # the quantile function at a uniform number, drawn directly
            return lam, lam
        lam = warp(beta(torch.full_like(tau, self.alpha), generator), tau)
        return lam, lam


@dataclass(frozen=True)
class TwoKernels:
    """One number u ~ Beta(alpha, alpha) for each row, warped by one kernel for the inputs and another for the targets.

    lam_x = quantile of Beta(tau_x, tau_x) at u and lam_y = quantile of Beta(tau_y, tau_y) at u, each tau by its kernel;
    alpha is that of both kernels. lam_x and lam_y are on the same side of 1/2.
    Source: arXiv 2311.01434, its regression setting.
    """

    inputs: SimilarityKernel
    targets: SimilarityKernel

    def __post_init__(self) -> None:
        if self.inputs.alpha != self.targets.alpha:
            raise SettingError(
                f"both kernels warp the same u ~ Beta(alpha, alpha), so they need the same alpha; got "
                f"{self.inputs.alpha} for the inputs and {self.targets.alpha} for the targets."
            )

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        distances = (pair_distance(kernel.space(step), anchor, partner) for kernel in (self.inputs, self.targets))
        tau_x, tau_y = (
            kernel.tau(d).double() for kernel, d in zip((self.inputs, self.targets), distances, strict=True)
        )
        u = beta(torch.full_like(tau_x, self.inputs.alpha), generator)
        return warp(u, tau_x).float(), warp(u, tau_y).float()


def strength_of(coefficient: Any) -> float | None:
    """How strongly a coefficient mixes: tau_max of its kernel, or else alpha; None if it has neither.

    >>> strength_of(Folded(SimilarityKernel(tau_max=0.3))), strength_of(Beta(2.0)), strength_of(NoMixing())
    (0.3, 2.0, None)
    """
    if isinstance(coefficient, TwoKernels):
        return strength_of(coefficient.inputs)
    inner = getattr(coefficient, "coefficient", None)
    if inner is not None:
        return strength_of(inner)
    return getattr(coefficient, "tau_max" if isinstance(coefficient, SimilarityKernel) else "alpha", None)


def takes_class_strengths(coefficient: Any) -> bool:
    """Whether a coefficient's strength may be another for each pair: its innermost part is a kernel or a per-row Beta.

    >>> takes_class_strengths(Folded(Beta(per_row=True))), takes_class_strengths(Beta())
    (True, False)
    """
    inner = getattr(coefficient, "coefficient", None)
    if inner is not None:
        return takes_class_strengths(inner)
    return isinstance(coefficient, SimilarityKernel) or (isinstance(coefficient, Beta) and coefficient.per_row)


@dataclass(frozen=True, eq=False)
class OfClasses:
    """A kernel or a per-row Beta whose strength is, for each pair, the geometric mean of those of its rows' classes.

    strengths: (K,). A row of several classes counts with their shares, and one without a label with the mean of all.
    """

    coefficient: "Beta | SimilarityKernel"
    strengths: Tensor

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        logs, shares = self.strengths.log(), class_shares(step.task, step.target)
        mean = logs.mean()
        of_row = (shares * (logs - mean)).sum(1) + mean  # (n,)
        strength = ((of_row[anchor] + of_row[partner]) / 2).exp()  # (m,)
        if isinstance(self.coefficient, Beta):
            lam = beta(strength, generator)
            return lam, lam
        kernel = replace(self.coefficient, tau_max=1.0)
        distance = pair_distance(kernel.space(step), anchor, partner)
        return kernel.drawn(strength * kernel.tau(distance), generator)


def with_strength(coefficient: Any, strength: float | Tensor) -> Any:
    """The coefficient with another strength; of two kernels, both tau_max in the same proportion.

    strength: a number, or (K,) one for each class, where the coefficient takes such.

    >>> with_strength(Folded(Beta(2.0)), 0.5)
    Folded(coefficient=Beta(alpha=0.5, per_row=False))
    """
    if isinstance(coefficient, TwoKernels):
        assert isinstance(strength, float)
        of_targets = coefficient.targets.tau_max * strength / coefficient.inputs.tau_max
        return TwoKernels(with_strength(coefficient.inputs, strength), with_strength(coefficient.targets, of_targets))
    inner = getattr(coefficient, "coefficient", None)
    if inner is not None:
        return replace(coefficient, coefficient=with_strength(inner, strength))
    if isinstance(strength, Tensor):
        return OfClasses(coefficient, strength)
    return replace(coefficient, **{"tau_max" if isinstance(coefficient, SimilarityKernel) else "alpha": strength})


@dataclass(frozen=True)
class InputsOnly:
    """lam_x of `coefficient`; the target is that of the row with the larger share (at 1/2 the anchor's)."""

    coefficient: Coefficient

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam, _ = self.coefficient(step, anchor, partner, generator)
        _require_one_share(lam, self)
        return lam, (lam >= 0.5).to(lam.dtype)


@dataclass(frozen=True)
class TargetsOnly:
    """The anchor's inputs as they are, and lam_y = max(lam, 1 - lam) of `coefficient`."""

    coefficient: Coefficient

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        _, lam = self.coefficient(step, anchor, partner, generator)
        return torch.ones_like(lam), torch.maximum(lam, 1 - lam)


@dataclass(frozen=True)
class Folded:
    """The larger of lam and 1 - lam of `coefficient`: the anchor keeps at least half."""

    coefficient: Coefficient

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam_x, lam_y = self.coefficient(step, anchor, partner, generator)
        _require_one_share(lam_x, self)
        return torch.maximum(lam_x, 1 - lam_x), torch.maximum(lam_y, 1 - lam_y)


def _require_one_share(lam: Tensor, part: Coefficient) -> None:
    if lam.ndim > 1:
        name = type(part).__name__
        raise SettingError(f"{name} takes one share a row, not a map of them; put it inside: Boxes({name}(...)).")


@dataclass(frozen=True)
class Sometimes:
    """`coefficient` with probability p, else lam = 1; drawn once for the batch, or with per_row for each row."""

    coefficient: Coefficient
    p: float
    per_row: bool = False

    def __post_init__(self) -> None:
        require.share("p", self.p)

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        drawn = torch.rand(len(anchor) if self.per_row else 1, generator=generator, device=anchor.device)
        mixed = drawn < self.p
        lam_x, lam_y = self.coefficient(step, anchor, partner, generator)
        return torch.where(mixed.view(-1, *(1,) * (lam_x.ndim - 1)), lam_x, 1.0), torch.where(mixed, lam_y, 1.0)
