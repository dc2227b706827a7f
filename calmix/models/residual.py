"""A small residual network with batch norm for images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, image_shape


class SmallResNet(nn.Module):
    """Images (n, C, H, W) of any size and channel count -> outputs (n, K).

    A 3x3 stem, three residual blocks of widths w, 2w, 4w (He et al., 2016, basic blocks; the last two halve the
    resolution) and global average pooling: 6 + 1 convolutions. Images above 64 pixels are halved in the stem, too.

    >>> import torch
    >>> SmallResNet((3, 32, 32), 10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, width: int = 16) -> None:
        super().__init__()
        at_least_one(width=width)
        channels, height, _ = shape
        stride = 2 if height > 64 else 1
        self.stem: nn.Sequential = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.layer1: Block = Block(width, width)
        self.layer2: Block = Block(width, 2 * width, 2)
        self.layer3: Block = Block(2 * width, 4 * width, 2)
        self.head: nn.Linear = nn.Linear(4 * width, outputs)
        # convolutions follow the memory format of their weights, whatever the input's
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer3(self.layer2(self.layer1(self.stem(x)))).mean((2, 3)))


class Block(nn.Module):
    """relu(x + conv-norm(relu(conv-norm(x)))), with a 1x1 projection of x where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body: nn.Sequential = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


def resnet(shape: Shape, outputs: int, width: int = 16) -> nn.Module:
    """Small residual network with batch norm: 7 convolutions of width 16 to 64; for images of any size."""
    return SmallResNet(image_shape("resnet", shape), outputs, width)
