"""How a method looks in every figure: by its name, so that the eye finds it again."""

import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Line = Literal["-"] | tuple[float, tuple[float, ...]]  # solid, or offset and on-off lengths in points


@dataclass(frozen=True)
class Style:
    """A colour of Okabe and Ito's palette or of Tol's; marker and line tell methods apart in grey, too."""

    color: str
    marker: str
    line: Line


_DASHED, _DOTTED, _SHORT = (0, (5, 1.5)), (0, (1, 1)), (0, (2.5, 1))
_DASH_DOT, _LONG, _TWO_DOTS = (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (5, 1, 1, 1, 1, 1))
_LINES: tuple[Line, ...] = ("-", _DASHED, _DASH_DOT, _SHORT, _DOTTED, _LONG, _TWO_DOTS)
_MARKERS = ("s", "^", "D", "v", "P", "p", "<", ">", "*", "d", "X", "o")

NAMED = {
    "erm": Style("#000000", "o", "-"),
    "auto": Style("#B3123B", "o", "-"),
    "mixup": Style("#E69F00", "s", _DASHED),
    "sk_mixup": Style("#0072B2", "^", "-"),
    "mixup_e": Style("#009E73", "D", _DASH_DOT),
    "sk_mixup_e": Style("#D55E00", "v", _SHORT),
    "regmixup": Style("#CC79A7", "P", _DOTTED),
    "mixup_idle": Style("#8C7B6B", "X", _LONG),
    "input_mixup": Style("#9A9A00", "<", _SHORT),
    "target_mixup": Style("#C9A227", ">", _DOTTED),
    "manifold_mixup": Style("#882255", "h", _DASHED),
    "cutmix": Style("#7B4FB5", "p", "-"),
    "mit_l": Style("#CC6677", "d", _DASH_DOT),
    "mit_a": Style("#7A1F1F", "H", _TWO_DOTS),
    "rankmixup": Style("#44AA99", "*", _LONG),
    "near_mixup": Style("#56B4E9", "<", _DASHED),
    "far_mixup": Style("#332288", ">", _DASH_DOT),
    "c_mixup": Style("#117733", "P", _SHORT),
    "k_mixup": Style("#777777", "X", _DOTTED),
}

# fonts for letters that DejaVu Sans lacks, by where they are found: everywhere, on macOS, on Windows
OTHER_LETTERS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai",
    "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI",
)  # fmt: skip

# what is set while drawing, and nowhere else; labels are shown as they are: "$" begins no formula
RC: dict[str, Any] = {
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "figure.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # a title that looked for ticks above the axes would take a fifth of the time
    "axes.edgecolor": "#555555",
    "xtick.bottom": False,  # the grid shows where a number stands
    "ytick.left": False,
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
    """A style for each method, which depends on its name alone.

    A published method has the style of NAMED; one with options, such as `sk_mixup(tau_max=0.3)`, a shade of its
    colour; any other name one picked by its hash. Only where two names pick the same does the second in the alphabet
    pick again.

    >>> styles(["mixup", "erm"])["erm"] == styles(["erm"])["erm"]
    True
    """
    methods = set(methods)
    looks = {name: style for name, style in NAMED.items() if name in methods}
    for name in sorted(methods - set(NAMED)):
        taken = {(style.color, style.marker) for style in looks.values()}
        picks = (_picked(name, attempt) for attempt in itertools.count())
        looks[name] = next(style for style in picks if (style.color, style.marker) not in taken)
    return looks


def _picked(name: str, attempt: int) -> Style:
    """Options never share the line of the method itself."""
    number = zlib.crc32(f"{name} {attempt}".encode())
    base = NAMED.get(name.partition("(")[0])
    lines: list[Line] = [line for line in _LINES if base is None or line != base.line]
    number, marker = divmod(number, len(_MARKERS))
    number, line = divmod(number, len(lines))
    color = _shade(base.color, _SHADES[number % len(_SHADES)]) if base else _OWN[number % len(_OWN)]
    return Style(color, _MARKERS[marker], lines[line])


_OWN = tuple(dict.fromkeys(style.color for style in NAMED.values()))[1:]
_SHADES = (-0.45, -0.25, 0.2)


def darker(color: str) -> str:
    """A line that is seen on bars of its own colour.

    >>> darker("#E69F00")
    '#8A5F00'
    """
    return _shade(color, -0.4)


def _shade(color: str, step: float) -> str:
    """Towards white by a positive step, towards black by a negative one."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + step * (255 - c) if step > 0 else c * (1 + step)):02X}" for c in channels)
