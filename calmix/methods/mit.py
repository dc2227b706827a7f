"""Mixup Inference in Training: two mixes of the same pair go through the network and are unmixed there.

2m mixed rows: the first m are the first mixes, the last m the second mixes of the same pairs
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from calmix.core import require
from calmix.core.clean import CleanGrad
from calmix.core.hooks import find_site, hooked, run_eagerly, uncompiled
from calmix.core.method import Method, Outcome, Pairing, Pairs, Step
from calmix.core.mix import Mix, blend, require_rows
from calmix.core.pairing import Shuffle
from calmix.core.random import beta
from calmix.core.site import EverySite
from calmix.core.tree import cat_rows, map_leaves, take_rows
from calmix.errors import SettingError, SiteError

_TRIES = 64  # pairs of lam drawn at once; the first that is far enough apart is taken


@dataclass(frozen=True)
class Twice:
    """The pairs of `pairing`, twice: first all pairs, then all once more."""

    pairing: Pairing

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        anchor, partner, others = self.pairing(step, generator)
        return Pairs(anchor.repeat(2), partner.repeat(2), others)


@dataclass(frozen=True)
class Apart:
    """lam_1 >= 1/2 for the first mix and lam_2 <= 1/2 for the second, Beta(alpha, alpha) given lam_1 - lam_2 >= margin.

    The first of 64 draws that is far enough apart is taken. If none is, lam_1 = (1 + margin) / 2 and
    lam_2 = (1 - margin) / 2: for large alpha that is where draws which are far enough apart are found.

    margin in [0.001, 1): what is unmixed is divided by the gap, and with it the rounding.
    """

    alpha: float
    margin: float
    per_row: bool = False

    def __post_init__(self) -> None:
        require.positive("alpha", self.alpha)
        if not 1e-3 <= self.margin < 1:
            raise SettingError(f"margin must be a number from 0.001 to below 1; got {self.margin}.")

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        rows = len(anchor) // 2
        shape = (2, _TRIES, rows if self.per_row else 1)
        drawn = beta(torch.full(shape, float(self.alpha), device=anchor.device), generator)
        folded = torch.maximum(drawn, 1 - drawn)
        sides = folded[0], 1 - folded[1]  # (_TRIES, rows or 1) each
        far = sides[0] - sides[1] >= self.margin
        first = far.to(torch.uint8).argmax(0, keepdim=True)
        ends = (1 + self.margin) / 2, (1 - self.margin) / 2
        chosen = [torch.where(far.any(0), s.gather(0, first)[0], end) for s, end in zip(sides, ends, strict=True)]
        lam = torch.cat([share.expand(rows) for share in chosen])
        return lam, lam


def unmix(rows: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
    """The anchors' and the partners' rows (m, ...), at least float32, from both of their mixes (2m, ...).

    Solves z_1 = lam_1 a + (1 - lam_1) b, z_2 = lam_2 a + (1 - lam_2) b for a and b.
    """
    first, second = (rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows).chunk(2)
    lam_1, lam_2 = (lam.to(first.dtype).view(-1, *(1,) * (rows.ndim - 1)) for lam in mix.lam_x.chunk(2))
    gap = lam_1 - lam_2
    anchor = ((1 - lam_2) * first - (1 - lam_1) * second) / gap
    partner = (lam_1 * second - lam_2 * first) / gap
    return anchor, partner


def remix(rows: Tensor, before: Mix, after: Mix) -> Tensor:
    """Rows (2m, ...) mixed with the lam of `before`, mixed with that of `after` instead; a mask does not change."""
    if rows.dtype == torch.bool:
        return rows
    both = torch.cat(unmix(rows, before))
    anchor = torch.arange(len(rows) // 2, device=rows.device).repeat(2)
    return blend(both, replace(after, anchor=anchor, partner=anchor + len(rows) // 2), after.lam_x).to(rows.dtype)


@dataclass(frozen=True)
class DecoupledLoss:
    """Half the loss of the unmixed outputs of the anchors plus half that of the partners. Terms: anchor, partner.

    At every later site of the mix the rows are unmixed, and mixed with that site's lam.
    """

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        with _remixing(step, mix) as step:
            output = step.output(replace(mix, later=()))
        last, rows = (mix, *mix.later)[-1], len(mix.anchor) // 2
        outputs = [map_leaves(lambda leaf, side=side: unmix(leaf, last)[side], output) for side in (0, 1)]
        targets = [take_rows(step.target, row[:rows]) for row in (mix.anchor, mix.partner)]
        anchor, partner = map(step.task.loss, outputs, targets)
        terms = {"anchor": anchor.mean() / 2, "partner": partner.mean() / 2}
        return Outcome(terms, cat_rows(*outputs), cat_rows(*targets))


@contextmanager
def _remixing(step: Step, mix: Mix) -> Iterator[Step]:
    """In the block, the step's model unmixes the rows at every later site and mixes them with that site's lam."""
    if not mix.later:
        yield step
        return
    model = uncompiled(step.model)
    mixes = [mix, *mix.later]
    reached = []

    def remixer(number: int) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
            reached.append(number)
            require_rows(output, len(mix.anchor), module, mixes[number].site)
            return map_leaves(lambda rows: remix(rows, mixes[number - 1], mixes[number]), output)

        return hook

    with run_eagerly(), ExitStack() as hooks:
        for number, later in enumerate(mix.later, start=1):
            hooks.enter_context(hooked(find_site(model, str(later.site)), remixer(number)))
        yield replace(step, model=model)
    if reached != list(range(1, len(mixes))):
        names = ", ".join(str(later.site) for later in mix.later)
        raise SiteError(f"every forward must run the stages once, in this order: {names}; name others: sites=(...).")


def mit_l(alpha: float = 0.5, margin: float = 0.5, per_row: bool = False) -> Method:
    """Mixup Inference in Training, last layer: the outputs of two mixes of a pair are unmixed, with clean targets.

    Formula: z_k = f(lam_k x_i + (1 - lam_k) x_j) for k = 1, 2; (a, b) solve z_k = lam_k a + (1 - lam_k) b;
    1/2 mean loss(a, y_i) + 1/2 mean loss(b, y_j). lam_1 >= 1/2 >= lam_2, folded Beta(alpha, alpha) with
    lam_1 - lam_2 >= margin.
    Source: Wang et al., On the Pitfall of Mixup for Uncertainty Calibration, CVPR 2023, and its authors' code.
    Defaults: alpha = 0.5 and margin = 0.5, the code's; one pair of lam for a batch as there.
    Deviations: both mixes go through the network as one batch, which batch norm normalises together; there one goes
    after the other. There a pair of lam is drawn until it is far enough apart, however long that takes, here at most 64
    times, see `Apart`.
    Cost: 2 forwards, 2 backwards (one of twice the rows).

    per_row: a pair of lam for each row, in place of one for the batch.
    """
    return Method(Twice(Shuffle()), Apart(alpha, margin, per_row), DecoupledLoss())


def mit_a(
    alpha: float = 0.5, margin: float = 0.5, per_row: bool = False, sites: tuple[str, ...] | None = None
) -> Method:
    """Mixup Inference in Training, all layers: rows are unmixed, and mixed anew, after every stage of the network.

    Formula: that of `mit_l`; after each stage the hidden rows are unmixed, and mixed with a new pair of lam.
    Source: Wang et al., On the Pitfall of Mixup for Uncertainty Calibration, CVPR 2023, and its authors' code.
    Defaults: as `mit_l`; sites: None is every stage of the model, see `EverySite`. The authors take the stem, with its
    norm and activation, and the four groups of blocks of a ResNet.
    Deviation: as `mit_l`.
    Cost: 2 forwards, 2 backwards (one of twice the rows).

    alpha, margin: as in `mit_l`. per_row: a pair of lam for each row, in place of one for the batch.
    """
    return Method(Twice(Shuffle()), Apart(alpha, margin, per_row), DecoupledLoss(), EverySite(sites))
