"""What users have at hand becomes splits: tensors, arrays, frames, data sets; and what tells two of them apart."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from calmix.data import (
    Arrays,
    Fixed,
    Frame,
    NamedSet,
    Noisy,
    Splits,
    Symmetric,
    TableFile,
    as_source,
    corrupted,
    read_source,
)
from calmix.data.array_files import ArrayFile
from calmix.errors import CalmixError, DataError, SettingError, ShapeError, UnknownNameError

RNG = np.random.default_rng(0)
X = (3 + 2 * RNG.normal(size=(60, 4))).astype(np.float32)
Y = np.arange(60) % 3
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(label=np.array(["u", "v", "w"])[Y])
PARTS = ("train", "validation", "calibration", "test")


def parts(splits: Splits) -> list[Any]:
    return [getattr(splits, name) for name in PARTS]


class Rows(Dataset):
    """A data set that no library has written."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, str]:
        return torch.from_numpy(X[index]), int(Y[index]), "further entries are left out"


# ------------------------------------------------------------------------------------------- what is understood


def test_tensors_arrays_and_data_sets_say_the_same():
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    first = as_source((x, y)).splits(1)
    for other in ((X, Y), (x, Y.astype(np.int32)), (X.astype(np.float64), y), TensorDataset(x, y), Rows()):
        for ours, theirs in zip(parts(first), parts(as_source(other).splits(1)), strict=True):
            assert torch.allclose(ours.x, theirs.x, atol=1e-6)
            assert torch.equal(ours.y, theirs.y)
    assert first.about.classes == ("0", "1", "2")
    assert first.about.task == "classification"


def test_sources_and_splits_pass_through():
    source = NamedSet("wine")
    assert as_source(source) is source
    splits = as_source((X, Y)).splits(0)
    fixed = as_source(splits)
    assert isinstance(fixed, Fixed)
    assert fixed.splits(0) is fixed.splits(5) is splits  # for every seed
    assert fixed.whole() is fixed


def test_a_path_may_be_a_text(tmp_path: Path):
    table, arrays = tmp_path / "t.csv", tmp_path / "a.npz"
    FRAME.to_csv(table, index=False)
    np.savez(arrays, x=X, y=Y)
    text: Any = str(table)
    assert TableFile(text, "label", test=text) == TableFile(table, "label", test=table)
    assert len(TableFile(text, "label").splits(0).test) == 12
    text = str(arrays)
    assert ArrayFile(text) == ArrayFile(arrays)
    assert len(ArrayFile(text).splits(0).test) == 12


def test_a_frame_is_a_table_file(tmp_path: Path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    ours, file = as_source(FRAME, "label").splits(2), TableFile(tmp_path / "t.csv", "label").splits(2)
    for one, other in zip(parts(ours), parts(file), strict=True):
        assert torch.allclose(one.x, other.x, atol=1e-4)
        assert torch.equal(one.y, other.y)
    assert ours.about.classes == file.about.classes == ("u", "v", "w")


@pytest.mark.parametrize(
    ("x", "kind"), [(X, "table"), (X.reshape(60, 2, 2), "series"), (X.reshape(60, 1, 2, 2), "image")]
)
def test_the_shape_of_a_row_tells_what_it_is(x: np.ndarray, kind: str):
    splits = as_source((x, Y)).splits(0)
    assert splits.about.kind == kind
    assert splits.train.x.shape[1:] == x.shape[1:]


def test_names_of_classes_are_kept():
    about = Arrays(torch.from_numpy(X), torch.from_numpy(Y), classes=("u", "v", "w"), name="mine").splits(0).about
    assert (about.classes, about.name) == (("u", "v", "w"), "mine")


WRONG: dict[str, tuple[Any, type[CalmixError], str]] = {
    "a frame without target": (FRAME, SettingError, "a DataFrame needs target="),
    "a number": (5, SettingError, "data must be Splits.*got int"),
    "a text": ("wine", SettingError, "data must be Splits.*got str"),
    "a dict": ({"x": X, "y": Y}, UnknownNameError, "unknown part of the data 'x'; known: train, validation"),
    "three arrays": ((X, Y, Y), SettingError, "data must be Splits.*got tuple"),
    "one array": (X, SettingError, "data must be Splits.*got ndarray"),
    "one tensor": (torch.from_numpy(X), SettingError, "got Tensor"),
    "rows of several shapes": ([(X[0], 0), (X[1, :2], 1)], DataError, "cannot be stacked"),
    "rows of text": ([("a", 0), ("b", 1)], DataError, "something else than numbers"),
    "lengths": ((X, Y[:9]), ShapeError, r"x has shape \(60, 4\) and y \(9,\)"),
    "a vector": ((X[:, 0], Y), ShapeError, r"expected rows \(n, \.\.\.\)"),
    "whole numbers": ((X.astype(int), Y), ShapeError, r"convert measurements with x\.float\(\)"),
    "class columns": ((X, np.eye(3, dtype=int)[Y]), ShapeError, r"class ids must have shape \(n,\); got \(60, 3\)"),
    "NaN": ((np.where(X > 5, np.nan, X), Y), DataError, "NaN or infinity"),
    "NaN targets": ((X, np.where(Y == 1, np.nan, Y)), DataError, "NaN or infinity"),
}


@pytest.mark.parametrize(("data", "error", "advice"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_is_an_error(data: Any, error: type[CalmixError], advice: str):
    with pytest.raises(error, match=f"(?s){advice}"):
        as_source(data)


def test_a_target_that_would_be_ignored_is_an_error():
    with pytest.raises(SettingError, match="target= is for a DataFrame; got tuple"):
        as_source((X, Y), target="label")


@pytest.mark.parametrize(("labels", "advice"), [(Y + 1, "got 1 .. 3"), (Y - 1, "got -1 .. 1"), (2 * Y, "got 0 .. 4")])
def test_class_ids_begin_at_zero_and_leave_none_out(labels: np.ndarray, advice: str):
    with pytest.raises(DataError, match=f"class ids must be 0 .. K - 1.*{advice}"):
        as_source((X, labels)).splits(0)


def test_a_name_a_class():
    with pytest.raises(SettingError, match="2 names for 3 classes"):
        Arrays(torch.from_numpy(X), torch.from_numpy(Y), classes=("u", "v")).splits(0)


def test_text_becomes_a_source_at_the_command_line():
    assert read_source("wine", train_size=30) == NamedSet("wine", 30)
    assert read_source("data/my.csv", target="y") == TableFile(Path("data/my.csv"), "y")
    with pytest.raises(UnknownNameError, match="did you mean 'wine'"):
        read_source("wime")
    with pytest.raises(
        SettingError, match="target is for tables, tables of series and shards of images, and wine is one"
    ):
        read_source("wine", target="y")
    with pytest.raises(SettingError, match="data_dir is for data sets with a name, and my"):
        read_source("my.csv", data_dir=Path())


# ----------------------------------------------------------------------------------------- how rows are split


def test_every_row_is_in_one_split_and_the_seed_decides_in_which():
    marked = X.copy()
    marked[:, 0] = np.arange(60)

    def rows(seed: int) -> list[list[int]]:
        splits = as_source((marked, Y)).splits(seed)
        assert [len(part) for part in parts(splits)] == [36, 6, 6, 12]
        column = torch.cat([part.x[:, 0] for part in parts(splits)])
        order = column.argsort().argsort().tolist()  # standardised, but in the same order
        return [order[:36], order[36:42], order[42:48], order[48:]]

    assert sorted(row for part in rows(0) for row in part) == list(range(60))
    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


def test_splits_are_stratified():
    y = np.repeat([0, 1], [50, 10])
    for part in parts(as_source((X, y)).splits(0)):
        expected = len(part) / 6
        assert abs(int((part.y == 1).sum()) - expected) <= 1
    few = Arrays(torch.from_numpy(X), torch.from_numpy(y), train_size=12).splits(0)
    assert len(few.train) == 12
    assert int((few.train.y == 1).sum()) == 2
    assert len(few.test) == 12


def test_standardisation_knows_the_train_split_only():
    splits = as_source((X, Y)).splits(3)
    assert torch.allclose(splits.train.x.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(splits.train.x.std(0, correction=0), torch.ones(4), atol=1e-5)
    everything = torch.cat([part.x for part in parts(splits)])
    assert not torch.allclose(everything.mean(0), torch.zeros(4), atol=1e-3)  # not that of all rows


def test_a_wild_test_row_moves_no_training_row():
    x = torch.from_numpy(X).clone()
    places = torch.arange(60.0)
    marked = as_source((torch.cat([x, places[:, None]], 1), Y)).splits(0)
    train, test = marked.train.x, marked.test.x
    order = torch.cat([part.x[:, 4] for part in parts(marked)]).argsort().argsort()
    row = int(order[-1])  # the last row of the test split
    wild = x.clone()
    wild[row] = 1e6
    again = as_source((torch.cat([wild, places[:, None]], 1), Y)).splits(0)
    assert torch.equal(again.train.x, train)
    assert torch.equal(again.test.x[:-1], test[:-1])
    assert (again.test.x[-1, :4] > 1e4).all()


def test_images_are_standardised_by_channel_and_series_by_column():
    images = torch.from_numpy(RNG.normal(size=(60, 2, 3, 3)) * np.array([1.0, 50.0])[None, :, None, None])
    splits = as_source((images, Y)).splits(0)
    assert torch.allclose(splits.train.x.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(splits.train.x.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-4)
    series = torch.from_numpy(RNG.normal(size=(60, 5, 2)) * np.array([1.0, 50.0]))
    column = as_source((series, Y)).splits(0).train.x
    assert torch.allclose(column.std((0, 1), correction=0), torch.ones(2), atol=1e-4)


def test_a_column_that_never_changes_stays_finite():
    x = X.copy()
    x[:, 1] = 7
    assert as_source((x, Y)).splits(0).train.x[:, 1].abs().max() == 0


@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 3)])
def test_floating_targets_are_regressed_in_units_of_the_train_split(shape: tuple[int, ...]):
    y = 100 + 20 * RNG.normal(size=shape)
    splits = as_source((X, y)).splits(0)
    about, train = splits.about, splits.train.y
    assert about.task == "regression"
    assert train.shape == (36, shape[1] if len(shape) == 2 else 1)
    assert about.targets == train.shape[1]
    assert float(train.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-5)
    back = torch.cat([part.y for part in parts(splits)]).double() * torch.tensor(about.target_std) + torch.tensor(
        about.target_mean
    )
    assert np.allclose(np.sort(back.flatten().numpy()), np.sort(y.flatten()), atol=1e-3)


def test_whole_is_all_rows_without_noise():
    small = Noisy(NamedSet("wine", train_size=30), Symmetric(0.5))
    assert small.train_size == 30
    assert small.whole() == NamedSet("wine")
    assert (small.splits(0).train.y != NamedSet("wine", 30).splits(0).train.y).any()
    assert torch.equal(small.splits(0).test.y, NamedSet("wine", 30).splits(0).test.y)
    arrays = Arrays(torch.from_numpy(X), torch.from_numpy(Y), train_size=9)
    assert len(arrays.whole().splits(0).train) == 36
    assert Frame(FRAME, "label", train_size=9).whole().train_size is None


# --------------------------------------------------------------------------------------- what tells two apart


def sources() -> dict[str, Any]:
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    return {
        "named": NamedSet("wine"),
        "file": TableFile(Path("t.csv"), "label"),
        "noisy": Noisy(NamedSet("wine"), Symmetric(0.4)),
        "fixed": Fixed(as_source((x, y)).splits(0)),
        "frame": Frame(FRAME, "label"),
        "arrays": Arrays(x, y),
    }


@pytest.mark.parametrize("kind", sources())
def test_the_repr_is_that_of_the_content(kind: str):
    assert repr(sources()[kind]) == repr(sources()[kind])
    assert "0x" not in repr(sources()[kind])


def test_other_content_has_another_repr():
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    other_x, other_y = x.clone(), y.clone()
    other_x[5, 2] += 1e-3
    other_y[:2] = other_y[:2].flip(0)
    frame = FRAME.copy()
    frame.loc[7, "a"] += 1e-3
    arrays = [Arrays(x, y), Arrays(other_x, y), Arrays(x, other_y), Arrays(x, y, train_size=9)]
    frames = [
        Frame(FRAME, "label"),
        Frame(frame, "label"),
        Frame(FRAME, "a"),
        Frame(FRAME, "label", train_size=9),
        Frame(FRAME, "label", task="binary"),
        Frame(FRAME, "label", keep=("a",)),
        Frame(FRAME, "label", drop=("a",)),
    ]
    fixed = [Fixed(as_source((x, y)).splits(seed)) for seed in (0, 1)]
    everything = [repr(source) for source in (*arrays, *frames, *fixed)]
    assert len(set(everything)) == len(everything)


def test_the_repr_is_the_same_in_every_process(tmp_path: Path):
    kept = {name: source for name, source in sources().items() if name in ("fixed", "frame", "arrays")}
    (tmp_path / "sources.pickle").write_bytes(pickle.dumps(kept))
    code = "import pickle, sys; print([repr(s) for s in pickle.load(open(sys.argv[1], 'rb')).values()])"
    command = [sys.executable, "-c", code, str(tmp_path / "sources.pickle")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str([repr(source) for source in kept.values()])


@pytest.mark.parametrize("kind", sources())
def test_sources_travel_to_other_processes(kind: str):
    source = sources()[kind]
    again = pickle.loads(pickle.dumps(source))
    assert repr(again) == repr(source)
    hash(again)
    if kind != "file":  # which there is none of
        for ours, theirs in zip(parts(source.splits(1)), parts(again.splits(1)), strict=True):
            assert torch.equal(ours.x, theirs.x)
            assert torch.equal(ours.y, theirs.y)


def test_content_that_differs_in_kind_shape_or_names_has_another_repr():
    zeros = torch.zeros(40, 4, 4)
    flat = [Arrays(rows, torch.arange(40) % 2) for rows in (zeros, zeros.view(40, 16), zeros.double())]
    swapped = FRAME.rename(columns={"a": "b", "b": "a"})
    splits = as_source((X, Y)).splits(0)
    other = replace(splits, about=replace(splits.about, classes=("x", "y", "z")))
    for sources in (flat, [Frame(FRAME, "label"), Frame(swapped, "label")], [Fixed(splits), Fixed(other)]):
        assert len({repr(source) for source in sources}) == len(sources)


def test_arrays_are_taken_as_they_come():
    backwards = X[::-1]
    backwards.setflags(write=False)
    tensor = torch.from_numpy(X).bfloat16().requires_grad_()
    for x in (backwards, tensor):
        source = as_source((x, Y))
        assert not source.splits(0).train.x.requires_grad
        assert "sha256" in repr(source)
    with pytest.raises(DataError, match=r"y holds <U1, and not numbers; number the classes 0 .. K - 1, or pass"):
        as_source((X, np.array(["u", "v", "w"])[Y]))


def test_eight_bit_images_are_divided_by_255_and_only_pixels_from_0_to_1_can_be_corrupted():
    pixels = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (60, 1, 8, 8)).astype(np.uint8))
    splits = as_source((pixels, Y)).splits(0)
    mean, std = splits.about.pixel_mean[0], splits.about.pixel_std[0]
    back = torch.cat([part.x for part in parts(splits)]) * std + mean
    assert float(back.min()) == pytest.approx(0, abs=1e-6)
    assert float(back.max()) == pytest.approx(1, abs=1e-6)
    corrupted("contrast", 1, splits.test, splits.about, seed=0)
    raw = as_source((pixels.float(), Y)).splits(0)
    with pytest.raises(SettingError, match="corruptions need pixels from 0 to 1; rescale those of data"):
        corrupted("contrast", 1, raw.test, raw.about, seed=0)


def test_each_of_several_targets_has_its_own_unit():
    y = np.stack(
        [np.random.default_rng(5).normal(size=60), 5 + 1000 * np.random.default_rng(5).normal(size=60)], 1
    ).astype(np.float32)
    splits = as_source((X, y)).splits(0)
    torch.testing.assert_close(splits.train.y.std(0, correction=0), torch.ones(2))
    back = splits.train.y * torch.tensor(splits.about.target_std) + torch.tensor(splits.about.target_mean)
    assert {round(float(value), 2) for value in back[:, 1]} <= {round(float(value), 2) for value in y[:, 1]}
