"""What several seeds say together is summed up from the runs, against plain Mixup and against plain training."""

import json
from pathlib import Path

import numpy as np
import pytest

import calmix
from calmix.errors import DataError, UnknownNameError
from calmix.experiment import Comparison, Source, compare, refer
from calmix.experiment.claims import Claim, claim
from calmix.experiment.statistics import difference
from calmix.experiment.summary import references
from calmix.train import TrainingSettings

LABELS = {"erm": calmix.erm(), "mixup": calmix.mixup(), "sk_mixup": calmix.sk_mixup()}
COMPARISON = Comparison(Source("wine"), LABELS, fit=TrainingSettings(epochs=2), seeds=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison, which tests must leave as it is."""
    out = tmp_path_factory.mktemp("compared")
    compare(COMPARISON, out, workers=1)
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    for path in folder.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def read(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_differences_are_from_plain_mixup_as_well_as_from_plain_training(folder: Path):
    results = read(folder)
    nll = {label: [run["metrics"]["nll"] for run in results["runs"] if run["method"] == label] for label in LABELS}
    for row in results["summary"]:
        assert row["reference"] == "mixup"
        assert list(row["differences"]) == ["mixup", "erm"]
        for other, found in row["differences"].items():
            expected = difference(nll[row["method"]], nll[other])
            assert found["nll"]["t"]["low"] == expected.t.low
            assert found["nll"]["bootstrap"]["high"] == expected.bootstrap.high
            assert (found["nll"]["wilcoxon"], found["nll"]["effect"]) == (expected.wilcoxon, expected.effect)


def test_the_references_are_those_that_take_part():
    assert references(["a", "erm"]) == ["erm"]
    assert references(["a", "erm", "mixup"], "a") == ["a", "mixup", "erm"]
    assert references(["a", "b"]) == ["a"]
    with pytest.raises(UnknownNameError, match="'mixap'"):
        references(["erm", "mixup"], "mixap")


def test_another_reference_stays_until_it_is_changed(copy: Path):
    refer(copy, "sk_mixup")
    assert list(read(copy)["summary"][0]["differences"]) == ["sk_mixup", "mixup", "erm"]
    refer(copy)
    assert read(copy)["summary"][0]["reference"] == "sk_mixup"


def test_summing_up_again_changes_nothing(copy: Path):
    before, path = (copy / "results.json").stat().st_mtime_ns, copy / "results.json"
    refer(copy)
    assert path.stat().st_mtime_ns == before


def test_results_of_an_older_calmix_are_summed_up_anew(copy: Path):
    now = read(copy)
    old = read(copy)
    for row in old["summary"]:
        row["reference"], row["difference"] = "mixup", {}
        del row["differences"], row["claim"]
    (copy / "results.json").write_text(json.dumps(old))
    assert refer(copy) == now
    assert read(copy) == now


@pytest.mark.parametrize("damage", ["{}", "null", '{"runs": [{}], "task": "binary", "summary": []}'])
def test_results_that_cannot_be_summed_up_are_advice(tmp_path: Path, damage: str):
    with pytest.raises(DataError, match=r"holds no results.json; make one with"):
        refer(tmp_path)
    (tmp_path / "results.json").write_text(damage)
    with pytest.raises(DataError, match=r"is damaged; write it again with the command that made it and --resume"):
        refer(tmp_path)


def test_answers_about_ninety_per_cent_sure_are_pooled_over_seeds(folder: Path):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 3000)
    labels = (rng.random(3000) > 0.7).astype(np.int64)  # 0 in seven of ten, whatever is claimed
    runs = [
        {"probs": np.column_stack([part, 1 - part]), "labels": of}
        for part, of in zip(np.split(confidence, 3), np.split(labels, 3), strict=True)
    ]
    about = (confidence >= 0.85) & (confidence <= 0.95)
    expected = Claim(confidence[about].mean(), (labels[about] == 0).mean(), int(about.sum()))
    found = claim(runs)
    assert found is not None
    assert (found.claimed, found.observed, found.count) == pytest.approx(
        (expected.claimed, expected.observed, expected.count)
    )
    assert claim([{"probs": np.tile([[0.9, 0.1]], (99, 1)), "labels": np.zeros(99, dtype=np.int64)}]) is None
    assert claim([{"mean": np.zeros(300), "targets": np.zeros(300)}]) is None
    assert all("claim" in row for row in read(folder)["summary"])
