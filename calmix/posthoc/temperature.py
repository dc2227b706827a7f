"""Temperature scaling: all logits are divided by one number.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import SettingError
from calmix.posthoc.calibration import CalibrationLogits, required
from calmix.posthoc.minimise import minimise

LOG_BOUND = 5.0  # fitted temperatures lie in [e^-5, e^5], about [0.0067, 148]


@dataclass(frozen=True)
class Temperature:
    """logits / value. A value above 1 flattens the probabilities, one below 1 sharpens them; their order stays.

    Raises:
        SettingError: `value` is not a positive, finite number.

    >>> Temperature(2.0)(torch.tensor([[4.0, 0.0]]))
    tensor([[2., 0.]])
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise SettingError(f"a temperature is positive and finite, got {self.value}.")

    def __call__(self, logits: Tensor) -> Tensor:
        return logits / self.value


@torch.inference_mode(False)
def fit_temperature(calibration: CalibrationLogits) -> Temperature:
    """The T that minimises the mean negative log-likelihood of softmax(logits / T) for the labels.

    L-BFGS over log T from T = 1, in float64 on the CPU, deterministic. log T is clamped to [-5, 5]; the NLL has only
    one minimum in log T, so the result is the best one in this range. Without a minimum T tends to a bound: to the
    lower one if every row is right, to the upper one if the logits carry no information. If T makes no difference, as
    for constant logits, it stays 1.

    Raises:
        SettingError: `calibration` is not CalibrationLogits.

    >>> logits = torch.tensor([[4.0, 0.0]]).repeat(4, 1)  # right three times in four: sigmoid(4 / T) = 3/4
    >>> round(fit_temperature(CalibrationLogits(logits, torch.tensor([0, 0, 0, 1]))).value, 4)
    3.641
    """
    calibration = required(calibration, CalibrationLogits)
    # the softmax is the same, and constant rows become exactly 0
    logits = calibration.logits - calibration.logits.max(1, keepdim=True).values
    start = torch.zeros((), dtype=torch.float64)
    (log_t,) = minimise(lambda log_t: cross_entropy(logits / log_t.exp(), calibration.labels), start)
    # clamped at the end: inside the closure a clamp would be a plateau, on which the search would stop
    return Temperature(math.exp(log_t.clamp(-LOG_BOUND, LOG_BOUND).item()))
