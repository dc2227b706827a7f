"""Claimed against observed, bin by bin: what calibration errors and reliability diagrams are made of.

    n  rows
    B  bins

All sums are float64 on the CPU, whatever the dtype and the device of the input.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics.tensors import Array, cpu_tensor


@dataclass(frozen=True, eq=False)
class Bins:
    """What was claimed and what was observed in each of B bins. An empty bin holds three zeros.

    >>> Bins(torch.tensor([3, 1]), torch.tensor([0.25, 0.75]), torch.tensor([0.0, 1.0])).expected_error()
    0.25
    """

    count: Tensor  # (B,) int64, rows in the bin
    claimed: Tensor  # (B,) float64, mean claimed value, such as the confidence
    observed: Tensor  # (B,) float64, mean observed value, such as the accuracy

    def expected_error(self) -> float:
        """sum_b count_b / n * |claimed_b - observed_b|, in the unit of `claimed`."""
        gap = (self.claimed - self.observed).abs()  # (B,)
        return float((self.count * gap).sum() / self.count.sum())


def equal_width(claimed: Array, observed: Array, bins: int = 15) -> Bins:
    """Bin b holds the rows with `claimed` in [b / B, (b + 1) / B); the last bin also holds exactly 1.

    Args:
        claimed: (n,), each in [0, 1].
        observed: (n,), 1 for a correct row and 0 for a wrong one, or any finite number.
        bins: B, at least 1.

    Raises:
        ShapeError: `claimed` and `observed` are not two equally long, non-empty vectors.
        DataError: a value is not finite, or `claimed` leaves [0, 1].
        SettingError: `bins` is less than 1.

    >>> equal_width(torch.tensor([0.1, 0.3, 1.0]), torch.tensor([0, 1, 1]), bins=4).count
    tensor([1, 1, 0, 1])
    """
    claimed, observed = _checked(claimed, observed, bins)
    if claimed.min() < 0 or claimed.max() > 1:
        low, high = claimed.min().item(), claimed.max().item()
        raise DataError(f"claimed spans {low:.4g} to {high:.4g}, expected [0, 1]; equal_mass takes any range.")
    edges = torch.arange(1, bins, dtype=torch.float64) / bins  # (B - 1,), inner ones only
    return _bins(torch.bucketize(claimed, edges, right=True), claimed, observed, bins)


def equal_mass(claimed: Array, observed: Array, bins: int = 15) -> Bins:
    """The rows, sorted by `claimed`, cut into B parts whose sizes differ by at most one.

    Rows that claim exactly the same share their mean observed value, so a cut between them does not
    depend on the order in which they came. With fewer rows than bins, n bins hold one row each.

    Args:
        claimed: (n,), any finite number.
        observed: (n,), any finite number.
        bins: B, at least 1.

    Raises:
        ShapeError: `claimed` and `observed` are not two equally long, non-empty vectors.
        DataError: a value is not finite.
        SettingError: `bins` is less than 1.

    >>> equal_mass(torch.tensor([0.9, 0.6, 0.7, 0.5]), torch.tensor([1, 0, 1, 1]), bins=2).observed
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    claimed, observed = _checked(claimed, observed, bins)
    claimed, order = claimed.sort(stable=True)
    _, tie = claimed.unique_consecutive(return_inverse=True)  # (n,), which group of equal claims
    observed = _means(tie, observed[order], len(claimed))[tie]
    index = torch.arange(len(claimed)) * bins // len(claimed)  # (n,)
    return _bins(index, claimed, observed, bins)


def _bins(index: Tensor, claimed: Tensor, observed: Tensor, bins: int) -> Bins:
    return Bins(index.bincount(minlength=bins), _means(index, claimed, bins), _means(index, observed, bins))


def _means(index: Tensor, values: Tensor, groups: int) -> Tensor:
    """(groups,): the mean of the (n,) values in each group, 0 where there are none."""
    return index.bincount(values, groups) / index.bincount(minlength=groups).clamp(min=1)


def _checked(claimed: Array, observed: Array, bins: int) -> tuple[Tensor, Tensor]:
    claimed, observed = cpu_tensor(claimed).double(), cpu_tensor(observed).double()
    if bins < 1:
        raise SettingError(f"bins is {bins}, expected at least 1.")
    if claimed.ndim != 1 or claimed.shape != observed.shape or len(claimed) == 0:
        raise ShapeError(
            f"claimed has shape {tuple(claimed.shape)} and observed {tuple(observed.shape)}, "
            "expected (n,) for both; pass one number for each of at least one row."
        )
    if not (claimed.isfinite().all() and observed.isfinite().all()):
        raise DataError("claimed or observed holds NaN or infinity; drop these rows or repair the model.")
    return claimed, observed
