"""What is minimised: parts that compute named loss terms from a mix."""

from dataclasses import dataclass, replace

import torch

from calmix.core import require
from calmix.core.clean import CleanGrad
from calmix.core.method import Outcome, Step
from calmix.core.mix import Mix, mixed_target
from calmix.core.tree import cat_rows, take_rows


@dataclass(frozen=True)
class CleanLoss:
    """The task's loss on the batch as it is; the mix is not applied. Term: clean."""

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        output = step.task.output(step.model(step.batch.x))
        return Outcome({"clean": step.task.loss(output, step.target).mean()}, output, step.target)


@dataclass(frozen=True)
class MixedLoss:
    """The task's loss on mixed rows against mixed targets. Term: mixed."""

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        output, target = step.output(mix), mixed_target(step.target, mix)
        return Outcome({"mixed": step.task.loss(output, target).mean()}, output, target)


@dataclass(frozen=True)
class CleanAndMixedLoss:
    """The loss on clean rows plus `weight` times the loss on mixed rows. Terms: clean, mixed.

    joint: one forward of all rows, the clean ones as mixed rows with lam = 1, so that batch norm normalises both kinds
    together. joint=False: the clean rows' forward is the step's clean pass, which the coefficient may share, and batch
    norm normalises the two kinds apart.
    """

    weight: float = 1.0
    joint: bool = True

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING if self.joint else CleanGrad.WEIGHTS

    def __post_init__(self) -> None:
        require.at_least("weight", self.weight, 0)

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        both = _after_clean_rows(mix, step.own)
        target = mixed_target(step.target, both)
        if self.joint:
            output = step.output(both)
        else:
            clean = take_rows(step.task.output(step.clean.output), slice(step.own))
            output = cat_rows(clean, step.output(mix))
        sides = slice(step.own), slice(step.own, None)
        clean, mixed = (step.task.loss(take_rows(output, rows), take_rows(target, rows)).mean() for rows in sides)
        return Outcome({"clean": clean, "mixed": self.weight * mixed}, output, target)


def _after_clean_rows(mix: Mix, n: int) -> Mix:
    """The mix of n + m rows: the batch's n rows with lam = 1, then the m mixed rows."""
    rows = torch.arange(n, device=mix.anchor.device)
    return replace(
        mix,
        anchor=torch.cat([rows, mix.anchor]),
        partner=torch.cat([rows, mix.partner]),
        lam_x=torch.cat([mix.lam_x.new_ones(n, *mix.lam_x.shape[1:]), mix.lam_x]),
        lam_y=torch.cat([mix.lam_y.new_ones(n), mix.lam_y]),
    )
