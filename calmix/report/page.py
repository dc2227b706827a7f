"""One page that carries everything, and the figures beside it as files.

What a page says is a value, so that a comparison, an evaluation and a diagnosis are pages of one kind:

    Page(title, lead, sections, facts, command)  ->  write_page(folder, page)  ->  report.html, figures/
"""

import base64
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from calmix.report.drawing import Drawing
from calmix.report.tables import SIGNS, Table
from calmix.results.files import csv_of, hold_folder, slug, write_whole

SMALL, WIDE = 4.0, 6.5  # inches: narrower figures stand three in a row, wider ones take the whole width


@dataclass(frozen=True)
class PageTable:
    """A table as it stands on a page."""

    label: str  # what it is, for those who do not see it
    table: Table
    corner: str = "Method"  # the heading of the first column
    note: str = ""  # below it
    stacked: bool = False  # a cell's spread below its value instead of beside it
    code: Sequence[int] = ()  # columns of code and of prose, which are set left; 0 is the first after the names
    prose: Sequence[int] = ()

    def kind(self, column: int) -> str:
        return "code" if column in self.code else "prose" if column in self.prose else ""

    @property
    def marked(self) -> bool:
        """Whether a mark stands anywhere, so that its place must be kept everywhere."""
        return any(cell.mark for row in self.table.rows for cell in row.cells)


@dataclass(frozen=True)
class Section:
    """Tables and figures under one heading (none where the title is empty), and what to look at."""

    title: str
    caption: str = ""
    drawings: Sequence[Drawing] = ()
    tables: Sequence[PageTable] = ()
    terms: Mapping[str, str] = field(default_factory=dict)  # names, and what is said of each
    folded: bool = False  # shut on a screen until it is asked for, open on paper

    @property
    def anchor(self) -> str:
        return slug(self.title.lower())


@dataclass(frozen=True)
class Page:
    """A report: its verdict, its sections, and how to make it again. All texts are plain, not HTML."""

    title: str
    lead: Sequence[str]  # paragraphs, the first of them the headline
    sections: Sequence[Section]
    cautions: str = ""  # below the lead, in small print
    facts: Mapping[str, str] = field(default_factory=dict)  # about the data, the training, the environment
    command: Sequence[str] = ()  # as the shell split it
    made: Sequence[PageTable] = ()  # under "How this was made", between the command and the facts
    date: str = ""  # of what is reported
    files: Sequence[str] = ()  # beside the page, to link to


def write_page(folder: Path, page: Page) -> Path:
    """Write report.html, which needs nothing else, and figures/ with each figure as PNG, SVG and CSV.

    Everything is drawn before anything is written; each file is written whole. Returns the path of the page.

    Raises:
        DataError: `folder` cannot be written.
    """
    files: dict[Path, bytes] = {}
    shown = [
        {"section": section, "images": [_drawn(folder / "figures", drawing, files) for drawing in section.drawings]}
        for section in page.sections
    ]
    contents = [section for section in page.sections if section.title]
    text = _template().render(page=page, shown=shown, contents=contents, command=shlex.join(page.command), signs=SIGNS)
    target = folder / "report.html"
    files[target] = text.encode(errors="backslashreplace")  # lone surrogates, which no file can hold
    with hold_folder(folder):
        for path, content in files.items():
            write_whole(path, lambda file, content=content: file.write(content))
    return target


def _drawn(folder: Path, drawing: Drawing, files: dict[Path, bytes]) -> dict[str, str]:
    """A figure's three files, added to `files`; what the page needs of it."""
    svg, png = drawing.save("svg", "png")
    for suffix, content in (("svg", svg), ("png", png), ("csv", _csv(drawing))):
        path = folder / f"{drawing.name}.{suffix}"
        assert path not in files, f"two figures are named {drawing.name!r}"
        files[path] = content
    return {
        "name": drawing.name,
        "uri": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        "alt": drawing.alt,
        "width": f"{96 * drawing.width:.0f}",
        "height": f"{96 * drawing.height:.0f}",
        "looks": f"{_size(drawing)} {'photo' if drawing.photo else ''}".strip(),
    }


def _size(drawing: Drawing) -> str:
    return "small" if drawing.width < SMALL else "wide" if drawing.width > WIDE else ""


def _csv(drawing: Drawing) -> bytes:
    rows = [row for data in drawing.data for row in data.rows()]
    return csv_of(pd.DataFrame(rows, dtype=object))  # whole numbers stay so where others are missing


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "glued": _glued, "linked": _linked}
    return environment.get_template("template.html.j2")


def _breakable(name: str) -> Markup:
    """A name that is broken, if need be, where its options begin."""
    return Markup(str(escape(name)).replace("(", "<wbr>("))


def _glued(text: str) -> str:
    """A number stays with its unit."""
    return text.replace(" %", "\u00a0%")


def _linked(text: str) -> Markup:
    """Papers that are named by their number, `arXiv 1710.09412`, as links."""
    return Markup(
        re.sub(r"arXiv (\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv&nbsp;\1</a>', str(escape(text)))
    )
