"""How far a command is: lines that can be read in a log, and none where it is to be quiet."""

import io
import re
import sys
import time

import pytest

from calmix.report import progress
from calmix.report.progress import Done, showing_progress
from calmix.results.records import Epoch

ENTRY = Epoch(1, {"loss": 0.5, "accuracy": 1.0}, {})


def test_what_was_done_before_does_not_count_as_fast():
    """Two runs of 10 epochs were stored; 5 epochs took 10 seconds, so that 15 more take 30."""
    done = Done(4, 10)
    for seed in (0, 1):
        done.tell("erm", seed, 10, None)
    for number in range(1, 6):
        done.tell("erm", 2, number, Epoch(number, {"loss": 1.0}, {}))
    assert done.line(10) == "erm, seed 2: 62 % of 4 runs, 0:00:10 gone, about 0:00:30 left"


def test_a_run_that_goes_on_in_the_middle_is_as_fast_as_what_was_trained_now():
    done = Done(1, 10)
    done.tell("erm", 0, 8, Epoch(8, {"loss": 1.0}, {}))
    assert done.line(60) == "erm, seed 0: 80 % of 1 run, 0:01:00 gone, about 0:02:00 left"


def test_a_run_of_another_length_is_a_run_as_the_others_are():
    """Of 2 runs, one has 10 epochs and the other 40: when 20 of these are over, a quarter is done."""
    done = Done(2, 10, {"longer": 40})
    done.tell("longer", 0, 20, Epoch(20, {"loss": 1.0}, {}))
    assert done.line(60).startswith("longer, seed 0: 25 % of 2 runs")
    assert done.epoch_line("longer", 0, ENTRY).startswith("longer, seed 0: epoch 1 of 40, ")
    assert done.epoch_line("erm", 0, ENTRY).startswith("erm, seed 0: epoch 1 of 10, ")
    done.tell("longer", 0, 40, ENTRY)
    assert "50 % of 2 runs" in done.line(60)
    done.tell("erm", 0, 10, ENTRY)
    assert "100 % of 2 runs" in done.line(60)


def test_before_the_first_epoch_nothing_is_foretold():
    assert Done(3, 10).line(3661) == "3 runs: 0 % of 3 runs, 1:01:01 gone"


def test_without_a_terminal_there_is_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "_SECONDS", 0.1)
    with showing_progress(2, 10) as tick:
        tick("sk_mixup[0]", 0, 5, ENTRY)
        time.sleep(0.35)
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(
        re.fullmatch(r"sk_mixup\[0\], seed 0: 25 % of 2 runs, 0:00:00 gone, about [\d:]+ left", line) for line in lines
    )
    time.sleep(0.2)
    assert capsys.readouterr().err == ""  # it has ended


def test_a_short_command_says_nothing(capsys: pytest.CaptureFixture[str]):
    with showing_progress(1, 1) as tick:
        tick("erm", 0, 1, ENTRY)
    assert capsys.readouterr().err == ""


def test_verbose_says_a_line_an_epoch(capsys: pytest.CaptureFixture[str]):
    with showing_progress(1, 3, verbose=True) as tick:
        tick("erm", 0, 1, ENTRY)
        tick("erm", 0, 2, Epoch(2, {"loss": 0.25}, {"loss": 0.125}))
        tick("auto", 0, 3, Epoch(3, {"loss": 0.25, "strength": 0.1234}, {"loss": 0.125}))
        tick("erm", 0, 3, None)
    assert capsys.readouterr().err.splitlines() == [
        "erm, seed 0: epoch 1 of 3, training loss 0.5000",
        "erm, seed 0: epoch 2 of 3, training loss 0.2500, validation loss 0.1250",
        "auto, seed 0: epoch 3 of 3, training loss 0.2500, validation loss 0.1250, strength 0.123",
    ]


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(progress, "_SECONDS", 0.01)
    with showing_progress(1, 3, quiet=True) as tick:
        tick("erm", 0, 1, ENTRY)
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch):
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown)
    with showing_progress(2, 10, verbose=True) as tick:
        tick("erm", 0, 10, ENTRY)
    assert " 50 %" in shown.getvalue()
    assert "erm, seed 0: epoch 1 of 10, training loss 0.5000" in shown.getvalue()
