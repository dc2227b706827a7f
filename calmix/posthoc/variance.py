"""Variance scaling: all predicted variances are multiplied by one number.

Source: Levi et al., Evaluating and Calibrating Uncertainty Prediction in Regression Tasks, Sensors 2022
(arXiv 1905.11659), there called STD scaling; Laves et al., Well-Calibrated Regression Uncertainty, MIDL 2020.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from calmix.errors import SettingError
from calmix.posthoc.calibration import CalibrationGaussian, required

LOG_BOUND = 20.0  # fitted factors lie in [e^-20, e^20], about [2e-9, 5e8]


@dataclass(frozen=True)
class VarianceScaling:
    """value * variance, that is sqrt(value) * std; the means do not change. A value above 1 widens the intervals.

    Raises:
        SettingError: `value` is not a positive, finite number.

    >>> import torch
    >>> VarianceScaling(4.0)(torch.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise SettingError(f"a factor of the variance is positive and finite, got {self.value}.")

    def __call__(self, std: Tensor) -> Tensor:
        return std * math.sqrt(self.value)


def fit_variance_scaling(calibration: CalibrationGaussian) -> VarianceScaling:
    """The factor s = mean of (target - mean)^2 / std^2, which minimises the Gaussian negative log-likelihood.

    One factor for all outputs. It is clamped to [e^-20, e^20], as means that are exactly right would give 0.

    Raises:
        SettingError: `calibration` is not CalibrationGaussian.

    >>> import torch
    >>> mean, std = torch.zeros(4), torch.ones(4)
    >>> fit_variance_scaling(CalibrationGaussian(mean, std, torch.tensor([3.0, -3.0, 3.0, -3.0])))
    VarianceScaling(value=9.0)
    """
    calibration = required(calibration, CalibrationGaussian)
    squares = ((calibration.targets - calibration.mean) / calibration.std).square()
    return VarianceScaling(squares.mean().clamp(math.exp(-LOG_BOUND), math.exp(LOG_BOUND)).item())
