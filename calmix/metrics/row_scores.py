"""What all metrics of class probabilities are computed from.

    n  rows
    K  classes
    B  bins

A row of K probabilities becomes four numbers (`RowScores`) and a few entries in a table of classes by bins
(`ClassBins`); every metric is computed from these two. Probabilities are read once, in pieces that fit the cache, and
are never copied as a whole: a million rows of a thousand classes need no memory beyond their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.bins import check_bins, power_mean, width_index
from calmix.metrics.tensors import Array, cpu_tensor, row_slices
from calmix.probabilities import SUM_TOLERANCE

PIECE = 2**18  # probabilities that are looked at together


@dataclass(frozen=True, eq=False)
class RowScores:
    """What is known of each of n rows: enough for every metric that does not look at single classes.

    >>> score_rows(torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([0, 1])).correct
    tensor([ True, False])
    """

    confidence: Tensor  # (n,) float64, the largest probability
    correct: Tensor  # (n,) bool, whether its class is the label; the first of equal classes counts
    of_label: Tensor  # (n,) float64, p_i[y_i]
    squares: Tensor  # (n,) float64, sum_k p_ik^2

    def first(self, count: int) -> "RowScores":
        """The first rows, at most so many."""
        return RowScores(self.confidence[:count], self.correct[:count], self.of_label[:count], self.squares[:count])

    def accuracy(self) -> float:
        """See `calmix.metrics.accuracy`."""
        return float(self.correct.double().mean())

    def nll(self) -> float:
        """See `calmix.metrics.nll`."""
        return float(-self.of_label.clamp(min=torch.finfo(torch.float64).tiny).log().mean())

    def brier(self) -> float:
        """See `calmix.metrics.brier`: sum_k (p_k - [y = k])^2 = sum_k p_k^2 - 2 p_y + 1."""
        return float((self.squares - 2 * self.of_label + 1).mean())

    def sharpness(self) -> float:
        """See `calmix.metrics.sharpness`."""
        return float(self.squares.mean())


@dataclass(frozen=True)
class BrierParts:
    """Murphy's parts of the Brier score over bins: brier = reliability - resolution + uncertainty + within-bin spread.

    The last term comes from different probabilities in one bin; it is 0 where all rows of a bin have the same.
    """

    reliability: float  # mean squared gap between claimed and observed; 0 is calibrated
    resolution: float  # how far the bins' observed shares are from the classes' overall shares; more is better
    uncertainty: float  # of the labels themselves, sum_k share_k (1 - share_k); no predictor changes it


@dataclass(frozen=True, eq=False)
class ClassBins:
    """For each class k against the rest: n rows in B bins of equal width by their p_ik. Batches' tables add up."""

    count: Tensor  # (K, B) int64, rows in the bin
    claimed: Tensor  # (K, B) float64, sum of p_ik
    observed: Tensor  # (K, B) int64, rows whose label is k

    def __add__(self, other: "ClassBins") -> "ClassBins":
        return ClassBins(self.count + other.count, self.claimed + other.claimed, self.observed + other.observed)

    def expected_error(self, norm: float = 1.0) -> float:
        """The mean over classes of each class's calibration error; see `calmix.metrics.classwise_ece`."""
        return float(self.expected_errors(norm).mean())

    def expected_errors(self, norm: float = 1.0) -> Tensor:
        """(K,): the calibration error of each class against the rest.

        >>> class_bins(torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 1]), bins=2).expected_errors()
        tensor([0.3750, 0.3750], dtype=torch.float64)
        """
        gaps = (self.claimed - self.observed).abs() / self.count.clamp(min=1)  # (K, B)
        return power_mean(gaps, self.count, norm)

    def brier_parts(self) -> BrierParts:
        """See `calmix.metrics.brier_parts`."""
        count, hits = self.count.double(), self.observed.double()  # (K, B)
        n = count.sum(1, keepdim=True)  # (K, 1)
        weight, share = count / n, hits.sum(1, keepdim=True) / n
        claimed, observed = self.claimed / count.clamp(min=1), hits / count.clamp(min=1)
        return BrierParts(
            reliability=float((weight * (claimed - observed).square()).sum()),
            resolution=float((weight * (observed - share).square()).sum()),
            uncertainty=float((share * (1 - share)).sum()),
        )


def score_rows(probs: Array, labels: Array) -> RowScores:
    """The scores of the rows of `probs` (n, K), with their class ids `labels` (n,).

    Raises:
        ShapeError, DataError: as every metric of calmix.metrics.classification.
    """
    return concat_rows([_score_piece(*piece) for piece in pieces(*check_probs(probs, labels))])


def class_bins(probs: Array, labels: Array, bins: int = 15) -> ClassBins:
    """The rows of `probs` (n, K) in a table of classes by bins.

    Raises:
        ShapeError, DataError: as every metric of calmix.metrics.classification.
        SettingError: `bins` is less than 1.

    >>> class_bins(torch.tensor([[0.75, 0.25], [1.0, 0.0]]), torch.tensor([0, 1]), bins=2).count
    tensor([[0, 2],
            [2, 0]])
    """
    return score_and_bin(probs, labels, bins)[1]


def score_and_bin(probs: Array, labels: Array, bins: int = 15) -> tuple[RowScores, ClassBins]:
    """`score_rows` and `class_bins` while reading the probabilities once."""
    check_bins(bins)
    probs, labels = check_probs(probs, labels)
    rows, tally = [], _Tally(probs.shape[1], bins)
    for piece in pieces(probs, labels):
        rows.append(_score_piece(*piece))
        tally.add(*piece)
    return concat_rows(rows), tally.table()


def concat_rows(parts: Sequence[RowScores]) -> RowScores:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    return RowScores(
        torch.cat([part.confidence for part in parts]),
        torch.cat([part.correct for part in parts]),
        torch.cat([part.of_label for part in parts]),
        torch.cat([part.squares for part in parts]),
    )


def check_probs(probs: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """(n, K) as given and (n,) int64; `pieces` checks what is in the rows.

    Raises:
        ShapeError, DataError: as every metric of calmix.metrics.classification.
    """
    probs, labels = cpu_tensor(probs), cpu_tensor(labels)
    if probs.ndim != 2:
        raise ShapeError(
            f"probs has shape {tuple(probs.shape)}, expected (n, K); "
            "a single probability p per row becomes the two columns (1 - p, p)."
        )
    if labels.shape != probs.shape[:1]:
        raise ShapeError(
            f"labels has shape {tuple(labels.shape)}, expected ({len(probs)},); "
            "pass one class id for each row of probs."
        )
    if len(probs) == 0:
        raise ShapeError("probs has no rows, expected at least one; check that the split is not empty.")
    if labels.is_floating_point():
        raise ShapeError(f"labels has dtype {labels.dtype}, expected class ids; pass labels.long().")
    labels, classes = labels.long(), probs.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels span {labels.min().item()} to {labels.max().item()}, expected 0 to {classes - 1}; "
            "number the classes as the columns of probs are numbered."
        )
    return probs, labels


def pieces(probs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Check the probabilities, and yield a few rows at a time: (m, K) float64 and (m,) int64.

    probs, labels: as `check_probs` returns them. All pieces share one buffer, so read each before you take the next.

    Raises:
        DataError: a probability is negative or not finite, or a row does not sum to one.
    """
    shared: Tensor | None = None
    for rows in row_slices(probs, PIECE):
        given = probs[rows]
        shared = torch.empty(given.shape, dtype=torch.float64) if shared is None else shared
        piece = shared[: len(given)].copy_(given)
        _check_sums(piece, rows.start)
        yield piece, labels[rows]


def _score_piece(probs: Tensor, labels: Tensor) -> RowScores:
    predicted = torch.from_numpy(probs.numpy().argmax(1))  # the same as torch's argmax, and six times as fast
    return RowScores(
        _picked(probs, predicted).clamp(max=1),  # float32 rows may sum to a little more than one
        predicted == labels,
        _picked(probs, labels),
        probs.square().sum(1),
    )


class _Tally:
    """Counts for a `ClassBins`, added up piece by piece.

    At most B probabilities of a row reach 1 / B, so only these are put into bins one by one; all others belong to the
    first bin of their class.
    """

    def __init__(self, classes: int, bins: int) -> None:
        self.rows, self.bins = 0, bins
        self.total = torch.zeros(classes, dtype=torch.float64)  # sum of p_ik
        self.count = torch.zeros(classes * bins, dtype=torch.int64)
        self.claimed = torch.zeros(classes * bins, dtype=torch.float64)
        self.observed = torch.zeros(classes * bins, dtype=torch.int64)

    def add(self, probs: Tensor, labels: Tensor) -> None:
        """Add rows as `pieces` yields them."""
        place = np.flatnonzero(probs.numpy() >= 1 / self.bins)  # torch's nonzero takes five times as long
        place = torch.from_numpy(place)
        large = probs.view(-1)[place]
        cell = self._cell(place % probs.shape[1], large)
        self.rows += len(probs)
        self.total += probs.sum(0)
        self.count.index_add_(0, cell, torch.ones_like(cell))
        self.claimed.index_add_(0, cell, large)
        self.observed.index_add_(0, self._cell(labels, _picked(probs, labels)), torch.ones_like(labels))

    def table(self) -> ClassBins:
        """The table of all rows so far."""
        count, claimed, observed = (each.view(-1, self.bins) for each in (self.count, self.claimed, self.observed))
        small = torch.arange(self.bins) == 0  # (B,), the first bin
        rest, rest_claimed = self.rows - count.sum(1), self.total - claimed.sum(1)  # (K,)
        return ClassBins(count + small * rest[:, None], claimed + small * rest_claimed[:, None], observed)

    def _cell(self, column: Tensor, claimed: Tensor) -> Tensor:
        return column * self.bins + width_index(claimed, self.bins)


def _picked(probs: Tensor, column: Tensor) -> Tensor:
    """(m,): the entry of each row in its `column` (m,)."""
    return probs.gather(1, column[:, None])[:, 0]


def _check_sums(probs: Tensor, start: int) -> None:
    """Raise DataError unless the rows are probabilities. start: the position of the first row, for the message."""
    off = probs.sum(1) - 1  # (m,)
    if not (probs.amin() >= 0 and off.isfinite().all()):
        raise DataError("probs holds a negative number, NaN or infinity; of logits, pass logits.softmax(1).")
    worst = int(off.abs().argmax())
    if off[worst].abs() > SUM_TOLERANCE:
        raise DataError(
            f"each row of probs must sum to one, row {start + worst} is off by {off[worst].abs().item():.3g}; "
            "of logits, pass logits.softmax(1)."
        )
