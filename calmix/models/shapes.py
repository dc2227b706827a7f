"""What the shape of a row must be for a network, and options that must be within a range."""

from calmix.errors import SettingError
from calmix.models.factory import Shape


def image_shape(name: str, shape: Shape) -> tuple[int, int, int]:
    """(C, H, W). Raises SettingError for rows that are no images."""
    if len(shape) != 3:
        raise SettingError(f"the model {name!r} is for images (C, H, W); these rows have the shape {shape}: use 'mlp'.")
    return shape[0], shape[1], shape[2]


def series_shape(name: str, shape: Shape) -> tuple[int, int]:
    """(time, channels). Raises SettingError for rows that are no series."""
    if len(shape) != 2:
        other = "'resnet'" if len(shape) == 3 else "'mlp'"
        raise SettingError(
            f"the model {name!r} is for series (time, channels); these rows have the shape {shape}: use {other}."
        )
    return shape[0], shape[1]


def at_least_one(**options: int) -> None:
    """Raise SettingError for a number of layers, channels or the like below one."""
    for name, value in options.items():
        if value < 1:
            raise SettingError(f"{name} must be at least 1; got {value}.")
