"""What is learnt: how targets become rows, the loss of a row, and what an output means.

n rows, K entries of a target row. A task tells class ids from target rows; nothing else does.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.errors import SettingError, ShapeError


class Task(Protocol):
    """What an objective needs to know of a task: see `Classification`, `Binary`, `Multilabel` and `Regression`."""

    def target(self, y: Tensor) -> Tensor:
        """Targets as a user has them -> target rows (n, K), floating."""
        ...

    def output(self, raw: Tensor) -> Tensor:
        """What a model returned -> output rows (n, K), at least float32; a ShapeError where the width is wrong."""
        ...

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row (n,) for output rows and (possibly mixed) target rows (n, K)."""
        ...

    def mean(self, output: Tensor) -> Tensor:
        """The target that the output expects (n, K): probabilities or values. output - target is the loss's slope."""
        ...

    def hits(self, output: Tensor, target: Tensor) -> Tensor | None:
        """How right the decision is, per row (n,), in [0, 1]; None where there are no decisions."""
        ...


@dataclass(frozen=True)
class Classification:
    """One of K classes. Model output: logits (n, K). Targets: class ids (n,) or floating rows (n, K) that sum to one.

    loss: - sum_k target_k log softmax(output)_k. mean: softmax(output).

    >>> Classification(3).target(torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """

    num_classes: int

    def __post_init__(self) -> None:
        _at_least_one("num_classes", self.num_classes)

    def target(self, y: Tensor) -> Tensor:
        if y.is_floating_point():
            return _rows("targets", y, self.num_classes)
        if y.ndim != 1:
            raise ShapeError(
                f"class ids must have the shape (n,); got {tuple(y.shape)}. One-hot rows must be floating."
            )
        _check_range(y, self.num_classes)
        return torch.zeros(len(y), self.num_classes, device=y.device).scatter_(1, y.long()[:, None], 1.0)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_classes)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return -(target * F.log_softmax(output, dim=1)).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        return output.softmax(1)

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return target.gather(1, output.argmax(1, keepdim=True)).squeeze(1)


@dataclass(frozen=True)
class Binary:
    """Yes or no, by one logit. Model output: (n,) or (n, 1). Targets: (n,) or (n, 1) in {0, 1} or probabilities.

    loss: binary cross-entropy of sigmoid(output). mean: sigmoid(output).
    """

    def target(self, y: Tensor) -> Tensor:
        return _unit_rows(y, 1)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, 1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy_of_yes(output, target)

    def mean(self, output: Tensor) -> Tensor:
        return output.sigmoid()

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return _share_decided_right(output, target)


@dataclass(frozen=True)
class Multilabel:
    """Any of K labels. Model output: logits (n, K). Targets: (n, K) in {0, 1} or probabilities.

    loss: the mean over labels of the binary cross-entropy. mean: sigmoid(output). hits: the share of labels right.
    """

    num_labels: int

    def __post_init__(self) -> None:
        _at_least_one("num_labels", self.num_labels)

    def target(self, y: Tensor) -> Tensor:
        return _unit_rows(y, self.num_labels)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_labels)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy_of_yes(output, target)

    def mean(self, output: Tensor) -> Tensor:
        return output.sigmoid()

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return _share_decided_right(output, target)


@dataclass(frozen=True)
class Regression:
    """K real values. Model output and targets: (n, K), or (n,) where K = 1.

    loss: the mean over values of (output - target)^2. mean: the output. The slope that `mean` gives, output - target,
    is that of half the squared error.
    """

    num_targets: int = 1

    def __post_init__(self) -> None:
        _at_least_one("num_targets", self.num_targets)

    def target(self, y: Tensor) -> Tensor:
        return _rows("targets", y if y.is_floating_point() else y.float(), self.num_targets)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_targets)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1)

    def mean(self, output: Tensor) -> Tensor:
        return output

    def hits(self, output: Tensor, target: Tensor) -> None:
        return None


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise SettingError(f"{name} must be at least 1; got {value}.")


def _rows(what: str, rows: Tensor, width: int) -> Tensor:
    """(n,) of width one or (n, width) -> (n, width), half precision widened to float32."""
    if rows.ndim == 1 and width == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or rows.shape[1] != width or not rows.is_floating_point():
        raise ShapeError(
            f"{what}: expected floating rows of shape (n, {width}), got {tuple(rows.shape)} of "
            f"{str(rows.dtype).removeprefix('torch.')}; check the width of the last layer and the task."
        )
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows


def _unit_rows(y: Tensor, width: int) -> Tensor:
    if not y.is_floating_point():
        if y.dtype != torch.bool:
            _check_range(y, 2)
        y = y.float()
    return _rows("targets", y, width)


def _cross_entropy_of_yes(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, target.to(output.dtype), reduction="none").mean(1)


def _share_decided_right(output: Tensor, target: Tensor) -> Tensor:
    return torch.where(output > 0, target, 1 - target).mean(1)


def _check_range(ids: Tensor, count: int) -> None:
    """Ids outside 0..count-1 are an error; only on the CPU, where looking costs no wait."""
    if ids.device.type != "cpu" or torch.compiler.is_compiling() or ids.numel() == 0:
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= count:
        raise ShapeError(f"class ids must lie in 0..{count - 1}; got {low}..{high}.")
