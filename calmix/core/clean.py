"""The clean forward of a step: run at most once, when a part first uses it, and shared by all parts.

n rows of a batch, d entries of an embedding
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from calmix.core.batch_norm import frozen_statistics
from calmix.core.embeddings import ForwardStopped, capture_embeddings
from calmix.core.hooks import run_eagerly, uncompiled
from calmix.core.tree import map_leaves


class CleanGrad(Enum):
    """What an objective differentiates the clean forward by."""

    NOTHING = 0  # the forward runs without a graph
    WEIGHTS = 1
    INPUTS = 2  # weights and inputs, for directional derivatives


class CleanPass:
    """The model's forward on the batch as it is, at most once a step.

    If only embeddings are used, and no objective trains on the pass, the forward ends at their site.

    grad: what the objective differentiates the pass by.
    moves_statistics: whether the pass moves batch norm's running statistics. By default it does not: else a comparison
    of methods would also compare the data that their running statistics follow.

    Attributes:
        x: the inputs of the pass; leaves that require a gradient where `grad` is `CleanGrad.INPUTS`.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        x: Any,
        grad: CleanGrad = CleanGrad.NOTHING,
        moves_statistics: bool = False,
    ) -> None:
        self._model = model
        self._grad = grad
        self._moves_statistics = moves_statistics
        self.x: Any = map_leaves(_as_leaf, x) if grad is CleanGrad.INPUTS else x
        self._output: Any = None
        self._embeddings: dict[str | None, Tensor] = {}

    @property
    def output(self) -> Any:
        """The model's output on the clean rows (n, ...)."""
        if self._output is None:
            self._output = self._run(self._model)
        return self._output

    def embedding(self, site: str | None = None) -> Tensor:
        """The rows' embeddings (n, d), detached: the output of the module `site`, flattened.

        None is the penultimate layer: the input of the nn.Linear that gives the model's output. A second site costs a
        second pass.

        Raises:
            SiteError: no such module; or, for None, no or several nn.Linear that could be the last layer.
        """
        if site not in self._embeddings:
            output = None
            only_this = self._grad is CleanGrad.NOTHING and not self._moves_statistics
            model = uncompiled(self._model)
            with (
                torch.set_grad_enabled(self._grad is not CleanGrad.NOTHING),
                capture_embeddings(model, site, stop=only_this) as capture,
                suppress(ForwardStopped),
            ):
                output = self._run(capture.model, capture.search)
            self._embeddings[site] = capture.embedding(output)
            if capture.search and self._grad is CleanGrad.NOTHING:
                output = map_leaves(torch.detach, output)
            self._output = output if self._output is None else self._output
        return self._embeddings[site]

    def _run(self, model: Callable[[Any], Any], graph: bool = False) -> Any:
        """The model's output; with a graph if the objective or the caller needs one."""
        graph = graph or self._grad is not CleanGrad.NOTHING
        moved = self._moves_statistics and self._output is None
        twice = self._grad is CleanGrad.INPUTS  # differentiated twice, which a compiled graph cannot be
        with (
            torch.set_grad_enabled(graph),
            nullcontext() if moved else frozen_statistics(model),
            run_eagerly() if twice else nullcontext(),
        ):
            output = model(self.x)
        if not graph:
            torch.clear_autocast_cache()  # older releases would use its weights without graph in the pass that trains
        return output


def _as_leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_() if x.is_floating_point() else x
