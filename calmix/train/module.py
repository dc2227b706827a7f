"""A network and its training loss, as Lightning runs them."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from calmix.core.loss import TrainingLoss
from calmix.errors import SettingError
from calmix.train.batches import crop_and_flip
from calmix.train.settings import TrainingSettings

Batch = tuple[Tensor, Tensor, Tensor]  # x, y, index


class Module(LightningModule):
    """One training run: steps, schedule, and a history with one entry an epoch.

    history: [{"epoch": 1, "train": {"loss": ..., "accuracy": ..., <terms>}, "validation": {"loss": ..., ...}}, ...];
    the train accuracy is the honest one (mixed rows against mixed targets); epochs without validation lack that entry.
    """

    def __init__(
        self, model: nn.Module, training_loss: TrainingLoss, settings: TrainingSettings, augment: bool, seed: int
    ) -> None:
        super().__init__()
        self.model = model
        self.training_loss = training_loss
        self.settings = settings
        self.history: list[dict[str, Any]] = []
        self._augment = augment
        self._seed = seed
        self._generator: torch.Generator | None = None
        self._sums: dict[str, Tensor] = {}  # weighted by rows
        self._rows = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y, index = batch
        loss = self.training_loss(self.model, self._augmented(x), y, index)
        self._count(len(y), loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y, _ = batch
        self._count(len(y), self.training_loss(self.model, x, y))

    def on_train_epoch_start(self) -> None:
        self._take()
        self.training_loss.epoch = self.current_epoch

    def on_validation_epoch_start(self) -> None:
        # Lightning validates inside the training epoch, after its last step
        self.history.append({"epoch": self.current_epoch + 1, "train": self._take()})

    def on_validation_epoch_end(self) -> None:
        self.history[-1]["validation"] = self._take()

    def on_train_epoch_end(self) -> None:
        if not self.history or self.history[-1]["epoch"] != self.current_epoch + 1:
            self.history.append({"epoch": self.current_epoch + 1, "train": self._take()})
        entry = self.history[-1]
        if not all(math.isfinite(entry[part]["loss"]) for part in ("train", "validation") if part in entry):
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
        if not self._augment:
            return x
        if self._generator is None:
            self._generator = torch.Generator(x.device).manual_seed(self._seed)
        return crop_and_flip(x, self._generator)

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
