"""The only training loop."""

import copy
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from calmix.core import require
from calmix.core.batch_norm import refresh_batch_norm
from calmix.core.loss import TrainingLoss
from calmix.core.task import Task
from calmix.data import Fixed, Splits
from calmix.errors import SettingError
from calmix.results.records import Epoch
from calmix.threads import using_threads
from calmix.train.augment import augmentation
from calmix.train.averaging import SWA
from calmix.train.batches import Batches
from calmix.train.checkpoints import Checkpoints
from calmix.train.loggers import Loggers
from calmix.train.recipe import Recipe, check_validation, sampling_weights, weighted_task
from calmix.train.settings import PRECISIONS, TrainingSettings
from calmix.train.sharing import Place, check_shares, joined, launched, other_ranks
from calmix.train.stopping import Stop, held_until_stopped

_VALIDATIONS = 20  # points of a learning curve


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, in evaluation mode on the CPU, and how it came about.

    epoch: the one that was kept, counted from 1. history: the learning curve. seconds: of the training; waited: of
    these, for rows to be read. also: the network with the other weights that the recipe names, each as a training with
    these settings would leave it.
    """

    model: nn.Module
    splits: Splits
    task: Task
    epoch: int
    history: tuple[Epoch, ...]
    seconds: float
    waited: float
    also: tuple[nn.Module, ...] = ()


OnEpoch = Callable[[Epoch, nn.Module], object]  # told each finished epoch, and the network as it then is


def train(
    recipe: Recipe,
    on_epoch: OnEpoch = lambda epoch, model: None,
    checkpoints: Checkpoints | None = None,
    loggers: Loggers | None = None,
    patience: int | None = None,
) -> Trained:
    """Train a new network on the training split and keep the epoch that `settings.select` says.

    The order of batches, the mixes, the augmentation and dropout follow from `recipe.seed` alone, each from a stream of
    its own, whatever the method; the state of torch's global generator is given back. Validation loss and
    accuracy are taken about 20 times in a run (every epoch to select the best).

    checkpoints: where the unfinished run is kept. A run that is there already goes on where it was, and on the CPU ends
    bit for bit where it would have ended undisturbed. Of the network that takes its `state_dict()` to hold all that
    changes in training, and its randomness to be torch's. loggers: what writes down each epoch.

    patience: where the best epoch is kept, after how many epochs that are no better the training ends; None: after all.

    Raises:
        SettingError: the loss is not finite, or the best epoch is to be kept and there is nothing to validate on; a
            patience below 1, or where the last epoch is kept.
        DataError: the unfinished run is another one.
        Whatever the data, the network or the method raise.

    >>> from calmix import mixup
    >>> from calmix.data import NamedSet
    >>> from calmix.train import TrainingSettings
    >>> recipe = Recipe(NamedSet("wine"), "mixup", mixup(), settings=TrainingSettings(epochs=2))
    >>> trained = train(recipe)
    >>> len(trained.history), trained.model(trained.splits.test.x).shape
    (2, torch.Size([35, 3]))
    """
    count, place = recipe.settings.devices, launched()
    check_validation(recipe.splits(), recipe.settings, recipe.method)
    check_shares(recipe.splits(), recipe.settings)
    if patience is not None:
        require.at_least("patience", patience, 1)
        if recipe.settings.select != "best":
            raise SettingError("patience waits for a better epoch, and the last one is kept; take select='best', too.")
    if count == 1:
        return _train(recipe, Place(), on_epoch, checkpoints, loggers, patience)
    if place is not None:
        return _train(recipe, place, on_epoch, checkpoints, loggers if place.rank == 0 else None, patience)
    splits = replace(recipe.splits(), given=None, encoding=None)  # whose tensors all ranks share
    beside = partial(_train_beside, replace(recipe, data=Fixed(splits, repr(recipe.data))), checkpoints, patience)
    with other_ranks(count, beside) as place:
        return _train(recipe, place, on_epoch, checkpoints, loggers, patience)


def _train_beside(recipe: Recipe, checkpoints: Checkpoints | None, patience: int | None, place: Place) -> None:
    _train(recipe, place, lambda epoch, model: None, checkpoints, None, patience)


def _train(
    recipe: Recipe,
    place: Place,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None,
    loggers: Loggers | None,
    patience: int | None,
) -> Trained:
    from lightning.pytorch import Trainer  # takes its time

    from calmix.train.module import Averager, Keeper, Module, Saver
    from calmix.train.strategy import strategy_of

    splits, settings, model = recipe.splits(), recipe.settings, recipe.network()
    task = weighted_task(splits, settings)
    of_order, of_mixes, of_augmentation, of_network = map(int, np.random.SeedSequence(recipe.seed).generate_state(4))
    data = splits.train.rows, splits.train.y
    training_loss = TrainingLoss(
        recipe.method, task, of_mixes, settings.batch_norm, data, splits.train_weights, settings.epochs
    )
    augment = augmentation(settings.augment, splits.about)
    every = 1 if settings.select == "best" else max(1, settings.epochs // _VALIDATIONS)
    averagers = {
        one.average: Averager(one.averaging, judged=one.average == settings.average)
        for one in (settings, *recipe.also)
        if one.averaging is not None
    }
    averager = averagers.get(settings.average)
    keeper = Keeper(settings.select, averager, patience)
    callbacks = {
        **{"averager" if one is averager else f"averager {name}": one for name, one in averagers.items()},
        "keeper": keeper,
    }
    weights, evenly = sampling_weights(splits, settings), splits.train_weights is not None
    batches = Batches(splits.train, settings.batch_size, of_order, weights, evenly, place.rank, place.ranks)
    log = None if loggers is None else loggers.log(recipe)

    def on_epoch_end(epoch: Epoch, model: nn.Module) -> None:
        if log is not None:
            log.write(module.history)  # a run that goes on has earlier epochs
        on_epoch(epoch, model)

    seeds = of_augmentation, of_network
    module = Module(model.train(), training_loss, settings, augment, seeds, batches, on_epoch_end, every)
    stop = Stop()
    saver = None if checkpoints is None else Saver(checkpoints, recipe, batches, callbacks, stop)
    start = time.perf_counter() - (saver.seconds if saver else 0.0)
    with (
        torch.random.fork_rng(),
        using_threads(settings.threads),
        _quiet_lightning(),
        joined(place, settings.accelerator),
    ):
        torch.manual_seed(of_network)
        trainer = Trainer(
            accelerator=settings.accelerator,
            devices=place.per_machine,
            num_nodes=place.ranks // place.per_machine,
            strategy=strategy_of(place),
            use_distributed_sampler=False,
            max_epochs=settings.epochs,
            gradient_clip_val=settings.largest_gradient(splits.about.task),
            precision=PRECISIONS[settings.precision],  # pyright: ignore[reportArgumentType]
            check_val_every_n_epoch=1 if recipe.method.controlled else every,
            callbacks=[*callbacks.values(), *([saver] if saver else [])],
            deterministic="warn" if settings.accelerator == "cuda" else None,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=saver is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with held_until_stopped(stop) if saver else nullcontext(), log or nullcontext():
            trainer.fit(
                module, batches, module.validation_batches(splits.validation) if len(splits.validation) else None
            )
            if log is not None:
                log.write(module.history)  # a run may go on after its last epoch
        del trainer  # what refers to the process group

        def keep(network: nn.Module, one: TrainingSettings) -> nn.Module:
            """The network as these settings leave it."""
            if keeper.state is not None:
                network.load_state_dict(keeper.state)
            elif one.average in averagers:
                network.load_state_dict(averagers[one.average].average.module.state_dict())
            network.cpu()
            if one.refresh_batch_norm or isinstance(one.averaging, SWA):
                with torch.random.fork_rng(devices=[]):  # of dropout, alike for all weights
                    refresh_batch_norm(network, Batches(splits.train, settings.batch_size))
            return network.eval()

        also = tuple(keep(copy.deepcopy(model), one) for one in recipe.also)
        keep(model, settings)
    seconds = time.perf_counter() - start
    return Trained(model, splits, task, keeper.epoch, tuple(module.history), seconds, batches.waited, also)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's banners and its advice for data that are not in memory, and leave no global flag set.

    A KeyboardInterrupt, which Lightning makes a SystemExit of, is raised as itself. A SIGTERM ends in the exit code
    143; of Lightning it would be 0, as if the work were done.
    """
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    logger = logging.getLogger("lightning.pytorch")
    level, deterministic = logger.level, torch.get_deterministic_debug_mode()
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    except SystemExit as stop:  # what Lightning makes of either
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(stop, SIGTERMException):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        logger.setLevel(level)
        torch.set_deterministic_debug_mode(deterministic)
