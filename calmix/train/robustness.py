"""What else a trained network is measured on: images of no class, corrupted images, and people's labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calmix.data import CORRUPTIONS, SEVERITIES, OODSet, Split, Splits, corrupted, load_human_labels
from calmix.data.corruptions import CORRUPTED_ROWS
from calmix.errors import SettingError, UnknownNameError
from calmix.metrics import accuracy, ece, human_label_metrics, shift_metrics
from calmix.predictions import ClassPredictions
from calmix.predictions.scoring import Scored
from calmix.results.files import NamedArrays
from calmix.train.predicting import predicted_logits


@dataclass(frozen=True)
class Robustness:
    """What a trained network is measured on beside the test split.

    ood: sets of images of no class. corruptions: names of families in `CORRUPTIONS`. data_dir: the folder that the data
    came from, if one was given: people's labels are looked for beside it, and used where they are known.
    """

    ood: tuple[OODSet, ...] = ()
    corruptions: tuple[str, ...] = ()
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                raise UnknownNameError("family of corruptions", name, CORRUPTIONS)
        for one in self.ood:
            if not isinstance(one, OODSet):
                raise SettingError(f"ood holds sets, such as OODSet('notmnist'); got {one!r}.")

    def check(self, splits: Splits) -> None:
        """Raise a CalmixError where a run could not be measured so: files that are missing, data that are no images."""
        if splits.about.task == "regression" and (self.ood or self.corruptions):
            raise SettingError(
                f"OOD sets and corruptions are for classes, and {splits.about.name} is regression; leave them out."
            )
        few = splits.test.part(slice(1))
        for one in self.ood:
            one.images(splits)
        for name in self.corruptions:
            corrupted(name, 1, few, splits.about, seed=0)
        load_human_labels(splits, self.data_dir)

    def measure(
        self, model: nn.Module, splits: Splits, seed: int, test: ClassPredictions
    ) -> tuple[Scored, NamedArrays]:
        """Further scores and further predictions of a network whose predictions on the test split are `test`.

        Conditions: `ood/NAME/SCORE`, `corruptions/FAMILY/SEVERITY`, and `human_labels`.
        Corruptions are of the first `CORRUPTED_ROWS` test rows and drawn from the seed, so that runs of a seed see the
        same images.
        """
        scores: Scored = {}
        arrays: dict[str, NDArray[np.generic]] = {}
        for one in self.ood:
            pixels = one.images(splits)
            logits = predicted_logits(model, Split(pixels, torch.zeros(len(pixels), dtype=torch.int64)))
            for score, metrics in shift_metrics(test.logits.float(), logits).items():
                scores[f"ood/{one.name}/{score}"] = metrics
            arrays[f"ood_{one.name}_logits"] = logits.float().numpy()
        few = splits.test.part(slice(CORRUPTED_ROWS))
        labels = test.labels[:CORRUPTED_ROWS]
        for family in self.corruptions:
            for severity in SEVERITIES:
                split = corrupted(family, severity, few, splits.about, seed)
                probs = predicted_logits(model, split).softmax(1)
                scores[f"corruptions/{family}/{severity}"] = {
                    "accuracy": accuracy(probs, labels),
                    "ece": ece(probs, labels),
                }
        people = load_human_labels(splits, self.data_dir)
        if people is not None:
            scores["human_labels"] = human_label_metrics(test.probs.float(), people)
            arrays["human_labels"] = people.numpy()
        return scores, arrays
