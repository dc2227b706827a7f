"""Schedules of the learning rate that have options, as settings. PyTorch is not loaded."""

from dataclasses import dataclass

from calmix.calls import read_part
from calmix.core import require
from calmix.errors import SettingError


@dataclass(frozen=True)
class Steps:
    """The learning rate falls in steps, at shares of the training, after a linear warm-up.

    Formula: at the share s of the training, the rate is its peak times factor^(how many of `at` are at most s), times
    s / warm_up as long as s < warm_up.

    Raises:
        SettingError: shares that do not rise from above 0 to below 1, or another number that is out of range.

    >>> [round(Steps().at_share(s), 3) for s in (0.0, 0.49, 0.5, 0.75, 0.99)]
    [1.0, 1.0, 0.1, 0.01, 0.01]
    >>> [Steps(warm_up=0.2).at_share(s) for s in (0.0, 0.1, 0.2)]
    [0.0, 0.5, 1.0]
    """

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", tuple(self.at))  # a list, as it may be written
        shares = (0.0, *self.at, 1.0)
        numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in self.at)
        if not self.at or not numbers or sorted(set(shares)) != list(shares):
            raise SettingError(f"steps: at holds shares of the training that rise, such as [0.5, 0.75]; got {self.at}.")
        require.positive("steps: factor", self.factor)
        if not 0 <= self.warm_up < 1:
            raise SettingError(f"steps: warm_up must be at least 0 and below 1; got {self.warm_up}.")

    def at_share(self, share: float) -> float:
        """What the peak is multiplied with when this share of the training is over."""
        risen = share / self.warm_up if share < self.warm_up else 1.0
        return risen * self.factor ** sum(at <= share for at in self.at)


def read_steps(text: str) -> Steps | None:
    """`steps`, with options or without; None of another schedule.

    >>> read_steps("steps(at=[0.4, 0.6])"), read_steps("cosine")
    (Steps(at=(0.4, 0.6), factor=0.1, warm_up=0.0), None)
    """
    if text.partition("(")[0].strip() != "steps":
        return None
    return read_part(text, {"steps": Steps}, "schedule", "steps(at=[0.5, 0.75])")
