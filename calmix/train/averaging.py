"""Averages of the weights of a training, as settings. PyTorch is not loaded."""

from dataclasses import dataclass

from calmix.calls import read_part
from calmix.errors import SettingError


@dataclass(frozen=True)
class EMA:
    """The exponential moving average of weights and buffers over the steps.

    Formula: a <- d a + (1 - d) w after every step t = 2, 3, ..., with d = min(decay, t / (9 + t)), so that a short
    training is not ruled by its first weights. The running statistics of batch norm are averaged in the same way, and
    stay those of the rows that `batch_norm` says. Validation rows judge the average, and `select` keeps it.
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise SettingError(f"ema: decay must lie between 0 and 1; got {self.decay}.")


@dataclass(frozen=True)
class SWA:
    """Stochastic weight averaging: the mean of the weights at the ends of the last epochs (arXiv 1803.05407).

    start: the share of the epochs after which it begins; the last epoch always counts. Batch norm is re-estimated on
    clean training rows, as the mean of running statistics is not what the mean of weights gives. The average exists
    after the training alone: validation rows judge the network that is trained, and there is no best epoch to select.
    The schedule stays the one of the settings; the authors' is `constant` in the averaged epochs.
    """

    start: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1:
            raise SettingError(f"swa: start must be at least 0 and below 1; got {self.start}.")

    def takes(self, epoch: int, epochs: int) -> bool:
        """Whether the weights after this epoch, counted from 1, are averaged.

        >>> [epoch for epoch in range(1, 11) if SWA().takes(epoch, 10)], SWA().takes(1, 1)
        ([8, 9, 10], True)
        """
        return epoch > self.start * epochs or epoch == epochs


AVERAGES: dict[str, type[EMA] | type[SWA] | None] = {"none": None, "ema": EMA, "swa": SWA}


def read_average(text: str) -> EMA | SWA | None:
    """`none`, `ema`, `swa`, or one with its option.

    Raises:
        SettingError, UnknownNameError: text that cannot be read, a name or an option that is not known.

    >>> read_average("ema(decay=0.99)"), read_average("swa"), read_average("none")
    (EMA(decay=0.99), SWA(start=0.75), None)
    """
    return read_part(text, AVERAGES, "average", "ema(decay=0.99)")
