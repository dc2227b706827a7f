"""Temperature scaling: all logits are divided by one number.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
Deviation: a prior on the temperature, for small calibration splits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import SettingError
from calmix.posthoc.calibration import CalibrationLogits, folds_of, required
from calmix.posthoc.minimise import minimise

LOG_BOUND = 5.0  # fitted temperatures lie in [e^-5, e^5], about [0.0067, 148]
PRIOR_SD = 0.5  # of log T


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
def fit_temperature(calibration: CalibrationLogits, prior_sd: float = PRIOR_SD) -> Temperature:
    """The T that minimises the negative log-likelihood of softmax(logits / T) for the labels, and a penalty:

        sum_i NLL_i(T) + (log T)^2 / (2 prior_sd^2),

    the most probable T if log T is normal beforehand, with mean 0 and deviation `prior_sd`. Without it T falls without
    bound if every calibration row is right, as 100 rows of a good network may well be, and the first wrong test row
    costs dozens of nats. The penalty does not grow with n: with a thousand rows it hardly matters. With the default, 19
    in 20 temperatures are expected between 0.38 and 2.7; docs/results/temperatures.md says why, and what it gives.

    L-BFGS over log T, in float64 on the CPU, deterministic. log T is clamped to [-5, 5]. If T makes no difference, as
    for constant logits, it stays 1.

    Args:
        calibration: the calibration split.
        prior_sd: the deviation, positive. math.inf is Guo's temperature scaling, the maximum of the likelihood; T is
            then at the lower bound if every row is right, at the upper one if the logits carry no information.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `prior_sd` is not positive.

    >>> logits = torch.tensor([[4.0, 0.0]]).repeat(400, 1)  # right three times in four: sigmoid(4 / T) = 3/4
    >>> calibration = CalibrationLogits(logits, torch.tensor([0, 0, 0, 1]).repeat(100))
    >>> round(fit_temperature(calibration, prior_sd=math.inf).value, 4), round(fit_temperature(calibration).value, 1)
    (3.641, 3.5)
    """
    nll, n = _nll(calibration), len(calibration.labels)
    if not prior_sd > 0:
        raise SettingError(f"prior_sd is {prior_sd}, expected a positive number; for no prior pass math.inf.")

    def loss(log_t: Tensor) -> Tensor:
        return nll(log_t) + log_t.square() / (2 * n * prior_sd**2)

    # of tiny logits the loss may have a minimum near 1 and another where the likelihood has its own
    starts = torch.zeros((), dtype=torch.float64), _likeliest(nll)
    best = min((minimise(loss, start)[0] for start in starts), key=loss)
    return Temperature(math.exp(best.clamp(-LOG_BOUND, LOG_BOUND).item()))


def cross_fitted_nll(predictions: CalibrationLogits, folds: int = 2) -> float:
    """The mean NLL after temperature scaling where each row's temperature was fitted on the other folds.

    So a set of rows that nothing else is calibrated on says what a network would be worth once calibrated, and no
    row has a part in its own temperature: the calibrated log-likelihood. The folds depend on the number of rows alone.
    A single row, on which nothing can be fitted, is scored as it is.
    Source: Ashukha et al., Pitfalls of In-Domain Uncertainty Estimation and Ensembling in Deep Learning, ICLR 2020.

    >>> sure = torch.tensor([[9.0, 0.0]]).repeat(400, 1)  # of a network that is right three times in four
    >>> said = CalibrationLogits(sure, torch.tensor([0, 0, 0, 1]).repeat(100))
    >>> round(cross_fitted_nll(said), 2), round(float(cross_entropy(said.logits, said.labels)), 2)
    (0.57, 2.25)
    """
    parts = list(folds_of(required(predictions, CalibrationLogits), folds))
    if not parts:
        return float(cross_entropy(predictions.logits, predictions.labels))
    losses = [cross_entropy(fit_temperature(others)(own.logits), own.labels, reduction="sum") for others, own in parts]
    return float(sum(losses)) / len(predictions.labels)


@torch.inference_mode(False)
def temperature_interval(calibration: CalibrationLogits, level: float = 0.95) -> tuple[float, float]:
    """The temperatures that the calibration split does not rule out, from the lowest to the highest.

    The likelihood-ratio interval {T: 2 (sum_i NLL_i(T) - its minimum) <= the `level` quantile of chi-squared, one
    degree of freedom}, within [e^-5, e^5]; no prior takes part. It holds the best T of the population in about `level`
    of all splits. Where it holds 1, the split cannot tell whether temperature scaling does anything.
    Source: Wilks, The Large-Sample Distribution of the Likelihood Ratio, 1938.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `level` is not in (0, 1).

    >>> logits = torch.tensor([[2.0, 0.0]]).repeat(20, 1)  # all 20 rows are right, with a confidence of 0.88
    >>> low, high = temperature_interval(CalibrationLogits(logits, torch.zeros(20).long()))
    >>> round(low, 4), round(high, 2)  # nothing says how far to go down
    (0.0067, 0.87)
    """
    nll, n = _nll(calibration), len(calibration.labels)
    if not 0 < level < 1:
        raise SettingError(f"level is {level}, expected a share in (0, 1), such as 0.95.")
    best = _likeliest(nll)
    highest = nll(best) + NormalDist().inv_cdf((1 + level) / 2) ** 2 / (2 * n)

    def end(outside: Tensor) -> float:
        inside = best
        if nll(outside) <= highest:
            return math.exp(outside.item())
        for _ in range(30):  # bisection
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if nll(middle) <= highest else (inside, middle)
        return math.exp(inside.item())

    bound = torch.full_like(best, LOG_BOUND)
    return end(-bound), end(bound)


def _nll(calibration: CalibrationLogits) -> Callable[[Tensor], Tensor]:
    """The mean NLL as a function of log T, which has one minimum at most."""
    calibration = required(calibration, CalibrationLogits)
    # the softmax is the same, and constant rows become exactly 0
    logits = calibration.logits - calibration.logits.max(1, keepdim=True).values
    return lambda log_t: cross_entropy(logits / log_t.exp(), calibration.labels)


def _likeliest(nll: Callable[[Tensor], Tensor]) -> Tensor:
    """The log T in [-5, 5] of the smallest NLL."""
    (log_t,) = minimise(nll, torch.zeros((), dtype=torch.float64))
    # clamped at the end: inside the closure a clamp would be a plateau, on which the search would stop
    return log_t.clamp(-LOG_BOUND, LOG_BOUND)
