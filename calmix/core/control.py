"""The strength of mixing follows the confidence on rows that are not trained on, beyond that on training rows.

n rows, K classes
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core import require
from calmix.core.ranks import sum_over_ranks
from calmix.core.task import Binary, Classification, Multilabel, Task
from calmix.errors import SettingError, ShapeError
from calmix.reprs import shown

_LOG_BOUND, _MOST_STEPS, _EXACT = 5.0, 60, 1e-8  # log T lies in [-5, 5], and is found to 1e-8
_TINY = 1e-300
_RULED_OUT = -1e6  # stands for logits of minus infinity

Said = tuple[Tensor, Tensor]  # logits (n, K), and class ids (n,) or target rows (n, K)


@dataclass(frozen=True, repr=False)
class Control:
    """How the strength of a method (alpha of its Beta, tau_max of its kernel) moves from epoch to epoch:

        log strength += rate * (log T - max(0, log T_train)),

    T the temperature that fits rows which are not trained on best, T_train that of training rows. T > 1: the network is
    too confident, and will mix more. T < 1: it is not confident enough, and will mix less. A network may be too
    confident even of its training rows, as in early epochs, when the running averages of batch norm lag behind the
    weights. Mixing is for what it learns by heart, so that this part does not count. The strength starts as the method
    has it.

    rate: which part of log T is made good at once. prior_sd: log T is normal beforehand, with mean 0 and this
    deviation, so that few rows move the strength little. until: the share of the epochs in which is mixed; plain
    training ends the run, if its number of epochs is known. least, most: bounds of the strength.

    class_sd: where it is given, each class has a strength of its own, which moves by a T of its own: that of the rows
    which the network takes for this class, and a T_train of its own. Beforehand log T of a class is normal about that
    of all rows, with this deviation, so that a class with few rows moves as all do. A pair is mixed by the geometric
    mean of the strengths of its rows' classes.

    >>> logits, labels = torch.tensor([[6.0, 0.0]]).repeat(400, 1), torch.tensor([0, 0, 0, 1]).repeat(100)
    >>> round(Control().stronger(1.0, logits, labels), 2)  # sure of all, and wrong one time in four
    2.26
    >>> round(Control().stronger(1.0, logits, labels, of_training=(logits, labels)), 2)  # on training rows, too
    1.0
    """

    rate: float = 0.5
    prior_sd: float = 0.5
    until: float = 0.8
    least: float = 0.0025  # lam is 0 or 1 for all but a few pairs in a hundred
    most: float = 20.0  # lam is within 0.1 of 1/2 for nearly all pairs
    class_sd: float | None = None

    def __repr__(self) -> str:
        """Without classes of their own as before there were any, so that runs can be told to be the same."""
        return shown(self, unless_default={"class_sd"})

    def __post_init__(self) -> None:
        for name in ("rate", "prior_sd", "least", "most"):
            require.positive(name, getattr(self, name))
        require.share("until", self.until)
        if self.class_sd is not None:
            require.positive("class_sd", self.class_sd)
        if self.least > self.most:
            raise SettingError(f"least must not be above most; got {self.least} and {self.most}.")

    def mixes(self, epoch: int, epochs: int | None) -> bool:
        """Whether is mixed in an epoch, counted from 0, of so many; in the first always."""
        return epochs is None or epoch < first_epochs(self.until, epochs)

    def stronger(self, strength: float, logits: Tensor, labels: Tensor, of_training: Said | None = None) -> float:
        """The next strength, for logits (n, K), and class ids (n,) or target rows (n, K).

        of_training: the same of training rows; without them T_train is 1.
        """
        log_t = log_temperature(logits, labels, self.prior_sd)
        of_train = 0.0 if of_training is None else log_temperature(*of_training, self.prior_sd, least=0.0)
        return self._moved(strength, log_t, of_train)

    def stronger_of_classes(
        self, strengths: Sequence[float], logits: Tensor, labels: Tensor, of_training: Said | None = None
    ) -> tuple[float, ...]:
        """The next strength of each class (K,), where `class_sd` is given; as `stronger`."""
        assert self.class_sd is not None
        log_t = class_log_temperatures(logits, labels, self.prior_sd, self.class_sd)
        of_train = [0.0] * len(log_t)
        if of_training is not None:
            of_train = class_log_temperatures(*of_training, self.prior_sd, self.class_sd, least=0.0)
        return tuple(self._moved(*one) for one in zip(strengths, log_t, of_train, strict=True))

    def _moved(self, strength: float, log_t: float, of_train: float) -> float:
        return min(max(strength * math.exp(self.rate * (log_t - of_train)), self.least), self.most)


def first_epochs(share: float, epochs: int) -> int:
    """How many of so many epochs a share of them is, at least one.

    >>> first_epochs(0.8, 12), first_epochs(0.01, 12)
    (10, 1)
    """
    return max(1, round(share * epochs))


def class_log_temperatures(
    logits: Tensor, labels: Tensor, prior_sd: float, class_sd: float, least: float = -_LOG_BOUND
) -> list[float]:
    """(K,): log T_k of the rows that the network takes for class k, drawn towards the log T of all rows:

        sum_(i taken for k) NLL_i(softmax(logits / T_k)) + s_k (log T_k)^2 / (2 prior_sd^2)
            + (log T_k - log T)^2 / (2 class_sd^2),

    s_k the share of these rows. So the classes share the prior on T out among them, and where their rows say the same,
    T_k is T. Rows are told apart by what the network says: by their true class, those of a rare one would look too
    confident even in a calibrated network, as it gives such rows to others more often than the other way round.

    Arguments and ranks are those of `log_temperature`.
    """
    common, classes = log_temperature(logits, labels, prior_sd), logits.shape[1]
    taken, mass = logits.argmax(1).cpu(), _target_rows(logits, labels).sum(1)
    rows = torch.zeros(classes, dtype=torch.float64).index_add(0, taken, mass)
    rows = sum_over_ranks(rows.to(logits.device)).cpu()
    precision = rows / rows.sum().clamp(min=_TINY) / prior_sd**2 + 1 / class_sd**2
    return _log_temperatures(logits, labels, taken, precision, common / class_sd**2 / precision, least).tolist()


def log_temperature(logits: Tensor, labels: Tensor, prior_sd: float, least: float = -_LOG_BOUND) -> float:
    """log T in [least, 5], of the T that minimises sum_i NLL_i(softmax(logits / T)) + (log T)^2 / (2 prior_sd^2).

    As `calmix.posthoc.fit_temperature` does, but in float64 on the CPU, by Newton's method on the derivative, and by
    halving an interval round the optimum where that would lead out of it. With torch.distributed it is that of the rows
    of all ranks, the same on each, all of which must call it.

    labels: class ids (n,), or target rows (n, K), which may be weighed: a row of zeros counts nothing.

    Raises:
        ShapeError: logits that are not finite (minus infinity rules a class out).
    """
    precision = torch.tensor([1 / prior_sd**2], dtype=torch.float64)
    group = torch.zeros(len(logits), dtype=torch.long)
    return _log_temperatures(logits, labels, group, precision, torch.zeros_like(precision), least).item()


def _log_temperatures(
    logits: Tensor, labels: Tensor, group: Tensor, precision: Tensor, towards: Tensor, least: float
) -> Tensor:
    """log T (G,) of each group of rows: that of the least sum of its NLL and precision (log T - towards)^2 / 2.

    It is sought from `least` to 5. group: (n,) of each row. precision, towards: (G,).
    """
    z, target = logits.detach().cpu().double(), _target_rows(logits, labels)
    z = (z - z.amax(1, keepdim=True)).clamp(min=_RULED_OUT)
    if z.isnan().any():
        raise ShapeError("logits must be numbers, at least one of a row finite; got NaN or infinity: did it diverge?")
    mass, observed = target.sum(1, keepdim=True), (target * z).sum(1)
    log_t, low, high = towards.clamp(min=least), torch.full_like(towards, least), torch.full_like(towards, _LOG_BOUND)
    for _ in range(_MOST_STEPS):
        inverse = (-log_t).exp()
        shares = mass * (inverse[group][:, None] * z).softmax(1)
        claimed, squares = (shares * z).sum(1), (shares * z * z).sum(1)
        variance = squares - claimed**2 / mass.squeeze(1).clamp(min=_TINY)  # of the claimed logits
        of_rows = torch.stack([claimed - observed, variance])
        of_groups = of_rows.new_zeros(2, len(towards)).index_add(1, group, of_rows).to(logits.device)
        excess, spread = sum_over_ranks(of_groups).cpu()  # excess: of the claimed over the observed logits
        slope = (log_t - towards) * precision - inverse * excess
        curvature = precision + inverse * excess + inverse**2 * spread
        low, high = torch.where(slope < 0, log_t, low), torch.where(slope < 0, high, log_t)
        newton = log_t - slope / curvature
        inside = (curvature > 0) & (low <= newton) & (newton <= high)
        before, log_t = log_t, torch.where(inside, newton, (low + high) / 2)
        if ((log_t - before).abs() < _EXACT).all():
            break
    return log_t


def _target_rows(logits: Tensor, labels: Tensor) -> Tensor:
    """Class ids or target rows as target rows (n, K), in float64 on the CPU."""
    target = labels.cpu()
    return (target if target.is_floating_point() else F.one_hot(target, logits.shape[1])).double()


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


def class_shares(task: Task, target: Tensor) -> Tensor:
    """Target rows as shares of the classes (n, K) of `classes_of`: those of a row without a label are 0."""
    return target if isinstance(task, Classification) else torch.cat([1 - target, target], 1)


def classes_of(task: Task) -> int:
    """K, of a task whose rows have one class each."""
    return task.num_classes if isinstance(task, Classification) else 2


def check_has_classes(task: Task, one_each: bool = False) -> None:
    """Raise SettingError for a task whose confidence cannot be told from logits.

    one_each: rows must have one class each, as strengths of classes need.
    """
    if not isinstance(task, Classification | Binary | Multilabel):
        raise SettingError(
            f"auto follows the confidence of classes, and the task {task!r} has none that it can read; use a method of "
            "fixed strength, such as mixup() or sk_mixup()."
        )
    if one_each and isinstance(task, Multilabel):
        raise SettingError(
            f"auto(per_class=True) is for rows of one class each, and those of {task!r} have several labels; leave "
            "per_class out."
        )
