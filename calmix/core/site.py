"""Where in the network: parts that name the modules at whose outputs rows are mixed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from calmix.core.hooks import find_site, uncompiled
from calmix.core.method import Step
from calmix.core.random import choose
from calmix.errors import SettingError, SiteError

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class RandomSite:
    """One of `sites`, drawn anew in every step; None is the inputs. No sites: the inputs and every stage.

    A stage is a part of the network with parameters, in the order of definition, but not a norm and not the last part
    (see `stages`).
    """

    sites: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[str | None, ...]:
        for site in self.sites or ():  # all, not only the drawn one: a mistake must not wait for its turn
            if site is not None:
                find_site(uncompiled(step.model), site)
        sites = (None, *stages(step.model)) if self.sites is None else self.sites
        return (sites[choose(len(sites), generator, step.device)],)


@dataclass(frozen=True)
class EverySite:
    """The inputs, and then every one of `sites` in the order of the forward. No sites: every stage of the network."""

    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: Step, generator: torch.Generator | None) -> tuple[str | None, ...]:
        return (None, *(stages(step.model) if self.sites is None else self.sites))


def check_sites(sites: Any) -> None:
    """A SettingError unless `sites` is None or a tuple of names."""
    if sites is not None and not (isinstance(sites, tuple) and sites):
        raise SettingError(f"sites must be a tuple of module names, such as ('layer1', 'layer2'); got {sites!r}.")


def stages(model: Any) -> tuple[str, ...]:
    """The names of the parts that a forward goes through before the last, as far as they have parameters.

    The children of the model without norms; where there is only one, or only one before the last, its children.

    >>> stages(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    ('0', '2')

    Raises:
        SiteError: the model has no such parts.
    """
    model = uncompiled(model)
    names = _opened(model, _parts(model, "") if isinstance(model, nn.Module) else [])
    names = _opened(model, names[:-1])
    if not names:
        raise SiteError("the model has no stages to mix after; name the modules: sites=('layer1', 'layer2').")
    return tuple(names)


def _opened(model: nn.Module, names: list[str]) -> list[str]:
    """The parts inside, as long as there is one name and it has any."""
    while len(names) == 1 and (inner := _parts(model.get_submodule(names[0]), names[0] + ".")):
        names = inner
    return names


def _parts(module: nn.Module, prefix: str) -> list[str]:
    return [
        prefix + name
        for name, child in module.named_children()
        if not isinstance(child, _NORMS) and any(True for _ in child.parameters())
    ]
