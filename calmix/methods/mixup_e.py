"""MixupE: Mixup plus a term of the clean rows' directional derivatives.

n rows of a batch, K entries of a target row
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from calmix.core import require
from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import base_alpha, coefficient_or_beta
from calmix.core.method import Coefficient, Method, Outcome, Step
from calmix.core.mix import Mix
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.core.ranks import mean_over_ranks
from calmix.core.site import RandomSite
from calmix.core.tree import map_leaves, row_dot, take_rows
from calmix.errors import SettingError, ShapeError


class Slope(Protocol):
    """The term s_i of a clean row in `DirectionalPenalty`, by one of the four versions of the authors' code.

    p_i - y_i is the derivative of the row's loss in the output f(x_i), `Task.residual`: p_i = softmax(f(x_i)) for the
    plain loss of `Classification`, and (sigmoid(f(x_i)) - y_i) / K or 2 (f(x_i) - y_i) / K for K labels or K values. So
    s has the scale of the task's loss whatever the task, and one eta and one threshold mean the same for all.

    Note: `Jacobian` and `JacobianAbs` detach p. If f is linear without bias and mean(x) = 0, the s_i of `Jacobian` is
    *minus* that of `Logit` and `LogitDetached`: the two families have opposite signs, and neither approximates the
    other.
    """

    @property
    def clean_grad(self) -> CleanGrad:
        """What it differentiates the clean pass by."""
        ...

    def __call__(self, step: Step, output: Any) -> Tensor:
        """s (n,), for the clean pass's output rows (n, K)."""
        ...


@dataclass(frozen=True)
class Jacobian:
    """Version 1: s_i = (p_i - y_i) . J f(x_i) (mean(x) - x_i) with p detached, where this is < threshold; else 0.

    threshold: 1 is what the authors' README gives for version 3. For this version they give none; their code's default
    is -1, with which slopes between -1 and 1 do not count. inf counts all.

    Needs x to be one floating tensor. Costs one more backward, through the backward, which torch.compile does not have:
    the clean pass of a compiled model runs uncompiled.
    """

    threshold: float = 1.0

    def __post_init__(self) -> None:
        require.not_nan("threshold", self.threshold)

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.INPUTS

    def __call__(self, step: Step, output: Any) -> Tensor:
        slope = _derivative_towards_mean(step, output)
        return torch.where(slope.detach() < self.threshold, slope, 0.0)


@dataclass(frozen=True)
class JacobianAbs:
    """Version 2: s_i = |(p_i - y_i) . J f(x_i) (mean(x) - x_i)| with p detached.

    Needs x to be one floating tensor. Costs one more backward, through the backward, as `Jacobian` does.
    """

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.INPUTS

    def __call__(self, step: Step, output: Any) -> Tensor:
        return _derivative_towards_mean(step, output).abs()


@dataclass(frozen=True)
class Logit:
    """Version 3: s_i = -(y_i - p_i) . f(x_i) with p not detached, where (y_i - p_i) . f(x_i) < threshold; else 0.

    It also rewards what changes p, unlike `LogitDetached`.

    threshold: 1 is what the authors' README gives; their code's default is -1. inf counts all.
    """

    threshold: float = 1.0

    def __post_init__(self) -> None:
        require.not_nan("threshold", self.threshold)

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.WEIGHTS

    def __call__(self, step: Step, output: Any) -> Tensor:
        slope = row_dot(step.task.residual(output, step.target), output)
        return torch.where(-slope.detach() < self.threshold, slope, 0.0)


@dataclass(frozen=True)
class LogitDetached:
    """Version 4: s_i = -(y_i - p_i) . f(x_i) with p detached.

    The gradient of its mean on the outputs, (p_i - y_i) / n, is that of the clean rows' mean loss: the penalty adds
    plain training on the clean rows.
    """

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.WEIGHTS

    def __call__(self, step: Step, output: Any) -> Tensor:
        return row_dot(map_leaves(torch.detach, step.task.residual(output, step.target)), output)


def _derivative_towards_mean(step: Step, output: Any) -> Tensor:
    """(p_i - y_i) . J f(x_i) (mean(x) - x_i) of each row (n,), p detached; mean(x) is that of the whole batch."""
    x = step.clean.x
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise ShapeError("directional derivatives need x to be one floating tensor; use slope=LogitDetached().")
    residual = map_leaves(torch.detach, step.task.residual(output, step.target))
    (gradient,) = torch.autograd.grad(row_dot(residual, output).sum(), x, create_graph=True)
    mean = mean_over_ranks(step.batch.x.mean(0, keepdim=True))
    return (gradient * (mean - x.detach())).flatten(1).sum(1)


@dataclass(frozen=True)
class DirectionalPenalty:
    """The mixup loss plus eta E[a] mean_i s_i, s by `slope` from the clean forward. Terms: mixed, slope.

    E[a] = alpha / (2 alpha + 1) is the mean weight of the partner in the Taylor expansion of the mixed loss,
    lam ~ Beta(alpha, alpha).

    rescale: multiply both terms by |mixed| / |mixed + slope|, detached, as every published version does; the loss then
    has the mixup loss's size and only its direction changes. Under torch.distributed both are means over all ranks.
    share: the clean forward and the mean over i take the first rows of the batch, this share of them (at least two).
    """

    eta: float
    alpha: float
    slope: Slope = LogitDetached()
    rescale: bool = True
    share: float = 1.0

    def __post_init__(self) -> None:
        require.at_least("eta", self.eta, 0)
        require.positive("alpha", self.alpha)
        require.share("share", self.share)
        if not callable(self.slope):
            raise SettingError(f"slope must be a part such as LogitDetached() or Jacobian(); got {self.slope!r}.")

    @property
    def clean_grad(self) -> CleanGrad:
        return self.slope.clean_grad if self.share == 1 else CleanGrad.NOTHING

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        mixed = MixedLoss()(step, mix)
        first = self._first_rows(step)
        slope = self.slope(first, step.task.output(first.clean.output)).mean()
        terms = mixed.terms | {"slope": self.eta * self.alpha / (2 * self.alpha + 1) * slope}
        if self.rescale:
            means = mean_over_ranks(torch.stack(list(terms.values())).detach())  # mixed, slope
            scale = means[0].abs() / means.sum().abs().clamp_min(torch.finfo(means.dtype).tiny)
            terms = {name: scale * term for name, term in terms.items()}
        return Outcome(terms, mixed.output, mixed.target)

    def _first_rows(self, step: Step) -> Step:
        """The step on the rows that the penalty takes; if these are not all rows, with a clean pass of its own."""
        if self.share == 1 and not step.others:
            return step
        rows = slice(min(step.own, max(2, math.ceil(self.share * step.own))))
        clean = CleanPass(step.model, take_rows(step.batch.x, rows), self.slope.clean_grad)
        return replace(step, target=take_rows(step.target, rows), clean=clean)


def mixup_e(
    eta: float = 0.1,
    alpha: float | None = None,
    slope: Slope = LogitDetached(),
    rescale: bool = True,
    per_row: bool = False,
    coefficient: Coefficient | None = None,
    share: float = 1.0,
    sites: tuple[str | None, ...] | None = None,
) -> Method:
    """MixupE: Mixup plus a term of the clean rows' directional derivatives.

    Formula: mixed loss + eta alpha / (2 alpha + 1) mean_i s_i, rescaled to the size of the mixed loss, see
    `DirectionalPenalty`; s by `slope`: `Jacobian()`, `JacobianAbs()`, `Logit()` or `LogitDetached()`.
    Source: Zou et al., MixupE: Understanding and Improving Mixup from Directional Derivative Perspective, UAI 2023
    (arXiv 2212.13381) and its authors' code, whose versions 1 to 4 are the four slopes in this order.
    Defaults: the authors' README runs `Logit(threshold=1)` with eta = 0.001 and alpha = 2 on CIFAR-100, where the term
    is a thousandth of the loss; ours are `LogitDetached()` with eta = 0.1 and Mixup's alpha = 1, for the reasons and
    measurements in docs/results.
    Deviations: mean(x) is the batch's mean (the authors take the training set's; the two agree on average), and
    batch-norm statistics are not moved by the clean pass (in the authors' code they are). The authors have classes
    alone; for other tasks p - y is the derivative of their loss, see `Slope`.
    Cost: 2 forwards, 2 backwards; the two jacobian slopes 1 more backward, through the backward.

    coefficient: in place of Beta(alpha, alpha), e.g. `SimilarityKernel()`; see `sk_mixup_e`. The formula's alpha is
    then the coefficient's.
    share: ours; the clean forward and the penalty on the first rows of the batch, this share of them: where batches are
    shuffled an unbiased estimate of the mean, at that share of the cost.
    sites: ours; mix at one of these modules' outputs (None: the inputs), drawn in every step, as in `manifold_mixup`.
    This is not the authors' mixupe_plus_hidden, which no command of theirs can start. It draws from the inputs and the
    first two groups of blocks, as sites=(None, 'layer1', 'layer2') does, but folds lam to min(lam, 1 - lam), gives
    every mixed row the target (y_i + y_j) / 2 whatever lam is, takes a binary cross-entropy on the softmax for the
    mixed loss, and has version 4's slope alone.
    per_row: a lam for each row, in place of one for the batch.
    rescale: whether the total is scaled back to the mixed loss, as in the authors' code.
    """
    coefficient = coefficient_or_beta(coefficient, alpha, per_row)
    of_coefficient = base_alpha(coefficient)
    if of_coefficient is None:
        raise SettingError(
            f"the penalty is scaled by alpha / (2 alpha + 1), and {coefficient!r} has no alpha; build the method from "
            "its parts: Method(Shuffle(), coefficient, DirectionalPenalty(eta, alpha))."
        )
    penalty = DirectionalPenalty(eta, of_coefficient, slope, rescale, share)
    return Method(Shuffle(), coefficient, penalty, None if sites is None else RandomSite(sites))
