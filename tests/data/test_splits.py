"""Drawing: exact sizes, every row once, proportions to within a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calmix.data.splits import check_classes, cut_train, split_rows, split_sizes
from calmix.errors import DataError, SettingError


@st.composite
def labels_and_sizes(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    counts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=12))
    n = sum(counts)
    cuts = sorted(draw(st.lists(st.integers(0, n), min_size=1, max_size=4)))
    return np.repeat(np.arange(len(counts)), counts), np.diff([0, *cuts, n]).tolist()


@given(labels_and_sizes(), st.integers(0, 99))
def test_parts_hold_every_row_once_in_proportion(case, seed):
    labels, sizes = case
    parts = split_rows(labels, sizes, np.random.default_rng(seed))
    assert [len(rows) for rows in parts] == sizes
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    counts = np.bincount(labels)
    for rows, size in zip(parts, sizes, strict=True):
        share = counts * size / len(labels)
        assert (np.abs(np.bincount(labels[rows], minlength=len(counts)) - share) <= 1).all()


@given(labels_and_sizes())
def test_no_class_of_two_rows_misses_the_larger_half(case):
    labels, _ = case
    n = len(labels)
    rows = split_rows(labels, [n - n // 2, n // 2], np.random.default_rng(0))[0]
    assert set(np.flatnonzero(np.bincount(labels) >= 2)) <= set(labels[rows])


def test_the_seed_decides_which_rows_and_their_order():
    def draw(seed: int) -> list[list[int]]:
        return [rows.tolist() for rows in split_rows(np.arange(60) % 3, (36, 6, 6, 12), np.random.default_rng(seed))]

    assert draw(0) == draw(0)
    for rows, others in zip(draw(0), draw(1), strict=True):
        assert set(rows) != set(others)
        assert rows != sorted(rows)


def test_rows_without_labels_are_shuffled():
    (rows,) = split_rows(None, [50], np.random.default_rng(0))
    assert sorted(rows) == list(range(50))
    assert rows.tolist() != list(range(50))


@given(st.integers(10, 10_000))
def test_sizes_sum_to_the_rows_and_round_the_shares(n):
    sizes = split_sizes(n)
    assert sum(sizes) == n
    assert (np.abs(np.array(sizes) - n * np.array([0.6, 0.1, 0.1, 0.2])) < 1).all()


def test_too_few_rows_to_split():
    with pytest.raises(DataError, match=r"^5 rows cannot fill the .* splits; give 10 or more\.$"):
        split_sizes(5)


@given(labels_and_sizes(), st.data())
def test_a_train_set_is_exact_holds_every_class_and_is_part_of_a_larger_one(case, data):
    labels, _ = case
    train = np.random.default_rng(0).permutation(len(labels))
    large = data.draw(st.integers(len(np.unique(labels)), len(labels)))
    small = data.draw(st.integers(len(np.unique(labels)), large))
    rows = cut_train(train, labels, large)
    assert len(set(rows)) == large
    assert set(labels[rows]) == set(labels)
    assert cut_train(train, labels, small).tolist() == rows[:small].tolist()


@given(st.integers(1, 8), st.integers(1, 20), st.data())
def test_a_train_set_of_equal_classes_stays_equal(classes, each, data):
    labels = np.arange(classes * each) % classes
    size = data.draw(st.integers(classes, len(labels)))
    counts = np.bincount(labels[cut_train(np.arange(len(labels)), labels, size)])
    assert counts.max() - counts.min() <= 1


def test_a_small_train_set_keeps_the_proportions():
    labels = np.repeat([0, 1], [900, 100])
    rows = cut_train(np.random.default_rng(0).permutation(1000), labels, 100)
    assert np.bincount(labels[rows]).tolist() == [90, 10]


@pytest.mark.parametrize(
    ("train_size", "error", "message"),
    [
        (0, SettingError, "train_size is 0; give 1 or more."),
        (-3, SettingError, "train_size is -3; give 1 or more."),
        (7, DataError, "train_size is 7, but there are 6 rows to train on; give at most that."),
        (1, DataError, "train_size is 1, but there are 2 classes; give one row for each or more."),
    ],
)
def test_impossible_train_sizes(train_size, error, message):
    with pytest.raises(error) as raised:
        cut_train(np.arange(6), np.array([0, 0, 0, 1, 1, 1, 0, 1]), train_size)
    assert str(raised.value) == message


def test_rare_classes_are_refused_or_noticed():
    labels = np.repeat([0, 1, 2, 3], [10, 3, 2, 4])
    assert check_classes(labels, "abcd") == [
        "class 'b' has 3 rows, fewer than the four splits, so some split lacks it.",
        "class 'c' has 2 rows, fewer than the four splits, so some split lacks it.",
    ]
    with pytest.raises(DataError, match=r"^class 'e' has 1 row; a class needs rows to train and to test on: merge it"):
        check_classes(np.append(labels, 4), "abcde")
    with pytest.raises(DataError, match=r"^classes 'e', 'f' have 1 row each; "):
        check_classes(np.append(labels, [4, 5]), "abcdef")
