"""Networks for series (n, time, channels): recurrent ones, and a temporal convolution.

n rows, K outputs of a row
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from calmix.errors import SettingError
from calmix.models.factory import Shape
from calmix.models.shapes import at_least_one, series_shape


class Recurrent(nn.Module):
    """Series (n, time, channels) -> outputs (n, K): layers of an LSTM or GRU, and a head on what the last step left.

    kind: nn.LSTM or nn.GRU. width: entries of the state. On a GPU cuDNN has no second derivative of either, so that
    `mixup_e(slope=Jacobian())` runs on the CPU alone.

    >>> import torch
    >>> Recurrent(nn.GRU, 3, 2)(torch.zeros(4, 7, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self, kind: type[nn.LSTM] | type[nn.GRU], channels: int, outputs: int, width: int = 128, depth: int = 1
    ) -> None:
        super().__init__()
        at_least_one(width=width, depth=depth)
        inputs = [channels] + [width] * (depth - 1)
        self.body: nn.Sequential = nn.Sequential(*(_Layer(kind(each, width, batch_first=True)) for each in inputs))
        self.head: nn.Linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, -1])


class _Layer(nn.Module):
    """The states after all steps (n, time, width), and nothing else, so that rows can be mixed after it."""

    def __init__(self, cell: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.cell: nn.LSTM | nn.GRU = cell

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0]


class TemporalConvolution(nn.Module):
    """Series (n, time, channels) -> outputs (n, K): blocks of causal convolutions (Bai et al., 2018, arXiv 1803.01271).

    Block b looks back in steps of 2^b, and the head sees the last step. width: channels of a block. kernel: steps that
    a convolution sees. depth: blocks; None is as many as let the last step see the whole series, by which steps seen
    are 1 + 2 (kernel - 1) (2^depth - 1). It has batch norm where the paper has weight norm.

    >>> import torch
    >>> TemporalConvolution((7, 3), 2)(torch.zeros(4, 7, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self, shape: tuple[int, int], outputs: int, width: int = 32, kernel: int = 3, depth: int | None = None
    ) -> None:
        super().__init__()
        time, channels = shape
        if kernel < 2:
            raise SettingError(f"kernel must be at least 2; got {kernel}.")
        if depth is None:
            depth = max(1, math.ceil(math.log2((time - 1) / (2 * (kernel - 1)) + 1)))
        at_least_one(width=width, depth=depth)
        inputs = [channels] + [width] * (depth - 1)
        self.body: nn.Sequential = nn.Sequential(
            *(_CausalBlock(each, width, kernel, 2**level) for level, each in enumerate(inputs))
        )
        self.head: nn.Linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.transpose(1, 2))[:, :, -1])


class _CausalBlock(nn.Module):
    """relu(skip(x) + twice a causal convolution, norm and relu), of rows (n, channels, time)."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        past = nn.ZeroPad1d(((kernel - 1) * dilation, 0))
        self.body: nn.Sequential = nn.Sequential(
            *(past, nn.Conv1d(inputs, width, kernel, dilation=dilation, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
            *(past, nn.Conv1d(width, width, kernel, dilation=dilation, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
        )
        self.skip: nn.Module = nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


def lstm(shape: Shape, outputs: int, width: int = 128, depth: int = 1) -> nn.Module:
    """LSTM for series (time, channels): one layer of 128, and a head on its last step."""
    return Recurrent(nn.LSTM, series_shape("lstm", shape)[1], outputs, width, depth)


def gru(shape: Shape, outputs: int, width: int = 128, depth: int = 1) -> nn.Module:
    """GRU, as lstm."""
    return Recurrent(nn.GRU, series_shape("gru", shape)[1], outputs, width, depth)


def tcn(shape: Shape, outputs: int, width: int = 32, kernel: int = 3, depth: int | None = None) -> nn.Module:
    """Temporal convolution for series (time, channels): causal blocks of width 32 that see the whole series."""
    return TemporalConvolution(series_shape("tcn", shape), outputs, width, kernel, depth)
