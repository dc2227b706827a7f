"""The page of a diagnosis holds the findings, the figures, and the way to make it again. Drawing it trains nothing."""

import html
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.errors import DataError
from calmix.results.scores import Score, Scores
from calmix.studies.diagnosis.mixes import MixedRows, write_batch
from calmix.studies.diagnosis.page import diagnosis_page, write_diagnosis
from calmix.studies.diagnosis.results import DiagnosisResults, write_results

Made = Callable[..., DiagnosisResults]


def with_terms(results: DiagnosisResults) -> DiagnosisResults:
    """The same, with the Taylor terms of every method: 0.75 + 0.01 seed is Mixup's loss."""

    def terms(seed: int) -> dict[str, dict[str, float]]:
        found = {}
        for top in ("expansion/0", "expansion/3", "reach/1", "reach/0.5"):
            found[top] = {"clean_loss": 0.5, "mixup_loss": 0.75 + 0.01 * seed}
            found[f"{top}/0"] = {"remainder": 12.34}
            found |= {
                f"{top}/{order}": {"term": 0.125, "term_size": 0.25, "output_size": 0.5, "remainder": -12.34}
                for order in (1, 2)
            }
        return found

    more = Scores.of((method, seed, terms(seed)) for seed in results.scores.seeds for method in results.methods)
    rows = [Score._make(row) for part in (results.scores, more) for row in part.frame.itertuples(index=False)]
    return replace(results, scores=Scores.from_rows(rows))


def keep(folder: Path, results: DiagnosisResults) -> None:
    write_results(folder, results)
    x, y = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 0])
    distance, lam = torch.tensor([0.5, 1.0, 1.5, 0.0]), torch.full((4,), 0.25)
    write_batch(folder, "sk_mixup", MixedRows(x, x.flip(0), x, y, y.flip(0), distance, torch.ones(4), lam))


def test_the_page_holds_the_findings_the_figures_and_the_way_to_make_it_again(made: Made, tmp_path: Path):
    results = made()
    keep(tmp_path, results)
    page = write_diagnosis(tmp_path).read_text()
    said = results.verdict
    for sentence in (said.headline, *said.reasons, *said.cautions):
        assert sentence in html.unescape(page).replace("\u00a0", " ")
    assert "calmix: diagnosis of toy &lt;set&gt;" in page
    assert "<script" not in page
    assert "calmix diagnose</code>" in page
    figures = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert figures >= {"wrong-neither-inputs", "lam-embedding", "labels-network", "mixes-sk_mixup"}
    assert page.count("<img") == len(figures) == len(list((tmp_path / "figures").glob("*.csv")))


def test_tables_have_the_numbers_that_were_measured(made: Made, tmp_path: Path):
    _, first, wrong, *_ = diagnosis_page(tmp_path, made()).sections
    assert wrong.folded
    (table,), (rises,) = first.tables, wrong.tables
    assert table.table.headings == [
        "Mixing, %", "Label mixing, %", "Wrong mass, %", "On random pairs, %", "Cut, %", "Cut beyond the classes', %",
    ]  # fmt: skip
    assert [row.method for row in table.table.rows] == ["sk_mixup", "mixup"]
    assert [cell.value for cell in table.table.rows[0].cells] == ["20.0", "10.0", "21.3", "30.0", "29", "29"]
    assert table.table.rows[0].cells[4].spread == "± 13"
    assert len(rises.table.rows) == 2 * 2 * 3
    by_name = {row.method: row.cells for row in rises.table.rows}
    different = by_name["inputs, a network, different classes"]
    assert [cell.value for cell in different] == ["+11.0"] * 5
    assert different[0].spread == "[−1.7, +23.7]"
    assert {cell.value for cell in by_name["inputs, a network, different classes, both ends agreed"]} == {"–"}


def test_one_seed_has_no_spreads(made: Made, tmp_path: Path):
    _, first, wrong, *_ = diagnosis_page(tmp_path, made([0.1], [0.3])).sections
    assert all(not cell.spread for part in (first, wrong) for row in part.tables[0].table.rows for cell in row.cells)
    assert "interval over" not in first.tables[0].note


def test_derivatives_have_figures_and_numbers(made: Made, tmp_path: Path):
    section = diagnosis_page(tmp_path, with_terms(made())).sections[-1]
    assert section.title == "Mixup as derivatives"
    assert [drawing.name for drawing in section.drawings] == ["taylor-loss", "taylor-outputs", "taylor-reach"]
    (table,) = section.tables
    assert table.table.headings[-1] == "Lacking after 2"
    assert [row.method for row in table.table.rows] == ["sk_mixup", "mixup"]
    values = [cell.value for cell in table.table.rows[0].cells]
    assert values == ["0.500", "0.755", "0.125", "0.250", "0.500", "−12.3"]


def test_a_folder_without_a_diagnosis_or_with_a_damaged_one_is_named(made: Made, tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no diagnosis\.json"):
        write_diagnosis(tmp_path)
    keep(tmp_path, made())
    (tmp_path / "diagnosis.json").write_text("{}")
    with pytest.raises(DataError, match=r"diagnosis\.json is damaged .*the entry facts is missing"):
        write_diagnosis(tmp_path)
    keep(tmp_path, made())
    lines = (tmp_path / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "scores.csv").write_text("".join(lines[:-3]))
    with pytest.raises(DataError, match=r"scores\.csv is damaged .*not the one that diagnosis.json belongs to"):
        write_diagnosis(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_page_is_drawn_without_what_trains():
    code = "import sys, calmix.studies.diagnosis.page; print([m for m in sys.modules if m in set(sys.argv[1:])])"
    heavy = ["lightning", "calmix.train", "calmix.studies.diagnosis.study", "calmix.studies.diagnosis.oracle"]
    result = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["lam", "anchor_y", "mixed", "distance"])
def test_damaged_mixes_are_named(made: Made, tmp_path: Path, name: str):
    keep(tmp_path, made())
    path = tmp_path / "mixes" / "sk_mixup.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    for wrong in (arrays[name][:2], arrays[name] * np.nan, (arrays[name] + 99).astype(">f8")):
        np.savez(path, **{**arrays, name: wrong})
        if wrong.dtype == ">f8" and name != "anchor_y":
            continue  # other numbers, in another order of bytes, are numbers
        with pytest.raises(DataError, match=r"sk_mixup\.npz"):
            write_diagnosis(tmp_path)
    np.savez(path, **{key: array for key, array in arrays.items() if key != name})
    with pytest.raises(DataError, match=rf"sk_mixup\.npz lacks {name}"):
        write_diagnosis(tmp_path)
