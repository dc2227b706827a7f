"""A network and its training loss, as Lightning runs them."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from calmix.core.loss import TrainingLoss
from calmix.errors import SettingError
from calmix.results.records import Epoch
from calmix.train.augment import Augmentation
from calmix.train.settings import TrainingSettings

LoadedBatch = tuple[Tensor, Tensor, Tensor]  # x, y, index


class Module(LightningModule):
    """One training run: steps, schedule, and a history with one entry an epoch.

    Each part of an entry holds the loss, its terms, and the accuracy where there is one; on the training split the
    accuracy is the honest one (mixed rows against mixed targets).
    """

    def __init__(
        self,
        model: nn.Module,
        training_loss: TrainingLoss,
        settings: TrainingSettings,
        augment: Augmentation | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.training_loss = training_loss
        self.settings = settings
        self.history: list[Epoch] = []
        self._augment = augment
        self._seed = seed
        self._generator: torch.Generator | None = None
        self._sums: dict[str, Tensor] = {}  # weighted by rows
        self._rows = 0

    def training_step(self, batch: LoadedBatch, batch_idx: int) -> Tensor:
        x, y, index = batch
        loss = self.training_loss(self.model, self._augmented(x), y, index)
        self._count(len(y), loss)
        return loss

    def validation_step(self, batch: LoadedBatch, batch_idx: int) -> None:
        x, y, _ = batch
        self._count(len(y), self.training_loss(self.model, x, y))

    def on_train_epoch_start(self) -> None:
        self._take()
        self.training_loss.epoch = self.current_epoch

    def on_validation_epoch_start(self) -> None:
        # Lightning validates inside the training epoch, after its last step
        self.history.append(Epoch(self.current_epoch + 1, self._take(), {}))

    def on_validation_epoch_end(self) -> None:
        self.history[-1] = replace(self.history[-1], validation=self._take())

    def on_train_epoch_end(self) -> None:
        if not self.history or self.history[-1].number != self.current_epoch + 1:
            self.history.append(Epoch(self.current_epoch + 1, self._take(), {}))
        entry = self.history[-1]
        if not all(math.isfinite(part["loss"]) for part in (entry.train, entry.validation) if part):
            raise SettingError(
                f"training diverged in epoch {self.current_epoch + 1} (the loss is not finite); "
                f"lower the learning rate (it was {self.settings.peak_rate:g})."
            )

    def configure_optimizers(self) -> Any:
        rate, decay = self.settings.peak_rate, self.settings.weight_decay
        if self.settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(self.model.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(self.model.parameters(), rate, weight_decay=decay)
        steps = int(self.trainer.estimated_stepping_batches)
        if self.settings.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        elif self.settings.schedule == "one_cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
        else:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _augmented(self, x: Tensor) -> Tensor:
        if self._augment is None:
            return x
        if self._generator is None:
            self._generator = torch.Generator(x.device).manual_seed(self._seed)
        return self._augment(x, self._generator)

    def _count(self, rows: int, loss: Tensor) -> None:
        values = {"loss": loss.detach(), **self.training_loss.terms}
        accuracy = self.training_loss.accuracy()
        if accuracy is not None:
            values["accuracy"] = accuracy
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + rows * value
        self._rows += rows

    def _take(self) -> dict[str, float]:
        """The means since the last take."""
        means = {name: float(value) / self._rows for name, value in self._sums.items()}
        self._sums, self._rows = {}, 0
        return means


class Keeper(Callback):
    """Remembers the best epoch's weights, and passes on the news of each epoch."""

    def __init__(self, select: str, on_epoch: Callable[[int, nn.Module], object]) -> None:
        self.state: dict[str, Tensor] | None = None
        self.epoch: int = 0
        self._best = float("inf")
        self._select = select
        self._on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        now = trainer.current_epoch + 1
        if self._select == "last":
            self.epoch = now
        else:
            loss = pl_module.history[-1].validation["loss"]
            if loss < self._best or self.epoch == 0:
                self._best, self.epoch = loss, now
                self.state = copy.deepcopy(pl_module.model.state_dict())
        self._on_epoch(now, pl_module.model)
