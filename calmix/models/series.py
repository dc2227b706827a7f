"""Networks for series (n, time, channels): recurrent ones, a temporal convolution, and LSTNet.

n rows, K outputs of a row
"""

import math

import torch
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


class LSTNet(nn.Module):
    """Series (n, time, channels) -> outputs (n, K): a convolution, two GRUs and an autoregression.

    Formula: c_t (width) are filters of the steps t .. t + window - 1, rectified; h (width) is what a GRU holds after
    all of them; s_p (skip_width) is what a second GRU holds after c_p, c_{p+skip}, c_{p+2 skip}, ..., for each of the
    `skip` phases p, over as many whole periods as there are, the last ones. Then
        y = W [h, s_1, ..., s_skip] + b + sum_k a_k x_{time-k} + a,  k = 1 .. highway,
    with the same a_k for all channels. Dropout lies on c, h and s.
    Source: Lai et al., Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks, SIGIR 2018
    (arXiv 1703.07015), and its authors' code, which has tanh in the GRUs where the paper has ReLU, as here.
    Deviation: autoregression needs an output for each channel. For other outputs there is none.

    window: steps of a filter. skip: steps of a period, such as 24 hours; 0: no second GRU. highway: steps of the
    autoregression; None: 24, or all of a shorter series, where outputs are as many as channels, else 0.
    Rows can be mixed after `convolution` and after `recurrence`; what the autoregression says is then mixed, too.

    >>> LSTNet((30, 3), 3, width=4)(torch.zeros(2, 30, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        shape: tuple[int, int],
        outputs: int,
        width: int = 100,
        skip_width: int = 5,
        window: int = 6,
        skip: int = 24,
        highway: int | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        time, channels = shape
        at_least_one(width=width, skip_width=skip_width, window=window)
        if highway is None:
            highway = min(24, time) if outputs == channels else 0
        _check_lstnet(time, channels, outputs, window, skip, highway, dropout)
        self.convolution: nn.Module = _Filters(channels, width, window, highway, dropout)
        self.recurrence: nn.Module = _TwoGRUs(width, skip_width, skip, highway, dropout)
        self.head: nn.Linear = nn.Linear(width + skip * skip_width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        states, told = self.recurrence(self.convolution(x))
        return self.head(states) + told


class _Filters(nn.Module):
    """Series (n, time, channels) -> filters (n, time - window + 1, width), and its last `highway` steps as they are."""

    def __init__(self, channels: int, width: int, window: int, highway: int, dropout: float) -> None:
        super().__init__()
        self.filters: nn.Conv1d = nn.Conv1d(channels, width, window)
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self._highway = highway

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        filtered = self.dropout(F.relu(self.filters(x.transpose(1, 2))))
        return filtered.transpose(1, 2), x[:, x.shape[1] - self._highway :]


class _TwoGRUs(nn.Module):
    """What `_Filters` gives -> states (n, width + skip skip_width), and the autoregression (n, channels) or (n, 1)."""

    def __init__(self, width: int, skip_width: int, skip: int, highway: int, dropout: float) -> None:
        super().__init__()
        self.gru: nn.GRU = nn.GRU(width, width, batch_first=True)
        self.skip_gru: nn.GRU | None = nn.GRU(width, skip_width, batch_first=True) if skip else None
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        bound = highway**-0.5 if highway else 0.0  # as of nn.Linear; no matrix, so that the head stays the last layer
        self.highway: nn.Parameter | None = (
            nn.Parameter(torch.empty(highway).uniform_(-bound, bound)) if highway else None
        )
        self.bias: nn.Parameter | None = nn.Parameter(torch.empty(1).uniform_(-bound, bound)) if highway else None
        self._skip = skip

    def forward(self, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        filtered, recent = given
        states = [self.gru(filtered)[0][:, -1]]
        if self.skip_gru is not None:
            n, steps, width = filtered.shape
            periods = steps // self._skip
            phases = filtered[:, steps - periods * self._skip :].view(n, periods, self._skip, width).transpose(1, 2)
            last = self.skip_gru(phases.reshape(n * self._skip, periods, width))[0][:, -1]
            states.append(last.view(n, -1))
        if self.highway is None or self.bias is None:
            return self.dropout(torch.cat(states, 1)), recent.new_zeros(len(recent), 1)
        return self.dropout(torch.cat(states, 1)), self.highway @ recent + self.bias


def _check_lstnet(time: int, channels: int, outputs: int, window: int, skip: int, highway: int, dropout: float) -> None:
    steps = time - window + 1
    if steps < 1:
        raise SettingError(f"window must be at most the {time} steps of the series; got {window}.")
    if not 0 <= skip <= steps:
        raise SettingError(
            f"skip must be at most {steps}, the steps that a window of {window} leaves of {time}, or 0 for no second "
            f"GRU; got {skip}."
        )
    if not 0 <= highway <= time:
        raise SettingError(f"highway must be at most the {time} steps of the series, or 0 for none; got {highway}.")
    if highway and outputs != channels:
        raise SettingError(
            f"highway tells each channel by its own past, and there are {channels} channels and {outputs} outputs; "
            "leave highway out."
        )
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")


def lstm(shape: Shape, outputs: int, width: int = 128, depth: int = 1) -> nn.Module:
    """LSTM for series (time, channels): one layer of 128, and a head on its last step."""
    return Recurrent(nn.LSTM, series_shape("lstm", shape)[1], outputs, width, depth)


def gru(shape: Shape, outputs: int, width: int = 128, depth: int = 1) -> nn.Module:
    """GRU, as lstm."""
    return Recurrent(nn.GRU, series_shape("gru", shape)[1], outputs, width, depth)


def tcn(shape: Shape, outputs: int, width: int = 32, kernel: int = 3, depth: int | None = None) -> nn.Module:
    """Temporal convolution for series (time, channels): causal blocks of width 32 that see the whole series."""
    return TemporalConvolution(series_shape("tcn", shape), outputs, width, kernel, depth)


def lstnet(
    shape: Shape,
    outputs: int,
    width: int = 100,
    skip_width: int = 5,
    window: int = 6,
    skip: int = 24,
    highway: int | None = None,
    dropout: float = 0.2,
) -> nn.Module:
    """LSTNet for forecasts from series (time, channels): a convolution, two GRUs, an autoregression, and dropout."""
    return LSTNet(series_shape("lstnet", shape), outputs, width, skip_width, window, skip, highway, dropout)
