"""Modules of a model found by name, and hooks on them that are removed at the end of the step."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from calmix.errors import SiteError


def find_site(model: Any, site: str) -> nn.Module:
    """The module of `model` named `site`. Raises SiteError, with the names that there are, if there is none."""
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if site not in modules or site == "":
        names = ", ".join(name for name in modules if name) or "none: the model is not an nn.Module with parts"
        raise SiteError(f"the model has no module {site!r}; its modules are: {names}.")
    return modules[site]


def uncompiled(model: Any) -> Any:
    """The module behind `torch.compile`, whose graph does not run hooks added later; other models as they are."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def run_eagerly() -> Iterator[None]:
    """In the block, run uncompiled those parts of a model that were compiled by themselves, so that their hooks run."""
    dynamo_is_loaded = "torch._dynamo" in sys.modules  # else nothing was compiled, and loading it takes seconds
    if not (dynamo_is_loaded and hasattr(torch.compiler, "set_stance")) or torch.compiler.is_compiling():
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """Register a forward hook for the block; it is removed at the end, also after an exception."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
