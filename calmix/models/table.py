"""MODELS: the only table of names of networks, in the order in which they are listed."""

from calmix.models.convolutional import lenet, vgg11
from calmix.models.factory import ModelFactory, Shape
from calmix.models.perceptron import dropout_mlp, mlp, smooth_mlp
from calmix.models.preact import preact_resnet18, preact_resnet34, preact_resnet50, wide_resnet
from calmix.models.residual import resnet
from calmix.models.resnets import resnet18, resnet34, resnet50, resnet101
from calmix.models.series import gru, lstm, lstnet, tcn
from calmix.models.transformer import vit

MODELS: dict[str, ModelFactory] = {
    "mlp": mlp,
    "smooth_mlp": smooth_mlp,
    "dropout_mlp": dropout_mlp,
    "resnet": resnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "preact_resnet18": preact_resnet18,
    "preact_resnet34": preact_resnet34,
    "preact_resnet50": preact_resnet50,
    "wide_resnet": wide_resnet,
    "lenet": lenet,
    "vgg11": vgg11,
    "vit": vit,
    "lstm": lstm,
    "gru": gru,
    "tcn": tcn,
    "lstnet": lstnet,
}


def default_model(shape: Shape) -> ModelFactory:
    """`resnet` for images, `mlp` for other rows."""
    return resnet if len(shape) == 3 else mlp
