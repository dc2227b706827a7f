"""What the figures of a comparison show of a run of classes: what is known of each row, whatever the number of classes.

n  test rows
m  rows of an OOD set
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.metrics import RowScores, score_rows, shift_scores
from calmix.results.files import NamedArrays


@dataclass(frozen=True, eq=False)
class Answers:
    """A run's answers, before and after its own temperature."""

    before: RowScores  # of n rows
    after: RowScores
    foreign: Mapping[str, Tensor]  # by OOD set, the confidence of its rows (m,)


def answers_of(predictions: NamedArrays) -> Answers:
    """Of a run's stored predictions."""
    probs, labels = predictions["probs"], predictions["labels"]
    scaled = (torch.from_numpy(predictions["logits"]) / float(predictions["temperature"])).softmax(1)
    logits = {match[1]: name for name in predictions if (match := re.fullmatch("ood_(.*)_logits", name))}
    foreign = {name: shift_scores([predictions[key]])["max_probability"] for name, key in logits.items()}
    return Answers(score_rows(probs, labels), score_rows(scaled, labels), foreign)
