"""Finished comparisons of made-up networks, written by the code that writes real ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.metrics import classification_metrics, human_label_metrics, regression_metrics, shift_metrics
from calmix.results.files import NamedArrays
from calmix.results.records import Epoch, Record, save_record
from calmix.results.scores import Measured
from calmix.results.store import DataFacts, Results, RunFacts, references, write_results
from calmix.train import TrainingSettings

Finish = Callable[..., Results]
Made = tuple[Measured, float | None, NamedArrays]  # scores, temperature, predictions


def facts(task: str, name: str = "toy", hostile: str = "") -> RunFacts:
    classes = () if task == "regression" else (hostile or "no", "yes", "maybe")
    sizes: dict[str, int] = dict.fromkeys(("train", "validation", "calibration", "test"), 6)
    data = DataFacts(
        name,
        f"made up {hostile}",
        "table",
        classes,
        (hostile or "age", "b"),
        (2,),
        sizes,
        tuple(filter(None, [hostile])),
    )
    settings = asdict(TrainingSettings())
    return RunFacts(data, task, "mlp", settings, {"python": "3"}, ("calmix", "compare", name))


def _classification(rng: np.random.Generator, sharpness: float) -> Made:
    labels = rng.integers(0, 3, 80)
    logits = rng.normal(size=(80, 3)) + sharpness * np.eye(3)[labels]
    temperature = 0.5 + rng.random()
    probs, scaled = (torch.from_numpy(logits / t).softmax(1) for t in (1.0, temperature))
    scores = {"plain": classification_metrics(probs, labels), "scaled": classification_metrics(scaled, labels)}
    predictions = {
        "logits": logits,
        "probs": probs.numpy(),
        "labels": labels,
        "temperature": np.array(temperature),
        "calibration_logits": logits,
        "calibration_labels": labels,
    }
    return scores, temperature, predictions


def _beyond(rng: np.random.Generator, predictions: NamedArrays) -> tuple[Measured, NamedArrays]:
    """What `calmix compare --ood notmnist --corruptions ALL` adds, and people's labels."""
    foreign, people = rng.normal(size=(50, 3)), rng.dirichlet(np.ones(3), 80)
    ood = shift_metrics(predictions["logits"], foreign)
    scores = {f"ood/notmnist/{score}": metrics for score, metrics in ood.items()}
    for family in ("gaussian_noise", "jpeg"):
        for severity in range(1, 6):
            shown = {"accuracy": 0.9 - severity / 10, "ece": rng.random() / 10}
            scores[f"corruptions/{family}/{severity}"] = shown
    scores["human_labels"] = human_label_metrics(predictions["probs"], people)
    return scores, {"ood_notmnist_logits": foreign, "human_labels": people}


def _regression(rng: np.random.Generator, noise: float) -> Made:
    targets = 100 + 20 * rng.normal(size=(60, 1))
    mean = targets + noise * rng.normal(size=(60, 1))
    return {"plain": regression_metrics(mean, targets)}, None, {"mean": mean, "targets": targets}


@pytest.fixture(scope="session")
def finish() -> Finish:
    """finish(folder, ["erm", "mixup"], seeds=3): the folder filled, and what it holds."""

    def finish(
        folder: Path,
        labels: Sequence[str],
        seeds: int = 3,
        task: str = "classification",
        name: str = "toy",
        hostile: str = "",
        beyond: bool = False,
    ) -> Results:
        records = []
        for seed in range(seeds):
            for place, label in enumerate(labels):
                rng = np.random.default_rng([seed, place])
                make = _regression if task == "regression" else _classification
                scores, temperature, predictions = make(rng, 2.0 + place)
                if beyond:
                    more, arrays = _beyond(rng, predictions)
                    scores, predictions = {**scores, **more}, {**predictions, **arrays}
                trained = {"loss": 1.0, "accuracy": 0.5}
                history = (
                    Epoch(1, trained, {}),
                    Epoch(2, trained, {"loss": rng.random(), "accuracy": rng.random()}),
                    Epoch(4, trained, {"loss": rng.random(), "accuracy": rng.random()}),
                )
                cost = 1.0 + place / 3
                record = Record(label, "Method()" + hostile, seed, scores, temperature, 2.0, cost, 4, history, "")
                save_record(folder, record, predictions)
                records.append(record)
        results = Results(facts(task, name, hostile), records, references(list(labels))[0])
        write_results(folder, results)
        return results

    return finish


Values = Mapping[str, Sequence[float]]  # by method, a number a seed


@pytest.fixture(scope="session")
def made() -> Callable[..., Results]:
    """made({"accuracy": {"erm": [0.81, 0.82], "mixup": [0.83, 0.83]}, ...}): results of just these numbers.

    A metric under another condition than `plain` is `scaled/ece`. Metrics that are not given are the same for all
    methods; a cost not given is 1, 1.1, 1.2 ... in the methods' order.
    """

    def made(
        metrics: Mapping[str, Values],
        task: str = "classification",
        cost: Values | None = None,
        test: int = 1000,
        folds: int = 0,
        classes: Sequence[str] = (),
    ) -> Results:
        first = next(iter(metrics.values()))
        known = facts(task)
        columns = Results(known, [], "").columns
        names = dict.fromkeys([*(f"{column.condition}/{column.key}" for column in columns), *map(_path, metrics)])
        given = {_path(name): values for name, values in metrics.items()}
        records = []
        for place, label in enumerate(first):
            for seed in range(len(first[label])):
                scores: dict[str, dict[str, float]] = {}
                for name in names:
                    condition, _, metric = name.rpartition("/")
                    value = given[name][label][seed] if name in given else 0.5
                    scores.setdefault(condition, {})[metric] = value
                took = cost[label][seed] if cost else 1 + place / 10
                records.append(Record(label, "Method()", seed, scores, None, 1.0, took, 1, (), ""))
        sized = DataFacts("toy", "", "table", classes, (), (2,), {"test": test}, folds=folds)
        facts_ = RunFacts(sized, task, "mlp", {}, {})
        return Results(facts_, records, references(list(first))[0])

    return made


def _path(name: str) -> str:
    return name if "/" in name else f"plain/{name}"
