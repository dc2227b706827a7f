"""MODELS: the only table of names of networks, in the order in which they are listed."""

from calmix.models.factory import ModelFactory, Shape
from calmix.models.perceptron import mlp, smooth_mlp
from calmix.models.residual import resnet

MODELS: dict[str, ModelFactory] = {"mlp": mlp, "smooth_mlp": smooth_mlp, "resnet": resnet}


def default_model(shape: Shape) -> ModelFactory:
    """`resnet` for images, `mlp` for other rows."""
    return resnet if len(shape) == 3 else mlp
