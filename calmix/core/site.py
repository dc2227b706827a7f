"""Where in the network: parts that name the modules at whose outputs rows are mixed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from calmix.core.hooks import find_site, uncompiled, within_ddp
from calmix.core.method import Step
from calmix.core.random import choose_index
from calmix.errors import SettingError, SiteError

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class RandomSite:
    """One of `sites`, drawn anew in every step; None among them is the inputs. sites=None: the inputs and every stage.

    A stage is a part of the network with parameters, in the order of definition, but not a norm and not the last part
    (see `stages`).
    """

    sites: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[str | None, ...]:
        for site in self.sites or ():  # check all, so that a wrong name is an error in the first step
            if site is not None:
                find_site(uncompiled(step.model), site)
        sites = (None, *stages(step.model)) if self.sites is None else self.sites
        return (sites[choose_index(len(sites), generator, step.device)],)


@dataclass(frozen=True)
class EverySite:
    """The inputs, and then each of `sites` in the order of the forward. sites=None: every stage of the network."""

    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[str | None, ...]:
        return (None, *(stages(step.model) if self.sites is None else self.sites))


def check_sites(sites: Any) -> None:
    """Raise SettingError unless `sites` is None or a tuple of names."""
    if sites is not None and not (isinstance(sites, tuple) and sites):
        raise SettingError(f"sites must be a tuple of module names, such as ('layer1', 'layer2'); got {sites!r}.")


def stages(model: Any) -> tuple[str, ...]:
    """The names of the stages of a model, in the order of definition: its children that have parameters, but the last.

    Norms are no stages, and an nn.ModuleList, which no forward calls, stands for its modules. If there is only one
    child, or only one before the last, its own children are taken.

    >>> stages(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    ('0', '2')

    Raises:
        SiteError: the model has no such parts.
    """
    model = within_ddp(uncompiled(model))
    names = _opened(model, _parts(model, "") if isinstance(model, nn.Module) else [])
    names = _opened(model, names[:-1])
    if not names:
        raise SiteError("the model has no stages to mix after; name the modules: sites=('layer1', 'layer2').")
    return tuple(names)


def _opened(model: nn.Module, names: list[str]) -> list[str]:
    """If `names` is a single module with parts, the names of its parts, and so on; else `names`."""
    while len(names) == 1 and (inner := _parts(model.get_submodule(names[0]), names[0] + ".")):
        names = inner
    return names


def _parts(module: nn.Module, prefix: str) -> list[str]:
    """The names of the children that have parameters and are no norms; in place of a list of modules its modules."""
    parts = []
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            parts += _parts(child, f"{prefix}{name}.")
        elif not isinstance(child, _NORMS) and any(True for _ in child.parameters()):
            parts.append(prefix + name)
    return parts
