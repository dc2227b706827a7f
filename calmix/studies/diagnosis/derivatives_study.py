"""How large the terms of mixup's Taylor expansion are while networks learn, under each training method."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from calmix.core.method import Method, Scheduled
from calmix.data import Split
from calmix.diagnose.derivatives import expand
from calmix.errors import SettingError
from calmix.experiment.recipe import Recipe, Source, task_of
from calmix.experiment.run import initial_model
from calmix.train import TrainingSettings, fit

SMOOTH = "smooth_mlp"  # ReLU has no second derivative but at its kinks
PARTS_OF_THE_WAY = (1.0, 0.5, 0.25, 0.125)  # from a row to its partner
_MEASURED = 6  # epochs at which a run is measured, beside the untrained network

Tick = Callable[[str, int, int], object]  # told label, seed and epoch


def directional_derivatives(
    source: Source,
    methods: Mapping[str, Method | Scheduled],
    settings: TrainingSettings | None = None,
    seeds: int = 10,
    model: str = SMOOTH,
    alpha: float = 1.0,
    orders: int = 4,
    pairs: int = 256,
    tick: Tick = lambda label, seed, epoch: None,
) -> dict[str, Any]:
    """Train a smooth network with each method and expand its *mixup* loss, on pairs of training rows, by epoch.

    The loss that is expanded is Mixup's, with `alpha`, whatever the network was trained with; networks of one seed
    share initial weights, order of batches and the pairs. Epochs are 0 (untrained), the last, and some in between
    that lie evenly on a logarithmic scale.

    Args:
        pairs: how many ordered pairs of training rows, drawn with replacement, each with its reverse.
        model: a name of `MODELS`, smooth; see `expand`.

    Returns:
        plain data: data, model, alpha, orders, pairs and `runs`, one entry a method, seed and epoch: method, seed,
        epoch, part (1), and of `Expansion` clean, mixup, terms, sizes, output_sizes (by order, from 1) and remainders
        (from 0); and `reach`, the same of the trained networks with partners moved closer, to `part` of the way.

    Raises:
        SettingError: fewer than 1 seed, or 2 pairs. Whatever `expand` and the methods raise.

    >>> from calmix import erm
    >>> found = directional_derivatives(Source("wine"), {"erm": erm()}, TrainingSettings(epochs=2), seeds=1, pairs=8)
    >>> [run["epoch"] for run in found["runs"]], len(found["runs"][0]["terms"])
    ([0, 1, 2], 4)
    """
    settings = settings or TrainingSettings()
    if seeds < 1 or pairs < 2:
        raise SettingError(f"seeds must be at least 1 and pairs at least 2; got {seeds} and {pairs}.")
    runs, reach = [], []
    for seed in range(seeds):
        rows = partners(source.splits(seed).train, pairs, seed)
        for label, method in methods.items():
            recipe = Recipe(source, label, method, model, settings, seed)
            by_epoch, by_part = _follow(recipe, rows, alpha, orders, tick)
            runs += by_epoch
            reach += by_part
    asked = {"data": source.data, "model": model, "alpha": alpha, "orders": orders, "pairs": pairs}
    return {**asked, "runs": runs, "reach": reach}


def _follow(
    recipe: Recipe, rows: tuple[Tensor, Tensor, Tensor], alpha: float, orders: int, tick: Tick
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One run's expansions by epoch, and those of the trained network by part of the way."""
    splits, (x, y, toward) = recipe.source.splits(recipe.seed), rows
    task, network = task_of(splits.about), initial_model(recipe, splits)
    epochs, runs = measured_epochs(recipe.fit.epochs), []

    def expanded(epoch: int, part: float = 1.0) -> dict[str, Any]:
        found = expand(_exact(network), task, x, y, x + part * (toward - x), alpha, orders)
        values = {**asdict(found), "remainders": found.remainders}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"method": recipe.label, "seed": recipe.seed, "epoch": epoch, "part": part, **plain}

    def on_epoch(epoch: int) -> None:
        tick(recipe.label, recipe.seed, epoch)
        if epoch in epochs:
            runs.append(expanded(epoch))

    on_epoch(0)
    fit(network, splits, recipe.method, task, recipe.fit, recipe.seed, on_epoch)
    return runs, [expanded(recipe.fit.epochs, part) for part in PARTS_OF_THE_WAY]


def partners(train: Split, pairs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (n, ...), y (n, ...) and toward (n, ...) in float64: random rows with partners, and each pair reversed."""
    rows = torch.randint(len(train), (2, pairs // 2), generator=torch.Generator().manual_seed(seed))
    anchor, partner = torch.cat([rows, rows.flip(0)], 1)
    x, y = train.x.double(), train.y.double() if train.y.is_floating_point() else train.y
    return x[anchor], y[anchor], x[partner]


def measured_epochs(last: int) -> list[int]:
    """0, 1, ..., `last`, evenly on a logarithmic scale.

    >>> measured_epochs(60)
    [0, 1, 2, 5, 12, 26, 60]
    """
    return [0, *np.unique(np.geomspace(1, last, min(last, _MEASURED)).round().astype(int)).tolist()]


def _exact(network: nn.Module) -> nn.Module:
    """A copy in float64, on the CPU."""
    return copy.deepcopy(network).cpu().double()
