"""What is printed: whole on a pipe, on a narrow terminal, and where only ASCII is known."""

import io
import sys

import pytest

from calmix.report.sentences import Advice
from calmix.report.tables import Cell, Row, Table
from calmix.report.terminal import Sheet, print_sheets

LABELS = ["erm", "[bold]mixup[/]", f"sk_mixup({'tau_max=0.3, ' * 10})"]
HEADINGS = [f"Metric {i} after temperature, %\u00a0↓" for i in range(6)]
TABLE = Table(
    HEADINGS,
    [
        Row(label, [Cell(f"{10 * row + i}.{i}", f"± 0.{i}1", best=row == 0, mark=1 if i else -1) for i in range(6)])
        for row, label in enumerate(LABELS)
    ],
    [],
)
SAID = Advice("Take it.", ["It is 90 % sure, said again and again. " * 9], ["Mind the seeds."])


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    print_sheets([Sheet("calmix: [red]toy", TABLE, ["A note.", "Another."])], SAID)
    return capsys.readouterr().out


def test_a_pipe_gets_whole_rows_and_literal_names(capsys: pytest.CaptureFixture[str]):
    text = printed(capsys)
    for row in TABLE.rows:
        (line,) = [line for line in text.splitlines() if line.lstrip().startswith(row.method)]
        assert all(f"{cell.value} {cell.spread}" in line for cell in row.cells)
    assert text.startswith("calmix: [red]toy\n")
    assert "A note.\nAnother." in text
    assert "…" not in text
    assert "\x1b" not in text


def test_several_tables_stand_above_one_verdict_and_spreads_keep_numbers_in_line(capsys: pytest.CaptureFixture[str]):
    rows = [Row("a", [Cell("1.5", "± 0.43")]), Row("b", [Cell("2.5", "± 3.0")])]
    print_sheets([Sheet("One", Table(["x"], rows, []), []), Sheet("Two", TABLE, [])], SAID)
    text = capsys.readouterr().out
    assert text.index("One") < text.index("1.5") < text.index("Two") < text.index("Take it.")
    assert text.count("Take it.") == 1
    first, second = (line for line in text.splitlines() if line.strip().startswith(("a ", "b ")))
    assert first.index("1.5") == second.index("2.5")


def test_the_verdict_stands_below_in_lines_that_can_be_read(capsys: pytest.CaptureFixture[str]):
    _, verdict = printed(capsys).split("\n\nTake it.")
    assert " ".join(f"Take it.{verdict}".split()) == " ".join(str(SAID).split())
    assert max(map(len, verdict.splitlines())) <= 100
    assert not [line for line in verdict.splitlines() if line.endswith("90")]  # a number stays with its unit


def test_a_narrow_terminal_gets_a_line_a_number(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "60"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    text = printed(capsys)
    for row in TABLE.rows:
        assert all(f"{cell.value} {cell.spread}" in text for cell in row.cells)
    assert "…" not in text
    assert text.count("Metric 3") == len(LABELS)


def test_a_stream_that_knows_only_ascii_gets_ascii(monkeypatch: pytest.MonkeyPatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    print_sheets([Sheet("calmix: toy", Table(HEADINGS, TABLE.rows[:2], []), ["A note."])], SAID)
    stream.seek(0)
    text = stream.read()
    lines = [line for line in text.splitlines() if " ~ " in line]
    assert len(lines) == 2
    assert len({len(line) for line in lines}) == 1  # still in columns
    assert "?" not in text
    assert "+" in lines[0]  # the mark
