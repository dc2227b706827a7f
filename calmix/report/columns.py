"""What became of the columns of a table: as a table for the page and the screen."""

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from calmix.column_use import ColumnUse
from calmix.report.page import PageTable, Section
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import printing

MOST = 30  # columns that are shown one by one


def columns_table(columns: Sequence[ColumnUse]) -> Table:
    """A row a column, of the first MOST, and a note that counts the others by kind."""
    rows = [
        Row(
            column.name,
            [Cell(column.taken_for), *map(Cell, _numbers(column)), Cell(_became(column)), Cell(column.note)],
        )
        for column in columns[:MOST]
    ]
    others = Counter(f"{column.taken_for} ({column.used_as or 'left out'})" for column in columns[MOST:])
    counts = ", ".join(f"{count} {kind}" for kind, count in others.items())
    notes = [f"{len(columns) - MOST} more columns: {counts}."] if others else []
    total = sum(column.features for column in columns)
    notes.append(f"{len(columns)} columns become {total} features.")
    return Table(["Taken for", "Missing", "Levels", "Features", "Becomes", "Note"], rows, notes)


def columns_section(columns: Sequence[ColumnUse]) -> list[Section]:
    """The section of a page; none where there are no columns."""
    if not columns:
        return []
    table = columns_table(columns)
    shown = PageTable("Columns", table, "Column", " ".join(table.notes), prose=(0, 4, 5))
    caption = "What each column was taken for before training, and what became of it. Levels: distinct values."
    return [Section("Columns", caption, tables=[shown])]


def print_columns(columns: Sequence[ColumnUse], to_stderr: bool = False) -> None:
    """The table on the screen; nothing where there are no columns."""
    if not columns:
        return
    table = columns_table(columns)
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("Column", overflow="fold")
    for heading in table.headings:
        number = heading in ("Missing", "Levels", "Features")
        shown.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in table.rows:
        shown.add_row(Text(row.method), *(Text(cell.value) for cell in row.cells))
    with printing(to_stderr) as console:
        if not console.is_terminal:
            console.width = 140
        console.print(shown)
        for note in table.notes:
            console.print(Text(note), soft_wrap=True)


def _numbers(column: ColumnUse) -> list[str]:
    return [f"{value:,}" if value else "" for value in (column.missing, column.levels, column.features)]


def _became(column: ColumnUse) -> str:
    return column.used_as or "left out"
