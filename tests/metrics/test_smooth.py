import importlib
import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import equal_width, smooth_curve, smooth_ece, smooth_error, smooth_reliability

Draw = Callable[..., tuple[Tensor, Tensor]]
Real = tuple[np.ndarray, np.ndarray, float, float]
claims = st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1), min_size=1, max_size=30)


def relplot():
    """relplot, whose import warns of its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("relplot")
        except ImportError:
            pytest.skip("relplot is not installed: pip install relplot")


def rows(claimed: list[float], seed: int = 0) -> tuple[Tensor, Tensor]:
    observed = torch.rand(len(claimed), generator=torch.Generator().manual_seed(seed)) < 0.5
    return torch.tensor(claimed, dtype=torch.float64), observed


def by_definition(claimed: Tensor, observed: Tensor, bandwidth: float) -> float:
    """The integral, on a grid of its own, of the sum of Gaussians around each row and its mirror images."""
    grid = torch.linspace(0, 1, 5001, dtype=torch.float64)[:, None]
    images = torch.cat([claimed + 2 * k for k in range(-4, 5)] + [2 * k - claimed for k in range(-4, 5)])
    kernel = (-0.5 * ((grid - images) / bandwidth) ** 2).exp() / (bandwidth * math.sqrt(2 * math.pi))
    residual = kernel @ (observed.double() - claimed).repeat(18) / len(claimed)
    return float(torch.trapezoid(residual.abs(), grid[:, 0]))


@given(claimed=claims, seed=st.integers(0, 100), bandwidth=st.floats(0.01, 1))
def test_the_error_is_the_papers_integral(claimed: list[float], seed: int, bandwidth: float):
    claim, right = rows(claimed, seed)
    assert smooth_curve(claim, right, bandwidth).error == pytest.approx(
        by_definition(claim, right, bandwidth), abs=2e-3
    )


@given(claimed=claims, seed=st.integers(0, 100), bandwidth=st.floats(0.01, 1))
def test_the_curve_shows_the_error(claimed: list[float], seed: int, bandwidth: float):
    curve = smooth_curve(*rows(claimed, seed), bandwidth)
    assert torch.trapezoid(curve.density, curve.claimed).item() == pytest.approx(1)
    shown = (curve.density * (curve.observed - curve.claimed).abs()).nan_to_num()
    assert torch.trapezoid(shown, curve.claimed).item() == pytest.approx(curve.error, abs=1e-5)


@settings(max_examples=30)
@given(claimed=claims, seed=st.integers(0, 100))
def test_the_bandwidth_is_where_error_and_bandwidth_meet(claimed: list[float], seed: int):
    curve = smooth_curve(*rows(claimed, seed))
    if curve.bandwidth > 1e-3:
        assert curve.error == pytest.approx(curve.bandwidth, abs=1e-9)
    else:
        assert curve.error <= curve.bandwidth + 1e-9
    errors = [smooth_curve(*rows(claimed, seed), bandwidth).error for bandwidth in (0.01, 0.1, 0.5, 1)]
    assert all(more >= less - 1e-9 for more, less in itertools.pairwise(errors))


@settings(max_examples=30)
@given(claimed=claims, seed=st.integers(0, 100))
def test_it_lies_between_the_gap_of_the_means_and_the_mean_gap(claimed: list[float], seed: int):
    claim, right = rows(claimed, seed)
    residual = right.double() - claim
    assert abs(residual.mean().item()) - 1e-9 <= smooth_error(claim, right) <= residual.abs().mean().item() + 1e-7


def test_closed_forms():
    assert smooth_error(torch.full((8,), 0.75), torch.ones(8)) == pytest.approx(0.25)
    assert smooth_error(torch.ones(8), torch.zeros(8)) == pytest.approx(1)
    assert smooth_error(torch.ones(8), torch.arange(8) % 2) == pytest.approx(0.5)  # an end counts like any other place
    assert smooth_error(torch.full((8,), 0.5), torch.arange(8) % 2) == pytest.approx(0, abs=1e-12)


def test_a_small_change_of_the_claims_is_a_small_change_of_the_error():
    """Half of the rows claim 0.5 - e and are right, half 0.5 + e and are wrong: bins jump at e = 0, this does not."""
    right = torch.tensor([1.0, 0.0]).repeat(50)
    for epsilon in (0.0, 1e-6, 1e-3):
        claimed = torch.tensor([0.5 - epsilon, 0.5 + epsilon], dtype=torch.float64).repeat(50)
        assert smooth_error(claimed, right) < 0.03
        binned = equal_width(claimed, right, bins=2).expected_error()
        assert binned == pytest.approx(0.5 if epsilon else 0, abs=2e-3)


def test_a_calibrated_predictor_errs_by_sampling_only(predictions: Draw):
    errors = [smooth_ece(*predictions(n, 4)) for n in (200, 20_000)]
    assert errors[0] < 0.1
    assert errors[1] < 0.015
    probs, labels = predictions(20_000, 4)
    sharpened = probs.square() / probs.square().sum(1, keepdim=True)
    assert smooth_ece(sharpened, labels) > 0.1


@pytest.mark.parametrize("n", [10, 1000, 50_000])
def test_relplot_agrees_away_from_the_ends(n: int):
    generator = np.random.default_rng(n)
    claimed = generator.uniform(0.05, 0.95, n)
    observed = (generator.random(n) < claimed**1.3).astype(float)
    theirs = relplot()
    assert smooth_error(claimed, observed) == pytest.approx(theirs.smECE(claimed, observed), abs=1e-3)
    for bandwidth in (0.02, 0.1):
        error = theirs.smECE_sigma(claimed, observed, sigma=bandwidth)
        assert smooth_curve(claimed, observed, bandwidth).error == pytest.approx(error, rel=0.02)


def test_relplot_counts_certain_rows_half_and_we_do_not():
    """Known of relplot 1.0: what lies on an end of its grid has half its weight."""
    claimed, observed = np.array([1.0, 0.5] * 50), np.array([0.0, 0, 0, 1] * 25)
    assert smooth_error(claimed, observed) == pytest.approx(1 / 2, abs=0.01)  # half of the rows claim 1, all wrongly
    assert relplot().smECE(claimed, observed) == pytest.approx((1 / 4) / (1 / 4 + 1 / 2), abs=0.01)


def test_real_predictions_err_on_one_side(real: Real):
    probs, labels, _, known = real  # both networks are overconfident throughout: nothing cancels, binned or smooth
    assert smooth_ece(probs, labels) == pytest.approx(known, abs=5e-4)


def test_where_no_row_is_near_there_is_no_curve():
    curve = smooth_curve(torch.tensor([0.1, 0.1]), torch.tensor([0, 1]), bandwidth=0.01)
    assert curve.observed[-1].isnan()
    assert curve.observed[410].item() == pytest.approx(0.5, abs=0.01)  # at 0.1
    near = ~curve.observed.isnan()
    assert near[200:600].all()
    assert not near[1200:].any()


def test_smooth_reliability_is_of_the_top_label():
    probs, labels = torch.tensor([[0.25, 0.75], [0.75, 0.25]]), torch.tensor([1, 0])
    curve = smooth_reliability(probs, labels, bandwidth=0.05)
    assert curve.density.argmax().item() / 4096 == pytest.approx(0.75, abs=1e-3)
    assert curve.observed[3072].item() == pytest.approx(1)
    assert curve.bandwidth == 0.05


def test_advice():
    one = torch.ones(3)
    with pytest.raises(ShapeError, match=r"claimed has shape \(3,\) and observed \(2,\)"):
        smooth_error(one, one[:2])
    with pytest.raises(DataError, match=r"claimed spans 2 to 2, expected \[0, 1\]"):
        smooth_error(2 * one, one)
    for bandwidth in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(SettingError, match=r"expected 0.00024 to 1, or None"):
            smooth_curve(one, one, bandwidth)
