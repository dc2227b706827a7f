"""The decision surface: every grid point gets the probabilities of its own place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.diagnose.surface import decision_surface, frame
from calmix.errors import SettingError, ShapeError


def logistic(points: Tensor) -> Tensor:
    """P(1) = sigmoid(2 x - 3 y + 1)."""
    p = (2 * points[:, 0] - 3 * points[:, 1] + 1).sigmoid()
    return torch.stack([1 - p, p], 1)


def test_rows_are_y_and_columns_are_x(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.diagnose.surface._ROWS", 100)  # several calls
    surface = decision_surface(logistic, (-1, 0), (1, 4), 17)
    assert surface.probs.shape == (17, 17, 2)
    assert (surface.x[0], surface.x[-1], surface.y[0], surface.y[-1]) == (-1, 1, 0, 4)
    expected = (2 * surface.x[None, :] - 3 * surface.y[:, None] + 1).sigmoid()
    torch.testing.assert_close(surface.probs[..., 1], expected)
    assert torch.equal(surface.decision, (expected > 0.5).long())
    torch.testing.assert_close(surface.confidence, torch.maximum(expected, 1 - expected))


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
