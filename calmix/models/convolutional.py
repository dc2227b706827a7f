"""Plain convolutional networks, without residual connections: LeNet and VGG-11, for images and log-mel spectrograms.

n rows, K outputs of a row
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calmix.errors import SettingError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, image_shape

VGG11 = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of the convolutions of each stage, in units of the width


class LeNet(nn.Module):
    """Images (n, C, H, W) -> outputs (n, K): two 5x5 convolutions, each pooled by two, a hidden layer, and a head.

    Source: the network for Google Speech Commands of github.com/adiyoss/GCommandsPytorch, after LeCun et al. (1998): 20
    filters twice, dropout of whole maps after the second, 1,000 hidden units, and dropout.
    Deviation: convolutions are padded, so that images of any size from 4 pixels a side will do.

    >>> LeNet((1, 40, 71), 10)(torch.zeros(2, 1, 40, 71)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, shape: tuple[int, int, int], outputs: int, width: int = 20, hidden: int = 1000, dropout: float = 0.5
    ) -> None:
        super().__init__()
        at_least_one(width=width, hidden=hidden)
        channels, height, across = shape
        if min(height, across) < 4:
            raise SettingError(
                f"the model 'lenet' halves images twice; these have {height} x {across} pixels: use 'mlp'."
            )
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")
        pooled = nn.MaxPool2d(2), nn.ReLU()
        self.layer1: nn.Sequential = nn.Sequential(nn.Conv2d(channels, width, 5, padding=2), *pooled)
        second = nn.Conv2d(width, width, 5, padding=2)
        self.layer2: nn.Sequential = nn.Sequential(second, nn.Dropout2d(dropout), *pooled, nn.Flatten())
        maps = width * (height // 4) * (across // 4)
        self.hidden: nn.Sequential = nn.Sequential(nn.Linear(maps, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.head: nn.Linear = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.layer2(self.layer1(x))))


class VGG(nn.Module):
    """Images (n, C, H, W) -> outputs (n, K): stages of 3x3 convolutions with batch norm, each pooled by two; a mean.

    stages: the channels of the convolutions of each stage. Halves are rounded up, so that small images will do.
    Source: Simonyan and Zisserman, 2015 (arXiv 1409.1556), with batch norm and one linear layer, as is usual for CIFAR.

    >>> VGG((1, 8, 8), 10, [(4,), (8, 8)])(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, stages: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self._stages = len(stages)
        inputs = shape[0]
        for number, widths in enumerate(stages, 1):
            stage: list[nn.Module] = []
            for width in widths:
                filters = nn.Conv2d(inputs, width, 3, padding=1)
                nn.init.kaiming_normal_(filters.weight)  # else little is left after eight layers
                stage += [filters, nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            self.add_module(f"layer{number}", nn.Sequential(*stage, nn.MaxPool2d(2, ceil_mode=True)))
        self.head: nn.Linear = nn.Linear(inputs, outputs)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  (faster, on the CPU, too)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self._stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.head(x.mean((2, 3)))


def lenet(shape: Shape, outputs: int, width: int = 20, hidden: int = 1000, dropout: float = 0.5) -> nn.Module:
    """LeNet for images and spectrograms: two convolutions of 20 filters, a hidden layer of 1,000, and dropout."""
    return LeNet(image_shape("lenet", shape), outputs, width, hidden, dropout)


def vgg11(shape: Shape, outputs: int, width: int = 64) -> nn.Module:
    """VGG-11 with batch norm for images and spectrograms: eight convolutions, and a linear layer on their mean."""
    at_least_one(width=width)
    stages = [[width * times for times in stage] for stage in VGG11]
    return VGG(image_shape("vgg11", shape), outputs, stages)
