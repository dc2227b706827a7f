"""One page that needs nothing else, says what was measured, and is hurt by no name."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from calmix.errors import DataError
from calmix.experiment.record import write_json
from calmix.report import write_report
from calmix.report.comparison import comparison_page
from calmix.report.figures.drawing import Drawing
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.results import parse_results
from calmix.report.tables import Cell, Row, Table

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


def test_the_page_shows_each_methods_numbers(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    text = Tags(write_report(tmp_path).read_text(encoding="utf-8")).text
    for label in LABELS:
        runs = [run["metrics"] for run in results["runs"] if run["method"] == label]
        assert f"{100 * np.mean([run['accuracy'] for run in runs]):.1f} ±" in text
        assert f"{100 * np.mean([run['ece'] for run in runs]):.2f} ±" in text
        assert f"{100 * np.mean([run['scaled']['ece'] for run in runs]):.2f} ±" in text
        assert f"{np.mean([run['nll'] for run in runs]):.3f} ±" in text
    assert "calmix compare toy" in text
    assert "Batch norm" not in text  # the runs' network has none


@pytest.mark.parametrize(
    ("batch_norm", "said"), [("mixed", "never move them"), ("clean", "follow a clean pass in every")]
)
def test_what_moves_batch_norm_is_said_where_there_is_any(finish: Callable, tmp_path: Path, batch_norm: str, said: str):
    results = finish(tmp_path, ["erm"])
    results["fit"]["batch_norm"] = batch_norm
    for run in results["runs"]:
        run["metrics"]["refreshed"] = run["metrics"]["scaled"]
    write_json(tmp_path / "results.json", results)
    assert said in Tags(write_report(tmp_path).read_text(encoding="utf-8")).text


def test_what_was_asked_for_beyond_the_test_split_is_shown(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, shifted=True)
    page = Tags(write_report(tmp_path).read_text(encoding="utf-8"))
    for title in ("Told apart from what it never saw: notmnist", "Corrupted test images", "Against what people see"):
        assert title in page.text
    for label in LABELS:
        runs = [run["metrics"] for run in results["runs"] if run["method"] == label]
        assert f"{100 * np.mean([run['ood']['notmnist']['energy']['fpr95'] for run in runs]):.1f} ±" in page.text
        assert f"{np.mean([run['votes']['kl'] for run in runs]):.3f} ±" in page.text
    with open(tmp_path / "figures" / "outside-notmnist.csv", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    auroc = [run["metrics"]["ood"]["notmnist"]["max_probability"]["auroc"] for run in results["runs"][::2]]
    assert (first["method"], first["heading"]) == ("erm", "max probability")
    assert float(first["mean"]) == pytest.approx(100 * np.mean(auroc))


def test_without_it_nothing_is_said_of_it(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    text = Tags(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert not [word for word in ("AUROC", "Corrupted", "people see") if word in text]


def test_marks_go_by_paired_differences(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, seeds=4, shifted=True)
    sections = {section.title: section for section in comparison_page(tmp_path, parse_results(results)).sections}
    (table,) = sections["Against what people see"].tables
    kl = {label: [r["metrics"]["votes"]["kl"] for r in results["runs"] if r["method"] == label] for label in LABELS}
    reference = results["summary"][0]["reference"]
    for row in table.table.rows:
        difference = np.array(kl[row.method]) - kl[reference]
        low, high = stats.t.interval(0.95, 3, difference.mean(), stats.sem(difference)) if difference.any() else (0, 0)
        assert row.cells[1].verdict == (-1 if low > 0 else 1 if high < 0 else 0)


def test_a_general_page_has_titles_tables_figures_and_facts(tmp_path: Path):
    table = Table(["Value"], [Row("first", [Cell("1", "± 2", best=True)])], [])
    drawing = Drawing("dot", "A dot.", [Dots()], 2.0, lambda figure: figure.add_subplot().plot([1], [2], "o"))
    page = Page(
        "Any <page>",
        ["Headline.", "More of it, 90 % sure."],
        [Section("Part", "What to look at.", [drawing], [PageTable("Values", table, corner="Name", note="A note.")])],
        cautions="Beware.",
        facts={"Rows": "10"},
        command=["calmix", "do", "it now"],
    )
    path = write_page(tmp_path / "new", page)
    parsed = Tags(path.read_text(encoding="utf-8"))
    for said in ("Any <page>", "Headline.", "90\u00a0% sure", "Part", "What to look at.", "A note.", "Beware.", "10"):
        assert said in parsed.text
    assert "calmix do 'it now'" in parsed.text
    assert (tmp_path / "new" / "figures" / "dot.csv").read_text(encoding="utf-8") == "a,b\n1,\n,2\n"
    (image,) = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert image["alt"] == "A dot."


def test_nothing_is_written_where_a_figure_fails(tmp_path: Path):
    def fail(figure: object) -> None:
        raise ArithmeticError

    good = Drawing("good", "", [Dots()], 2.0, lambda figure: None)
    page = Page("x", ["y"], [Section("z", "", [good, Drawing("bad", "", [Dots()], 2.0, fail)])])
    with pytest.raises(ArithmeticError):
        write_page(tmp_path / "out", page)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_hundred_runs_stay_under_ten_megabytes(finish: Callable, tmp_path: Path):
    labels = [f"sk_mixup(tau_max=0.{i})" for i in range(1, 10)] + ["erm"]
    finish(tmp_path, labels, seeds=10, shifted=True)
    path = write_report(tmp_path)
    assert path.stat().st_size < 10e6


class Dots:
    def rows(self) -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        yield {"b": 2}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_page_needs_nothing_else_and_no_name_becomes_markup(finish: Callable, tmp_path: Path, task: str):
    finish(tmp_path, ["erm", f"_{EVIL}"], task=task, name=EVIL, hostile=EVIL)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search("https?://", page)
    assert "49" not in re.sub('base64,[^"]*', "", page).split("{{ 7 * 7 }}")[0][-40:]  # names are no templates
    parsed = Tags(page)
    assert EVIL in parsed.text  # as it was given: neither markup nor a template
    images = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert images
    assert all((image["src"] or "").startswith("data:image/") and image["alt"] for image in images)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object"}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_report_can_be_drawn_again_and_comes_out_the_same(finish: Callable, tmp_path: Path, task: str):
    finish(tmp_path, LABELS, task=task)
    write_report(tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_report(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first
    names = {path.name for path in first}
    assert {name for name in names if name.startswith(".")} == set()  # nothing half-written
    stems = {path.stem for path in first if path.parent.name == "figures"}
    assert stems
    assert all({f"{stem}.svg", f"{stem}.png", f"{stem}.csv"} <= names for stem in stems)


def test_a_figures_table_holds_what_is_drawn(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    write_report(tmp_path)
    with open(tmp_path / "figures" / "accuracy-ece.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["before temperature"] * 2 + ["after temperature"] * 2
    for row, summary in zip(rows, results["summary"], strict=False):
        assert float(row["x"]) == pytest.approx(100 * summary["metrics"]["accuracy"]["mean"])
        assert float(row["y_low"]) == pytest.approx(100 * summary["metrics"]["ece"]["low"])


def test_regression_shows_errors_and_no_probabilities(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS, task="regression")
    text = Tags(write_report(tmp_path).read_text(encoding="utf-8")).text
    for label in LABELS:
        r2 = np.mean([run["metrics"]["r2"] for run in results["runs"] if run["method"] == label])
        assert f"{r2:.3f} ±" in text
    assert "ECE" not in text
    assert "Temperature" not in text


def test_one_seed_and_one_method_make_a_page_without_intervals(finish: Callable, tmp_path: Path):
    finish(tmp_path, ["mixup"], seeds=1)
    text = Tags(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "±" not in text
    assert "Paired differences" not in text
    assert "One seed gives no interval" in text


def test_a_folder_without_results_is_advice(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no results.json; make one with `calmix compare DATA --out"):
        write_report(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"task": "classification"}', '{"task": ', "null"])
def test_damaged_results_are_advice(tmp_path: Path, damage: str):
    (tmp_path / "results.json").write_text(damage, encoding="utf-8")
    with pytest.raises(DataError, match=r"is damaged .*calmix compare DATA --out"):
        write_report(tmp_path)


def test_results_without_their_runs_are_advice(finish: Callable, tmp_path: Path):
    results = finish(tmp_path, LABELS)
    results["runs"] = [run for run in results["runs"] if run["method"] != "mixup"]
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with pytest.raises(DataError, match="no runs of 'mixup'"):
        write_report(tmp_path)


def test_missing_predictions_are_advice(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    next((tmp_path / "predictions").iterdir()).unlink()
    with pytest.raises(DataError, match="predictions"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
