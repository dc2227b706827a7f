"""Tasks: how targets become rows, the loss of a row, and what a model's output means.

n rows, K entries of a target row. Only a task tells class ids from target rows.

A task decides whether the targets of a pair are mixed, or its losses. `Classification`, `Binary`, `Multilabel` and
`Regression` mix targets. In the first three the loss is linear in the target, so that both are the same; in regression
they have the same gradient. `PerRow` and `Dense` mix losses. In `MultiTask` each task decides for itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.core import require
from calmix.core.mix import Shares
from calmix.core.tree import leaves, map_leaves
from calmix.errors import SettingError, ShapeError, UnknownNameError
from calmix.reprs import shown


class Task(Protocol):
    """What is learnt.

    `Classification`, `Binary`, `Multilabel`, `Regression`, `Dense`, `PerRow` and `MultiTask` are tasks.
    """

    def target(self, y: Any) -> Any:
        """Targets as a user has them -> floating target rows (n, K), or another value that `mixed_target` can mix."""
        ...

    def output(self, raw: Any) -> Any:
        """What a model returned -> output rows (n, K), at least float32. Raises ShapeError if the width is not K."""
        ...

    def loss(self, output: Any, target: Any) -> Tensor:
        """The loss of each row (n,) for output rows and (possibly mixed) target rows (n, K)."""
        ...

    def residual(self, output: Any, target: Any) -> Any:
        """The derivative of each row's loss in its output (n, K): p - y for the plain losses of classes."""
        ...

    def hits(self, output: Any, target: Any) -> Tensor | None:
        """The share of each row's target (n,) that the decision gets right; None if the task has no decisions."""
        ...


@dataclass(frozen=True)
class Classification:
    """One of K classes. Model output: logits (n, K). Targets: class ids (n,) or floating rows (n, K) that sum to one.

    loss: - sum_k w_k s_k (1 - p_k)^focal log p_k with p = softmax(output) and s the smoothed target t,
    s_k = (1 - label_smoothing) t_k + label_smoothing / K sum_j t_j. It is linear in t, so mixing targets is mixing
    losses. Its mean over the rows is torch's `cross_entropy` with the same weight and label_smoothing and targets that
    are probabilities: the sum is divided by n, not by the sum of the weights. residual: p - t for the plain loss; else
    p sum_k g_k - g with g_k = w_k s_k ((1 - p_k)^focal - focal p_k (1 - p_k)^(focal - 1) log p_k).

    num_classes: K.
    label_smoothing: in [0, 1]. It smooths the mixed target in the loss; `hits` and distances use t.
    weight: w, a tuple of K numbers; None is 1 for every class.
    focal: the exponent of the focal loss (Lin et al., 2017, arXiv 1708.02002), which gives rows that are already right
    less weight; 0 is the plain loss.
    ignore_index: the id of rows without a label. Their t is 0: their loss is 0, and a row that is mixed with one counts
    with its own share. Losses, residuals and hits are scaled by n / (the sum of t over all rows), so that their mean
    over the rows is the mean over the labelled share.

    >>> Classification(3).target(torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    >>> Classification(3, ignore_index=-100).target(torch.tensor([2, -100]))
    tensor([[0., 0., 1.],
            [0., 0., 0.]])
    """

    num_classes: int
    label_smoothing: float = 0.0
    weight: tuple[float, ...] | None = None
    focal: float = 0.0
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        require.at_least("num_classes", self.num_classes, 1)
        require.at_least("focal", self.focal, 0)
        if not 0 <= self.label_smoothing <= 1:
            raise SettingError(f"label_smoothing must be a number from 0 to 1; got {self.label_smoothing}.")
        if self.weight is not None:
            if not isinstance(self.weight, tuple) or len(self.weight) != self.num_classes:
                raise SettingError(
                    f"weight must be a tuple with a number for each of the {self.num_classes} classes; "
                    f"got {self.weight!r}: of a tensor or list, give tuple(map(float, weight))."
                )
            for weight in self.weight:
                require.at_least("each weight", weight, 0)

    def __repr__(self) -> str:
        return shown(self)

    def target(self, y: Tensor) -> Tensor:
        if not isinstance(y, Tensor) or y.is_floating_point():
            return _rows("targets", y, self.num_classes)
        if y.ndim != 1:
            raise ShapeError(
                f"class ids must have the shape (n,); got {tuple(y.shape)}. One-hot rows must be floating."
            )
        ids = y.long()  # in a small dtype a negative ignore_index would overflow
        share: Any = 1.0
        if self.ignore_index is not None:
            labelled = ids != self.ignore_index
            ids, share = torch.where(labelled, ids, 0), labelled.float()[:, None]
        _check_range(ids, self.num_classes)
        return torch.zeros(len(y), self.num_classes, device=y.device).scatter_(1, ids[:, None], share)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_classes)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        _check_alike(output, target)
        log_p, expected = F.log_softmax(output, dim=1), self._expected(target)
        if self.focal:
            expected = expected * _missed(log_p) ** self.focal
        return self._per_label(-(expected * log_p).sum(1), target)

    def residual(self, output: Tensor, target: Tensor) -> Tensor:
        p, expected = output.softmax(1), self._expected(target)
        if self.focal:
            log_p = F.log_softmax(output, dim=1)
            missed = _missed(log_p)
            expected = expected * missed ** (self.focal - 1) * (missed - self.focal * p * log_p)
        return self._per_label(p * expected.sum(1, keepdim=True) - expected, target)

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return self._per_label(target.gather(1, output.argmax(1, keepdim=True)).squeeze(1), target)

    def _expected(self, target: Tensor) -> Tensor:
        """w_k s_k: the smoothed target times the weights (n, K)."""
        if self.label_smoothing:
            share = self.label_smoothing / self.num_classes
            target = (1 - self.label_smoothing) * target + share * target.sum(1, keepdim=True)
        return target if self.weight is None else target * _constant(self.weight, target.dtype, target.device)

    def _per_label(self, rows: Tensor, target: Tensor) -> Tensor:
        """Scale the rows so that their mean is the mean over the labelled share; 0 if no row has a label."""
        if self.ignore_index is None:
            return rows
        return rows * (len(target) / target.sum().clamp_min(torch.finfo(target.dtype).eps))


@dataclass(frozen=True)
class Binary:
    """Yes or no, by one logit. Model output: (n,) or (n, 1). Targets: (n,) or (n, 1) in {0, 1} or probabilities.

    loss: binary cross-entropy of sigmoid(output), linear in the target. residual: sigmoid(output) - target.
    """

    def target(self, y: Tensor) -> Tensor:
        return _unit_rows(y, 1)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, 1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy_of_yes(output, target)

    def residual(self, output: Tensor, target: Tensor) -> Tensor:
        return output.sigmoid() - target

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return _share_decided_right(output, target)


@dataclass(frozen=True)
class Multilabel:
    """Any of K labels. Model output: logits (n, K). Targets: (n, K) in {0, 1} or probabilities.

    loss: the mean over labels of the binary cross-entropy, linear in the target. residual: (sigmoid(output) - target)
    / K. hits: the share of labels right.

    num_labels: K.
    """

    num_labels: int

    def __post_init__(self) -> None:
        require.at_least("num_labels", self.num_labels, 1)

    def target(self, y: Tensor) -> Tensor:
        return _unit_rows(y, self.num_labels)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_labels)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy_of_yes(output, target)

    def residual(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.sigmoid() - target) / self.num_labels

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return _share_decided_right(output, target)


@dataclass(frozen=True)
class Regression:
    """K real values. Model output and targets: (n, K), (n,) where K = 1, or series of them (n, t, K), of any rank.

    loss: the mean over a row's values of (output - target)^2. Targets are mixed; mixing losses would add only
    lam (1 - lam) (y_i - y_j)^2, which does not depend on the output. residual: 2 (output - target) / the number of a
    row's values.

    num_targets: K, the last dimension.
    """

    num_targets: int = 1

    def __post_init__(self) -> None:
        require.at_least("num_targets", self.num_targets, 1)

    def target(self, y: Tensor) -> Tensor:
        whole = isinstance(y, Tensor) and not y.is_floating_point()
        return _rows("targets", y.float() if whole else y, self.num_targets, any_rank=True)

    def output(self, raw: Tensor) -> Tensor:
        return _rows("model output", raw, self.num_targets, any_rank=True)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        _check_alike(output, target)
        return (output - target).square().flatten(1).mean(1)

    def residual(self, output: Tensor, target: Tensor) -> Tensor:
        return 2 * (output - target) / output[0].numel()

    def hits(self, output: Tensor, target: Tensor) -> None:
        return None


@dataclass(frozen=True)
class Dense:
    """One of K classes for every place: pixels, or the moments of a series. Model output: logits (n, K, H, W), or
    (n, K, t). Targets: class ids (n, H, W), or (n, t).

    loss: the mean over a row's places of the cross-entropy, each place mixed as its row is, or as the boxes of `cutmix`
    say: what is pasted into the images is pasted into the labels. residual: (softmax(output) - t) / the number of
    places, t the mixed one-hot target. hits: the mean over places of t at the predicted class.

    num_classes: K.
    ignore_index: the id of places without a label, such as 255. They count nothing; losses, residuals and hits are
    scaled so that their mean over the rows is the mean over the labelled share.

    >>> task = Dense(3)
    >>> task.loss(torch.zeros(2, 3, 4, 4), task.target(torch.ones(2, 4, 4, dtype=torch.long)))  # log 3
    tensor([1.0986, 1.0986])
    """

    num_classes: int
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        require.at_least("num_classes", self.num_classes, 1)

    def target(self, y: Tensor) -> Shares:
        if not isinstance(y, Tensor) or y.is_floating_point() or y.ndim < 2:
            given = f"{str(y.dtype).removeprefix('torch.')} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y)
            raise ShapeError(f"targets: expected class ids of every place, integers (n, H, W) or (n, t); got {given}.")
        ids = y.long()
        _check_range(ids if self.ignore_index is None else ids[ids != self.ignore_index], self.num_classes)
        return Shares(((torch.ones(len(y), *(1,) * (y.ndim - 1), device=y.device), ids),))

    def output(self, raw: Tensor) -> Tensor:
        if not isinstance(raw, Tensor) or raw.ndim < 3 or raw.shape[1] != self.num_classes:
            given = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
            raise ShapeError(f"model output: expected logits (n, {self.num_classes}, H, W) or (n, K, t); got {given}.")
        return _widened(raw)

    def loss(self, output: Tensor, target: Shares) -> Tensor:
        log_p = F.log_softmax(output, 1)
        return -self._over_places(target, log_p, lambda ids: log_p.gather(1, ids[:, None]).squeeze(1))

    def residual(self, output: Tensor, target: Shares) -> Tensor:
        p = output.softmax(1)
        parts = self._shares(target, output)
        wrong = [share[:, None] * (p - F.one_hot(ids, self.num_classes).movedim(-1, 1)) for share, ids in parts]
        return torch.stack(wrong).sum(0)

    def hits(self, output: Tensor, target: Shares) -> Tensor:
        decided = output.argmax(1)
        return self._over_places(target, output, lambda ids: (decided == ids).to(output.dtype))

    def _over_places(self, target: Shares, output: Tensor, of_place: Callable[[Tensor], Tensor]) -> Tensor:
        parts = self._shares(target, output)
        return torch.stack([(share * of_place(ids)).flatten(1).sum(1) for share, ids in parts]).sum(0)

    def _shares(self, target: Shares, output: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each part the share of every place (n, H, W), which sum to n over rows, places and parts; and its ids."""
        parts = []
        for share, ids in target.parts:
            if output.shape[2:] != ids.shape[1:] or len(output) != len(ids):
                raise ShapeError(
                    f"model output and targets must have the same places; got {tuple(output.shape)} and "
                    f"{tuple(ids.shape)}: resize one of them."
                )
            labelled = torch.ones_like(ids, dtype=torch.bool) if self.ignore_index is None else ids != self.ignore_index
            parts.append((share * labelled, torch.where(labelled, ids, 0)))
        total = torch.stack([share.sum() for share, _ in parts]).sum()
        scale = len(output) / total.clamp_min(torch.finfo(total.dtype).eps)
        return [(share * scale, ids) for share, ids in parts]


@dataclass(frozen=True)
class PerRow:
    """Any loss of a row, for targets that cannot be blended: the losses are mixed in their place.

    loss of a mixed row: lam_y row_loss(f, y_i) + (1 - lam_y) row_loss(f, y_j), f the output for the row that is mixed
    of i and j; without mixing row_loss(f, y). It has no accuracy and no residual, which `mixup_e` needs.

    row_loss: takes outputs (n, ...) as the model gave them (half precision widened to float32) and targets (n, ...) as
    they came with the batch, each a tensor or a tree, and returns the rows' losses (n,).

    >>> def first_two(output, y):
    ...     return (output - y).abs().mean(1)
    >>> task = PerRow(first_two)
    >>> task.loss(torch.zeros(2, 3), task.target(torch.ones(2, 3)))
    tensor([1., 1.])
    """

    row_loss: Callable[[Any, Any], Tensor]

    def target(self, y: Any) -> Shares:
        first = leaves(y)[0]
        return Shares(((torch.ones(len(first), device=first.device), y),))

    def output(self, raw: Any) -> Any:
        return map_leaves(_widened, raw)

    def loss(self, output: Any, target: Shares) -> Tensor:
        return torch.stack([share * self._of_rows(output, y, len(share)) for share, y in target.parts]).sum(0)

    def residual(self, output: Any, target: Any) -> Any:
        raise SettingError(
            f"this method needs the derivative of the loss in the output, which the task {self!r} does not give; "
            "use a method that takes the loss alone, such as mixup() or sk_mixup()."
        )

    def hits(self, output: Any, target: Any) -> None:
        return None

    def _of_rows(self, output: Any, y: Any, n: int) -> Tensor:
        loss = self.row_loss(output, y)
        if loss.shape != (n,):
            raise ShapeError(
                f"row_loss must return the loss of each row, of shape ({n},); got {tuple(loss.shape)}: take "
                "reduction='none', and the mean over whatever else a row has."
            )
        return loss


@dataclass(frozen=True)
class MultiTask:
    """Several targets: y and the model's output are dicts with an entry for each task.

    loss: the sum of weight times loss over the tasks; weights are 1 unless given. Partners and coefficients are the
    same for all tasks; each task decides whether its targets or its losses are mixed. hits: of the first task that has
    decisions. residual: a dict of weight times the task's residual.

    >>> task = MultiTask({"kind": Classification(3), "size": Regression()}, weights={"size": 0.5})
    >>> sorted(task.target({"kind": torch.tensor([2, 0]), "size": torch.tensor([1.5, 2.5])}))
    ['kind', 'size']
    """

    tasks: Mapping[str, Task] = field(hash=False)
    weights: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise SettingError("tasks must be a dict with at least one task; got none.")
        for name, weight in (self.weights or {}).items():
            if name not in self.tasks:
                raise UnknownNameError("task", name, self.tasks)
            require.at_least(f"the weight of {name!r}", weight, 0)

    def target(self, y: Mapping[str, Any]) -> dict[str, Any]:
        _check_names("targets", y, self.tasks)
        return {name: task.target(y[name]) for name, task in self.tasks.items()}

    def output(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        _check_names("model output", raw, self.tasks)
        return {name: task.output(raw[name]) for name, task in self.tasks.items()}

    def loss(self, output: Mapping[str, Any], target: Mapping[str, Any]) -> Tensor:
        losses = [self._weight(name) * task.loss(output[name], target[name]) for name, task in self.tasks.items()]
        return torch.stack(losses).sum(0)

    def residual(self, output: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
        def weighted(name: str, task: Task) -> Any:
            rows = task.residual(output[name], target[name])
            return map_leaves(lambda leaf: self._weight(name) * leaf, rows)

        return {name: weighted(name, task) for name, task in self.tasks.items()}

    def hits(self, output: Mapping[str, Any], target: Mapping[str, Any]) -> Tensor | None:
        decided = (task.hits(output[name], target[name]) for name, task in self.tasks.items())
        return next((hits for hits in decided if hits is not None), None)

    def _weight(self, name: str) -> float:
        return (self.weights or {}).get(name, 1.0)


def _check_names(what: str, given: Any, names: Mapping[str, Any]) -> None:
    keys = given.keys() if isinstance(given, Mapping) else ()
    if missing := [name for name in names if name not in keys]:
        found = f"one with {', '.join(map(str, keys))}" if keys else f"a {type(given).__name__}"
        raise ShapeError(f"{what}: expected a dict with {', '.join(names)}; got {found}: add {', '.join(missing)}.")


def _rows(what: str, rows: Tensor, width: int, any_rank: bool = False) -> Tensor:
    """Check that rows are floating (n, width), (n,) for width 1, or with any_rank (n, ..., width); return them so.

    (n,) becomes (n, 1), and half precision float32.
    """
    if not isinstance(rows, Tensor):
        raise ShapeError(f"{what}: expected a tensor, got {type(rows).__name__}; pick or convert it before.")
    if rows.ndim == 1 and width == 1:
        rows = rows[:, None]
    fits = rows.ndim == 2 or (any_rank and rows.ndim > 2)
    if not fits or rows.shape[-1] != width or not rows.is_floating_point():
        raise ShapeError(
            f"{what}: expected floating rows of shape (n, {width}), got {tuple(rows.shape)} of "
            f"{str(rows.dtype).removeprefix('torch.')}; check the width of the last layer and the task."
        )
    return _widened(rows)


def _widened(rows: Tensor) -> Tensor:
    """Half precision as float32; other dtypes as they are."""
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows


def _missed(log_p: Tensor) -> Tensor:
    """1 - p, not quite 0: at 0 its power may have no derivative."""
    return (1 - log_p.exp()).clamp_min(torch.finfo(log_p.dtype).eps)


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The values as a tensor, cached, so that later steps do not wait for the device."""
    return torch.tensor(values, dtype=dtype, device=device)


def _unit_rows(y: Tensor, width: int) -> Tensor:
    if isinstance(y, Tensor) and not y.is_floating_point():
        if y.dtype != torch.bool:
            _check_range(y, 2)
        y = y.float()
    return _rows("targets", y, width)


def _check_alike(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ShapeError(
            f"model output and targets must have one shape; got {tuple(output.shape)} and {tuple(target.shape)}."
        )


def _cross_entropy_of_yes(output: Tensor, target: Tensor) -> Tensor:
    _check_alike(output, target)
    return F.binary_cross_entropy_with_logits(output, target.to(output.dtype), reduction="none").mean(1)


def _share_decided_right(output: Tensor, target: Tensor) -> Tensor:
    return torch.where(output > 0, target, 1 - target).mean(1)


def _check_range(ids: Tensor, count: int) -> None:
    """Raise ShapeError for ids outside 0..count-1; on the CPU only, as on a GPU the check would wait."""
    if ids.device.type != "cpu" or torch.compiler.is_compiling() or ids.numel() == 0:
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= count:
        raise ShapeError(f"class ids must lie in 0..{count - 1}; got {low}..{high}.")
