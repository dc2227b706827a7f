"""Tables: what is read, what is refused and how, and that nothing is learned from rows outside train."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from calmix.data import Splits, TableFile, load, split_rows, split_sizes
from calmix.data.table.files import read_table
from calmix.data.table.frames import table_splits
from calmix.errors import CalmixError, DataError, UnknownNameError

N = 60
LABELS = np.arange(N) % 3
TRAIN, VALIDATION, CALIBRATION, TEST = split_rows(LABELS, split_sizes(N), np.random.default_rng(0))


def example(**columns) -> pd.DataFrame:
    """60 rows, three classes a, b, c and a noisy column, with the given columns in front."""
    noise = np.random.default_rng(7).normal(size=N)
    return pd.DataFrame({**columns, "noise": noise, "target": np.array(list("abc"))[LABELS]})


def splits_of(frame: pd.DataFrame, target: str | None = "target", **options) -> Splits:
    return table_splits(frame, target, name="example", source="a test", **options)


def encoded(splits: Splits, feature: str) -> torch.Tensor:
    """(60,) one encoded column, back in the order of the rows."""
    rows = np.concatenate([TRAIN, VALIDATION, CALIBRATION, TEST])
    x = torch.cat([splits.train.x, splits.validation.x, splits.calibration.x, splits.test.x])
    return x[np.argsort(rows), splits.about.features.index(feature)]


# Encoding


def test_numbers_are_standardised_by_train():
    age = np.arange(N) ** 2.0
    splits = splits_of(example(age=age))
    assert splits.train.x.dtype == torch.float32
    expected = (age - age[TRAIN].mean()) / age[TRAIN].std()
    np.testing.assert_allclose(encoded(splits, "age"), expected, rtol=1e-5, atol=1e-6)


def test_missing_numbers_become_the_median_of_train_and_are_marked():
    age = np.arange(N) ** 2.0
    age[::4] = np.nan
    splits = splits_of(example(age=age))
    filled = np.where(np.isnan(age), np.nanmedian(age[TRAIN]), age)
    expected = (filled - filled[TRAIN].mean()) / filled[TRAIN].std()
    np.testing.assert_allclose(encoded(splits, "age"), expected, rtol=1e-5, atol=1e-6)
    assert ((encoded(splits, "missingindicator_age") > 0).numpy() == np.isnan(age)).all()


def test_missing_text_becomes_the_most_frequent_of_train():
    colour = np.array(["red", "red", "blue", "green", None], object)[np.arange(N) % 5]
    splits = splits_of(example(colour=colour))
    for name in ("red", "blue", "green"):
        hot = (colour == name) | ((colour == None) & (name == "red"))  # noqa: E711
        assert (encoded(splits, f"colour_{name}").numpy() == hot).all()


def test_a_category_that_train_has_not_seen_is_zeros():
    colour = np.array(["red", "blue"], object)[np.arange(N) % 2]
    colour[TEST[0]] = "zebra"
    splits = splits_of(example(colour=colour))
    assert splits.about.features == ("noise", "colour_blue", "colour_red")
    hot = encoded(splits, "colour_blue") + encoded(splits, "colour_red")
    assert np.flatnonzero(hot == 0).tolist() == [TEST[0]]


def test_test_rows_change_nothing_in_train():
    frame = example(age=np.arange(N) ** 2.0, colour=np.array(["red", "blue"])[np.arange(N) % 2])
    changed = frame.copy()
    changed.loc[TEST, "age"] = 1e6
    changed.loc[TEST, "colour"] = "zebra"
    changed.loc[TEST, "noise"] = np.nan
    before, after = splits_of(frame), splits_of(changed)
    assert torch.equal(before.train.x, after.train.x)
    assert before.about.features == after.about.features
    assert not torch.equal(before.test.x, after.test.x)


@pytest.mark.parametrize("outside", [[1.5, 2.5], ["x", "y"]], ids=["numbers", "text"])
@pytest.mark.parametrize("inside", [None, 0], ids=["missing", "constant"])
def test_columns_that_are_empty_or_constant_in_train_do_no_harm(inside, outside):
    column = np.full(N, None, object)
    column[TRAIN] = inside if inside is None or isinstance(outside[0], float) else "z"
    column[TEST] = np.array(outside, object)[np.arange(len(TEST)) % 2]
    splits = splits_of(example(column=column))
    for split in (splits.train, splits.validation, splits.calibration, splits.test):
        assert split.x.isfinite().all()
    assert torch.equal(splits.train.x[:, splits.about.features.index("noise")], splits_of(example()).train.x[:, 0])


def test_only_the_rows_of_a_cut_train_set_give_statistics():
    splits = splits_of(example(age=np.arange(N) ** 2.0), train_size=12)
    assert len(splits.train) == 12
    torch.testing.assert_close(splits.train.x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(splits.train.x.std(0, correction=0), torch.ones(2))
    assert splits.train.y.bincount().tolist() == [4, 4, 4]


def test_booleans_categories_and_nullable_integers():
    flag = np.arange(N) % 2 == 0
    frame = example(
        flag=flag,
        size=pd.Categorical(np.array(["s", "l"])[np.arange(N) % 2], categories=["s", "m", "l"]),
        rooms=pd.array([None, *(i * i for i in range(1, N))], dtype="Int64"),
    )
    splits = splits_of(frame)
    names = ("rooms", "noise", "missingindicator_rooms", "flag_False", "flag_True", "size_l", "size_s")
    assert sorted(splits.about.features) == sorted(names)
    assert (encoded(splits, "flag_True").numpy() == flag).all()


def test_names_that_collide_after_encoding():
    colours = np.array(["red", "blue"])[np.arange(N) % 2]
    splits = splits_of(example(c_red=np.arange(N) ** 2.0, c=colours))
    assert splits.about.features.count("c_red") == 2


# Targets


def test_class_ids_follow_the_names():
    splits = splits_of(example(code=LABELS.astype(float)))
    assert splits.about.classes == ("a", "b", "c")
    assert splits.train.y.dtype == torch.int64
    assert (splits.train.y.numpy() == LABELS[TRAIN]).all()
    assert (splits.test.y.numpy() == LABELS[TEST]).all()


def test_numeric_classes_are_ordered_by_value_and_categories_by_their_own_order():
    frame = example(grade=np.array([10, 9, 100])[LABELS])
    assert splits_of(frame, "grade").about.classes == ("9", "10", "100")
    frame["grade"] = pd.Categorical(frame["target"], categories=["c", "never", "a", "b"])
    assert splits_of(frame, "grade").about.classes == ("c", "a", "b")


def test_class_names_of_text_are_left_alone():
    frame = example(version=np.array(["1.0x", "v2", "v2.0"])[LABELS])
    assert splits_of(frame, "version").about.classes == ("1.0x", "v2", "v2.0")


def test_a_regression_target_returns_to_its_unit():
    frame = example(price=np.linspace(100, 900, N) + 0.5)
    splits = splits_of(frame, "price")
    rows = split_rows(None, split_sizes(N), np.random.default_rng(0))
    assert splits.about.task == "regression"
    assert splits.about.classes == ()
    assert splits.train.y.shape == (36, 1)
    assert abs(splits.train.y.mean()) < 1e-6
    torch.testing.assert_close(splits.train.y.std(correction=0), torch.tensor(1.0))
    for split, index in zip((splits.train, splits.test), (rows[0], rows[3]), strict=True):
        price = split.y[:, 0] * torch.tensor(splits.about.target_std) + torch.tensor(splits.about.target_mean)
        np.testing.assert_allclose(price, frame["price"].iloc[index], rtol=1e-6)


@pytest.mark.parametrize(
    ("target", "task", "notice"),
    [
        (list("ab") * 30, "classification", "target 'y' is not numeric: taken as classification."),
        ([True, False] * 30, "classification", "target 'y' is not numeric: taken as classification."),
        (
            [1, 2, 3, 4, 5, 6] * 10,
            "classification",
            "target 'y' has 6 distinct integers: taken as classification; --task regression overrides.",
        ),
        (
            list(range(30)) * 2,
            "classification",
            "target 'y' has 30 distinct integers: taken as classification; --task regression overrides.",
        ),
        (
            [*range(31), *range(29)],
            "regression",
            "target 'y' has 31 distinct integers: taken as regression; --task classification overrides.",
        ),
        (
            [0.5, 1.0] * 30,
            "regression",
            "target 'y' has fractions: taken as regression; --task classification overrides.",
        ),
    ],
)
def test_the_task_is_inferred_and_said_aloud(target, task, notice):
    about = splits_of(example(y=target), "y").about
    assert about.task == task
    assert notice in about.notices


def test_integers_of_which_most_rows_have_their_own_are_a_regression_target():
    frame = pd.DataFrame({"x": np.arange(20) ** 2.0, "y": [*range(11), *range(9)]})
    assert splits_of(frame, "y").about.task == "regression"


def test_a_task_that_is_given_is_not_questioned():
    about = splits_of(example(y=[1, 2, 3, 4, 5, 6] * 10), "y", task="regression").about
    assert (about.task, about.notices) == ("regression", ())
    about = splits_of(example(y=[0.5, 1.0] * 30), "y", task="binary").about
    assert (about.task, about.classes) == ("binary", ("0.5", "1"))


def test_rare_classes_are_in_train_and_named():
    target = np.array(["common"] * 55 + ["two"] * 2 + ["three"] * 3)
    splits = splits_of(example(y=target), "y")
    assert (splits.train.y.bincount(minlength=3) >= 1).all()
    assert "class 'two' has 2 rows, fewer than the four splits, so some split lacks it." in splits.about.notices


# Columns that are left out


def test_columns_of_no_use_are_left_out_by_name_unless_kept():
    frame = example(
        constant=[3] * N,
        empty=[None] * N,
        PassengerId=np.random.default_rng(0).permutation(N) + 1,
        name=[f"person {i}" for i in range(N)],
        born=[f"19{50 + i % 50}-0{1 + i % 9}-11" for i in range(N)],
        joined=pd.date_range("2020-01-01", periods=N),
        distinct=np.arange(N) * 3,
    )
    about = splits_of(frame).about
    parts = ("born_year", "born_month", "joined_month", "joined_day", "joined_weekday")
    assert about.features[:5] == ("born", "joined", "distinct", "noise", "born_year")
    assert set(parts) <= set(about.features)
    assert about.notices[1:] == (
        "columns that hold one value or none are left out: 'constant', 'empty'.",
        "columns that number or name the rows are left out: 'PassengerId', 'name'; --keep NAME uses one.",
        "dates become numbers (time since 1970, year, month, ...): 'born', 'joined'.",
    )
    kept = splits_of(frame, keep=("PassengerId", "name"))
    assert kept.about.features[:2] == ("PassengerId", "born")
    assert "name_mean_0" in kept.about.features  # not a feature for each name
    torch.testing.assert_close(encoded(kept, "joined"), encoded(kept, "distinct"))  # seconds grow as days do


@pytest.mark.parametrize("name", ["id", "ID", "user_id", "customerId", "index", "Unnamed: 0"])
def test_names_of_identifiers(name):
    assert name not in splits_of(example(**{name: np.arange(N) * 2})).about.features
    assert name in splits_of(example(**{name: np.arange(N) * 2 % 90})).about.features  # some come twice


@pytest.mark.parametrize("name", ["acid", "grid", "width", "ids_seen"])
def test_names_that_only_end_alike(name):
    assert name in splits_of(example(**{name: np.arange(N) * 2})).about.features


@pytest.mark.parametrize(
    ("texts", "used"),
    [
        ([f"t{i % 51}" for i in range(N)], False),
        ([f"t{i % 50}" for i in range(N)], True),
        ([f"t{i}" if i % 3 == 0 else None for i in range(N)], False),  # 20 texts, each once
        ([f"t{i}" if i % 3 == 0 and i else None for i in range(N)], True),
    ],
)
def test_text_that_hardly_repeats(texts, used):
    about = splits_of(example(text=texts)).about
    assert any(name.startswith("text_") for name in about.features) == used
    assert any("'text'" in notice for notice in about.notices) != used


# Files


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_gzip_and_parquet_are_the_same_table(tmp_path):
    frame = example(colour=np.array(["red", "blue, dark"])[np.arange(N) % 2])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    write(tmp_path / "bom.csv", b"\xef\xbb\xbf" + (tmp_path / "t.csv").read_bytes().replace(b"\n", b"\r\n"))
    frame.to_parquet(tmp_path / "t.parquet")
    expected = splits_of(frame)
    for name in ("t.csv", "t.csv.gz", "semicolons.csv", "bom.csv", "t.parquet"):
        splits = load(str(tmp_path / name), target="target")
        assert splits.about.features == expected.about.features
        torch.testing.assert_close(splits.test.x, expected.test.x)
        assert torch.equal(splits.test.y, expected.test.y)
    assert splits.about.name == "t"


def test_question_marks_are_missing_numbers(tmp_path):
    rows = [f"{'?' if i % 7 == 0 else i * i}, {'NA' if i % 5 == 0 else i / 3},{'ab'[i % 2]}" for i in range(N)]
    path = write(tmp_path / "t.csv", "\n".join(["size,weight,y", *rows]))
    names = ("size", "weight", "missingindicator_size", "missingindicator_weight")
    assert load(str(path), target="y").about.features == names
    frame = pd.DataFrame({"size": ["?" if i % 7 == 0 else str(i * i) for i in range(N)], "y": list("ab") * 30})
    assert splits_of(frame, "y").about.features == ("size", "missingindicator_size")


def test_a_file_is_parsed_once_until_it_changes(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n1,2\n")
    first = read_table(path).frame
    assert read_table(path).frame is first
    write(path, "a,b\n1,2\n3,4\n")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert len(read_table(path).frame) == 2


def rows_of(target: list, **columns: list) -> str:
    return pd.DataFrame({**columns, "x": np.arange(len(target)) ** 2, "y": target}).to_csv(index=False)


GZIPPED = gzip.compress(rows_of(["a", "b"] * 500).encode())
Y20 = ["a", "b"] * 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty; give a table with a header and rows"),
        ("t.csv", "\n\n", "is empty; give a table with a header and rows"),
        ("t.csv", bytes(range(256)), "is not UTF-8 text .*; say how it is encoded .*, or save it in UTF-8"),
        ("t.csv", b"a,y\n1,\0\n", "is not text .*; save the table as CSV in UTF-8"),
        ("t.csv.gz", GZIPPED[:-50], "cannot be read .*; get the file anew"),
        ("t.csv.gz", b"a,y\n1,2\n", r"cannot be read \(Not a gzipped file.*\); get the file anew"),
        ("t.csv.gz", GZIPPED[:40] + b"garbage" + GZIPPED[60:], "cannot be read .*; get the file anew"),
        ("t.parquet", b"a,y\n1,2\n", "cannot be read .*; write it anew as parquet"),
        ("t.doc", b"PK", "is of an unknown type; give a table, .csv, "),
        ("t.csv", "a,y\n", "has a header and no rows; give a table with rows"),
        ("t.csv", "a,y\n1,2\n1,2,3\n", "cannot be read .*; every row needs as many cells as the header"),
        ("t.csv", "a,y\n1,2,3\n1,2,3\n", "cannot be read .*; every row needs as many cells as the header"),
        ("t.csv", 'a,y\n1,"2\n', "cannot be read .*; every row needs as many cells as the header"),
        ("t.csv", '"a, b",y,"a, b"\n1,2,3\n', "more than one column is named 'a, b'; give each column a name"),
        ("t.csv", b"\xef\xbb\xbfa,a,y\n1,2,3\n", "more than one column is named 'a'; give each column a name"),
        ("t.csv", rows_of([None] * 20), "every value of target 'y' is missing; choose another column"),
        ("t.csv", rows_of(["a", None] * 10), "target 'y' is a in every row; choose a column that varies"),
        ("t.csv", rows_of([1.5, np.inf, *range(18)]), "target 'y' is infinite.* in 1 of 20 rows; mend or remove"),
        ("t.csv", rows_of(["a"] * 20), "target 'y' is a in every row; choose a column that varies"),
        ("t.csv", rows_of(Y20, z=[np.inf, *range(19)]), "column 'z' has values that are infinite"),
        ("t.csv", "y\n" + "a\nb\n" * 10, "no column is left to learn from; give a table with feature columns"),
        ("t.csv", "c,y\n" + "1,a\n1,b\n" * 10, "no column is left .* one value or none are left out: 'c'"),
        ("t.csv", rows_of([*Y20, "rare"]), "class 'rare' has 1 row; .*: merge it with another or remove it.$"),
        ("t.csv", rows_of([1, 2] * 10 + [3]), "class '3' has 1 row; .*, or use --task regression.$"),
        ("t.csv", rows_of(["a", "b", "a", "b"]), "4 rows cannot fill the .* splits; give 10 or more"),
    ],
)
def test_a_bad_table_earns_a_sentence(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as raised:
        load(str(path), target="y")
    assert "\n" not in str(raised.value)


def test_parquet_columns_that_are_no_cells(tmp_path):
    pd.DataFrame({"z": [[1], [2]], "y": [0, 1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'z' is list<.*cells must be numbers, text or dates"):
        load(str(tmp_path / "t.parquet"), target="y")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(DataError, match="holds no files that a folder of data may hold"):
        load(str(tmp_path), target="y")
    with pytest.raises(DataError, match=r"is a folder; give the path of a table, \.csv"):
        TableFile(tmp_path, "y").splits(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"target": None},
            DataError,
            "no target column was given for example; name one with --target: 'noise', 'target'.",
        ),
        ({"target": "tarjet"}, UnknownNameError, "unknown target column 'tarjet'; did you mean 'target'?"),
        ({"target": "zzz"}, UnknownNameError, "unknown target column 'zzz'; known: noise, target."),
        ({"keep": ("nois",)}, UnknownNameError, "unknown column to keep 'nois'; did you mean 'noise'?"),
        (
            {"task": "binary"},
            DataError,
            "target 'target' has 3 classes, and binary needs two; use classification.",
        ),
        (
            {"task": "regression"},
            DataError,
            "target 'target' is not numeric, and regression needs numbers; use classification.",
        ),
    ],
)
def test_a_bad_choice_earns_a_sentence(options, error, message):
    with pytest.raises(CalmixError) as raised:
        splits_of(example(), **options)
    assert type(raised.value) is error
    assert str(raised.value) == message


# Real files


REFUSED = {"abalone"}  # five of its ages have a single row
INTEGERS = {"wine_quality_red"}  # a grade of 3 to 8: classification unless told otherwise


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_real_tables(real_data, kind):
    paths = sorted((real_data / "tabular" / kind).glob("*.csv.gz"))
    assert paths
    for path in paths:
        name = path.name.removesuffix(".csv.gz")
        if name in REFUSED:
            continue
        splits = load(str(path), target="target", seed=1)
        assert splits.about.task == ("classification" if name in INTEGERS else kind), name
        for split in (splits.train, splits.validation, splits.calibration, splits.test):
            assert split.x.isfinite().all(), name
            assert split.x.shape == (len(split), len(splits.about.features)), name


def test_abalone_has_ages_with_one_row(real_data):
    path = str(real_data / "tabular/classification/abalone.csv.gz")
    with pytest.raises(DataError, match=r"classes '1', '2', .* have 1 row each; .* use --task regression\.$"):
        load(path, target="target")
    splits = load(path, target="target", task="regression")
    assert (len(splits.train), len(splits.test)) == (2506, 835)


def test_arrhythmia_names_its_rare_classes(real_data):
    splits = load(str(real_data / "tabular/classification/arrhythmia.csv.gz"), target="target")
    assert "class '8' has 2 rows, fewer than the four splits, so some split lacks it." in splits.about.notices
    assert (splits.train.y.bincount(minlength=13) >= 1).all()


def test_a_thousand_letters(real_data):
    splits = load(str(real_data / "tabular/classification/letter.csv.gz"), target="target", train_size=1000)
    assert splits.train.x.shape == (1000, 16)
    assert splits.train.y.bincount().min() >= 36  # 3.7 % of the rows is the rarest letter
    assert len(splits.test) == 4000


@pytest.mark.parametrize("seed", range(3))
def test_features_are_those_of_scikit_learn(seed: int):
    """Numbers first, then where they are missing, then text."""
    rng = np.random.default_rng(seed)
    numbers = {f"n{i}": np.where(rng.random(N) < 0.1 * i, np.nan, rng.normal(size=N)) for i in range(3)}
    numbers["nearly"] = 1e7 * (1 + 1e-16 * rng.integers(0, 9, N))  # the same but for rounding
    frame = example(text=np.array(["u", "v", None], object)[rng.integers(3, size=N)], **numbers)
    frame.index += 100  # the frame of somebody who sorted or filtered it
    splits = splits_of(frame)
    parts = TRAIN, VALIDATION, CALIBRATION, TEST
    scale = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False))
    cells, text = frame[["n0", "n1", "n2", "nearly", "noise"]], frame[["text"]].to_numpy(object)
    scale.fit(cells.iloc[parts[0]])
    one_hot.fit(text[parts[0]])
    names = [str(name) for made in (scale, one_hot) for name in made.get_feature_names_out()]  # pyright: ignore
    names = [name.replace("x0_", "text_") for name in names]
    assert set(splits.about.features) == set(names)
    order = [names.index(name) for name in splits.about.features]
    for part, rows in zip((splits.train, splits.validation, splits.calibration, splits.test), parts, strict=True):
        expected = np.hstack([scale.transform(cells.iloc[rows]), one_hot.transform(text[rows])])[:, order]
        assert (part.x.dtype, part.x.is_contiguous()) == (torch.float32, True)
        np.testing.assert_allclose(part.x.numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("ends", [("9999-12-31", "2020-01-02"), ("0001-01-01", "2020-01-02")])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_dates_beyond_nanoseconds_are_dates(ends: tuple[str, str], kind: str, tmp_path: Path):
    """The usual open end of a table; a date is seconds since 1970 in a float."""
    n = 60
    days = [ends[i % 2] for i in range(n)]
    frame = pd.DataFrame({"x": np.arange(n) % 7, "until": days, "y": ["a", "b"] * (n // 2)})
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.assign(until=np.array(days, "datetime64[us]")).to_parquet(path)
    splits = load(str(path), target="y")
    assert splits.about.features[:2] == ("x", "until")
    assert "'until'" in " ".join(splits.about.notices)
    assert splits.train.x.isfinite().all()


def test_names_that_no_figure_can_show_become_escapes():
    frame = pd.DataFrame({"x\x07": np.arange(40) ** 2, "y": ["a\x07", "b\x00c"] * 20})
    about = table_splits(frame, "y", name="n\x00", source="s").about
    assert (about.name, about.features, about.classes) == ("n\\x00", ("x\\x07",), ("a\\x07", "b\\x00c"))


def test_a_whole_number_beyond_float64_is_named(tmp_path: Path):
    rows = "\n".join(f"{10**400 if i == 3 else i},{i % 2}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}\n")
    with pytest.raises(DataError, match=r"column 'x' has (whole numbers beyond float64|values that are infinite)"):
        load(str(tmp_path / "t.csv"), target="y")


@pytest.mark.parametrize("last", ["2020-03-01", "9999-12-31"])
def test_a_target_of_dates_is_refused_with_advice(last: str):
    """Dates beyond Python's years had ended in an error of pandas; the others had been a class each."""
    days = np.array(["2020-01-01", "2020-02-01", last] * 10, "datetime64[us]")
    days[0] += np.timedelta64(10**17 if last.startswith("9999") else 0, "us")  # three thousand years more
    frame = pd.DataFrame({"x": np.arange(30) % 7, "day": days})
    with pytest.raises(DataError, match=r"target 'day' holds dates.*a number of days"):
        table_splits(frame, "day", name="days", source="an example")
