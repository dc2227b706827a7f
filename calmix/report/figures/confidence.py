"""How confident two kinds of rows are: right and wrong answers, or rows that are known and rows that are foreign.

B  bins
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from calmix.metrics import RowScores
from calmix.metrics.row_scores import concat_rows
from calmix.report.drawing import CsvRow, Drawing, panels, panels_height
from calmix.report.style import Style

BINS = 15  # B
CONFIDENCE_CAPTION = (
    "Filled: how confident right answers are; hatched: how confident wrong ones are, each as shares of their own "
    "number. The further apart the two, the better confidence tells which answers to trust."
)
RIGHT_WRONG = ("right answers", "wrong answers")


@dataclass(frozen=True, eq=False)
class Confidence:
    """Shares of two kinds of rows in B equal bins of confidence; each kind sums to one, or to zero without rows."""

    method: str
    kinds: tuple[str, str]
    filled: NDArray[np.float64]  # (B,)
    outlined: NDArray[np.float64]  # (B,)

    def rows(self) -> Iterator[CsvRow]:
        for kind, shares in zip(self.kinds, (self.filled, self.outlined), strict=True):
            for number, share in enumerate(shares.tolist()):
                yield {"method": self.method, "kind": kind, "from": number / BINS, "share": share}


def prepare_right_wrong(method: str, seeds: Sequence[RowScores]) -> Confidence:
    """Of the test rows of all seeds."""
    rows = concat_rows(seeds)
    right, wrong = rows.confidence[rows.correct], rows.confidence[~rows.correct]
    return Confidence(method, RIGHT_WRONG, _shares(right), _shares(wrong))


def prepare_ood(method: str, seeds: Sequence[RowScores], name: str, foreign: Sequence[Tensor]) -> Confidence:
    """Of the test rows, and of the rows of a set of no class, whose confidence (m,) is given for each seed."""
    kinds = "test rows", f"rows of {name}"
    return Confidence(method, kinds, _shares(concat_rows(seeds).confidence), _shares(torch.cat(list(foreign))))


def draw_confidence(ax: Axes, data: Confidence, style: Style) -> None:
    edges = np.linspace(0, 1, BINS + 1)
    ax.stairs(100 * data.filled, edges, fill=True, color=to_rgba(style.color, 0.55))
    ax.stairs(100 * data.outlined, edges, color="#222222", linewidth=0.9, hatch="/////", fill=False)
    ax.set(xlim=(0, 1))
    ax.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))


def confidence_drawing(name: str, shown: Sequence[Confidence], styles: Mapping[str, Style]) -> Drawing:
    """A panel a method; all show the same two kinds."""
    names, kinds = [data.method for data in shown], shown[0].kinds

    def paint(figure: Figure) -> None:
        for ax, data in zip(panels(figure, names), shown, strict=True):
            draw_confidence(ax, data, styles[data.method])
        figure.supxlabel("confidence")
        figure.supylabel("share of these rows, %")
        looks = [Patch(color="#999999"), Patch(facecolor="white", edgecolor="#222222", hatch="/////")]
        figure.legend(looks, kinds, loc="outside upper center", ncols=2)

    alt = f"Confidence of {kinds[0]} and of {kinds[1]}: {', '.join(names)}."
    return Drawing(name, alt, shown, panels_height(names) + 0.2, paint)


def _shares(confidence: Tensor) -> NDArray[np.float64]:
    """Float32 probabilities may sum to a little more than one."""
    count = np.histogram(confidence.clamp(0, 1).numpy(), BINS, (0, 1))[0]
    return count / max(count.sum(), 1)
