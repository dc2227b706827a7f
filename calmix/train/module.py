"""A network and its training loss, as Lightning runs them."""

import copy
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from calmix.core.loss import TrainingLoss
from calmix.core.ranks import largest_over_ranks, of_all_ranks, rank, ranks, seed_of_step
from calmix.data import Split
from calmix.errors import DataError, SettingError
from calmix.reading import reading
from calmix.results.records import Epoch
from calmix.train.augment import Augmentation
from calmix.train.averaging import EMA, SWA
from calmix.train.batches import Batches, fits_on, rows_at_a_time
from calmix.train.checkpoints import ANEW, Checkpoints, States, Unfinished
from calmix.train.recipe import Recipe
from calmix.train.settings import TrainingSettings
from calmix.train.stopping import Stop, Stopped

LoadedBatch = tuple[Tensor, Tensor, Tensor]  # x, y, index
OBSERVED = 1000  # validation rows, and training rows, at most, by which a method sets its strength


class Module(LightningModule):
    """One training run: steps, schedule, and a history with one entry an epoch.

    Each part of an entry holds the loss, its terms, and the accuracy where there is one; on the training split the
    accuracy is the honest one (mixed rows against mixed targets). A method that sets its strength is told what
    the network says of a thousand validation rows, and of as many training rows, after every epoch. Where several ranks
    share the batches, an entry is of the rows of all.

    seeds: of the augmentation and of the network's own randomness. every: epochs from one point of the validation's
    curve to the next.
    """

    def __init__(
        self,
        model: nn.Module,
        training_loss: TrainingLoss,
        settings: TrainingSettings,
        augment: Augmentation | None,
        seeds: tuple[int, int],
        batches: Batches,
        on_epoch: Callable[[Epoch, nn.Module], object],
        every: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.training_loss = training_loss
        self.settings = settings
        self.history: list[Epoch] = []
        self._augment = augment
        self._seed, self._seed_of_network = seeds
        self._batches = batches
        self._kept = [batches]  # on a GPU, where they fit
        self._on_epoch = on_epoch
        self._every = every
        self._seen: list[tuple[Tensor, Tensor]] = []  # outputs and labels of validation rows, for a method's strength
        self._generator: torch.Generator | None = None
        self._sums: dict[str, Tensor] = {}  # weighted by rows
        self._rows = 0
        self._others: list[tuple[dict[str, Tensor], int]] = []  # sums and rows of ranks 1, 2, ..., once gathered
        self._rate = 0.0  # of the newest step
        self._waited = 0.0  # before this epoch
        self._on_sigterm: Any = None

    def training_step(self, batch: LoadedBatch, batch_idx: int) -> Tensor:
        x, y, index = batch
        if (own := rank()) > 0:  # see `seed_of_step`
            step = self.current_epoch * len(self._batches) + batch_idx
            torch.manual_seed(seed_of_step(self._seed_of_network, own, step))
            self._generator = torch.Generator(x.device).manual_seed(seed_of_step(self._seed, own, step))
        self._rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        loss = self.training_loss(self.model, self._augmented(x), y, index)
        self._count(len(y), loss)
        return loss

    def validation_step(self, batch: LoadedBatch, batch_idx: int) -> None:
        x, y, _ = batch
        if len(y) == 0:  # a rank with a row fewer than others
            return

        def noted(rows: Tensor) -> Tensor:
            self._seen.append((self.model(rows), y))
            return self._seen[-1][0]

        self._count(len(y), self.training_loss(noted if self.training_loss.method.controlled else self.model, x, y))

    def validation_batches(self, validation: Split) -> Iterable[LoadedBatch]:
        """The whole split for a point of the curve, else the rows by which a method sets its strength.

        It also sets the training rows aside that such a method is told of.
        """
        size = rows_at_a_time(validation, self.settings.accelerator) * ranks()
        whole = Batches(validation, size, rank=rank(), ranks=ranks())
        self._kept.append(whole)
        if not self.training_loss.method.controlled:
            return whole
        self._observed = whole.places(OBSERVED)
        observed = Batches(validation.part(self._observed), size, rank=rank(), ranks=ranks())
        trained = self._batches.split.part(self._batches.places(OBSERVED))
        self._of_training = Batches(trained, size, rank=rank(), ranks=ranks())
        self._kept += [observed, self._of_training]

        def chosen() -> Iterable[LoadedBatch]:
            if self._validates:
                return whole
            return () if self.training_loss.strength is None else observed

        return _Chosen(chosen)

    @property
    def _validates(self) -> bool:
        """Whether the epoch has a point of the validation's curve."""
        return (self.current_epoch + 1) % self._every == 0

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the network and the training loss."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "sums": self._sums,
            "rows": self._rows,
            "others": self._others,
            "augmentation": None if self._generator is None else self._generator.get_state(),
            "waited": self._waited,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        sums, rows = [(state["sums"], state["rows"]), *state.get("others", ())][rank()]  # calmix 0.1.0 had no others
        self._sums = {name: value.to(self.device) for name, value in sums.items()}
        self._rows = rows
        self._waited = state.get("waited", 0.0)  # earlier versions of calmix did not keep it
        if state["augmentation"] is not None:
            self._generator = torch.Generator(self.device)
            self._generator.set_state(state["augmentation"])

    def gather_sums(self) -> None:
        """Let every rank know the sums of all, before rank 0 saves them."""
        of_ranks = of_all_ranks(({name: value.cpu() for name, value in self._sums.items()}, self._rows))
        self._others = of_ranks[1:]

    def on_fit_start(self) -> None:
        self._on_sigterm = signal.getsignal(signal.SIGTERM)
        for batches in self._kept:
            if fits_on(self.device, batches.split):
                batches.keep_on(self.device)

    def on_train_start(self) -> None:
        if ranks() > 1 and threading.current_thread() is threading.main_thread():
            # in the place of Lightning's handler, which would exchange something in mid-step
            signal.signal(signal.SIGTERM, self._on_sigterm or signal.SIG_DFL)

    def on_train_epoch_start(self) -> None:
        self._take()
        self.training_loss.epoch = self.current_epoch

    def on_validation_epoch_start(self) -> None:
        # Lightning validates inside the training epoch, after its last step
        self.history.append(self._trained())

    def on_validation_epoch_end(self) -> None:
        validation, seen = self._take(), self._seen
        self._seen = []
        if self._validates:
            self.history[-1] = replace(self.history[-1], validation=validation)
        if seen and self.training_loss.strength is not None and math.isfinite(validation["loss"]):
            output, y = (torch.cat(parts) for parts in zip(*seen, strict=True))
            own = self._observed[self._observed % ranks() == rank()] // ranks()  # of the rows that this rank has seen
            rows = own.to(y.device) if self._validates else slice(None)
            self.training_loss.observe(output[rows], y[rows], self._said_of_training())

    def _said_of_training(self) -> tuple[Tensor, Tensor]:
        """What the network says of the training rows that are observed, and their labels."""
        batches = (self.trainer.strategy.batch_to_device(batch) for batch in self._of_training)
        with self.trainer.precision_plugin.val_step_context():  # as validation rows are
            said = [(self.model(x), y) for x, y, _ in batches if len(y)]
        output, y = (torch.cat(parts) for parts in zip(*said, strict=True))
        return output, y

    def on_train_epoch_end(self) -> None:
        if not self.history or self.history[-1].number != self.current_epoch + 1:
            self.history.append(self._trained())
        waited = self._batches.waited
        entry = replace(self.history[-1], learning_rate=self._rate, waited=waited - self._waited, ended=time.time())
        self.history[-1], self._waited = entry, waited
        if not all(math.isfinite(part["loss"]) for part in (entry.train, entry.validation) if part):
            others = [
                "" if self.trainer.gradient_clip_val else ", or clip gradients (max_grad_norm 1)",
                ", or take the optimizer adamw" if self.settings.optimizer == "sgd" else "",
            ]
            raise SettingError(
                f"training diverged in epoch {self.current_epoch + 1} (the loss is not finite); "
                f"lower the learning rate (it was {self.settings.peak_rate:g}){''.join(others)}."
            )
        self._on_epoch(entry, self.model)

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
        elif falls := self.settings.steps:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: falls.at_share(step / steps))
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

    def _trained(self) -> Epoch:
        """The training part of the epoch's entry."""
        strength, of_classes = self.training_loss.strength, self.training_loss.class_strengths
        own = {} if strength is None else {"strength": strength}
        if of_classes is not None:
            own |= {"strength_least": min(of_classes), "strength_most": max(of_classes)}
        return Epoch(self.current_epoch + 1, self._take() | own, {})

    def _take(self) -> dict[str, float]:
        """The means since the last take."""
        sums, rows = self._summed()
        self._sums, self._rows = {}, 0
        return {name: value / rows for name, value in sums.items()}

    def _summed(self) -> tuple[dict[str, float], int]:
        """The sums and the rows of all ranks."""
        parts = of_all_ranks(({name: float(value) for name, value in self._sums.items()}, self._rows))
        names = {name: None for sums, _ in parts for name in sums}  # in their order
        return {name: sum(sums.get(name, 0.0) for sums, _ in parts) for name in names}, sum(rows for _, rows in parts)


class _Chosen:
    """The batches that `choose()`, asked at the beginning of an epoch, gives."""

    def __init__(self, choose: Callable[[], Iterable[LoadedBatch]]) -> None:
        self._choose = choose

    def __iter__(self) -> Iterator[LoadedBatch]:
        return iter(self._choose())


class Keeper(Callback):
    """Remembers the best epoch's weights: those of the average, where validation rows judge it.

    patience: how many epochs may be no better before the training ends; None: as many as there are.
    """

    def __init__(self, select: str, averager: "Averager | None", patience: int | None = None) -> None:
        self.state: dict[str, Tensor] | None = None
        self.epoch: int = 0
        self._best = float("inf")
        self._select, self._averager, self._patience = select, averager, patience

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.state, "epoch": self.epoch, "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.state, self.epoch, self._best = state_dict["weights"], state_dict["epoch"], state_dict["best"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        now = trainer.current_epoch + 1
        if self._select == "last":
            self.epoch = now
        else:
            loss = pl_module.history[-1].validation["loss"]
            if loss < self._best or self.epoch == 0:
                self._best, self.epoch = loss, now
                judged = pl_module.model if self._averager is None else self._averager.average.module
                self.state = copy.deepcopy(judged.state_dict())
        self._end(trainer, now)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._end(trainer, trainer.current_epoch)  # a run that goes on may have been at its end

    def _end(self, trainer: Trainer, epochs: int) -> None:
        """End the training if, of so many epochs, the last ones were no better for as long as there is patience."""
        if self._patience is not None and epochs - self.epoch >= self._patience:
            trainer.should_stop = True


class Averager(Callback):
    """Keeps an average of the network's weights. If `judged`, that of `EMA` takes its place in validations."""

    average: AveragedModel  # from the beginning of the training on

    def __init__(self, averaging: EMA | SWA, judged: bool = True) -> None:
        self._averaging = averaging
        self._judged = judged and isinstance(averaging, EMA)

    @property
    def state_key(self) -> str:
        """Lightning tells callbacks with a state apart by it."""
        return repr(self._averaging)

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if isinstance(self._averaging, SWA):
            self.average = AveragedModel(pl_module.model)
        else:
            self.average = AveragedModel(pl_module.model, multi_avg_fn=_warmed_up(self._averaging), use_buffers=True)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.average.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average.load_state_dict(state_dict)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if isinstance(self._averaging, EMA):
            self.average.update_parameters(pl_module.model)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        now, last = trainer.current_epoch + 1, pl_module.settings.epochs
        if isinstance(self._averaging, SWA) and self._averaging.takes(now, last):
            self.average.update_parameters(pl_module.model)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self._judged:
            _swap(self.average.module, pl_module.model)

    on_validation_end = on_validation_start


def _warmed_up(averaging: EMA) -> Callable[..., None]:
    """What torch calls with the averages, the weights, and how often they were averaged."""

    def update(averages: Any, weights: Any, count: Tensor | int) -> None:
        decay = min(averaging.decay, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(decay)(averages, weights, count)

    return update


@torch.no_grad()
def _swap(one: nn.Module, other: nn.Module) -> None:
    """Exchange the values of all parameters and buffers."""
    for first, second in zip(_values(one), _values(other), strict=True):
        kept = first.clone()
        first.copy_(second)
        second.copy_(kept)


def _values(model: nn.Module) -> Iterable[Tensor]:
    return chain(model.parameters(), model.buffers())


class Saver(Checkpoint):
    """Writes checkpoints between steps, and begins where the last one was written.

    Lightning tells a `Checkpoint` of an epoch's end after everybody else, so the state is whole then. The last step of
    an epoch and what follows it are one: a state between them would need to know how much of a validation is done.

    Several ranks agree after each step whether to write or to stop, and all begin with what rank 0 wrote: what another
    one draws follows from the step.

    callbacks: those that have a state, by name. seconds: how long the run was trained before.
    """

    def __init__(
        self, checkpoints: Checkpoints, recipe: Recipe, batches: Batches, callbacks: Mapping[str, Any], stop: Stop
    ) -> None:
        self._checkpoints, self._recipe, self._text = checkpoints, recipe, recipe.text
        self._batches, self._callbacks, self._stop = batches, callbacks, stop
        self._begun = checkpoints.read(recipe)
        self.seconds: float = self._begun.seconds if self._begun else 0.0
        self._start = self._last = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self._begun is not None:
            with reading(self._checkpoints.path(self._recipe.label, self._recipe.seed), ANEW):
                for name, owner in self._owners(trainer, pl_module).items():
                    owner.load_state_dict(self._begun.states[name])
                self._batches.load_state_dict(self._begun.states["batches"])
                _go_on(trainer, self._begun.epoch, self._begun.batch)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self._begun is not None:  # now that a loader may have drawn
            _set_global_state(self._begun.states["torch"])
            self._begun = None  # its tensors are no longer needed

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 < trainer.num_training_batches:
            self._between_steps(trainer, pl_module, trainer.current_epoch, batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._between_steps(trainer, pl_module, trainer.current_epoch + 1, 0)

    def _between_steps(self, trainer: Trainer, module: Any, epoch: int, batch: int) -> None:
        due = time.monotonic() >= self._last + 60 * self._checkpoints.minutes
        number, due = largest_over_ranks([self._stop.signal or 0, due], trainer.strategy.root_device)
        if not (number or due):
            return
        module.gather_sums()
        if rank() == 0:
            self._write(trainer, module, epoch, batch)
        self._last = time.monotonic()
        if number:
            self._stop.signal = number  # of whichever rank
            raise Stopped

    def _write(self, trainer: Trainer, module: Any, epoch: int, batch: int) -> None:
        states = {name: owner.state_dict() for name, owner in self._owners(trainer, module).items()}
        states |= {"batches": self._batches.state_dict(batch), "torch": _global_state()}
        unfinished = Unfinished(self._text, epoch, batch, self.seconds + time.monotonic() - self._start, states)
        try:
            self._checkpoints.write(self._recipe, unfinished)
        except DataError as error:  # a full disk is no reason to end a run that may still finish
            warnings.warn(f"no checkpoint of {self._recipe.label}, seed {self._recipe.seed}: {error}", stacklevel=2)

    def _owners(self, trainer: Trainer, module: Any) -> dict[str, Any]:
        """What has a state, by its name in the file."""
        schedules = {f"schedule{n}": config.scheduler for n, config in enumerate(trainer.lr_scheduler_configs)}
        optimizer, precision = trainer.optimizers[0], trainer.precision_plugin
        return {"module": module, "optimizer": optimizer, "precision": precision, **self._callbacks, **schedules}


def _go_on(trainer: Trainer, epoch: int, batch: int) -> None:
    """Let Lightning's loop count as if so many epochs, and so many steps of the next one, were done."""

    def counts(begun: int, done: int) -> dict[str, Any]:
        count = {"ready": begun, "started": begun, "processed": done, "completed": done}
        return {"total": count, "current": count}

    loop = trainer.fit_loop
    loop.epoch_progress.load_state_dict(counts(epoch + (batch > 0), epoch))
    if batch:
        loop.epoch_loop.batch_progress.load_state_dict({**counts(batch, batch), "is_last_batch": False})
        loop.restarting = True  # in the middle of an epoch, as the counts say


def _global_state() -> States:
    """Of torch's own generators, which dropout draws from."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def _set_global_state(state: States) -> None:
    torch.set_rng_state(state["cpu"])
    torch.cuda.set_rng_state_all(state["cuda"])
