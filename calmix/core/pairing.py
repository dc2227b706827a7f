"""Who is mixed with whom: parts that return `Pairs` of row indices (m,)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.method import Pairs, Step
from calmix.core.training_set import TrainingSet
from calmix.errors import SettingError


@dataclass(frozen=True)
class Shuffle:
    """Every row once as anchor, in order, with a partner from a random permutation of the batch.

    A row can be its own partner (on average one row of a batch is), as in every published implementation. With
    self_pairs=False the permutation is one random cycle through all rows, so that no row is, unless it is the only one.
    """

    self_pairs: bool = True

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        device = step.device
        rows = torch.arange(step.size, device=device)
        order = torch.randperm(step.size, generator=generator, device=device)
        return Pairs(rows, order if self.self_pairs else torch.empty_like(order).scatter_(0, order, order.roll(1)))


@dataclass(frozen=True)
class WholeSet:
    """Every row once as anchor, in order, with a partner from the whole training set, each of its rows as likely.

    The training loss must have the training set (`data`). A row can be its own partner, or two rows' partner. Where the
    rows have weights (`data_weights`), they are likely in proportion.
    """

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        return pairs_with(step, training_set_of(step).draw(step.size, generator, step.device))


def training_set_of(step: Step) -> TrainingSet:
    """The step's training set; raises SettingError if the training loss was not given it."""
    if step.training_set is None:
        raise SettingError(
            "this method draws partners from the whole training set: give it to the training loss, "
            "TrainingLoss(..., data=(x, y)); or take a method that draws them from the batch."
        )
    return step.training_set


def pairs_with(step: Step, index: Tensor) -> Pairs:
    """Every row of the batch, in order, with the training set's row at its position in `index` (n,)."""
    rows = torch.arange(step.size, device=step.device)
    return Pairs(rows, step.size + rows, training_set_of(step).fetch(index))


@dataclass(frozen=True)
class SelfPairs:
    """Every row with itself: nothing is mixed and nothing is drawn."""

    def __call__(self, step: Step, generator: torch.Generator | None) -> Pairs:
        rows = torch.arange(step.size, device=step.device)
        return Pairs(rows, rows)
