"""What is minimised: parts that turn a mix into named terms."""

from dataclasses import dataclass, replace

import torch

from calmix.core.clean import CleanGrad
from calmix.core.method import Outcome, Step
from calmix.core.mix import Mix, mixed_output, mixed_target
from calmix.errors import SettingError


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
        output = step.task.output(mixed_output(step.model, step.batch.x, mix))
        target = mixed_target(step.target, mix)
        return Outcome({"mixed": step.task.loss(output, target).mean()}, output, target)


@dataclass(frozen=True)
class CleanAndMixedLoss:
    """The loss on clean rows plus `weight` times the loss on mixed rows, by one joint forward. Terms: clean, mixed.

    The clean rows ride along as mixed rows whose lam is one, so batch norm sees both kinds together.
    """

    weight: float = 1.0

    @property
    def clean_grad(self) -> CleanGrad:
        return CleanGrad.NOTHING

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise SettingError(f"weight must be a number of at least 0; got {self.weight}.")

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        rows = torch.arange(step.size, device=mix.anchor.device)
        ones = torch.ones(step.size, device=mix.lam_x.device)
        joint = replace(
            mix,
            anchor=torch.cat([rows, mix.anchor]),
            partner=torch.cat([rows, mix.partner]),
            lam_x=torch.cat([ones, mix.lam_x]),
            lam_y=torch.cat([ones, mix.lam_y]),
        )
        output = step.task.output(mixed_output(step.model, step.batch.x, joint))
        target = mixed_target(step.target, joint)
        loss = step.task.loss(output, target)
        terms = {"clean": loss[: step.size].mean(), "mixed": self.weight * loss[step.size :].mean()}
        return Outcome(terms, output, target)
