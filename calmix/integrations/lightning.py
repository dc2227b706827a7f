"""Lightning: a callback for modules whose `training_step` returns what a `TrainingLoss` gives."""

import inspect
from typing import Any

import torch

from calmix.core.batch_norm import refresh_batch_norm
from calmix.core.loss import TrainingLoss
from calmix.core.tree import leaves, map_leaves
from calmix.errors import SettingError, not_installed
from calmix.integrations.observed import TrainingRows, ValidationRows

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as _error:
    raise not_installed(__name__, _error, "train") from None

_CALL = inspect.signature(TrainingLoss.forward)


class CalmixCallback(Callback):
    """Serves the `TrainingLoss` of a LightningModule, an attribute such as `self.training_loss`:

    - tells it the epoch, for `auto` and `scheduled` methods;
    - logs the mean of its terms over each epoch (`train/mixed`, ...), its accuracy on mixed targets
      (`train/accuracy`), and the strength of `auto` (`train/strength`);
    - shows `auto` the validation rows once an epoch, those of which `validation_step` asks the training loss, and the
      training rows of the last steps before;
    - re-estimates batch norm on clean rows when training has ended, if asked to.

    Without it a module trains as well, except with `auto` and `scheduled`. The training loss is part of the module, so
    that Lightning's checkpoints hold its random state, what a method remembers, and its strength.

    refresh: the name of the module's part whose batch norm is re-estimated by `calmix.refresh_batch_norm`, such as
    "net"; None: none. Checkpoints that were written before the end of training have batch norm as it was.

    Raises, when training begins:
        SettingError: the module has no training loss, or several; no part named `refresh`; `auto` without validation
            rows, or whose `validation_step` does not ask the training loss.

    >>> callback = CalmixCallback(refresh="net")  # Trainer(callbacks=[callback])
    """

    def __init__(self, refresh: str | None = None) -> None:
        self._refresh = refresh
        self._loss: TrainingLoss | None = None
        self._rows: ValidationRows | None = None
        self._trained: TrainingRows | None = None
        self._hook: Any = None
        self._observed: int = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = {name: part for name, part in pl_module.named_modules() if isinstance(part, TrainingLoss)}
        if len(found) != 1:
            raise SettingError(
                f"the module must have one TrainingLoss as an attribute; {type(pl_module).__name__} has "
                f"{', '.join(found) or 'none'}: write self.training_loss = calmix.TrainingLoss(...) in its __init__."
            )
        (self._loss,) = found.values()
        self._rows = ValidationRows(self._loss)
        self._rows.epoch = self._observed
        if self._refresh is not None and self._refresh not in (parts := dict(pl_module.named_modules())):
            raise SettingError(
                f"refresh must name a part of the module; got {self._refresh!r}, and there are "
                f"{', '.join(name for name in parts if name)}."
            )
        if self._loss.method.controlled and not trainer.enable_validation:
            raise SettingError(
                "auto sets its strength by validation rows, and there are none; give the trainer a validation loader "
                "and the module a validation_step, or take a method of fixed strength."
            )
        if self._loss.method.controlled:
            self._trained = TrainingRows(self._loss)
            self._hook = self._loss.register_forward_pre_hook(self._see, with_kwargs=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training_loss.epoch = trainer.current_epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        training_loss = self._training_loss
        if training_loss.outcome is None or training_loss.mix is None:
            raise SettingError(
                "the training step did not ask the training loss; let training_step return "
                "self.training_loss(self.net, x, y)."
            )
        values: dict[str, Any] = {**training_loss.terms}
        if (accuracy := training_loss.accuracy()) is not None:
            values["accuracy"] = accuracy
        if (strength := training_loss.strength) is not None:
            values["strength"] = strength
        pl_module.log_dict(
            {f"train/{name}": value for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(leaves(training_loss.outcome.output)[0]),
            sync_dist=trainer.world_size > 1,
        )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._rows is not None:  # else it is a validation without a training
            self._rows.forget()
            self._training_loss.mix = self._training_loss.outcome = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._rows is None or not self._training_loss.method.controlled:
            return
        if self._training_loss.outcome is None:
            raise SettingError(
                "auto sets its strength by validation rows, and validation_step did not ask the training loss of them; "
                "let it call self.training_loss(self.net, x, y), which gives the plain loss there."
            )
        self._rows.note()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._rows is None:
            return
        if trainer.sanity_checking:
            self._rows.forget()
        else:
            self._rows.show(None if self._trained is None else self._trained.said)
            self._observed = self._rows.epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        if self._refresh is not None and loader is not None:
            refresh_batch_norm(pl_module.get_submodule(self._refresh), loader)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._loss = self._rows = self._trained = self._hook = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_fit_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"observed": self._observed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._observed = state_dict["observed"]

    def _see(self, training_loss: Any, given: Any, named: Any) -> None:
        """Keep the rows that the training step asks of, and before the validation step ask the network of them."""
        assert self._trained is not None
        call = _CALL.bind(training_loss, *given, **named).arguments
        if training_loss.training:
            self._trained.note(map_leaves(torch.detach, call["x"]), call["y"])
        else:
            self._trained.ask(call["model"])

    @property
    def _training_loss(self) -> TrainingLoss:
        assert self._loss is not None, "a training has begun"
        return self._loss
