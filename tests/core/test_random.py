"""Draws of Beta(tau, tau) and its quantile function, against scipy, mpmath and closed forms."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from calmix.parts import beta, warp

TAUS = 10.0 ** np.arange(-6, 6.01, 0.25)
HALF_DOWN = 0.5 - 10.0 ** -np.arange(1, 16.0)
LEVELS = np.concatenate(
    [
        np.linspace(0, 0.499, 250),
        10.0 ** -np.arange(3.0, 300, 9),
        HALF_DOWN,
        1 - HALF_DOWN,
        1 - 10.0 ** -np.arange(3.0, 16),
    ]
)
U, TAU = np.meshgrid(LEVELS, TAUS, indexing="ij")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------- warp


def test_warp_agrees_with_scipy_in_float64():
    ours = warp(torch.tensor(U), torch.tensor(TAU)).numpy()
    reference = special.betaincinv(TAU, TAU, U)
    known = np.isfinite(reference)  # scipy gives NaN in a few extreme tails
    assert known.mean() > 0.99
    allowed = np.where(TAU >= 1e-3, 1e-10, 1e-13 / TAU)
    assert (np.abs(ours - reference) <= allowed)[known].all()
    assert np.isfinite(ours).all()


def test_warp_agrees_with_scipy_in_float32():
    u, tau = U.astype(np.float32), TAU.astype(np.float32)
    ours = warp(torch.tensor(u), torch.tensor(tau))
    assert ours.dtype == torch.float32
    reference = stats.beta.ppf(u.astype(float), tau.astype(float), tau.astype(float))
    # at u = 1/2 exactly scipy is off by up to 1.4e-8, which is still inside
    assert np.nanmax(np.abs(ours.numpy() - reference)) <= 1e-6


@pytest.mark.parametrize(
    ("u", "tau"), [(0.3, 0.05), (0.01, 3.0), (1e-12, 40.0), (0.49, 200.0), (0.2, 1e-3), (1e-200, 7.0)]
)
def test_warp_agrees_with_forty_digits(u: float, tau: float):
    mpmath.mp.dps = 40
    x = mpmath.mpf(float(warp(torch.tensor(u, dtype=torch.float64), tau)))
    level = mpmath.betainc(tau, tau, 0, x, regularized=True)
    density = (x * (1 - x)) ** (tau - 1) / mpmath.beta(tau, tau)
    assert abs(level - mpmath.mpf(u)) / density < 1e-12


def test_warp_closed_forms():
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.allclose(warp(u, 1.0), u, atol=1e-14)  # Beta(1, 1) is uniform
    assert torch.allclose(warp(u, 0.5), torch.sin(math.pi * u / 2) ** 2, atol=1e-13)  # the arcsine law
    assert torch.equal(warp(u, 0.0), torch.where(u < 0.5, 0.0, torch.where(u > 0.5, 1.0, 0.5)).double())
    assert torch.equal(warp(u, math.inf), torch.full_like(u, 0.5))


@given(st.floats(0, 1, width=32), st.floats(-6, 6))
def test_warp_is_symmetric(u: float, exponent: float):
    level = 1 - (1 - torch.tensor([u], dtype=torch.float64))  # so that 1 - level is exact
    there, back = warp(level, 10**exponent), 1 - warp(1 - level, 10**exponent)
    assert float((there - back).abs()) <= max(1e-13, 1e-15 / 10**exponent)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=50), st.floats(-6, 6))
def test_warp_is_monotone_and_stays_in_the_unit_interval(levels: list[float], exponent: float):
    x = warp(torch.tensor(sorted(levels)), 10**exponent)
    assert (x.diff() >= 0).all()
    assert ((x >= 0) & (x <= 1)).all()


def test_warp_broadcasts():
    u, tau = torch.rand(5, 1), torch.rand(3) + 0.1
    whole = warp(u, tau)
    assert whole.shape == (5, 3)
    assert torch.equal(whole[2, 1], warp(u[2, 0], tau[1]))


def test_warp_gradient_is_one_over_the_density():
    u = torch.rand(40, dtype=torch.float64, generator=generator()).requires_grad_()
    for tau in (0.3, 1.0, 2.0, 30.0):
        assert torch.autograd.gradcheck(lambda u, t=tau: warp(u, t), (u,))
    at_the_ends = torch.tensor([0.0, 1.0], requires_grad=True)
    warp(at_the_ends, 2.0).sum().backward()
    assert at_the_ends.grad is not None
    assert torch.isfinite(at_the_ends.grad).all()


def test_warp_compiles_in_one_graph():
    compiled = torch.compile(warp, fullgraph=True, backend="aot_eager")
    u, tau = torch.rand(7), torch.rand(7)
    assert torch.equal(compiled(u, tau), warp(u, tau))


# ------------------------------------------------------------------------------------------------- beta


@pytest.mark.parametrize("tau", [1e-2, 0.2, 1.0, 3.0, 50.0, 1e5])
def test_beta_has_the_right_distribution(tau: float):
    lam = beta(torch.full((20_000,), tau, dtype=torch.float64), generator())
    # the lower half alone, where small numbers are exact; near 1 those within 1e-16 all round to it
    assert abs(float((lam < 0.5).double().mean()) - 0.5) < 0.015
    assert stats.kstest(lam[lam < 0.5].numpy(), lambda x: 2 * stats.beta.cdf(x, tau, tau)).pvalue > 1e-3


@pytest.mark.parametrize("tau", [0.0, 1e-45, 1e-30, 1e-6, 1e-3, 0.2, 1.0, 7.0, 1e4, 1e8, 1e20, 3e38, math.inf])
def test_beta_is_right_for_every_tau_in_float32(tau: float):
    n = 40_000
    lam = beta(torch.full((n,), tau), generator(1)).double()
    assert not lam.isnan().any()
    variance = 0.25 / (2 * tau + 1)
    assert abs(lam.mean() - 0.5) < 4 * math.sqrt(variance / n) + 1e-7
    assert float(lam.var()) == pytest.approx(variance, rel=0.05, abs=1e-13)


def test_beta_limits():
    assert set(beta(torch.zeros(1000), generator()).tolist()) == {0.0, 1.0}
    assert set(beta(torch.full((1000,), math.inf), generator()).tolist()) == {0.5}


@pytest.mark.parametrize("tau", [0.05, 0.5, 1.0, 2.5, 20.0])
def test_beta_has_the_right_distribution_in_float32_too(tau: float):
    lam = beta(torch.full((20_000,), tau), generator(2))
    inside = lam[(lam > 1e-3) & (lam < 0.999)].double().numpy()  # near 1, float32 numbers are too few for a test
    low, high = stats.beta.cdf([1e-3, 0.999], tau, tau)
    assert len(inside) / 20_000 == pytest.approx(high - low, abs=0.015)
    assert stats.kstest(inside, lambda x: (stats.beta.cdf(x, tau, tau) - low) / (high - low)).pvalue > 1e-3


def test_beta_draws_the_rows_apart():
    lam = beta(torch.tensor([[0.5], [4.0]]).expand(2, 20_000), generator(5))
    assert abs(float(torch.corrcoef(lam)[0, 1])) < 0.03
    assert abs(float(torch.corrcoef(torch.stack((lam[0, 1:], lam[0, :-1])))[0, 1])) < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_beta_has_its_limits_whatever_is_drawn(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    ends = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.stack(torch.meshgrid(ends, ends, indexing="ij")))
    for tau in (0.0, 1e-45, 1e-6, 1.0, 1e38, math.inf):
        lam = beta(torch.full((5, 5), tau, dtype=dtype))
        assert ((lam >= 0) & (lam <= 1)).all()  # not NaN
        assert tau > 1e-45 or set(lam.flatten().tolist()) == {0.0, 1.0}
        assert tau < 1e38 or set(lam.flatten().tolist()) == {0.5}


def test_beta_draws_the_same_numbers_whatever_tau():
    """So that a strength that moves, or a distance, changes no later draw."""
    one, other = generator(6), generator(6)
    beta(torch.full((10,), 0.01), one)
    beta(torch.full((10,), 50.0), other)
    assert torch.equal(one.get_state(), other.get_state())


def test_beta_follows_its_generator_and_leaves_the_global_one_alone():
    tau = torch.rand(10) + 0.1
    before = torch.get_rng_state()
    first, again, other = beta(tau, generator(3)), beta(tau, generator(3)), beta(tau, generator(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_warped_uniforms_and_drawn_betas_are_the_same_distribution():
    tau = torch.full((20_000,), 0.4, dtype=torch.float64)
    warped = warp(torch.rand(20_000, dtype=torch.float64, generator=generator()), tau)
    drawn = beta(tau, generator(1))
    quantiles = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
    assert torch.allclose(warped.quantile(quantiles), drawn.quantile(quantiles), atol=0.03)
