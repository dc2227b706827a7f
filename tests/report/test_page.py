"""One page that needs nothing else, says what was measured, and is hurt by no name."""

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calmix.errors import DataError
from calmix.report import write_report

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
    assert "Running statistics follow only the rows that are trained on" in text


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
