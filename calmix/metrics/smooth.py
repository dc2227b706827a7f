"""Calibration without bins: the smooth calibration error and its smooth reliability curve.

    n  rows
    P  points of a grid on [0, 1]

Source: Blasiok and Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR 2024. Deviation:
each row is shared between its two neighbours on a grid of P = 4,097 points, and the grid is smoothed exactly, in
Fourier space, where smoothing with a reflected Gaussian is a product.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.errors import SettingError
from calmix.metrics.bins import unit_pairs
from calmix.metrics.tensors import Array

POINTS = 4097  # P
STEP = 1 / (POINTS - 1)  # of the grid


@dataclass(frozen=True, eq=False)
class SmoothReliability:
    """A smooth reliability diagram: claimed and observed values on a grid of P points.

    The area between curve and diagonal, weighted by `density`, is `error`.
    """

    claimed: Tensor  # (P,) float64, the grid, from 0 to 1
    observed: Tensor  # (P,) float64; may leave [0, 1] a little, and is NaN where no row is near
    density: Tensor  # (P,) float64, of the rows; its integral over [0, 1] is 1
    bandwidth: float  # of the Gaussian kernel, in the unit of `claimed`
    error: float  # the smooth calibration error, in [0, 1]


def smooth_curve(claimed: Array, observed: Array, bandwidth: float | None = None) -> SmoothReliability:
    """`observed` against `claimed`, smoothed by a Gaussian kernel that is reflected at 0 and 1.

    With K_s that kernel, of width s, and r_i = observed_i - claimed_i,

        density(t)  = 1/n sum_i K_s(t, claimed_i)
        residual(t) = 1/n sum_i K_s(t, claimed_i) r_i
        curve(t)    = t + residual(t) / density(t)
        error(s)    = integral over [0, 1] of |residual(t)|

    Args:
        claimed: (n,), each in [0, 1].
        observed: (n,), 1 for a correct row and 0 for a wrong one, or any number in [0, 1].
        bandwidth: s, at most 1; None for the paper's choice, the s with error(s) = s (error falls as s grows), but at
            least one step of the grid.

    Raises:
        ShapeError: `claimed` and `observed` are not two equally long, non-empty vectors.
        DataError: a value is not finite, or leaves [0, 1].
        SettingError: `bandwidth` is less than a step of the grid, or more than 1.

    >>> curve = smooth_curve(torch.tensor([0.5, 0.5]), torch.tensor([1, 0]))
    >>> curve.error, curve.observed[2048].item()
    (0.0, 0.5)
    """
    claimed, observed = unit_pairs(claimed, observed)
    if bandwidth is not None and not STEP <= bandwidth <= 1:
        raise SettingError(f"bandwidth is {bandwidth}, expected {STEP:.2g} to 1, or None for its own choice.")
    density, residual = (
        _waves(_on_grid(claimed, torch.ones_like(claimed))),
        _waves(_on_grid(claimed, observed - claimed)),
    )
    width = _own_bandwidth(residual) if bandwidth is None else bandwidth
    dense, gap = _smoothed(density, width), _smoothed(residual, width)  # (P,) each
    grid = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    near = dense > 1e-6  # elsewhere the density is rounding
    curve = grid + torch.where(near, gap / dense.where(near, 1), torch.nan)
    return SmoothReliability(grid, curve, dense, width, _integral(gap.abs()))


def smooth_error(claimed: Array, observed: Array) -> float:
    """The `error` of `smooth_curve` at its own bandwidth, in [0, 1].

    >>> round(smooth_error(torch.full((10,), 0.75), torch.ones(10)), 6)
    0.25
    """
    return smooth_curve(claimed, observed).error


def _on_grid(claimed: Tensor, values: Tensor) -> Tensor:
    """(P,) float64: the density of (n,) `values` / n, each shared between the two points next to its claim."""
    place = claimed * (POINTS - 1)
    below = place.long().clamp(max=POINTS - 2)  # (n,)
    upper = place - below  # (n,), share of the point above
    mass = below.bincount((1 - upper) * values, POINTS) + (below + 1).bincount(upper * values, POINTS)
    density = mass / (len(claimed) * STEP)
    density[[0, -1]] *= 2  # an end stands for half a step
    return density


def _waves(values: Tensor) -> Tensor:
    """Cosine coefficients of (P,) values, which are continued by reflection at both ends."""
    return torch.fft.rfft(torch.cat([values, values[1:-1].flip(0)])).real


def _smoothed(waves: Tensor, width: float) -> Tensor:
    """(P,): on a reflected line a Gaussian of that width damps cos(pi k t) by exp(-(pi k width)^2 / 2)."""
    k = torch.arange(POINTS, dtype=torch.float64)
    return torch.fft.irfft(waves * (-0.5 * (math.pi * width * k) ** 2).exp(), 2 * (POINTS - 1))[:POINTS]


def _integral(values: Tensor) -> float:
    return float(torch.trapezoid(values, dx=STEP))


def _own_bandwidth(residual: Tensor) -> float:
    """The s with error(s) = s, by bisection; at least one step of the grid."""
    low, high = STEP, 1.0
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if _integral(_smoothed(residual, middle).abs()) > middle else (low, middle)
    return high
