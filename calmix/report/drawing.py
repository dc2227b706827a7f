"""What all figures share: data first, then drawing.

A figure is made in two steps. `prepare_*` returns what is shown, a frozen value whose `rows()` are its CSV; `draw_*`
puts it on axes. A `Drawing` binds the two to a name, and `write_page` makes files of it.
"""

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from matplotlib import style as rc_style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.lines import Line2D

from calmix.report.style import OTHER_LETTERS, RC, Style

WIDTH = 4.2  # inches: text keeps its size on a phone, and two figures stand beside each other on a desk
BEFORE, AFTER = "before temperature", "after temperature"


TOGETHER = 5  # at most so many methods in one plot
PANELS = 3  # in a row, where each method has its own
TITLE = 20  # characters above one of them
ENTRY = 30  # characters of a name in a legend


CsvRow = dict[str, str | float]  # column -> cell


class Shown(Protocol):
    """The data of a figure."""

    def rows(self) -> Iterator[CsvRow]:
        """The same as a table, for those who draw it themselves."""
        ...


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn: its file name, what it shows in words, its data and its painter.

    photo: it holds pictures, whose colours stay as they are where the page is dark.
    """

    name: str
    alt: str
    data: Sequence[Shown]
    height: float  # inches
    paint: Callable[[Figure], object]
    width: float = WIDTH
    photo: bool = False

    def save(self, *formats: str) -> list[bytes]:
        """The figure as files of these formats, `svg` or `png`; the same data give the same bytes.

        Letters that no installed font has are boxes; tables beside the figure show them.
        """
        with rc_style.context(RC | {"font.family": fonts()}, after_reset=True), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = Figure((self.width, self.height), layout="constrained")
            self.paint(figure)
            layout = figure.get_layout_engine()
            assert layout is not None
            layout.execute(figure)  # once for all formats; `savefig` would draw the figure twice for each
            figure.set_layout_engine(None)
            return [_file(figure, format) for format in formats]


@lru_cache(maxsize=1)
def fonts() -> list[str]:
    """DejaVu Sans, and what is installed of those that have the letters that it lacks."""
    installed = set(get_font_names())
    return [RC["font.family"], *(name for name in OTHER_LETTERS if name in installed)]


def _file(figure: Figure, format: str) -> bytes:
    file = io.BytesIO()
    vector = format == "svg"  # whose ground is the page's, also in the dark
    figure.savefig(file, format=format, dpi=200, transparent=vector, metadata={"Date": None} if vector else None)
    return file.getvalue()


def panels(figure: Figure, names: Sequence[str]) -> list[Axes]:
    """A small panel a method, under its name. All share both scales, and the outer ones carry the numbers."""
    columns = min(PANELS, len(names))
    axes: Any = figure.subplots(-(-len(names) // columns), columns, sharex=True, sharey=True, squeeze=False)
    axes = list(axes.flat)
    for ax in axes[len(names) :]:
        ax.remove()
    for ax in axes[len(names) - columns : len(names)]:
        ax.tick_params(labelbottom=True)
    for ax, name in zip(axes, names, strict=False):
        ax.set_title(wrapped(name, TITLE), fontsize=7.5, fontweight="bold")
    return axes[: len(names)]


def panels_height(names: Sequence[str]) -> float:
    """Inches: a title of two lines where a name needs it."""
    rows = [names[i : i + PANELS] for i in range(0, len(names), PANELS)]
    height = {1: 2.4, 2: 1.7}.get(len(names), 1.15)
    return 0.35 + sum(height + 0.12 * max(wrapped(name, TITLE).count("\n") for name in row) for row in rows)


def legend(figure: Figure, methods: Mapping[str, Style], lines: bool = True, stages: Sequence[str] = ()) -> None:
    """Below the axes, where it covers nothing. `stages` are shown as filled and hollow."""
    handles = [
        Line2D([], [], color=style.color, marker=style.marker, linestyle=style.line if lines else "")
        for style in methods.values()
    ]
    names = [wrapped(method, ENTRY) for method in methods]
    for stage in stages:
        face = "white" if stage == AFTER else "#777777"
        handles.append(Line2D([], [], color="#777777", marker="o", linestyle="", markerfacecolor=face))
        names.append(stage)
    columns, length = legend_columns(methods), 3 if lines else 1
    figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=length)


def legend_columns(methods: Mapping[str, Style]) -> int:
    return 3 if max(map(len, methods)) < 16 else 2


def legend_height(methods: Mapping[str, Style]) -> float:
    lines = sum(1 + wrapped(method, ENTRY).count("\n") for method in methods)
    return 0.18 * (lines // legend_columns(methods) + 2)  # inches


def wrapped(label: str, width: int) -> str:
    """Broken before a method's options, if need be; four lines at most.

    >>> wrapped("sk_mixup(remember=True)", 20)
    'sk_mixup\\n(remember=True)'
    """
    if len(label) <= width:
        return label
    return textwrap.fill(label.replace("(", " ("), width, max_lines=4, placeholder="…").replace(" (", "(")
