"""A test row is found again: in the very line of the user's file, and what is unusual in it is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from calmix.data import (
    Arrays,
    Folds,
    Frame,
    NamedSet,
    Noisy,
    Splits,
    Symmetric,
    TableFile,
    as_source,
    circles,
    exchange_rate,
    fashion_mnist,
)
from calmix.data.given_rows import Field, GivenRows, Kind, Unusual
from calmix.data.table.files import read_table
from calmix.engines.processes import _shared

RNG = np.random.default_rng(0)
TARGETS = (10 + RNG.permutation(60) * 1.25).round(2)  # each row has its own
BLANK = [4, 17, 40]  # rows without a target
TABLE = pd.DataFrame(
    {
        "a": RNG.normal(size=60),
        "b": RNG.choice(["x", "y\nz"], 60),
        "t": [None if i in BLANK else t for i, t in enumerate(TARGETS)],
    }
)


def as_csv(path: Path) -> None:
    TABLE.to_csv(path, index=False)


def as_messy_text(path: Path) -> None:
    """Empty lines, comments, rows of separators alone, old line ends, and a row of totals."""
    lines = TABLE.to_csv(index=False, sep=";").replace("\n1", "\n\n;;\n1", 3)
    path.write_bytes(f"\n\n# made\n# by hand\n\n{lines}Total;;\n".replace("\n", "\r\n").encode())


def as_excels_text(path: Path) -> None:
    path.write_text(f"sep=;\nA table of mine\n\n{TABLE.to_csv(index=False, sep=';')}")


def as_commented_names(path: Path) -> None:
    path.write_text(f"# nothing\n#a,b,t\n{TABLE.to_csv(index=False, header=False)}")


def cells_of_text(path: Path, number: int) -> str:
    return path.read_text().split("\n")[number - 1]


def targets(splits: Splits) -> list[float]:
    assert isinstance(splits.about.target_std, float)
    assert isinstance(splits.about.target_mean, float)
    return (
        (splits.test.y.double() * splits.about.target_std + splits.about.target_mean)
        .flatten()
        .round(decimals=2)
        .tolist()
    )


def numbers(splits: Splits) -> list[int]:
    assert splits.given is not None
    return splits.given.tested.tolist()


@pytest.mark.parametrize("write", [as_csv, as_messy_text, as_excels_text, as_commented_names])
def test_a_number_is_the_line_on_which_the_row_begins(tmp_path: Path, write: Callable[[Path], None]):
    path = tmp_path / "t.csv"
    write(path)
    lines, sep = path.read_text().split("\n"), ";" if ";" in path.read_text() else ","
    source = Folds(TableFile(path, "t"), 5)
    found: list[int] = []
    given = source.splits(0).given
    assert given is not None
    assert (given.unit, given.note) == ("line", "Lines are those of t.csv, counted from 1.")
    for seed in range(5):
        splits = source.splits(seed)
        for number, target in zip(numbers(splits), targets(splits), strict=True):
            whole = lines[number - 1] + (lines[number] if lines[number - 1].count('"') % 2 else "")
            assert whole.split(sep)[-1] == str(target)
            assert float(whole.split(sep)[0]) == TABLE["a"][TARGETS.tolist().index(target)]
        found += numbers(splits)
    assert len(found) == len(set(found)) == 57  # every row with a target once


def test_a_number_is_the_row_of_a_sheet(tmp_path: Path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["mine"], [], ["a", "b", "t"], *TABLE.astype(object).where(TABLE.notna(), None).to_numpy().tolist()]:
        book.active.append(row)
    book.active.insert_rows(10)
    book.save(tmp_path / "t.xlsx")
    splits = TableFile(tmp_path / "t.xlsx", "t").splits(1)
    for number, target in zip(numbers(splits), targets(splits), strict=True):
        assert book.active.cell(number, 3).value == target
    assert splits.given is not None
    assert splits.given.unit == "row"


@pytest.mark.parametrize("seed", [0, 3])
def test_rows_of_columns_with_types_and_of_frames_are_counted(tmp_path: Path, seed: int):
    TABLE.to_parquet(tmp_path / "t.parquet")
    splits = TableFile(tmp_path / "t.parquet", "t").splits(seed)
    assert TABLE["t"].iloc[np.array(numbers(splits)) - 1].tolist() == targets(splits)
    shuffled = TABLE.sample(frac=1, random_state=1)  # its index is of no help
    splits = Frame(shuffled, "t").splits(seed)
    assert shuffled["t"].iloc[numbers(splits)].tolist() == targets(splits)


def test_the_numbers_of_a_file_are_those_of_its_rows(tmp_path: Path):
    as_csv(tmp_path / "t.csv")
    found = read_table(tmp_path / "t.csv")
    two_lines = (TABLE["b"] == "y\nz").astype(int)
    assert found.numbers.tolist() == (2 + np.arange(60) + two_lines.shift(fill_value=0).cumsum()).tolist()


def test_rows_of_arrays_and_images_are_counted_from_0():
    from sklearn.datasets import load_digits

    images = torch.from_numpy(RNG.integers(0, 256, (50, 3, 4, 4), dtype=np.uint8))
    source = Arrays(images, torch.arange(50) % 2)
    for seed in (0, 1):
        splits = source.splits(seed)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (splits.about.pixel_mean, splits.about.pixel_std))
        assert torch.equal((255 * (splits.test.x * std + mean)).round().to(torch.uint8), images[numbers(splits)])
        assert splits.given is not None
        assert splits.given.unit == "image"
        digits = NamedSet("digits").splits(seed)
        assert np.allclose(16 * digits.test.x.flatten(1).numpy(), load_digits(return_X_y=True)[0][numbers(digits)])
    x, y = torch.randn(40, 2), torch.arange(40.0) % 7
    splits = Arrays(x, y).splits(2)
    assert splits.given is not None
    (mean,), (std,) = (torch.tensor(v).view(-1).tolist() for v in (splits.about.target_mean, splits.about.target_std))
    assert torch.allclose(splits.test.y[:, 0] * std + mean, y[numbers(splits)])
    assert [field.name for field in splits.given.fields] == ["x0", "x1"]


def test_an_official_test_set_keeps_its_order_and_other_splits_are_counted(real_data: Path):
    try:
        splits = fashion_mnist(train_size=50)
    except Exception as error:  # not installed here
        pytest.skip(str(error))
    assert numbers(splits) == list(range(10_000))
    assert numbers(as_source(replace(splits, given=None)).splits(0)) == list(range(10_000))
    assert exchange_rate(data_dir=real_data / "timeseries").given is None  # a row is a window of days


def test_points_that_are_drawn_afresh_have_no_numbers():
    assert circles().given is None


def test_noise_and_workers_leave_the_numbers():
    wine = NamedSet("wine")
    clean, noisy = wine.splits(0), Noisy(wine, Symmetric(0.3)).splits(0)
    assert numbers(noisy) == numbers(clean)
    shared = _shared(clean)
    assert numbers(shared) == numbers(clean)
    assert shared.given is not None
    assert shared.given.fields == ()
    assert numbers(_shared(replace(clean, given=clean.given and replace(clean.given)))) == numbers(clean)


# ------------------------------------------------------------------------------------------------ unusual values


def of(values: object, kind: Kind, row: int, most: int = 3) -> list[Unusual]:
    count = len(values)  # pyright: ignore[reportArgumentType]
    given = GivenRows(np.arange(count), np.arange(count), "row", "", [Field("c", kind, values)])
    return given.unusual([row], most)[0]


def test_a_number_is_unusual_where_few_rows_are_as_far_out():
    values = np.arange(200.0)
    assert of(values, "number", 199) == [Unusual("c", "199", "number", 1, 0.995)]
    assert of(values, "number", 0) == [Unusual("c", "0", "number", -1, 0.995)]
    assert of(values, "number", 190) == [Unusual("c", "190", "number", 1, 0.95)]
    assert of(values, "number", 189) == of(values, "number", 10) == of(values, "number", 100) == []
    assert of(np.array([1.0] * 95 + [2.0] * 5), "number", 97) == [Unusual("c", "2", "number", 1, 0.95)]
    assert of(np.array([1.0] * 94 + [2.0] * 6), "number", 97) == []


def test_a_category_is_unusual_where_few_rows_hold_one_as_rare():
    some = pd.Series(["a"] * 90 + ["b"] * 8 + ["c"] * 2)
    assert of(some, "category", 95) == [Unusual("c", "b", "category", 0, 0.08)]
    assert of(some, "category", 99) == [Unusual("c", "c", "category", 0, 0.02)]
    assert of(some, "category", 0) == []
    assert of(pd.Series(list(map(str, range(50))) * 2), "category", 3) == []  # all are alike


def test_an_empty_cell_is_unusual_where_few_are():
    few = np.array([np.nan] * 4 + list(range(96)))
    assert of(few, "number", 2) == [Unusual("c", "", "number", 0, 0.04)]
    assert of(few, "number", 99) == [Unusual("c", "95", "number", 1, 95 / 96)]  # of the cells that are not empty
    assert of(np.array([np.nan] * 50 + list(range(50))), "number", 2) == []
    assert of(pd.Series([None] * 4 + ["a", "b"] * 48), "category", 2) == [Unusual("c", "", "category", 0, 0.04)]


def test_the_rarest_come_first_and_the_farthest_of_equally_rare_ones():
    rows = 100
    near, far = np.arange(rows) * 1.0, np.arange(rows) * 1.0
    far[-1] = 1e6
    fields = [
        Field("frequent", "number", np.array([0.0] * 95 + [1.0] * 5)),
        Field("near", "number", near),
        Field("far", "number", far),
        Field("colour", "category", pd.Series(["red"] * 99 + ["blue"])),
    ]
    given = GivenRows(np.arange(rows), np.arange(rows), "row", "", fields)
    assert [one.column for one in given.unusual([99], most=9)[0]] == ["colour", "far", "near", "frequent"]
    assert [one.column for one in given.unusual([99])[0]] == ["colour", "far", "near"]
    assert given.unusual([50, 99]) == [[], given.unusual([99])[0]]


def test_values_are_shown_as_they_are_written():
    assert of(np.array([0.1] * 30 + [0.7], np.float32), "number", 30)[0].value == "0.7"
    assert of(pd.Series([1] * 30 + [12345678]), "number", 30)[0].value == "12345678"
    assert of(np.array([0.0] * 30 + [1 / 3]), "number", 30)[0].value == "0.333333"
    day = np.array([0.0] * 30 + [86400.0 * 366])
    assert of(day, "date", 30) == [Unusual("c", "1971-01-02", "date", 1, 30 / 31)]
    assert of(day + 61, "date", 30)[0].value == "1971-01-02 00:01:01"
    said = of(pd.Series(["a"] * 30 + ["=x\x07\n" + "y" * 80]), "category", 30)[0].value
    assert said.startswith("=x\\x07 yyy")
    assert len(said) == 30


def test_rows_are_looked_up_by_their_numbers(tmp_path: Path):
    frame = TABLE.assign(a=[1000.0 if i == 9 else i / 10 for i in range(60)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    given = TableFile(tmp_path / "t.csv", "t").splits(0).given
    assert given is not None
    [line] = [number for number in given.numbers if cells_of_text(tmp_path / "t.csv", int(number)).startswith("1000")]
    [found] = given.unusual([int(line)])
    assert found[0] == Unusual("a", "1000", "number", 1, 56 / 57)


def test_the_test_rows_alone_keep_their_numbers():
    given = GivenRows(np.array([3, 5, 8, 13]), np.array([2, 0]), "row", "", [Field("x", "number", np.zeros(4))])
    assert given.of_test().tested.tolist() == given.tested.tolist() == [8, 3]
    assert not given.of_test().fields
