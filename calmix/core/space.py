"""In which space distances are measured: parts that return the rows' positions (n, d), without gradient."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from calmix.core.method import Space, Step
from calmix.core.mix import Shares
from calmix.core.ranks import nanmean_over_ranks
from calmix.core.task import Classification, Regression
from calmix.core.tree import leaves
from calmix.errors import SettingError, ShapeError


@dataclass(frozen=True)
class Inputs:
    """The input rows, flattened; the floating tensors of a tree are concatenated. Costs no forward."""

    def __call__(self, step: Step) -> Tensor:
        return side_by_side(step.batch.x)


@dataclass(frozen=True)
class Targets:
    """The target rows, flattened: values in regression, one-hot rows in classification. Costs no forward.

    Raises:
        SettingError: all rows of a classification batch have one class, so no two targets differ (checked on the CPU
            only; on a GPU the check would wait for the device).
    """

    def __call__(self, step: Step) -> Tensor:
        target = side_by_side(step.target)
        if isinstance(step.task, Classification) and step.size > 1 and not target.is_cuda and not _differ(target):
            raise SettingError(
                "distances between targets need a batch of several classes, and all rows of this one have the same; "
                "shuffle the data, take larger batches, or measure distances elsewhere: space=Embedding()."
            )
        return target


@dataclass(frozen=True)
class Embedding:
    """The clean rows' embeddings: the output of the module `site`, or for None the input of the last nn.Linear.

    Costs the step's clean forward, which is shared with the other parts that use it.
    """

    site: str | None = None

    def __call__(self, step: Step) -> Tensor:
        return step.clean.embedding(self.site)


@dataclass(frozen=True)
class Remembered:
    """The rows' embeddings as estimated from the mixed rows of earlier steps. Costs no forward.

    The forward that trains on mixed rows computes embeddings anyway; a `TrainingLoss` called with `index` keeps an
    estimate for each training row (see `Memory`). A row not yet seen has no position (NaN), and `pair_distance` takes
    it to be at the mean distance. In the first epochs they are a poor stand-in for exact embeddings: the correlation of
    distances is about 0.5 after one epoch, 0.8 after three, 0.9 after ten. For short trainings take `Embedding`.

    site: as in `Embedding`. host: keep them in the host's memory, not the device's; a step then waits for the device.
    """

    site: str | None = None
    host: bool = False

    def __call__(self, step: Step) -> Tensor:
        if step.memory is None or step.batch.index is None:
            raise SettingError(
                "remembered embeddings need to know which training rows a batch holds: call "
                "training_loss(model, x, y, index=index), with IndexedDataset(dataset) in the loader; or, where rows "
                "are dicts, give each an entry 'index', its position in the training set."
            )
        known = step.memory.recall(step.batch.index, self.site, self.host)
        if known is None:
            return torch.full((step.size, 1), torch.nan, device=step.device)
        return known.to(step.device, non_blocking=True)


@dataclass(frozen=True)
class ByTask:
    """As in the Similarity Kernel Mixup paper: the targets for regression, else the penultimate embedding.

    remember: the embedding is `Remembered()`. Raises SettingError for regression, which uses none.
    """

    remember: bool = False

    def __call__(self, step: Step) -> Tensor:
        if isinstance(step.task, Regression):
            if self.remember:
                raise SettingError(
                    "remember=True is for embeddings, and in regression distances are measured between targets, which "
                    "cost no forward; leave remember out, or name the space: space=Embedding()."
                )
            return Targets()(step)
        return (Remembered() if self.remember else Embedding())(step)


def side_by_side(tree: Any) -> Tensor:
    """The floating tensors of a tree of rows, flattened and concatenated (n, d), detached."""
    tree = [rows for _, rows in tree.parts] if isinstance(tree, Shares) else tree
    rows = [leaf.detach().reshape(len(leaf), -1) for leaf in leaves(tree) if leaf.is_floating_point()]
    if not rows:
        raise ShapeError("distances between rows need floating values, and there are none; use Embedding() instead.")
    return torch.cat(rows, 1) if rows[1:] else rows[0]


def _differ(rows: Tensor) -> bool:
    return bool((rows != rows[:1]).any())


def remembering(space: Space) -> Space:
    """The same space with remembered embeddings in place of a clean forward.

    Raises:
        SettingError: a space that uses no embeddings.
    """
    if isinstance(space, ByTask):
        return ByTask(remember=True)
    if isinstance(space, Embedding):
        return Remembered(space.site)
    raise SettingError(f"remember=True is for embeddings; {space!r} costs no forward, so leave it out.")


def pair_distance(rows: Tensor, anchor: Tensor, partner: Tensor) -> Tensor:
    """d = |z_anchor - z_partner|^2 / mean over the pairs (m,), float32; 1 for all where no pair differs.

    A pair with a row of unknown position (NaN) is left out of the mean and has d = 1. Under torch.distributed the mean
    is that of all ranks' pairs, so every rank must call it.

    >>> pair_distance(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0]), torch.tensor([1, 2]))
    tensor([0.2000, 1.8000])
    """
    rows = rows.float()
    squared = (rows.index_select(0, anchor) - rows.index_select(0, partner)).square().sum(1)
    return (squared / nanmean_over_ranks(squared)).nan_to_num(nan=1.0)  # 0 / 0 where no pair differs
