"""How a method looks in every figure: by its name, so that the eye finds it again."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Line = Literal["-"] | tuple[float, tuple[float, ...]]  # solid, or offset and on-off lengths in points


@dataclass(frozen=True)
class Style:
    """A colour of Okabe and Ito's palette; marker and line tell methods apart in grey, too."""

    color: str
    marker: str
    line: Line


NAMED = {
    "erm": Style("#000000", "o", "-"),
    "mixup": Style("#E69F00", "s", (0, (5, 1.5))),
    "sk_mixup": Style("#0072B2", "^", "-"),
    "mixup_e": Style("#009E73", "D", (0, (5, 1.5, 1, 1.5))),
    "sk_mixup_e": Style("#D55E00", "v", (0, (2.5, 1))),
    "regmixup": Style("#CC79A7", "P", (0, (1, 1))),
}
_COLORS = ("#56B4E9", "#666666", "#CC79A7", "#009E73", "#D55E00", "#0072B2", "#E69F00")
_MARKERS = ("p", "<", "h", ">", "*", "d", "8", "H")
_LINES: tuple[Line, ...] = ((0, (3, 1)), (0, (1, 1)), (0, (7, 1, 1, 1)), "-")

# what is set while drawing, and nowhere else; labels are shown as they are: "$" begins no formula
RC: dict[str, Any] = {
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "svg.hashsalt": "calmix",  # the same figure is the same file
}


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method: that of its name, else the next free one in the order of the alphabet.

    >>> styles(["mixup", "erm"])["erm"] == styles(["erm"])["erm"]
    True
    """
    methods = set(methods)
    known = {name: style for name, style in NAMED.items() if name in methods}
    return known | {name: _spare(i) for i, name in enumerate(sorted(methods - set(NAMED)))}


def _spare(i: int) -> Style:
    return Style(_COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)], _LINES[i % len(_LINES)])
