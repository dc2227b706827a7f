"""Where in the network: modules found by name, seen or changed by hooks that do not survive a step."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from calmix.core.random import choose
from calmix.core.tree import leaves
from calmix.errors import SettingError, SiteError

if TYPE_CHECKING:
    from calmix.core.method import Step

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class AnyOf:
    """One of `sites`, drawn anew in every step; None is the inputs. No sites: the inputs and every stage.

    A stage is a part of the network with parameters, in the order of definition, but not a norm and not the last part
    (see `stages`).
    """

    sites: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: "Step", generator: torch.Generator | None) -> tuple[str | None, ...]:
        sites = (None, *stages(step.model)) if self.sites is None else self.sites
        return (sites[choose(len(sites), generator, step.device)],)


@dataclass(frozen=True)
class Each:
    """The inputs, and then every one of `sites` in the order of the forward. No sites: every stage of the network."""

    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_sites(self.sites)

    def __call__(self, step: "Step", generator: torch.Generator | None) -> tuple[str | None, ...]:
        return (None, *(stages(step.model) if self.sites is None else self.sites))


def check_sites(sites: Any) -> None:
    """A SettingError unless `sites` is None or a tuple of names."""
    if sites is not None and not (isinstance(sites, tuple) and sites):
        raise SettingError(f"sites must be a tuple of module names, such as ('layer1', 'layer2'); got {sites!r}.")


def find_site(model: Any, site: str) -> nn.Module:
    """The module of `model` named `site`; a SiteError that lists the names where there is none."""
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if site not in modules or site == "":
        names = ", ".join(name for name in modules if name) or "none: the model is not an nn.Module with parts"
        raise SiteError(f"the model has no module {site!r}; its modules are: {names}.")
    return modules[site]


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


def uncompiled(model: Any) -> Any:
    """The module behind `torch.compile`, whose graph does not see hooks that come and go; other models as they are."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """A forward hook that does not survive the block, not even a failing one."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


# ------------------------------------------------------------------------------------- embeddings


class Reached(BaseException):
    """Ends a forward whose rest nobody needs; never leaves this package."""


# what a hook saw of a module: the rows wanted and its output, by the module's name in the order of the (last) calls
Seen = dict[str, tuple[Any, Any]]

# the last layer of models seen before, so that a forward can be ended there; and what a compiled model's forward writes
# into: its graph keeps the hook that it was traced with
_HEADS: "WeakKeyDictionary[nn.Module, str]" = WeakKeyDictionary()
_BLIND: "WeakSet[nn.Module]" = WeakSet()  # compiled models whose graph was traced without it
_TRACED: "WeakKeyDictionary[nn.Module, dict[str, tuple[Seen, Callable[..., None]]]]" = WeakKeyDictionary()


@dataclass
class Embedded:
    """A forward that shows its embeddings: `output = forward(watch.model)`, then `watch.rows(output)`.

    model: the model to run; the one behind `torch.compile` where a compiled one would not show them.
    """

    model: Any
    site: str | None
    seen: Seen
    calls: dict[str, int] = field(default_factory=dict)

    def missed(self) -> bool:
        """Whether a compiled model, traced before anyone watched, showed nothing; its forwards run uncompiled then."""
        if self.seen or self.model is uncompiled(self.model):
            return False
        _BLIND.add(uncompiled(self.model))
        warnings.warn(
            "the compiled model ran before its embeddings were asked for, so they are taken from uncompiled forwards; "
            "compile the model anew to have them from compiled ones.",
            stacklevel=2,
        )
        return True

    def rows(self, output: Any | None) -> Tensor:
        """The embedding, detached and flattened to (n, d); output is the model's, None if it was not reached."""
        model = uncompiled(self.model)
        if self.site is not None:
            if self.site not in self.seen:
                raise SiteError(f"the forward never reached the site {self.site!r}; name a module that it runs.")
            return self.seen[self.site][0].detach().flatten(1)
        known = _HEADS.get(model) if isinstance(model, nn.Module) else None
        name = known if known in self.seen else _head(self.seen, output)
        if isinstance(model, nn.Module) and self.calls.get(name) == 1:
            _HEADS[model] = name
        return self.seen[name][0].detach().flatten(1)


def _head(seen: Seen, output: Any) -> str:
    """The nn.Linear that made the output; failing that, the only one of the output's width.

    Of several outputs the first one's, if they were made from the same rows.
    """
    outputs = leaves(output)
    heads = [name for name, (_, made) in seen.items() if any(made is leaf for leaf in outputs)]
    if len({id(seen[name][0]) for name in heads}) == 1:
        return heads[0]
    widths = [leaf.shape[-1] for leaf in outputs]
    heads = heads or [name for name, (_, made) in seen.items() if made.shape[-1] in widths]
    if len(heads) != 1:
        found = "several nn.Linear could be" if heads else "no nn.Linear is"
        names = ", ".join(heads or seen) or "none"
        raise SiteError(
            f"{found} the model's last layer (candidates: {names}); name the module whose output is the embedding: "
            "Embedding(site='...')."
        )
    return heads[0]


@contextmanager
def embedded(model: Any, site: str | None, stop: bool = False) -> Iterator[Embedded]:
    """Watch the forwards in the block at `site`; None is the input of the nn.Linear that gives the model's output.

    stop: end the forward there with `Reached`, where it is known to be the place.
    """
    compiled, model = model, uncompiled(model)
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    head = _HEADS.get(model) if isinstance(model, nn.Module) else None
    if site is not None:
        find_site(model, site)
        names = [site]
    elif isinstance(modules.get(str(head)), nn.Linear):
        names = [str(head)]
    else:
        names, stop, compiled = [name for name, m in modules.items() if isinstance(m, nn.Linear)], False, model
    if compiled is not model and model not in _BLIND:
        seen, hook = _TRACED.setdefault(model, {}).setdefault(names[0], _tracing(names[0], site is None))
        seen.clear()
        with hooked(modules[names[0]], hook):
            yield Embedded(compiled, site, seen)
        return

    watch = Embedded(model, site, {})

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
            watch.seen.pop(name, None)
            watch.seen[name] = (inputs[0] if site is None else output, output)
            watch.calls[name] = watch.calls.get(name, 0) + 1
            if stop:
                raise Reached

        return keep

    with ExitStack() as hooks:
        for name in names:
            if stop and site is None:  # what goes into the last layer is there before it runs
                hooks.callback(modules[name].register_forward_pre_hook(keeper(name)).remove)
            else:
                hooks.enter_context(hooked(modules[name], keeper(name)))
        yield watch


def _tracing(name: str, inputs_wanted: bool) -> tuple[Seen, Callable[..., None]]:
    """What is seen, and the hook that writes it: the same ones in every step."""
    seen: Seen = {}

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = ((inputs[0] if inputs_wanted else output).detach(), None)

    return seen, keep
