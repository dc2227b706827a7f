"""One run: from a recipe to a record and its predictions."""

import copy
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from calmix.core.batch_norm import has_batch_norm, refresh_batch_norm
from calmix.core.loss import TrainingLoss
from calmix.data import About, Split, Splits
from calmix.errors import CalmixError
from calmix.evaluation import Classified, judge_classes
from calmix.experiment.cost import relative_cost
from calmix.experiment.recipe import Recipe, outputs_of, task_of
from calmix.experiment.record import Predictions, Record
from calmix.experiment.shift import judge_shift, logits_of
from calmix.metrics import regression_metrics
from calmix.models import make_model
from calmix.posthoc import fit_temperature
from calmix.train import fit, predict
from calmix.train.batches import Batches

OnEpoch = Callable[[int], object]  # told each finished epoch, counted from 1


class Finished(NamedTuple):
    """What a run leaves in memory."""

    record: Record
    predictions: Predictions
    model: nn.Module


def run(recipe: Recipe, on_epoch: OnEpoch = lambda epoch: None) -> Finished:
    """Train and evaluate a recipe. Runs of one seed share splits, initial weights and order, whatever the method.

    metrics["refreshed"] are those of the same network with batch norm re-estimated on the clean training rows: the
    control that tells what a method does from what its rows did to the running statistics.
    """
    splits = recipe.source.splits(recipe.seed)
    model = initial_model(recipe, splits)
    task = task_of(splits.about)
    cost = relative_cost(recipe.method, model, task, splits.train, recipe.fit)
    start = time.perf_counter()
    fitted = fit(model, splits, recipe.method, task, recipe.fit, recipe.seed, on_epoch)
    seconds = time.perf_counter() - start
    fitted.model.to(recipe.fit.accelerator)  # where it was trained; evaluated there, too
    metrics, temperature, predictions = evaluate(fitted.model, splits)
    further = judge_shift(fitted.model, recipe.shift, splits, recipe.source.data_dir, recipe.seed, predictions)
    metrics, predictions = metrics | further[0], {**predictions, **further[1]}
    if not recipe.fit.refresh_batch_norm and has_batch_norm(fitted.model):
        refreshed = copy.deepcopy(fitted.model)
        refresh_batch_norm(refreshed, Batches(splits.train, recipe.fit.batch_size))
        metrics["refreshed"] = evaluate(refreshed, splits)[0]
    record = Record(
        method=recipe.label,
        repr=repr(recipe.method),
        seed=recipe.seed,
        metrics=metrics,
        temperature=temperature,
        train_seconds=seconds,
        relative_cost=cost,
        epoch=fitted.epoch,
        history=fitted.history,
        recipe=repr(recipe),
    )
    return Finished(record, predictions, fitted.model.cpu())


def initial_model(recipe: Recipe, splits: Splits) -> nn.Module:
    """The untrained network of a recipe: its weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return make_model(recipe.model, tuple(splits.train.x.shape[1:]), outputs_of(splits.about))


def try_step(recipe: Recipe, splits: Splits) -> None:
    """One training step of an untrained network; a CalmixError where the method does not fit the data or network."""
    train, task = splits.train, task_of(splits.about)
    x, y, index = next(iter(Batches(train, recipe.fit.batch_size)))
    loss = TrainingLoss(recipe.method, task, recipe.seed, recipe.fit.batch_norm, (train.x, train.y))
    with torch.random.fork_rng(devices=[]):
        loss(initial_model(recipe, splits).train(), x, y, index)


def unfit(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Why methods cannot be trained on their source, by label; those that can are not in it."""
    reasons = {}
    for recipe in recipes:
        try:
            try_step(recipe, recipe.source.splits(recipe.seed))
        except CalmixError as error:
            reasons[recipe.label] = str(error)
    return reasons


def evaluate(model: nn.Module, splits: Splits) -> tuple[dict[str, Any], float | None, Predictions]:
    """Metrics on the test split, the temperature fitted on the calibration split, and the predictions behind both."""
    if splits.about.task == "regression":
        return _evaluate_regression(model, splits.test, splits.about)
    test = Classified(logits_of(model, splits.test), splits.test.y)
    calibration = Classified(logits_of(model, splits.calibration), splits.calibration.y)
    metrics, _ = judge_classes(test, calibration, calibrators={"scaled": fit_temperature})
    temperature = metrics.pop("temperature")
    predictions = {
        "logits": test.logits.float().numpy(),
        "probs": test.probs.float().numpy(),
        "labels": test.labels.numpy(),
        "temperature": np.array(temperature),
        "calibration_logits": calibration.logits.float().numpy(),
        "calibration_labels": calibration.labels.numpy(),
    }
    return metrics, temperature, predictions


def _evaluate_regression(model: nn.Module, test: Split, about: About) -> tuple[dict[str, Any], None, Predictions]:
    mean, targets = (
        values.double() * about.target_std + about.target_mean for values in (predict(model, test), test.y)
    )
    return regression_metrics(mean, targets), None, {"mean": mean.numpy(), "targets": targets.numpy()}
