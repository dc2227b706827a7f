"""CutMix: a box of one image pasted into another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from calmix.core.coefficient import coefficient_or_beta
from calmix.core.method import Coefficient, Method, Step
from calmix.core.objective import MixedLoss
from calmix.core.pairing import Shuffle
from calmix.errors import ShapeError


@dataclass(frozen=True)
class Boxes:
    """lam of `coefficient` as an area: the partner's pixels inside a box, the anchor's outside.

    The box has height H sqrt(1 - lam) and width W sqrt(1 - lam), rounded down, around a pixel drawn uniformly, and is
    clipped at the border. lam_x is the map (m, 1, H, W) that is 0 inside and 1 outside; lam_y is its mean, the anchor's
    share after clipping. One centre is drawn for the batch, or with per_row one for each row.

    Raises:
        ShapeError: rows that are not images (C, H, W).
    """

    coefficient: Coefficient
    per_row: bool = False

    def __call__(
        self, step: Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        x = step.batch.x
        if not isinstance(x, Tensor) or x.ndim != 4:
            given = f"rows of the shape {tuple(x.shape[1:])}" if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(f"cutmix pastes boxes into images (C, H, W); got {given}: use mixup instead.")
        lam, _ = self.coefficient(step, anchor, partner, generator)
        boxes = len(anchor) if self.per_row or lam.stride(0) else 1  # one lam and one centre make one box for all rows
        side, drawn = (1 - lam[:boxes]).sqrt(), boxes if self.per_row else 1
        rows, columns = (self._within(size, side, drawn, generator) for size in x.shape[2:])
        inside = rows[:, None, :, None] & columns[:, None, None, :]  # (boxes, 1, H, W)
        area = rows.sum(1) * columns.sum(1) / inside[0].numel()
        return (~inside).to(lam.dtype).expand(len(anchor), -1, -1, -1), (1 - area).to(lam.dtype).expand(len(anchor))

    @staticmethod
    def _within(size: int, side: Tensor, drawn: int, generator: torch.Generator | None) -> Tensor:
        """(boxes, size): whether each pixel is inside a box of relative side (boxes,) around a drawn pixel."""
        half = (size * side).floor().div(2, rounding_mode="floor")
        centre = torch.randint(size, (drawn,), generator=generator, device=side.device)
        pixel = torch.arange(size, device=side.device)
        return (pixel >= (centre - half)[:, None]) & (pixel < (centre + half)[:, None])


def cutmix(alpha: float | None = None, per_row: bool = False, coefficient: Coefficient | None = None) -> Method:
    """CutMix: a box of the partner's pixels in the anchor's image, and targets mixed by area.

    Formula: x = M x_i + (1 - M) x_j with M = 0 in a box of the relative area 1 - lam, lam ~ Beta(alpha, alpha), else 1;
    y = lam' y_i + (1 - lam') y_j, lam' the share of M = 1 after the box was clipped; mean loss(f(x), y).
    Source: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019
    (arXiv 1905.04899).
    Defaults: alpha = 1, the paper's; one lam and one box for a batch as in its code, `per_row` draws both for each row.
    On CIFAR the paper mixes half of the batches: `sometimes(cutmix(), p=0.5)`.
    Cost: 1 forward, 1 backward.

    coefficient: in place of Beta(alpha, alpha), e.g. `SimilarityKernel()`: similar pairs then swap larger boxes.
    `per_row` then draws the boxes' centres alone.
    """
    lam = coefficient_or_beta(coefficient, alpha, per_row and coefficient is None)
    return Method(Shuffle(), Boxes(lam, per_row), MixedLoss())
