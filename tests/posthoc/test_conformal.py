import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from calmix.errors import DataError, SettingError, ShapeError
from calmix.posthoc import (
    AdaptiveSets,
    CalibrationGaussian,
    CalibrationLogits,
    LeastAmbiguousSets,
    band_coverage,
    band_width,
    fit_adaptive_sets,
    fit_conformal_intervals,
    fit_conformal_sets,
    set_coverage,
    set_size,
)

FITS = [fit_conformal_sets, fit_adaptive_sets]


def drawn(n: int, generator: torch.Generator, classes: int = 6) -> tuple[Tensor, Tensor]:
    """Over-confident logits (n, K), wrong about some classes, and labels (n,): no fit of any law, but exchangeable."""
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return 2 * logits + torch.linspace(0, 1, classes), labels


def covered(trials: int, n: int, m: int, alpha: float, kind: str) -> np.ndarray:
    """(trials,) how many of m new targets each fit to n rows covers."""
    generator, counts = torch.Generator().manual_seed(0), []
    for _ in range(trials):
        if kind == "intervals":
            std, z = torch.rand(n + m, generator=generator) + 0.1, torch.randn(n + m, generator=generator)
            targets = std * z**3  # not normal
            fitted = fit_conformal_intervals(CalibrationGaussian(std[:n] * 0, std[:n], targets[:n]), alpha)
            low, high = fitted(std[n:] * 0, std[n:])
            counts.append(round(m * band_coverage(low, high, targets[n:])))
        else:
            logits, labels = drawn(n + m, generator)
            sets = fit_conformal_sets(CalibrationLogits(logits[:n], labels[:n]), alpha)(logits[n:].softmax(1))
            counts.append(round(m * set_coverage(sets, labels[n:])))
    return np.array(counts)


@pytest.mark.parametrize("kind", ["sets", "intervals"])
@pytest.mark.parametrize(("n", "alpha"), [(30, 0.1), (99, 0.2)])
def test_coverage_follows_its_exact_law(n: int, alpha: float, kind: str):
    """Of m new rows BetaBinomial(m, j, n + 1 - j) are covered, j = ceil((1 - alpha)(n + 1)), whatever the network."""
    m, trials = 50, 600
    j = math.ceil((1 - alpha) * (n + 1) - 1e-9)
    law = stats.betabinom(m, j, n + 1 - j)
    counts = covered(trials, n, m, alpha, kind)
    assert counts.mean() == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(trials))
    edges = [law.ppf(q) for q in (0.2, 0.4, 0.6, 0.8)]
    expected = np.diff([0, *(law.cdf(edge) for edge in edges), 1]) * trials
    observed = np.bincount(np.searchsorted(edges, counts), minlength=5)
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("fit", FITS)
def test_coverage_is_at_least_what_was_promised(fit):
    generator, coverages = torch.Generator().manual_seed(1), []
    for _ in range(200):
        logits, labels = drawn(150, generator)
        sets = fit(CalibrationLogits(logits[:50], labels[:50]), 0.2)(logits[50:].softmax(1))
        coverages.append(set_coverage(sets, labels[50:]))
    assert np.mean(coverages) > 0.8 - 3 * np.std(coverages) / math.sqrt(200)


def tied(kind: str, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits (n, 3) of a network with few different answers, and labels (n,): 0, 1 or 2 in 8, 85 and 7 of 100 rows."""
    labels = torch.tensor([0.08, 0.85, 0.07], dtype=torch.float64).multinomial(n, True, generator=generator)
    rows = {
        # 1 - p is 8e-8 in float64, and 12e-8 in float32, if the answer is right
        "sure": torch.tensor([[0.0, 17, 0]]),
        # the mass before class 0 is .85 in float64, and a little more in float32
        "ordered": torch.tensor([[0.1, 0.85, 0.05]]).double().log(),
        # classes 0 and 1 are told apart in float64 alone
        "near ties": torch.tensor([[0.45, 0.45 + 1e-9, 0.1]], dtype=torch.float64).log(),
        "exact ties": torch.zeros(1, 3),
    }
    return rows[kind].repeat(n, 1), labels


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["sure", "ordered", "near ties", "exact ties"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_ties_keep_the_promise_in_every_dtype(fit, kind: str, dtype: torch.dtype, alpha: float):
    """Rows with the same score are all covered or none is, whatever rounding makes of the score."""
    generator, coverages = torch.Generator().manual_seed(0), []
    for _ in range(40):
        logits, labels = tied(kind, 150, generator)
        fitted = fit(CalibrationLogits(logits[:50], labels[:50]), alpha)
        coverages += [
            set_coverage(fitted(z.softmax(1).to(dtype)), labels[50:]) for z in (logits[50:], logits[50:].to(dtype))
        ]
    assert np.mean(coverages) > 1 - alpha - 3 * np.std(coverages) / math.sqrt(40)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_intervals_hold_targets_at_their_ends_in_every_dtype(dtype: torch.dtype, alpha: float):
    """Standardised errors of 0, 1, 2 and 3 alone, so that many targets lie exactly on an end."""
    generator, coverages = torch.Generator().manual_seed(0), []
    for _ in range(200):
        mean = 5 + torch.rand(100, generator=generator, dtype=torch.float64)
        std = 0.1 * (1 + torch.randint(5, (100,), generator=generator)).double()
        steps = torch.tensor([0.3, 0.3, 0.3, 0.1]).multinomial(100, True, generator=generator)
        targets = mean.to(dtype).double() + steps * std.to(dtype).double()
        mean, std = mean.to(dtype), std.to(dtype)
        fitted = fit_conformal_intervals(
            CalibrationGaussian(mean[:50].double(), std[:50].double(), targets[:50]), alpha
        )
        coverages.append(band_coverage(*fitted(mean[50:], std[50:]), targets[50:]))
    assert np.mean(coverages) > 1 - alpha - 3 * np.std(coverages) / math.sqrt(200)


def test_least_ambiguous_sets_are_the_smaller_and_adaptive_ones_never_empty():
    generator = torch.Generator().manual_seed(2)
    calibration, (new, labels) = CalibrationLogits(*drawn(5000, generator)), drawn(5000, generator)
    least, adaptive = (fit(calibration, 0.2)(new.softmax(1)) for fit in FITS)
    assert set_size(least) < set_size(adaptive)
    assert (adaptive.sum(1) > 0).all()
    # and their coverage differs less between rows with a sure and with an unsure first class
    sure = new.softmax(1).amax(1) > 0.8

    def spread(sets: Tensor) -> float:
        return abs(set_coverage(sets[sure], labels[sure]) - set_coverage(sets[~sure], labels[~sure]))

    assert spread(adaptive) < spread(least)


@pytest.mark.parametrize("fit", FITS)
def test_sets_grow_as_alpha_falls_and_hold_everything_where_n_is_too_small(fit):
    generator = torch.Generator().manual_seed(3)
    calibration, (new, _) = CalibrationLogits(*drawn(19, generator)), drawn(100, generator)
    probs = new.softmax(1)
    sets = [fit(calibration, alpha)(probs) for alpha in (0.5, 0.2, 0.1, 0.05, 0.0499)]
    for smaller, larger in pairwise(sets):
        assert (smaller <= larger).all()
    assert fit(calibration, 0.05).threshold < math.inf == fit(calibration, 0.0499).threshold
    assert sets[-1].all()


@given(st.integers(1, 60), st.integers(2, 6), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_calibration_rows_themselves_are_covered(n: int, classes: int, alpha: float, seed: int):
    logits, labels = drawn(n, torch.Generator().manual_seed(seed), classes)
    promised = min(n, math.ceil((1 - alpha) * (n + 1) - 1e-9))
    for fit in FITS:
        sets = fit(CalibrationLogits(logits, labels), alpha)(logits.softmax(1))
        assert round(n * set_coverage(sets, labels)) >= promised


def test_by_hand():
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], dtype=torch.float64)
    assert LeastAmbiguousSets(0.75)(probs).tolist() == [[True, True, False], [False, True, False]]
    assert LeastAmbiguousSets(0.1)(probs).sum() == 0
    assert AdaptiveSets(0.7)(probs).tolist() == [[True, True, False], [False, True, False]]
    # labels 0, 1 have scores 0.5 and 0.2; rank ceil(0.5 * 3) = 2 of 2
    calibration = CalibrationLogits(probs.log(), torch.tensor([0, 1]))
    assert fit_conformal_sets(calibration, 0.5).threshold == pytest.approx(0.5)
    # labels 2, 0: 0.8 is before class 2, and 0.8 before class 0 (equal to class 2, which comes later)
    calibration = CalibrationLogits(probs.log(), torch.tensor([2, 0]))
    assert fit_adaptive_sets(calibration, 0.5).threshold == pytest.approx(0.8)


def test_the_rank_is_not_a_rounding_error():
    scores = torch.arange(1.0, 100)  # (1 - 0.1) * 100 is 90, but (1 - 0.9) * 100 is 9.999999999999998
    calibration = CalibrationGaussian(torch.zeros(99), torch.ones(99), scores)
    for alpha, rank in [(0.1, 90), (0.9, 10), (0.3, 70), (0.7, 30), (0.05, 95)]:
        assert fit_conformal_intervals(calibration, alpha).factor == rank


def test_intervals_of_each_output_have_their_own_factor():
    generator = torch.Generator().manual_seed(4)
    mean, std = torch.randn(999, 2, generator=generator), torch.rand(999, 2, generator=generator) + 0.5
    targets = mean + std * torch.tensor([1.0, 5.0]) * torch.randn(999, 2, generator=generator)
    fitted = fit_conformal_intervals(CalibrationGaussian(mean, std, targets), 0.1)
    assert fitted.factor.tolist() == pytest.approx([1.645, 8.22], rel=0.1)
    low, high = fitted(mean, std)
    for k in range(2):
        assert band_coverage(low[:, k], high[:, k], targets[:, k]) == pytest.approx(0.9, abs=0.002)
        column = CalibrationGaussian(mean[:, k], std[:, k], targets[:, k])
        assert fit_conformal_intervals(column, 0.1).factor == fitted.factor[k]
    assert band_width(low, high) == pytest.approx((2 * fitted.factor * std).mean().item(), rel=1e-6)


@given(st.floats(0.01, 100))
def test_intervals_do_not_care_for_the_unit_of_std(unit: float):
    generator = torch.Generator().manual_seed(5)
    mean, targets = torch.zeros(200), torch.randn(200, generator=generator)
    std = torch.rand(200, generator=generator) + 0.1
    ends = [fit_conformal_intervals(CalibrationGaussian(mean, s, targets), 0.1)(mean, s)[1] for s in (std, unit * std)]
    torch.testing.assert_close(ends[0], ends[1])


@pytest.mark.parametrize("fit", FITS)
def test_real_networks_keep_the_promise(fit, real_data: Path):
    for name in ("cifar10_lenet5", "cifar10_wrn16_4"):
        file = np.load(real_data / "predictions" / f"{name}.npz")
        probs, labels = torch.from_numpy(file["probs"]).double(), torch.from_numpy(file["labels"])
        sets = fit(CalibrationLogits(probs[::2].log(), labels[::2]), 0.05)(probs[1::2])
        # 5,000 rows each: the coverage's standard deviation is 0.0044
        assert set_coverage(sets, labels[1::2]) > 0.95 - 0.015
        if fit is fit_conformal_sets:
            assert set_coverage(sets, labels[1::2]) < 0.95 + 0.015


def test_advice():
    calibration = CalibrationLogits(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    gaussian = CalibrationGaussian(torch.zeros(3), torch.ones(3), torch.ones(3))
    for alpha in (0, 1, -0.1, 90, math.nan):
        for fit, on in [(FITS[0], calibration), (FITS[1], calibration), (fit_conformal_intervals, gaussian)]:
            with pytest.raises(SettingError, match=r"a share of misses in \(0, 1\)"):
                fit(on, alpha)
    for sets in (LeastAmbiguousSets(0.5), AdaptiveSets(0.5)):
        for logits in (torch.tensor([[3.0, -1.0]]), torch.tensor([[0.4, 0.4]]), torch.tensor([[torch.nan, 1.0]])):
            with pytest.raises(DataError, match=r"sum to one.*logits.softmax"):
                sets(logits)
        with pytest.raises(ShapeError, match=r"expected \(m, K\)"):
            sets(torch.ones(3))
    with pytest.raises(ShapeError, match=r"expected \('m',\) for both"):
        fit_conformal_intervals(gaussian, 0.5)(torch.zeros(3, 1), torch.ones(3, 1))
    with pytest.raises(ShapeError, match="one class id for each set"):
        set_coverage(torch.ones(3, 2).bool(), torch.zeros(2).long())
    with pytest.raises(ShapeError, match="squeeze"):
        band_coverage(torch.zeros(3), torch.ones(3), torch.zeros(3, 1))
