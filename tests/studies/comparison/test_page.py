"""The comparison's page needs nothing else, says what was measured, and is hurt by no name."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from calmix.errors import DataError
from calmix.results.files import NamedArrays
from calmix.results.machines import Machine
from calmix.results.records import Epoch, Record
from calmix.results.store import Results, write_results
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.page import MOST_SEEDS

LABELS = ["erm", "mixup"]
EVIL = """<script>alert(1)</script> & "q" 'a' $x_1^2$ {{ 7 * 7 }}"""


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def drawn(folder: Path) -> Path:
    return read_comparison(folder).write_report(folder)


def text_of(folder: Path) -> str:
    return Tags(drawn(folder).read_text(encoding="utf-8")).text


def values(results: Results, label: str, metric: str, condition: str = "plain") -> list[float]:
    return [record.metrics[condition][metric] for record in results.of_method(label)]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_predictions_of_a_run_are_read_once(finish: Callable, tmp_path: Path, task: str):
    finish(tmp_path, LABELS, task=task)
    found, read = read_comparison(tmp_path), []

    def reading(record: Record) -> NamedArrays:
        read.append(record.run)
        return found.predictions_of(record)

    replace(found, predictions_of=reading).page()
    assert sorted(read) == sorted(record.run for record in found.results.records)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_of_many_seeds_the_first_are_drawn_and_the_numbers_are_of_all(finish: Callable, tmp_path: Path, task: str):
    results = finish(tmp_path, LABELS, seeds=MOST_SEEDS + 2, task=task)
    found, read = read_comparison(tmp_path), set()

    def reading(record: Record) -> NamedArrays:
        read.add(record.seed)
        return found.predictions_of(record)

    replace(found, predictions_of=reading).write_report(tmp_path)
    assert read == set(range(MOST_SEEDS))
    with (tmp_path / "figures" / "learning-loss.csv").open(newline="", encoding="utf-8") as file:
        assert {int(row["seed"]) for row in csv.DictReader(file)} == read
    page = Tags((tmp_path / "report.html").read_text(encoding="utf-8")).text
    metric, digits, scale = ("rmse", 3, 1) if task == "regression" else ("ece", 2, 100)
    assert f"{scale * np.mean(values(results, 'mixup', metric)):.{digits}f} ±" in page
    assert f"({MOST_SEEDS} at most)" in page


def test_the_page_shows_each_methods_numbers(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    text = text_of(tmp_path)
    for label in LABELS:
        assert f"{100 * np.mean(values(results, label, 'accuracy')):.1f} ±" in text
        assert f"{100 * np.mean(values(results, label, 'ece')):.2f} ±" in text
        assert f"{100 * np.mean(values(results, label, 'ece', 'scaled')):.2f} ±" in text
        assert f"{np.mean(values(results, label, 'nll')):.3f} ±" in text
    assert "calmix compare toy" in text
    assert "Batch norm" not in text  # the runs' network has none


def test_strengths_that_moved_are_shown_where_there_are_any(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, ["erm", "auto"])
    assert "Strength at the end" not in text_of(tmp_path)
    records = [
        replace(run, history=(*run.history, Epoch(5, {"loss": 1.0, "strength": 0.25 + run.seed}, {})))
        if run.method == "auto"
        else run
        for run in results.records
    ]
    write_results(tmp_path, replace(results, records=records))
    text = text_of(tmp_path)
    assert "Strength at the end" in text
    assert "0.25 to 2.2" in text


@pytest.mark.parametrize(
    ("batch_norm", "said"), [("mixed", "never move them"), ("clean", "follow a clean pass in every")]
)
def test_what_moves_batch_norm_is_said_where_there_is_any(finish: Callable, tmp_path: Path, batch_norm: str, said: str):
    results: Results = finish(tmp_path, ["erm"])
    records = [
        replace(record, metrics={**record.metrics, "refreshed": record.metrics["scaled"]}) for record in results.records
    ]
    facts = replace(results.facts, settings={**results.facts.settings, "batch_norm": batch_norm})
    write_results(tmp_path, Results(facts, records, "erm"))
    assert said in read_comparison(tmp_path).page().facts["Batch norm"]


def test_what_was_asked_for_beyond_the_test_split_is_shown(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, beyond=True, seeds=2)
    text = text_of(tmp_path)
    for title in ("Told apart from what it never saw: notmnist", "Corrupted test images", "Against what people see"):
        assert title in text
    for label in LABELS:
        assert f"{100 * np.mean(values(results, label, 'fpr95', 'ood/notmnist/energy')):.1f} ±" in text
        assert f"{np.mean(values(results, label, 'kl', 'human_labels')):.3f} ±" in text
        jpeg = np.mean([values(results, label, "ece", f"corruptions/jpeg/{severity}") for severity in range(1, 6)])
        assert f"{100 * jpeg:.1f} ±" in text
    with open(tmp_path / "figures" / "ood-notmnist.csv", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["method"], first["heading"]) == ("erm", "max probability")
    auroc = values(results, "erm", "auroc", "ood/notmnist/max_probability")
    assert float(first["mean"]) == pytest.approx(100 * np.mean(auroc))


def test_without_it_nothing_is_said_of_it(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    page = read_comparison(tmp_path).page()
    said = [text for section in page.sections for text in (section.title, section.caption)]
    said += [table.label for section in page.sections for table in section.tables]
    assert not [word for word in ("AUROC", "Corrupted", "people see") if word in " ".join(said)]
    assert [section.title for section in page.sections] == [
        "",
        "How far from plain Mixup",
        "Differences as numbers",
        "The methods",
        "Reliability",
        "Confidence of right and of wrong answers",
        "Accuracy, calibration error and cost",
        "Class by class",
        "What is taken for what",
        "Learning curves",
    ]


def test_the_page_leads_to_its_sections_its_files_and_the_papers(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, [*LABELS, "mine"])
    write_results(tmp_path, replace(results, facts=replace(results.facts, date="2026-01-31")))
    parsed = Tags(drawn(tmp_path).read_text(encoding="utf-8"))
    links = [attributes["href"] or "" for tag, attributes in parsed.tags if tag == "a"]
    anchors = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    assert {"#the-methods", "#reliability", "#how-this-was-made"} <= {link for link in links if link[0] == "#"}
    assert {link[1:] for link in links if link[0] == "#"} <= anchors
    files = [link for link in links if link[0] != "#" and "://" not in link]
    assert "results.json" in files
    assert "figures/difference-ece.svg" in files
    assert all((tmp_path / file).exists() for file in files)
    assert "https://arxiv.org/abs/1710.09412" in links
    assert "2026-01-31" in parsed.text


def test_differences_as_numbers_are_folded(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    page = drawn(tmp_path).read_text(encoding="utf-8")
    folded, _ = re.findall("<details.*?</details>", page, re.DOTALL)
    assert "as other tests see it" in folded
    assert "as other tests see it" not in page.replace(folded, "")


def test_marks_go_by_paired_differences(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4, beyond=True)
    sections = {section.title: section for section in read_comparison(tmp_path).page().sections}
    (table,) = sections["Against what people see"].tables
    kl = {label: np.array(values(results, label, "kl", "human_labels")) for label in LABELS}
    for row in table.table.rows:
        difference = kl[row.method] - kl[results.reference]
        low, high = stats.t.interval(0.95, 3, difference.mean(), stats.sem(difference)) if difference.any() else (0, 0)
        assert row.cells[1].mark == (-1 if low > 0 else 1 if high < 0 else 0)


def test_corruption_tables_are_means_over_severities_with_paired_marks(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4, beyond=True)
    sections = {section.title: section for section in read_comparison(tmp_path).page().sections}
    _, table = sections["Corrupted test images"].tables
    ece = {
        label: np.mean([values(results, label, "ece", f"corruptions/jpeg/{level}") for level in range(1, 6)], 0)
        for label in LABELS
    }
    column = [heading.split(",")[0] for heading in table.table.headings].index("jpeg")
    for row in table.table.rows:
        cell = row.cells[column]
        assert cell.value == f"{100 * ece[row.method].mean():.1f}"
        assert cell.spread == f"± {100 * stats.t.ppf(0.975, 3) * stats.sem(ece[row.method]):.2g}"


def runs_and_bytes(folder: Path) -> tuple[int, int]:
    return len(list((folder / "runs").iterdir())), drawn(folder).stat().st_size


def test_a_method_of_ten_runs_takes_less_than_a_megabyte(finish: Callable, tmp_path: Path):
    finish(tmp_path, ["erm", "sk_mixup(tau_max=0.1)"], seeds=10, beyond=True)
    runs, size = runs_and_bytes(tmp_path)
    assert runs == 20
    assert size < 2e6


@pytest.mark.slow
def test_a_hundred_runs_stay_under_ten_megabytes(finish: Callable, tmp_path: Path):
    labels = [f"sk_mixup(tau_max=0.{i})" for i in range(1, 10)] + ["erm"]
    finish(tmp_path, labels, seeds=10, beyond=True)
    runs, size = runs_and_bytes(tmp_path)
    assert runs == 100
    assert size < 10e6


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_page_needs_nothing_else_and_no_name_becomes_markup(finish: Callable, tmp_path: Path, task: str):
    finish(tmp_path, ["erm", f"_{EVIL}"], task=task, name=EVIL, hostile=EVIL)
    page = drawn(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert set(re.findall("https?://[^/]+/", page)) <= {"https://arxiv.org/"}  # papers, which are links
    assert "49" not in re.sub('base64,[^"]*', "", page).split("{{ 7 * 7 }}")[0][-40:]  # names are no templates
    parsed = Tags(page)
    assert EVIL in parsed.text  # as it was given: neither markup nor a template
    images = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert images
    assert all((image["src"] or "").startswith("data:image/") and image["alt"] for image in images)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object"}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_report_can_be_drawn_again_and_comes_out_the_same(finish: Callable, tmp_path: Path, task: str):
    finish(tmp_path, LABELS, task=task, seeds=2)
    drawn(tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    drawn(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first
    names = {path.name for path in first}
    assert {name for name in names if name.startswith(".")} == set()  # nothing half-written
    stems = {path.stem for path in first if path.parent.name == "figures"}
    assert stems
    assert all({f"{stem}.svg", f"{stem}.png", f"{stem}.csv"} <= names for stem in stems)


def test_a_figures_table_holds_what_is_drawn(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    drawn(tmp_path)
    with open(tmp_path / "figures" / "accuracy-ece.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["before temperature"] * 2 + ["after temperature"] * 2
    for row, condition in zip(rows, ("plain", "plain", "scaled", "scaled"), strict=True):
        assert float(row["x"]) == pytest.approx(100 * np.mean(values(results, row["method"], "accuracy")))
        assert float(row["y"]) == pytest.approx(100 * np.mean(values(results, row["method"], "ece", condition)))


def test_regression_shows_errors_and_no_probabilities(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, task="regression")
    text = text_of(tmp_path)
    for label in LABELS:
        assert f"{np.mean(values(results, label, 'r2')):.3f} ±" in text
    assert "ECE" not in text
    assert "Temperature" not in text


def test_one_seed_and_one_method_make_a_page_without_intervals(finish: Callable, tmp_path: Path):
    finish(tmp_path, ["mixup"], seeds=1)
    text = text_of(tmp_path)
    assert "±" not in text
    assert "Differences" not in text
    assert "How far" not in text
    assert "One seed gives no interval" in text


def test_near_and_far_pairs_have_a_section_where_they_take_part(finish: Callable, tmp_path: Path):
    finish(tmp_path, ["mixup", "near_mixup", "far_mixup"], seeds=2)
    sections = {section.title: section for section in read_comparison(tmp_path).page().sections}
    [drawing] = sections["Near pairs, far pairs, all pairs"].drawings
    assert drawing.name == "quantiles"


def test_missing_predictions_are_advice(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    next((tmp_path / "predictions").iterdir()).unlink()
    with pytest.raises(DataError, match="predictions"):
        drawn(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_runs_of_each_machine_are_counted_in_words(finish: Callable, tmp_path: Path):
    results: Results = finish(tmp_path, LABELS)
    one = Machine("cpu", "EPYC 7B13", 1, "0.2", "2.9.0", "3.11")
    there = [replace(one, name="Xeon"), *[one] * (len(results.records) - 1)]
    records = [replace(run, machine=machine) for run, machine in zip(results.records, there, strict=True)]
    write_results(tmp_path, replace(results, records=records))
    text = text_of(tmp_path)
    assert f"{len(there) - 1} runs: {one}" in text
    assert f"1 run: {there[0]}" in text
