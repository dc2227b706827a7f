import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calmix.errors import DataError, SettingError, ShapeError
from calmix.posthoc import (
    CalibrationGaussian,
    CalibrationLogits,
    VarianceScaling,
    fit_adaptive_sets,
    fit_conformal_intervals,
    fit_conformal_sets,
    fit_isotonic,
    fit_matrix_scaling,
    fit_temperature,
    fit_variance_scaling,
    fit_vector_scaling,
)

OF_LOGITS = [
    fit_temperature, fit_vector_scaling, fit_matrix_scaling, fit_isotonic, lambda c: fit_conformal_sets(c, 0.1),
    lambda c: fit_adaptive_sets(c, 0.1),
]  # fmt: skip
OF_GAUSSIANS = [fit_variance_scaling, lambda c: fit_conformal_intervals(c, 0.1)]


@pytest.mark.parametrize("fit", OF_LOGITS)
def test_a_classifier_is_corrected_by_calibration_logits_alone(fit):
    logits, labels = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    fit(CalibrationLogits(logits, labels))
    for wrong in (logits, (logits, labels), CalibrationGaussian(logits, logits + 1, logits)):
        with pytest.raises(
            SettingError, match=r"pass CalibrationLogits\(logits, labels\) of the calibration split, nev"
        ):
            fit(wrong)


@pytest.mark.parametrize("fit", OF_GAUSSIANS)
def test_a_regressor_is_corrected_by_calibration_gaussians_alone(fit):
    mean = torch.zeros(4)
    fit(CalibrationGaussian(mean, mean + 1, mean + 2))
    for wrong in (mean, (mean, mean + 1, mean), CalibrationLogits(torch.zeros(1, 2), torch.tensor([0]))):
        with pytest.raises(
            SettingError, match=r"pass CalibrationGaussian\(mean, std, targets\) of the calibration spl"
        ):
            fit(wrong)


def test_what_is_kept_is_a_copy_outside_the_graph():
    logits, labels = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True), torch.tensor([0, 2], dtype=torch.uint8)
    kept = CalibrationLogits(logits, labels)
    assert (kept.logits.dtype, kept.labels.dtype, kept.logits.requires_grad) == (torch.float64, torch.int64, False)
    mean = torch.zeros(2, dtype=torch.float64)
    gaussian = CalibrationGaussian(mean, mean + 1, mean)
    mean += 7
    assert gaussian.mean.tolist() == gaussian.targets.tolist() == [0, 0]


def test_numpy_arrays_are_taken_as_they_come():
    read_only = np.arange(6.0).reshape(3, 2)[::-1]
    read_only.flags.writeable = False
    kept = CalibrationLogits(read_only, np.array([0, 1, 1]))  # pyright: ignore[reportArgumentType]
    assert kept.logits.tolist() == [[4, 5], [2, 3], [0, 1]]


@pytest.mark.parametrize("fit", [*OF_LOGITS[:3], *OF_GAUSSIANS])
def test_everything_fits_inside_inference_mode(fit):
    def fitted() -> str:
        values = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
        if fit in OF_GAUSSIANS:
            return repr(vars(fit(CalibrationGaussian(values, values + 1, values + 2))))
        return repr(vars(fit(CalibrationLogits(values, torch.tensor([0, 1, 1])))))

    with torch.inference_mode():
        inside = fitted()
    assert inside == fitted()


def test_advice_about_logits():
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    for wrong in (logits[:, 0], logits[:, :1], logits[:0], logits[None]):
        with pytest.raises(ShapeError, match=r"expected \(n, K\).*two columns \(0, z\)"):
            CalibrationLogits(wrong, labels[: len(wrong)])
    for wrong in (labels[:1], torch.eye(2).long(), labels.float()):
        with pytest.raises(ShapeError, match=r"expected integers \(2,\); pass one class id"):
            CalibrationLogits(logits, wrong)
    for outside in (-1, 3):
        with pytest.raises(DataError, match="expected 0 to 2"):
            CalibrationLogits(logits, torch.tensor([0, outside]))
    for bad in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(DataError, match="NaN or infinity"):
            CalibrationLogits(torch.tensor([[0.0, bad, 1.0], [0, 0, 0]]), labels)


def test_advice_about_gaussians():
    mean = torch.ones(3, 1)
    with pytest.raises(ShapeError, match=r"\(3, 1\), \(3, 1\) and \(3,\).*squeeze"):
        CalibrationGaussian(mean, mean, mean[:, 0])
    for wrong in (mean[None], mean[:0]):
        with pytest.raises(ShapeError, match=r"expected \(n,\) or \(n, d\)"):
            CalibrationGaussian(wrong, wrong, wrong)
    for bad in (0, -2):
        with pytest.raises(DataError, match=rf"as small as {bad}.*take the root"):
            CalibrationGaussian(mean, mean * bad, mean)
    with pytest.raises(DataError, match="NaN"):
        CalibrationGaussian(mean, mean, mean * torch.nan)


# ---------------------------------------------------------------------------------------------- variance scaling


@given(st.floats(0.01, 100), st.sampled_from([(50,), (20, 3)]), st.integers(0, 100))
def test_variance_scaling_minimises_the_gaussian_nll(factor: float, shape: tuple[int, ...], seed: int):
    generator = torch.Generator().manual_seed(seed)
    z, std = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    std = std.exp()
    targets = math.sqrt(factor) * std * z
    scaling = fit_variance_scaling(CalibrationGaussian(torch.zeros(shape), std, targets))
    assert scaling.value == pytest.approx(factor * z.square().mean().item())
    at = [(targets / s).square().mean() / 2 + s.log().mean() for s in (scaling(std), 1.01 * scaling(std), std)]
    assert at[0] < at[1]
    assert at[0] <= at[2] + 1e-12
    again = fit_variance_scaling(CalibrationGaussian(torch.zeros(shape), scaling(std), targets))
    assert again.value == pytest.approx(1)


def test_a_perfect_mean_ends_at_the_bound():
    mean = torch.zeros(3)
    assert fit_variance_scaling(CalibrationGaussian(mean, mean + 1, mean)).value == pytest.approx(math.exp(-20))
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="positive and finite"):
            VarianceScaling(bad)
    assert eval(repr(VarianceScaling(2.0))) == VarianceScaling(2.0)
