"""Surfaces of trained networks: in the plane, paired by seed, and refused elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calmix import erm, far_mixup, mixup
from calmix.errors import DataError, SettingError
from calmix.experiment import Source
from calmix.experiment.surface import best_border, decision_surfaces
from calmix.train import TrainingSettings

METHODS = {"erm": erm(), "mixup": mixup()}
FIT = TrainingSettings(epochs=15, device="cpu")


@pytest.fixture(scope="module")
def found() -> dict:
    return decision_surfaces(Source("two_moons"), METHODS, FIT, seeds=2, resolution=9)


def test_it_is_plain_data(found: dict):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [(run["method"], run["seed"]) for run in found["runs"]] == [(m, s) for s in range(2) for m in METHODS]
    assert list(found["surfaces"]) == list(METHODS)
    assert len(found["x"]) == len(found["y"]) == 9
    assert found["classes"] == ["upper", "lower"]
    assert len(found["points"]) == len(found["labels"]) == 300


def test_surfaces_are_probabilities_around_the_training_points(found: dict):
    points = np.array(found["points"])
    for probs in found["surfaces"].values():
        np.testing.assert_allclose(np.sum(probs, 2), np.ones((9, 9)), atol=2e-4)
    assert found["x"][0] < points[:, 0].min() < points[:, 0].max() < found["x"][-1]
    assert found["y"][0] < points[:, 1].min() < points[:, 1].max() < found["y"][-1]


def test_a_surface_is_that_of_a_network_that_has_learnt(found: dict):
    """The class of the nearest grid point is the label of most training points, and the test accuracy says so too."""
    x, y = np.array(found["x"]), np.array(found["y"])
    for method, probs in found["surfaces"].items():
        near = [np.argmax(probs[abs(y - q).argmin()][abs(x - p).argmin()]) for p, q in found["points"]]
        assert np.mean(np.array(near) == found["labels"]) > 0.75
        assert min(run["accuracy"] for run in found["runs"] if run["method"] == method) > 0.8


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=12))
def test_no_border_is_better_than_the_best(rows: list[tuple[int, bool]]):
    yes = torch.tensor([step / 8 for step, _ in rows])
    labels = torch.tensor([int(label) for _, label in rows])

    def right(border: float) -> int:
        return int(((yes >= border).long() == labels).sum())

    best = best_border(yes, labels)
    assert right(best) == max(right(border / 16) for border in range(-1, 18))


def test_moving_the_border_mends_a_biased_network(found: dict):
    """A border in the wrong place costs accuracy, but neither auroc nor moved accuracy."""
    far = decision_surfaces(
        Source("circles"), {"far": far_mixup()}, TrainingSettings(epochs=40), seeds=1, resolution=3
    )["runs"][0]
    assert far["auroc"] > 0.98
    assert far["moved_accuracy"] > 0.94 > 0.9 > far["accuracy"]
    assert all(abs(run["moved_accuracy"] - run["accuracy"]) < 0.05 for run in found["runs"])


def test_a_binary_task_has_both_classes_too(found: dict):
    binary = decision_surfaces(Source("two_moons", task="binary"), {"erm": erm()}, FIT, seeds=1, resolution=4)
    assert np.shape(binary["surfaces"]["erm"]) == (4, 4, 2)
    assert binary["runs"][0]["accuracy"] == pytest.approx(found["runs"][0]["accuracy"], abs=0.05)


def test_any_table_of_two_numbers_will_do(tmp_path: Path):
    rows = [f"{i % 10},{i // 10},{'high' if i // 10 > 4 else 'low'}" for i in range(100)]
    (tmp_path / "grid.csv").write_text("\n".join(["a,b,kind", *rows]))
    source = Source(str(tmp_path / "grid.csv"), target="kind")
    found = decision_surfaces(source, {"erm": erm()}, TrainingSettings(epochs=1), seeds=1, resolution=3)
    assert found["features"] == ["a", "b"]


def test_errors_are_advice():
    with pytest.raises(DataError, match=r"wine has rows of shape \(13,\) for classification: try two_moons"):
        decision_surfaces(Source("wine"), METHODS, FIT)
    with pytest.raises(SettingError, match="seeds must be at least 1"):
        decision_surfaces(Source("two_moons"), METHODS, FIT, seeds=0)
