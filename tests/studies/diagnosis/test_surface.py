"""The decision surface: every grid point has the probabilities of its own place; and how right networks are there."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from calmix.core.method import Method
from calmix.data import NamedSet, Splits, TableFile
from calmix.errors import DataError, SettingError, ShapeError
from calmix.methods.erm import erm
from calmix.methods.quantile import far_mixup
from calmix.studies.diagnosis.surface import (
    best_border,
    decision_surface,
    frame,
    is_plane,
    plane_scores,
    probabilities,
    read_surface,
    write_surface,
)
from calmix.train import Recipe, Trained, TrainingSettings, train


def logistic(points: Tensor) -> Tensor:
    """P(1) = sigmoid(2 x - 3 y + 1)."""
    p = (2 * points[:, 0] - 3 * points[:, 1] + 1).sigmoid()
    return torch.stack([1 - p, p], 1)


def test_rows_are_y_and_columns_are_x(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.studies.diagnosis.surface._ROWS", 100)  # several calls
    surface = decision_surface(logistic, (-1, 0), (1, 4), 17)
    assert surface.probs.shape == (17, 17, 2)
    assert (surface.x[0], surface.x[-1], surface.y[0], surface.y[-1]) == (-1, 1, 0, 4)
    expected = (2 * surface.x[None, :] - 3 * surface.y[:, None] + 1).sigmoid()
    torch.testing.assert_close(surface.probs[..., 1], expected)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=9), st.floats(0, 2, width=32)
)
def test_the_frame_holds_all_points(points: list[tuple[float, float]], air: float):
    (left, bottom), (right, top) = frame(torch.tensor(points, dtype=torch.float64), air)
    assert all(left <= x <= right and bottom <= y <= top for x, y in points)


def test_errors_are_advice():
    with pytest.raises(SettingError, match="resolution must be at least 2"):
        decision_surface(logistic, (0, 0), (1, 1), 1)
    with pytest.raises(SettingError, match="below and left"):
        decision_surface(logistic, (0, 1), (1, 1))
    with pytest.raises(ShapeError, match=r"rows \(n, K\), one a point; got \(4,\)"):
        decision_surface(lambda points: points[:, 0], (0, 0), (1, 1), 2)
    with pytest.raises(ShapeError, match=r"shape \(n, 2\); got \(5, 3\)"):
        frame(torch.zeros(5, 3))


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=12))
def test_no_border_is_better_than_the_best(rows: list[tuple[int, bool]]):
    yes = torch.tensor([step / 8 for step, _ in rows])
    labels = torch.tensor([int(label) for _, label in rows])

    def right(border: float) -> int:
        return int(((yes >= border).long() == labels).sum())

    best = best_border(yes, labels)
    assert right(best) == max(right(border / 16) for border in range(-1, 18))


# --------------------------------------------------------------------------------------- of a trained network


def trained(data: str, method: Method, epochs: int, task: str | None = None) -> Trained:
    return train(Recipe(NamedSet(data, task=task), "m", method, settings=TrainingSettings(epochs=epochs, device="cpu")))


@pytest.fixture(scope="module")
def plain() -> Trained:
    return trained("two_moons", erm(), 15)


def test_planes_are_points_with_classes(tmp_path: Path):
    assert is_plane(NamedSet("two_moons").splits(0))
    assert not is_plane(NamedSet("wine").splits(0))
    (tmp_path / "grid.csv").write_text("\n".join(["a,b,z", *(f"{i % 10},{i // 10},{i / 7}" for i in range(100))]))
    assert not is_plane(TableFile(tmp_path / "grid.csv", "z").splits(0))  # values to regress


def test_a_stored_surface_is_that_of_the_network_around_the_training_points(plain: Trained, tmp_path: Path):
    """The nearest grid point has the label of most training points, and the test accuracy says so too."""
    rows = plain.splits.train
    write_surface(tmp_path, "erm", plain.model, rows)
    stored = read_surface(tmp_path, "erm", 2)
    assert stored is not None
    surface, again = stored
    assert torch.equal(again.x, rows.x)
    assert torch.equal(again.y, rows.y)
    torch.testing.assert_close(surface.probs.sum(2), torch.ones(80, 80, dtype=torch.float64), atol=2e-4, rtol=0)
    for axis, values in enumerate((surface.x, surface.y)):
        assert values[0] < rows.x[:, axis].min() < rows.x[:, axis].max() < values[-1]
    i, j = ((values - rows.x[:, axis, None]).abs().argmin(1) for values, axis in ((surface.y, 1), (surface.x, 0)))
    points = torch.stack([surface.x[j], surface.y[i]], 1)
    torch.testing.assert_close(surface.probs[i, j], probabilities(plain.model, points).double(), atol=1e-4, rtol=0)
    assert (surface.probs[i, j].argmax(1) == rows.y).double().mean() > 0.75
    assert plane_scores(plain.model, plain.splits)["accuracy"] > 0.8


def test_no_surface_is_none_and_a_damaged_one_is_named(plain: Trained, tmp_path: Path):
    assert read_surface(tmp_path, "erm", 2) is None
    (tmp_path / "surfaces").mkdir()
    (tmp_path / "surfaces" / "erm.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"erm\.npz cannot be read .*run the command that made it again"):
        read_surface(tmp_path, "erm", 2)


def test_moving_the_border_mends_a_biased_network(plain: Trained):
    """A border in the wrong place costs accuracy, but neither auroc nor moved accuracy."""
    network = trained("circles", far_mixup(), 40)
    far, near = plane_scores(network.model, network.splits), plane_scores(plain.model, plain.splits)
    assert far["auroc"] > 0.98
    assert far["moved_accuracy"] > 0.94 > 0.9 > far["accuracy"]
    assert abs(near["moved_accuracy"] - near["accuracy"]) < 0.05


def test_a_binary_task_has_both_classes_too(plain: Trained):
    binary = trained("two_moons", erm(), 15, "binary")
    assert probabilities(binary.model, binary.splits.test.x).shape == (len(binary.splits.test), 2)
    scores, expected = (plane_scores(one.model, one.splits) for one in (binary, plain))
    assert list(scores) == ["accuracy", "ece", "nll", "auroc", "moved_accuracy"]
    assert scores["accuracy"] == pytest.approx(expected["accuracy"], abs=0.05)


def test_three_classes_have_no_single_border():
    class Corners(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, -x.sum(1, keepdim=True)], 1)

    plane = NamedSet("two_moons").splits(0)
    splits = Splits(plane.train, plane.validation, plane.calibration, plane.test, plane.about)
    assert list(plane_scores(Corners(), splits)) == ["accuracy", "ece", "nll"]
