"""One standard error decides, and it is said before the test rows are seen."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from calmix.studies.tuning.decision import Gain, gain_of, row_losses


def test_a_gain_of_exactly_its_noise_keeps_the_default():
    assert not Gain(0.1, 0.1, (0.1,)).pays
    assert Gain(np.nextafter(0.1, 1), 0.1, (0.1,)).pays
    assert not Gain(0.0, 0.0, (0.0,)).pays
    assert not Gain(-0.2, 0.1, (-0.2,)).pays
    # seeds that gain 0 and 2 have a mean of 1, and a standard error of sqrt(2 / 2) = 1
    gain = gain_of(np.array([[1.0], [3.0]]), np.array([[1.0], [1.0]]))
    assert (gain.mean, gain.error, gain.pays, gain.seeds) == (1.0, 1.0, False, (0.0, 2.0))


def test_the_error_is_that_of_seeds_and_of_rows():
    rng = np.random.default_rng(0)
    default, chosen = rng.normal(1, 0.2, (4, 50)), rng.normal(0.9, 0.2, (4, 50))
    off = default - chosen
    expected = math.sqrt(np.var(off.mean(1), ddof=1) / 4 + np.var(off.mean(0), ddof=1) / 50)
    gain = gain_of(default, chosen)
    assert gain.mean == pytest.approx(off.mean())
    assert gain.error == pytest.approx(expected)
    shared = rng.normal(0, 5, (4, 50))  # what both have cancels out
    assert gain_of(default + shared, chosen + shared).error == pytest.approx(expected)


def test_one_seed_leaves_the_error_of_rows_and_one_row_of_it_leaves_nothing():
    assert gain_of(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]])).error == pytest.approx(1.0)
    assert not gain_of(np.array([[9.0]]), np.array([[0.0]])).pays


def test_rows_lose_by_their_nll_after_temperature_or_by_their_squared_error():
    logits, labels = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    arrays = {"logits": logits.numpy(), "labels": labels.numpy(), "temperature": np.array(1.7)}
    assert row_losses(arrays) == pytest.approx(cross_entropy(logits.double() / 1.7, labels, reduction="none").numpy())
    values = {"mean": np.array([[1.0], [2.0]], np.float32), "targets": np.array([[1.0], [5.0]], np.float32)}
    assert row_losses(values).tolist() == [0.0, 9.0]
    huge = {"logits": np.array([[1e5, 0.0]]), "labels": np.array([1]), "temperature": np.array(1.0)}
    assert row_losses(huge).tolist() == [1e5]
