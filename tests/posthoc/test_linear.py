import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import SettingError, ShapeError
from calmix.posthoc import CalibrationLogits, fit_isotonic, fit_matrix_scaling, fit_temperature, fit_vector_scaling

EVERY = [fit_vector_scaling, fit_matrix_scaling]


def drawn(n: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of a network that is over-confident, prefers some classes and confuses 0 with 1; and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    truth = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(truth.softmax(1), 1, generator=generator)[:, 0]
    confused = truth.clone()
    confused[:, 0] += 0.7 * truth[:, 1]
    return confused * torch.linspace(1, 4, classes) + torch.linspace(-1, 1, classes), labels


def nll(logits: Tensor, labels: Tensor) -> float:
    return cross_entropy(logits.double(), labels).item()


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 1000))
def test_the_richer_correction_is_never_worse_on_the_calibration_split(n: int, classes: int, seed: int):
    logits, labels = drawn(n, classes, seed)
    calibration = CalibrationLogits(logits, labels)
    temperature = nll(fit_temperature(calibration)(logits), labels)
    for fit in (fit_vector_scaling, lambda c: fit_matrix_scaling(c, [0.1]), lambda c: fit_matrix_scaling(c, [0.0])):
        assert nll(fit(calibration)(logits), labels) <= temperature + 1e-12


def test_a_vector_that_was_applied_is_undone():
    generator = torch.Generator().manual_seed(0)
    truth = 2 * torch.randn(50_000, 4, generator=generator, dtype=torch.float64)
    truth -= truth.mean(1, keepdim=True)
    labels = torch.multinomial(truth.softmax(1), 1, generator=generator)[:, 0]
    weight, bias = torch.tensor([0.5, 1.0, 2.0, 1.5]).double(), torch.tensor([1.0, 0.0, -1.0, 0.5]).double()
    seen = (truth - bias) / weight
    fitted = fit_matrix_scaling(CalibrationLogits(seen, labels), penalties=[0.0])
    assert (fitted(seen).softmax(1) - truth.softmax(1)).abs().mean() < 0.005
    # of logits whose rows sum to zero in both worlds, vector scaling finds the vector
    weight = torch.full((4,), 2.0).double()
    seen = truth / weight + torch.tensor([0.3, -0.1, -0.2, 0.0]).double()
    vector = fit_vector_scaling(CalibrationLogits(seen, labels))
    torch.testing.assert_close(vector.weight, weight, atol=0.1, rtol=0)


def test_unregularised_matrix_scaling_is_scikit_learns_logistic_regression():
    logits, labels = drawn(3000)
    ours = fit_matrix_scaling(CalibrationLogits(logits, labels), penalties=[0.0])
    centred = (logits - logits.mean(1, keepdim=True)).numpy()
    theirs = LogisticRegression(C=1e10, tol=1e-10, max_iter=5000).fit(centred, labels.numpy())
    np.testing.assert_allclose(ours(logits).softmax(1), theirs.predict_proba(centred), atol=1e-4)


@pytest.mark.parametrize("prior_sd", [math.inf, 0.5])
def test_the_gradient_of_vector_scaling_is_zero(prior_sd: float):
    logits, labels = drawn(500)
    calibration = CalibrationLogits(logits, labels)
    fitted = fit_vector_scaling(calibration, prior_sd)
    weight, bias = fitted.weight.clone().requires_grad_(), fitted.bias.clone().requires_grad_()
    centred = logits - logits.mean(1, keepdim=True)
    relative = fit_temperature(calibration, prior_sd).value * weight
    penalty = ((relative - 1).square().sum() + bias.square().sum()) / (2 * prior_sd**2)
    loss = cross_entropy(centred * weight + bias, labels, reduction="sum") + penalty
    gradients = torch.autograd.grad(loss, (weight, bias))
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-3


@pytest.mark.parametrize("fit", EVERY)
def test_few_rows_stay_near_the_temperature_and_many_leave_it(fit):
    new, new_labels = drawn(5000, classes=10, seed=1)
    before = nll(new, new_labels)
    few, many = CalibrationLogits(*drawn(30, classes=10)), CalibrationLogits(*drawn(1000, classes=10))
    after, free = (nll(fit(few, prior_sd=sd)(new), new_labels) for sd in (0.5, math.inf))
    assert after < before
    assert free > 1.2 * after
    after, free = (nll(fit(many, prior_sd=sd)(new), new_labels) for sd in (0.5, math.inf))
    assert after == pytest.approx(free, rel=0.03)
    assert after < nll(fit_temperature(many)(new), new_labels)


def test_the_penalty_spares_the_diagonal():
    """ODIR: all weights off the diagonal and all biases vanish, and one temperature a class remains."""
    logits, labels = drawn(500)
    fitted = fit_matrix_scaling(CalibrationLogits(logits, labels), penalties=[1e6])
    diagonal = fitted.weight.diagonal()
    assert (fitted.weight - diagonal.diag()).abs().max() < 1e-4
    assert fitted.bias.abs().max() < 1e-4
    assert diagonal.max() > 2 * diagonal.min() > 0
    free = fit_matrix_scaling(CalibrationLogits(logits, labels), penalties=[0.0])
    assert (free.weight - free.weight.diagonal().diag()).abs().max() > 0.1


def test_cross_validation_chooses_what_generalises():
    """Few rows want the penalty, many do not."""
    new, new_labels = drawn(5000, classes=5, seed=2)
    for n, kept in ((40, 1.0), (1000, 0.0)):
        calibration = CalibrationLogits(*drawn(n, classes=5, seed=1))
        chosen = fit_matrix_scaling(calibration, penalties=[0.0, 1.0])
        fits = {penalty: fit_matrix_scaling(calibration, penalties=[penalty]) for penalty in (0.0, 1.0)}
        assert torch.equal(chosen.weight, fits[kept].weight)
        assert nll(chosen(new), new_labels) < nll(fits[1 - kept](new), new_labels)


@pytest.mark.parametrize("fit", [fit_temperature, *EVERY, fit_isotonic])
def test_logits_and_log_probabilities_are_corrected_alike(fit):
    logits, labels = drawn(400)
    shifted = logits + torch.arange(400)[:, None] % 7  # the same probabilities
    probs = [fit(CalibrationLogits(z, labels))(z).softmax(1) for z in (logits, shifted, logits.log_softmax(1))]
    torch.testing.assert_close(probs[1], probs[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(probs[2], probs[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("fit", EVERY)
@pytest.mark.parametrize("factor", [0.05, 30])
def test_a_multiple_of_the_logits_changes_nothing(fit, factor: float):
    logits, labels = drawn(300)
    once, scaled = (
        fit(CalibrationLogits(z, labels), prior_sd=math.inf)(z).softmax(1) for z in (logits, factor * logits)
    )
    torch.testing.assert_close(scaled, once, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fit", EVERY)
def test_classes_have_no_order(fit):
    logits, labels = drawn(300)
    order = torch.tensor([2, 0, 3, 1])
    fitted = fit(CalibrationLogits(logits, labels))(logits)
    permuted = fit(CalibrationLogits(logits[:, order], order.argsort()[labels]))(logits[:, order])
    torch.testing.assert_close(permuted.softmax(1), fitted.softmax(1)[:, order], atol=1e-4, rtol=0)


@pytest.mark.parametrize("fit", [*EVERY, fit_isotonic])
def test_separable_and_constant_logits_stay_finite(fit):
    labels = torch.arange(30) % 3
    for logits in (torch.eye(3)[labels], torch.zeros(30, 3), 1e4 * torch.eye(3)[labels]):
        assert fit(CalibrationLogits(logits, labels))(logits).isfinite().all()
    one = CalibrationLogits(torch.zeros(1, 3), torch.tensor([2]))
    assert fit(one)(one.logits).argmax() == 2


@pytest.mark.parametrize("fit", [*EVERY, fit_isotonic])
def test_a_correction_keeps_dtype_and_rejects_other_classes(fit):
    logits, labels = drawn(50)
    correction = fit(CalibrationLogits(logits, labels))
    assert correction(logits.float()).dtype == torch.float32
    for wrong in (logits[:, :3], logits[0]):
        with pytest.raises(ShapeError, match=r"expected \(n, 4\)"):
            correction(wrong)


@pytest.mark.parametrize("fit", EVERY)
def test_real_networks_gain_on_the_other_half(fit, real_data: Path):
    file = np.load(real_data / "predictions" / "cifar10_lenet5.npz")
    logits, labels = torch.from_numpy(file["probs"]).double().log(), torch.from_numpy(file["labels"])
    calibration = CalibrationLogits(logits[::2], labels[::2])
    rest, rest_labels = logits[1::2], labels[1::2]
    assert nll(fit(calibration)(rest), rest_labels) < nll(fit_temperature(calibration)(rest), rest_labels)


def test_advice():
    calibration = CalibrationLogits(*drawn(10))
    for bad in ([], [-1.0], [torch.nan], [0.1, torch.inf]):
        with pytest.raises(SettingError, match=r"expected at least one, each finite and at least 0"):
            fit_matrix_scaling(calibration, penalties=bad)
    with pytest.raises(SettingError, match="folds is 1"):
        fit_matrix_scaling(calibration, folds=1)
