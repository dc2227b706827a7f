import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calmix.errors import DataError, SettingError, ShapeError
from calmix.metrics import RegressionMetrics, mae, mape, r2, regression_metrics, rmse

METRICS = [rmse, mae, mape, r2]
numbers = st.integers(-1000, 1000).map(lambda thousandths: thousandths / 8)  # exact in binary
vectors = hnp.arrays(np.float64, st.integers(2, 30), elements=numbers)
tables = hnp.arrays(np.float64, st.tuples(st.integers(2, 15), st.integers(1, 4)), elements=numbers)


@given(vectors | tables, st.integers(0, 1000))
def test_scikit_learn_agrees(targets: np.ndarray, seed: int):
    predicted = targets + np.random.default_rng(seed).integers(-2, 3, targets.shape) / 4
    assert rmse(predicted, targets) == pytest.approx(
        sklearn.metrics.root_mean_squared_error(targets.ravel(), predicted.ravel())
    )
    assert mae(predicted, targets) == pytest.approx(sklearn.metrics.mean_absolute_error(targets, predicted))
    assert mape(predicted, targets) == pytest.approx(
        sklearn.metrics.mean_absolute_percentage_error(targets.ravel(), predicted.ravel())
    )
    assert r2(predicted, targets) == pytest.approx(sklearn.metrics.r2_score(targets, predicted))


def test_by_hand():
    predicted, targets = torch.tensor([[1.0, 2.0], [3.0, 10.0]]), torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    # mape: 4 / 6 in one of four entries; r2: 1 for the first output, 1 - 16 / 8 for the second
    expected = {"rmse": 2, "mae": 1, "mape": pytest.approx(1 / 6), "r2": 0}
    assert regression_metrics(predicted, targets) == expected


def test_predicting_the_mean_earns_an_r2_of_zero():
    targets = torch.tensor([1.0, 2.0, 6.0])
    assert r2(targets.mean().expand(3), targets) == pytest.approx(0)


@given(st.floats(-1e6, 1e6), st.integers(1, 20))
def test_a_constant_target_scores_one_or_zero(value: float, n: int):
    targets = np.full(n, value)
    assert r2(targets, targets) == 1
    assert r2(targets + 1, targets) == 0


def test_float32_is_summed_in_float64():
    targets = torch.full((1_000_000,), 1e4)
    assert mae(targets + 1, targets) == pytest.approx(1, rel=1e-12)
    assert rmse(torch.full((1,), 1e25), torch.zeros(1)) == pytest.approx(1e25)  # 1e50 is no float32


@given(tables, st.integers(0, 1000))
def test_batches_give_what_all_rows_give(targets: np.ndarray, seed: int):
    predicted = targets + np.random.default_rng(seed).integers(-2, 3, targets.shape) / 4
    cut = seed % (len(targets) - 1) + 1
    stream = RegressionMetrics().update(predicted[:cut], targets[:cut])
    assert stream.update(predicted[cut:], targets[cut:]).compute() == regression_metrics(predicted, targets)


def test_batches_are_of_one_predictor():
    with pytest.raises(SettingError, match="call update first"):
        RegressionMetrics().compute()
    stream = RegressionMetrics().update(np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(ShapeError, match=r"\(2, 3\), expected \('n', 1\) as in earlier batches"):
        stream.update(np.ones((2, 3)), np.ones((2, 3)))
    assert stream.compute()["mae"] == 0


@pytest.mark.parametrize("metric", [*METRICS, regression_metrics])
def test_advice(metric):
    column = torch.ones(3, 1)
    with pytest.raises(ShapeError, match=r"\(3, 1\) and targets \(3,\).*squeeze"):
        metric(column, column[:, 0])  # would broadcast to (3, 3)
    with pytest.raises(ShapeError, match=r"expected \(n,\) or \(n, d\)"):
        metric(column[None], column[None])
    with pytest.raises(ShapeError, match="at least one row"):
        metric(column[:0], column[:0])
    for bad in (torch.nan, torch.inf):
        with pytest.raises(DataError, match="NaN"):
            metric(column * bad, column)
        with pytest.raises(DataError, match="NaN"):
            metric(column, column * bad)
