"""What a mixup method is: four parts, the Protocols they follow, and the step they act on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.mix import Batch, Mix
from calmix.core.task import Task


@dataclass(frozen=True)
class Step:
    """What the parts of a method see of one training step.

    target: the batch's target rows (n, K); clean: the clean forward, run when first asked for.
    """

    model: Callable[[Any], Tensor]
    task: Task
    batch: Batch
    target: Tensor
    clean: CleanPass

    @property
    def size(self) -> int:
        """n, the number of rows of the batch."""
        return len(self.target)


class Outcome(NamedTuple):
    """What an objective makes of a mix: named scalar terms whose sum is minimised, and the rows behind them."""

    terms: dict[str, Tensor]
    output: Tensor  # (m, K), of the rows that were trained on
    target: Tensor  # (m, K), their mixed targets


class Pairing(Protocol):
    """Who is mixed with whom."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """anchor and partner, row indices (m,)."""
        ...


class Coefficient(Protocol):
    """How much of the anchor is kept."""

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """lam_x and lam_y (m,), float32 in [0, 1]."""
        ...


class Space(Protocol):
    """Where the distance of two rows is measured."""

    def __call__(self, step: Step) -> Tensor:
        """The rows' positions (n, d), without gradient."""
        ...


class Objective(Protocol):
    """What is minimised."""

    @property
    def clean_grad(self) -> CleanGrad:
        """What it differentiates the clean pass by."""
        ...

    def __call__(self, step: Step, mix: Mix) -> Outcome: ...


@dataclass(frozen=True)
class Method:
    """A mixup method: who, how much, where, and what is minimised. Its repr is the code that makes it.

    site: None mixes the inputs, a module's name mixes the output of that module.
    """

    pairing: Pairing
    coefficient: Coefficient
    objective: Objective
    site: str | None = None

    def step(self, model: Callable[[Any], Tensor], task: Task, batch: Batch) -> Step:
        """The step that this method's parts act on; a ShapeError where rows of x and y differ in number."""
        clean = CleanPass(model, batch.x, self.objective.clean_grad)
        return Step(model, task, batch, task.target(batch.y), clean)

    def draw(self, step: Step, generator: torch.Generator | None = None) -> Mix:
        """Everything random of the step."""
        anchor, partner = self.pairing(step, generator)
        lam_x, lam_y = self.coefficient(step, anchor, partner, generator)
        return Mix(anchor, partner, lam_x, lam_y, self.site)
