"""MixupE: mixup with its directional-derivative regularisation made stronger."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from calmix.core import require
from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.coefficient import Beta
from calmix.core.method import Coefficient, Method, Outcome, Step
from calmix.core.mix import Mix
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.core.site import RandomSite
from calmix.core.tree import map_leaves, row_dot, take_rows
from calmix.errors import SettingError, ShapeError


@dataclass(frozen=True)
class DirectionalPenalty:
    """The mixup loss plus eta E[a] mean_i s_i, s from the clean forward; terms: mixed, slope.

    With logits f(x_i), expected target p_i = softmax(f(x_i)) and E[a] = alpha / (2 alpha + 1), the mean weight of the
    partner in the mixed loss's Taylor expansion, `variant` says what s_i is:

    ================= ============================================ ========== ===================================
    variant           s_i                                          authors'   sum over rows
    ================= ============================================ ========== ===================================
    jacobian           (p_i - y_i) . J f(x_i) (mean(x) - x_i)       version 1  with s_i < threshold
    jacobian_abs      |(p_i - y_i) . J f(x_i) (mean(x) - x_i)|      version 2  all
    logit             -(y_i - p_i) . f(x_i), p not detached         version 3  with (y_i - p_i) . f(x_i) < threshold
    logit_detached    -(y_i - p_i) . f(x_i), p detached             version 4  all
    ================= ============================================ ========== ===================================

    Mind: p is detached in the two jacobian variants. Were f linear with no bias and mean(x) = 0, the jacobian variants'
    s_i would be *minus* those of the logit variants: the two families have opposite signs and are not approximations of
    each other. And the gradient of `logit_detached` on the logits is eta E[a] (p_i - y_i) / n, exactly that of a clean
    cross-entropy: it adds plain training on the clean rows, whereas `logit` also rewards what moves p.

    rescale: multiply the sum of both terms by |mixed| / |mixed + slope|, detached, as every published version does;
    the loss then has the mixup loss's size and only its direction changes.
    share: the clean forward and the mean over i take the first rows of the batch, this share of them (at least two).
    """

    eta: float
    alpha: float
    variant: str
    threshold: float | None = None
    rescale: bool = True
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.variant not in _SLOPES:
            raise SettingError(f"variant must be one of {', '.join(_SLOPES)}; got {self.variant!r}.")
        require.at_least("eta", self.eta, 0)
        require.share("share", self.share)
        require.positive("alpha", self.alpha)
        if self.threshold is not None and self.variant not in _THRESHOLDED:
            raise SettingError(
                f"the variant {self.variant!r} has no threshold; leave it out, or use one of {', '.join(_THRESHOLDED)}."
            )

    @property
    def clean_grad(self) -> CleanGrad:
        return self._grad if self.share == 1 else CleanGrad.NOTHING

    @property
    def _grad(self) -> CleanGrad:
        return CleanGrad.INPUTS if self.variant.startswith("jacobian") else CleanGrad.WEIGHTS

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        mixed = MixedLoss()(step, mix)
        terms = mixed.terms | {"slope": self.eta * self.alpha / (2 * self.alpha + 1) * self._slope(step)}
        if self.rescale:
            size = mixed.terms["mixed"].detach().abs()
            total = sum(term.detach() for term in terms.values())
            scale = size / torch.as_tensor(total).abs().clamp_min(torch.finfo(size.dtype).tiny)
            terms = {name: scale * term for name, term in terms.items()}
        return Outcome(terms, mixed.output, mixed.target)

    def _slope(self, step: Step) -> Tensor:
        step = self._shared(step)
        slope = _SLOPES[self.variant](step, step.task.output(step.clean.output))  # (n,), or a share of them
        if self.variant in _THRESHOLDED:
            threshold = _THRESHOLD if self.threshold is None else self.threshold
            size = slope if self.variant == "jacobian" else -slope
            slope = torch.where(size.detach() < threshold, slope, 0.0)
        return slope.mean()

    def _shared(self, step: Step) -> Step:
        """The step on the share of the rows that the penalty takes, with a clean pass of its own."""
        if self.share == 1 and not step.others:
            return step
        rows = slice(min(step.own, max(2, math.ceil(self.share * step.own))))
        clean = CleanPass(step.model, take_rows(step.batch.x, rows), self._grad)
        return replace(step, target=take_rows(step.target, rows), clean=clean)


def _jacobian(step: Step, output: Any) -> Tensor:
    x = step.clean.x
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise ShapeError("directional derivatives need x to be one floating tensor; use the variant 'logit_detached'.")
    residual = map_leaves(torch.detach, step.task.residual(output, step.target))
    (gradient,) = torch.autograd.grad(row_dot(residual, output).sum(), x, create_graph=True)
    mean = step.batch.x.mean(0, keepdim=True)
    return (gradient * (mean - x.detach())).flatten(1).sum(1)


def _jacobian_abs(step: Step, output: Any) -> Tensor:
    return _jacobian(step, output).abs()


def _logit(step: Step, output: Any) -> Tensor:
    return row_dot(step.task.residual(output, step.target), output)


def _logit_detached(step: Step, output: Any) -> Tensor:
    return row_dot(map_leaves(torch.detach, step.task.residual(output, step.target)), output)


_SLOPES: dict[str, Callable[[Step, Any], Tensor]] = {
    "jacobian": _jacobian,
    "jacobian_abs": _jacobian_abs,
    "logit": _logit,
    "logit_detached": _logit_detached,
}
_THRESHOLDED = ("jacobian", "logit")
_THRESHOLD = 1.0  # of the authors' README


def mixup_e(
    eta: float = 0.1,
    alpha: float = 1.0,
    variant: str = "logit_detached",
    threshold: float | None = None,
    rescale: bool = True,
    per_row: bool = False,
    coefficient: Coefficient | None = None,
    share: float = 1.0,
    sites: tuple[str | None, ...] | None = None,
) -> Method:
    """MixupE: Mixup plus a first-order directional-derivative term from the clean rows.

    Formula: mixed loss + eta alpha / (2 alpha + 1) mean_i s_i, rescaled to the size of the mixed loss; s by `variant`,
    see `DirectionalPenalty`.
    Source: Zou et al., MixupE: Understanding and Improving Mixup from Directional Derivative Perspective, UAI 2023
    (arXiv 2212.13381) and its authors' code, whose versions 1 to 4 are the variants `jacobian`, `jacobian_abs`,
    `logit`, `logit_detached`.
    Defaults: the authors' README runs `logit` with eta = 0.001, alpha = 2, threshold = 1 on CIFAR-100, where the term
    is a thousandth of the loss; ours are `logit_detached` with eta = 0.1 and Mixup's alpha = 1, for the reasons and
    measurements in docs/results. threshold: 1 for `jacobian` and `logit` unless given, none for the others.
    Deviations: mean(x) is the batch's mean (the authors take the training set's; the two agree on average), and
    batch-norm statistics are not moved by the clean pass (in the authors' code they are). For regression
    p is the output, so that p - y is the slope of half the squared error.
    Cost: 2 forwards, 2 backwards; the jacobian variants 1 more backward, through the backward.

    coefficient: takes the place of Beta(alpha, alpha), e.g. `SimilarityKernel()`; see `sk_mixup_e`.
    share: ours; the clean forward and the penalty on the first rows of the batch, this share of them: where batches are
    shuffled an unbiased estimate of the mean, at that share of the cost.
    sites: mix at one of these modules' outputs (None: the inputs), drawn in every step, as in `manifold_mixup`; the
    authors' mixupe_plus_hidden is sites=(None, 'layer1', 'layer2').
    """
    if coefficient is None:
        coefficient = Beta(alpha, per_row)
    penalty = DirectionalPenalty(eta, alpha, variant, threshold, rescale, share)
    return Method(Shuffle(), coefficient, penalty, None if sites is None else RandomSite(sites))
