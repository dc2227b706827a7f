"""`TrainingLoss`: a method, a task and a random generator, for any training loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from math import exp, log
from operator import add
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from calmix.core import require
from calmix.core.batch_norm import has_batch_norm
from calmix.core.coefficient import NoMixing, strength_of, with_strength
from calmix.core.control import check_has_classes, classes_of, of_classes
from calmix.core.memory import Memory
from calmix.core.method import Method, Outcome, Scheduled
from calmix.core.mix import Batch, Mix
from calmix.core.objective import CleanLoss
from calmix.core.pairing import SelfPairs
from calmix.core.passes import BATCH_NORM
from calmix.core.ranks import rank, seed_of_step
from calmix.core.task import Task
from calmix.core.training_set import TrainingSet
from calmix.core.tree import leaves, map_leaves
from calmix.errors import SettingError, ShapeError, UnknownNameError


class TrainingLoss(nn.Module):
    """The loss to back-propagate, for any model and any training loop.

    In `train()` it draws a mix and returns the sum of the method's terms; in `eval()` it returns the task's plain mean
    loss on the batch as it is. All randomness comes from one generator, seeded with `seed` and created on the device of
    the first batch. `state_dict()` holds its state and what a method remembers.

    Under torch.distributed every rank draws from a stream of its own, and the state that rank 0 saves restores all of
    them. Partners come from the rank's rows; what a formula says of the batch's mean distance, and MixupE of its loss,
    is that of all ranks' rows. So every rank must take part in every step, with as many rows as the others. `terms` and
    `accuracy()` are of the rank's own rows. More in docs/devices.md.

    Args:
        method: such as `calmix.mixup()`.
        task: such as `calmix.Classification(10)`.
        seed: of the generator.
        batch_norm: which passes of a step move batch norm's running statistics: `mixed`, only the one on mixed rows;
            `clean`, only the one on the batch as it is; `both`. With `clean` and `both`, a method without a clean
            forward gets one, without gradient. Plain training has one pass, which moves them in all three, and a model
            without running statistics gets no pass for them.
        data: the training set, for methods that look beyond the batch: `(x, y)` as tensors, or a map-style data set
            of (x, y) rows. With it a method that remembers rows knows their number; other methods do not use it.
        data_weights: (N,), how often each row of `data` is drawn as a partner, in proportion, by methods that draw
            from all of it; as often as the loader draws it. None: alike.
        epochs: how many there will be, for methods that mix in a share of them: `auto` and `scheduled(until=0.8)`.

    Attributes:
        terms: the last step's named terms, detached scalars.
        mix: the last step's `Mix`; None before the first step and in `eval()`.
        outcome: the last step's terms, output rows and target rows, detached: mixed ones, or in `eval()` those of the
            batch as it is; None before the first step.
        epoch: counted from 0, for `scheduled` methods; set it at the beginning of an epoch.
        strength: alpha or tau_max with which a method made by `auto` now mixes; None for other methods. Of classes with
            strengths of their own their geometric mean.
        class_strengths: (K,), that of each class, of `auto(per_class=True)`; None for other methods.

    Call: `training_loss(model, x, y, index=None)` with x (n, ...), or a dict, tuple or dataclass of such, y as the task
    describes, and index (n,), the rows' positions in the training set, for methods that need them. On a GPU nothing in
    a step waits for the device if `data` is given and data and index are on it.

    The model is an nn.Module, compiled or not, or a function that calls modules: a lambda, a partial, a bound method.
    Batch norm is treated alike in both; but in a function no module has a name, so methods that mix or measure at a
    module need the nn.Module, and what freezes statistics runs a function uncompiled. With activation checkpointing by
    `torch.utils.checkpoint` the gradients are those without it; as in plain training, a recomputed pass that moves
    running statistics moves them twice.

    Raises:
        ShapeError: x and y differ in length; a target or output that does not fit the task; integer inputs.
        SiteError: a site or last layer that cannot be found.
        SettingError: a method that needs an index or the training set, and did not get it; `auto` for a task without
            classes.

    >>> import calmix
    >>> training_loss = calmix.TrainingLoss(calmix.sk_mixup(), calmix.Classification(10), seed=0)
    >>> loss = training_loss(nn.Linear(4, 10), torch.randn(8, 4), torch.randint(10, (8,)))
    >>> loss.backward(), sorted(training_loss.terms)
    (None, ['mixed'])
    """

    def __init__(
        self,
        method: Method | Scheduled,
        task: Task,
        seed: int = 0,
        batch_norm: str = "mixed",
        data: Any = None,
        data_weights: Tensor | None = None,
        epochs: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(method, Method | Scheduled):
            raise SettingError(f"method must be a method, such as calmix.mixup(); got {method!r}.")
        if not all(callable(getattr(task, name, None)) for name in ("target", "output", "loss")):
            raise SettingError(f"task must be a task, such as calmix.Classification(10); got {task!r}.")
        if batch_norm not in BATCH_NORM:
            raise UnknownNameError("batch_norm", batch_norm, BATCH_NORM)
        if epochs is not None:
            require.at_least("epochs", epochs, 1)
        if method.controlled:
            check_has_classes(task, one_each=method.per_class)
        self.method: Method | Scheduled = method.planned(epochs)
        self._epochs = epochs
        self.task = task
        self.seed: int = seed
        self.batch_norm = batch_norm
        self.epoch: int = 0
        self.terms: dict[str, Tensor] = {}
        self.mix: Mix | None = None
        if data is None and data_weights is not None:
            raise SettingError("data_weights are of the rows of data, and no data were given; give data, too.")
        self._training_set = None if data is None else TrainingSet(data, data_weights)
        self._memory = Memory(None if self._training_set is None else len(self._training_set))
        self._generator: torch.Generator | None = None
        self._saved_state: Tensor | None = None
        self._steps: int = 0  # that have drawn
        self._strength: float | tuple[float, ...] | None = None  # where the control has moved it, or that of each class
        self._on_device: Tensor | None = None  # the strengths of the classes
        self.outcome: Outcome | None = None

    def forward(self, model: Callable[[Any], Any], x: Any, y: Any, index: Tensor | None = None) -> Tensor:
        if not self.training:
            target = self.task.target(y)
            _check_rows((x, target), len(leaves(target)[0]))
            output = self.task.output(model(x))
            self.mix, outcome = None, Outcome({"clean": self.task.loss(output, target).mean()}, output, target)
        else:
            outcome = self._train(model, Batch(x, y, index))
        self.terms = {name: term.detach() for name, term in outcome.terms.items()}
        self.outcome = Outcome(self.terms, map_leaves(torch.detach, outcome.output), outcome.target)
        return reduce(add, outcome.terms.values())

    def _train(self, model: Callable[[Any], Any], batch: Batch) -> Outcome:
        method = self._method
        batch_norm = self.batch_norm
        if batch_norm != "mixed" and (method.pairing == SelfPairs() or not has_batch_norm(model)):
            batch_norm = "mixed"  # plain training has one pass, which moves the statistics
        step = method.step(model, self.task, batch, batch_norm, self._training_set, self._memory)
        _check_rows((batch.x, step.target), step.size, batch.index)
        if batch.index is not None:  # uint8 would select as a mask
            step = replace(step, batch=replace(batch, index=batch.index.long()))
        self._memory.begin_step()
        if method.controlled and self._strength is not None:
            strength = self._strength_for(method, step.device)
            method = replace(method, coefficient=with_strength(method.coefficient, strength))
        step, self.mix = method.draw(step, self._generator_on(step.device))
        if batch_norm != "mixed":
            _ = step.clean.output  # run the clean pass, which moves the statistics
        return method.objective(step, self.mix)

    @property
    def _method(self) -> Method:
        """The method of this epoch."""
        method = self.method.at(self.epoch)
        ended = method.control is not None and not method.control.mixes(self.epoch, self._epochs)
        return Method(SelfPairs(), NoMixing(), CleanLoss()) if ended else method

    @property
    def strength(self) -> float | None:
        method = self._method
        if not method.controlled:
            return None
        if isinstance(self._strength, tuple):
            return exp(fmean(map(log, self._strength)))
        return strength_of(method.coefficient) if self._strength is None else self._strength

    @property
    def class_strengths(self) -> tuple[float, ...] | None:
        strength = self.strength
        if strength is None or not self._method.per_class:
            return None
        return self._strength if isinstance(self._strength, tuple) else (strength,) * classes_of(self.task)

    def _strength_for(self, method: Method, device: torch.device) -> float | Tensor:
        """That of all classes, or of each, where the method's control tells them apart."""
        if not (method.per_class and isinstance(self._strength, tuple)):
            assert self.strength is not None
            return self.strength
        if self._on_device is None or self._on_device.device != device:
            self._on_device = torch.tensor(self._strength, device=device)
        return self._on_device

    @torch.no_grad()
    def observe(self, logits: Tensor, labels: Tensor, of_training: tuple[Tensor, Tensor] | None = None) -> None:
        """Tell a method made by `auto` what the model says of validation rows; call it at the end of every epoch.

        The rows are not trained on and not mixed, the model is in `eval()`; a thousand are enough. The strength is then
        moved as `Control` says; in epochs whose method is another it stays. Under torch.distributed every rank gives
        rows of its own, and all get the same strength.

        logits: the model's output (n, K). labels: as in a step. of_training: the same of some hundred training
        rows, not mixed either; without them a network with batch norm may get more mixing than is good for it.

        Raises:
            SettingError: a method without a control.
            ShapeError: logits or labels that do not fit the task, or are not finite.

        >>> import calmix
        >>> training_loss = calmix.TrainingLoss(calmix.auto(), calmix.Classification(2))
        >>> too_sure = torch.tensor([[9.0, 0.0], [9.0, 0.0]])
        >>> training_loss.observe(too_sure, torch.tensor([0, 1]))
        >>> training_loss.strength > 0.2  # with which it began
        True
        """
        if not self.method.controlled:
            raise SettingError(f"only auto(...) observes validation rows; the method is {self.method!r}: leave it out.")
        control, strength, of_each = self._method.control, self.strength, self.class_strengths
        if control is not None and strength is not None:
            said = of_classes(self.task, logits, labels)
            of_train = None if of_training is None else of_classes(self.task, *of_training)
            if of_each is None:
                self._strength = control.stronger(strength, *said, of_train)
            else:
                self._strength, self._on_device = control.stronger_of_classes(of_each, *said, of_train), None

    def accuracy(self) -> Tensor | None:
        """Accuracy of the last step on mixed targets: the mean share of the predicted class in the row's target.

        A mixed row counts lam if the anchor's class is predicted, plus 1 - lam if the partner's is. The maximum is the
        mean of max(lam, 1 - lam), not 1. None before the first step and for tasks without decisions.
        """
        hits = None if self.outcome is None else self.task.hits(self.outcome.output, self.outcome.target)
        return None if hits is None else hits.mean()

    def extra_repr(self) -> str:
        data = "" if self._training_set is None else f", data of {len(self._training_set)} rows"
        return f"{self.method!r}, {self.task!r}, seed={self.seed}, batch_norm={self.batch_norm!r}{data}"

    def get_extra_state(self) -> dict[str, Any]:
        state = self._saved_state if self._generator is None else self._generator.get_state()
        return {
            "seed": self.seed,
            "rank": rank(),
            "steps": self._steps,
            "generator": state,
            "epoch": self.epoch,
            "memory": self._memory.state(),
            "strength": list(self._strength) if isinstance(self._strength, tuple) else self._strength,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state: that of rank 0 restores every rank's, and another's its own and its seed."""
        saved: Tensor | None = state["generator"]
        self.seed, self.epoch, self._generator = state["seed"], state.get("epoch", 0), None
        self._steps = state.get("steps", 0)
        self._memory.load(state.get("memory"))
        strength, self._on_device = state.get("strength"), None
        self._strength = tuple(strength) if isinstance(strength, list) else strength
        self._saved_state = saved.cpu() if saved is not None and state["rank"] == rank() == 0 else None

    def _generator_on(self, device: torch.device) -> torch.Generator:
        if self._generator is None or self._generator.device != device:
            generator = torch.Generator(device).manual_seed(self.seed)
            if self._saved_state is not None:
                if self._saved_state.shape != generator.get_state().shape:
                    raise SettingError(
                        f"the random state was not saved on a device like {device}; resume on one like that, or leave "
                        "the training loss's state out to draw anew."
                    )
                generator.set_state(self._saved_state)
            self._generator, self._saved_state = generator, None
        if (own := rank()) > 0:
            self._generator.manual_seed(seed_of_step(self.seed, own, self._steps))
        self._steps += 1
        return self._generator


def _check_rows(tree: Any, size: int, index: Any = None) -> None:
    """Raise ShapeError unless all tensors of the tree, and the index, have `size` rows, at least one."""
    if size == 0:
        raise ShapeError("the batch has no rows; give at least one.")
    for leaf in leaves(tree):
        if leaf.ndim == 0 or len(leaf) != size:
            raise ShapeError(f"x and y must have the same number of rows; got {tuple(leaf.shape)} and {size} targets.")
    if index is not None and not (isinstance(index, Tensor) and index.shape == (size,)):
        given = tuple(index.shape) if isinstance(index, Tensor) else type(index).__name__
        raise ShapeError(f"index must be a tensor with the position of each of the {size} rows; got {given}.")
    if index is not None and (index.is_floating_point() or index.is_complex() or index.dtype == torch.bool):
        raise ShapeError(f"index must be positions, integers (n,); got {index.dtype} {tuple(index.shape)}.")
