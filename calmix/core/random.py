"""Draws of Beta(tau, tau), and its quantile function.

Both work elementwise on the tensor's own device, and do not wait for it.
"""

import math

import torch
from torch import Tensor

# ------------------------------------------------------------------------------------------------ draws


def beta(tau: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one number of Beta(tau, tau) for every entry of `tau`, with the right limits for tau = 0 and infinity.

    lam = sigmoid(2 asinh(sqrt(u^(-1/tau) - 1) cos(2 pi v))) with u, v uniform: if X ~ Beta(tau, tau) then
    sqrt(2 tau) sinh(logit(X) / 2) ~ Student(2 tau), which is drawn as Bailey (1994) does, by a polar method without
    rejection. So a draw takes the same few calls whatever tau, and the numbers drawn do not depend on it.

    Args:
        tau: any shape, float32 or float64, entries in [0, inf]. 0 gives 0 or 1 with equal chance, inf gives 1/2.
        generator: on the device of `tau`.

    Returns:
        lam in [0, 1], with the shape, dtype and device of `tau`; never NaN.

    >>> beta(torch.tensor([0.0, 1.0, torch.inf]), torch.Generator().manual_seed(0)).shape
    torch.Size([3])
    """
    u, v = torch.rand((2, *tau.shape), generator=generator, dtype=tau.dtype, device=tau.device)
    u = u.clamp(min=torch.finfo(tau.dtype).eps / 4)  # half of the smallest number above 0 that is drawn
    radius = torch.expm1(u.log() / -tau).sqrt()
    return torch.sigmoid(2 * torch.asinh(radius * torch.cos(2 * math.pi * v)))


def choose_index(count: int, generator: torch.Generator | None, device: torch.device) -> int:
    """Draw one of 0, ..., count - 1 as a Python number, without waiting for the device.

    A generator on the CPU draws it. For a generator on another device, its state, which the host knows, seeds the draw,
    and the state is then advanced.
    """
    if generator is None or generator.device.type == "cpu":
        return int(torch.randint(count, (), generator=generator))
    seed = seed_of(generator.get_state())
    torch.rand(1, generator=generator, device=device)
    return int(torch.randint(count, (), generator=torch.Generator().manual_seed(seed)))


def seed_of(state: Tensor) -> int:
    """A seed that depends on every byte of a generator's state; the state of a CUDA generator is seed and offset."""
    return int.from_bytes(bytes(state.tolist()), "little") % (2**63 - 25)  # a prime


# ------------------------------------------------------------------------------------- quantile function

# enough for the accuracy that `warp` promises; see tests/core/test_random.py
_FRACTION_TERMS, _SERIES_TERMS, _STEPS = 16, 36, 2
_LOG_4 = 2 * math.log(2)


def warp(lam: Tensor, tau: Tensor | float) -> Tensor:
    """The quantile function (inverse CDF) of Beta(tau, tau) at `lam`, elementwise and broadcasting.

    For lam ~ U(0, 1) the result is a draw of Beta(tau, tau): a large tau moves lam towards 1/2, tau -> 0 moves it to 0
    or 1, and tau = 1 does not change it. It warps a base coefficient Beta(alpha, alpha), and one lam for two kernels
    (Similarity Kernel Mixup, arXiv 2311.01434, where the *inverse* CDF is meant).

    Method: with x = sigmoid(y), y <= 0 for lam <= 1/2 (the other half by symmetry), solve log F(y) = log lam by
    third-order Newton steps, from a start that is exact for tau -> 0 and Wallace's (1959) approximation of
    Student's t for the rest: if X ~ Beta(tau, tau) then sqrt(2 tau) sinh(logit(X) / 2) ~ Student(2 tau). log F comes
    from the continued fraction of the incomplete beta function in the tail (DLMF 8.17.22) and from the
    power series around 1/2 in the centre.

    Args:
        lam: probabilities in [0, 1].
        tau: concentration in [0, inf]; 0 gives 0, 1/2 or 1, inf gives 1/2.

    Returns:
        x in [0, 1] with I_x(tau, tau) = lam, of lam's dtype; warp(1 - u) = 1 - warp(u). Computed in float64 whatever
        the dtype, because the slope at lam = 1/2 is of the order 1 / tau. Within 1e-10 of the exact value for
        tau >= 1e-3 and 1e-13 / tau below, before rounding to lam's dtype. Differentiable (once) in lam:
        the slope is 1 / density(x), cut at 1e30.

    >>> warp(torch.tensor([0.0, 0.25, 0.5]), 1.0)
    tensor([0.0000, 0.2500, 0.5000])
    """
    u = lam.detach().double()
    given = torch.as_tensor(tau, dtype=torch.float64, device=lam.device).detach()
    u, given = torch.broadcast_tensors(u, given)
    t = given.clamp(1e-12, 1e12)
    log_p = torch.log(torch.minimum(u, 1 - u))
    log_b = _log_scaled_beta(t)

    y = _first_guess(log_p, t, log_b)
    for _ in range(_STEPS):
        y = (y + _newton_step(y, t, log_p, log_b)).clamp(max=0)

    x = torch.where(log_p == -torch.inf, 0.0, torch.sigmoid(y))
    x = torch.where((u == 0.5) | (given == torch.inf), 0.5, x)
    x = torch.where(u <= 0.5, x, 1 - x)
    if lam.requires_grad:
        y = torch.where(log_p == -torch.inf, -700.0, y)
        slope = torch.exp(y - 2 * torch.log1p(torch.exp(y)) - _log_kernel(y, t, log_b)) / t  # x (1 - x) / density of y
        x = x + (lam - lam.detach()) * slope.clamp(max=1e30)
    return x.to(lam.dtype)


def _log_scaled_beta(t: Tensor) -> Tensor:
    """log(4^t t B(t, t)) = log(2 sqrt(pi) Gamma(t + 1) / Gamma(t + 1/2)), without cancellation for large t."""
    s = t.clamp(min=8) ** -2
    series = (1 / 8 - s * (1 / 192 - s * (1 / 640 - s * (17 / 14336 - s * (31 / 18432 - s * 691 / 180224))))) / t
    ratio = torch.where(t < 32, torch.lgamma(t + 1) - torch.lgamma(t + 0.5), 0.5 * torch.log(t) + series)
    return ratio + math.log(2 * math.sqrt(math.pi))


def _log_kernel(y: Tensor, t: Tensor, log_b: Tensor) -> Tensor:
    """log of x^t (1 - x)^t / (t B(t, t)) at x = sigmoid(y)."""
    return t * (y + _LOG_4 - 2 * torch.log1p(torch.exp(y))) - log_b


def _first_guess(log_p: Tensor, t: Tensor, log_b: Tensor) -> Tensor:
    """y <= 0 near the quantile of p: the tail's leading term, or Wallace's approximation with nu = 2 t."""
    nu = 2 * t
    w = (torch.special.ndtri(torch.exp(log_p)) * (8 * nu + 3) / (8 * nu + 1)) ** 2 / nu
    wallace = -w - 2 * torch.log1p(torch.sqrt(-torch.expm1(-w)))  # -2 arccosh(exp(w / 2))
    tail = (log_p + log_b) / t - _LOG_4
    return torch.maximum(tail, wallace).clamp(max=0)


def _newton_step(y: Tensor, t: Tensor, log_p: Tensor, log_b: Tensor) -> Tensor:
    """The third-order step towards log F(y) = log p; plain Newton where the error is still large."""
    v = torch.tanh(-y / 2)  # 1 - 2 x
    w = v * v
    log_k = _log_kernel(y, t, log_b)
    h = torch.where(  # F / kernel
        (w < 0.25) & (w * t < 4), 0.5 * torch.exp(-log_k) - 2 * t * v * _series(w, t), _fraction(y, t)
    )
    error = log_p - log_k - torch.log(h)
    # (log F)' = t / h and the next two derivatives in units of its powers
    second = v * h - 1
    third = second * (v * h - 2) - (1 - w) * h * h / (2 * t)
    correction = 1 - second / 2 * error + (3 * second**2 - third) / 6 * error**2
    return h / t * error * torch.where(error.abs() < 0.5, correction, 1.0)


def _fraction(y: Tensor, t: Tensor) -> Tensor:
    """F / kernel in the tail, by the continued fraction from its far end."""
    x = torch.sigmoid(y)
    h = torch.ones_like(y)
    for m in range(_FRACTION_TERMS, 0, -1):
        even = m * (t - m) / ((t + 2 * m - 1) * (t + 2 * m)) * x
        odd = (t + m) * (2 * t + m) / ((t + 2 * m) * (t + 2 * m + 1)) * x
        h = 1 + even / (1 - odd / h)
    return 1 / (1 - 2 * t / (t + 1) * x / h)


def _series(w: Tensor, t: Tensor) -> Tensor:
    """sum over n of (t + 1/2)_n / (3/2)_n w^n: what is between x and 1/2, in units of 2 t v kernel."""
    s = torch.ones_like(w)
    for n in range(_SERIES_TERMS, 0, -1):
        s = 1 + s * w * ((t + n - 0.5) / (n + 0.5))
    return s
