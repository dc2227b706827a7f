import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import (
    GaussianMetrics,
    crps,
    ence,
    gaussian_metrics,
    gaussian_nll,
    gaussian_of_members,
    gaussian_of_samples,
    gaussian_of_variance,
    gaussian_sharpness,
    interval_coverage,
    interval_width,
    mae,
    pinball,
    quantile_calibration_error,
    quantile_reliability,
    uce,
    variance_reliability,
)

METRICS = [
    gaussian_nll, crps, uce, ence, quantile_calibration_error, pinball, interval_coverage, variance_reliability,
    quantile_reliability, gaussian_metrics,
]  # fmt: skip
IN_TARGET_UNITS = {"crps": 1, "uce": 2, "pinball": 1, "width_90": 1, "gaussian_sharpness": 1}  # power of the unit


def predictions(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, std, targets), each (n,), the targets drawn from what was predicted: perfectly calibrated."""
    generator = torch.Generator().manual_seed(seed)
    mean, log_std, z = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(3))
    std = (log_std / 2).exp()
    return 3 * mean, std, 3 * mean + std * z


def off(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The same, biased and over-confident."""
    mean, std, targets = predictions(n, seed)
    return mean + 0.3, 0.6 * std, targets


# ------------------------------------------------------------------------------- somebody else's implementation


@pytest.mark.parametrize("case", [predictions, off])
def test_scipy_agrees(case):
    mean, std, targets = case(200)
    law = {"loc": mean.numpy(), "scale": std.numpy()}
    assert gaussian_nll(mean, std, targets) == pytest.approx(-stats.norm.logpdf(targets.numpy(), **law).mean())
    low, high = stats.norm.interval(0.8, **law)
    inside = (low <= targets.numpy()) & (targets.numpy() <= high)
    assert interval_coverage(mean, std, targets, 0.8) == inside.mean()
    assert interval_width(std, 0.8) == pytest.approx((high - low).mean())
    ranks = stats.norm.cdf(targets.numpy(), **law)
    fine = np.linspace(0, 1, 200_001)
    distance = stats.wasserstein_distance(ranks, (fine[1:] + fine[:-1]) / 2)
    assert quantile_calibration_error(mean, std, targets) == pytest.approx(distance, abs=1e-5)


@given(st.floats(-5, 5), st.floats(0.1, 10), st.floats(-5, 5))
def test_crps_is_the_integral_it_is_defined_by(mean: float, std: float, target: float):
    def squared(x: float) -> float:
        return float(stats.norm.cdf(x, mean, std) - (target <= x)) ** 2

    low, high = min(mean - 12 * std, target - 1), max(mean + 12 * std, target + 1)
    integral = integrate.quad(squared, low, target, limit=200)[0] + integrate.quad(squared, target, high, limit=200)[0]
    assert crps(*torch.tensor([[mean], [std], [target]], dtype=torch.float64)) == pytest.approx(integral, abs=1e-6)


@pytest.mark.parametrize("case", [predictions, off])
def test_uncertainty_toolbox_agrees(case):
    scoring = pytest.importorskip("uncertainty_toolbox.metrics_scoring_rule")
    calibration = pytest.importorskip("uncertainty_toolbox.metrics_calibration")
    mean, std, targets = case(500)
    theirs = mean.numpy(), std.numpy(), targets.numpy()
    assert gaussian_nll(mean, std, targets) == pytest.approx(scoring.nll_gaussian(*theirs))
    assert crps(mean, std, targets) == pytest.approx(scoring.crps_gaussian(*theirs))
    assert pinball(mean, std, targets) == pytest.approx(scoring.check_score(*theirs))
    assert gaussian_sharpness(std) == pytest.approx(calibration.sharpness(theirs[1]))
    # their levels 0, 1/101, ..., 1 hold the two ends, where nobody errs
    mace = calibration.mean_absolute_calibration_error(*theirs, num_bins=102, prop_type="quantile")
    assert quantile_reliability(mean, std, targets, levels=100).expected_error() == pytest.approx(mace * 102 / 100)
    area = calibration.miscalibration_area(*theirs, num_bins=2000, prop_type="quantile")
    assert quantile_calibration_error(mean, std, targets) == pytest.approx(area, abs=1e-4)


@pytest.mark.parametrize("case", [predictions, off])
def test_netcal_agrees(case):
    netcal = pytest.importorskip("netcal.metrics.regression")
    mean, std, targets = case(600)
    # Variances 1 to 6, a hundred rows of each: bins of equal width are then bins of equal mass.
    std = torch.arange(1, 7, dtype=torch.float64).repeat(100).sqrt()
    targets = mean + std * (targets - mean)
    theirs = (mean.numpy(), std.numpy()), targets.numpy()
    assert uce(mean, std, targets, 6) == pytest.approx(float(netcal.UCE(bins=6).measure(*theirs)))
    edges = [(1 - 1e-9, math.sqrt(6))]  # ENCE bins by the standard deviation: finer than its smallest step
    assert ence(mean, std, targets, 6) == pytest.approx(float(netcal.ENCE(bins=40).measure(*theirs, range_=edges)))
    assert gaussian_nll(mean, std, targets) == pytest.approx(netcal.NLL().measure(*theirs).item())
    marginal = netcal.QCE(marginal=True).measure(*theirs, q=np.array([0.9]))  # of the central interval
    assert abs(interval_coverage(mean, std, targets, 0.9) - 0.9) == pytest.approx(np.asarray(marginal).item())


# --------------------------------------------------------------------------------------------- laws and limits


def test_sigma_doubled_gives_ence_a_half_and_uce_three_variances():
    n = 200_000
    mean, std, targets = predictions(n)
    assert ence(mean, 2 * std, targets) == pytest.approx(0.5, abs=0.01)
    assert uce(mean, 2 * std, targets) == pytest.approx(3 * std.square().mean().item(), rel=0.02)
    # exactly, where every error is as large as was claimed
    exact = mean, 2 * std, mean + std
    assert ence(*exact) == pytest.approx(0.5, rel=1e-12)
    assert uce(*exact) == pytest.approx(3 * std.square().mean().item(), rel=1e-12)


@pytest.mark.parametrize("n", [2000, 50_000])
def test_a_calibrated_predictor_errs_by_sampling_only(n: int):
    bins = 15
    measured = [gaussian_metrics(*predictions(n, seed), bins) for seed in range(20)]
    over_seeds = {name: np.mean([metrics[name] for metrics in measured]) for name in measured[0]}
    assert over_seeds["ence"] == pytest.approx(math.sqrt(bins / (math.pi * n)), rel=0.2)
    # the expected integral of |Brownian bridge| over [0, 1]
    bridge = math.sqrt(math.pi / 32)
    assert over_seeds["quantile_calibration_error"] == pytest.approx(bridge / math.sqrt(n), rel=0.3)
    # a bin's gap has standard deviation sqrt(2 E[var^2] / n_b) and nearly a normal law
    gap = math.sqrt(2 / math.pi) * math.sqrt(2 * math.exp(2) * bins / n)  # var = exp(N(0, 1)): E[var^2] = e^2
    assert 0.2 * gap < over_seeds["uce"] < 1.1 * gap  # Jensen: bins of small variance add less
    assert over_seeds["coverage_90"] == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / (20 * n)))


def test_the_true_standard_deviation_scores_best():
    mean, std, targets = predictions(20_000)
    for score in (gaussian_nll, crps, pinball):
        best = score(mean, std, targets)
        assert best < min(score(mean, factor * std, targets) for factor in (0.5, 0.8, 1.25, 2))
        assert best < score(mean + 0.2, std, targets)


def test_limits():
    mean, std, targets = predictions(300)
    assert crps(mean, std * 1e-12, targets) == pytest.approx(mae(mean, targets))
    assert crps(mean, std, targets) == pytest.approx(2 * pinball(mean, std, targets, levels=5000), rel=1e-3)
    many = quantile_reliability(mean, std, targets, levels=20_000).expected_error()
    assert quantile_calibration_error(mean, std, targets) == pytest.approx(many, abs=1e-4)
    assert quantile_calibration_error(mean + 1e6, std, targets) == pytest.approx(0.5)
    assert interval_coverage(mean, std * 1e9, targets, 0.01) == 1


@given(st.integers(1, 40), st.integers(0, 1000))
def test_a_median_rank_grid_is_as_even_as_n_ranks_can_be(n: int, seed: int):
    ranks = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    z = torch.special.ndtri(ranks)
    shuffled = z[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
    assert quantile_calibration_error(torch.zeros(n), torch.ones(n), shuffled) == pytest.approx(1 / (4 * n))


def test_the_curve_of_narrow_predictions_is_flat_in_the_middle():
    mean, std, targets = predictions(5000)
    curve = quantile_reliability(mean, std / 2, targets, levels=9)
    assert curve.claimed.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert (curve.observed[:4] > curve.claimed[:4] + 0.03).all()
    assert (curve.observed[5:] < curve.claimed[5:] - 0.03).all()
    assert curve.count.tolist() == [5000] * 9


def test_faults_that_cancel_show_in_ence_alone():
    mean, std, _ = predictions(20_000)
    generator = torch.Generator().manual_seed(1)
    wide = torch.rand(20_000, generator=generator) < 0.5
    # one half claims twice the error, the other a half; drawn so that the ranks of all rows are nearly uniform
    truth = torch.where(wide, 0.5, 1.5)
    claimed = torch.where(wide, torch.full_like(std, 1.5), torch.full_like(std, 0.9))
    targets = mean + truth * claimed * torch.randn(20_000, generator=generator, dtype=torch.float64)
    assert ence(mean, claimed, targets, bins=2) > 0.4
    assert quantile_calibration_error(mean, claimed, targets) < 0.04


@given(st.integers(1, 60), st.floats(0.01, 100), st.integers(0, 1000))
def test_rows_have_no_order_and_units_cancel(n: int, unit: float, seed: int):
    mean, std, targets = off(n, seed)
    expected = gaussian_metrics(mean, std, targets)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert gaussian_metrics(mean[order], std[order], targets[order]) == pytest.approx(expected)
    scaled = gaussian_metrics(unit * mean, unit * std, unit * targets)
    expected["nll"] += math.log(unit)
    assert scaled == pytest.approx({k: v * unit ** IN_TARGET_UNITS.get(k, 0) for k, v in expected.items()}, rel=1e-6)


def test_several_outputs_are_pooled():
    values = off(60)
    mean, std, targets = (column.reshape(20, 3) for column in values)
    assert gaussian_metrics(mean, std, targets) == pytest.approx(gaussian_metrics(*values))


def test_one_row():
    measured = gaussian_metrics(torch.tensor([0.0]), torch.tensor([2.0]), torch.tensor([1.0]))
    assert measured["ence"] == 0.5
    assert measured["uce"] == 3
    assert (measured["coverage_90"], measured["gaussian_sharpness"]) == (1, 2)
    # a rank of u: u^2 / 2 below it, (1 - u)^2 / 2 above
    u = float(stats.norm.cdf(0.5))
    assert measured["quantile_calibration_error"] == pytest.approx((u**2 + (1 - u) ** 2) / 2)


@given(st.integers(1, 20), st.integers(15, 40))
def test_fewer_rows_than_bins(n: int, bins: int):
    mean, std, targets = off(n)
    gaps = (std - (targets - mean).abs()).abs() / std
    assert ence(mean, std, targets, max(bins, n)) == pytest.approx(gaps.mean().item())


def test_all_names_in_order():
    mean, std, targets = off(50)
    measured = gaussian_metrics(mean, std, targets, bins=5)
    assert list(measured.items()) == [
        ("nll", gaussian_nll(mean, std, targets)),
        ("crps", crps(mean, std, targets)),
        ("uce", uce(mean, std, targets, 5)),
        ("ence", ence(mean, std, targets, 5)),
        ("quantile_calibration_error", quantile_calibration_error(mean, std, targets)),
        ("pinball", pinball(mean, std, targets)),
        ("coverage_90", interval_coverage(mean, std, targets)),
        ("width_90", interval_width(std)),
        ("gaussian_sharpness", gaussian_sharpness(std)),
    ]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 100))
def test_batches_give_what_all_rows_give(sizes: list[int], seed: int):
    whole = off(sum(sizes), seed)
    stream = GaussianMetrics(bins=4)
    for mean, std, targets in zip(*(values.split(sizes) for values in whole), strict=True):
        stream = stream.update(mean.numpy(), std, targets)
    assert stream.compute() == gaussian_metrics(*whole, bins=4)


def test_float32_is_computed_in_float64():
    mean, std, targets = (values.float() for values in off(1000))
    in_double = gaussian_metrics(mean.double(), std.double(), targets.double())
    assert gaussian_metrics(mean.requires_grad_(), std.numpy(), targets) == in_double


# ------------------------------------------------------------------------------------------- samples and members


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 100))
def test_the_moments_are_those_of_the_mixture(members: int, n: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    means, log = (torch.randn(members, n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    variances = log.exp()
    mean, std = gaussian_of_members(means, variances)
    second = (variances + means.square()).mean(0)
    torch.testing.assert_close(mean, means.mean(0))
    torch.testing.assert_close(std.square(), second - mean.square(), atol=1e-9, rtol=1e-9)
    if members == 1:
        torch.testing.assert_close((mean, std), gaussian_of_variance(means[0], variances[0]))


def test_samples_and_a_head_become_the_same_distribution():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(500, generator=generator, dtype=torch.float64)
    doubt = 0.5 * torch.randn(400, 500, generator=generator, dtype=torch.float64)
    mean, std = gaussian_of_samples((truth + doubt).numpy(), noise_std=1.2)
    torch.testing.assert_close(std, torch.full_like(std, 1.3), atol=0.1, rtol=0)  # sqrt(0.5^2 + 1.2^2)
    torch.testing.assert_close(mean, truth, atol=0.15, rtol=0)
    alone = gaussian_of_samples(truth + doubt)[1]
    torch.testing.assert_close(alone, (truth + doubt).std(0, correction=0))


def test_a_mean_and_a_std_are_not_two_samples():
    """The trap: (mean, std) stacked and read as two stochastic passes."""
    mean, std, targets = predictions(2000)
    right = ence(mean, std, targets)
    trapped = ence(*gaussian_of_samples(torch.stack([mean, std])), targets)
    assert right < 0.1 < 0.3 < trapped


# ------------------------------------------------------------------------------------------------------- advice


@pytest.mark.parametrize("metric", METRICS)
def test_advice(metric):
    column = torch.ones(3, 1)
    with pytest.raises(ShapeError, match=r"\(3, 1\), \(3, 1\) and \(3,\).*squeeze"):
        metric(column, column, column[:, 0])  # would broadcast to (3, 3)
    with pytest.raises(ShapeError, match=r"expected \(n,\) or \(n, d\)"):
        metric(column[None], column[None], column[None])
    with pytest.raises(ShapeError, match="at least one row"):
        metric(column[:0], column[:0], column[:0])
    for bad in (torch.nan, torch.inf):
        for k in range(3):
            with pytest.raises(DataError, match="NaN"):
                metric(*(column * bad if k == j else column for j in range(3)))
    for bad in (0, -1):
        with pytest.raises(DataError, match=rf"std is as low as {bad}.*standard deviations.*noise_std"):
            metric(column, column * bad, column)


def test_advice_about_settings():
    column = torch.ones(3)
    for level in (0, 1, 1.5, math.nan):
        with pytest.raises(SettingError, match=r"a probability in \(0, 1\)"):
            interval_coverage(column, column, column, level)
        with pytest.raises(SettingError, match=r"a probability in \(0, 1\)"):
            interval_width(column, level)
    for metric in (pinball, quantile_reliability):
        with pytest.raises(SettingError, match="levels is 0"):
            metric(column, column, column, 0)
    for metric in (uce, ence, variance_reliability):
        with pytest.raises(SettingError, match="bins is 0"):
            metric(column, column, column, 0)
    for metric in (interval_width, gaussian_sharpness):
        with pytest.raises(DataError, match="std is as low as -1"):
            metric(-column)


def test_advice_about_samples():
    table = torch.ones(4, 3)
    for make in (gaussian_of_variance, gaussian_of_members):
        with pytest.raises(DataError, match=r"as low as -1.*log variance s, pass s.exp\(\)"):
            make(table, -table)
        with pytest.raises(ShapeError, match=r"\(4, 3\) and variance \(3,\)"):
            make(table, table[0])
        with pytest.raises(DataError, match="NaN"):
            make(table, table * torch.nan)
    for wrong in (table[0], table[None, None], table[:0]):
        with pytest.raises(ShapeError, match="first dimension"):
            gaussian_of_samples(wrong)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="noise_std"):
            gaussian_of_samples(table, bad)


def test_advice_about_batches():
    with pytest.raises(SettingError, match="call update first"):
        GaussianMetrics().compute()
    with pytest.raises(SettingError, match="bins is 0"):
        GaussianMetrics(bins=0)
    stream = GaussianMetrics().update(*off(4))
    with pytest.raises(ShapeError, match="as in earlier batches"):
        stream.update(*(values[:, None] for values in off(4)))
    assert stream.compute() == gaussian_metrics(*off(4))
