"""How well a score separates positive rows from negative ones.

    n  rows

Every function takes `scores` (n,), larger for positive, and `positive` (n,), 0 or 1, computes in float64 on the
CPU and returns a plain number. Only the order of the scores counts, and equal scores have none: the order in which
the rows came never matters. Each raises

    ShapeError  scores and positive are not two equally long, non-empty vectors
    DataError   a score is NaN, or positive holds something other than 0 and 1
"""

import torch
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics.tensors import Array, cpu_tensor


def auroc(scores: Array, positive: Array) -> float:
    """Area under the ROC curve, in [0, 1]: P(a positive row scores higher than a negative one), a tie counting half.

    If all rows are of one kind, the area is 0.5 by convention (scikit-learn: NaN and a warning).

    >>> auroc(torch.tensor([0.9, 0.4, 0.4, 0.1]), torch.tensor([1, 1, 0, 0]))
    0.875
    """
    hits, alarms = _accepted(scores, positive)
    if hits[-1] == 0 or alarms[-1] == 0:
        return 0.5
    start = torch.zeros(1, dtype=torch.float64)
    tpr, fpr = torch.cat([start, hits / hits[-1]]), torch.cat([start, alarms / alarms[-1]])
    return float(torch.trapezoid(tpr, fpr))


def auprc(scores: Array, positive: Array) -> float:
    """Average precision, in [0, 1]: sum_t (recall_t - recall_t-1) precision_t over falling thresholds t.

    The area under the precision-recall curve as steps, never interpolated, as in scikit-learn; 0 without positive rows.

    >>> auprc(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, 0, 1])) == (1 + 2 / 3) / 2
    True
    """
    hits, alarms = _accepted(scores, positive)
    if hits[-1] == 0:
        return 0.0
    gained = hits.diff(prepend=torch.zeros(1, dtype=torch.float64)) / hits[-1]
    return float((gained * hits / (hits + alarms)).sum())


def fpr_at(scores: Array, positive: Array, recall: float = 0.95) -> float:
    """Share of negative rows accepted by the strictest threshold that accepts `recall` of the positive ones, in [0, 1].

    A row is accepted if it scores at least the threshold. 0 without negative rows, 1 without positive ones.

    Raises:
        SettingError: `recall` is outside (0, 1].

    >>> fpr_at(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, 1, 0]))
    0.5
    """
    if not 0 < recall <= 1:
        raise SettingError(f"recall is {recall}, expected more than 0 and at most 1, such as 0.95.")
    hits, alarms = _accepted(scores, positive)
    if hits[-1] == 0 or alarms[-1] == 0:
        return float(alarms[-1] > 0)
    reached = hits >= recall * hits[-1] * (1 - 1e-12)  # 0.95 * 20 rows are 19, whatever the rounding
    return float(alarms[reached][0] / alarms[-1])


def _accepted(scores: Array, positive: Array) -> tuple[Tensor, Tensor]:
    """(t,) float64 each: positive and negative rows that score at least each of the t distinct scores, falling."""
    scores, positive = cpu_tensor(scores), cpu_tensor(positive)
    if scores.ndim != 1 or scores.shape != positive.shape or len(scores) == 0:
        raise ShapeError(
            f"scores has shape {tuple(scores.shape)} and positive {tuple(positive.shape)}, "
            "expected (n,) for both; pass one number for each of at least one row."
        )
    if scores.isnan().any():
        raise DataError("scores holds NaN; drop these rows or repair the model.")
    if not ((positive == 0) | (positive == 1)).all():
        raise DataError("positive holds something other than 0 and 1; compare labels with the positive class first.")
    scores, order = scores.double().sort(descending=True)
    _, tie = scores.unique_consecutive(return_inverse=True)
    hits = tie.bincount(positive[order].double())  # (t,)
    return hits.cumsum(0), (tie.bincount() - hits).cumsum(0)
