"""Repeated cross-validation: every row is tested once in each repeat, and is nowhere else in that fold."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.data import Arrays, Fixed, Folds, Frame, NamedSet, Noisy, Symmetric
from calmix.data.sources import folds_of, in_folds
from calmix.data.splits import Fold, draw_parts, split_rows, split_sizes
from calmix.errors import DataError, SettingError

PARTS = ("train", "validation", "calibration", "test")


@settings(max_examples=50)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=5), st.integers(2, 6), st.integers(0, 3))
def test_every_row_is_tested_once_a_repeat_and_classes_keep_their_shares(counts: list[int], folds: int, repeat: int):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(labels)
    if n < 30:
        return
    drawn = [draw_parts(labels, n, Fold(number, folds, repeat)) for number in range(folds)]
    assert np.array_equal(np.sort(np.concatenate([test for *_, test in drawn])), np.arange(n))
    for parts in drawn:
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))  # each row in one of the four
        assert abs(len(parts[3]) - n / folds) < 1
        assert abs(len(parts[0]) - 0.75 * (n - len(parts[3]))) < 1
        share = np.array(counts) * len(parts[3]) / n
        assert (np.abs(np.bincount(labels[parts[3]], minlength=len(counts)) - share) <= 1).all()


def test_another_repeat_is_another_cut_and_a_seed_draws_what_it_drew_before():
    labels = np.arange(60) % 3
    first, second = (set(draw_parts(labels, 60, Fold(0, 5, repeat))[3]) for repeat in (0, 1))
    assert first != second
    seeded = split_rows(labels, split_sizes(60), np.random.default_rng(4))
    assert all(np.array_equal(a, b) for a, b in zip(draw_parts(labels, 60, 4), seeded, strict=True))


X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
FRAME = pd.DataFrame(X.numpy(), columns=["a", "b", "c"])


@pytest.mark.parametrize(
    "source",
    [Arrays(X, torch.arange(60) % 3), Frame(FRAME.assign(y=["u", "v"] * 30), "y"), Frame(FRAME, "c", "regression")],
)
def test_the_rows_of_a_source_are_tested_once_in_its_first_folds(source: Any):
    folds = Folds(source, 4)
    tested = [len(folds.splits(seed).test) for seed in range(4)]
    assert tested == [15] * 4
    seen = torch.cat([split.x for split in (getattr(folds.splits(1), part) for part in PARTS)])
    assert len(seen) == 60
    assert folds.splits(2).about.folds == 4
    assert pickle.loads(pickle.dumps(folds)).splits(2).test.x.equal(folds.splits(2).test.x)


def test_the_text_of_a_run_tells_folds_from_seeds_and_noise_goes_on_top():
    plain = NamedSet("wine")
    noisy = in_folds(Noisy(plain, Symmetric(0.2)), 5)
    assert repr(Folds(plain, 5)) == f"Folds(source={plain!r}, folds=5)"
    assert noisy == Noisy(Folds(plain, 5), Symmetric(0.2))
    assert (folds_of(noisy), folds_of(Folds(plain, 3)), folds_of(plain)) == (5, 3, 0)
    assert noisy.splits(7).test.y.equal(Folds(plain, 5).splits(7).test.y)
    assert noisy.splits(7).about.folds == 5


def test_what_cannot_be_cut_is_refused():
    for source in (NamedSet("two_moons"), NamedSet("fashion_mnist"), Fixed(NamedSet("wine").splits(0))):
        with pytest.raises(SettingError, match="no rows to cut into folds; give seeds instead"):
            in_folds(source, 5)
    with pytest.raises(SettingError, match="folds must be at least 2; got 1"):
        Folds(NamedSet("wine"), 1)
    with pytest.raises(DataError, match="60 rows cannot be cut into 61 folds; give more rows or fewer folds"):
        Folds(Arrays(X, torch.arange(60) % 3), 61).splits(0)
