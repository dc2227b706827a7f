"""What a study prints: a table, and the verdict below."""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from calmix.report.sentences import Advice
from calmix.report.tables import SIGNS, Cell, Table

NO_BREAK = "\u00a0"
_ASCII = str.maketrans("▲▼↑↓±×−–\u00a0", "+-^v~x-- ")
_WIDTH = 100  # of sentences, at most


@dataclass(frozen=True)
class Sheet:
    """A title, a table and notes."""

    title: str
    table: Table
    notes: Sequence[str]
    corner: str = "Method"


def print_sheets(sheets: Sequence[Sheet], said: Advice) -> None:
    """Sheets, and the verdict below. Where the terminal is too narrow for a table, a line a number."""
    wide = [_wide(sheet.table, sheet.corner) for sheet in sheets]
    with printing() as console:
        unbounded = console.options.update(width=10_000)
        needed = [console.measure(table, options=unbounded).maximum for table in wide]
        if not console.is_terminal:
            console.width = max(160, *needed)
        for sheet, table, width in zip(sheets, wide, needed, strict=True):
            console.print(Text(sheet.title, "bold"))
            console.print(table if width <= console.width else _narrow(sheet.table))
            console.print(Text("\n".join(sheet.notes) + ("" if sheet is sheets[-1] else "\n")))
        _print_advice(console, said)


@contextmanager
def printing(to_stderr: bool = False) -> Iterator[Console]:
    """A console whose text is written when the block ends, in signs that the stream knows."""
    console = Console(stderr=to_stderr, highlight=False)
    with console.capture() as captured:
        yield console
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(encodable(captured.get(), console.encoding))


def _print_advice(console: Console, said: Advice) -> None:
    """The verdict, in lines that can be read; "90 %" stays on one line."""
    width = min(console.width, _WIDTH)
    console.print()
    for paragraph, style in (([said.headline], "bold"), (said.reasons, ""), (said.cautions, "")):
        lines = textwrap.wrap(" ".join(paragraph).replace(" %", NO_BREAK + "%"), width, break_on_hyphens=False)
        for line in lines:
            console.print(Text(line.replace(NO_BREAK, " "), style), soft_wrap=True)


def _wide(table: Table, corner: str) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column(corner, no_wrap=True)
    columns: list[list[Text]] = []
    for place, heading in enumerate(table.headings):
        title = heading.replace(" after ", " after\n")
        cells = [row.cells[place] for row in table.rows]
        spread = max((len(cell.spread) for cell in cells), default=0)
        columns.append([_text(cell, spread) for cell in cells])
        width = max(map(len, [*title.split("\n"), *(text.plain for text in columns[-1])]))
        for text in columns[-1]:
            text.pad_left(width - len(text.plain))  # by hand, as rich would strip the blanks on the right
        shown.add_column(Text(title, justify="right"), no_wrap=True)
    for row, *cells in zip(table.rows, *columns, strict=True):
        shown.add_row(Text(row.method), *cells)
    return shown


def _narrow(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE, pad_edge=False, show_header=False)
    shown.add_column(overflow="fold")
    shown.add_column(justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.method, "bold"))
        for heading, cell in zip(table.headings, row.cells, strict=True):
            shown.add_row(f"  {heading}", _text(cell), end_section=heading == table.headings[-1])
    return shown


def _text(cell: Cell, spread: int = 0) -> Text:
    """The places of the mark and of a longer spread are kept, so that numbers stay in line."""
    padding = " " * (spread - len(cell.spread))
    value = f"{'*' if cell.best else ''}{cell.value} {cell.spread}".rstrip() + padding
    return Text(f"{value} {SIGNS[cell.mark] or ' '}", "bold" if cell.best else "")


def encodable(text: str, encoding: str) -> str:
    """`text` for a stream that may not know every sign, such as a pipe on Windows."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
