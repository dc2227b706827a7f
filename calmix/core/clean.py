"""The clean forward of a step: run only if a part asks for it, and shared by all that ask.

n rows of a batch, d entries of an embedding
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from calmix.core.mix import find_site, hooked, map_leaves, uncompiled
from calmix.errors import SiteError


class CleanGrad(Enum):
    """What an objective differentiates the clean forward by."""

    NOTHING = 0  # nobody trains on it: it runs without a graph
    WEIGHTS = 1
    INPUTS = 2  # and by the inputs too, for directional derivatives


class CleanPass:
    """The model's forward on the batch as it is, at most once a step for whoever asks.

    It never moves batch-norm statistics: those follow the mixed rows alone, in every method, so that methods are
    compared by what they do and not by which data the running statistics saw.

    Attributes:
        x: the inputs of the pass; leaves that require a gradient where `grad` is `CleanGrad.INPUTS`.
    """

    def __init__(self, model: Callable[[Any], Tensor], x: Any, grad: CleanGrad = CleanGrad.NOTHING) -> None:
        self._model = model
        self._grad = grad
        self.x = map_leaves(_as_leaf, x) if grad is CleanGrad.INPUTS else x
        self._output: Tensor | None = None
        self._embeddings: dict[str | None, Tensor] = {}

    @property
    def output(self) -> Tensor:
        """The model's output on the clean rows (n, ...)."""
        if self._output is None:
            self._output = self._run(self._model)
        return self._output

    def embedding(self, site: str | None = None) -> Tensor:
        """The rows' embeddings (n, d), detached: the output of the module `site`, flattened.

        None is the penultimate layer: the input of the nn.Linear that gives the model's output. Asking for a second
        site after the pass has run costs a second pass.

        Raises:
            SiteError: no such module; or, for None, no or several nn.Linear that could be the last layer.
        """
        if site not in self._embeddings:
            model = uncompiled(self._model)
            with _captured_linears(model) if site is None else _captured(model, site) as seen:
                output = self._run(model)
            self._output = output if self._output is None else self._output
            rows = _penultimate(seen, output) if site is None else seen.get(site, (None,))[0]
            if rows is None:
                raise SiteError(f"the forward never reached the site {site!r}; name a module that it runs.")
            self._embeddings[site] = rows.detach().flatten(1)
        return self._embeddings[site]

    def _run(self, model: Callable[[Any], Tensor]) -> Tensor:
        graph = self._grad is not CleanGrad.NOTHING
        with frozen_statistics(model), torch.set_grad_enabled(graph):
            output = model(self.x)
        if not graph:
            torch.clear_autocast_cache()  # older releases would hand its graph-less weights to the pass that trains
        return output


@contextmanager
def frozen_statistics(model: Any) -> Iterator[None]:
    """Batch (and instance) norm as in training, by batch statistics, but the running statistics stay as they are."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    norms = [m for m in modules if isinstance(m, _NormBase) and m.track_running_stats and m.training]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _as_leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_() if x.is_floating_point() else x


# what a capture saw of a module: (the rows wanted, its output)
Seen = dict[str, tuple[Tensor, Tensor]]


@contextmanager
def _captured(model: Any, site: str) -> Iterator[Seen]:
    seen: Seen = {}

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[site] = (output, output)

    with hooked(find_site(model, site), keep):
        yield seen


@contextmanager
def _captured_linears(model: Any) -> Iterator[Seen]:
    """The input and output of every nn.Linear, in the order of their (last) calls."""
    seen: Seen = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.pop(name, None)
            seen[name] = (inputs[0], output)

        return keep

    with ExitStack() as hooks:
        for name, module in model.named_modules() if isinstance(model, nn.Module) else ():
            if isinstance(module, nn.Linear):
                hooks.enter_context(hooked(module, keeper(name)))
        yield seen


def _penultimate(seen: Seen, output: Tensor) -> Tensor:
    """The input of the nn.Linear that made the output; failing that, of the only one of the output's width."""
    heads = [name for name, (_, made) in seen.items() if made is output]
    heads = heads or [name for name, (_, made) in seen.items() if made.shape[-1] == output.shape[-1]]
    if len(heads) != 1:
        found = "several nn.Linear could be" if heads else "no nn.Linear is"
        names = ", ".join(heads or seen) or "none"
        raise SiteError(
            f"{found} the model's last layer (candidates: {names}); name the module whose output is the embedding: "
            "Embedding(site='...')."
        )
    return seen[heads[0]][0]
