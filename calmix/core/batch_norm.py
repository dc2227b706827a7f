"""Batch norm's running statistics: frozen for a forward, or re-estimated after training."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import update_bn

BATCH_NORM = ("mixed", "clean", "both")  # which passes of a step move the running statistics


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the model has running statistics."""
    return any(isinstance(module, _NormBase) and module.track_running_stats for module in model.modules())


@contextmanager
def frozen_statistics(model: Any) -> Iterator[None]:
    """In the block, batch (and instance) norm in training mode leave their running statistics as they are."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    norms = [m for m in modules if isinstance(m, _NormBase) and m.track_running_stats and m.training]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def refresh_batch_norm(model: nn.Module, loader: Iterable[Any]) -> None:
    """Re-estimate the running statistics of batch norm, in place, as the mean over the batches of `loader`.

    Call it after training with clean training rows: after Mixup the running statistics are those of mixed rows, and
    test rows are clean. No parameter changes. A model without batch norm is not run.

    loader: yields batches x or (x, ...), x a tensor; they are moved to the model's device.
    Source: `torch.optim.swa_utils.update_bn`, which this calls.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3))
    >>> refresh_batch_norm(model, [(torch.tensor([[1.0, 2.0], [3.0, 2.0]]), None)])
    >>> model[0].running_mean
    tensor([2., 2.])
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    modes = {module: module.training for module in model.modules()}
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, _NormBase)}
    try:
        update_bn(loader, model, device=device)
    finally:
        for module, training in modes.items():  # module by module: users may keep parts of a model in eval()
            module.training = training
        for module, momentum in momenta.items():
            module.momentum = momentum
