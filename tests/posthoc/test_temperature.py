import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import SettingError
from calmix.metrics import ece
from calmix.posthoc import CalibrationGaussian, CalibrationLogits, Temperature, fit_temperature, temperature_interval
from calmix.posthoc.calibration import folds_of
from calmix.posthoc.temperature import cross_fitted_nll

COLDEST, HOTTEST = math.exp(-5), math.exp(5)


def drawn(temperature: float, n: int = 2000, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (n, K) and labels (n,) drawn from softmax(logits / temperature)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits * temperature, labels


def nll(logits: Tensor, labels: Tensor, temperature: float = 1) -> float:
    return cross_entropy(logits.double() / temperature, labels).item()


@pytest.mark.parametrize("true", [0.02, 0.5, 1, 3, 50])
def test_it_finds_the_temperature_that_made_the_labels(true: float):
    fitted = fit_temperature(CalibrationLogits(*drawn(true, n=20_000))).value
    assert fitted == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("prior_sd", [math.inf, 0.5, 0.1])
@pytest.mark.parametrize("true", [0.02, 0.5, 1, 3, 50])
def test_the_gradient_is_zero_and_scipy_agrees(true: float, prior_sd: float):
    logits, labels = drawn(true)
    fitted = fit_temperature(CalibrationLogits(logits, labels), prior_sd).value
    t = torch.tensor(fitted, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(logits / t, labels, reduction="sum"), t)
    assert fitted * gradient.item() + math.log(fitted) / prior_sd**2 == pytest.approx(0, abs=1e-4)

    def loss(log_t: float) -> float:  # the logarithm of likelihood times prior, but for a constant
        prior = stats.norm.logpdf(log_t, scale=min(prior_sd, 1e9))
        return len(labels) * nll(logits, labels, math.exp(log_t)) - float(prior)

    theirs = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    assert math.log(fitted) == pytest.approx(theirs.x, abs=1e-5)


def test_an_infinite_deviation_is_the_maximum_of_the_likelihood_and_many_rows_come_near_it():
    gaps = []
    for n in (100, 1000, 10_000):
        calibration = CalibrationLogits(*drawn(2, n))
        likeliest, fitted = (math.log(fit_temperature(calibration, sd).value) for sd in (math.inf, 0.5))
        assert 0 < fitted < likeliest
        gaps.append(n * (likeliest - fitted))  # the penalty does not grow with n
    assert gaps[2] == pytest.approx(gaps[1], rel=0.2)
    assert gaps[2] / 10_000 < 1e-3


@given(st.integers(1, 100), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([0.25, 0.5, 1.0]), st.integers(0, 100))
def test_rows_that_are_all_right_sharpen_no_further_than_they_say(n: int, size: float, prior_sd: float, seed: int):
    """The penalty cannot exceed what the likelihood gains, which is sum NLL(1) at most."""
    logits = size * drawn(1, n, seed=seed)[0]
    labels = logits.argmax(1)
    fitted = fit_temperature(CalibrationLogits(logits, labels), prior_sd).value
    assert -prior_sd * math.sqrt(2 * n * nll(logits, labels)) <= math.log(fitted) <= 0


def test_small_splits_are_no_trap():
    """Of an honest network that is right in 98 of 100 rows, 50 rows are all right in a third of the splits."""
    logits, labels = drawn(1, n=20_000)
    logits, labels = (
        6 * logits,
        (6 * logits).softmax(1).multinomial(1, generator=torch.Generator().manual_seed(1))[:, 0],
    )
    rest, rest_labels = logits[10_000:], labels[10_000:]
    before, after = nll(rest, rest_labels), {0.5: [], math.inf: []}
    for rows in torch.arange(10_000).split(50)[:100]:
        for prior_sd, found in after.items():
            fitted = fit_temperature(CalibrationLogits(logits[rows], labels[rows]), prior_sd)
            found.append(nll(rest, rest_labels, fitted.value))
    assert np.mean(after[0.5]) < 1.1 * before
    assert max(after[0.5]) < 1.5 * before
    assert np.mean(after[math.inf]) > 3 * before


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_holds_the_true_temperature_as_often_as_it_says(level: float):
    held = 0
    for seed in range(150):
        low, high = temperature_interval(CalibrationLogits(*drawn(1.5, n=100, seed=seed)), level)
        held += low <= 1.5 <= high
    assert stats.binomtest(held, 150, level).pvalue > 1e-3


def test_the_ends_of_the_interval_are_those_of_the_likelihood_ratio():
    logits, labels = drawn(1.5, n=100)
    calibration = CalibrationLogits(logits, labels)
    best = fit_temperature(calibration, math.inf).value
    for end in temperature_interval(calibration, 0.9):
        ratio = 2 * len(labels) * (nll(logits, labels, end) - nll(logits, labels, best))
        assert stats.chi2(1).cdf(ratio) == pytest.approx(0.9, abs=1e-4)


def test_the_interval_is_open_where_nothing_ends_it():
    logits, _ = drawn(1, n=30)
    low, high = temperature_interval(CalibrationLogits(logits, logits.argmax(1)))
    assert low == pytest.approx(COLDEST)
    assert 0 < high < 1  # thirty unsure rows, all right
    assert temperature_interval(CalibrationLogits(8 * logits, logits.argmax(1)))[1] > 1  # as these should be
    assert temperature_interval(CalibrationLogits(logits, logits.argmin(1)))[1] == pytest.approx(HOTTEST)
    same = CalibrationLogits(torch.zeros(7, 3), torch.arange(7) % 3)
    assert temperature_interval(same) == (pytest.approx(COLDEST), pytest.approx(HOTTEST))


def test_two_logits_in_closed_form():
    logits = torch.tensor([[4.0, 0.0]]).repeat(10, 1)
    labels = torch.tensor([0] * 9 + [1])  # sigmoid(4 / T) = 9 / 10
    fitted = fit_temperature(CalibrationLogits(logits, labels), math.inf)
    assert fitted.value == pytest.approx(4 / math.log(9), rel=1e-7)


@pytest.mark.parametrize("factor", [0.03, 0.5, 20])
def test_a_multiple_of_the_logits_is_a_multiple_of_the_temperature(factor: float):
    logits, labels = drawn(1.5)
    base = fit_temperature(CalibrationLogits(logits, labels), math.inf)
    scaled = fit_temperature(CalibrationLogits(factor * logits, labels), math.inf)
    assert scaled.value == pytest.approx(factor * base.value, rel=1e-6)
    torch.testing.assert_close(scaled(factor * logits), base(logits), rtol=1e-6, atol=0)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(2, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.integers(0, 100),
    st.sampled_from([0.5, math.inf]),
)
def test_any_finite_logits_give_a_bounded_temperature_that_is_no_worse_than_one(
    table: np.ndarray, seed: int, prior_sd: float
):
    logits = torch.from_numpy(table)
    labels = torch.randint(table.shape[1], (len(table),), generator=torch.Generator().manual_seed(seed))
    fitted = fit_temperature(CalibrationLogits(logits, labels), prior_sd).value
    assert COLDEST <= fitted <= HOTTEST
    before = nll(logits, labels)
    assert nll(logits, labels, fitted) <= before + 1e-12 * max(1, before)


def test_where_the_likelihood_has_no_optimum_the_bound_holds():
    logits, _ = drawn(1)
    assert fit_temperature(CalibrationLogits(logits, logits.argmin(1)), math.inf).value == pytest.approx(HOTTEST)
    separable = fit_temperature(CalibrationLogits(logits / 100, logits.argmax(1)), math.inf).value
    assert separable == pytest.approx(COLDEST)


@pytest.mark.parametrize("seed", range(5))
def test_an_optimum_near_the_bound_is_not_jumped_over(seed: int):
    logits, labels = drawn(math.exp(-4.5), n=300, classes=2, seed=seed)
    assert -5 < math.log(fit_temperature(CalibrationLogits(logits, labels), math.inf).value) < -4


@pytest.mark.parametrize("seed", range(4))
def test_of_two_minima_the_better_is_found(seed: int):
    """Tiny logits: near 1, where they make no difference, the prior alone has a minimum."""
    logits, labels = drawn(math.exp(-4.8), n=80, seed=seed)
    assert math.log(fit_temperature(CalibrationLogits(logits, labels)).value) < -4


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e10])
def test_constant_logits_leave_the_temperature_at_one(constant: float):
    assert fit_temperature(CalibrationLogits(torch.full((7, 3), constant), torch.arange(7) % 3)).value == 1


def test_fitting_is_deterministic_and_leaves_no_trace():
    logits, labels = drawn(2)
    logits.requires_grad_()
    before, state = logits.detach().clone(), torch.get_rng_state()
    assert fit_temperature(CalibrationLogits(logits, labels)) == fit_temperature(CalibrationLogits(logits, labels))
    assert logits.grad is None
    assert torch.equal(logits, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_fits_inside_an_evaluation_loop(mode):
    outside = fit_temperature(CalibrationLogits(*drawn(2)))
    with mode():
        assert fit_temperature(CalibrationLogits(*drawn(2))) == outside


def test_a_temperature_scales_logits_in_their_own_dtype():
    logits = torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16, requires_grad=True)
    halved = Temperature(2.0)(logits)
    assert halved.tolist() == [[0.5, 1.5]]
    assert (halved.dtype, halved.requires_grad) == (torch.bfloat16, True)
    assert eval(repr(Temperature(2.0))) == Temperature(2.0)


@pytest.mark.parametrize(("name", "fewest"), [("cifar10_lenet5", 4), ("cifar10_wrn16_4", 2)])
def test_real_over_confident_networks_are_calibrated_on_the_other_half(name: str, fewest: float, real_data: Path):
    file = np.load(real_data / "predictions" / f"{name}.npz")
    logits, labels = torch.from_numpy(file["probs"]).log(), torch.from_numpy(file["labels"])
    temperature = fit_temperature(CalibrationLogits(logits[::2], labels[::2]))
    assert temperature.value > 1
    rest, rest_labels = logits[1::2], labels[1::2]
    before, after = (ece(z.softmax(1), rest_labels) for z in (rest, temperature(rest)))
    assert after < before / fewest
    assert nll(rest, rest_labels, temperature.value) < nll(rest, rest_labels)
    assert torch.equal(temperature(rest).argmax(1), rest.argmax(1))


def test_advice():
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    for wrong in (logits, (logits, labels), CalibrationGaussian(logits, logits + 1, logits)):
        with pytest.raises(SettingError, match=r"pass CalibrationLogits\(logits, labels\) of the calibration split"):
            fit_temperature(wrong)  # pyright: ignore[reportArgumentType]
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(SettingError, match=r"expected a positive number; for no prior pass math.inf"):
            fit_temperature(CalibrationLogits(logits, labels), bad)
    for bad in (0.0, 1.0, 95, math.nan):
        with pytest.raises(SettingError, match=r"expected a share in \(0, 1\), such as 0.95"):
            temperature_interval(CalibrationLogits(logits, labels), bad)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="positive and finite"):
            Temperature(bad)


def test_a_cross_fitted_temperature_is_fitted_on_one_half_and_applied_on_the_other():
    said = CalibrationLogits(*drawn(3.0, n=41))
    halves = list(folds_of(said, 2))
    assert sorted(len(own.labels) for _, own in halves) == [20, 21]
    losses = []
    for others, own in halves:
        assert len(others.labels) + len(own.labels) == 41
        losses += [nll(own.logits, own.labels, fit_temperature(others).value) * len(own.labels)]
    assert cross_fitted_nll(said) == pytest.approx(sum(losses) / 41)
    assert cross_fitted_nll(said) > nll(said.logits, said.labels, fit_temperature(said).value)  # which knew all rows


def test_a_cross_fitted_temperature_in_closed_form():
    """Of 2 n rows right three times in four with the logits (z, 0), T is z / log 3 and the NLL the entropy of 1/4."""
    logits = torch.tensor([[4.0, 0.0]]).repeat(80_000, 1)
    said = CalibrationLogits(logits, torch.tensor([0, 0, 0, 1]).repeat(20_000))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert cross_fitted_nll(said) == pytest.approx(entropy, abs=1e-3)
    alone = CalibrationLogits(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert cross_fitted_nll(alone) == pytest.approx(math.log(1 + math.exp(-1)))
