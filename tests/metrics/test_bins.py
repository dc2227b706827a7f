import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import Bins, equal_mass, equal_width

BINNINGS = [equal_width, equal_mass]
claims = st.lists(st.sampled_from([0.0, 0.2, 1 / 3, 0.5, 0.8, 1.0]) | st.floats(0, 1), min_size=1, max_size=40)


def rows(claimed: list[float], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    observed = torch.rand(len(claimed), generator=torch.Generator().manual_seed(seed)) < 0.5
    return torch.tensor(claimed, dtype=torch.float64), observed


def test_expected_error_weighs_each_gap_by_its_rows_and_skips_empty_bins():
    bins = Bins(torch.tensor([3, 0, 1]), torch.tensor([0.2, 0.0, 0.9]), torch.tensor([0.0, 0.0, 1.0]))
    assert bins.expected_error() == pytest.approx((3 * 0.2 + 1 * 0.1) / 4)


def test_equal_width_by_hand():
    bins = equal_width(torch.tensor([0.1, 0.2, 0.6, 0.7]), torch.tensor([0, 1, 1, 1]), bins=4)
    assert bins.count.tolist() == [2, 0, 2, 0]
    assert bins.claimed.tolist() == pytest.approx([0.15, 0, 0.65, 0])
    assert bins.observed.tolist() == [0.5, 0, 1, 0]


@given(st.integers(1, 200).flatmap(lambda bins: st.tuples(st.integers(0, bins), st.just(bins))))
def test_an_edge_belongs_to_the_bin_above_it_and_one_to_the_last(edge: tuple[int, int]):
    k, bins = edge  # k / bins * bins is not always k: 1 / 49 * 49 < 1
    claimed = torch.tensor([k / bins], dtype=torch.float64)
    assert equal_width(claimed, torch.ones(1), bins).count.argmax() == min(k, bins - 1)


def test_equal_mass_by_hand():
    claimed, observed = torch.tensor([0.9, 0.1, 0.6, 0.2, 0.5]), torch.tensor([1, 0, 1, 1, 0])
    bins = equal_mass(claimed, observed, bins=2)  # 0.1 0.2 0.5 | 0.6 0.9
    assert bins.count.tolist() == [3, 2]
    assert bins.claimed.tolist() == pytest.approx([0.8 / 3, 0.75])
    assert bins.observed.tolist() == pytest.approx([1 / 3, 1])


def test_equal_mass_does_not_read_meaning_into_the_order_of_equal_claims():
    observed = torch.arange(100) >= 50  # claimed 1/2 and right half the time, with all wrong rows first
    assert equal_mass(torch.full((100,), 0.5), observed, bins=10).expected_error() == 0


@given(claims, st.integers(1, 50))
def test_equal_mass_sizes_differ_by_at_most_one(claimed: list[float], bins: int):
    count = equal_mass(*rows(claimed, 0), bins).count
    assert count.max() - count.min() <= 1
    assert (count > 0).sum() == min(bins, len(claimed))


@pytest.mark.parametrize("binning", BINNINGS)
@given(claimed=claims, seed=st.integers(0, 100), bins=st.integers(1, 20))
def test_bins_keep_every_row_once_and_forget_its_place(binning, claimed: list[float], seed: int, bins: int):
    claim, right = rows(claimed, seed)
    drawn = binning(claim, right, bins)
    assert drawn.count.sum() == len(claimed)
    torch.testing.assert_close((drawn.count * drawn.claimed).sum(), claim.sum())
    torch.testing.assert_close((drawn.count * drawn.observed).sum(), right.double().sum())

    order = torch.randperm(len(claimed), generator=torch.Generator().manual_seed(seed))
    again = binning(claim[order], right[order], bins)
    torch.testing.assert_close(again.observed, drawn.observed)
    assert again.expected_error() == pytest.approx(drawn.expected_error(), abs=1e-12)


@pytest.mark.parametrize("binning", BINNINGS)
@given(claimed=claims, seed=st.integers(0, 100))
def test_one_bin_is_the_gap_of_the_means_and_more_bins_never_show_less(binning, claimed: list[float], seed: int):
    claim, right = rows(claimed, seed)
    gap = abs(claim.mean() - right.double().mean()).item()
    assert binning(claim, right, 1).expected_error() == pytest.approx(gap, abs=1e-12)
    assert binning(claim, right, 15).expected_error() >= gap - 1e-12


@pytest.mark.parametrize("binning", BINNINGS)
def test_sums_are_float64_whatever_comes_in(binning):
    n = 1_000_000  # a float32 sum of these is off in the third digit
    bins = binning(torch.full((n,), 0.1, dtype=torch.float32), np.ones(n, dtype=np.int8), 1)
    assert bins.claimed.item() == pytest.approx(torch.tensor(0.1).item(), rel=1e-9)
    assert bins.claimed.dtype == bins.observed.dtype == torch.float64


@pytest.mark.parametrize("binning", BINNINGS)
def test_advice(binning):
    one = torch.ones(3)
    with pytest.raises(SettingError, match="bins is 0, expected at least 1"):
        binning(one, one, 0)
    with pytest.raises(ShapeError, match=r"claimed has shape \(3,\) and observed \(2,\)"):
        binning(one, one[:2])
    with pytest.raises(ShapeError, match="at least one row"):
        binning(one[:0], one[:0])
    with pytest.raises(DataError, match="NaN"):
        binning(one / 0, one)
    with pytest.raises(DataError, match="NaN"):
        binning(one, one * torch.nan)


def test_only_equal_width_is_confined_to_the_unit_interval():
    claimed = torch.tensor([-0.5, 3.0])
    assert equal_mass(claimed, claimed, 2).claimed.tolist() == [-0.5, 3]
    for beyond in claimed:
        with pytest.raises(DataError, match=r"expected \[0, 1\]; equal_mass takes any range"):
            equal_width(beyond[None], beyond[None])
