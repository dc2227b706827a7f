"""Rows of a group stay together, rows follow one another in time, and rows are drawn by their weights."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.data import Folds, Frame, Splits, TableFile
from calmix.data.sources import in_folds
from calmix.data.splits import FOLDS, PARTS, SHARES, Fold
from calmix.data.table.drawing import parts_by_group, parts_by_time, split_groups
from calmix.errors import DataError, SettingError, UnknownNameError

N = 400
RNG = np.random.default_rng(0)
PATIENT = RNG.integers(0, 45, N)
DAY = pd.DatetimeIndex(np.datetime64("2020-01-01") + RNG.integers(0, 300, N))
FRAME = pd.DataFrame(
    {
        "x": np.arange(N) / N,  # tells a row from any other
        "patient": [f"p{i}" for i in PATIENT],
        "day": DAY.strftime("%d/%m/%Y"),
        "w": RNG.integers(0, 4, N).astype(float),
        "y": RNG.choice(["no", "yes"], N, p=[0.8, 0.2]),
    }
)


def places(splits: Splits) -> list[np.ndarray]:
    """The rows of the frame that each split holds, by their x."""
    x = splits.about.features.index("x")
    known = np.concatenate([getattr(splits, part).x[:, x].numpy() for part in PARTS])
    ranks = np.argsort(np.argsort(known))
    return np.split(ranks, np.cumsum([len(getattr(splits, part)) for part in PARTS])[:-1])


# ------------------------------------------------------------------------------------------------------- groups


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=5, max_size=40), st.integers(1, 4), st.integers(0, 50))
def test_groups_stay_together_and_no_part_is_empty(sizes: list[int], classes: int, seed: int):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    groups, labels = groups[order], rng.integers(0, classes, len(groups))
    parts = split_groups(labels, groups, SHARES, np.random.default_rng(seed))
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(groups)))
    held = [set(groups[rows].tolist()) for rows in parts]
    assert all(held)
    assert sum(map(len, held)) == len(sizes)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_sizes_and_classes_are_near_their_shares(rate: float):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 60, 1000)
        labels = (rng.random(1000) < rate).astype(int)
        parts = parts_by_group(labels, groups, seed)
        shares = np.array([np.bincount(labels[rows], minlength=2) / np.bincount(labels) for rows in parts])
        np.testing.assert_allclose(shares, np.outer([0.6, 0.1, 0.1, 0.2], [1, 1]), atol=0.025)


def test_a_large_group_comes_to_any_part():
    """Dealt by size, it would be trained on in every seed, and never tested."""
    groups = np.concatenate([np.zeros(40, int), np.repeat(np.arange(1, 81), 5)])
    tested = [0 in groups[parts_by_group(None, groups, seed)[3]] for seed in range(200)]
    assert 0.1 < np.mean(tested) < 0.35


def test_every_group_is_tested_once_in_the_folds_of_a_repeat():
    labels = (FRAME.y == "yes").to_numpy(int)
    drawn = [parts_by_group(labels, PATIENT, Fold(number, 5)) for number in range(5)]
    assert np.array_equal(np.sort(np.concatenate([parts[3] for parts in drawn])), np.arange(N))
    for parts in drawn:
        held = [set(PATIENT[rows].tolist()) for rows in parts]
        assert sum(map(len, held)) == len(set(PATIENT.tolist()))
        assert abs(len(parts[3]) - N / 5) <= 8
        assert abs(len(parts[0]) - 0.75 * 0.8 * N) <= 12
    other = parts_by_group(labels, PATIENT, Fold(0, 5, repeat=1))
    assert set(other[3]) != set(drawn[0][3])
    assert FOLDS != 0


def test_splits_and_folds_of_a_table_follow_the_groups_and_do_not_learn_from_them():
    source = Frame(FRAME, "y", group="patient", drop=("day", "w"))
    for splits in (source.splits(0), source.splits(1), Folds(source, 4).splits(2)):
        held = [set(PATIENT[rows].tolist()) for rows in places(splits)]
        assert sum(map(len, held)) == len(set(PATIENT.tolist()))
        assert splits.about.features == ("x",)
    first, again = source.splits(0), Frame(FRAME, "y", group="patient", drop=("day", "w")).splits(0)
    assert first.train.x.equal(again.train.x)
    (use,) = [column for column in first.about.columns if column.name == "patient"]
    assert (use.taken_for, use.used_as, use.features, use.levels) == ("group", "splits by group", 0, 45)
    (told,) = [notice for notice in first.about.notices if "'patient'" in notice]
    counts = ", ".join(f"{part} {len(set(PATIENT[rows]))}" for part, rows in zip(PARTS, places(first), strict=True))
    assert told == f"splits are by 'patient': all rows of a group stand in one split (groups: {counts})."


def test_numbers_and_texts_of_a_group_are_one():
    """A file of numbers alone holds 3.0 where another, with a word among them, holds '3'."""
    test = FRAME[:60].assign(x=RNG.normal(size=60), patient=["new" if i % 2 else str(i) for i in PATIENT[:60]])
    with pytest.raises(
        DataError, match="rows of one 'patient' stand in a DataFrame and in the test frame: '0', '12', "
    ):
        Frame(FRAME[60:].assign(patient=PATIENT[60:].astype(float)), "y", group="patient", test=test).splits(0)


def test_groups_of_one_row_are_told_and_too_few_are_refused():
    own = Frame(FRAME.assign(patient=np.arange(N)), "y", group="patient").splits(0)
    assert "every row has its own 'patient', so that splits are drawn row by row." in own.about.notices
    with pytest.raises(DataError, match="3 groups cannot be split into 4 parts, as rows of one group stay together"):
        Frame(FRAME.assign(patient=PATIENT % 3), "y", group="patient").splits(0)
    with pytest.raises(DataError, match="45 groups cannot be split into 46 parts"):
        in_folds(Frame(FRAME, "y", group="patient"), 46).splits(0)


def test_a_group_in_the_training_and_in_the_test_file_is_refused():
    test = FRAME[:60].assign(x=RNG.normal(size=60))
    with pytest.raises(
        DataError, match=r"rows of one 'patient' stand in a DataFrame and in the test frame: 'p0', .* more"
    ):
        Frame(FRAME[60:], "y", group="patient", test=test).splits(0)
    others = test.assign(patient=[f"q{i}" for i in PATIENT[:60]])
    splits = Frame(FRAME[60:], "y", group="patient", test=others).splits(0)
    assert len(splits.test) == 60
    with pytest.raises(DataError, match="the test frame: the table lacks the column 'patient'"):
        Frame(FRAME[60:], "y", group="patient", test=others.drop(columns="patient")).splits(0)


# --------------------------------------------------------------------------------------------------------- time


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=120), st.integers(0, 9))
def test_parts_follow_one_another_and_no_moment_stands_in_two(times: list[int], seed: int):
    moments = np.array(times, float)
    if len(set(times)) < 4:
        return
    parts = parts_by_time(moments, seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(times)))
    assert all(len(rows) for rows in parts)
    for before, after in pairwise(parts):
        assert moments[before].max() < moments[after].min()


def test_borders_are_moved_no_farther_than_to_the_nearest_change():
    moments = np.repeat(np.arange(50.0), 4)
    sizes = [len(rows) for rows in parts_by_time(np.random.default_rng(0).permutation(moments), 0)]
    assert sizes == [120, 20, 20, 40]
    uneven = np.repeat([0.0, 1, 2, 3, 4], [57, 6, 17, 9, 11])
    assert [len(rows) for rows in parts_by_time(uneven, 0)] == [57, 6, 17, 20]


@pytest.mark.parametrize("column", ["day", "when"])
def test_splits_of_a_table_follow_dates_and_numbers_alike(column: str):
    days = np.asarray((DAY - np.datetime64("2020-01-01")) // np.timedelta64(1, "D"), np.int64)
    frame = FRAME.assign(when=days * 0.5)
    source = Frame(frame, "y", time=column, drop=("patient", "w", "when" if column == "day" else "day"))
    first, other = source.splits(0), source.splits(5)
    held = places(first)
    for before, after in pairwise(held):
        assert days[before].max() < days[after].min()
    assert [set(rows) for rows in held] == [set(rows) for rows in places(other)]
    assert first.test.x.equal(other.test.x)
    assert first.about.features == ("x",)
    (use,) = [one for one in first.about.columns if one.name == column]
    assert (use.taken_for, use.used_as, use.note) == ("time", "splits by time", "not learned from")


def test_the_notice_says_where_rows_to_train_on_end_and_the_test_split_begins():
    splits = Frame(FRAME, "y", time="day").splits(0)
    held = places(splits)
    ends, begins = str(DAY[held[0]].max())[:10], str(DAY[held[3]].min())[:10]
    said = f"whatever the seed: rows to train on end at {ends}, the test split begins at {begins}."
    assert f"splits are in the order of 'day', {said}" in splits.about.notices
    assert any(notice.startswith("every seed tests the same rows") for notice in splits.about.notices)


def test_a_time_that_is_kept_is_learned_from_too():
    splits = Frame(FRAME, "y", time="day", keep=("day",)).splits(0)
    assert "day_month" in splits.about.features
    (use,) = [one for one in splits.about.columns if one.name == "day"]
    assert (use.used_as, use.note) == ("date parts", "splits by time")


def test_folds_in_time_and_times_that_cannot_be_split_are_refused():
    source = Frame(FRAME, "y", time="day")
    with pytest.raises(SettingError, match="the order of time are the same in every fold; give seeds, or --group"):
        in_folds(source, 5)
    with pytest.raises(DataError, match="3 different times cannot be split into 4 parts"):
        Frame(FRAME.assign(day=PATIENT % 3), "y", time="day").splits(0)
    with pytest.raises(DataError, match="'day' is to hold the time of rows, and holds 'soon'; give dates such as"):
        Frame(FRAME.assign(day="soon"), "y", time="day").splits(0)


def test_a_ready_made_part_must_follow_in_time():
    part = FRAME[:50].assign(x=RNG.normal(size=50))
    late, later = part.assign(day="01/02/2022"), part.assign(day="02/02/2022", x=part.x + 1)

    def splits(**ready: Any) -> Splits:
        return Frame(FRAME[50:], "y", time="day", **ready).splits(0)

    assert len(splits(test=later, validation=late).test) == 50
    for ready, message in (
        ({"test": part}, "by 'day', some rows of the validation split are not earlier than all rows of the test split"),
        (
            {"test": late, "validation": late.assign(x=0.5)},
            "some rows of the validation split are not earlier than all",
        ),
        ({"validation": part}, "some rows to train on are not earlier than all rows of the validation split"),
        ({"test": part.assign(day=5.0)}, "'day' holds dates in one of the files, and numbers in another"),
    ):
        with pytest.raises(DataError, match=message):
            splits(**ready)


# ------------------------------------------------------------------------------------------------------ weights


def test_weights_go_with_the_rows_that_are_trained_on():
    splits = Frame(FRAME, "y", weight="w", train_size=150).splits(0)
    assert splits.train_weights is not None
    np.testing.assert_array_equal(splits.train_weights.numpy(), FRAME.w.to_numpy()[places_of_train(splits)])
    (told,) = [notice for notice in splits.about.notices if "'w'" in notice]
    weights = splits.train_weights
    worth, zeros = (weights.sum() ** 2 / weights.square().sum()).item(), int((weights == 0).sum())
    assert told == (
        f"rows to train on are drawn in proportion to 'w': 150 rows, worth about {worth:.0f} of equal weight; {zeros} "
        "of weight 0 are not trained on. Metrics count every row once."
    )
    assert "w" not in splits.about.features


def places_of_train(splits: Splits) -> np.ndarray:
    """Of a training split that was cut: x is linear in the place."""
    x = splits.train.x[:, splits.about.features.index("x")].double().numpy()
    assert splits.given is not None
    test = splits.test.x[:, splits.about.features.index("x")].double().numpy()
    slope, zero = np.polyfit(test, splits.given.tested, 1)
    return (slope * x + zero).round().astype(int)


def test_equal_weights_change_nothing():
    splits = Frame(FRAME.assign(w=2.5), "y", weight="w").splits(0)
    assert splits.train_weights is None
    assert "all rows to train on have the same weight in 'w', which changes nothing." in splits.about.notices
    assert splits.train.x.equal(Frame(FRAME, "y", drop=("w",)).splits(0).train.x)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            FRAME.w.where(FRAME.index != 3, -1.5),
            "holds weights below 0 in 1 of 400 rows, such as -1.5 in row 3; give",
        ),
        (FRAME.w.where(FRAME.index != 3), "is empty in 1 of 400 rows, such as row 3; every row needs a weight"),
        (
            FRAME.w.where(FRAME.index != 3, np.inf),
            "values that are infinite or beyond float32; give a number",
        ),
        (FRAME.x * 0, "all rows to train on have the weight 0 in 'w'; give some more than 0"),
        (FRAME.y, "is to hold the weight of rows, and holds 'no', 'yes'; give a number of at least 0"),
    ],
)
def test_weights_that_are_none_are_refused(cells: pd.Series, message: str):
    with pytest.raises(DataError, match=message):
        Frame(FRAME.assign(w=cells), "y", weight="w").splits(0)


# ---------------------------------------------------------------------------------------------- columns and roles


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"group": "pateint"}, UnknownNameError, "unknown group column 'pateint'; did you mean 'patient'"),
        ({"weight": "y"}, SettingError, "'y' is the target, and cannot be the weight column, too"),
        ({"group": "patient", "drop": ("patient",)}, SettingError, "which is not learned from; leave it out of --drop"),
        ({"group": "patient", "keep": ("patient",)}, SettingError, "cannot be learned from; leave it out of --keep"),
        ({"weight": "w", "keep": ("w",)}, SettingError, "cannot be learned from; leave it out of --keep"),
        ({"group": "patient", "time": "day"}, SettingError, "splits cannot follow both --group and --time; give one"),
        ({"group": "w", "weight": "w"}, SettingError, "'w' cannot be two of group, time and weight"),
    ],
)
def test_columns_that_cannot_have_a_role_are_refused(options: dict, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Frame(FRAME, "y", **options).splits(0)


@pytest.mark.parametrize(("role", "column"), [("group", "patient"), ("time", "day")])
def test_an_empty_cell_is_named_by_its_line(tmp_path: Path, role: str, column: str):
    path = tmp_path / "t.csv"
    cells = FRAME[column].where(~FRAME.index.isin([5, 9]), None)
    target = FRAME.y.where(FRAME.index != 5, None)  # the row is left out, so its group is not looked at
    FRAME.assign(**{column: cells, "y": target}).to_csv(path, index=False)
    options: dict[str, Any] = {role: column}
    with pytest.raises(DataError, match=f"column '{column}' is empty in 1 of 399 rows, such as line 11; every"):
        TableFile(path, "y", **options).splits(0)


def test_the_text_of_a_run_names_the_roles_that_are_used():
    path = Path("t.csv")
    assert repr(TableFile(path, "y", group="g")) == repr(TableFile(path, "y"))[:-1] + ", group='g')"
    assert repr(Frame(FRAME, "y", time="day")) == repr(Frame(FRAME, "y"))[:-1] + ", time='day')"


def test_what_is_drawn_without_roles_is_what_was_drawn_before():
    splits = Frame(FRAME, "y").splits(3)
    from calmix.data.splits import draw_parts

    parts = draw_parts((FRAME.y == "yes").to_numpy(int), N, 3)
    assert [rows.tolist() for rows in places(splits)] == [rows.tolist() for rows in parts]
    assert splits.train_weights is None
    assert torch.isfinite(splits.train.x).all()
