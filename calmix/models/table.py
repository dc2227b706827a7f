"""MODELS: the only table of names of networks."""

import math

from torch import nn

from calmix.errors import SettingError, UnknownNameError
from calmix.models.factory import ModelFactory, Shape
from calmix.models.perceptron import MLP
from calmix.models.residual import SmallResNet


def mlp(shape: Shape, outputs: int) -> nn.Module:
    """Multilayer perceptron: two hidden layers of 256, ReLU; for tables (images are flattened)."""
    return MLP(math.prod(shape), outputs)


def smooth_mlp(shape: Shape, outputs: int) -> nn.Module:
    """The same perceptron with GELU for ReLU: it has derivatives of all orders, and no kinks between its rows."""
    return MLP(math.prod(shape), outputs, activation=nn.GELU)


def resnet(shape: Shape, outputs: int) -> nn.Module:
    """Small residual network with batch norm: 7 convolutions of width 16 to 64; for images of any size."""
    if len(shape) != 3:
        raise SettingError(f"the model 'resnet' is for images (C, H, W); these rows have the shape {shape}: use 'mlp'.")
    return SmallResNet((shape[0], shape[1], shape[2]), outputs)


MODELS: dict[str, ModelFactory] = {"mlp": mlp, "smooth_mlp": smooth_mlp, "resnet": resnet}


def read_model(name: str) -> ModelFactory:
    """The factory in MODELS of that name. Raises UnknownNameError."""
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name]


def default_model(shape: Shape) -> ModelFactory:
    """`resnet` for images, `mlp` for other rows."""
    return resnet if len(shape) == 3 else mlp
