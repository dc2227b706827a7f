"""One run: from a recipe to a record and its predictions."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calmix.core.batch_norm import has_batch_norm, refresh_batch_norm
from calmix.core.loss import TrainingLoss
from calmix.data import About, Split, Splits
from calmix.errors import CalmixError, SettingError
from calmix.metrics import accuracy, balanced_accuracy, ece, gaussian_of_samples, nll, regression_metrics
from calmix.models import check_outputs, name_of
from calmix.models.files import advice
from calmix.predictions import ClassPredictions, RegressionPredictions, class_scores, regression_scores
from calmix.predictions.scoring import TEMPERATURE, Scored
from calmix.results.files import NamedArrays
from calmix.results.records import Record
from calmix.threads import using_threads
from calmix.train.augment import augmentation
from calmix.train.batches import Batches
from calmix.train.checkpoints import Checkpoints
from calmix.train.loggers import Loggers
from calmix.train.predicting import dropping, predict, predicted_logits, stochastic
from calmix.train.recipe import Recipe, check_validation, class_rows, machine_of, outputs_of, weighted_task
from calmix.train.training import OnEpoch, train


class FinishedRun(NamedTuple):
    """What a run leaves in memory."""

    record: Record
    predictions: NamedArrays
    model: nn.Module


class Measurement(NamedTuple):
    """What is known of a network from the test and the calibration split."""

    scores: Scored
    temperature: float | None
    predictions: NamedArrays
    test: ClassPredictions | RegressionPredictions


def run(
    recipe: Recipe,
    on_epoch: OnEpoch = lambda epoch, model: None,
    checkpoints: Checkpoints | None = None,
    loggers: Loggers | None = None,
) -> FinishedRun:
    """Train and measure a recipe. Runs of one seed share splits, initial weights and order, whatever the method.

    The number of threads is the recipe's, so a run gives the same numbers however it is carried out on one machine.
    The conditions under `refreshed` are those of the same network with batch norm re-estimated on the clean training
    rows: the control that tells what a method does from what its rows did to the running statistics. Those under `also`
    are of the other weights that the recipe names; so are the predictions of that name. With checkpoints a run that was
    stopped in its training goes on there; the file stays until `checkpoints.remove`. loggers: what writes down each
    epoch.
    """
    with using_threads(recipe.settings.threads):
        return _run(recipe, on_epoch, checkpoints, loggers)


def _run(recipe: Recipe, on_epoch: OnEpoch, checkpoints: Checkpoints | None, loggers: Loggers | None) -> FinishedRun:
    splits, text = recipe.splits(), recipe.text  # of the data as they are now, and not after the training
    trained = train(recipe, on_epoch, checkpoints, loggers)
    model = trained.model.to(recipe.settings.accelerator)  # where it was trained; measured there, too
    found = measure(model, splits, recipe.settings.dropout_passes, recipe.seed)
    scores, predictions = {**found.scores, **elsewhere(model, splits, found.temperature)}, dict(found.predictions)
    if isinstance(found.test, ClassPredictions):
        further, arrays = recipe.robustness.measure(model, splits, recipe.seed, found.test)
        scores, predictions = scores | further, predictions | dict(arrays)
    if not recipe.settings.refresh_batch_norm and has_batch_norm(model):
        refreshed = copy.deepcopy(model)
        refresh_batch_norm(refreshed, Batches(splits.train, recipe.settings.batch_size))
        again = measure(refreshed, splits, recipe.settings.dropout_passes, recipe.seed)
        for condition, metrics in again.scores.items():
            scores["refreshed" if condition == "plain" else f"refreshed/{condition}"] = metrics
    for one, network in zip(recipe.also, trained.also, strict=True):
        name = f"also/{one.weights}"
        scores[name], predictions[name] = _said_of(network.to(recipe.settings.accelerator), splits.about, splits.test)
    record = Record(
        method=recipe.label,
        repr=repr(recipe.method),
        seed=recipe.seed,
        metrics=scores,
        temperature=found.temperature,
        train_seconds=trained.seconds,
        waited_seconds=trained.waited,
        relative_cost=None,
        epoch=trained.epoch,
        history=trained.history,
        recipe=text,
        machine=machine_of(recipe.settings),
    )
    return FinishedRun(record, predictions, model.cpu())


def measure(model: nn.Module, splits: Splits, passes: int = 0, seed: int = 0) -> Measurement:
    """Scores on the test split, the temperature fitted on the calibration split, and the predictions behind both.

    passes: of a regression, with dropout, whose mean and standard deviation are what is predicted; deviations are
    scaled by what the calibration split says. seed: of what is dropped.
    """
    about = splits.about
    rows = {} if splits.given is None else {"rows": splits.given.tested}
    if about.task == "regression" and passes:
        test = _of_passes(model, about, splits.test, passes, seed)
        held = _of_passes(model, about, splits.calibration, passes, seed)
        arrays = {"mean": test.mean.numpy(), "std": test.std.numpy(), "targets": test.targets.numpy(), **rows}  # pyright: ignore[reportOptionalMemberAccess]
        return Measurement(regression_scores(test, held), None, arrays, test)
    if about.task == "regression":
        mean, targets = _values(model, about, splits.test)
        test = RegressionPredictions(mean, targets)
        arrays = {"mean": mean.numpy(), "targets": targets.numpy(), **rows}
        return Measurement(regression_scores(test), None, arrays, test)
    test = ClassPredictions(predicted_logits(model, splits.test), splits.test.y.view(-1).long())
    held = ClassPredictions(predicted_logits(model, splits.calibration), splits.calibration.y.view(-1).long())
    found = class_scores(test, held, calibrators=TEMPERATURE, shares=class_rows(splits))
    arrays = {
        "logits": test.logits.float().numpy(),
        "probs": test.probs.float().numpy(),
        "labels": test.labels.numpy(),
        "temperature": np.array(found.temperature),
        "calibration_logits": held.logits.float().numpy(),
        "calibration_labels": held.labels.numpy(),
        **rows,
    }
    return Measurement(found.scores, found.temperature, arrays, test)


MOST_TRAINING_ROWS = 10_000  # that are looked at after the training: enough to know what was learnt


def elsewhere(model: nn.Module, splits: Splits, temperature: float | None) -> Scored:
    """What the trained network says of rows beside those of the test split, to choose settings by.

    Conditions: `validation`, and `validation/scaled` after the temperature, unless all validation rows are trained on;
    `training`, the first 10,000 training rows as they are, neither mixed nor augmented. Of classes accuracy, NLL and
    ECE, and on the validation split balanced accuracy; of regressions the errors.
    """
    few = splits.train.part(slice(MOST_TRAINING_ROWS))
    parts = {"validation": splits.validation} if len(splits.validation) else {}
    parts["training"] = few
    if splits.about.task == "regression":
        return {name: dict(regression_metrics(*_values(model, splits.about, part))) for name, part in parts.items()}
    scores: Scored = {}
    for name, part in parts.items():
        logits, labels = predicted_logits(model, part), part.y.view(-1).long()
        scores[name] = _class_metrics(logits, labels)
        if name == "validation":
            scores[name]["balanced_accuracy"] = balanced_accuracy(logits.softmax(1), labels)
            scaled = (logits / (temperature or 1.0)).softmax(1)
            scores[f"{name}/scaled"] = {"nll": nll(scaled, labels), "ece": ece(scaled, labels)}
    return scores


def _class_metrics(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    probs = logits.softmax(1)
    return {"accuracy": accuracy(probs, labels), "nll": nll(probs, labels), "ece": ece(probs, labels)}


def _said_of(model: nn.Module, about: About, split: Split) -> tuple[dict[str, float], NDArray[Any]]:
    """What a network says of a split: its errors or its accuracy, NLL and ECE, and its predicted values or logits."""
    if about.task == "regression":
        mean, targets = _values(model, about, split)
        return dict(regression_metrics(mean, targets)), mean.numpy()
    logits = predicted_logits(model, split)
    return _class_metrics(logits, split.y.view(-1).long()), logits.float().numpy()


def _of_passes(model: nn.Module, about: About, split: Split, passes: int, seed: int) -> RegressionPredictions:
    """What passes with dropout say of a split, in the unit of the targets."""
    centre, scale = _unit(about)
    mean, std = gaussian_of_samples(stochastic(model, split, passes, seed).double() * scale + centre)
    return RegressionPredictions(mean, split.y.double() * scale + centre, std)


def _unit(about: About) -> tuple[torch.Tensor, torch.Tensor]:
    """What is added to targets, and what they are multiplied with before, to be in their own unit."""
    return torch.tensor(about.target_mean, dtype=torch.float64), torch.tensor(about.target_std, dtype=torch.float64)


def _values(model: nn.Module, about: About, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true values, in the unit of the targets."""
    centre, scale = _unit(about)
    predicted, true = (values.double() * scale + centre for values in (predict(model, split), split.y))
    return predicted, true


_TRIED_ROWS = 2


def try_network(recipe: Recipe) -> nn.Module:
    """The untrained network; a CalmixError where it cannot run the rows, or returns what the task cannot use."""
    splits, network = recipe.splits(), recipe.network()
    with torch.random.fork_rng(devices=[]):
        rows = splits.train.rows[:_TRIED_ROWS]
        check_outputs(network, rows, outputs_of(splits.about), recipe.factory)
    if recipe.settings.dropout_passes:
        if splits.about.task != "regression":
            raise SettingError(
                f"dropout_passes are for regressions, and {splits.about.name} has classes; leave them out."
            )
        dropping(network)
    return network


def try_step(recipe: Recipe) -> None:
    """One training step of an untrained network; a CalmixError where the method does not fit the data or network."""
    splits, settings, network = recipe.splits(), recipe.settings, try_network(recipe)
    train = splits.train
    augmentation(settings.augment, splits.about)  # which may not fit the data
    check_validation(splits, settings, recipe.method)
    x, y, index = next(iter(Batches(train, settings.batch_size)))
    task, data = weighted_task(splits, settings), (train.rows, train.y)
    loss = TrainingLoss(recipe.method, task, recipe.seed, settings.batch_norm, data, epochs=settings.epochs)
    what = f"{recipe.label} cannot train the network {name_of(recipe.factory)}"
    with torch.random.fork_rng(devices=[]), advice(what):
        loss(network.train(), x, y, index).backward()


def misfits(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Why methods cannot be trained on their data, by label; those that can are not in it.

    Raises a CalmixError where the network itself fits no method.
    """
    reasons = {}
    for number, recipe in enumerate(recipes):
        if number == 0:
            try_network(recipe)
        try:
            try_step(recipe)
        except CalmixError as error:
            reasons[recipe.label] = str(error)
    return reasons
