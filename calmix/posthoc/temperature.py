"""Temperature scaling: one number that makes a classifier less, or more, sure of itself.

    n  rows
    K  classes

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from calmix.errors import DataError, SettingError, ShapeError

LOG_BOUND = 5.0  # fitted temperatures lie in [e^-5, e^5], about [0.0067, 148]


@dataclass(frozen=True)
class Temperature:
    """logits / value. Above 1 the probabilities flatten, below 1 they sharpen; the order of classes stays.

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
def fit_temperature(logits: Tensor, labels: Tensor) -> Temperature:
    """The T that minimises the mean negative log-likelihood of softmax(logits / T) for `labels`.

    Fit on a calibration split, one that chose no epoch (validation) and reports no number (test).

    L-BFGS over log T from T = 1, in float64 on the CPU: deterministic. In log T the NLL has no second valley,
    so projecting the result to [-5, 5] keeps it optimal there, and T = 1 is never better. Without an optimum
    T goes towards a bound for as long as the NLL falls: down if every row is right, up if the logits carry no
    information. Where T does not matter, as for constant logits, it stays 1.

    Args:
        logits: (n, K), K at least 2. A single logit z of a binary model becomes the two columns (0, z).
        labels: (n,) class ids.

    Raises:
        ShapeError: `logits` is not (n, K) or has no rows, or `labels` is not (n,) or not integer.
        DataError: a logit is not finite, or a label is outside 0 .. K - 1.

    >>> logits = torch.tensor([[4.0, 0.0]]).repeat(4, 1)  # right three times in four: sigmoid(4 / T) = 3/4
    >>> round(fit_temperature(logits, torch.tensor([0, 0, 0, 1])).value, 4)
    3.641
    """
    logits, labels = _checked(logits, labels)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [log_t], max_iter=100, tolerance_grad=1e-8, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    # Projected at the end: a bound inside the closure would be a plateau where the search ends too early.
    return Temperature(math.exp(log_t.detach().clamp(-LOG_BOUND, LOG_BOUND).item()))


def _checked(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(n, K) float64, each row's largest logit 0, and (n,) int64; or advice."""
    if logits.ndim != 2 or logits.shape[1] < 2 or len(logits) == 0:
        raise ShapeError(
            f"logits has shape {tuple(logits.shape)}, expected (n, K) with at least one row and two classes; "
            "a single logit z per row becomes the two columns (0, z)."
        )
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        raise ShapeError(
            f"labels is {labels.dtype} of shape {tuple(labels.shape)}, expected integers ({len(logits)},); "
            "pass one class id for each row of logits."
        )
    classes = logits.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels span {labels.min().item()} to {labels.max().item()}, expected 0 to {classes - 1}; "
            "number the classes as the columns of logits are numbered."
        )
    logits = logits.detach().cpu().double()
    logits = logits - logits.max(1, keepdim=True).values  # the same softmax; constant rows are exactly 0
    if not logits.isfinite().all():
        raise DataError("logits hold NaN or infinity; of probabilities, clip before taking the logarithm.")
    return logits, labels.cpu().to(torch.int64, copy=True)  # a copy: autograd saves no inference tensor
