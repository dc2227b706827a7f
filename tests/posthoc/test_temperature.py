import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import SettingError
from calmix.metrics import ece
from calmix.posthoc import CalibrationGaussian, CalibrationLogits, Temperature, fit_temperature

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


@pytest.mark.parametrize("true", [0.02, 0.5, 1, 3, 50])
def test_the_gradient_is_zero_and_scipy_agrees(true: float):
    logits, labels = drawn(true)
    fitted = fit_temperature(CalibrationLogits(logits, labels)).value
    t = torch.tensor(fitted, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(logits / t, labels), t)
    assert fitted * gradient.item() == pytest.approx(0, abs=1e-8)
    theirs = minimize_scalar(
        lambda s: nll(logits, labels, math.exp(s)), bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}
    )
    assert math.log(fitted) == pytest.approx(theirs.x, abs=1e-5)


def test_two_logits_in_closed_form():
    logits = torch.tensor([[4.0, 0.0]]).repeat(10, 1)
    labels = torch.tensor([0] * 9 + [1])  # sigmoid(4 / T) = 9 / 10
    assert fit_temperature(CalibrationLogits(logits, labels)).value == pytest.approx(4 / math.log(9), rel=1e-7)


@pytest.mark.parametrize("factor", [0.03, 0.5, 20])
def test_a_multiple_of_the_logits_is_a_multiple_of_the_temperature(factor: float):
    logits, labels = drawn(1.5)
    base = fit_temperature(CalibrationLogits(logits, labels))
    scaled = fit_temperature(CalibrationLogits(factor * logits, labels))
    assert scaled.value == pytest.approx(factor * base.value, rel=1e-6)
    torch.testing.assert_close(scaled(factor * logits), base(logits), rtol=1e-6, atol=0)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(2, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.integers(0, 100),
)
def test_any_finite_logits_give_a_bounded_temperature_that_is_no_worse_than_one(table: np.ndarray, seed: int):
    logits = torch.from_numpy(table)
    labels = torch.randint(table.shape[1], (len(table),), generator=torch.Generator().manual_seed(seed))
    fitted = fit_temperature(CalibrationLogits(logits, labels)).value
    assert COLDEST <= fitted <= HOTTEST
    before = nll(logits, labels)
    assert nll(logits, labels, fitted) <= before + 1e-12 * max(1, before)


def test_where_no_optimum_exists_the_bound_holds():
    logits, _ = drawn(1)
    assert fit_temperature(CalibrationLogits(logits, logits.argmin(1))).value == pytest.approx(HOTTEST)
    separable = fit_temperature(CalibrationLogits(logits / 100, logits.argmax(1))).value
    assert separable == pytest.approx(COLDEST)


@pytest.mark.parametrize("seed", range(5))
def test_an_optimum_near_the_bound_is_not_jumped_over(seed: int):
    logits, labels = drawn(math.exp(-4.5), n=300, classes=2, seed=seed)
    assert -5 < math.log(fit_temperature(CalibrationLogits(logits, labels)).value) < -4


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
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="positive and finite"):
            Temperature(bad)
