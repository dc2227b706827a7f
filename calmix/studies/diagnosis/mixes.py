"""What mixes look like: those a method really makes while it trains, and a batch of them to look at.

n rows of a batch, m mixed rows
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from calmix.core.coefficient import SimilarityKernel, TwoKernels
from calmix.core.method import Coefficient, Method, Scheduled, Step
from calmix.core.mix import Mix, blend
from calmix.core.space import ByTask, pair_distance
from calmix.errors import SettingError


@dataclass(frozen=True)
class Watched:
    """`coefficient`, which leaves of every step `keep` mixes in `seen`, in the numbers of the training rows.

    As many mixes are kept of every step and drawn apart from the method's own randomness, so that the
    training is that of the method itself.
    """

    coefficient: Coefficient
    keep: int = 8
    seen: list[Mix] = field(default_factory=list, compare=False, repr=False)

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam_x, lam_y = self.coefficient(step, anchor, partner, generator)
        index = step.batch.index
        if index is None:
            raise SettingError("a watched method needs the rows' positions: training_loss(model, x, y, index=index).")
        order = torch.Generator().manual_seed(len(self.seen))
        some = torch.randperm(len(anchor), generator=order)[: self.keep].to(anchor.device)
        parts = index[anchor[some]], index[partner[some]], lam_x[some], lam_y[some]
        anchors, partners, share_x, share_y = (part.detach().cpu() for part in parts)
        self.seen.append(Mix(anchors, partners, share_x, share_y))
        return lam_x, lam_y

    def mixes(self) -> Mix:
        """Everything that was kept, as one mix of training rows.

        Raises:
            SettingError: nothing was seen.
        """
        if not self.seen:
            raise SettingError("no mixes were seen; train with the watched method first.")
        parts = zip(*((mix.anchor, mix.partner, mix.lam_x, mix.lam_y) for mix in self.seen), strict=True)
        anchor, partner, lam_x, lam_y = (torch.cat(part) for part in parts)
        return Mix(anchor, partner, lam_x, lam_y)


def watched(method: Method | Scheduled, keep: int = 8) -> tuple[Method | Scheduled, Watched]:
    """The method with its coefficient watched, and the watch; of a scheduled one, its first method's.

    Raises:
        SettingError: a method that mixes inside the network, which an oracle of inputs cannot judge.
    """
    if isinstance(method, Scheduled):
        first, watch = watched(method.method, keep)
        return replace(method, method=first), watch
    if method.site is not None:
        raise SettingError(f"an oracle judges inputs, and this method mixes at {method.site!r}; leave it out.")
    watch = Watched(method.coefficient, keep)
    return replace(method, coefficient=watch), watch


@dataclass(frozen=True, eq=False)
class MixedRows:
    """A batch of mixes to look at: both parents, what became of them, and why.

    anchor, partner, mixed: rows (m, ...); anchor_y, partner_y: the parents' targets; distance (m,), normalised, in the
    method's own space; tau (m,), the kernel's, None for methods without one; lam (m,), the anchor's share of the label.
    """

    anchor: Tensor
    partner: Tensor
    mixed: Tensor
    anchor_y: Tensor
    partner_y: Tensor
    distance: Tensor
    tau: Tensor | None
    lam: Tensor


def mixed_rows(method: Method, step: Step, generator: torch.Generator | None = None) -> MixedRows:
    """Draw the step's mixes and lay them out.

    >>> from calmix import Classification, sk_mixup
    >>> from calmix.parts import Batch, Inputs
    >>> method = sk_mixup(space=Inputs())
    >>> step = method.step(torch.nn.Identity(), Classification(2), Batch(torch.eye(2), torch.arange(2)))
    >>> mixed_rows(method, step, torch.Generator().manual_seed(0)).mixed.shape
    torch.Size([2, 2])
    """
    step, mix = method.draw(step, generator)
    kernel = kernel_of(method.coefficient)
    space = ByTask() if kernel is None else kernel.space
    distance = pair_distance(space(step), mix.anchor, mix.partner)
    x, y = step.batch.x, step.batch.y
    return MixedRows(
        anchor=x[mix.anchor],
        partner=x[mix.partner],
        mixed=blend(x, mix, mix.lam_x),
        anchor_y=y[mix.anchor],
        partner_y=y[mix.partner],
        distance=distance,
        tau=None if kernel is None else kernel.tau(distance),
        lam=mix.lam_y,
    )


def kernel_of(coefficient: Any) -> SimilarityKernel | None:
    """The similarity kernel that a coefficient is or wraps; None where there is none.

    >>> from calmix import cutmix
    >>> kernel_of(cutmix(coefficient=SimilarityKernel(tau_max=0.3)).coefficient).tau_max
    0.3
    """
    while not isinstance(coefficient, SimilarityKernel | None):
        wraps_two = isinstance(coefficient, TwoKernels)
        coefficient = coefficient.inputs if wraps_two else vars(coefficient).get("coefficient")
    return coefficient
