"""Ranks over several comparisons: what is ranked, what is said of it, and what is refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from calmix.errors import DataError, SettingError
from calmix.report.style import styles
from calmix.results.catalogue import ACCURACY, ECE
from calmix.results.records import Epoch, Record
from calmix.results.statistics import rank
from calmix.results.store import DataFacts, Results, RunFacts, write_results
from calmix.studies.ranking.diagram import Ranked, ranks_drawing
from calmix.studies.ranking.page import mean_ranks_table, print_ranks, ranking_page, write_ranks
from calmix.studies.ranking.sentences import ranking_advice
from calmix.studies.ranking.study import RankedSet, Ranking, read_ranking

LABELS = ["erm", "mixup", "sk_mixup"]


def finish(folder: Path, labels: Sequence[str], name: str = "wine", task: str = "classification") -> None:
    """A comparison of made-up numbers, three seeds a method, in the folder."""
    rng = np.random.default_rng(len(labels))
    keys = ("rmse", "mae", "r2") if task == "regression" else ("accuracy", "nll", "brier", "ece", "adaptive_ece")
    records = [
        Record(
            method=label,
            repr="Method()",
            seed=seed,
            metrics={condition: {key: rng.random() for key in keys} for condition in ("plain", "scaled")},
            temperature=1.5,
            train_seconds=1.0,
            relative_cost=1.0,
            epoch=1,
            history=(Epoch(1, {"loss": 1.0}, {"loss": 1.0, "accuracy": 0.5}),),
            recipe="",
        )
        for seed in range(3)
        for label in labels
    ]
    sizes = {"train": 240, "validation": 40, "calibration": 40, "test": 80}
    data = DataFacts(name, "made up", "table", ("a", "b"), (), (2,), sizes)
    facts = RunFacts(data, task, "mlp", {}, {}, ("calmix", "compare", name))
    write_results(folder, Results(facts, records, labels[0]))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three comparisons that share two methods and the control; two are of the same data."""
    methods = {
        "a": ["erm", "mixup", "sk_mixup", "mixup_idle"],
        "b": ["mixup", "erm", "mixup_idle"],
        "c": ["erm", "mixup", "mixup_idle"],
    }
    for name, labels in methods.items():
        finish(tmp_path / name, labels, name="wine" if name < "c" else "digits")
    return [tmp_path / name for name in methods]


def test_the_means_of_shared_methods_are_ranked(folders: list[Path], tmp_path: Path):
    ranking = read_ranking(folders)
    assert ranking.methods == ("erm", "mixup")
    assert ranking.left_out == ("sk_mixup", "mixup_idle")
    assert [one.name for one in ranking.sets] == ["wine (a)", "wine (b)", "digits"]
    page = write_ranks(tmp_path / "out", ranking, ["calmix", "report", "a", "b", "c"])
    stored = json.loads((tmp_path / "out" / "ranks.json").read_text())
    assert list(stored["ranks"]) == ["accuracy", "ece", "scaled_ece", "nll"]
    for i, folder in enumerate(folders):
        runs = json.loads((folder / "results.json").read_text())["runs"]
        for name, better in (("accuracy", 1), ("ece", -1), ("scaled_ece", -1), ("nll", -1)):
            means = [fmean(value_of(run, name) for run in runs if run["method"] == m) for m in ranking.methods]
            assert stored["ranks"][name]["scores"][i] == pytest.approx(means)
            assert np.argmin(stored["ranks"][name]["ranks"][i]) == np.argmax(better * np.array(means))
    text = page.read_text(encoding="utf-8")
    assert "calmix report a b c" in text
    assert "wine (b)" in text
    with open(tmp_path / "out" / "figures" / "ranks-accuracy.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["data"], row["method"]) for row in rows[:2]] == [("wine (a)", "erm"), ("wine (a)", "mixup")]
    for name in ("accuracy", "scaled_ece"):
        with open(tmp_path / "out" / "figures" / f"ranks-{name.replace('_', '-')}.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["rank"]) for row in rows] == np.ravel(stored["ranks"][name]["ranks"]).tolist()
        assert [float(row[name]) for row in rows] == np.ravel(stored["ranks"][name]["scores"]).tolist()


def value_of(run: dict[str, Any], name: str) -> float:
    inside, _, key = name.rpartition("_")
    return run["metrics"][inside][key] if inside else run["metrics"][key]


def test_the_screen_says_what_the_page_says(folders: list[Path], capsys: pytest.CaptureFixture[str]):
    ranking = read_ranking(folders)
    print_ranks(ranking)
    printed = " ".join(capsys.readouterr().out.split())
    said = ranking_advice(ranking)
    assert all(sentence in printed for sentence in (said.headline, *said.reasons, *said.cautions))
    assert "Several comparisons are of the same data (wine)" in printed


def test_folders_are_left_as_they_were(folders: list[Path], tmp_path: Path):
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*.json")}
    write_ranks(tmp_path / "out", read_ranking(folders))
    assert {path: path.read_bytes() for folder in folders for path in folder.rglob("*.json")} == before


def test_results_of_an_older_calmix_are_ranked(folders: list[Path]):
    """Version 0.1.0 kept the training's settings as `fit` and the references with the summary."""
    path = folders[0] / "results.json"
    results, now = json.loads(path.read_text()), read_ranking(folders)
    results["fit"] = results.pop("settings")
    for row in results["summary"]:
        row["reference"] = "erm"
    del results["reference"]
    path.write_text(json.dumps(results))
    assert np.array_equal(read_ranking(folders).ranks[ACCURACY].scores, now.ranks[ACCURACY].scores)


def ranking(accuracy: np.ndarray, ece: np.ndarray, labels: list[str]) -> Ranking:
    """Of these scores (N, k); better is more accuracy and less ECE."""
    sets = [f"d{i}" for i in range(len(accuracy))]
    ranks = {
        column: rank(scores, 1 if column is ACCURACY else -1, labels, sets)
        for column, scores in ((ACCURACY, accuracy), (ECE, ece))
    }
    return Ranking(tuple(RankedSet(name, name, "") for name in sets), tuple(labels), ranks)


def test_who_ranks_first_is_said_only_beyond_chance():
    steady = np.tile([0.7, 0.8, 0.9], (12, 1))
    luck = np.random.default_rng(0).random((12, 3))
    said = ranking_advice(ranking(steady, luck, LABELS))
    assert said.headline == "Over 12 data sets sk_mixup ranks first in right answers."
    assert said.reasons[0] == (
        "In right answers sk_mixup ranks best on average (1.0 of 3), beyond chance better than plain Mixup and plain "
        "training."
    )
    assert "but not beyond chance" in said.reasons[1]
    both = ranking_advice(ranking(steady, steady, LABELS))
    assert both.headline == (
        "Over 12 data sets sk_mixup ranks first in right answers and plain training ranks first in honest confidence."
    )
    assert ranking_advice(ranking(luck, luck, LABELS)).headline == "Over 12 data sets no method is ahead beyond chance."


def test_marks_are_against_plain_mixup_and_need_the_critical_difference():
    steady = np.tile([0.7, 0.8, 0.9], (12, 1))
    table = mean_ranks_table(ranking(steady, np.zeros((12, 3)), LABELS))
    assert [row.cells[0].mark for row in table.rows] == [-1, 0, 1]
    assert [row.cells[0].best for row in table.rows] == [False, False, True]
    assert [row.cells[1].mark for row in table.rows] == [0, 0, 0]


def test_the_page_shows_every_score_with_its_rank():
    scores = np.array([[0.7, 0.8, 0.9], [0.5, 0.6, 0.55]])
    page = ranking_page(ranking(scores, 1 - scores, LABELS))
    accuracy, ece = page.sections[-1].tables
    assert [[cell.value for cell in row.cells] for row in accuracy.table.rows] == [
        ["70.0", "80.0", "90.0"],
        ["50.0", "60.0", "55.0"],
    ]
    for table in (accuracy, ece):
        assert [[cell.spread for cell in row.cells] for row in table.table.rows] == [
            ["(3)", "(2)", "(1)"],
            ["(3)", "(1)", "(2)"],
        ]
        assert [[cell.best for cell in row.cells] for row in table.table.rows] == [
            [False, False, True],
            [False, True, False],
        ]
    assert [drawing.name for drawing in page.sections[1].drawings] == ["ranks-accuracy", "ranks-ece"]


def test_the_diagram_joins_those_that_are_not_told_apart():
    found = Ranked(ACCURACY, rank(np.tile(np.arange(4.0), (15, 1)), 1, list("abcd"), list("abcdefghijklmno")))
    drawing = ranks_drawing("ranks", found, styles("abcd"))
    svg, again = (drawing.save("svg")[0] for _ in range(2))
    assert svg == again
    assert "d 1.00, c 2.00, b 3.00, a 4.00" in drawing.alt
    assert sum(1 for _ in found.rows()) == 60


# ------------------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_ranked_is_advice(folders: list[Path], tmp_path: Path):
    with pytest.raises(SettingError, match="two or more different folders"):
        read_ranking(folders[:1])
    with pytest.raises(SettingError, match="two or more different folders"):
        read_ranking([folders[0], folders[0] / "." / ".." / "a"])
    with pytest.raises(DataError, match=r"holds no results.json; make one with"):
        read_ranking([*folders, tmp_path / "nothing"])
    finish(tmp_path / "numbers", ["erm", "mixup"], task="regression")
    with pytest.raises(DataError, match=r"regression cannot be ranked with classification; rank apart: .*numbers"):
        read_ranking([*folders, tmp_path / "numbers"])
    finish(tmp_path / "other", ["erm", "cutmix"])
    with pytest.raises(DataError, match="two methods or more that all comparisons have; these share erm"):
        read_ranking([*folders, tmp_path / "other"])
    with pytest.raises(DataError, match="ranks need a folder of their own"):
        write_ranks(folders[0], read_ranking(folders))


def test_regressions_are_ranked_by_their_errors(tmp_path: Path):
    for name in ("a", "b"):
        finish(tmp_path / name, LABELS, task="regression", name=name)
    found = read_ranking([tmp_path / "a", tmp_path / "b"])
    assert [column.key for column in found.ranks] == ["rmse", "mae"]
    assert ranking_advice(found).headline == "Over 2 data sets no method is ahead beyond chance."
