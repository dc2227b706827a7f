"""What the tables show is what the runs measured."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from calmix.errors import DataError
from calmix.experiment.statistics import Interval
from calmix.report import print_table
from calmix.report.results import parse_results
from calmix.report.tables import ACCURACY, ECE, difference_table, evidence_table, number, summary_table
from calmix.report.words import advice

LABELS = ["erm", "mixup", "sk_mixup(tau_max=0.3)"]


def test_means_and_half_widths_are_those_of_the_runs(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4)
    table = summary_table(parse_results(results))
    for row in table.rows:
        accuracies = [100 * run["metrics"]["accuracy"] for run in results["runs"] if run["method"] == row.method]
        half = stats.t.ppf(0.975, 3) * stats.sem(accuracies)
        assert row.cells[0].value == f"{np.mean(accuracies):.1f}"
        assert row.cells[0].spread == f"± {half:.1f}"
    assert [row.method for row in table.rows] == LABELS
    assert [row.cells[-1].value for row in table.rows] == ["1.00×", "1.33×", "1.67×"]


def test_the_best_of_a_column_is_the_highest_accuracy_and_the_lowest_error(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4)
    rows = summary_table(parse_results(results)).rows
    for column, best in ((0, max), (1, min), (3, min)):
        values = [float(row.cells[column].value) for row in rows]
        assert [row.cells[column].best for row in rows] == [value == best(values) for value in values]


@pytest.mark.parametrize("reference", [None, "mixup", "erm"])
def test_differences_are_taken_seed_by_seed_from_plain_mixup_and_from_plain_training(
    finish: Callable, tmp_path: Path, reference: str | None
):
    results = finish(tmp_path, LABELS, seeds=4)
    ece = {label: [run["metrics"]["ece"] for run in results["runs"] if run["method"] == label] for label in LABELS}
    table, other = difference_table(parse_results(results), reference), reference or "mixup"
    assert [row.method for row in table.rows] == [label for label in LABELS if label != other]
    for row in table.rows:
        differences = 100 * (np.array(ece[row.method]) - ece[other])
        low, high = stats.t.interval(0.95, 3, differences.mean(), stats.sem(differences))
        shown = f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
        assert f"{row.cells[1].value} {row.cells[1].spread}" == shown
        assert row.cells[1].verdict == (-1 if low > 0 else 1 if high < 0 else 0)


def test_marks_refer_to_plain_mixup_and_say_so(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path / "both", LABELS, seeds=4))
    assert results.references == ["mixup", "erm"]
    table = summary_table(results)
    marks = {row.method: [cell.verdict for cell in row.cells[:-1]] for row in table.rows}
    differences = {row.method: [cell.verdict for cell in row.cells] for row in difference_table(results).rows}
    assert marks == {**differences, "mixup": [0] * 5}
    assert "worse than plain Mixup (mixup)" in " ".join(table.notes)
    without = parse_results(finish(tmp_path / "one", ["erm", "sk_mixup"]))
    assert "worse than plain training (erm)" in " ".join(summary_table(without).notes)


def test_the_evidence_is_what_each_test_says(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4)
    table = evidence_table(parse_results(results), ACCURACY, "erm")
    for row in table.rows:
        ours, plain = (
            np.array([run["metrics"]["accuracy"] for run in results["runs"] if run["method"] == label])
            for label in (row.method, "erm")
        )
        _, bootstrap, wilcoxon, effect = row.cells
        assert bootstrap.value.startswith("[")
        expected: Any = stats.wilcoxon(ours - plain)
        assert float(wilcoxon.value) == pytest.approx(expected.pvalue, abs=5e-4)
        d = (ours - plain).mean() / (ours - plain).std(ddof=1)
        assert float(effect.value.replace("−", "-")) == pytest.approx(d, abs=5e-3)
    assert "Of 4 seeds, a signed-rank test cannot give p below 0.125." in table.notes


def test_the_screen_shows_the_verdict_below_the_table(
    finish: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    results = finish(tmp_path, LABELS, seeds=4)
    print_table(results)
    _, verdict = capsys.readouterr().out.split("\n\nTake ")
    said = advice(parse_results(results))
    assert " ".join(f"Take {verdict}".split()) == " ".join([said.headline, *said.reasons, *said.cautions])
    assert max(map(len, verdict.splitlines())) <= 100


@pytest.mark.parametrize(
    ("low", "high", "accuracy", "ece"), [(0.1, 0.3, 1, -1), (-0.3, -0.1, -1, 1), (-0.1, 0.1, 0, 0), (0, 0, 0, 0)]
)
def test_a_verdict_needs_an_interval_that_excludes_zero(low: float, high: float, accuracy: int, ece: int):
    difference = Interval((low + high) / 2, low, high, 5)
    assert (ACCURACY.verdict(difference), ECE.verdict(difference)) == (accuracy, ece)


def test_one_seed_shows_no_interval_and_decides_nothing(finish: Callable, tmp_path: Path):
    results = parse_results(finish(tmp_path, LABELS, seeds=1))
    for table in (summary_table(results), difference_table(results)):
        assert all(not cell.spread and cell.verdict == 0 for row in table.rows for cell in row.cells)
    assert "One seed gives no interval" in " ".join(summary_table(results).notes)


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert [number(-0.001, 2), number(-0.001, 2, "+"), number(-1.5, 1)] == ["0.00", "+0.00", "−1.5"]


@pytest.mark.parametrize(("error", "shown"), [(1234.56, "1235"), (12.3456, "12.35"), (0.00123456, "0.001235")])
def test_errors_in_the_targets_unit_show_four_digits(finish: Callable, tmp_path: Path, error: float, shown: str):
    results = finish(tmp_path, ["erm"], task="regression")
    results["summary"][0]["metrics"]["rmse"]["mean"] = error
    assert summary_table(parse_results(results)).rows[0].cells[0].value == shown


def test_a_pipe_gets_whole_rows_and_literal_names(finish: Callable, tmp_path: Path, capsys: pytest.CaptureFixture):
    labels = ["erm", "[bold]mixup[/]", f"sk_mixup({'tau_max=0.3, ' * 10})"]
    results = finish(tmp_path, labels)
    print_table(results)
    printed = capsys.readouterr().out
    for row in summary_table(parse_results(results)).rows:
        (line,) = [line for line in printed.splitlines() if line.lstrip().startswith(row.method)]
        assert all(f"{cell.value} {cell.spread}".strip() in line for cell in row.cells)
    assert "…" not in printed
    assert "\x1b" not in printed


def test_a_narrow_terminal_gets_a_line_a_number(
    finish: Callable, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    results = finish(tmp_path, LABELS)
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "60"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    print_table(results)
    printed = capsys.readouterr().out
    for row in summary_table(parse_results(results)).rows:
        assert all(f"{cell.value} {cell.spread}".strip() in printed for cell in row.cells)
    assert "…" not in printed


def test_a_stream_that_knows_only_ascii_gets_ascii(finish: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = finish(tmp_path, LABELS)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    print_table(results)
    stream.seek(0)
    lines = [line for line in stream.read().splitlines() if " ~ " in line]
    assert len({len(line) for line in lines[:3]}) == 1  # still in columns


@pytest.mark.parametrize("entry", ["data", "task", "summary", "runs", "fit"])
def test_a_missing_entry_is_named(finish: Callable, tmp_path: Path, entry: str):
    results = finish(tmp_path, LABELS)
    del results[entry]
    with pytest.raises(DataError, match=entry):
        parse_results(results)
