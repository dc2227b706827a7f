"""What becomes of answers that a network calls about 90 % sure: confidence, for people who count."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from calmix.experiment.record import Predictions

ABOUT = (0.85, 0.95)  # what counts as about 90 % sure
ENOUGH = 100  # answers, below which nothing is said of them


@dataclass(frozen=True)
class Claim:
    """Of `count` answers with a confidence of 85 to 95 %, over all seeds: their mean confidence, the share right."""

    claimed: float
    observed: float
    count: int


def claim(seeds: Iterable[Predictions]) -> Claim | None:
    """The claim of several runs together; None for regression, or where fewer than 100 answers are about so sure.

    >>> probs = np.tile([[0.9, 0.1]], (200, 1))
    >>> labels = np.arange(200) % 4 == 0  # three in four are class 0
    >>> claim([{"probs": probs, "labels": labels.astype(int)}])
    Claim(claimed=0.9, observed=0.75, count=200)
    """
    confidences, rights = [], []
    for predictions in seeds:
        if "probs" not in predictions:
            return None
        probs = predictions["probs"].astype(float)  # (n, K)
        confidence = probs.max(1)
        about = (confidence >= ABOUT[0]) & (confidence <= ABOUT[1])
        confidences.append(confidence[about])
        rights.append(probs.argmax(1)[about] == predictions["labels"][about])
    confidence, right = np.concatenate(confidences), np.concatenate(rights)
    if len(right) < ENOUGH:
        return None
    return Claim(round(float(confidence.mean()), 12), float(right.mean()), len(right))
