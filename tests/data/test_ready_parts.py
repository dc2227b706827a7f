"""Ready-made test and validation parts: encoded as new rows are, numbered as in their files, no rows to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from calmix.data import Frame, Splits, TableFile, load
from calmix.data.sources import in_folds
from calmix.data.splits import SHARES, split_rows, split_sizes
from calmix.data.table.given import TableRows
from calmix.data.table.new_rows import TableEncoding
from calmix.errors import DataError, SettingError

RNG = np.random.default_rng(3)


def table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(4)
    return pd.DataFrame(
        {
            "x": x,
            "mass": [f"{m:.2f} kg" for m in rng.normal(70, 9, n)],
            "city": rng.choice(["Oslo", "Lima"], n),
            "tail": [f"N{i}" for i in rng.integers(0, 60, n)],
            "y": np.where(x > 0.3, "yes", "no"),
        }
    )


TRAIN, TEST = table(300), table(80, seed=1)


def frame_splits(test: Any = TEST, seed: int = 0, **options) -> Splits:
    return Frame(TRAIN, "y", test=test, **options).splits(seed)


def test_every_seed_has_the_test_file_and_draws_the_others_as_before_among_themselves():
    labels = (TRAIN.y == "yes").to_numpy(int)
    first, other = frame_splits(), frame_splits(seed=1)
    drawn = split_rows(labels, split_sizes(300, SHARES[:3]), np.random.default_rng(0))
    assert [len(part) for part in (first.train, first.validation, first.calibration, first.test)] == [225, 38, 37, 80]
    np.testing.assert_array_equal(first.train.y.numpy(), labels[drawn[0]])
    np.testing.assert_array_equal(first.test.y.numpy(), (TEST.y == "yes").to_numpy(int))
    assert other.test.y.equal(first.test.y)
    assert not other.train.x.equal(first.train.x)


def test_with_a_validation_file_calibration_rows_are_drawn_from_the_training_file():
    splits = frame_splits(validation=table(50, seed=2))
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration, splits.test)] == [
        257,
        50,
        43,
        80,
    ]
    alone = Frame(TRAIN, "y", validation=table(50, seed=2)).splits(0)
    assert [len(part) for part in (alone.train, alone.validation, alone.calibration, alone.test)] == [200, 50, 33, 67]
    np.testing.assert_array_equal(splits.validation.y.numpy(), (table(50, seed=2).y == "yes").to_numpy(int))


def test_the_test_rows_are_encoded_as_new_rows_are_by_the_training_split_alone():
    splits = frame_splits()
    assert isinstance(splits.encoding, TableEncoding)
    np.testing.assert_array_equal(splits.test.x.numpy(), splits.encoding(TEST).x[:].numpy())
    shifted = frame_splits(TEST.assign(x=TEST.x + 100))
    assert shifted.train.x.equal(splits.train.x)
    place = splits.about.features.index("x")
    np.testing.assert_allclose((shifted.test.x - splits.test.x)[:, place], 100 / TRAIN.x.std(), rtol=0.2)


def test_targets_of_a_regression_are_standardised_by_the_training_split():
    goal = pd.Series(RNG.normal(50, 4, 300))
    test = TEST.assign(y=RNG.normal(90, 4, 80))
    splits = Frame(TRAIN.assign(y=goal), "y", test=test).splits(0)
    std, mean = splits.about.target_std, splits.about.target_mean
    assert isinstance(std, float)
    assert isinstance(mean, float)
    back = splits.test.y[:, 0].double() * std + mean
    np.testing.assert_allclose(back.numpy(), test.y, rtol=1e-5)
    assert splits.train.y.mean().abs() < 1e-5


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    TRAIN.to_csv(train, index=False)
    TEST.assign(y=TEST.y.mask(TEST.index == 4)).to_csv(test, index=False)
    return train, test


def test_test_rows_are_numbered_as_in_their_file(files: tuple[Path, Path]):
    splits = TableFile(files[0], "y", test=files[1]).splits(0)
    assert splits.given is not None
    lines = [line for line in range(2, 82) if line != 6]  # line 1 is the header, and line 6 has no target
    assert splits.given.tested.tolist() == lines
    assert (splits.given.unit, splits.given.note) == ("line", "Lines are those of test.csv, counted from 1.")
    assert "test.csv: 1 of 80 rows have no 'y' and are left out." in splits.about.notices
    assert "the test split is test.csv (79 rows), whatever the seed." in splits.about.notices
    text = splits.given.of_test()
    assert text.tested.tolist() == lines


def test_what_is_unusual_of_a_test_row_is_judged_among_the_rows_of_both_files():
    test = TEST.assign(x=TEST.x.where(TEST.index != 7, 55.5))
    splits = frame_splits(test)
    assert splits.given is not None
    (unusual,) = splits.given.unusual([7])
    assert (unusual[0].column, unusual[0].value, unusual[0].side) == ("x", "55.5", 1)
    assert unusual[0].share == pytest.approx(379 / 380)


def test_the_text_and_the_digest_of_a_run_cover_all_files(files: tuple[Path, Path]):
    train, test = files
    plain, given = TableFile(train, "y"), TableFile(train, "y", test=test)
    assert "test=" not in repr(plain)
    assert repr(given) == repr(plain)[:-1] + f", test={test!r})"
    before = given.splits(0).about.digest
    assert before != plain.splits(0).about.digest
    TEST[:60].to_csv(test, index=False)
    assert given.splits(0).about.digest != before
    assert len(given.splits(0).test) == 60
    own = Frame(TRAIN, "y")
    assert repr(Frame(TRAIN, "y", test=TEST)) != repr(own) != repr(Frame(TRAIN, "y", test=TEST[:60]))
    assert repr(own).endswith("'y', None, None, (), ())")


def test_files_that_change_places_are_other_data(tmp_path: Path):
    names = tmp_path / "a.csv", tmp_path / "b.csv"
    digests = []
    for frames in ((TRAIN, TEST), (TEST, TRAIN)):
        for name, frame in zip(names, frames, strict=True):
            frame.to_csv(name, index=False)
        digests.append(TableFile(names[0], "y", test=names[1]).splits(0).about.digest)
    assert digests[0] != digests[1]


def test_loading_takes_both_files(files: tuple[Path, Path]):
    splits = load(str(files[0]), target="y", test=files[1])
    assert len(splits.test) == 79


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "the test frame: the table lacks the column 'y', which the training file has; add it"),
        ({"x": None}, "the test frame: the table lacks columns that the network was trained on: 'x'"),
        ({"x": "much"}, "the test frame: column 'x' held numbers in training, and holds 'much' here"),
        ({"mass": "11 lb"}, "the test frame: column 'mass' was in 'kg' in training, and is in 'lb' here; convert"),
        (
            {"y": "maybe"},
            "the test frame: target 'y' has classes that no row of the training file has: 'maybe', in 80 rows, such as "
            "row 0; a network cannot learn them",
        ),
    ],
)
def test_a_part_that_does_not_fit_is_refused_in_one_sentence(change: dict[str, str | None], message: str):
    test = TEST.copy()
    for name, value in change.items():
        test = test.drop(columns=name) if value is None else test.assign(**{name: value})
    with pytest.raises(DataError, match=message):
        frame_splits(test)


def test_a_target_of_numbers_is_refused_in_another_unit_or_as_words():
    train = TRAIN.assign(y=[f"{v:.3f} m" for v in RNG.normal(size=300)])
    for cells, message in (
        ([f"{v:.3f} km" for v in RNG.normal(size=80)], "target 'y' has 'km', and 'm' in the training file; convert"),
        (["tall"] * 80, "target 'y' is numbers in the training file, and holds 'tall'; give numbers"),
    ):
        with pytest.raises(DataError, match=message):
            Frame(train, "y", "regression", test=TEST.assign(y=cells)).splits(0)


def test_unknown_levels_and_numbers_without_a_unit_are_told():
    splits = frame_splits(TEST.assign(city="Rome", mass=RNG.normal(70, 9, 80)))
    told = "\n".join(splits.about.notices)
    assert "the test frame: column 'city': 80 of 80 rows have values that no training row had" in told
    assert "column 'mass' had 'kg' in training, and has no unit here: its numbers are taken as they are." in told


def test_rows_that_stand_in_both_files_are_told_and_a_file_of_such_rows_is_refused():
    test = pd.concat([TRAIN[10:13], TEST], ignore_index=True)
    (told,) = [notice for notice in frame_splits(test).about.notices if "in all columns that are used" in notice]
    assert told == (
        "3 of 83 rows of the test frame hold the same as a row of a DataFrame in all columns that are used, such as "
        "row 0 (in a DataFrame itself 0 % of the rows repeat others); if they are the same cases, remove them from "
        "one of the files."
    )
    assert not [notice for notice in frame_splits().about.notices if "in all columns that are used" in notice]
    with pytest.raises(DataError, match="every row of the test frame stands in a DataFrame, too, and a test split of"):
        frame_splits(TRAIN[20:60])
    with pytest.raises(DataError, match="every row of the test frame stands in the validation frame, too"):
        frame_splits(validation=TEST)


def test_a_row_with_another_target_is_another_row():
    test = pd.concat([TRAIN[10:20].assign(y="yes"), TEST], ignore_index=True)
    same = int((TRAIN.y[10:20] == "yes").sum())
    told = [notice for notice in frame_splits(test).about.notices if "in all columns that are used" in notice]
    assert 0 < same < 10
    assert told[0].startswith(f"{same} of 90 rows")


def test_one_file_is_no_two_parts(files: tuple[Path, Path]):
    train, test = files
    with pytest.raises(SettingError, match=r"--test is .*train\.csv, the training file; give a file of other rows"):
        TableFile(train, "y", test=train.parent / "." / train.name).splits(0)
    with pytest.raises(SettingError, match=r"--test is .*test\.csv, the file of the validation split"):
        TableFile(train, "y", test=test, validation=test).splits(0)
    with pytest.raises(SettingError, match="test is for tables, and wine is one of the data sets with a name"):
        load("wine", test=test)


def test_folds_are_refused_with_the_remedy():
    parts: Any
    for parts, said in (
        ({"test": TEST}, "--test give"),
        ({"test": TEST, "validation": TEST}, "--test and --validation"),
    ):
        with pytest.raises(SettingError, match=f"{said}.* folds draw them all; give seeds instead"):
            in_folds(Frame(TRAIN, "y", **parts), 5)


def test_classes_are_told_by_their_names_whatever_the_files_took_them_for():
    train = TRAIN.assign(y=np.where(TRAIN.y == "yes", 1, 0))
    test = TEST.assign(y=np.where(TEST.y == "yes", "1", "0"))
    splits = Frame(train, "y", test=test).splits(0)
    np.testing.assert_array_equal(splits.test.y.numpy(), (TEST.y == "yes").to_numpy(int))


def test_rows_are_called_by_their_numbers():
    rows: NDArray[np.int64] = np.array([2, 5, 9])
    assert TableRows(TEST.iloc[:3], "t.csv", rows, "line").where(1) == "line 5"
