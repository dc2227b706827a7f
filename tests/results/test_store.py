"""results.json is read back as what was written, also where calmix 0.1.0 wrote it; damage becomes advice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from calmix.errors import DataError, UnknownNameError
from calmix.results.statistics import interval
from calmix.results.store import Results, read_results, references, results_from_json, results_json, write_results

Make = Callable[..., Results]
METHODS = ["erm", "mixup", "sk_mixup"]


def stored(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_results_go_to_disk_and_come_back(make_results: Make, tmp_path: Path, task: str):
    results = make_results(METHODS, 3, task)
    write_results(tmp_path, results)
    again = read_results(tmp_path)
    assert list(again.records) == list(results.records)
    assert again.reference == "erm"
    assert again.facts.settings == results.facts.settings
    assert list(again.facts.command) == ["calmix", "compare"]
    assert again.facts.data.sizes == {"train": 9, "validation": 2, "calibration": 2, "test": 5}
    assert (again.methods, again.seeds) == (METHODS, 3)


def test_the_summary_is_that_of_the_runs(make_results: Make, tmp_path: Path):
    results = make_results(METHODS, 3)
    write_results(tmp_path, results)
    for row in stored(tmp_path)["summary"]:
        assert row["seeds"] == 3
        records = results.of_method(row["method"])
        scaled = interval([record.metrics["scaled"]["ece"] for record in records])
        assert row["metrics"]["scaled_ece"] == vars(scaled)
        assert row["metrics"]["cost"]["mean"] == 1.25


def test_the_csv_has_a_row_a_run_and_the_reported_columns_first(make_results: Make, tmp_path: Path):
    write_results(tmp_path, make_results(METHODS, 2))
    frame = pd.read_csv(tmp_path / "results.csv")
    assert list(frame.columns[:5]) == ["method", "seed", "accuracy", "nll", "brier"]
    assert {"scaled_ece", "human_labels_kl", "ood_notmnist_energy_auroc", "cost", "temperature"} <= set(frame.columns)
    assert list(zip(frame["method"], frame["seed"], strict=True))[:4] == [
        ("erm", 0), ("mixup", 0), ("sk_mixup", 0), ("erm", 1)
    ]  # fmt: skip
    assert frame.loc[4, "accuracy"] == pytest.approx(1.05)


def test_results_of_version_0_1_0_are_read(make_results: Make, tmp_path: Path):
    """They have `fit` for `settings`, the reference in the summary, votes, and lists for intervals."""
    write_results(tmp_path, make_results(METHODS, 2))
    raw, now = stored(tmp_path), read_results(tmp_path)
    raw["fit"] = raw.pop("settings")
    del raw["reference"]
    for row in raw["summary"]:
        row["reference"] = "mixup"
    raw["data"] |= {"natural": False, "pixel_mean": []}
    for run in raw["runs"]:
        run["metrics"]["votes"] = run["metrics"].pop("human_labels")
        run["metrics"]["intervals"] = {"ece": [0.1, 0.2]}
    (tmp_path / "results.json").write_text(json.dumps(raw))
    old = read_results(tmp_path)
    assert old.reference == "mixup"
    assert old.facts == now.facts
    assert old.scores.values("erm", "kl", "human_labels") == now.scores.values("erm", "kl", "human_labels") == [0.5] * 2
    assert old.scores.values("erm", "ece", "intervals/high") == [0.2, 0.2]
    for row in raw["summary"]:
        del row["reference"]
    (tmp_path / "results.json").write_text(json.dumps(raw))
    assert read_results(tmp_path).reference == "mixup"  # plain Mixup, where nothing says otherwise


def without(*path: Any) -> Callable[[Any], None]:
    def damage(raw: Any) -> None:
        for name in path[:-1]:
            raw = raw[name]
        del raw[path[-1]]

    return damage


def with_entry(name: str, value: Any) -> Callable[[Any], None]:
    return lambda raw: raw.__setitem__(name, value)


DAMAGE: dict[str, tuple[Callable[[Any], None], str]] = {
    "no data": (without("data"), "the entry data is missing"),
    "no task": (without("task"), "the entry task is missing"),
    "no kind": (without("data", "kind"), "the entry kind is missing"),
    "a run without a seed": (without("runs", 1, "seed"), "seed"),
    "a run without its ECE": (without("runs", 1, "metrics", "scaled", "ece"), "a run has no ECE after temperature"),
    "no calibration rows": (without("data", "sizes", "calibration"), "sizes must hold the rows of the train"),
    "an AUROC of one run alone": (without("runs", 1, "metrics", "ood", "notmnist", "energy", "auroc"), "different"),
    "no runs": (with_entry("runs", []), "there are no runs"),
    "runs are a number": (with_entry("runs", 3), "the entry runs is 3, expected a list"),
    "a run is a text": (with_entry("runs", ["erm"]), "the entry runs.0 is 'erm', expected a mapping"),
    "data is a list": (with_entry("data", []), "the entry data is list, expected a mapping"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_results_are_advice_that_names_the_file(
    make_results: Make, tmp_path: Path, damage: Callable[[Any], None], reason: str
):
    write_results(tmp_path, make_results(METHODS))
    raw = stored(tmp_path)
    damage(raw)
    (tmp_path / "results.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=rf"results\.json is damaged .*{reason}.*write it again with"):
        read_results(tmp_path)


def test_what_is_no_json_and_what_is_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no results\.json; make one with `calmix compare DATA --out"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json is damaged"):
        read_results(tmp_path)


def test_another_method_may_be_referred_to(make_results: Make, tmp_path: Path):
    write_results(tmp_path, make_results(METHODS))
    assert read_results(tmp_path, "sk_mixup").references == ["sk_mixup", "mixup", "erm"]
    assert read_results(tmp_path).references == ["erm", "mixup"]
    with pytest.raises(UnknownNameError, match="unknown method to refer to 'mixap'; did you mean 'mixup'"):
        read_results(tmp_path, "mixap")


def test_plain_mixup_comes_before_plain_training():
    assert references(["sk_mixup", "erm", "mixup"]) == ["mixup", "erm"]
    assert references(["sk_mixup", "erm"]) == ["erm"]
    assert references(["cutmix", "sk_mixup"]) == ["cutmix"]
    assert references(["erm", "mixup"], "erm") == ["erm", "mixup"]


@pytest.mark.parametrize("rows", [[3], [3, 4, 5], [3, -1]])
def test_rows_of_classes_belong_to_the_classes(make_results: Callable[..., Results], rows: list[int]):
    raw = json.loads(json.dumps(results_json(make_results(["erm"]))))
    raw["data"]["class_rows"] = rows
    with pytest.raises(DataError, match="class_rows"):
        results_from_json(raw)
    raw["data"]["class_rows"] = [3, 4]
    assert results_from_json(raw).facts.data.class_rows == (3, 4)
    del raw["data"]["class_rows"]  # as calmix 0.1.0 wrote it
    assert results_from_json(raw).facts.data.class_rows == ()


def test_methods_may_have_other_epochs_but_all_runs_of_one_the_same(make_results: Make, tmp_path: Path):
    write_results(tmp_path, make_results(METHODS, 2))
    raw = stored(tmp_path)
    for run in raw["runs"]:
        if run["method"] == "mixup":
            run["history"][-1]["epoch"] = 3
    (tmp_path / "results.json").write_text(json.dumps(raw))
    assert {one.history[-1].number for one in read_results(tmp_path).of_method("mixup")} == {3}
    raw["runs"][0]["history"][-1]["epoch"] = 3  # of one of the two runs of plain training
    (tmp_path / "results.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match="learning curves of the runs are of different epochs"):
        read_results(tmp_path)
