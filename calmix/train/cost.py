"""What a training step of a method costs, in units of a plain training step."""

import copy
import statistics
import time
from dataclasses import replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from calmix.core.coefficient import strength_of, with_strength
from calmix.core.control import classes_of
from calmix.core.loss import TrainingLoss
from calmix.core.method import Method, Scheduled
from calmix.core.task import Task
from calmix.data import Split
from calmix.methods.erm import erm
from calmix.threads import using_threads
from calmix.train.recipe import Recipe, weighted_task
from calmix.train.settings import TrainingSettings

_WARM_UP, _LEAST, _MOST, _SECONDS = 3, 15, 100, 1.0  # rounds, and for how long they may go on


def cost_of(recipe: Recipe) -> float:
    """The relative cost of a recipe's method on its data and network."""
    splits = recipe.splits()
    return relative_cost(
        recipe.method, recipe.network(), weighted_task(splits, recipe.settings), splits.train, recipe.settings
    )


def relative_cost(
    method: Method | Scheduled, model: nn.Module, task: Task, train: Split, settings: TrainingSettings
) -> float:
    """Time of a training step of `method` over that of plain training: 1.0 is free.

    Both train a copy of `model` on the same batch, turn by turn in the same process, so that both meet the same
    machine; the median of the rounds' ratios is reported. CPU time in one thread on the CPU, wall-clock time between
    synchronisations on a GPU. Forward, backward and optimiser step count, in float32; loading and augmentation do
    not. Of a scheduled method it is the first epoch's step; of one that sets its strength, a step at half of the first
    strength, as alpha = 1 is cheaper to draw than what it moves to.
    """
    if method == erm():
        return 1.0
    method, device = method.planned(settings.epochs).at(0), torch.device(settings.accelerator)
    if method.control is not None and (strength := strength_of(method.coefficient)):
        half = strength / 2
        moved = torch.full((classes_of(task),), half, device=device) if method.per_class else half
        method = replace(method, coefficient=with_strength(method.coefficient, moved))
    rows = min(settings.batch_size, len(train))
    x, y, index = train.rows[:rows].to(device), train.y[:rows].to(device), torch.arange(rows, device=device)

    def stepper(method: Method | Scheduled) -> "_Stepper":
        loss = TrainingLoss(method, task, batch_norm=settings.batch_norm, data=(train.rows, train.y))
        return _Stepper(copy.deepcopy(model).to(device).train(), loss, (x, y, index))

    ratios = []
    with torch.random.fork_rng(), using_threads(1):  # CPU time also counts threads that wait
        plain, tried = stepper(erm()), stepper(method)
        for _ in range(_WARM_UP):
            plain.seconds()
            tried.seconds()
        began = time.perf_counter()
        while len(ratios) < _LEAST or (len(ratios) < _MOST and time.perf_counter() - began < _SECONDS):
            base = plain.seconds()
            ratios.append(tried.seconds() / max(base, 1e-9))
    return statistics.median(ratios)


def counted_cost(recipe: Recipe) -> float:
    """The floating-point operations of a training step of a recipe's method over those of plain training.

    Counted by PyTorch, forward and backward: the same on every machine and however busy it is. Of a scheduled method
    it is the first epoch's step. What is no matrix product or convolution does not count; 1.0 where there is none.
    """
    splits, settings = recipe.splits(), recipe.settings
    rows = min(settings.batch_size, len(splits.train))
    x, y, index = splits.train.rows[:rows], splits.train.y[:rows], torch.arange(rows)

    def counted(method: Method | Scheduled) -> int:
        data = splits.train.rows, splits.train.y
        task, epochs = weighted_task(splits, settings), settings.epochs
        loss = TrainingLoss(method, task, batch_norm=settings.batch_norm, data=data, epochs=epochs)
        with FlopCounterMode(display=False) as counter:
            loss(model.train(), x, y, index).backward()
        return counter.get_total_flops()

    with torch.random.fork_rng(devices=[]), using_threads(settings.threads):
        model = recipe.network()
        plain = counted(erm())
        return counted(recipe.method) / plain if plain else 1.0


class _Stepper:
    def __init__(self, model: nn.Module, loss: TrainingLoss, batch: tuple[torch.Tensor, ...]) -> None:
        self.model, self.loss, self.batch = model, loss, batch
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def seconds(self) -> float:
        """The time of one training step."""
        start = self._now()
        self.optimizer.zero_grad()
        self.loss(self.model, *self.batch).backward()
        self.optimizer.step()
        return self._now() - start

    def _now(self) -> float:
        if self.batch[0].is_cuda:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()
