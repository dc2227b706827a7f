"""What the comparison's tables show is what the runs measured."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calmix.report.sentences import called
from calmix.results.catalogue import ACCURACY
from calmix.results.store import Results
from calmix.studies.comparison.choice import choose, side
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.sentences import advice
from calmix.studies.comparison.tables import (
    columns_of,
    difference_table,
    evidence_table,
    means_table,
    summary_table,
)

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
        low, high = stats.t.interval(0.975, 3, differences.mean(), stats.sem(differences))
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
        assert float(wilcoxon.value) == pytest.approx(min(1, 2 * expected.pvalue), abs=5e-4)  # two comparisons
        d = difference.mean() / difference.std(ddof=1)
        assert float(effect.value.replace("−", "-")) == pytest.approx(d, abs=5e-3)
    assert "Of 4 seeds, a signed-rank test cannot give p below 0.25." in table.notes


SIGN = {"beyond chance": True, "within chance": False}
REPEATED = st.lists(st.sampled_from([0.70, 0.72, 0.73, 0.76, 0.80]), min_size=4, max_size=4)
VALUES = st.fixed_dictionaries(dict.fromkeys(("erm", "mixup", "sk_mixup", "cutmix"), REPEATED))


@settings(max_examples=20)  # each has twelve bootstraps
@given(VALUES, VALUES, VALUES, st.sampled_from([0, 2, 4]))
def test_marks_tables_and_words_never_contradict_each_other(made: Callable, accuracy, ece, scaled, folds: int):
    results = made({"accuracy": accuracy, "ece": ece, "scaled/ece": scaled}, folds=folds)
    chosen, said = choose(results).method, advice(results)
    for other in results.methods:
        marked = {row.method: row.cells for row in difference_table(results, other).rows}
        means = {row.method: row.cells for row in means_table(results.scores, other, columns_of(results)).rows}
        tested = {row.method: row.cells[0] for row in evidence_table(results, ACCURACY, other).rows}
        for method, cells in marked.items():
            assert [cell.mark for cell in cells] == [cell.mark for cell in means[method][:-1]]
            assert tested[method] == cells[0]
            for column, cell in zip(columns_of(results), cells, strict=False):
                assert cell.mark == side(results, method, other, column)
                ends = [float(end) for end in cell.spread.strip("[]").replace("−", "-").split(",") if end]
                assert cell.mark == 0 or ends[0] * ends[1] >= 0  # an end may round to zero
        for place in (0, 1):  # right answers, honesty
            words = re.findall(rf"than {called(other)} \((.{{6}} chance)\)", said.reasons[place])
            assert all(SIGN[found] == (marked[chosen][place].mark != 0) for found in words)
        if other != chosen and called(other) in said.headline.partition(";")[0].partition("could be told between")[2]:
            first = next((cell.mark for cell in marked[chosen][:2] if cell.mark), 0)
            assert first == 0  # neither right answers nor honesty tell the two apart


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
