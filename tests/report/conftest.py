"""Finished comparisons of made-up networks, written by the code that writes real ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calmix.data import About, Split, Splits
from calmix.experiment import Comparison, Record, Source
from calmix.experiment.compare import write_results
from calmix.experiment.record import Predictions, save
from calmix.methods import erm
from calmix.metrics import classification_metrics, regression_metrics

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
    ) -> dict[str, Any]:
        comparison = Comparison(Source(name), dict.fromkeys(labels, erm()), seeds=seeds)
        records = []
        for seed in range(seeds):
            for place, label in enumerate(labels):
                rng = np.random.default_rng([seed, place])
                make = _regression if task == "regression" else _classification
                metrics, temperature, predictions = make(rng, 2.0 + place)
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
