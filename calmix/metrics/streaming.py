"""All metrics of class probabilities at once, batch by batch or of full tensors.

n  rows
K  classes
B  bins
"""

import math
from typing import Self

from calmix.errors import SettingError, ShapeError
from calmix.metrics.bins import check_bins, equal_mass, equal_width
from calmix.metrics.ranking import auroc
from calmix.metrics.row_scores import ClassBins, RowScores, concat_rows, score_and_bin
from calmix.metrics.selective import risk_curve
from calmix.metrics.smooth import smooth_error
from calmix.metrics.tensors import Array


class ClassificationMetrics:
    """`classification_metrics` of rows that come in batches, in one pass.

    Of each row four numbers are kept (25 bytes), whatever K, and one table of classes by bins.

    >>> import torch
    >>> metrics = ClassificationMetrics()
    >>> for probs, label in [([[0.9, 0.1]], 0), ([[0.25, 0.75]], 0)]:
    ...     metrics = metrics.update(torch.tensor(probs), torch.tensor([label]))
    >>> metrics.compute()["accuracy"]
    0.5
    """

    def __init__(self, bins: int = 15) -> None:
        """bins: B of every binned metric, at least 1."""
        check_bins(bins)
        self.bins = bins
        self._rows: list[RowScores] = []
        self._table: ClassBins | None = None

    def update(self, probs: Array, labels: Array) -> Self:
        """Add a batch of `probs` (n, K) and class ids `labels` (n,). A batch that raises an error is not added.

        Raises:
            ShapeError, DataError: as every metric of calmix.metrics.classification; or K is not as before.
        """
        rows, table = score_and_bin(probs, labels, self.bins)
        if self._table is not None and len(self._table.count) != len(table.count):
            raise ShapeError(
                f"probs has {len(table.count)} classes, expected {len(self._table.count)} as in earlier batches; "
                "begin another ClassificationMetrics for another predictor."
            )
        self._rows.append(rows)
        self._table = table if self._table is None else self._table + table
        return self

    @property
    def rows(self) -> RowScores:
        """What is known of all rows so far. Raises SettingError if there was no batch yet."""
        if not self._rows:
            raise SettingError("there is nothing to compute, expected at least one batch; call update first.")
        self._rows = [concat_rows(self._rows)]
        return self._rows[0]

    @property
    def table(self) -> ClassBins:
        """Classes by bins, of all rows so far. Raises SettingError if there was no batch yet."""
        if self._table is None:
            raise SettingError("there is nothing to compute, expected at least one batch; call update first.")
        return self._table

    def compute(self) -> dict[str, float]:
        """All metrics of all rows so far, by name.

        Raises:
            SettingError: there was no batch yet.
        """
        return _metrics(self.rows, self.table, self.bins)


def classification_metrics(probs: Array, labels: Array, bins: int = 15) -> dict[str, float]:
    """All metrics of `probs` (n, K) and class ids `labels` (n,), by name, in one pass over the probabilities.

    bins: B of every binned metric.

    Raises:
        ShapeError, DataError: as every metric of calmix.metrics.classification.
        SettingError: `bins` is less than 1.

    >>> import torch
    >>> metrics = classification_metrics(torch.tensor([[0.9, 0.1]]), torch.tensor([0]))
    >>> list(metrics)[:6]
    ['accuracy', 'nll', 'brier', 'brier_reliability', 'brier_resolution', 'ece']
    >>> list(metrics)[6:11]
    ['adaptive_ece', 'classwise_ece', 'mce', 'rms_ece', 'debiased_ece']
    >>> list(metrics)[11:]
    ['smooth_ece', 'sharpness', 'auroc_correct', 'aurc']
    """
    return ClassificationMetrics(bins).update(probs, labels).compute()


def _metrics(rows: RowScores, table: ClassBins, bins: int) -> dict[str, float]:
    widths = equal_width(rows.confidence, rows.correct, bins)
    parts = table.brier_parts()
    return {
        "accuracy": rows.accuracy(),
        "nll": rows.nll(),
        "brier": rows.brier(),
        "brier_reliability": parts.reliability,
        "brier_resolution": parts.resolution,
        "ece": widths.expected_error(),
        "adaptive_ece": equal_mass(rows.confidence, rows.correct, bins).expected_error(),
        "classwise_ece": table.expected_error(),
        "mce": widths.expected_error(math.inf),
        "rms_ece": widths.expected_error(2),
        "debiased_ece": widths.debiased_error(),
        "smooth_ece": smooth_error(rows.confidence, rows.correct),
        "sharpness": rows.sharpness(),
        "auroc_correct": auroc(rows.confidence, rows.correct),
        "aurc": risk_curve(rows.confidence, rows.correct).area(),
    }
