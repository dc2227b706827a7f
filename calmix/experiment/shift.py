"""What else a trained network is judged on: images of no class, corrupted images, and what people see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calmix.data import CORRUPTIONS, OOD_SETS, SEVERITIES, Split, Splits, corrupted, load_human_labels, load_ood
from calmix.errors import UnknownNameError
from calmix.evaluation.predictions import class_logits
from calmix.experiment.record import Predictions
from calmix.metrics import accuracy, ece, human_label_metrics, shift_metrics
from calmix.train import predict

CORRUPTED_ROWS = 2_000  # the first test rows, which is enough: an accuracy of them is known to one point


@dataclass(frozen=True)
class Shift:
    """Names of outside sets (`OUTSIDE`) and of families of corruptions (`CORRUPTIONS`); none by default."""

    outside: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("outside set", self.outside, OOD_SETS),
            ("family of corruptions", self.corruptions, CORRUPTIONS),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)


def try_shift(shift: Shift, splits: Splits, data_dir: Path | None) -> None:
    """A CalmixError where a run could not be judged so: files that are missing, data that are not images."""
    few = Split(splits.test.x[:1], splits.test.y[:1])
    for name in shift.outside:
        load_ood(name, splits, data_dir)
    for name in shift.corruptions:
        corrupted(name, 1, few, splits.about, seed=0)
    load_human_labels(splits, data_dir)


def judge_shift(
    model: nn.Module, shift: Shift, splits: Splits, data_dir: Path | None, seed: int, known: Predictions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Further metrics, and further predictions; both empty where nothing was asked for and no votes are known.

    known: the run's predictions on the test split. The metrics are
    {"ood": {NAME: `shift_metrics`}, "corruptions": {FAMILY: {"1": {"accuracy", "ece"}, ..., "5": ...}}, "votes": ...},
    each only where there is such a thing; votes where people's votes are known (`load_human_labels`). Corruptions are
    of the first `CORRUPTED_ROWS` test rows and drawn from the seed, so that runs of a seed see the same images.
    """
    metrics: dict[str, Any] = {}
    predictions: dict[str, Any] = {}
    for name in shift.outside:
        pixels = load_ood(name, splits, data_dir)
        out = logits_of(model, Split(pixels, torch.zeros(len(pixels), dtype=torch.int64)))
        metrics.setdefault("ood", {})[name] = shift_metrics(torch.from_numpy(known["logits"]), out)
        predictions[f"outside_{name}_logits"] = out.float().numpy()
    few = Split(splits.test.x[:CORRUPTED_ROWS], splits.test.y[:CORRUPTED_ROWS])
    for name in shift.corruptions:
        metrics.setdefault("corruptions", {})[name] = {
            str(severity): _on(model, corrupted(name, severity, few, splits.about, seed)) for severity in SEVERITIES
        }
    votes = load_human_labels(splits, data_dir)
    if votes is not None:
        metrics["votes"] = human_label_metrics(torch.from_numpy(known["probs"]), votes)
        predictions["votes"] = votes.numpy()
    return metrics, predictions


def logits_of(model: nn.Module, split: Split) -> Tensor:
    """Logits (n, K) in float64; a single logit z becomes the two columns 0, z."""
    return class_logits(predict(model, split).double())


def _on(model: nn.Module, split: Split) -> dict[str, float]:
    probs = logits_of(model, split).softmax(1)
    return {"accuracy": accuracy(probs, split.y), "ece": ece(probs, split.y)}
