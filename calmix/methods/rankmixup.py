"""RankMixup: a mixed row must not be more confident than the row that it came from.

n clean rows, k mixes of the batch, k n mixed rows: mix after mix, each in the order of the batch
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core import require
from calmix.core.clean import CleanGrad
from calmix.core.coefficient import Beta
from calmix.core.method import Coefficient, Method, Outcome, Pairing, Pairs, Step
from calmix.core.mix import Mix, mixed_target
from calmix.core.pairing import Shuffle
from calmix.core.task import Classification
from calmix.errors import SettingError


@dataclass(frozen=True)
class SeveralPairings:
    """`times` draws of `pairing`, one after the other."""

    pairing: Pairing
    times: int

    def __post_init__(self) -> None:
        require.at_least("mixes", self.times, 1)

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        pairs = [self.pairing(step, generator) for _ in range(self.times)]
        if any(p.others is not None for p in pairs):
            raise SettingError(f"several mixes need partners from the batch; {self.pairing!r} brings others.")
        return Pairs(torch.cat([p.anchor for p in pairs]), torch.cat([p.partner for p in pairs]))


@dataclass(frozen=True)
class SeveralCoefficients:
    """A draw of `coefficient` for each of `times` mixes of the batch."""

    coefficient: Coefficient
    times: int

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        pairs = zip(anchor.chunk(self.times), partner.chunk(self.times), strict=True)
        drawn = [self.coefficient(step, a, p, generator) for a, p in pairs]
        return torch.cat([lam_x for lam_x, _ in drawn]), torch.cat([lam_y for _, lam_y in drawn])


@dataclass(frozen=True)
class RankingLoss:
    """The loss on clean rows plus `weight` times a ranking of every clean row's k mixes below it. Terms: clean, rank.

    ======== ===========================================================================================
    variant  ranking of a row i with mixes j = 1..k
    ======== ===========================================================================================
    mrl      mean_j max(0, max_c f_c(mix_j) - max_c f_c(x_i) + margin), 0 where mix_j's target has one class
    mndcg    1 - min(r, 1 / r), r = (sum_j conf_j / log2(j + 2)) / (sum_j rel_j / log2(j + 2)), j = 0..k
    ======== ===========================================================================================

    In `mndcg` the rows are ordered by rel, the largest entry of the target, from the clean row (j = 0, rel = 1) to the
    most mixed one; conf is the largest probability.
    """

    weight: float
    margin: float | None
    variant: str

    def __post_init__(self) -> None:
        require.at_least("weight", self.weight, 0)
        if self.variant not in _RANKINGS:
            raise SettingError(f"variant must be one of {', '.join(_RANKINGS)}; got {self.variant!r}.")
        if self.margin is not None and self.variant == "mndcg":
            raise SettingError("the variant 'mndcg' has no margin; leave it out, or use 'mrl'.")

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.WEIGHTS

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        if not isinstance(step.task, Classification):
            raise SettingError(f"rankmixup ranks the confidences of classes; the task {step.task!r} has none.")
        if step.task.ignore_index is not None:
            raise SettingError("rankmixup ranks rows by their label; leave out rows without one, and ignore_index.")
        clean = step.task.output(step.clean.output)  # (n, K)
        mixed, target = step.output(mix), mixed_target(step.target, mix)
        mixed, target = (rows.unflatten(0, (-1, step.size)) for rows in (mixed, target))  # (k, n, K)
        ranking = _RANKINGS[self.variant](clean, mixed, target, _MARGIN if self.margin is None else self.margin)
        terms = {"clean": step.task.loss(clean, step.target).mean(), "rank": self.weight * ranking}
        return Outcome(terms, clean, step.target)


def _mrl(clean: Tensor, mixed: Tensor, target: Tensor, margin: float) -> Tensor:
    excess = F.relu(mixed.amax(2) - clean.amax(1) + margin)  # (k, n)
    return torch.where(target.amax(2) < 1 - 1e-6, excess, 0.0).mean()


def _mndcg(clean: Tensor, mixed: Tensor, target: Tensor, margin: float) -> Tensor:
    relevance, order = target.amax(2).to(clean.dtype).sort(0, descending=True)  # (k, n)
    confidence = mixed.softmax(2).amax(2).gather(0, order)
    confidence = torch.cat([clean.softmax(1).amax(1)[None], confidence])  # (k + 1, n)
    relevance = torch.cat([torch.ones_like(relevance[:1]), relevance])
    discount = 1 / torch.log2(torch.arange(2, 2 + len(relevance), device=clean.device, dtype=clean.dtype))
    ratio = (discount @ confidence) / (discount @ relevance)  # (n,)
    return (1 - torch.minimum(ratio, 1 / ratio)).mean()


_RANKINGS: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {"mrl": _mrl, "mndcg": _mndcg}
_MARGIN = 2.0  # of the authors' code for CIFAR-10


def rankmixup(
    alpha: float = 2.0,
    weight: float = 0.1,
    margin: float | None = None,
    variant: str = "mrl",
    mixes: int | None = None,
    per_row: bool = False,
) -> Method:
    """RankMixup: the plain loss, and mixed rows ranked below the clean ones by confidence.

    Formula: mean loss(f(x_i), y_i) + weight ranking, the ranking by `variant`: `mrl` (mixup-based ranking loss) or
    `mndcg`, see `RankingLoss`; lam ~ Beta(alpha, alpha), one for each of the mixes of a batch.
    Source: Noh et al., RankMixup: Ranking-Based Mixup Training for Network Calibration, ICCV 2023 (arXiv 2308.11990),
    and its authors' code.
    Defaults: alpha = 2, weight = 0.1, margin = 2 on logits, 1 mix for `mrl` and 3 for `mndcg`: the code's for CIFAR
    (Tiny-ImageNet: alpha = 1, margin = 1). Classification only.
    Deviation: the clean forward is the step's clean pass, which does not move batch norm's statistics (there it does).
    With several mixes `mrl` takes the mean over them (there it is run with one), and each row's margin is masked by its
    own target (there a broadcast multiplies the means of both).
    Cost: 2 forwards, 2 backwards; `mndcg` 4 and 4 (one forward of three times the rows).
    """
    mixes = {"mndcg": 3}.get(variant, 1) if mixes is None else mixes
    pairing, coefficient = SeveralPairings(Shuffle(), mixes), SeveralCoefficients(Beta(alpha, per_row), mixes)
    return Method(pairing, coefficient, RankingLoss(weight, margin, variant))
