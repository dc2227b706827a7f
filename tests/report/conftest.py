"""Finished comparisons of made-up networks, written by the code that writes real ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calmix.data import About, Split, Splits
from calmix.experiment import Comparison, Record, Source
from calmix.experiment.compare import write_results
from calmix.experiment.record import Predictions, save
from calmix.experiment.statistics import interval
from calmix.experiment.summary import metrics_of, references
from calmix.methods.erm import erm
from calmix.metrics import classification_metrics, human_label_metrics, regression_metrics, shift_metrics
from calmix.report.results import Data, Results, Summary

Finish = Callable[..., dict[str, Any]]


def _splits(task: str, name: str, hostile: str) -> Splits:
    part = Split(torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64))
    classes = () if task == "regression" else (hostile or "no", "yes", "maybe")
    about = About(
        name, task, "table", classes, (hostile or "age", "b"), False, f"made up {hostile}", notices=(hostile,)
    )
    return Splits(part, part, part, part, about)


def _classification(rng: np.random.Generator, sharpness: float) -> tuple[dict[str, Any], float, Predictions]:
    labels = rng.integers(0, 3, 80)
    logits = rng.normal(size=(80, 3)) + sharpness * np.eye(3)[labels]
    temperature = 0.5 + rng.random()
    probs, scaled = (torch.from_numpy(logits / t).softmax(1) for t in (1.0, temperature))
    metrics = {**classification_metrics(probs, labels), "scaled": classification_metrics(scaled, labels)}
    predictions = {
        "logits": logits,
        "probs": probs.numpy(),
        "labels": labels,
        "temperature": np.array(temperature),
        "calibration_logits": logits,
        "calibration_labels": labels,
    }
    return metrics, temperature, predictions


def _shifted(rng: np.random.Generator, metrics: dict[str, Any], predictions: Predictions) -> Predictions:
    """What `calmix compare --ood notmnist --corruptions ALL` adds, and people's votes."""
    outside = rng.normal(size=(50, 3))
    votes = rng.dirichlet(np.ones(3), 80)
    metrics["ood"] = {"notmnist": shift_metrics(predictions["logits"], outside)}
    metrics["corruptions"] = {
        family: {str(severity): {"accuracy": 0.9 - severity / 10, "ece": rng.random() / 10} for severity in range(1, 6)}
        for family in ("gaussian_noise", "jpeg")
    }
    metrics["votes"] = human_label_metrics(predictions["probs"], votes)
    return {**predictions, "outside_notmnist_logits": outside, "votes": votes}


def _regression(rng: np.random.Generator, noise: float) -> tuple[dict[str, Any], None, Predictions]:
    targets = 100 + 20 * rng.normal(size=(60, 1))
    mean = targets + noise * rng.normal(size=(60, 1))
    return regression_metrics(mean, targets), None, {"mean": mean, "targets": targets}


@pytest.fixture
def finish() -> Finish:
    """finish(folder, ["erm", "mixup"], seeds=3): the folder filled, and what results.json holds."""

    def finish(
        folder: Path,
        labels: Sequence[str],
        seeds: int = 3,
        task: str = "classification",
        name: str = "toy",
        hostile: str = "",
        shifted: bool = False,
    ) -> dict[str, Any]:
        comparison = Comparison(Source(name), dict.fromkeys(labels, erm()), seeds=seeds)
        records = []
        for seed in range(seeds):
            for place, label in enumerate(labels):
                rng = np.random.default_rng([seed, place])
                make = _regression if task == "regression" else _classification
                metrics, temperature, predictions = make(rng, 2.0 + place)
                if shifted:
                    predictions = _shifted(rng, metrics, predictions)
                validation = {"loss": 1.0, "accuracy": 0.5}
                history = [
                    {"epoch": 1, "train": validation},
                    {"epoch": 2, "train": validation, "validation": {"loss": rng.random(), "accuracy": rng.random()}},
                    {"epoch": 4, "train": validation, "validation": {"loss": rng.random(), "accuracy": rng.random()}},
                ]
                cost = 1.0 + place / 3
                record = Record(label, "Method()" + hostile, seed, metrics, temperature, 2.0, cost, 4, history, "")
                save(folder, record, predictions)
                records.append(record)
        return write_results(folder, comparison, records, _splits(task, name, hostile), ["calmix", "compare", name])

    return finish


Values = Mapping[str, Sequence[float]]  # by method, a number a seed


@pytest.fixture(scope="session")
def made() -> Callable[..., Results]:
    """made({"accuracy": {"erm": [0.81, 0.82], "mixup": [0.83, 0.83]}, ...}): results of just these numbers.

    Metrics that are not given are the same for all methods; a cost not given is 1, 1.1, 1.2 ... in the methods' order.
    The results hold no differences: the verdict takes them from the runs.
    """

    def made(metrics: Mapping[str, Values], task: str = "classification", cost: Values | None = None) -> Results:
        first = next(iter(metrics.values()))
        records = []
        for place, label in enumerate(first):
            for seed in range(len(first[label])):
                found: dict[str, Any] = {}
                for name in metrics_of(task):
                    *outer, inner = name.split(".")
                    value = metrics[name][label][seed] if name in metrics else 0.5
                    (found.setdefault(outer[0], {}) if outer else found)[inner] = value
                took = cost[label][seed] if cost else 1 + place / 10
                records.append(Record(label, "Method()", seed, found, None, 1.0, took, 1, [], ""))
        methods = []
        for label in first:
            runs = [record for record in records if record.method == label]
            names = (*metrics_of(task), "cost")
            methods.append(Summary(label, "", {n: interval([run.value(n) for run in runs]) for n in names}, {}))
        data = Data("toy", "", "table", [], [], [2], {"test": 1000}, [])
        seeds = len(next(iter(first.values())))
        return Results(data, task, "mlp", {}, seeds, [], {}, references(list(first)), methods, records)

    return made
