"""Plain networks that have never heard of mixing, and factories that make them."""

from calmix.models.factory import ModelFactory, build, digest_of, name_of
from calmix.models.outputs import Output, check_outputs, with_output
from calmix.models.perceptron import MLP, dropout_mlp, mlp, smooth_mlp
from calmix.models.read import read_model
from calmix.models.residual import SmallResNet, resnet
from calmix.models.table import MODELS, default_model

__all__ = [
    "MLP",
    "MODELS",
    "ModelFactory",
    "Output",
    "SmallResNet",
    "build",
    "check_outputs",
    "default_model",
    "digest_of",
    "dropout_mlp",
    "mlp",
    "name_of",
    "read_model",
    "resnet",
    "smooth_mlp",
    "with_output",
]
