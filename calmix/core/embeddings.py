"""Embeddings of the rows of a forward, captured by hooks at one module of the model.

n rows, d entries of an embedding
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from calmix.core.hooks import find_site, hooked, modules_of, run_eagerly, uncompiled
from calmix.core.tree import leaves
from calmix.errors import SiteError


class ForwardStopped(BaseException):
    """Raised by a hook to end a forward once the embedding is there; the caller that set stop=True catches it."""


# by the module's name, in the order of the last calls: the tensor that would be the embedding, and the output
Captured = dict[str, tuple[Any, Any]]
# the hook of a compiled model, and what it writes into; its graph keeps the hook with which it was traced
CompiledHook = tuple[Captured, Callable[..., None]]

_LAST_LAYERS: "WeakKeyDictionary[nn.Module, str]" = WeakKeyDictionary()  # found in an earlier forward of the model
_COMPILED_HOOKS: "WeakKeyDictionary[nn.Module, dict[tuple[str, str | None], CompiledHook]]" = WeakKeyDictionary()
_COMPILED_WITHOUT_HOOK: "WeakSet[nn.Module]" = WeakSet()


@dataclass
class Capture:
    """Captures the embeddings of a forward: `output = forward(capture.model)`, then `capture.embedding(output)`.

    model: the model to run; the one behind `torch.compile` if the compiled one would not run the hooks.
    site: the module whose output is the embedding; None for the input of the last nn.Linear.
    search: whether the last nn.Linear is yet to be found, by the graph of the forward.
    calls: how often each hooked module was called.
    """

    model: Any
    site: str | None
    captured: Captured
    search: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    def hook_was_skipped(self) -> bool:
        """Whether the model was compiled before the hook was there and so did not run it.

        Warns, and has all later forwards of this model run uncompiled.
        """
        if self.captured or self.model is uncompiled(self.model):
            return False
        _COMPILED_WITHOUT_HOOK.add(uncompiled(self.model))
        warnings.warn(
            "the compiled model ran before its embeddings were asked for, so they are taken from uncompiled forwards; "
            "compile the model anew to have them from compiled ones.",
            stacklevel=2,
        )
        return True

    def embedding(self, output: Any | None) -> Tensor:
        """The embedding, detached and flattened to (n, d), given the model's output; None if the forward was stopped.

        Raises:
            SiteError: the forward did not run the site; or, for None, no or several nn.Linear could be the last layer.
        """
        model = uncompiled(self.model)
        if self.site is not None:
            if self.site not in self.captured:
                raise SiteError(f"the forward never reached the site {self.site!r}; name a module that it runs.")
            return self.captured[self.site][0].detach().flatten(1)
        known = _LAST_LAYERS.get(model)
        name = known if known in self.captured else _last_layer(self.captured, output)
        if self.calls.get(name) == 1:
            _LAST_LAYERS[model] = name
        return self.captured[name][0].detach().flatten(1)


def _last_layer(captured: Captured, output: Any) -> str:
    """The name of the nn.Linear whose output is the model's; if there is none, of the one of which it is computed.

    A model with several outputs has several; the first is taken if all have the same input.
    """
    outputs = leaves(output)
    names = [name for name, (_, made) in captured.items() if any(made is leaf for leaf in outputs)]
    if len({id(captured[name][0]) for name in names}) == 1:
        return names[0]
    names = names or [name for name, (_, made) in captured.items() if any(_makes(made, leaf) for leaf in outputs)]
    if len(names) != 1:
        found = "several nn.Linear could be" if names else "no nn.Linear is"
        candidates = ", ".join(names or captured) or "none"
        raise SiteError(
            f"{found} the model's last layer (candidates: {candidates}); name the module whose output is the "
            "embedding: Embedding(site='...')."
        )
    return names[0]


def _makes(made: Tensor, output: Tensor) -> bool:
    """Whether `output` is computed from `made`, and every weight matrix acts on it through `made`.

    Read off the autograd graph, without which the answer is no. Scales and shifts of `made` may be learnt.
    """
    reached, left, seen = False, [output.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node is made.grad_fn:
            reached = True
        elif isinstance(weight := getattr(node, "variable", None), nn.Parameter) and weight.ndim > 1:
            return False
        else:
            left += [before for before, _ in node.next_functions]
    return reached


@contextmanager
def capture_embeddings(model: Any, site: str | None, stop: bool = False) -> Iterator[Capture]:
    """Capture the embeddings of the forwards in the block, at `site`; None is the input of the last nn.Linear.

    stop: end the forward with `ForwardStopped` as soon as the embedding is there, if it is known where that is.
    """
    compiled, model = model, uncompiled(model)
    modules = _known_last_layer(model) if site is None else {site: find_site(model, site)}
    search = not modules
    if search:  # every nn.Linear could be the last one; a whole forward, uncompiled and with its graph, shows which
        modules = {name: module for name, module in modules_of(model).items() if isinstance(module, nn.Linear)}
        stop, compiled = False, model
    names = list(modules)
    if compiled is not model and model not in _COMPILED_WITHOUT_HOOK:
        hooks_of_model = _COMPILED_HOOKS.setdefault(model, {})
        captured, hook = hooks_of_model.setdefault((names[0], site), _compiled_hook(names[0], site is None))
        captured.clear()
        with hooked(modules[names[0]], hook):
            yield Capture(compiled, site, captured)
        return

    capture = Capture(model, site, {}, search)

    def capturing(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
            capture.captured.pop(name, None)  # a later call goes to the end
            embedding: Any = inputs[0] if site is None else output
            if not (stop or search):  # what follows may overwrite it
                embedding = embedding.detach().clone()
            capture.captured[name] = (embedding, output)
            capture.calls[name] = capture.calls.get(name, 0) + 1
            if stop:
                raise ForwardStopped

        return hook

    with run_eagerly(), torch.set_grad_enabled(search or torch.is_grad_enabled()), ExitStack() as hooks:
        for name in names:
            if stop and site is None:  # the input of the last layer is there before the layer runs
                hooks.callback(modules[name].register_forward_pre_hook(capturing(name)).remove)
            else:
                hooks.enter_context(hooked(modules[name], capturing(name)))
        yield capture


def _known_last_layer(model: Any) -> dict[str, nn.Module]:
    """The last nn.Linear by its name, where an earlier forward has found it."""
    name = _LAST_LAYERS.get(model) if isinstance(model, nn.Module) else None
    try:
        layer = None if name is None else model.get_submodule(name)
    except AttributeError:  # it was taken out since
        layer = None
    return {name: layer} if name is not None and isinstance(layer, nn.Linear) else {}


def _compiled_hook(name: str, of_inputs: bool) -> CompiledHook:
    """A hook for the graph of a compiled model; every step must use the same one, as the graph holds on to it."""
    captured: Captured = {}

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        captured[name] = ((inputs[0] if of_inputs else output).detach().clone(), None)

    return captured, hook
