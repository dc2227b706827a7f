"""Residual networks that normalise before they convolve: PreActResNets and wide ResNets, for small images.

n rows, K outputs of a row
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.errors import SettingError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, image_shape


class PreActivated(nn.Module):
    """Images (n, C, H, W) -> outputs (n, K): a 3x3 convolution, stages of residual blocks, a mean, a head.

    widths: channels of the stem, and then of each stage; every stage but the first halves the resolution. blocks: how
    many each stage has. bottleneck: blocks of three convolutions, whose output is four times as wide. final_norm:
    normalise and rectify what the last block puts out.

    >>> PreActivated((1, 8, 8), 10, (4, 4, 8), blocks=1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        widths: Sequence[int],
        blocks: int | Sequence[int],
        bottleneck: bool = False,
        dropout: float = 0.0,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        first, *stages = widths
        counts = [blocks] * len(stages) if isinstance(blocks, int) else blocks
        self.stem: nn.Conv2d = _conv(shape[0], first, 3)
        self._stages = len(stages)
        inputs = first
        for number, (width, count) in enumerate(zip(stages, counts, strict=True)):
            stage = []
            for place in range(count):
                stage.append(PreActBlock(inputs, width, 2 if number and place == 0 else 1, bottleneck, dropout))
                inputs = width * (4 if bottleneck else 1)
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        self.norm: nn.Module = nn.BatchNorm2d(inputs) if final_norm else nn.Identity()
        self.rectify: nn.Module = nn.ReLU() if final_norm else nn.Identity()
        self.head: nn.Linear = nn.Linear(inputs, outputs)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  (faster, on the CPU, too)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number in range(1, self._stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.head(self.rectify(self.norm(x)).mean((2, 3)))


class PreActBlock(nn.Module):
    """skip(x) + conv(relu(norm(conv(relu(norm(x)))))); the skip is x, or a 1x1 convolution of relu(norm(x))."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool, dropout: float) -> None:
        super().__init__()
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        widths = (inputs, width, width, 4 * width) if bottleneck else (inputs, width, width)
        strided = 1 if bottleneck else 0  # the first 3x3 convolution
        self.norm: nn.BatchNorm2d = nn.BatchNorm2d(inputs)
        body: list[nn.Module] = []
        for place, size in enumerate(sizes):
            if place:
                body += [nn.BatchNorm2d(widths[place]), nn.ReLU()]
            if place == len(sizes) - 1 and dropout:
                body.append(nn.Dropout(dropout))
            body.append(_conv(widths[place], widths[place + 1], size, stride if place == strided else 1))
        self.body: nn.Sequential = nn.Sequential(*body)
        projected = stride != 1 or inputs != widths[-1]
        self.skip: nn.Conv2d | None = _conv(inputs, widths[-1], 1, stride) if projected else None

    def forward(self, x: Tensor) -> Tensor:
        rectified = F.relu(self.norm(x))
        return self.body(rectified) + (x if self.skip is None else self.skip(rectified))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _preact(
    name: str, shape: Shape, outputs: int, blocks: Sequence[int], bottleneck: bool, width: int, final_norm: bool
) -> nn.Module:
    at_least_one(width=width)
    widths = [width, *(width * 2**stage for stage in range(4))]
    return PreActivated(image_shape(name, shape), outputs, widths, blocks, bottleneck, final_norm=final_norm)


def preact_resnet18(shape: Shape, outputs: int, width: int = 64, final_norm: bool = False) -> nn.Module:
    """PreActResNet-18 for small images, as in Manifold Mixup's code; final_norm=True is as in He et al. (2016)."""
    return _preact("preact_resnet18", shape, outputs, (2, 2, 2, 2), False, width, final_norm)


def preact_resnet34(shape: Shape, outputs: int, width: int = 64, final_norm: bool = False) -> nn.Module:
    """PreActResNet-34, as preact_resnet18."""
    return _preact("preact_resnet34", shape, outputs, (3, 4, 6, 3), False, width, final_norm)


def preact_resnet50(shape: Shape, outputs: int, width: int = 64, final_norm: bool = False) -> nn.Module:
    """PreActResNet-50 of bottlenecks, as preact_resnet18."""
    return _preact("preact_resnet50", shape, outputs, (3, 4, 6, 3), True, width, final_norm)


def wide_resnet(shape: Shape, outputs: int, depth: int = 28, width: int = 10, dropout: float = 0.0) -> nn.Module:
    """Wide ResNet for small images: WRN-28-10; depth=16, width=4 and so on (Zagoruyko and Komodakis, 2016)."""
    at_least_one(width=width)
    if depth < 10 or (depth - 4) % 6:
        raise SettingError(f"the depth of a wide ResNet is 6 n + 4: 10, 16, 22, 28, 40, ...; got {depth}.")
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")
    widths = [16, *(16 * width * 2**stage for stage in range(3))]
    return PreActivated(image_shape("wide_resnet", shape), outputs, widths, (depth - 4) // 6, dropout=dropout)
