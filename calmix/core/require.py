"""Checks of the numbers that users give; each raises SettingError unless the number is of the named kind."""

from calmix.errors import SettingError

_TINY, _HUGE = 1e-30, 1e30  # beyond these, float32 under- or overflows somewhere on the way


def not_nan(name: str, value: float) -> None:
    """Any number, infinities included, but not NaN."""
    if value != value:
        raise SettingError(f"{name} must be a number; got {value}.")


def finite(name: str, value: float) -> None:
    """Any finite number."""
    if not -float("inf") < value < float("inf"):
        raise SettingError(f"{name} must be a finite number; got {value}.")


def positive(name: str, value: float) -> None:
    """A positive number that float32 can take."""
    if not 0 < value < float("inf"):
        raise SettingError(f"{name} must be a positive number; got {value}.")
    if not _TINY <= value <= _HUGE:
        raise SettingError(f"{name} must lie between {_TINY:g} and {_HUGE:g}; got {value}.")


def at_least(name: str, value: float, least: int) -> None:
    """A finite number not below `least`."""
    if not least <= value < float("inf"):
        raise SettingError(f"{name} must be at least {least}; got {value}.")


def share(name: str, value: float) -> None:
    """A number in (0, 1]."""
    if not 0 < value <= 1:
        raise SettingError(f"{name} must be a number above 0 and at most 1; got {value}.")
