"""What a training loop shows a method that sets its strength by validation rows; shared by the frameworks' files."""

import torch
from torch import Tensor

from calmix.core.loss import TrainingLoss

MOST = 2000  # rows kept at most


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

    def show(self) -> None:
        """Let the training loss observe what was noted, unless another validation of this epoch came first."""
        epoch = self._training_loss.epoch
        if self._kept and self.epoch != epoch:
            self._training_loss.observe(*self._rows())
            self.epoch = epoch
        self.forget()

    def _rows(self) -> tuple[Tensor, Tensor]:
        output, target = zip(*self._kept, strict=True)
        return torch.cat(output), torch.cat(target)
