"""Predictors whose calibration is known, and two real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

REAL = [("cifar10_lenet5", 0.5308, 0.1079), ("cifar10_wrn16_4", 0.9109, 0.0537)]


@pytest.fixture(scope="session")
def predictions() -> Callable[..., tuple[Tensor, Tensor]]:
    """Probabilities (n, K) and labels (n,) drawn from them: perfectly calibrated."""

    def draw(n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        probs = (2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)).softmax(1)
        return probs, torch.multinomial(probs, 1, generator=generator)[:, 0]

    return draw


@pytest.fixture(params=REAL, ids=[name for name, *_ in REAL])
def real(request: pytest.FixtureRequest, real_data: Path) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Probabilities, labels, and the accuracy and ECE (15 bins) that are known of them."""
    name, accuracy, ece = request.param
    file = np.load(real_data / "predictions" / f"{name}.npz")
    return file["probs"], file["labels"], accuracy, ece
