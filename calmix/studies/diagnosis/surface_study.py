"""Decision surfaces of networks trained on points of a plane, and how right and how honest they are."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from calmix.core.method import Method, Scheduled
from calmix.data import Splits
from calmix.diagnose.surface import decision_surface, frame
from calmix.errors import DataError, SettingError
from calmix.evaluation.predictions import class_logits
from calmix.experiment.recipe import Recipe, Source, task_of
from calmix.experiment.run import initial_model
from calmix.metrics import accuracy, auroc, ece, nll
from calmix.train import TrainingSettings, fit

Tick = Callable[[str, int, int], object]  # told label, seed and epoch


def decision_surfaces(
    source: Source,
    methods: Mapping[str, Method | Scheduled],
    settings: TrainingSettings | None = None,
    seeds: int = 10,
    model: str = "mlp",
    resolution: int = 80,
    tick: Tick = lambda label, seed, epoch: None,
) -> dict[str, Any]:
    """Train a network with each method on points of a plane; its surface for seed 0, its test metrics for every seed.

    Returns:
        plain data: data, model, classes; `points` (n, 2) and `labels` of seed 0's training split; the grid's `x` and
        `y`; `surfaces`, for each method `probs` [y][x][class] rounded to 4 digits; `runs`, one entry a method and seed
        with method, seed, accuracy, ece and nll on the test split. Of two classes also auroc, how well the network
        orders them wherever its border lies, and moved_accuracy, with the border where it is best on the calibration
        split: together they tell a border in the wrong place from classes that are not told apart.

    Raises:
        DataError: rows that are not two numbers each, or a regression. SettingError: fewer than 1 seed.

    >>> from calmix import erm
    >>> settings = TrainingSettings(epochs=2)
    >>> found = decision_surfaces(Source("two_moons"), {"erm": erm()}, settings, seeds=1, resolution=5)
    >>> sorted(found["runs"][0]), len(found["surfaces"]["erm"])
    (['accuracy', 'auroc', 'ece', 'method', 'moved_accuracy', 'nll', 'seed'], 5)
    """
    settings = settings or TrainingSettings()
    if seeds < 1:
        raise SettingError(f"seeds must be at least 1; got {seeds}.")
    first = source.splits(0)
    _require_plane(first)
    corners = frame(first.train.x)
    surfaces, runs, x, y = {}, [], [], []
    for seed in range(seeds):
        for label, method in methods.items():
            network, splits = _trained(Recipe(source, label, method, model, settings, seed), tick)
            probs, labels = network(splits.test.x).double(), splits.test.y.view(-1).long()
            judged = {"accuracy": accuracy(probs, labels), "ece": ece(probs, labels), "nll": nll(probs, labels)}
            if probs.shape[1] == 2:
                yes, known = network(splits.calibration.x)[:, 1].double(), splits.calibration.y.view(-1).long()
                moved = (probs[:, 1] >= best_border(yes, known)).long()
                judged["auroc"] = auroc(probs[:, 1], labels)
                judged["moved_accuracy"] = float((moved == labels).double().mean())
            runs.append({"method": label, "seed": seed, **judged})
            if seed == 0:
                surface = decision_surface(network, *corners, resolution)
                x, y = surface.x.tolist(), surface.y.tolist()
                surfaces[label] = (surface.probs.double() * 1e4).round().div(1e4).tolist()
    return {
        "data": source.data,
        "model": model,
        "classes": list(first.about.classes),
        "features": list(first.about.features),
        "points": first.train.x.tolist(),
        "labels": first.train.y.view(-1).long().tolist(),
        "x": x,
        "y": y,
        "surfaces": surfaces,
        "runs": runs,
    }


def best_border(yes: Tensor, labels: Tensor) -> float:
    """The probability of class 1 from which on to decide for it, with the most of the labels (n,) in {0, 1} right.

    Half way between two of the probabilities `yes` (n,); the one nearest to 1/2 where several are equally good.

    >>> best_border(torch.tensor([0.125, 0.25, 0.5, 0.75]), torch.tensor([0, 0, 1, 1]))
    0.375
    """
    yes, order = yes.double().sort()
    ones = torch.cat([yes.new_zeros(1), labels[order].double().cumsum(0)])  # below each border
    below = torch.arange(len(ones), dtype=torch.float64)
    right = (below - ones) + (ones[-1] - ones)
    borders = (torch.cat([yes.new_zeros(1), yes]) + torch.cat([yes, yes.new_full((1,), 2.0)])) / 2
    possible = torch.cat([yes.new_ones(1), (yes.diff() > 0).double(), yes.new_ones(1)]) > 0
    right = torch.where(possible, right, -1.0)
    best = borders[right == right.max()]
    return float(best[(best - 0.5).abs().argmin()])


def _trained(recipe: Recipe, tick: Tick) -> tuple[Callable[[Tensor], Tensor], Splits]:
    """Points (n, 2) -> the trained network's probabilities (n, K); and the splits."""
    splits = recipe.source.splits(recipe.seed)
    network = initial_model(recipe, splits)
    fit(
        network,
        splits,
        recipe.method,
        task_of(splits.about),
        recipe.fit,
        recipe.seed,
        lambda epoch: tick(recipe.label, recipe.seed, epoch),
    )
    return lambda points: _probabilities(network, points), splits


def is_plane(splits: Splits) -> bool:
    """Whether the rows are points of a plane with classes."""
    return tuple(splits.train.x.shape[1:]) == (2,) and splits.about.task != "regression"


def _require_plane(splits: Splits) -> None:
    if not is_plane(splits):
        raise DataError(
            f"a decision surface needs classes of points in a plane; {splits.about.name} has rows of shape "
            f"{tuple(splits.train.x.shape[1:])} for {splits.about.task}: try two_moons or circles."
        )


@torch.no_grad()
def _probabilities(network: nn.Module, points: Tensor) -> Tensor:
    """(n, K)."""
    return class_logits(network(points)).softmax(1)
