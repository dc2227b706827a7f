"""The strength of mixing follows the confidence on rows that are not trained on.

n rows, K classes
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core import require
from calmix.core.ranks import sum_over_ranks
from calmix.core.task import Binary, Classification, Multilabel, Task
from calmix.errors import SettingError, ShapeError

_LOG_BOUND, _MOST_STEPS, _EXACT = 5.0, 60, 1e-8  # log T lies in [-5, 5], and is found to 1e-8
_TINY = 1e-300
_RULED_OUT = -1e6  # stands for logits of minus infinity


@dataclass(frozen=True)
class Control:
    """How the strength of a method (alpha of its Beta, tau_max of its kernel) moves from epoch to epoch:

        log strength += rate * log T,

    T the temperature that fits rows which are not trained on best. T > 1: the network is too confident, and will mix
    more. T < 1: it is not confident enough, and will mix less. The strength starts as the method has it.

    rate: which part of log T is made good at once. prior_sd: log T is normal beforehand, with mean 0 and this
    deviation, so that few rows move the strength little. until: the share of the epochs in which is mixed; plain
    training ends the run, if its number of epochs is known. least, most: bounds of the strength.

    >>> logits, labels = torch.tensor([[6.0, 0.0]]).repeat(400, 1), torch.tensor([0, 0, 0, 1]).repeat(100)
    >>> round(Control().stronger(1.0, logits, labels), 2)  # sure of all, and wrong one time in four
    2.26
    """

    rate: float = 0.5
    prior_sd: float = 0.5
    until: float = 0.8
    least: float = 0.0025  # lam is 0 or 1 for all but a few pairs in a hundred
    most: float = 20.0  # lam is within 0.1 of 1/2 for nearly all pairs

    def __post_init__(self) -> None:
        for name in ("rate", "prior_sd", "least", "most"):
            require.positive(name, getattr(self, name))
        require.share("until", self.until)
        if self.least > self.most:
            raise SettingError(f"least must not be above most; got {self.least} and {self.most}.")

    def mixes(self, epoch: int, epochs: int | None) -> bool:
        """Whether is mixed in an epoch, counted from 0, of so many; in the first always."""
        return epochs is None or epoch < max(1, round(self.until * epochs))

    def stronger(self, strength: float, logits: Tensor, labels: Tensor) -> float:
        """The next strength, for logits (n, K), and class ids (n,) or target rows (n, K)."""
        log_t = log_temperature(logits, labels, self.prior_sd)
        return min(max(strength * math.exp(self.rate * log_t), self.least), self.most)


def log_temperature(logits: Tensor, labels: Tensor, prior_sd: float) -> float:
    """log T in [-5, 5], of the T that minimises sum_i NLL_i(softmax(logits / T)) + (log T)^2 / (2 prior_sd^2).

    As `calmix.posthoc.fit_temperature` does, but in float64 on the CPU, by Newton's method on the derivative, and by
    halving an interval round the optimum where that would lead out of it. With torch.distributed it is that of the rows
    of all ranks, the same on each, all of which must call it.

    labels: class ids (n,), or target rows (n, K), which may be weighed: a row of zeros counts nothing.

    Raises:
        ShapeError: logits that are not finite (minus infinity rules a class out).
    """
    z = logits.detach().cpu().double()
    target = labels.cpu()
    target = target.double() if target.is_floating_point() else F.one_hot(target, z.shape[1]).double()
    z = (z - z.amax(1, keepdim=True)).clamp(min=_RULED_OUT)
    if z.isnan().any():
        raise ShapeError("logits must be numbers, at least one of a row finite; got NaN or infinity: did it diverge?")
    mass, observed = target.sum(1, keepdim=True), (target * z).sum()
    low, high, log_t, precision = -_LOG_BOUND, _LOG_BOUND, 0.0, 1 / prior_sd**2
    for _ in range(_MOST_STEPS):
        inverse = math.exp(-log_t)
        shares = mass * (inverse * z).softmax(1)
        claimed, squares = (shares * z).sum(1), (shares * z * z).sum()
        excess = claimed.sum() - observed  # of the claimed over the observed mean logit
        spread = squares - (claimed**2 / mass.squeeze(1).clamp(min=_TINY)).sum()  # variance of the claimed logits
        excess, spread = sum_over_ranks(torch.stack([excess, spread]).to(logits.device)).tolist()
        slope = log_t * precision - inverse * excess
        curvature = precision + inverse * excess + inverse**2 * spread
        low, high = (log_t, high) if slope < 0 else (low, log_t)
        newton = log_t - slope / curvature if curvature > 0 else low
        before, log_t = log_t, newton if low < newton < high else (low + high) / 2
        if abs(log_t - before) < _EXACT:
            break
    return log_t


def of_classes(task: Task, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A model's output and targets y as logits (n, K) of classes that exclude each other, and weighed target rows.

    Of a binary task, or of several labels, every label is a row of two classes.

    Raises:
        SettingError: a task without classes.
        ShapeError: an output or targets that do not fit the task.
    """
    check_has_classes(task)
    output, target = task.output(output), task.target(y)
    if isinstance(task, Classification):
        return output, target if task.weight is None else target * target.new_tensor(task.weight)
    output, target = output.reshape(-1, 1), target.reshape(-1, 1)
    return torch.cat([torch.zeros_like(output), output], 1), torch.cat([1 - target, target], 1)


def check_has_classes(task: Task) -> None:
    """Raise SettingError for a task whose confidence cannot be told from logits."""
    if not isinstance(task, Classification | Binary | Multilabel):
        raise SettingError(
            f"auto follows the confidence of classes, and the task {task!r} has none that it can read; use a method of "
            "fixed strength, such as mixup() or sk_mixup()."
        )
