"""The columns of a table, as the page and the screen show them."""

import pytest

from calmix.column_use import ColumnUse
from calmix.report.columns import MOST, columns_section, columns_table, print_columns

COLUMNS = (
    ColumnUse("size [cm]", "number", 1234, 900, "number", 2, "in cm"),
    ColumnUse("id\x07", "identifier", 0, 2000, note="numbers the rows"),
    ColumnUse("y", "target", 0, 3, "classification"),
)


def test_a_row_a_column():
    table = columns_table(COLUMNS)
    cells = [[row.method, *(cell.value for cell in row.cells)] for row in table.rows]
    assert cells == [
        ["size [cm]", "number", "1,234", "900", "2", "number", "in cm"],
        ["id\\x07", "identifier", "", "2,000", "", "left out", "numbers the rows"],
        ["y", "target", "", "3", "", "classification", ""],
    ]
    assert table.notes == ["3 columns become 2 features."]


def test_of_many_columns_the_last_are_counted_by_kind():
    table = columns_table([*[COLUMNS[0]] * MOST, *COLUMNS, COLUMNS[1]])
    assert len(table.rows) == MOST
    assert "4 more columns: 1 number (number), 2 identifier (left out), 1 target (classification)." in table.notes


def test_the_screen_says_what_the_page_says(capsys: pytest.CaptureFixture[str]):
    print_columns(COLUMNS)
    shown = capsys.readouterr()
    assert shown.err == ""
    for text in ("size [cm]", "1,234", "id\\x07", "numbers the rows", "3 columns become 2 features."):
        assert text in shown.out
    print_columns(COLUMNS, to_stderr=True)
    assert "size [cm]" in capsys.readouterr().err


def test_without_columns_there_is_nothing_to_show(capsys: pytest.CaptureFixture[str]):
    assert columns_section(()) == []
    print_columns(())
    assert capsys.readouterr().out == ""
