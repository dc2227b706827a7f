"""Modules of a model found by name; hooks on them, which end with their step and return where backward repeats it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial, wraps
from threading import Lock, get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import checkpoint as checkpointing

from calmix.errors import SettingError, SiteError

Enter = Callable[[], AbstractContextManager[None]]

_OPEN: list[tuple[int, Enter]] = []  # of each block that is open now: its thread, and how to enter it again
_OPENING = Lock()
# the second is private: in a release without it, backward would end with torch's CheckpointError
_TORCHS_OWN: tuple[Any, Any] = checkpointing.CheckpointFunction, getattr(checkpointing, "_CheckpointFrame", None)


def modules_of(model: Any) -> dict[str, nn.Module]:
    """The modules of `model` by name. Raises SiteError for a plain function, whose modules have no names."""
    if not isinstance(model, nn.Module):
        raise SiteError(
            f"the method looks for a module in the model by its name, and the model is {model!r}; give the nn.Module "
            "itself, in place of a function that calls it."
        )
    return dict(within_ddp(model).named_modules())


def find_site(model: Any, site: str) -> nn.Module:
    """The module of `model` named `site`. Raises SiteError, with the names that there are, if there is none."""
    if isinstance(model, nn.Module) and site:
        with suppress(AttributeError):
            return within_ddp(model).get_submodule(site)
    names = ", ".join(name for name in modules_of(model) if name) or "none"
    raise SiteError(f"the model has no module {site!r}; its modules are: {names}.")


def uncompiled(model: Any) -> Any:
    """The module behind `torch.compile`, whose graph does not run hooks added later; other models as they are."""
    return getattr(model, "_orig_mod", model)


def within_ddp(model: Any) -> Any:
    """The module that DistributedDataParallel wraps, whose modules have the names that the user knows."""
    return uncompiled(model.module) if isinstance(model, DistributedDataParallel) else model


def again_when_recomputed(manager: Callable[..., AbstractContextManager[None]]) -> Callable[..., Any]:
    """The same context manager; it is entered again while backward recomputes what its block ran checkpointed.

    With activation checkpointing, parts of a forward run a second time in backward, when the block has ended. Without
    the block's hooks that would be another computation: a CheckpointError or, with use_reentrant=True, wrong gradients.
    """

    @contextmanager
    def listed(*args: Any) -> Iterator[None]:
        again = get_ident(), partial(entered, *args)
        _open(again)
        try:
            with manager(*args):
                yield
        finally:
            _close(again)

    @wraps(manager)
    def entered(*args: Any) -> AbstractContextManager[None]:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return manager(*args)  # a graph recomputes by itself what it ran; without gradients nothing is recomputed
        return listed(*args)

    return entered


def _open(block: tuple[int, Enter]) -> None:
    with _OPENING:
        _OPEN.append(block)
        checkpointing.CheckpointFunction = _Reentrant
        checkpointing._CheckpointFrame = _not_reentrant


def _close(block: tuple[int, Enter]) -> None:
    with _OPENING:
        _OPEN.remove(block)
        if not _OPEN:
            checkpointing.CheckpointFunction, checkpointing._CheckpointFrame = _TORCHS_OWN


def _in_the_same_blocks(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, in the blocks of this thread that are open now also when they have ended."""
    blocks = [block for block in _OPEN if block[0] == get_ident()]

    @wraps(run)
    def recompute(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as entered:
            for block in blocks:
                if block not in _OPEN:
                    entered.enter_context(block[1]())
            return run(*args, **kwargs)

    return recompute


class _Reentrant:
    """In place of torch's function for checkpointing with use_reentrant=True."""

    @staticmethod
    def apply(run: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        if not torch.is_grad_enabled():  # nothing to recompute; torch would warn that there is no gradient
            return run(*args)
        return _TORCHS_OWN[0].apply(_in_the_same_blocks(run), preserve_rng_state, *args)


def _not_reentrant(recompute: Callable[..., Any], *args: Any) -> Any:
    """In place of torch's record of a part that is checkpointed with use_reentrant=False."""
    return _TORCHS_OWN[1](_in_the_same_blocks(recompute), *args)


@again_when_recomputed
@contextmanager
def run_eagerly() -> Iterator[None]:
    """In the block, run uncompiled those parts of a model that were compiled by themselves, so that their hooks run."""
    dynamo_is_loaded = "torch._dynamo" in sys.modules  # else nothing was compiled, and loading it takes seconds
    if not (dynamo_is_loaded and hasattr(torch.compiler, "set_stance")) or torch.compiler.is_compiling():
        yield
        return
    try:
        eager = torch.compiler.set_stance("force_eager")
    except RuntimeError:
        raise SettingError(
            "this method looks into the model with hooks, which a compiled step does not run; compile the model alone, "
            "net = torch.compile(net), and call the training loss outside."
        ) from None
    with eager:
        yield


@again_when_recomputed
@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """Register a forward hook for the block; it is removed at the end, also after an exception."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
