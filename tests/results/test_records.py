"""A run goes to disk and comes back the same; what calmix 0.1.0 wrote is read under today's names."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calmix.errors import DataError
from calmix.results.records import (
    Epoch,
    Record,
    as_json,
    from_json,
    read_predictions,
    read_record,
    save_record,
    scores_of,
)

Make = Callable[..., Record]

PREDICTIONS = {
    "logits": np.zeros((2, 3)),
    "probs": np.full((2, 3), 1 / 3),
    "labels": np.array([0, 2]),
    "temperature": np.array(1.5),
}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_json_and_back(make_record: Make, task: str):
    record = make_record("sk_mixup(tau_max=0.3)", 3, task)
    assert from_json(json.loads(json.dumps(as_json(record)))) == record


def test_json_is_for_people(make_record: Make):
    found: Any = as_json(make_record())
    assert found["metrics"]["accuracy"] == make_record().metrics["plain"]["accuracy"]
    assert found["metrics"]["ood"]["notmnist"]["energy"] == {"auroc": 0.75}
    assert found["history"][0] == {"epoch": 1, "train": {"loss": 2.5}}  # no empty validation


OLD = {
    "method": "mixup",
    "repr": "Method(pairing=Shuffle(self_pairs=True))",
    "seed": 0,
    "metrics": {
        "accuracy": 0.9,
        "intervals": {"ece": [0.0, 0.07]},
        "scaled": {"ece": 0.1},
        "ood": {"notmnist": {"energy": {"auroc": 0.8}}},
        "votes": {"kl": 0.2},
        "outside": {"a": {"energy": {"auroc": 0.7}}},
    },
    "temperature": 0.5,
    "train_seconds": 4.0,
    "relative_cost": 1.1,
    "epoch": 2,
    "history": [
        {"epoch": 1, "train": {"loss": 2.0}},
        {"epoch": 2, "train": {"loss": 1.0, "terms": {"mixed": 1.0}}, "validation": {"loss": 0.5}},
    ],
    "recipe": "Recipe(...)",
}


def test_a_record_of_version_0_1_0_comes_under_today_s_names():
    record = from_json(OLD)
    assert record.metrics == {
        "plain": {"accuracy": 0.9},
        "intervals/low": {"ece": 0.0},
        "intervals/high": {"ece": 0.07},
        "scaled": {"ece": 0.1},
        "ood/notmnist/energy": {"auroc": 0.8},
        "human_labels": {"kl": 0.2},
        "ood/a/energy": {"auroc": 0.7},
    }
    assert record.history[1].validation == {"loss": 0.5}
    assert record.train_loss == 1.0


@pytest.mark.parametrize("name", OLD)
def test_a_record_that_lacks_an_entry_is_an_error(name: str):
    with pytest.raises(DataError, match=rf"{name} is missing"):
        from_json({key: value for key, value in OLD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [("metrics", [1]), ("history", 3), ("history", [{"train": {}}]), ("method", 5), ("seed", "x"), ("more", 1)],
)
def test_a_record_with_an_entry_of_another_kind_is_an_error(name: str, value: object):
    with pytest.raises(DataError):
        from_json({**OLD, name: value})


def test_what_belongs_to_a_run_is_a_metric_of_the_plain_network(make_record: Make):
    scores = scores_of([make_record("erm", seed) for seed in range(2)])
    assert scores.values("erm", "cost") == [1.25, 1.25]
    assert scores.values("erm", "temperature") == [1.5, 1.5]
    assert scores.values("erm", "epoch") == [2.0, 2.0]
    assert scores.values("erm", "train_loss") == [1.5, 1.5]  # of the last epoch
    assert scores.values("erm", "accuracy") == [0.03, 1.03]
    assert not scores_of([make_record("erm", 0, "regression")]).has("temperature")
    record = make_record("auto", 0)
    moved = (Epoch(3, {"loss": 1.0, "strength": 0.5}, {}), Epoch(4, {"loss": 1.0, "strength": 0.25}, {}))
    moving = replace(record, history=(*record.history, *moved, Epoch(5, {"loss": 1.0}, {})))
    assert scores_of([moving]).values("auto", "strength") == [0.25]  # of the last epoch that mixed
    assert not scores.has("strength")


def test_a_run_is_stored_with_its_predictions(make_record: Make, tmp_path: Path):
    record, logits = make_record("mixup(alpha=0.2)", 4), np.arange(6.0).reshape(2, 3)
    assert read_record(tmp_path, record.method, 4) is None
    save_record(tmp_path, record, {**PREDICTIONS, "logits": logits})
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"mixup-alpha-0.2-seed4.json"}
    assert read_record(tmp_path, record.method, 4) == record
    assert read_record(tmp_path, record.method, 5) is None
    assert np.array_equal(read_predictions(tmp_path, record)["logits"], logits)


def test_a_stored_run_is_a_finished_run(make_record: Make, tmp_path: Path):
    """Predictions that cannot be written leave no record behind."""
    with pytest.raises(ValueError, match="allow_pickle"):
        save_record(tmp_path, make_record(), {"logits": np.array([{}], dtype=object)})
    assert read_record(tmp_path, "erm", 0) is None


def test_a_damaged_run_is_none(make_record: Make, tmp_path: Path):
    save_record(tmp_path, make_record(), {})
    assert read_record(tmp_path, "erm", 0) == make_record()
    path = tmp_path / "runs" / "erm-seed0.json"
    for text in ("{", "[]", '{"method": "erm"}'):
        path.write_text(text)
        assert read_record(tmp_path, "erm", 0) is None


def test_arrays_of_version_0_1_0_come_under_today_s_names(make_record: Make, tmp_path: Path):
    record = make_record()
    (tmp_path / "predictions").mkdir()
    old = {**PREDICTIONS, "votes": np.ones(2), "outside_a_logits": np.ones((3, 3)), "calibration_logits": np.ones(4)}
    np.savez(tmp_path / "predictions" / f"{record.run}.npz", allow_pickle=False, **old)
    found = {name: len(array) for name, array in read_predictions(tmp_path, record).items() if name not in PREDICTIONS}
    assert found == {"human_labels": 2, "ood_a_logits": 3, "calibration_logits": 4}
    with pytest.raises(DataError, match=r"erm-seed1\.npz.*run the command that made it again"):
        read_predictions(tmp_path, make_record("erm", 1))
