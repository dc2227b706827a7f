"""Embeddings seen in passing: what a forward's hooks show of the rows at a site.

n rows, d entries of an embedding
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from torch import Tensor, nn

from calmix.core.hooks import find_site, hooked, run_eagerly, uncompiled
from calmix.core.tree import leaves
from calmix.errors import SiteError


class Reached(BaseException):
    """Ends a forward whose rest nobody needs; never leaves this package."""


# what a hook saw of a module: the rows wanted and its output, by the module's name in the order of the (last) calls
Seen = dict[str, tuple[Any, Any]]

# the last layer of models seen before, so that a forward can be ended there; and what a compiled model's forward writes
# into: its graph keeps the hook that it was traced with
_HEADS: "WeakKeyDictionary[nn.Module, str]" = WeakKeyDictionary()
_BLIND: "WeakSet[nn.Module]" = WeakSet()  # compiled models whose graph was traced without it
Tracing = tuple[Seen, Callable[..., None]]  # what is seen, and the hook that writes it
_TRACED: "WeakKeyDictionary[nn.Module, dict[tuple[str, str | None], Tracing]]" = WeakKeyDictionary()


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
    widths = [leaf.shape[-1] if leaf.ndim > 1 else 1 for leaf in outputs]
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
        seen, hook = _TRACED.setdefault(model, {}).setdefault((names[0], site), _tracing(names[0], site is None))
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

    with run_eagerly(), ExitStack() as hooks:
        for name in names:
            if stop and site is None:  # what goes into the last layer is there before it runs
                hooks.callback(modules[name].register_forward_pre_hook(keeper(name)).remove)
            else:
                hooks.enter_context(hooked(modules[name], keeper(name)))
        yield watch


def _tracing(name: str, inputs_wanted: bool) -> Tracing:
    """The same in every step, as the graph holds on to the hook."""
    seen: Seen = {}

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = ((inputs[0] if inputs_wanted else output).detach(), None)

    return seen, keep
