"""RankMixup: mixed rows should be less confident than clean ones.

n clean rows, k mixes of the batch, k n mixed rows: mix after mix, each in the order of the batch
"""

from dataclasses import dataclass
from typing import Protocol

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
    """`mixes` draws of `pairing`, one after the other."""

    pairing: Pairing
    mixes: int

    def __post_init__(self) -> None:
        require.at_least("mixes", self.mixes, 1)

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        pairs = [self.pairing(step, generator) for _ in range(self.mixes)]
        if any(p.others is not None for p in pairs):
            raise SettingError(f"several mixes need partners from the batch; {self.pairing!r} brings others.")
        return Pairs(torch.cat([p.anchor for p in pairs]), torch.cat([p.partner for p in pairs]))


@dataclass(frozen=True)
class SeveralCoefficients:
    """A draw of `coefficient` for each of `mixes` mixes of the batch."""

    coefficient: Coefficient
    mixes: int

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        pairs = zip(anchor.chunk(self.mixes), partner.chunk(self.mixes), strict=True)
        drawn = [self.coefficient(step, a, p, generator) for a, p in pairs]
        return torch.cat([lam_x for lam_x, _ in drawn]), torch.cat([lam_y for _, lam_y in drawn])


class Ranking(Protocol):
    """How much the confidences of a clean row and of its k mixes are out of order."""

    @property
    def usual_mixes(self) -> int:
        """The number k of mixes, unless `rankmixup` is given another."""
        ...

    def __call__(self, clean: Tensor, mixed: Tensor, target: Tensor) -> Tensor:
        """The mean over rows, a scalar, for clean logits (n, K), mixed logits (k, n, K) and mixed targets (k, n, K)."""
        ...


@dataclass(frozen=True)
class MRL:
    """Mixup-based ranking loss: mean_j max(0, max_c f_c(mix_j) - max_c f_c(x_i) + margin) over the mixes j = 1..k.

    A mix whose target has one class counts 0. margin: in units of the logits.
    """

    margin: float = 2.0

    def __post_init__(self) -> None:
        require.finite("margin", self.margin)

    @property
    def usual_mixes(self) -> int:
        return 1

    def __call__(self, clean: Tensor, mixed: Tensor, target: Tensor) -> Tensor:
        excess = F.relu(mixed.amax(2) - clean.amax(1) + self.margin)  # (k, n)
        return torch.where(target.amax(2) < 1 - 1e-6, excess, 0.0).mean()


@dataclass(frozen=True)
class MNDCG:
    """Mixup-based normalised discounted cumulative gain: 1 - min(r, 1 / r).

        r = (sum_j conf_j / log2(j + 2)) / (sum_j rel_j / log2(j + 2)), j = 0..k

    rel is the largest entry of the target and conf the largest probability. j = 0 is the clean row, with rel = 1; its
    mixes follow in falling order of rel.
    """

    @property
    def usual_mixes(self) -> int:
        return 3

    def __call__(self, clean: Tensor, mixed: Tensor, target: Tensor) -> Tensor:
        relevance, order = target.amax(2).to(clean.dtype).sort(0, descending=True)  # (k, n)
        confidence = mixed.softmax(2).amax(2).gather(0, order)
        confidence = torch.cat([clean.softmax(1).amax(1)[None], confidence])  # (k + 1, n)
        relevance = torch.cat([torch.ones_like(relevance[:1]), relevance])
        discount = 1 / torch.log2(torch.arange(2, 2 + len(relevance), device=clean.device, dtype=clean.dtype))
        ratio = (discount @ confidence) / (discount @ relevance)  # (n,)
        return (1 - torch.minimum(ratio, 1 / ratio)).mean()


@dataclass(frozen=True)
class RankingLoss:
    """The loss on clean rows plus `weight` times `ranking` of every clean row's k mixes. Terms: clean, rank."""

    weight: float
    ranking: Ranking

    def __post_init__(self) -> None:
        require.at_least("weight", self.weight, 0)
        if not callable(self.ranking):
            raise SettingError(f"ranking must be a part, MRL() or MNDCG(); got {self.ranking!r}.")

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
        ranking = self.ranking(clean, mixed, target)
        terms = {"clean": step.task.loss(clean, step.target).mean(), "rank": self.weight * ranking}
        return Outcome(terms, clean, step.target)


def rankmixup(
    alpha: float = 2.0,
    weight: float = 0.1,
    ranking: Ranking = MRL(),
    mixes: int | None = None,
    per_row: bool = False,
) -> Method:
    """RankMixup: the plain loss, plus a penalty on mixed rows that are more confident than their clean row.

    Formula: mean loss(f(x_i), y_i) + weight ranking, the ranking of each row's k mixes by `ranking`: `MRL()` or
    `MNDCG()`; lam ~ Beta(alpha, alpha), one for each of the k = `mixes` mixes of a batch.
    Source: Noh et al., RankMixup: Ranking-Based Mixup Training for Network Calibration, ICCV 2023 (arXiv 2308.11990),
    and its authors' code.
    Defaults: alpha = 2, weight = 0.1, `MRL(margin=2)` with 1 mix, `MNDCG()` with 3: the code's for CIFAR
    (Tiny-ImageNet: alpha = 1, margin = 1). Classification only.
    Deviation: the clean forward is the step's clean pass, which does not move batch norm's statistics (there it does).
    With several mixes `MRL` takes the mean over them (there it is run with one), and each row's margin is masked by its
    own target (there a broadcast multiplies the means of both).
    Cost: 1 + k forwards and backwards: 2 and 2 with `MRL()`, 4 and 4 with `MNDCG()`. The k mixes are one batch.

    per_row: a lam for each row of each mix, in place of one for the mix.
    """
    objective = RankingLoss(weight, ranking)
    mixes = ranking.usual_mixes if mixes is None else mixes
    return Method(SeveralPairings(Shuffle(), mixes), SeveralCoefficients(Beta(alpha, per_row), mixes), objective)
