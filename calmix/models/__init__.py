"""Plain networks that have never heard of mixing."""

from calmix.models.perceptron import MLP
from calmix.models.residual import SmallResNet
from calmix.models.table import MODELS, default_model, make_model, mlp, resnet, smooth_mlp

__all__ = ["MLP", "MODELS", "SmallResNet", "default_model", "make_model", "mlp", "resnet", "smooth_mlp"]
