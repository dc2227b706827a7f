import math

import numpy as np
import pytest
import torch

from calmix.errors import SettingError
from calmix.metrics import ece, ece_interval, error_interval, score_rows
from calmix.metrics.bins import width_index
from calmix.metrics.bootstrap import _errors

BINS = 15


def confidences(n: int, generator: np.random.Generator) -> np.ndarray:
    """As a trained network has them: most of them near 1."""
    return 1 - 0.5 * generator.beta(0.35, 1.2, n)


def honest(confidence: np.ndarray) -> np.ndarray:
    return confidence


def overconfident(confidence: np.ndarray) -> np.ndarray:
    return confidence - 0.06 * (confidence - 0.1)


def wavy(confidence: np.ndarray) -> np.ndarray:
    return (confidence + 0.03 * np.sin(12 * confidence)).clip(0, 1)


def true_error(accuracy) -> float:
    """What infinitely many rows would show."""
    confidence = confidences(1_000_000, np.random.default_rng(0))
    gap = torch.from_numpy(confidence - accuracy(confidence))
    return float(width_index(torch.from_numpy(confidence), BINS).bincount(gap, BINS).abs().sum() / len(gap))


@pytest.mark.parametrize("accuracy", [honest, overconfident, wavy])
@pytest.mark.parametrize("n", [150, 2000])
def test_the_interval_holds_the_true_error_as_often_as_it_says(accuracy, n: int):
    true, generator, draws, level = true_error(accuracy), np.random.default_rng(1), 150, 0.9
    held, plain = 0, 0.0
    for seed in range(draws):
        confidence = confidences(n, generator)
        right = generator.random(n) < accuracy(confidence)
        low, high = error_interval(confidence, right, BINS, level, resamples=200, seed=seed)
        held += low <= true + 1e-9 and true <= high
        plain += high - low
    assert held / draws >= level - 3 * math.sqrt(level * (1 - level) / draws)
    assert plain / draws < 1.5 / math.sqrt(n)  # and it is not wide for nothing


def test_quantiles_of_resampled_errors_never_hold_an_error_of_zero():
    """What others do, and why this does not: every resample of a calibrated predictor shows an error."""
    generator = np.random.default_rng(0)
    confidence = confidences(500, generator)
    right = generator.random(500) < confidence
    shown = []
    for _ in range(200):
        rows = generator.integers(500, size=500)
        gap = torch.from_numpy(confidence[rows] - right[rows])
        shown.append(float(width_index(torch.from_numpy(confidence[rows]), BINS).bincount(gap, BINS).abs().sum()) / 500)
    assert np.quantile(shown, 0.025) > 0.01
    assert error_interval(confidence, right)[0] == 0


def test_real_networks(real: tuple[np.ndarray, np.ndarray, float, float]):
    probs, labels, _, known = real
    low, high = ece_interval(probs, labels)
    assert known - 0.02 < low < known < high < known + 0.02  # 10,000 rows: a share is known to a hundredth
    assert ece_interval(probs, labels) == (low, high)
    assert ece_interval(probs, labels, seed=1) != (low, high)
    assert ece_interval(probs, labels, seed=1) == pytest.approx((low, high), abs=2e-3)
    narrow = ece_interval(probs, labels, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    rows = score_rows(probs, labels)
    assert error_interval(rows.confidence, rows.correct) == (low, high)


def test_more_rows_tell_more():
    generator = np.random.default_rng(0)
    widths = []
    for n in (100, 1000, 10_000):
        confidence = confidences(n, generator)
        low, high = error_interval(confidence, generator.random(n) < overconfident(confidence))
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_rows_that_agree_are_not_certain():
    confidence = np.full(20, 0.75)
    assert error_interval(confidence, np.ones(20))[1] > 0.25  # all right by luck, or too modest
    low, high = error_interval(confidence, np.arange(20) % 4 > 0)  # exactly as claimed, which may be luck
    assert low == 0
    assert high > 0.1


def test_certain_and_always_right():
    assert ece_interval(torch.eye(3), torch.arange(3)) == (0, 0)


@pytest.mark.parametrize("label", [0, 1])
def test_one_row(label: int):
    probs, labels = torch.tensor([[0.75, 0.25]]), torch.tensor([label])
    low, high = ece_interval(probs, labels)
    assert 0 <= low <= high <= 1
    assert low <= ece(probs, labels)


def test_advice():
    one = torch.ones(3)
    with pytest.raises(SettingError, match=r"resamples is 0 and level 0.95, expected at least 1"):
        error_interval(one, one, resamples=0)
    for level in (0, 1, math.nan, 95):
        with pytest.raises(SettingError, match=r"and level .*, expected at least 1 and a share such as 0.95"):
            error_interval(one, one, level=level)
    with pytest.raises(SettingError, match="bins is 0"):
        error_interval(one, one, bins=0)


def test_an_error_below_the_typical_one_is_taken_for_the_median_error_of_a_calibrated_predictor():
    claimed, observed = torch.full((2000,), 0.75), torch.arange(2000) < 1500  # an error of exactly 0
    low, high = error_interval(claimed, observed, bins=1)
    errors = _errors(claimed.double(), observed.double(), torch.zeros(2000, dtype=torch.int64), 1, 1000, 0)[:, 0]
    assert low == 0
    smaller = ((high + errors).abs() < errors.abs().median()).double().mean()
    assert float(smaller) == pytest.approx(0.025, abs=0.004)
