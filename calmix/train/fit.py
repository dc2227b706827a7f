"""The only training loop, and what a trained network says of a split."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from calmix.core.batch_norm import refresh_batch_norm
from calmix.core.loss import TrainingLoss
from calmix.core.method import Method, Scheduled
from calmix.core.task import Task
from calmix.data import Split, Splits
from calmix.train.batches import Batches
from calmix.train.module import Module
from calmix.train.settings import PRECISIONS, TrainingSettings

_VALIDATIONS = 20  # points of a learning curve
_PREDICTED_ROWS = 1024  # rows a batch outside training


@dataclass(frozen=True)
class Fitted:
    """A trained network, its learning curve (see `Module.history`) and the epoch that was kept, counted from 1."""

    model: nn.Module
    history: list[dict[str, Any]]
    epoch: int


def fit(
    model: nn.Module,
    splits: Splits,
    method: Method | Scheduled,
    task: Task,
    settings: TrainingSettings | None = None,
    seed: int = 0,
    on_epoch: Callable[[int], object] = lambda epoch: None,
) -> Fitted:
    """Train `model` (in place) on the training split and keep the epoch that `settings.select` says.

    The order of batches, the mixes, the augmentation and dropout follow from `seed` alone, each from a stream of its
    own, whatever the method;
    the state of torch's global generator is given back. `on_epoch` is told each finished epoch, counted from 1.
    Validation loss and accuracy are taken about 20 times in a run (every epoch to select the best).
    """
    settings = settings or TrainingSettings()
    of_order, of_mixes, of_augmentation, of_network = map(int, np.random.SeedSequence(seed).generate_state(4))
    data = splits.train.x, splits.train.y
    training_loss = TrainingLoss(method, task, of_mixes, settings.batch_norm, data)
    module = Module(model.train(), training_loss, settings, splits.about.natural, of_augmentation)
    every = 1 if settings.select == "best" else max(1, settings.epochs // _VALIDATIONS)
    keeper = _Keeper(settings.select, on_epoch)
    with torch.random.fork_rng(), _quiet_lightning():
        torch.manual_seed(of_network)
        trainer = Trainer(
            accelerator=settings.accelerator,
            devices=1,
            max_epochs=settings.epochs,
            precision=PRECISIONS[settings.precision],  # pyright: ignore[reportArgumentType]
            check_val_every_n_epoch=every,
            callbacks=[keeper],
            deterministic="warn" if settings.accelerator == "cuda" else None,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        train = Batches(splits.train, settings.batch_size, of_order)
        trainer.fit(module, train, Batches(splits.validation, _PREDICTED_ROWS))
        if keeper.state is not None:
            model.load_state_dict(keeper.state)
        model.cpu()
        if settings.refresh_batch_norm:
            refresh_batch_norm(model, Batches(splits.train, settings.batch_size))
    return Fitted(model.eval(), module.history, keeper.epoch)


@torch.no_grad()
def predict(model: nn.Module, split: Split) -> Tensor:
    """The network's outputs (n, K) on a split, in evaluation mode, float32 on the CPU."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    model.eval()
    return torch.cat([model(x.to(device)).float().cpu() for x, _, _ in Batches(split, _PREDICTED_ROWS)])


class _Keeper(Callback):
    """Remembers the best epoch's weights, and passes on the news of each epoch."""

    def __init__(self, select: str, on_epoch: Callable[[int], object]) -> None:
        self.state: dict[str, Tensor] | None = None
        self.epoch = 0
        self._best = float("inf")
        self._select = select
        self._on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        now = trainer.current_epoch + 1
        if self._select == "last":
            self.epoch = now
        else:
            loss = pl_module.history[-1]["validation"]["loss"]
            if loss < self._best or self.epoch == 0:
                self._best, self.epoch = loss, now
                self.state = copy.deepcopy(pl_module.model.state_dict())
        self._on_epoch(now)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No banners, no advice that does not apply to data held in memory, no global flag left set, and Ctrl-C as such."""
    logger = logging.getLogger("lightning.pytorch")
    level, deterministic = logger.level, torch.get_deterministic_debug_mode()
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    except SystemExit as stop:  # what Lightning makes of a KeyboardInterrupt
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        logger.setLevel(level)
        torch.set_deterministic_debug_mode(deterministic)
