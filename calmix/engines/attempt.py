"""One run, whose failure is a value."""

import traceback

import torch
from torch import nn

from calmix.engines.engine import Finished, Orders
from calmix.errors import CalmixError
from calmix.results.records import Epoch, Failure
from calmix.train import Recipe, run


def attempt(recipe: Recipe, orders: Orders) -> Finished | Failure:
    """Carry out a run in this process; whatever goes wrong in it is a `Failure`."""

    def on_epoch(epoch: Epoch, model: nn.Module) -> None:
        orders.tick(recipe.label, recipe.seed, epoch.number, epoch)

    try:
        record, predictions, _ = run(recipe, on_epoch, orders.checkpoints, orders.loggers)
        return record, predictions
    except Exception as error:  # whatever a network of the user's may raise
        return Failure(recipe.label, recipe.seed, reason_of(error))


def reason_of(error: BaseException) -> str:
    """Why a run failed, in one sentence."""
    if isinstance(error, CalmixError):
        return str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "it ran out of memory; take smaller batches, or fewer runs at a time."
    place = traceback.extract_tb(error.__traceback__)[-1]  # there is one, as it was raised
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.filename}, line {place.lineno})"
