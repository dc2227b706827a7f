"""What a network says of every point of a plane: its decision surface on a grid.

n points, K classes, w by h grid points
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.errors import SettingError, ShapeError

Corner = tuple[float, float]
_ROWS = 8192  # at a time


@dataclass(frozen=True, eq=False)
class Surface:
    """Probabilities on a grid: probs[i, j] are those of the point (x[j], y[i])."""

    x: Tensor  # (w,)
    y: Tensor  # (h,)
    probs: Tensor  # (h, w, K)

    @property
    def confidence(self) -> Tensor:
        """The largest probability (h, w)."""
        return self.probs.amax(2)

    @property
    def decision(self) -> Tensor:
        """The most probable class (h, w)."""
        return self.probs.argmax(2)


def frame(points: Tensor, air: float = 0.15) -> tuple[Corner, Corner]:
    """The lower left and the upper right corner of a box around points (n, 2), with this share of its size to spare.

    >>> frame(torch.tensor([[0.0, 0.0], [2.0, 4.0]]), air=0.5)
    ((-1.0, -2.0), (3.0, 6.0))
    """
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ShapeError(f"a plane has points of the shape (n, 2); got {tuple(points.shape)}.")
    low, high = points.amin(0).double(), points.amax(0).double()
    spare = air * (high - low)
    (left, bottom), (right, top) = (low - spare).tolist(), (high + spare).tolist()
    return (left, bottom), (right, top)


@torch.no_grad()
def decision_surface(
    probabilities: Callable[[Tensor], Tensor], low: Corner, high: Corner, resolution: int = 100
) -> Surface:
    """The probabilities on `resolution` by `resolution` points from the corner `low` to the corner `high`.

    probabilities: points (n, 2) float32 -> rows (n, K) that sum to one, such as `lambda x: model(x).softmax(1)`.

    Raises:
        SettingError: a resolution below 2, corners that span no area. ShapeError: not one row of K values a point.

    >>> surface = decision_surface(lambda x: torch.stack([x[:, 0], 1 - x[:, 0]], 1), (0, 0), (1, 1), 3)
    >>> surface.probs[..., 0]
    tensor([[0.0000, 0.5000, 1.0000],
            [0.0000, 0.5000, 1.0000],
            [0.0000, 0.5000, 1.0000]])
    """
    if resolution < 2:
        raise SettingError(f"resolution must be at least 2; got {resolution}.")
    if not (low[0] < high[0] and low[1] < high[1]):
        raise SettingError(f"the corner low must lie below and left of high; got {low} and {high}.")
    x, y = (torch.linspace(start, end, resolution) for start, end in zip(low, high, strict=True))
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).view(-1, 2)  # row by row, x fastest
    probs = torch.cat([probabilities(rows) for rows in points.split(_ROWS)])
    if probs.ndim != 2 or len(probs) != len(points):
        raise ShapeError(f"probabilities must be rows (n, K), one a point; got {tuple(probs.shape)}.")
    return Surface(x, y, probs.view(resolution, resolution, -1))
