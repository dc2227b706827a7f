"""What a folder holds is read as it was written, also what calmix 0.1.0 wrote; what is damaged is advice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calmix.errors import DataError, UnknownNameError
from calmix.results.records import as_json, from_json, read_predictions, read_record
from calmix.results.store import Results, read_results, references, results_from_json, write_results
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.tables import difference_table, summary_table

LABELS = ["erm", "mixup", "sk_mixup"]


def stored(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_results_are_read_as_they_were_written(finish: Callable, tmp_path: Path, task: str):
    written: Results = finish(tmp_path, LABELS, task=task, beyond=task == "classification")
    read = read_results(tmp_path)
    assert read.records == written.records
    assert read.reference == written.reference == "mixup"
    write_results(tmp_path / "again", read)
    assert stored(tmp_path / "again") == stored(tmp_path)
    assert read_record(tmp_path, "mixup", 1) == written.of_method("mixup")[1]
    assert read.facts.settings == written.facts.settings


def test_a_record_is_the_same_by_way_of_json(finish: Callable, tmp_path: Path):
    for record in finish(tmp_path, ["erm"], beyond=True).records:
        assert from_json(json.loads(json.dumps(as_json(record)))) == record


def test_the_summary_has_the_means_of_the_runs(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    results = stored(tmp_path)
    assert [row["method"] for row in results["summary"]] == LABELS
    for row in results["summary"]:
        assert set(row) == {"method", "seeds", "metrics"}
        runs = [run for run in results["runs"] if run["method"] == row["method"]]
        assert row["seeds"] == len(runs) == 3
        for name, found in (("ece", "ece"), ("scaled_nll", "nll")):
            numbers = [run["metrics"]["scaled"][found] if "_" in name else run["metrics"][found] for run in runs]
            interval = row["metrics"][name]
            assert set(interval) == {"mean", "low", "high", "count"}
            assert interval["mean"] == pytest.approx(np.mean(numbers))


# --------------------------------------------------------------------------------------------- references


def test_the_references_are_those_that_take_part():
    assert references(["a", "erm"]) == ["erm"]
    assert references(["a", "erm", "mixup"], "a") == ["a", "mixup", "erm"]
    assert references(["a", "b"]) == ["a"]
    with pytest.raises(UnknownNameError, match="'mixap'"):
        references(["erm", "mixup"], "mixap")


def test_another_reference_can_be_asked_for_and_stays_where_it_is_written(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    found = read_results(tmp_path, "sk_mixup")
    assert found.references == ["sk_mixup", "mixup", "erm"]
    assert [row.method for row in difference_table(found).rows] == ["erm", "mixup"]
    assert read_results(tmp_path).reference == "mixup"  # reading changes nothing
    write_results(tmp_path, found)
    assert read_results(tmp_path).references == ["sk_mixup", "mixup", "erm"]
    with pytest.raises(UnknownNameError, match="unknown method to refer to 'sk_mixap'; did you mean 'sk_mixup'"):
        read_comparison(tmp_path, "sk_mixap")


def test_reading_and_writing_again_changes_nothing(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS, beyond=True)
    before = {path: path.read_bytes() for path in tmp_path.glob("results.*")}
    write_results(tmp_path, read_results(tmp_path))
    assert len(before) == 2
    assert {path: path.read_bytes() for path in tmp_path.glob("results.*")} == before


# --------------------------------------------------------------------------------------------- calmix 0.1.0


def as_of_0_1_0(folder: Path) -> None:
    """The folder as calmix 0.1.0 would have left it."""
    results = stored(folder)
    results["fit"] = results.pop("settings")
    del results["reference"]
    results["summary"] = [
        {
            "method": row["method"],
            "repr": "Method()",
            "reference": "mixup",
            "metrics": {},
            "differences": {},
            "claim": None,
        }
        for row in results["summary"]
    ]
    for run in results["runs"]:
        run["metrics"]["votes"] = run["metrics"].pop("human_labels")
        run["metrics"]["intervals"] = {"ece": [0.01, 0.05]}
        name = f"{run['method']}-seed{run['seed']}"
        (folder / "runs" / f"{name}.json").write_text(json.dumps(run))
        path = folder / "predictions" / f"{name}.npz"
        arrays = dict(np.load(path))
        arrays["outside_notmnist_logits"] = arrays.pop("ood_notmnist_logits")
        arrays["votes"] = arrays.pop("human_labels")
        np.savez_compressed(path, **arrays)
    (folder / "results.json").write_text(json.dumps(results))


def test_what_calmix_0_1_0_wrote_is_read_and_drawn(finish: Callable, tmp_path: Path):
    written: Results = finish(tmp_path, LABELS, beyond=True)
    as_of_0_1_0(tmp_path)
    read = read_comparison(tmp_path)
    assert read.results.reference == "mixup"
    assert read.results.facts.settings == written.facts.settings
    for record, old in zip(read.results.records, written.records, strict=True):
        assert record.metrics["human_labels"] == old.metrics["human_labels"]
        assert (record.metrics["intervals/low"], record.metrics["intervals/high"]) == ({"ece": 0.01}, {"ece": 0.05})
        assert {"ood_notmnist_logits", "human_labels"} <= set(read_predictions(tmp_path, record))
        assert not [name for name in read_predictions(tmp_path, record) if name.startswith(("outside", "votes"))]
    assert summary_table(read.results) == summary_table(written)
    page = read.write_report(tmp_path).read_text(encoding="utf-8")
    for title in ("Told apart from what it never saw: notmnist", "Against what people see"):
        assert title in page
    assert (tmp_path / "figures" / "ood-notmnist-confidence.csv").exists()


def test_the_reference_of_calmix_0_1_0_is_kept(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS, beyond=True)
    as_of_0_1_0(tmp_path)
    results = stored(tmp_path)
    for row in results["summary"]:
        row["reference"] = "erm"
    assert results_from_json(results).references == ["erm", "mixup"]


# -------------------------------------------------------------------------------------------------- damage


def test_a_folder_without_results_is_advice(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no results.json; make one with `calmix compare DATA --out"):
        read_comparison(tmp_path / "nothing")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "erm-seed0.json").touch()
    with pytest.raises(DataError, match=r"holds runs that are not all done; .* goes on with --resume\.$"):
        read_comparison(tmp_path)


DAMAGE = ["", "[]", "{}", '{"task": "classification"}', '{"task": ', "null"]


@pytest.mark.parametrize("damage", [*DAMAGE, '{"runs": [{}], "task": "binary", "summary": []}'])
def test_damaged_results_are_advice(tmp_path: Path, damage: str):
    (tmp_path / "results.json").write_text(damage, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"is damaged .*write it again with the command that made it and --resume.*--out"
    ):
        read_comparison(tmp_path)


@pytest.mark.parametrize("entry", ["data", "task", "model", "runs", "settings", "environment", "command"])
def test_a_missing_entry_is_named(finish: Callable, tmp_path: Path, entry: str):
    finish(tmp_path, LABELS)
    results = stored(tmp_path)
    del results[entry]
    with pytest.raises(DataError, match=entry):
        results_from_json(results)


def test_the_summary_is_never_read_back(finish: Callable, tmp_path: Path):
    """It follows from the runs, so that the two cannot contradict each other."""
    written = finish(tmp_path, LABELS)
    results = stored(tmp_path)
    del results["summary"]
    read = results_from_json(results)
    assert summary_table(read) == summary_table(written)
    results["runs"] = [run for run in results["runs"] if run["method"] != "mixup"]
    results["reference"] = None
    assert results_from_json(results).methods == ["erm", "sk_mixup"]


@pytest.mark.parametrize(("missing", "said"), [("ece", "a run has no ECE"), ("scaled", "no NLL after temperature")])
def test_a_run_without_what_the_task_is_reported_by_is_advice(
    finish: Callable, tmp_path: Path, missing: str, said: str
):
    finish(tmp_path, LABELS)
    results = stored(tmp_path)
    del results["runs"][4]["metrics"][missing]
    with pytest.raises(DataError, match=said):
        results_from_json(results)


def test_a_reference_that_takes_no_part_is_advice(finish: Callable, tmp_path: Path):
    finish(tmp_path, LABELS)
    results = stored(tmp_path)
    results["reference"] = "cutmix"
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(DataError, match="cutmix"):
        read_results(tmp_path)


@pytest.mark.parametrize("damage", ["", "{}", '{"method": "mixup"}', "[1]", "[" * 100_000])
def test_a_damaged_run_is_as_if_it_were_not_there(finish: Callable, tmp_path: Path, damage: str):
    finish(tmp_path, LABELS)
    (tmp_path / "runs" / "mixup-seed1.json").write_text(damage)
    assert read_record(tmp_path, "mixup", 1) is None


def test_predictions_that_are_cut_off_are_advice(finish: Callable, tmp_path: Path):
    record = finish(tmp_path, LABELS).records[0]
    path = tmp_path / "predictions" / "erm-seed0.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"erm-seed0.npz cannot be read"):
        read_predictions(tmp_path, record)


PREDICTIONS: dict[str, Callable[[Any], Any]] = {
    "labels": lambda labels: labels + 9,
    "probs": lambda probs: probs[None],
    "logits": lambda logits: logits.astype("longdouble").astype("M8[s]"),
    "temperature": lambda value: value * 0,
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_that_do_not_go_together_are_named(finish: Callable, tmp_path: Path, name: str):
    record = finish(tmp_path, LABELS).records[0]
    path = tmp_path / "predictions" / "erm-seed0.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, name: PREDICTIONS[name](arrays[name])})
    with pytest.raises(DataError, match=r"erm-seed0\.npz"):
        read_predictions(tmp_path, record)
    np.savez(path, **{key: array for key, array in arrays.items() if key != name})
    with pytest.raises(DataError, match=rf"erm-seed0\.npz lacks {name}; run the command that made it again"):
        read_predictions(tmp_path, record)


RAGGED: dict[str, Callable[[Any], object]] = {
    "a curve is shorter": lambda runs: runs[1]["history"].pop(),
    "a curve lacks a quantity": lambda runs: runs[1]["history"][-1]["validation"].pop("loss"),
    "there are no curves": lambda runs: [run.update(history=[]) for run in runs],
    "a run is there twice": lambda runs: runs.append(runs[0]),
    "a temperature is missing": lambda runs: runs[0].update(temperature=None),
    "a metric is infinite": lambda runs: runs[0]["metrics"].update(ece=10**400),
    "metrics are too deep": lambda runs: runs[0]["metrics"].update(a=json.loads('{"a":' * 50 + "1" + "}" * 50)),
    "corruptions differ": lambda runs: runs[0]["metrics"].update(corruptions={"fog": {"1": {"ece": 0.1}}}),
    "a class is a number": lambda runs: runs[0].update(repr=3),
}


@pytest.mark.parametrize("damage", RAGGED.values(), ids=RAGGED)
def test_runs_that_do_not_go_together_are_named(finish: Callable, tmp_path: Path, damage: Callable[[Any], None]):
    finish(tmp_path, LABELS)
    path = tmp_path / "results.json"
    raw = json.loads(path.read_text())
    damage(raw["runs"])
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"results\.json is damaged"):
        read_results(tmp_path)
