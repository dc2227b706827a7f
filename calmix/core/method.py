"""What a mixup method is: four parts, the Protocols they follow, and the step they act on."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from calmix.core.batch_norm import frozen_statistics
from calmix.core.clean import CleanGrad, CleanPass
from calmix.core.control import Control, first_epochs
from calmix.core.embeddings import capture_embeddings
from calmix.core.hooks import uncompiled
from calmix.core.memory import Memory
from calmix.core.mix import Batch, Mix, mixed_output, require_blendable
from calmix.core.task import Task
from calmix.core.training_set import TrainingSet, concat_batches
from calmix.core.tree import leaves
from calmix.errors import SettingError
from calmix.reprs import shown


@dataclass(frozen=True)
class Step:
    """What the parts of a method see of one training step.

    target: the batch's target rows (n, K), or the task's own form of y. clean: the clean forward, run when first used.
    batch_norm: which passes move batch norm's running statistics, see `TrainingLoss`.
    training_set, memory: the training set and what is remembered of it, if the training loss holds them.
    others: how many rows at the end of the batch a pairing took from the training set.
    """

    model: Callable[[Any], Any]
    task: Task
    batch: Batch
    target: Any
    clean: CleanPass
    batch_norm: str = "mixed"
    training_set: TrainingSet | None = None
    memory: Memory | None = None
    others: int = 0

    @property
    def size(self) -> int:
        """n, the number of rows."""
        return len(leaves(self.target)[0])

    @property
    def own(self) -> int:
        """The number of rows that the loader gave."""
        return self.size - self.others

    @property
    def device(self) -> torch.device:
        """Where the targets are."""
        return leaves(self.target)[0].device

    def output(self, mix: Mix) -> Any:
        """The output rows (m, K) on the mixed rows: the pass that is trained on."""
        norms = frozen_statistics(self.model) if self.batch_norm == "clean" else nullcontext()
        memory, index = self.memory, self.batch.index
        with norms:
            if memory is None or not memory.sites or index is None:
                return self.task.output(mixed_output(self.model, self.batch.x, mix))
            (site,) = memory.sites
            if mix.site is not None and site is not None:
                raise SettingError(
                    f"embeddings remembered at {site!r} may come before the rows are mixed, at "
                    f"{mix.site!r}; remember those of the last layer, Remembered(), or mix the inputs."
                )
            with capture_embeddings(self.model, site) as capture:
                output = mixed_output(capture.model, self.batch.x, mix)
                if capture.hook_was_skipped():
                    output = mixed_output(uncompiled(self.model), self.batch.x, mix)
        memory.keep(index, mix, capture.embedding(output))
        return self.task.output(output)


class Outcome(NamedTuple):
    """What an objective returns: named scalar terms, whose sum is minimised, and the rows that they come from."""

    terms: dict[str, Tensor]
    output: Any  # (m, K), of the rows that were trained on
    target: Any  # (m, K), their mixed targets


class Pairs(NamedTuple):
    """Row indices (m,) of anchors and partners. `others` are rows from outside the batch; their indices begin at n."""

    anchor: Tensor
    partner: Tensor
    others: Batch | None = None


class Pairing(Protocol):
    """Who is mixed with whom: a part that draws pairs of rows."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        """The pairs of this step."""
        ...


class Coefficient(Protocol):
    """How much: a part that draws the anchor's share of every pair."""

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """lam_x and lam_y (m,), float32 in [0, 1]; lam_x may be a map (m, ...) that broadcasts against the rows."""
        ...


class Site(Protocol):
    """Where: a part that chooses the modules at whose outputs rows are mixed."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[str | None, ...]:
        """The sites of this step in the order of the forward: usually one; None is the inputs."""
        ...


class Space(Protocol):
    """In which space distances are measured: a part that gives each row a position."""

    def __call__(self, step: Step) -> Tensor:
        """The rows' positions (n, d), without gradient."""
        ...


class Objective(Protocol):
    """What is minimised: a part that computes the loss terms of a mix."""

    @property
    def clean_grad(self) -> CleanGrad:
        """What it differentiates the clean pass by."""
        ...

    def __call__(self, step: Step, mix: Mix) -> Outcome:
        """The terms of the step, applied to the rows that `mix` names."""
        ...


@dataclass(frozen=True, repr=False)
class Method:
    """A mixup method: who is mixed with whom, how much, where, what is minimised. Its repr is the code that makes it.

    site: None mixes the inputs, a module's name mixes the output of that module, `RandomSite(...)` draws one a step.
    control: how the coefficient's strength moves in training (`TrainingLoss.observe`); None: it stays.
    """

    pairing: Pairing
    coefficient: Coefficient
    objective: Objective
    site: str | Site | None = None
    control: Control | None = None

    def __repr__(self) -> str:
        """Without a control as before there were any, so that runs can be told to be the same."""
        return shown(self, unless_default={"control"})

    @property
    def controlled(self) -> bool:
        """Whether its strength moves in training."""
        return self.control is not None

    @property
    def per_class(self) -> bool:
        """Whether each class has a strength of its own."""
        return self.control is not None and self.control.class_sd is not None

    def at(self, epoch: int) -> "Method":
        """The method of an epoch: always this one; a `Scheduled` method's `at` depends on the epoch."""
        return self

    def planned(self, epochs: int | None) -> "Method":
        """The method in a training of so many epochs: this one; a `Scheduled` method may depend on their number."""
        return self

    def step(
        self,
        model: Callable[[Any], Any],
        task: Task,
        batch: Batch,
        batch_norm: str = "mixed",
        training_set: TrainingSet | None = None,
        memory: Memory | None = None,
    ) -> Step:
        """The step that this method's parts act on.

        Raises:
            ShapeError: the targets do not fit the task.
        """
        moves = batch_norm != "mixed"
        clean = CleanPass(model, batch.x, self.objective.clean_grad, moves)
        return Step(model, task, batch, task.target(batch.y), clean, batch_norm, training_set, memory)

    def draw(self, step: Step, generator: torch.Generator | None = None) -> tuple[Step, Mix]:
        """Draw everything random of the step: returns the mix, and the step whose rows it indexes.

        That is the given step, or a longer one if the pairing adds rows of the training set to the batch.
        """
        anchor, partner, others = self.pairing(step, generator)
        if others is not None:
            batch = concat_batches(step.batch, others)
            longer = self.step(step.model, step.task, batch, step.batch_norm, step.training_set, step.memory)
            step = replace(longer, others=longer.size - step.size)
        sites = self.site(step, generator) if callable(self.site) else (self.site,)
        if sites[0] is None and anchor is not partner:  # before a clean pass; alone, rows stay as they are
            for leaf in leaves(step.batch.x):
                require_blendable(leaf)
        first, *later = (Mix(anchor, partner, *self.coefficient(step, anchor, partner, generator), s) for s in sites)
        return step, replace(first, later=tuple(later))


@dataclass(frozen=True)
class Scheduled:
    """`method` for the first `until` epochs (`TrainingLoss.epoch`), at least one; then `then`.

    until: a whole number of epochs, or below 1 a share of all of them.
    """

    method: "Method | Scheduled"
    until: float
    then: "Method | Scheduled"

    def __post_init__(self) -> None:
        if not ((isinstance(self.until, int) and self.until >= 1) or 0 < self.until < 1):
            raise SettingError(
                f"until must be a whole number of epochs, at least 1, or a share of them below 1; got {self.until}."
            )

    @property
    def controlled(self) -> bool:
        """Whether the strength of either method moves in training."""
        return self.method.controlled or self.then.controlled

    @property
    def per_class(self) -> bool:
        """Whether each class has a strength of its own, in either method."""
        return self.method.per_class or self.then.per_class

    def at(self, epoch: int) -> Method:
        """The method of an epoch, counted from 0.

        Raises:
            SettingError: until is a share of the epochs; see `planned`.
        """
        if self.until < 1:
            raise self._without_number
        return (self.method if epoch < self.until else self.then).at(epoch)

    def planned(self, epochs: int | None) -> "Scheduled":
        """The method in a training of so many epochs: shares of them become whole numbers, at least 1.

        Raises:
            SettingError: a share, and no number.
        """
        until = self.until
        if until < 1:
            if epochs is None:
                raise self._without_number
            until = first_epochs(until, epochs)
        return Scheduled(self.method.planned(epochs), until, self.then.planned(epochs))

    @property
    def _without_number(self) -> SettingError:
        return SettingError(
            f"mixing until {self.until:g} of the epochs needs their number; give it: TrainingLoss(..., epochs=30)."
        )
