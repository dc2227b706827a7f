"""The page of `calmix evaluate` says what metrics.json holds, in numbers and in words."""

import json
from pathlib import Path

import pytest
import torch

from calmix.errors import DataError
from calmix.predictions import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.report.tables import Table
from calmix.results.catalogue import METRICS
from calmix.results.scores import flat
from calmix.studies.evaluation import Evaluation, Given, evaluate
from calmix.studies.evaluation.files import read_given
from calmix.studies.evaluation.page import evaluation_page, print_evaluation, write_evaluation
from calmix.studies.evaluation.tables import metrics_table

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers in every test, whatever ran before it."""
    GENERATOR.manual_seed(1)


def classified(rows: int = 1000, sharpness: float = 1.0, classes: int = 3) -> ClassPredictions:
    """Labels drawn from the softmax of logits, which are then multiplied: 1 is honest, 2 over-confident."""
    logits = 2 * torch.randn(rows, classes, generator=GENERATOR, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=GENERATOR)[:, 0]
    return ClassPredictions(sharpness * logits, labels)


def estimated(rows: int = 1000, factor: float = 1.0) -> RegressionPredictions:
    std = torch.rand(rows, generator=GENERATOR, dtype=torch.float64) + 0.5
    targets = std * torch.randn(rows, generator=GENERATOR, dtype=torch.float64)
    return RegressionPredictions(torch.zeros(rows, dtype=torch.float64), targets, factor * std)


def multilabelled() -> MultilabelPredictions:
    probs = torch.rand(200, 4, generator=GENERATOR)
    return MultilabelPredictions(probs, torch.bernoulli(probs, generator=GENERATOR).long())


GIVEN = {
    "classes": Given(classified(), classified(), {"notmnist": torch.zeros(100, 3)}, torch.ones(1000, 3)),
    "two classes": Given(classified(classes=2)),
    "numbers": Given(estimated(), estimated()),
    "bare numbers": Given(RegressionPredictions(torch.zeros(50), torch.randn(50, generator=GENERATOR))),
    "labels": Given(multilabelled()),
}


OVERCONFIDENT = evaluate(estimated(factor=1 / 3), calibration=estimated(factor=1 / 3))


@pytest.mark.parametrize("kind", GIVEN)
def test_every_kind_of_predictions_has_a_page(tmp_path: Path, kind: str):
    evaluation = evaluate(GIVEN[kind])
    page = write_evaluation(tmp_path / "out", evaluation, ["calmix", "evaluate", "x.npz"])
    text = page.read_text(encoding="utf-8")
    assert "calmix evaluate x.npz" in text
    stored = flat(json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8")))
    plain = {name: value for name, value in stored["plain"].items() if name in METRICS and name != "temperature"}
    assert {**stored, "plain": plain} == evaluation.measured
    assert list((tmp_path / "out" / "figures").glob("*.csv"))
    with pytest.raises(DataError, match="already holds an evaluation; give another --out"):
        write_evaluation(tmp_path / "out", evaluation)


def table_of(evaluation: Evaluation, meanings: bool = False) -> Table:
    return metrics_table(evaluation.measured, evaluation.task == "regression", meanings)


@pytest.mark.parametrize("kind", GIVEN)
def test_every_metric_has_a_row_and_a_meaning(kind: str):
    evaluation = evaluate(GIVEN[kind])
    numbers = {**evaluation.measured.get("positive", {}), **evaluation.measured["plain"]}
    table = table_of(evaluation, meanings=True)
    assert len(table.rows) == len(numbers)
    assert all(row.cells[-1].value for row in table.rows)
    shown = [metric.text(numbers[name]) for name, metric in METRICS.items() if name in numbers]
    assert [row.cells[0].value for row in table.rows] == shown


def test_the_interval_of_the_ece_stands_beside_it():
    evaluation = evaluate(GIVEN["classes"])
    low, high = (METRICS["ece"].text(evaluation.value("ece", f"intervals/{end}")) for end in ("low", "high"))
    assert low != high
    spreads = {row.method: row.cells[0].spread for row in table_of(evaluation).rows if row.cells[0].spread}
    assert spreads == {"ECE, %\u00a0↓": f"[{low}, {high}]"}


def test_corrections_are_called_what_they_are():
    classes, numbers = (table_of(evaluate(GIVEN[kind])).headings for kind in ("classes", "numbers"))
    assert classes == ["As given", "Temperature", "Vector scaling", "Matrix scaling", "Isotonic regression"]
    assert numbers == ["As given", "Variance scaling"]


def test_no_cell_is_bold_as_nothing_tells_corrections_from_chance():
    rows = {row.method.split("\u00a0")[0]: row.cells for row in table_of(OVERCONFIDENT).rows}
    crps = [float(cell.value) for cell in rows["CRPS"]]
    assert crps[0] > crps[1]  # three times too narrow, then scaled
    assert not any(cell.best for cells in rows.values() for cell in cells)


@pytest.mark.parametrize("kind", GIVEN)
def test_errors_of_different_norms_stand_in_different_tables_and_nothing_is_lost(kind: str):
    evaluation = evaluate(GIVEN[kind])
    tables = evaluation_page("x", evaluation).sections[-1].tables
    shown = {row.method.split(",")[0]: table.label for table in tables for row in table.table.rows}
    whole = [row.method for row in table_of(evaluation, meanings=True).rows]
    assert sorted(row.method for table in tables for row in table.table.rows) == sorted(whole)
    if kind == "classes":
        assert shown["ECE"] == shown["Smooth ECE"] != shown["RMS ECE"] == shown["Debiased ECE"]
        assert shown["Maximum CE"] == shown["Rows in the worst bin"] == shown["RMS ECE"]
    measured_after = [table for table in tables if len(table.table.headings) > 2]
    assert all(cell.value for table in measured_after for row in table.table.rows for cell in row.cells)  # no holes


def test_every_correction_has_a_diagram():
    evaluation = evaluate(GIVEN["classes"])
    reliability = evaluation_page("x", evaluation).sections[1]
    errors = [stage.error for drawing in reliability.drawings for stage in drawing.data]  # pyright: ignore
    conditions = ["plain", "scaled", "vector", "matrix", "isotonic"]
    assert errors == pytest.approx([evaluation.value("ece", condition) for condition in conditions])


@pytest.mark.parametrize(("sharpness", "said"), [(3.0, "points too high"), (0.3, "points too low")])
def test_who_is_too_sure_is_told_so(sharpness: float, said: str):
    assert said in evaluate(Given(classified(4000, sharpness))).verdict.headline


def test_honest_predictions_are_called_honest():
    headline = evaluate(Given(classified(500))).verdict.headline
    assert "too" not in headline
    assert "no error of their confidence can be told from chance" in headline


def test_what_is_said_of_ninety_per_cent_is_what_happened():
    probs = torch.tensor([[0.9, 0.1]]).repeat(1000, 1)
    labels = (torch.arange(1000) % 10 >= 6).long()  # six in ten are class 0
    said = " ".join(evaluate(ClassPredictions(probs.log(), labels)).verdict.reasons)
    assert "Of the answers that are about 90 % sure, 60 of 100 are right." in said


def test_coverage_is_told_before_and_after_scaling():
    said = " ".join(evaluate(Given(estimated(4000, 0.5), estimated(4000, 0.5))).verdict.reasons)
    before, after = 100 * 0.589, 90  # P(|z| < 1.645 / 2)
    numbers = [float(word.rstrip(".,")) for word in said.split() if word[0].isdigit()]
    assert numbers[2] == pytest.approx(before, abs=2.5)
    assert numbers[3] == pytest.approx(after, abs=2)


def test_the_page_draws_and_lists_what_was_measured():
    evaluation = evaluate(GIVEN["classes"])
    _, reliability, _, confidence, ood, people, _ = evaluation_page("x", evaluation).sections
    errors = [stage.bins.expected_error() for stage in reliability.drawings[0].data]  # pyright: ignore
    assert errors == pytest.approx([evaluation.value("ece"), evaluation.value("ece", "scaled")])
    assert [drawing.name for drawing in confidence.drawings] == ["confidence", "risk-coverage"]
    shown = {row.method: [cell.value for cell in row.cells] for row in ood.tables[0].table.rows}
    found = evaluation.measured["ood/notmnist/energy"]
    assert shown["notmnist, energy"] == [f"{100 * found[key]:.1f}" for key in ("auroc", "aupr", "fpr95")]
    found = evaluation.measured["human_labels"]
    assert [[cell.value for cell in row.cells] for row in people.tables[0].table.rows] == [
        [f"{found['cross_entropy']:.3f}", f"{found['entropy']:.3f}"],
        [f"{found['kl']:.3f}", "0.000"],
        [f"{found['total_variation']:.3f}", "0.000"],
    ]


def test_nothing_to_correct_with_is_advice():
    facts = evaluation_page("x", evaluate(GIVEN["two classes"])).facts
    assert "--calibration FILE" in facts["Calibration"]


def test_the_screen_shows_every_number(capsys: pytest.CaptureFixture):
    evaluation = evaluate(GIVEN["classes"])
    print_evaluation(evaluation)
    printed = capsys.readouterr().out
    for row in table_of(evaluation).rows:
        assert all(cell.value in printed for cell in row.cells)
    assert evaluation.verdict.headline in printed


@pytest.mark.parametrize(("network", "accuracy", "ece"), [("lenet5", "53.1", "10.79"), ("wrn16_4", "91.1", "5.37")])
def test_the_stored_networks(real_data: Path, network: str, accuracy: str, ece: str):
    given = read_given(real_data / "predictions" / f"cifar10_{network}.npz")
    rows = {row.method.split(",")[0]: row.cells[0].value for row in table_of(evaluate(given)).rows}
    assert (rows["Accuracy"], rows["ECE"]) == (accuracy, ece)


@pytest.mark.parametrize(
    ("rows", "sharpness", "told"), [(30, 1.0, False), (30, 4.0, True), (1000, 1.5, True), (1000, 0.6, True)]
)
def test_a_split_that_cannot_tell_the_temperature_is_named(rows: int, sharpness: float, told: bool):
    evaluation = evaluate(Given(classified(sharpness=sharpness), classified(rows, sharpness)))
    low, high = (evaluation.value("temperature", f"intervals/{end}") for end in ("low", "high"))
    assert (low <= 1 <= high) is not told
    sentence = (
        f"{rows:,} calibration rows cannot tell the temperature from 1, which is no correction (95 % interval: "
        f"{low:.2f} to {high:.2f})."
    )
    assert (sentence in evaluation.verdict.cautions) is not told


def test_without_a_wrong_answer_nothing_is_said_of_wrong_ones():
    certain = ClassPredictions(9 * torch.eye(3, dtype=torch.float64).repeat(10, 1), torch.arange(30) % 3)
    assert "wrong answer" not in " ".join(evaluate(Given(certain)).verdict.reasons)


def test_a_metric_that_is_not_finite_is_advice_and_nothing_is_written(tmp_path: Path):
    tiny = RegressionPredictions(torch.zeros(50), torch.ones(50), torch.full((50,), 1e-200, dtype=torch.float64))
    with pytest.raises(DataError, match="not finite"):
        write_evaluation(tmp_path / "out", evaluate(Given(tiny)))
    assert not (tmp_path / "out").exists()
