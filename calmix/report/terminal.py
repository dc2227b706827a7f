"""What a study prints: a table, and the verdict below."""

import sys
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from calmix.report.sentences import Advice
from calmix.report.tables import SIGNS, Cell, Table

NO_BREAK = "\u00a0"
_ASCII = str.maketrans("▲▼↑↓±×−–\u00a0", "+-^v~x-- ")
_WIDTH = 100  # of sentences, at most


def print_sheet(title: str, table: Table, notes: Sequence[str], said: Advice, corner: str = "Method") -> None:
    """A title, a table, notes and the verdict. Where the terminal is too narrow for the table, a line a number."""
    wide = _wide(table, corner)
    console = Console(highlight=False)
    needed = Console(width=10_000).measure(wide).maximum
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, needed))
    with console.capture() as captured:
        console.print(Text(title, "bold"))
        console.print(wide if needed <= console.width else _narrow(table))
        console.print(Text("\n".join(notes)))
        _print_advice(console, said)
    sys.stdout.write(encodable(captured.get(), console.encoding))


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
    for heading in table.headings:
        shown.add_column(heading.replace(" after ", " after\n"), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.method), *map(_text, row.cells))
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


def _text(cell: Cell) -> Text:
    """The mark's place is kept, so that numbers stay in line."""
    value = f"{'*' if cell.best else ''}{cell.value} {cell.spread}".rstrip()
    return Text(f"{value} {SIGNS[cell.mark] or ' '}", "bold" if cell.best else "")


def encodable(text: str, encoding: str) -> str:
    """`text` for a stream that may not know every sign, such as a pipe on Windows."""
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
