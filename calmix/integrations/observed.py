"""What a training loop shows a method that sets its strength; shared by the frameworks' files."""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from calmix.core.loss import TrainingLoss
from calmix.core.tree import leaves

MOST = 2000  # validation rows kept at most
ENOUGH = 256  # training rows: at least so many are kept, where there were so many


class ValidationRows:
    """Model outputs and targets of validation steps, to be observed by a training loss whose method is `auto`.

    At most 2,000 rows are kept, evenly over all of them, as validation rows may be sorted by class. For methods of a
    fixed strength none are kept. They are shown once an epoch, by the first validation in it.

    epoch: the last epoch whose rows were shown; -1 at first.
    """

    def __init__(self, training_loss: TrainingLoss) -> None:
        self.epoch: int = -1
        self._training_loss = training_loss
        self.forget()

    def forget(self) -> None:
        """Begin anew, as at the beginning of a validation."""
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._count = 0
        self._every = 1  # of so many rows the first is kept

    def note(self) -> None:
        """Keep rows of the training loss's last step, which was one in `eval()`."""
        outcome = self._training_loss.outcome
        if outcome is None or not self._training_loss.method.controlled:
            return
        first = -self._count % self._every
        self._kept.append((outcome.output[first :: self._every], outcome.target[first :: self._every]))
        self._count += len(outcome.target)
        while -(-self._count // self._every) > MOST:
            output, target = self._rows()
            self._kept, self._every = [(output[::2], target[::2])], 2 * self._every

    def show(self, of_training: tuple[Tensor, Tensor] | None = None) -> None:
        """Let the training loss observe what was noted, unless another validation of this epoch came first.

        of_training: see `TrainingLoss.observe`.
        """
        epoch = self._training_loss.epoch
        if self._kept and self.epoch != epoch:
            self._training_loss.observe(*self._rows(), of_training)
            self.epoch = epoch
        self.forget()

    def _rows(self) -> tuple[Tensor, Tensor]:
        output, target = zip(*self._kept, strict=True)
        return torch.cat(output), torch.cat(target)


class TrainingRows:
    """What the network says of the rows that it was trained on last, for a training loss whose method is `auto`.

    They are the last batches with at least 256 rows, as they came.

    said: outputs and labels; None before the network was asked.
    """

    def __init__(self, training_loss: TrainingLoss) -> None:
        self.said: tuple[Tensor, Tensor] | None = None
        self._training_loss = training_loss
        self._batches: deque[tuple[Any, Any]] = deque()

    def note(self, x: Any, y: Any) -> None:
        """Keep the rows of a step; where the strength is not to be set, none are kept."""
        if self._training_loss.strength is None:
            return
        self._batches.append((x, y))
        while sum(_rows(y) for _, y in self._batches) - _rows(self._batches[0][1]) >= ENOUGH:
            self._batches.popleft()

    def ask(self, model: Callable[[Any], Any]) -> None:
        """Ask the network, in `eval()`, of the rows since it was last asked; do so before its first validation step."""
        if self._batches:
            with torch.no_grad():
                output = torch.cat([self._training_loss.task.output(model(x)) for x, _ in self._batches])
            self.said = output, torch.cat([y for _, y in self._batches])
            self._batches.clear()


def _rows(y: Any) -> int:
    return len(leaves(y)[0])
