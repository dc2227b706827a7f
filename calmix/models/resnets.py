"""ResNets (He et al., 2016, arXiv 1512.03385) as published for ImageNet, and for small images.

n rows, K outputs of a row
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.errors import UnknownNameError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, image_shape

STEMS = ("imagenet", "cifar")
SMALL = 64  # pixels of the shorter side up to which an image is small


class ResNet(nn.Module):
    """Images (n, C, H, W) -> outputs (n, K): a stem, four stages of residual blocks, the mean over all places, a head.

    blocks: how many each stage has. bottleneck: blocks of three convolutions, whose output is four times as wide.
    stem: `imagenet`, a 7x7 convolution of stride 2 and a 3x3 maximum of stride 2; `cifar`, a 3x3 convolution of stride
    1; None is `cifar` for images of up to 64 pixels on the shorter side, else `imagenet`. width: channels of the first
    stage; each further one has twice as many, at half the resolution.

    As in torchvision, a bottleneck has its stride in the 3x3 convolution, and weights begin as in He et al. (2015).

    >>> ResNet((1, 8, 8), 10, (1, 1, 1, 1), width=4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        blocks: tuple[int, int, int, int],
        bottleneck: bool = False,
        stem: str | None = None,
        width: int = 64,
    ) -> None:
        super().__init__()
        at_least_one(width=width)
        channels, *sides = shape
        stem = stem or ("cifar" if min(sides) <= SMALL else "imagenet")
        if stem not in STEMS:
            raise UnknownNameError("stem", stem, STEMS)
        first = _conv(channels, width, 3) if stem == "cifar" else _conv(channels, width, 7, 2)
        pool = [nn.MaxPool2d(3, 2, 1)] if stem == "imagenet" else []
        self.stem: nn.Sequential = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), *pool)
        kind = Bottleneck if bottleneck else Basic
        inputs = width
        for number, count in enumerate(blocks):
            stage = []
            for place in range(count):
                stage.append(kind(inputs, width * 2**number, stride=2 if number and place == 0 else 1))
                inputs = width * 2**number * kind.expansion
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        self.head: nn.Linear = nn.Linear(inputs, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  (faster, on the CPU, too)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return self.head(x.mean((2, 3)))


class Basic(nn.Module):
    """relu(x + conv-norm(relu(conv-norm(x)))), with a 1x1 projection of x where the shape changes."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body: nn.Sequential = nn.Sequential(
            _conv(inputs, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _conv(width, width, 3),
            nn.BatchNorm2d(width),
        )
        self.skip: nn.Module = _skip(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


class Bottleneck(nn.Module):
    """The same with a 1x1, a 3x3 and a 1x1 convolution, the last of them four times as wide."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.body: nn.Sequential = nn.Sequential(
            _conv(inputs, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _conv(width, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _conv(width, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = _skip(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


def _skip(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def resnet18(shape: Shape, outputs: int, stem: str | None = None, width: int = 64) -> nn.Module:
    """ResNet-18 for images; stem=cifar or imagenet (default: cifar for images of up to 64 pixels)."""
    return ResNet(image_shape("resnet18", shape), outputs, (2, 2, 2, 2), False, stem, width)


def resnet34(shape: Shape, outputs: int, stem: str | None = None, width: int = 64) -> nn.Module:
    """ResNet-34, as resnet18."""
    return ResNet(image_shape("resnet34", shape), outputs, (3, 4, 6, 3), False, stem, width)


def resnet50(shape: Shape, outputs: int, stem: str | None = None, width: int = 64) -> nn.Module:
    """ResNet-50 of bottlenecks, as resnet18."""
    return ResNet(image_shape("resnet50", shape), outputs, (3, 4, 6, 3), True, stem, width)


def resnet101(shape: Shape, outputs: int, stem: str | None = None, width: int = 64) -> nn.Module:
    """ResNet-101 of bottlenecks, as resnet18."""
    return ResNet(image_shape("resnet101", shape), outputs, (3, 4, 23, 3), True, stem, width)
