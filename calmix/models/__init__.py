"""Plain networks that have never heard of mixing, and factories that make them."""

from calmix.models.factory import ModelFactory, build, digest_of, name_of
from calmix.models.perceptron import MLP
from calmix.models.residual import SmallResNet
from calmix.models.table import MODELS, default_model, mlp, read_model, resnet, smooth_mlp

__all__ = [
    "MLP",
    "MODELS",
    "ModelFactory",
    "SmallResNet",
    "build",
    "default_model",
    "digest_of",
    "mlp",
    "name_of",
    "read_model",
    "resnet",
    "smooth_mlp",
]
