"""What the comparison's tables show is what the runs measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from calmix.results.catalogue import ACCURACY
from calmix.results.store import Results
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.sentences import advice
from calmix.studies.comparison.tables import difference_table, evidence_table, means_table, summary_table

LABELS = ["erm", "mixup", "sk_mixup(tau_max=0.3)"]


def values(results: Results, label: str, metric: str, condition: str = "plain") -> np.ndarray:
    """One number a seed, straight from the records."""
    found = sorted((record.seed, record.metrics[condition][metric]) for record in results.of_method(label))
    return np.array([value for _, value in found])


def test_means_and_half_widths_are_those_of_the_runs(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4)
    table = summary_table(results)
    for row in table.rows:
        accuracies = 100 * values(results, row.method, "accuracy")
        half = stats.t.ppf(0.975, 3) * stats.sem(accuracies)
        assert row.cells[0].value == f"{np.mean(accuracies):.1f}"
        assert row.cells[0].spread == f"± {half:.1f}"
        scaled = 100 * values(results, row.method, "ece", "scaled")
        assert row.cells[2].value == f"{np.mean(scaled):.2f}"
    assert [row.method for row in table.rows] == LABELS
    assert [row.cells[-1].value for row in table.rows] == ["1.00×", "1.33×", "1.67×"]
    headings = [heading.replace("\u00a0", " ") for heading in table.headings]
    assert headings == ["Accuracy, % ↑", "ECE, % ↓", "ECE after temperature, % ↓", "NLL ↓", "Brier ↓", "Cost ↓"]


def test_the_best_of_a_column_is_the_highest_accuracy_and_the_lowest_error(finish: Callable, tmp_path: Path):
    rows = summary_table(finish(tmp_path, LABELS, seeds=4)).rows
    for column, best in ((0, max), (1, min), (3, min)):
        numbers = [float(row.cells[column].value) for row in rows]
        assert [row.cells[column].best for row in rows] == [number == best(numbers) for number in numbers]


@pytest.mark.parametrize("reference", [None, "mixup", "erm"])
def test_differences_are_taken_seed_by_seed_from_plain_mixup_and_from_plain_training(
    finish: Callable, tmp_path: Path, reference: str | None
):
    results = finish(tmp_path, LABELS, seeds=4)
    table, other = difference_table(results, reference), reference or "mixup"
    assert [row.method for row in table.rows] == [label for label in LABELS if label != other]
    for row in table.rows:
        differences = 100 * (values(results, row.method, "ece") - values(results, other, "ece"))
        low, high = stats.t.interval(0.95, 3, differences.mean(), stats.sem(differences))
        shown = f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
        assert f"{row.cells[1].value} {row.cells[1].spread}" == shown
        assert row.cells[1].mark == (-1 if low > 0 else 1 if high < 0 else 0)


def test_marks_refer_to_plain_mixup_and_say_so(finish: Callable, tmp_path: Path):
    results = finish(tmp_path / "both", LABELS, seeds=4)
    assert results.references == ["mixup", "erm"]
    table = summary_table(results)
    marks = {row.method: [cell.mark for cell in row.cells[:-1]] for row in table.rows}
    differences = {row.method: [cell.mark for cell in row.cells] for row in difference_table(results).rows}
    assert marks == {**differences, "mixup": [0] * 5}
    assert "worse than plain Mixup (mixup)" in " ".join(table.notes)
    without = finish(tmp_path / "one", ["erm", "sk_mixup"])
    assert "worse than plain training (erm)" in " ".join(summary_table(without).notes)


def test_the_evidence_is_what_each_test_says(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4)
    table = evidence_table(results, ACCURACY, "erm")
    for row in table.rows:
        difference = values(results, row.method, "accuracy") - values(results, "erm", "accuracy")
        _, bootstrap, wilcoxon, effect = row.cells
        assert bootstrap.value.startswith("[")
        expected: Any = stats.wilcoxon(difference)
        assert float(wilcoxon.value) == pytest.approx(expected.pvalue, abs=5e-4)
        d = difference.mean() / difference.std(ddof=1)
        assert float(effect.value.replace("−", "-")) == pytest.approx(d, abs=5e-3)
    assert "Of 4 seeds, a signed-rank test cannot give p below 0.125." in table.notes


def test_a_table_of_any_columns_is_the_summary_s_without_notes(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    table = means_table(results.scores, "mixup", [ACCURACY])
    assert [row.cells[0] for row in table.rows] == [row.cells[0] for row in summary_table(results).rows]
    assert table.notes == []


def test_the_screen_shows_the_verdict_below_the_table(
    finish: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    results = finish(tmp_path, LABELS, seeds=4)
    read_comparison(tmp_path).print()
    printed = capsys.readouterr().out
    assert printed.startswith("calmix: toy, 4 seeds")
    table, verdict = printed.split("\n\nTake ")
    assert " ".join(f"Take {verdict}".split()) == str(advice(results))
    assert max(map(len, verdict.splitlines())) <= 100
    for row in summary_table(results).rows:
        line, *_ = [
            line for line in table.splitlines() if line.lstrip().startswith(f"{row.method} ")
        ]  # then differences
        assert all(f"{cell.value} {cell.spread}".strip() in line for cell in row.cells)


def test_one_seed_shows_no_interval_and_decides_nothing(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=1)
    for table in (summary_table(results), difference_table(results)):
        assert all(not cell.spread and cell.mark == 0 for row in table.rows for cell in row.cells)
    assert "One seed gives no interval" in " ".join(summary_table(results).notes)


@pytest.mark.parametrize(("error", "shown"), [(1234.56, "1,235"), (12.3456, "12.35"), (0.00123456, "0.001235")])
def test_errors_in_the_targets_unit_show_four_digits(made: Callable, error: float, shown: str):
    results = made({"rmse": {"erm": [error, error]}}, task="regression")
    assert summary_table(results).rows[0].cells[0].value == shown
