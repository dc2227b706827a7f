"""Claimed against observed values, bin by bin, for calibration errors and reliability diagrams.

    n  rows
    B  bins

All sums are float64 on the CPU, whatever the dtype and the device of the input.
"""

import math
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

    def expected_error(self, norm: float = 1.0) -> float:
        """(sum_b count_b / n * |claimed_b - observed_b|^norm)^(1 / norm), in the unit of `claimed`.

        norm: 1 for the mean, 2 for the root mean square, `math.inf` for the largest gap of a bin that holds rows;
            anything from 1 on.

        Raises:
            SettingError: `norm` is less than 1.
        """
        return float(power_mean((self.claimed - self.observed).abs(), self.count, norm))

    def worst(self) -> tuple[float, int]:
        """The largest gap of a bin that holds rows, and how many rows it holds; of equal gaps the fullest bin's.

        >>> Bins(torch.tensor([3, 1]), torch.tensor([0.25, 0.75]), torch.tensor([0.0, 0.0])).worst()
        (0.75, 1)
        """
        gaps = ((self.claimed - self.observed).abs() * (self.count > 0)).tolist()
        return max(zip(gaps, self.count.tolist(), strict=True))

    def debiased_error(self) -> float:
        """`expected_error(2)` without the part that sampling adds, where each row was observed to be 0 or 1.

        See `calmix.metrics.debiased_ece`.
        """
        by_chance = self.observed * (1 - self.observed) / (self.count - 1).clamp(min=1)  # (B,)
        squares = ((self.claimed - self.observed).square() - by_chance) * (self.count > 1)
        return float(((self.count * squares).sum() / self.count.sum()).clamp(min=0).sqrt())


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
    claimed, observed = unit_pairs(claimed, observed)
    check_bins(bins)
    return _bins(width_index(claimed, bins), claimed, observed, bins)


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
    claimed, observed = finite_pairs(claimed, observed)
    check_bins(bins)
    claimed, observed = tie_means(claimed, observed)
    index = torch.arange(len(claimed)) * bins // len(claimed)  # (n,)
    return _bins(index, claimed, observed, bins)


def power_mean(gaps: Tensor, counts: Tensor, norm: float) -> Tensor:
    """(...): (sum_b w_b gap_b^norm)^(1 / norm) over the last dimension of (..., B), w = counts / their sum.

    An infinite norm is the limit, the largest gap that has any weight.

    >>> power_mean(torch.tensor([3.0, 4.0, 9.0]), torch.tensor([1, 1, 0]), norm=2) ** 2
    tensor(12.5000, dtype=torch.float64)
    """
    if not norm >= 1:
        raise SettingError(
            f"norm is {norm}, expected at least 1; 1 is the mean, 2 the root mean square, inf the largest."
        )
    gaps = torch.where(counts > 0, gaps.double(), 0)
    largest = gaps.amax(-1)  # (...)
    if math.isinf(norm):
        return largest
    shares = gaps / largest.where(largest > 0, 1)[..., None]  # whose powers do not vanish all at once
    return largest * ((counts * shares**norm).sum(-1) / counts.sum(-1)) ** (1 / norm)


def _bins(index: Tensor, claimed: Tensor, observed: Tensor, bins: int) -> Bins:
    return Bins(index.bincount(minlength=bins), _means(index, claimed, bins), _means(index, observed, bins))


def _means(index: Tensor, values: Tensor, groups: int) -> Tensor:
    """(groups,): the mean of the (n,) values in each group, 0 where there are none."""
    return index.bincount(values, groups) / index.bincount(minlength=groups).clamp(min=1)


def width_index(claimed: Tensor, bins: int) -> Tensor:
    """(n,) int64: the bin of equal width, 0 to B - 1, of float64 claims in [0, 1].

    >>> width_index(torch.tensor([0.0, 0.5, 1.0]), bins=2)
    tensor([0, 1, 1])
    """
    edges = torch.arange(1, bins, dtype=torch.float64) / bins  # (B - 1,), inner ones only
    return torch.bucketize(claimed, edges, right=True)


def tie_means(claimed: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) `claimed` in rising order, and (n,) what was observed on average where exactly the same was claimed.

    >>> tie_means(torch.tensor([0.9, 0.5, 0.5]), torch.tensor([1.0, 0.0, 1.0]))[1]
    tensor([0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """
    claimed, order = claimed.sort(stable=True)
    _, tie = claimed.unique_consecutive(return_inverse=True)  # (n,), which group of equal claims
    return claimed, _means(tie, observed[order].double(), len(claimed))[tie]


def finite_pairs(claimed: Array, observed: Array) -> tuple[Tensor, Tensor]:
    """Two equally long, non-empty vectors of finite numbers, as float64 on the CPU.

    Raises:
        ShapeError, DataError: they are not.
    """
    claimed, observed = cpu_tensor(claimed).double().contiguous(), cpu_tensor(observed).double().contiguous()
    if claimed.ndim != 1 or claimed.shape != observed.shape or len(claimed) == 0:
        raise ShapeError(
            f"claimed has shape {tuple(claimed.shape)} and observed {tuple(observed.shape)}, "
            "expected (n,) for both; pass one number for each of at least one row."
        )
    if not (claimed.isfinite().all() and observed.isfinite().all()):
        raise DataError("claimed or observed holds NaN or infinity; drop these rows or repair the model.")
    return claimed, observed


def unit_pairs(claimed: Array, observed: Array) -> tuple[Tensor, Tensor]:
    """`finite_pairs` whose first vector lies in [0, 1]; raises DataError if it does not."""
    claimed, observed = finite_pairs(claimed, observed)
    if claimed.min() < 0 or claimed.max() > 1:
        low, high = claimed.min().item(), claimed.max().item()
        raise DataError(f"claimed spans {low:.4g} to {high:.4g}, expected [0, 1]; equal_mass takes any range.")
    return claimed, observed


def check_bins(bins: int) -> None:
    """Raise SettingError unless bins >= 1."""
    if bins < 1:
        raise SettingError(f"bins is {bins}, expected at least 1.")
