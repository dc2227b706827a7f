"""Batch norm's running statistics: frozen for a forward, or re-estimated after training."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import UninitializedBuffer

from calmix.core.hooks import again_when_recomputed, run_eagerly
from calmix.core.tree import map_leaves
from calmix.errors import SettingError


def has_batch_norm(model: Any) -> bool:
    """Whether the model has running statistics; of a function that calls modules it is not known, so it may have."""
    return not isinstance(model, nn.Module) or bool(_tracking(model))


def _tracking(model: nn.Module) -> list[_NormBase]:
    """The norms that have running statistics."""
    return [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]


@again_when_recomputed
@contextmanager
def frozen_statistics(model: Any) -> Iterator[None]:
    """In the block, batch (and instance) norm in training mode leave their running statistics as they are.

    model: a module, or a function, whose norms are those of the modules that it calls; these run uncompiled.
    """
    frozen: list[_NormBase] = []
    thread = get_ident()

    def freeze(norm: _NormBase, *_: Any) -> None:
        norm.track_running_stats = False
        frozen.append(norm)

    def freeze_all(module: nn.Module, *_: Any) -> None:
        for norm in _tracking(module) if get_ident() == thread else ():  # torch calls this for those of all threads
            if norm.training and isinstance(norm.running_mean, UninitializedBuffer):
                undo.callback(norm.register_forward_pre_hook(freeze).remove)  # once its first rows made its statistics
            elif norm.training:
                freeze(norm)

    with ExitStack() as undo:
        try:
            if isinstance(model, nn.Module):
                freeze_all(model)
            else:
                undo.enter_context(run_eagerly())
                undo.callback(register_module_forward_pre_hook(freeze_all).remove)
            yield
        finally:
            for norm in frozen:
                norm.track_running_stats = True


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, loader: Iterable[Any]) -> None:
    """Re-estimate the running statistics of batch norm, in place, as the mean over the batches of `loader`.

    Call it after training with clean training rows: after Mixup the running statistics are those of mixed rows, and
    test rows are clean. No parameter changes. A model without batch norm is not run. Norms that are frozen stay as they
    are: those in `eval()` although the model is in `train()`, and those that the model's own `train()` leaves in
    `eval()`.

    loader: yields batches x or (x, ...); x, a tensor or a tree of tensors, is moved to the model's device.

    Raises:
        SettingError: the loader has no batches; nothing is changed.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3))
    >>> refresh_batch_norm(model, [(torch.tensor([[1.0, 2.0], [3.0, 2.0]]), None)])
    >>> model[0].running_mean
    tensor([2., 2.])
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in _tracking(model)}
    number = 0
    try:
        if not model.training:
            model.train()
        norms = [norm for norm in momenta if norm.training]
        for number, batch in enumerate(loader if norms else (), start=1):
            for norm in norms:
                if number == 1:
                    norm.reset_running_stats()
                norm.momentum = 1 / number  # the running mean of all batches
            x = batch[0] if isinstance(batch, list | tuple) else batch
            model(map_leaves(lambda leaf: leaf.to(device), x))
    finally:
        for module, training in modes.items():  # module by module: users may keep parts of a model in eval()
            module.training = training
        for norm, momentum in momenta.items():
            norm.momentum = momentum
    if norms and number == 0:
        raise SettingError("the loader gave no batch; give one that can be read (again), with at least one batch.")
