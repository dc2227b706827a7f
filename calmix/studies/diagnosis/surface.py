"""What a network says of every point of a plane: its decision surface on a grid, and how right and honest it is there.

OUT/surfaces/SLUG.npz  a method's surface for seed 0, with the training points

n points, K classes, w by h grid points
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from calmix.data import Split, Splits
from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import accuracy, auroc, ece, nll
from calmix.predictions import class_logits
from calmix.reading import AGAIN, check_arrays, read_arrays
from calmix.results.files import slug, write_arrays

Corner = tuple[float, float]
RESOLUTION = 80  # grid points a side
_ROWS = 8192  # at a time


@dataclass(frozen=True, eq=False)
class Surface:
    """Probabilities on a grid: probs[i, j] are those of the point (x[j], y[i])."""

    x: Tensor  # (w,)
    y: Tensor  # (h,)
    probs: Tensor  # (h, w, K)


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


# --------------------------------------------------------------------------------------- of a trained network


def is_plane(splits: Splits) -> bool:
    """Whether the rows are points of a plane with classes."""
    return splits.train.shape == (2,) and splits.about.task != "regression"


@torch.no_grad()
def probabilities(network: nn.Module, points: Tensor) -> Tensor:
    """(n, K), also of a network with a single logit for two classes."""
    return class_logits(network(points)).softmax(1)


def plane_scores(network: nn.Module, splits: Splits) -> dict[str, float]:
    """accuracy, ece and nll on the test split, of a network in evaluation mode.

    Of two classes also auroc, how well the network orders them wherever its border lies, and moved_accuracy, with the
    border where it is best on the calibration split: together they tell a border in the wrong place from classes that
    are not told apart.
    """
    probs, labels = probabilities(network, splits.test.x).double(), splits.test.y.view(-1).long()
    found = {"accuracy": accuracy(probs, labels), "ece": ece(probs, labels), "nll": nll(probs, labels)}
    if probs.shape[1] == 2:
        known = splits.calibration
        border = best_border(probabilities(network, known.x)[:, 1].double(), known.y.view(-1).long())
        found["auroc"] = auroc(probs[:, 1], labels)
        found["moved_accuracy"] = float(((probs[:, 1] >= border).long() == labels).double().mean())
    return found


def best_border(yes: Tensor, labels: Tensor) -> float:
    """The probability of class 1 from which on to decide for it, with the most of the labels (n,) in {0, 1} right.

    Half way between two of the probabilities `yes` (n,); the one nearest to 1/2 where several are equally good.

    >>> best_border(torch.tensor([0.125, 0.25, 0.5, 0.75]), torch.tensor([0, 0, 1, 1]))
    0.375
    """
    yes, order = yes.double().sort()
    ones = torch.cat([yes.new_zeros(1), labels[order].double().cumsum(0)])  # below each border
    below = torch.arange(len(ones), dtype=torch.float64)
    right = (below - ones) + (ones[-1] - ones)
    borders = (torch.cat([yes.new_zeros(1), yes]) + torch.cat([yes, yes.new_full((1,), 2.0)])) / 2
    possible = torch.cat([yes.new_ones(1), (yes.diff() > 0).double(), yes.new_ones(1)]) > 0
    right = torch.where(possible, right, -1.0)
    best = borders[right == right.max()]
    return float(best[(best - 0.5).abs().argmin()])


# ----------------------------------------------------------------------------------------------------- on disk


def write_surface(out: Path, label: str, network: nn.Module, train: Split) -> None:
    """The surface of a trained network around its training points, probabilities to four digits."""
    surface = decision_surface(lambda points: probabilities(network, points), *frame(train.x), RESOLUTION)
    probs = (surface.probs.double() * 1e4).round().div(1e4)
    arrays = {"x": surface.x, "y": surface.y, "probs": probs, "points": train.x, "labels": train.y.view(-1).long()}
    write_arrays(_path(out, label), {name: value.numpy() for name, value in arrays.items()})


def read_surface(out: Path, label: str, classes: int) -> tuple[Surface, Split] | None:
    """The stored surface and the training points, of so many classes; None where there is none.

    Raises:
        DataError: the file is damaged.
    """
    path = _path(out, label)
    if not path.exists():
        return None
    arrays = read_arrays(path)
    shapes = {"x": "w", "y": "h", "probs": "h w K", "points": "n d", "labels": "K: n"}
    check_arrays(path, arrays, shapes, K=classes, d=2)
    x, y, probs, points, labels = (torch.from_numpy(arrays[name]) for name in shapes)
    if min(len(x), len(y)) < 2:
        raise DataError(f"{path} holds no surface; {AGAIN}.")
    return Surface(x, y, probs), Split(points, labels)


def _path(out: Path, label: str) -> Path:
    return out / "surfaces" / f"{slug(label)}.npz"
