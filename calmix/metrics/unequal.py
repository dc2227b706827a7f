"""Metrics that tell what a predictor knows of every class, however unequal the classes are.

    n  rows
    K  classes

Where 99 of 100 rows are of one class, always answering that class is right 99 times in a hundred, and knows nothing.
Each of these metrics treats classes alike, or compares with what the classes' frequencies alone give away.

Every function takes probabilities `probs` (n, K) and class ids `labels` (n,), as tensors or numpy arrays, computes in
float64 on the CPU and returns a plain number. Each raises ShapeError and DataError as every metric of
calmix.metrics.classification.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.row_scores import RowScores, check_probs, score_rows
from calmix.metrics.tensors import Array, cpu_tensor


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """For each class how many rows are of it, are answered with it, and are both. Batches' counts add up.

    >>> class_counts(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 3).recalls()
    [1.0, 0.5, nan]
    """

    actual: Tensor  # (K,) int64, rows of the class
    answered: Tensor  # (K,) int64, rows that are said to be of it
    right: Tensor  # (K,) int64, both

    def __add__(self, other: "ClassCounts") -> "ClassCounts":
        return ClassCounts(self.actual + other.actual, self.answered + other.answered, self.right + other.right)

    def recalls(self) -> list[float]:
        """Share of each class's rows that are answered with it, K numbers; NaN for a class without rows."""
        return (self.right.double() / self.actual).tolist()

    def balanced_accuracy(self) -> float:
        """See `calmix.metrics.balanced_accuracy`."""
        held = self.actual > 0
        return float((self.right[held].double() / self.actual[held]).mean())

    def macro_f1(self) -> float:
        """See `calmix.metrics.macro_f1`."""
        either = self.actual + self.answered
        held = either > 0
        return float((2 * self.right[held].double() / either[held]).mean())

    def base_rate(self) -> float:
        """See `calmix.metrics.base_rate`."""
        return int(self.actual.max()) / int(self.actual.sum())

    def most_answered(self) -> float:
        """Share of the answers that go to the class that is answered most often: 1 if nothing else is ever said."""
        return int(self.answered.max()) / int(self.answered.sum())


def class_counts(answers: Tensor, labels: Tensor, classes: int) -> ClassCounts:
    """The counts of answers (n,) and labels (n,), class ids below `classes`."""
    return ClassCounts(
        actual=labels.bincount(minlength=classes),
        answered=answers.bincount(minlength=classes),
        right=labels[answers == labels].bincount(minlength=classes),
    )


def balanced_accuracy(probs: Array, labels: Array) -> float:
    """Mean recall over the classes that have rows, in [0, 1]: 1 / K for always the same answer.

    >>> probs, labels = torch.tensor([[0.9, 0.1]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
    >>> balanced_accuracy(probs, labels)
    0.5
    """
    return _counts(probs, labels).balanced_accuracy()


def macro_f1(probs: Array, labels: Array) -> float:
    """Mean of F1 = 2 right / (rows of the class + rows answered with it) over classes that have rows or answers.

    >>> probs, labels = torch.tensor([[0.9, 0.1]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
    >>> macro_f1(probs, labels) == (2 * 3 / (3 + 4) + 0) / 2
    True
    """
    return _counts(probs, labels).macro_f1()


def class_recalls(probs: Array, labels: Array) -> list[float]:
    """Share of each class's rows that are answered with it, K numbers; NaN for a class without rows.

    >>> class_recalls(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    [1.0, 0.0]
    """
    return _counts(probs, labels).recalls()


def base_rate(labels: Array) -> float:
    """Share of the most frequent class: how often always answering it is right.

    >>> base_rate(torch.tensor([0, 0, 0, 1]))
    0.75
    """
    ids = cpu_tensor(labels)
    if ids.ndim != 1 or len(ids) == 0 or ids.is_floating_point():
        raise ShapeError(f"labels are {ids.dtype} of shape {tuple(ids.shape)}, expected class ids (n,).")
    return int(ids.unique(return_counts=True)[1].max()) / len(ids)


def macro_auroc(probs: Array, labels: Array) -> float:
    """Mean over classes of the area under the ROC curve of each class against the rest; of two classes it is theirs.

    Classes without rows, or without others, do not count; 0.5 where none is left.

    >>> macro_auroc(torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]), torch.tensor([0, 1, 1]))
    1.0
    """
    return _ranked(probs, labels)[0]


def macro_auprc(probs: Array, labels: Array) -> float:
    """Mean over classes of the average precision of each class against the rest; chance is 1 / K.

    Classes without rows, or without others, do not count; 0 where none is left.

    >>> macro_auprc(torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]), torch.tensor([0, 1, 1]))
    1.0
    """
    return _ranked(probs, labels)[1]


def nll_skill(probs: Array, labels: Array, shares: Array | None = None) -> float:
    """1 - NLL / NLL of the shares: 0 for a predictor that says the classes' frequencies of every row, 1 for a seer.

    shares: (K,) how frequent classes are where that was known beforehand, as among training rows; any positive scale.
        None: among the rows themselves, which no predictor knows, so that skill is a little lower.

    NaN where a class that has rows has no share, or there is but one class: the shares then leave nothing to say.

    >>> labels = torch.tensor([0, 0, 0, 1])
    >>> nll_skill(torch.tensor([[0.75, 0.25]]).repeat(4, 1), labels)
    0.0
    >>> round(nll_skill(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]), labels), 3)
    0.813
    """
    checked, ids, rows = _checked(probs, labels)
    actual = ids.bincount(minlength=checked.shape[1])
    return skill(rows.nll(), actual, actual if shares is None else cpu_tensor(shares))


def skill(nll: float, actual: Tensor, shares: Tensor) -> float:
    """`nll_skill` of a known NLL, and of rows of each class (K,).

    Raises:
        ShapeError, DataError: the shares are not K numbers, none negative, some positive.
    """
    if shares.shape != actual.shape:
        raise ShapeError(
            f"shares have shape {tuple(shares.shape)}, expected {tuple(actual.shape)}: one for each class."
        )
    shares = shares.double()
    if not (shares.isfinite().all() and shares.min() >= 0 and shares.sum() > 0):
        raise DataError("shares must be finite numbers, none below 0, and not all 0: how frequent each class is.")
    held = actual > 0
    weights, logs = actual[held].double() / actual.sum(), (shares[held] / shares.sum()).log()
    known = -float((weights * logs).sum())
    return 1 - nll / known if 0 < known < math.inf else math.nan


def one_against_rest(scores: Tensor, positive: Tensor) -> tuple[float, float]:
    """(AUROC, average precision) of scores (n,) for rows that are positive (n,) bool, some and not all of them.

    As `auroc` and `auprc`, which sort rows; this sorts numbers, which is many times as fast where few are positive.

    >>> one_against_rest(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([True, False, True]))
    (0.5, 0.8333333333333333)
    """
    ordered, found = np.sort(scores.numpy()), np.sort(scores[positive].numpy())  # torch takes twice as long
    n, p = len(ordered), len(found)
    below, not_above = np.searchsorted(ordered, found, "left"), np.searchsorted(ordered, found, "right")
    wins = (below + not_above).sum() / 2 - p * p / 2  # against negative rows; positive ones win half of theirs
    here = p - np.searchsorted(found, found, "left")  # positive rows that score at least as much
    return float(wins / (p * (n - p))), float((here / (n - below)).mean())


def mean_one_against_rest(columns: Iterable[Tensor], labels: Tensor) -> tuple[float, float]:
    """(macro AUROC, macro average precision) of the classes' probabilities, column by column (n,), and labels (n,)."""
    areas = []
    for number, column in enumerate(columns):
        positive = labels == number
        if positive.any() and not positive.all():
            areas.append(one_against_rest(column, positive))
    if not areas:
        return 0.5, 0.0
    return math.fsum(one for one, _ in areas) / len(areas), math.fsum(one for _, one in areas) / len(areas)


def imbalance_metrics(probs: Array, labels: Array, shares: Array | None = None) -> dict[str, float]:
    """All of the numbers above, by name, but for recalls; without `nll_skill` where it is NaN.

    shares: see `nll_skill`. most_answered: the share of the answers that go to the class that is answered most often.

    >>> found = imbalance_metrics(torch.tensor([[0.9, 0.1]]).repeat(4, 1), torch.tensor([0, 0, 0, 1]))
    >>> list(found)[:4], list(found)[4:]
    (['balanced_accuracy', 'macro_f1', 'macro_auroc', 'macro_auprc'], ['base_rate', 'most_answered', 'nll_skill'])
    >>> found["base_rate"], found["most_answered"]
    (0.75, 1.0)
    """
    checked, ids, rows = _checked(probs, labels)
    areas = mean_one_against_rest((column.double() for column in checked.T), ids)
    return summary(_counts_of(checked, ids), areas, rows.nll(), None if shares is None else cpu_tensor(shares))


def summary(
    counts: ClassCounts, areas: tuple[float, float] | None, nll: float, shares: Tensor | None
) -> dict[str, float]:
    """`imbalance_metrics` of what was counted, of the macro AUROC and average precision, if known, and of the NLL."""
    gained = skill(nll, counts.actual, counts.actual if shares is None else shares)
    return {
        "balanced_accuracy": counts.balanced_accuracy(),
        "macro_f1": counts.macro_f1(),
        **({} if areas is None else dict(zip(("macro_auroc", "macro_auprc"), areas, strict=True))),
        "base_rate": counts.base_rate(),
        "most_answered": counts.most_answered(),
        **({} if math.isnan(gained) else {"nll_skill": gained}),
    }


def _ranked(probs: Array, labels: Array) -> tuple[float, float]:
    checked, ids, _ = _checked(probs, labels)
    return mean_one_against_rest((column.double() for column in checked.T), ids)


def _counts(probs: Array, labels: Array) -> ClassCounts:
    checked, ids, _ = _checked(probs, labels)
    return _counts_of(checked, ids)


def _counts_of(probs: Tensor, labels: Tensor) -> ClassCounts:
    return class_counts(torch.from_numpy(probs.numpy().argmax(1)), labels, probs.shape[1])


def _checked(probs: Array, labels: Array) -> tuple[Tensor, Tensor, RowScores]:
    """Both as tensors, and the scores of their rows, whose making checks what is in them."""
    checked, ids = check_probs(probs, labels)
    return checked, ids, score_rows(checked, ids)
