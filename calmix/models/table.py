"""MODELS: the only table of names. Each factory makes a network for rows of a shape."""

import math
from collections.abc import Callable

from torch import nn

from calmix.errors import SettingError, UnknownNameError
from calmix.models.perceptron import MLP
from calmix.models.residual import SmallResNet

Shape = tuple[int, ...]  # of one row


def mlp(shape: Shape, outputs: int) -> nn.Module:
    """Multilayer perceptron: two hidden layers of 256, ReLU; for tables (images are flattened)."""
    return MLP(math.prod(shape), outputs)


def smooth_mlp(shape: Shape, outputs: int) -> nn.Module:
    """The same perceptron with GELU in place of ReLU, so that it has derivatives of all orders everywhere."""
    return MLP(math.prod(shape), outputs, activation=nn.GELU)


def resnet(shape: Shape, outputs: int) -> nn.Module:
    """Small residual network with batch norm: 7 convolutions of width 16 to 64; for images of any size."""
    if len(shape) != 3:
        raise SettingError(f"the model 'resnet' is for images (C, H, W); these rows have the shape {shape}: use 'mlp'.")
    return SmallResNet((shape[0], shape[1], shape[2]), outputs)


MODELS: dict[str, Callable[[Shape, int], nn.Module]] = {"mlp": mlp, "smooth_mlp": smooth_mlp, "resnet": resnet}


def make_model(name: str | None, shape: Shape, outputs: int) -> nn.Module:
    """The model called `name` for rows of `shape`; None chooses `resnet` for images and `mlp` for tables.

    Raises:
        UnknownNameError: no such model. SettingError: a model that does not take rows of this shape.
    """
    name = name or default_model(shape)
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name](shape, outputs)


def default_model(shape: Shape) -> str:
    """The name of the model that `make_model` chooses for rows of `shape`."""
    return "resnet" if len(shape) == 3 else "mlp"
