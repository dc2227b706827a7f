"""What a number of Beta(tau, tau) costs: calmix.parts.warp and calmix.parts.beta against SciPy, NumPy and torch."""

from dataclasses import asdict
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import torch

from benchmarks.timing import compare
from calmix.parts import beta, warp

VALUES = 1_000_000
TAU_DECADES = (-2.0, 2.0)  # tau is log-uniform from 0.01 to 100, another one for every value
UNIT = "scipy.stats.beta.ppf"


def draw_costs() -> dict[str, Any]:
    """Results for VALUES float32 numbers (float64 in SciPy and NumPy), in units of scipy.stats.beta.ppf."""
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(VALUES, generator=generator)
    tau = 10 ** torch.empty(VALUES).uniform_(*TAU_DECADES, generator=generator)
    u64, tau64 = u.double().numpy(), tau.double().numpy()
    rng = np.random.default_rng(0)
    compiled_warp, compiled_beta = torch.compile(warp, dynamic=False), torch.compile(beta, dynamic=False)
    results = compare(
        {
            UNIT: lambda: scipy.stats.beta.ppf(u64, tau64, tau64),
            "scipy.special.betaincinv": lambda: scipy.special.betaincinv(tau64, tau64, u64),
            "calmix.parts.warp": lambda: warp(u, tau),
            "calmix.parts.warp, compiled": lambda: compiled_warp(u, tau),
            "calmix.parts.beta": lambda: beta(tau, generator),
            "calmix.parts.beta, compiled": lambda: compiled_beta(tau, generator),
            "torch.distributions.Beta": lambda: torch.distributions.Beta(tau, tau).sample(),
            "numpy Generator.beta": lambda: rng.beta(tau64, tau64),
        },
        settle=False,
    )
    return {"values": VALUES, "results": [asdict(each) for each in results]}
