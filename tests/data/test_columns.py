"""What columns are taken for: identifiers, leaks, cells that are no numbers, many levels, dates, missing targets."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder

from calmix.column_use import ColumnUse
from calmix.data import Noisy, Splits, Symmetric, load, split_rows, split_sizes
from calmix.data.sources import Frame
from calmix.data.table.columns import Taken, numbers_the_rows, sentinel
from calmix.data.table.frames import table_splits
from calmix.data.table.leaks import leaks
from calmix.data.table.levels import PRIOR_ROWS, fit_level_means
from calmix.errors import DataError, SettingError, UnknownNameError

N = 300
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)
CLASSES = np.array(list("abc"))[RNG.integers(0, 3, N)]


def splits_of(
    target: str = "y",
    keep: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    seed: int = 0,
    train_size: int | None = None,
    **columns: object,
) -> Splits:
    frame = pd.DataFrame({"noise": NOISE, "y": CLASSES, **columns})
    options: Any = {"keep": keep, "drop": drop, "seed": seed, "train_size": train_size}
    return table_splits(frame, target, name="t", source="a test", **options)


def use_of(splits: Splits, name: str) -> ColumnUse:
    [found] = [column for column in splits.about.columns if column.name == name]
    return found


def notices(splits: Splits) -> str:
    return " ".join(splits.about.notices)


# ------------------------------------------------------------------------------------------------- the summary


def test_each_column_has_a_line_in_the_order_of_the_table():
    born = pd.date_range("2020-01-30", periods=N, freq="D").strftime("%Y-%m-%d").to_numpy(object)
    born[3] = None
    colour = np.array(["red", "blue", "green", None], object)[np.arange(N) % 4]
    splits = splits_of(born=born, colour=colour, flat=1, code=np.arange(N) + 1, more=NOISE * 2)
    found = {column.name: column for column in splits.about.columns}
    assert list(found) == ["noise", "y", "born", "colour", "flat", "code", "more"]
    assert found["noise"] == ColumnUse("noise", "number", 0, N, "number", 1)
    assert found["y"] == ColumnUse("y", "target", 0, 3, "classification")
    assert found["colour"] == ColumnUse("colour", "category", 75, 3, "one-hot", 3)
    assert (found["born"].taken_for, found["born"].missing) == ("date", 1)
    assert found["flat"] == ColumnUse("flat", "constant", 0, 1, note="always 1")
    assert found["code"] == ColumnUse("code", "identifier", 0, N, note="numbers the rows")
    assert sum(column.features for column in found.values()) == len(splits.about.features)


def test_columns_are_dropped_when_asked():
    splits = splits_of(drop=("noise",), other=NOISE**2, odd=[f"{i}?" for i in range(N)])
    assert splits.about.features[0] == "other"
    assert use_of(splits, "noise").note == "left out as asked"
    with pytest.raises(UnknownNameError, match="unknown column to drop 'nose'; did you mean 'noise'"):
        splits_of(drop=("nose",))
    with pytest.raises(SettingError, match="'y' is the target, and cannot be dropped"):
        splits_of(drop=("y",))
    with pytest.raises(SettingError, match="cannot be both kept and dropped"):
        splits_of(drop=("noise",), keep=("noise",))


# ------------------------------------------------------------------------------------------------ identifiers


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(40)), st.sampled_from([0, 1, 1000]), st.booleans(), st.integers(0, 3))
def test_numbers_of_rows_are_no_feature_in_whatever_order(order: list[int], start: int, whole: bool, lacking: int):
    values = np.array(order[lacking:], float) + start
    assert numbers_the_rows("anything", values, np.sort(values))
    frame = pd.DataFrame({"n": values.astype(int) if whole else values, "x": NOISE[: len(values)], "y": 1.0})
    frame["y"] = NOISE[-len(values) :]
    about = table_splits(frame, "y", name="t", source="s").about
    assert about.features == ("x",)
    assert "columns that number or name the rows are left out: 'n'" in " ".join(about.notices)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6).filter(lambda x: x % 1), min_size=12, max_size=40, unique=True))
def test_measurements_with_fractions_are_never_identifiers(values: list[float]):
    assert not numbers_the_rows("id", np.array(values), np.sort(values))


@pytest.mark.parametrize(
    ("name", "values", "identifies"),
    [
        ("year", np.arange(100) + 1871, False),  # as of the Nile
        ("income", RNG.permutation(10**6)[:N], False),
        ("weight", RNG.integers(0, 400, N), False),
        ("customer_id", RNG.permutation(10**6)[:N], True),
        ("rownames", np.arange(N) * 7, True),
        ("order no", np.arange(N) * 7, True),
        ("x", np.delete(np.arange(N), [5, 90, 200]), True),  # some rows were removed
        ("volcano", RNG.permutation(10**6)[:N], False),
    ],
)
def test_whole_numbers(name: str, values: np.ndarray, identifies: bool):
    assert numbers_the_rows(name, values.astype(float), np.unique(values.astype(float))) == identifies


def test_text_that_differs_in_each_row_is_an_identifier_and_sentences_are_text():
    codes = [f"A{i * 7919 % 1000:03}-{i}" for i in range(N)]
    said = [f"this is what person {i} said of it" for i in range(N)]
    splits = splits_of(code=codes, said=said)
    assert (use_of(splits, "code").taken_for, use_of(splits, "said").taken_for) == ("identifier", "text")
    assert splits.about.features == ("noise",)
    assert len(splits_of(code=codes, keep=("code",)).about.features) == 4  # a mean for each of three classes


def test_real_tables_lose_no_column_but_one_that_numbers_its_rows(real_data):
    lost = []
    for path in sorted((real_data / "tabular").glob("*/*.csv.gz")):
        if path.name.startswith("abalone"):  # classes of a single row
            continue
        about = load(str(path), target="target").about
        lost += [(path.name, use.name) for use in about.columns if not use.used_as and use.taken_for != "constant"]
        assert "alone, each" not in " ".join(about.notices), path.name
    assert lost == [("churn.csv.gz", "phone number")]


def test_numbers_with_many_gaps_are_a_measurement():
    """Of 60 rows: gaps of a third of the range, and of a fifteenth."""
    values = np.arange(60.0)
    many, few = values + values // 2, values + values // 15
    assert not numbers_the_rows("height", many, many)
    assert numbers_the_rows("height", few, few)


# ------------------------------------------------------------------------------------------------------ leaks


@pytest.mark.parametrize("leak", ["copy", "recoded as text", "recoded as numbers", "nearly"])
def test_a_column_that_tells_the_class_is_named(leak: str):
    ids = np.unique(CLASSES, return_inverse=True)[1]
    column = {
        "copy": CLASSES,
        "recoded as text": np.array(["x", "q", "m"])[ids],
        "recoded as numbers": np.array([3.0, -1.0, 8.0])[ids] + 0.1 * NOISE,
        "nearly": np.where(np.arange(N) == 5, "b", CLASSES),
    }[leak]
    said = notices(splits_of(known_later=column))
    assert "alone, each of these columns predicts 'y' all but perfectly: 'known_later'; leave out with --drop" in said


@pytest.mark.parametrize("leak", ["copy", "logarithm", "text with a unit"])
def test_a_column_that_tells_the_number_is_named(leak: str):
    price = np.round(np.exp(RNG.normal(size=N)) * 100, 2)
    column = {"copy": price, "logarithm": np.log(price), "text with a unit": [f"{p} EUR" for p in price]}[leak]
    splits = splits_of("price", price=price, known_later=column)
    assert "all but perfectly: 'known_later'" in notices(splits)
    assert "perfectly" not in notices(splits_of("price", price=price, hint=price + 20 * RNG.normal(size=N)))


def test_leaks_are_judged_on_all_rows_and_alike_for_every_seed():
    """Seven rows are of the rare class; a train split has four or five, too few to judge by."""
    rare = np.where(np.arange(N) % 43 == 0, "yes", "no")
    assert (rare == "yes").sum() == 7
    told = {notices(splits_of("bad", seed=seed, bad=rare, known_later=rare)) for seed in range(3)}
    assert len(told) == 1
    assert "all but perfectly: 'known_later'" in told.pop()
    assert "all but perfectly: 'known_later'" in notices(splits_of(known_later=CLASSES, train_size=20))


def test_rows_in_order_of_the_target_are_judged_as_others_are():
    """More than are looked at: the first 10,000 are of one class."""
    goal = np.repeat([0, 1], [15_000, 5_000])
    use = ColumnUse("x", "number", 0, 2)
    told, hint = (Taken(name, pd.Series(values), use) for name, values in (("x", goal * 2.0), ("y", goal * 0 + 1.0)))
    assert leaks([told, hint], goal) == ["x"]


def test_a_close_measurement_is_no_leak():
    price = RNG.normal(size=N)
    close = price + 0.1 * RNG.normal(size=N)
    assert 0.98 < np.corrcoef(price, close)[0, 1] < 0.999
    assert "perfectly" not in notices(splits_of("price", price=price, close=close))


def test_strong_columns_are_no_leaks():
    ids = np.unique(CLASSES, return_inverse=True)[1]
    strong = np.where(RNG.random(N) < 0.9, ids, RNG.integers(0, 3, N))
    many = [f"v{i % 140}" for i in range(N)]  # each but twice: what they tell is chance
    assert "perfectly" not in notices(splits_of(strong=strong, names=np.array(list("xyz"))[strong], many=many))


# ------------------------------------------------------------------------------------ cells that are no numbers


def numbers(*odd: object) -> list[object]:
    return [*odd, *(f"{x:.4f}" for x in NOISE[len(odd) :])]


def test_a_few_odd_cells_are_missing_and_shown():
    splits = splits_of(size=numbers(">100", ">100", "3,750", "n/a?", "--", "unknown"))
    assert use_of(splits, "size").taken_for == "number"
    assert use_of(splits, "size").missing == 6
    assert use_of(splits, "size").features == 2  # and whether it is missing
    assert "3 of 297 cells are no numbers and count as missing: '>100' (2), '3,750'" in notices(splits)


@pytest.mark.parametrize("form", ["{} kg", "{}kg", "${}", "{} %", "EUR {}", "{}°C"])
def test_a_unit_that_all_cells_share_is_understood(form: str):
    cells = [form.format(round(abs(x), 3)) for x in NOISE]
    splits = splits_of(size=cells)
    plain = splits_of(size=np.round(np.abs(NOISE), 3))
    torch.testing.assert_close(splits.train.x, plain.train.x)
    assert use_of(splits, "size").note.startswith("in ")


@pytest.mark.parametrize(
    "cells",
    [
        numbers(*[f">{i}" for i in range(30)]),
        [f"{i},5" for i in range(N)],
        [f"{i} kg" if i % 2 else f"{i}" for i in range(N)],
    ],
    ids=["odd", "commas", "units"],
)
def test_many_odd_cells_are_refused_unless_kept(cells: list[object]):
    with pytest.raises(DataError, match=r"column 'size': \d+ of 300 cells are no plain .*; mend .*--drop.*--keep"):
        splits_of(size=cells)
    assert use_of(splits_of(size=cells, keep=("size",)), "size").taken_for == "category"
    assert splits_of(size=cells, drop=("size",)).about.features == ("noise",)


@pytest.mark.parametrize(
    "cells",
    [
        [f"A{i % 40}" for i in range(N)],
        [f"{i % 10}{'ABCD'[i % 4]}" for i in range(N)],
        ["0", "1", "2", "3+"] * 75,
        ["1-2", "3-4", "5-9"] * 100,
    ],
    ids=["A12", "12A", "3+", "ranges"],
)
def test_codes_of_letters_and_digits_are_categories(cells: list[str]):
    use = use_of(splits_of(code=cells), "code")
    assert (use.taken_for, use.used_as, use.features) == ("category", "one-hot", len(set(cells)))


def test_numbers_and_some_words_of_few_levels_are_categories_with_a_notice():
    splits = splits_of(rooms=["0", "1", "2", "3", "4", "5", "6", "7", "8", "9+"] * 30)
    assert use_of(splits, "rooms").used_as == "one-hot"
    assert "column 'rooms': 30 of 300 cells are no plain numbers: '9+' (30); as there are 10 levels" in notices(splits)


def test_numbers_that_stand_for_missing_cells_are_named_and_kept():
    splits = splits_of(age=np.where(np.arange(N) % 50 == 0, -999, 40 + 9 * NOISE))
    assert "column 'age' holds -999 in 6 rows, far from all other values" in notices(splits)
    assert use_of(splits, "age").missing == 0
    assert sentinel(np.array([1.0, 50.0, 99.0, 120.0])) is None
    assert sentinel(np.array([10.0, 50.0, 9999.0])) == 9999


# ------------------------------------------------------------------------------------------------ many levels

TAILS = np.array([f"N{i}" for i in RNG.integers(0, 80, N)])


def test_many_levels_are_few_features():
    assert use_of(splits_of(tail=TAILS), "tail").features == 3
    about = splits_of("noise", tail=TAILS).about
    assert about.task == "regression"
    assert "tail_mean" in about.features
    two = splits_of(y=np.where(CLASSES == "a", "a", "b"), tail=TAILS)
    assert (use_of(two, "tail").used_as, use_of(two, "tail").features) == ("target encoding", 1)
    assert "columns of more than 50 levels" in notices(two)
    many = pd.DataFrame({"y": np.arange(N) % 60, "tail": TAILS})
    assert len(table_splits(many, "y", name="t", source="s", task="classification").about.features) == 50


def test_only_training_targets_are_in_the_means():
    frame = pd.DataFrame({"tail": TAILS, "y": NOISE})
    before = table_splits(frame, "y", name="t", source="s")
    train = np.isin(np.arange(N), split_rows(None, split_sizes(N), np.random.default_rng(0))[0])
    changed = frame.assign(y=np.where(train, NOISE, NOISE[::-1] + 100))
    after = table_splits(changed, "y", name="t", source="s")
    torch.testing.assert_close(before.train.x, after.train.x)
    torch.testing.assert_close(before.test.x, after.test.x)


@pytest.mark.parametrize("kind", ["continuous", "binary", "multiclass"])
def test_means_by_level_are_those_of_scikit_learn(kind: str):
    y = {"continuous": NOISE, "binary": (NOISE > 0).astype(int), "multiclass": np.arange(N) % 4}[kind]
    ours, _ = fit_level_means("tail", TAILS.astype(object), y)
    options: Any = {"target_type": kind, "smooth": float(PRIOR_ROWS)}
    theirs = TargetEncoder(**options).fit(TAILS[:, None], y)
    new = np.append(TAILS, "never seen")
    back = ours(new.astype(object)) * ours.scale + ours.shift
    np.testing.assert_allclose(back, theirs.transform(new[:, None]), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_own_target_of_a_training_row_does_not_tell_on_it(seed: int):
    rng = np.random.default_rng(seed)
    levels, y = rng.integers(0, 9, 60).astype(str).astype(object), rng.normal(size=60)
    changed = y.copy()
    changed[7] += 100
    before, after = (
        x * encoder.scale + encoder.shift
        for encoder, x in (fit_level_means("l", levels, goal) for goal in (y, changed))
    )
    np.testing.assert_allclose(before[7], after[7])


def test_levels_of_noise_tell_a_training_row_nothing():
    """Without folds, a level of its own would tell a row's target: the correlation would be near 1."""
    _, encoded = fit_level_means("row", np.arange(N).astype(str).astype(object), NOISE)
    assert abs(np.corrcoef(encoded[:, 0], NOISE)[0, 1]) < 0.3


def test_label_noise_and_means_of_labels_do_not_go_together():
    frame = pd.DataFrame({"tail": TAILS, "noise": NOISE, "y": CLASSES})
    with pytest.raises(DataError, match=r"'tail' are encoded by labels.*--drop"):
        Noisy(Frame(frame, "y"), Symmetric(0.2)).splits(0)
    Noisy(Frame(frame, "y", drop=("tail",)), Symmetric(0.2)).splits(0)


# ------------------------------------------------------------------------------------------------------ dates


def test_dates_become_parts_that_vary():
    moments = pd.Series(pd.date_range("2021-03-05 06:00", periods=N, freq="7h"))
    splits = splits_of(at=moments)
    assert set(splits.about.features) == {"noise", "at", "at_month", "at_day", "at_weekday", "at_hour"}
    place = splits.about.features.index("at_hour")
    hours = np.unique(splits.train.x[:, place].numpy())
    assert len(hours) == 24
    assert "dates become numbers" in notices(splits)


@pytest.mark.parametrize(
    ("form", "day_first"), [("%d/%m/%Y", True), ("%m/%d/%Y", False), ("%d.%m.%Y", True), ("%Y-%m-%d", False)]
)
def test_day_and_month_are_told_apart_by_the_whole_column(form: str, day_first: bool):
    moments = pd.Series(pd.date_range("2021-01-01", periods=N, freq="D"))
    text, true = splits_of(at=moments.dt.strftime(form)), splits_of(at=moments)
    assert text.about.features == true.about.features
    torch.testing.assert_close(text.train.x, true.train.x)


def test_a_missing_date_is_marked_once():
    moments = pd.Series(pd.date_range("2021-01-01", periods=N, freq="D"))
    moments[5:40] = pd.NaT
    features = splits_of(at=moments).about.features
    assert [name for name in features if name.startswith("missing")] == ["missingindicator_at"]


# ------------------------------------------------------------------------------------------------- the target


def test_rows_without_a_target_are_left_out_and_counted():
    y = CLASSES.astype(object)
    y[:30] = None
    splits = splits_of(y=y, number=np.arange(N))
    assert "30 of 300 rows have no 'y' and are left out." in splits.about.notices
    sizes = [len(part) for part in (splits.train, splits.validation, splits.calibration, splits.test)]
    assert sum(sizes) == N - 30
    assert use_of(splits, "y").missing == 30
    assert use_of(splits, "number").taken_for == "identifier"  # also of the rows that are left
    same = pd.DataFrame({"noise": NOISE[30:], "y": CLASSES[30:]})
    torch.testing.assert_close(splits.train.x, table_splits(same, "y", name="t", source="s").train.x)


def test_a_target_with_a_unit_is_a_number():
    about = splits_of("price", price=[f"${100 + 10 * x:.2f}" for x in NOISE]).about
    assert about.task == "regression"
    assert about.target_mean == pytest.approx(100, abs=3)


def test_names_of_classes_are_no_markers_of_missing_cells():
    about = splits_of("kind", kind=np.array(["none", "unknown", "1"])[np.arange(N) % 3]).about
    assert about.classes == ("1", "none", "unknown")
