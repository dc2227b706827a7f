"""Files of arrays become splits: which array is what, which parts are given, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calmix.data import Arrays, Splits, load, read_source
from calmix.data.array_files import ArrayFile
from calmix.data.array_rows import ArrayEncoding, layout_of
from calmix.data.goals import goal_of
from calmix.data.splits import Fold
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError, UnknownNameError

RNG = np.random.default_rng(0)
X = (3 + 2 * RNG.normal(size=(80, 4))).astype(np.float32)
Y = np.arange(80) % 3
IMAGES = RNG.integers(0, 256, (80, 6, 5, 3), dtype=np.uint8)  # (n, H, W, C)
PARTS = ("train", "validation", "calibration", "test")


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, allow_pickle=False, **arrays)
    return path


def x_of(splits: Splits) -> list[torch.Tensor]:
    return [getattr(splits, part).x for part in PARTS]


def encoding_of(splits: Splits) -> ArrayEncoding:
    assert isinstance(splits.encoding, ArrayEncoding)
    return splits.encoding


# ------------------------------------------------------------------------------------------------ every type of file


def test_all_types_of_files_say_what_the_arrays_say(tmp_path: Path):
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    expected = Arrays(x, y).splits(1)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "x.npy", X)
    np.save(tmp_path / "folder" / "y.npy", Y)
    torch.save({"x": x, "y": y}, tmp_path / "named.pt")
    torch.save((x, y), tmp_path / "pair.pth")
    save_file({"X": x, "labels": y}, tmp_path / "data.safetensors")
    others = ("folder", "named.pt", "pair.pth", "data.safetensors")
    for path in (saved(tmp_path, features=X, targets=Y), *(tmp_path / name for name in others)):
        splits = load(str(path), seed=1)
        for part in PARTS:
            assert torch.equal(getattr(splits, part).x, getattr(expected, part).x), path
            assert torch.equal(getattr(splits, part).y, getattr(expected, part).y), path
        assert splits.about.classes == ("0", "1", "2")
        assert splits.about.digest, path


def test_code_in_a_file_of_tensors_is_not_run(tmp_path: Path):
    class Harm:
        def __reduce__(self):
            return (Path(tmp_path / "harmed").touch, ())

    torch.save({"x": torch.zeros(3, 2), "y": Harm()}, tmp_path / "bad.pt")
    with pytest.raises(DataError, match=r"bad\.pt cannot be read.*save plain tensors, torch\.save"):
        load(str(tmp_path / "bad.pt"))
    np.savez(tmp_path / "bad.npz", x=X, y=np.array([Harm()] * 80, object))
    with pytest.raises(DataError, match="holds object and should hold plain arrays"):
        load(str(tmp_path / "bad.npz"))
    assert not (tmp_path / "harmed").exists()


# ---------------------------------------------------------------------------------------------------- given parts


def test_given_parts_are_not_drawn(tmp_path: Path):
    path = saved(tmp_path, x_train=X[:50], y_train=Y[:50], X_val=X[50:60], y_val=Y[50:60], x_test=X[60:], y_test=Y[60:])
    first, second = (load(str(path), seed=seed) for seed in (0, 1))
    for splits in (first, second):
        assert torch.equal(splits.test.y, torch.from_numpy(Y[60:]))
        assert torch.equal(splits.validation.y, torch.from_numpy(Y[50:60]))
        train_and_calibration = torch.cat([splits.train.y, splits.calibration.y])
        assert sorted(train_and_calibration.tolist()) == sorted(Y[:50].tolist())
        assert len(splits.calibration) == 7  # a seventh of 50
        assert any(
            "splits that are given: test (20 rows), validation (10 rows)" in said for said in splits.about.notices
        )
        assert any(said.startswith("every seed tests the same rows") for said in splits.about.notices)
        assert splits.given is not None
        assert splits.given.tested.tolist() == list(range(20))  # as in x_test
        assert torch.equal(encoding_of(splits)(X[60:]).x[:], splits.test.x)
    assert not torch.equal(first.train.y, second.train.y)
    with pytest.raises(SettingError, match="has a test split of its own"):
        ArrayFile(path).splits(Fold(0, 5))
    assert not ArrayFile(path).foldable
    assert ArrayFile(saved(tmp_path / ".." / tmp_path.name, x=X, y=Y)).foldable


def test_names_as_others_write_them(tmp_path: Path):
    path = saved(tmp_path, train_images=IMAGES[:60], train_labels=Y[:60, None], test_images=IMAGES[60:],
                 test_labels=Y[60:, None], ids=np.arange(80))  # fmt: skip
    splits = load(str(path))
    assert torch.equal(splits.test.y, torch.from_numpy(Y[60:]))
    assert any("left out: 'ids'" in notice for notice in splits.about.notices)


def test_only_the_rows_to_train_on_standardise(tmp_path: Path):
    path = saved(tmp_path, x=X, y=Y, x_test=1000 + X, y_test=Y)
    splits = load(str(path))
    torch.testing.assert_close(splits.train.x.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    assert (splits.test.x > 100).all()


# --------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((9, 32, 32, 3), "channels last"), ((9, 3, 32, 32), "as given"), ((9, 28, 28, 1), "channels last"),
        ((9, 1, 28, 28), "as given"), ((9, 4, 9, 8), "as given"), ((9, 9, 8, 4), "channels last"),
        ((9, 13, 64, 64), "as given"), ((9, 64, 64, 13), "channels last"), ((9, 4, 4, 1), "channels last"),
    ],
)  # fmt: skip
def test_the_axis_of_the_channels_is_found(shape: tuple[int, ...], layout: str):
    found, told = layout_of(shape, is_bytes=True)
    assert found == layout
    assert "is the channels" in told


@pytest.mark.parametrize("shape", [(9, 3, 8, 3), (9, 5, 6, 7), (9, 3, 3, 3), (9, 7, 7, 7)])
def test_what_cannot_be_told_is_refused(shape: tuple[int, ...]):
    with pytest.raises(DataError, match="it cannot be told which axis holds the channels"):
        layout_of(shape, is_bytes=True)


def test_both_orders_of_axes_are_the_same_images(tmp_path: Path):
    last = load(str(saved(tmp_path, x=IMAGES, y=Y)))
    first = load(str(saved(tmp_path, x=np.moveaxis(IMAGES, 3, 1), y=Y)))
    for one, other in zip(x_of(last), x_of(first), strict=True):
        assert torch.equal(one, other)
    assert last.train.shape == (3, 6, 5)
    about = last.about
    assert about.kind == "image"
    pixels = last.test.x[0] * torch.tensor(about.pixel_std).view(3, 1, 1) + torch.tensor(about.pixel_mean).view(3, 1, 1)
    assert last.given is not None
    place = last.given.tested[0]
    np.testing.assert_allclose(pixels, np.moveaxis(IMAGES[place], 2, 0) / 255, atol=1e-6)


def test_bytes_without_channels_are_grey_images_and_floats_are_series(tmp_path: Path):
    grey = load(str(saved(tmp_path, x=IMAGES[..., 0], y=Y)))
    assert (grey.about.kind, grey.train.shape) == ("image", (1, 6, 5))
    assert any("grey images of 6 x 5 pixels" in notice for notice in grey.about.notices)
    series = load(str(saved(tmp_path, x=IMAGES[..., 0] / 255, y=Y)))
    assert (series.about.kind, series.train.shape) == ("series", (6, 5))
    assert any("series of 6 steps of 5 columns" in notice for notice in series.about.notices)


def test_whole_numbers_are_measurements(tmp_path: Path):
    whole = load(str(saved(tmp_path, x=X.astype(np.int16), y=Y)))
    floats = load(str(saved(tmp_path, x=X.astype(np.int16).astype(float), y=Y)))
    assert torch.equal(whole.train.x, floats.train.x)
    assert any("whole numbers (int16)" in notice for notice in whole.about.notices)


# -------------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("values", "task", "classes", "ids"),
    [
        ([7, 3, 7], None, ("3", "7"), [1, 0, 1]),
        ([10, 9, -1], None, ("-1", "9", "10"), [2, 1, 0]),
        ([2.0, 1.0, 2.0], "classification", ("1", "2"), [1, 0, 1]),
        (["b", "a", "ä"], None, ("a", "b", "ä"), [1, 0, 2]),
        ([b"b", b"a", b"b"], None, ("a", "b"), [1, 0, 1]),
        ([True, False, True], None, ("False", "True"), [1, 0, 1]),
        ([[5], [6], [5]], "binary", ("5", "6"), [0, 1, 0]),
    ],
)
def test_values_of_any_kind_become_classes(values: list, task: str | None, classes: tuple[str, ...], ids: list[int]):
    goal = goal_of(np.array(values), task, "y")
    assert goal.classes == classes
    assert goal.y.tolist() == ids
    assert goal.task == (task or "classification")


def test_floating_numbers_are_values_to_regress():
    goal = goal_of(np.array([1.0, 2.0, 3.5]), None, "y")
    assert (goal.task, goal.classes, goal.y.tolist()) == ("regression", (), [[1.0], [2.0], [3.5]])
    assert goal_of(np.array([1, 2]), "regression", "y").y.tolist() == [[1.0], [2.0]]
    assert goal_of(np.zeros((5, 2)), None, "y").y.shape == (5, 2)


WRONG_TARGETS = {
    "one-hot": (np.eye(3, dtype=int), None, r"shape \(3, 3\).*of one-hot rows give the class ids"),
    "decimals": (np.array([0.5, 1]), "classification", "numbers with decimals.*use regression"),
    "texts to regress": (np.array(["a", "b"]), "regression", "regression needs numbers"),
    "one class": (np.array([4, 4]), None, "y has one class, '4'"),
    "three in two": (np.array([1, 2, 3]), "binary", "3 classes, and binary needs two"),
    "NaN": (np.array([0, 1, np.nan, np.inf]), None, r"y: row 2 \(counted from 0\) holds NaN.*and so do 1 more"),
}


@pytest.mark.parametrize(("values", "task", "advice"), WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_what_is_no_target_is_an_error(values: np.ndarray, task: str | None, advice: str):
    with pytest.raises(DataError, match=advice):
        goal_of(values, task, "y")


# --------------------------------------------------------------------------------------------------- what is wrong

NAN = np.where(np.arange(80)[:, None] == 7, np.nan, X)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no y": ({"x": X}, r"lacks y \(it holds x \(80, 4\)\); give x and y"),
    "no x": ({"y": Y}, "lacks x"),
    "other names": ({"a": X, "b": Y}, r"lacks x \(it holds a \(80, 4\), b \(80,\)\)"),
    "no y of the test part": ({"x": X, "y": Y, "x_test": X}, "lacks y"),
    "a test part alone": ({"x_test": X, "y_test": Y}, "lacks x"),
    "two of a name": ({"x": X, "X": X, "y": Y}, "holds both 'x' and 'X'"),
    "lengths": ({"x": X, "y": Y[:9]}, r"the train part has x \(80, 4\) and y \(9,\)"),
    "a vector": ({"x": X[:, 0], "y": Y}, r"expected rows \(n, \.\.\.\)"),
    "shapes of parts": ({"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}, "the rows of the parts have the shapes"),
    "kinds of parts": ({"x": X, "y": Y, "x_test": X, "y_test": Y.astype(float)}, "y is of one kind in one part"),
    "bytes in one part": ({"x": X, "y": Y, "x_test": X.astype(np.uint8), "y_test": Y}, "8-bit integers in one part"),
    "NaN": ({"x": NAN, "y": Y}, r"x of train: row 7 \(counted from 0\) holds NaN"),
    "beyond float32": ({"x": X.astype(float) * 1e39, "y": Y}, "beyond float32"),
    "texts": ({"x": X.astype(str), "y": Y}, "holds <U.*and rows are numbers"),
}


@pytest.mark.parametrize(("arrays", "advice"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_is_an_error(arrays: dict[str, Any], advice: str, tmp_path: Path):
    with pytest.raises(DataError, match=advice):
        load(str(saved(tmp_path, **arrays)))


def test_files_that_hold_no_arrays(tmp_path: Path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(DataError, match=r"holds one array; put x\.npy and y\.npy into a folder"):
        load(str(tmp_path / "x.npy"))
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match=r"bad\.safetensors cannot be read"):
        load(str(tmp_path / "bad.safetensors"))
    torch.save(5, tmp_path / "five.pt")
    with pytest.raises(DataError, match="holds int, and no tensors by name"):
        load(str(tmp_path / "five.pt"))
    with pytest.raises(DataError, match="file not found"):
        load(str(tmp_path / "missing.npz"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files that a folder of data may hold"):
        load(str(tmp_path / "empty"))


def test_options_of_tables_are_refused(tmp_path: Path):
    path = str(saved(tmp_path, x=X, y=Y))
    given: tuple[dict[str, Any], ...] = (
        {"target": "y"},
        {"keep": ["a"]},
        {"drop": ["a"]},
        {"format": TableFormat(sep=";")},
    )
    for options in given:
        with pytest.raises(SettingError, match=f"{next(iter(options))} is for tables.*holds arrays: leave it out"):
            read_source(path, **options)
    with pytest.raises(UnknownNameError, match="unknown task"):
        read_source(path, task="regresion")


def test_a_file_is_read_anew_when_it_changed(tmp_path: Path):
    source = ArrayFile(saved(tmp_path, x=X, y=Y))
    before = source.splits(0)
    saved(tmp_path, x=X, y=Y[::-1])
    after = source.splits(0)
    assert before.about.digest != after.about.digest
    assert not torch.equal(before.test.x, after.test.x)


def test_the_text_of_a_source_is_short(tmp_path: Path):
    assert repr(ArrayFile(Path("a.npz"))) == "ArrayFile(path=PosixPath('a.npz'))"
    assert (
        repr(ArrayFile(Path("a.npz"), "binary", 30))
        == "ArrayFile(path=PosixPath('a.npz'), task='binary', train_size=30)"
    )
    source = ArrayFile(saved(tmp_path, x=X, y=Y), train_size=10)
    assert len(source.splits(0).train) == 10
    assert len(source.whole().splits(0).train) == 48


# ------------------------------------------------------------------------------------------------------- new rows


def test_new_rows_are_encoded_as_those_of_training(tmp_path: Path):
    splits = load(str(saved(tmp_path, x=IMAGES, y=np.array(["u", "v", "w"])[Y])))
    path = tmp_path / "new.npz"
    np.savez(path, x=IMAGES, y=np.array(["u", "v", "w"])[Y])
    rows = encoding_of(splits).read(path, DETECTED)
    assert splits.given is not None
    assert torch.equal(rows.x[torch.from_numpy(splits.given.tested)], splits.test.x)
    assert rows.truth is not None
    assert rows.truth.tolist() == np.array(["u", "v", "w"])[Y].tolist()
    np.save(tmp_path / "alone.npy", IMAGES[:3])
    alone = encoding_of(splits).read(tmp_path / "alone.npy", DETECTED)
    assert torch.equal(alone.x[:], rows.x[:3])
    assert alone.truth is None
    floats = encoding_of(splits)((IMAGES[:3] / 255).astype(np.float32))
    torch.testing.assert_close(floats.x[:], rows.x[:3])


def test_new_rows_that_are_not_like_those_of_training(tmp_path: Path):
    encoding = encoding_of(load(str(saved(tmp_path, x=IMAGES, y=Y))))
    with pytest.raises(DataError, match=r"rows of shape \(3, 6, 5\), and the network was trained on \(6, 5, 3\)"):
        encoding(np.moveaxis(IMAGES, 3, 1))
    with pytest.raises(DataError, match=r"x holds numbers from 0 to 255.*divide them by 255"):
        encoding(IMAGES.astype(np.float32))
    with pytest.raises(SettingError, match="is for tables"):
        encoding.read(tmp_path / "data.npz", TableFormat(sep=";"))
    np.savez(tmp_path / "new.npz", x=IMAGES, y=Y[:5])
    with pytest.raises(DataError, match=r"y has shape \(5,\), and there are 80 rows"):
        encoding.read(tmp_path / "new.npz", DETECTED)


def test_of_several_parts_the_test_part_is_predicted(tmp_path: Path):
    path = saved(tmp_path, x_train=X[:60], y_train=Y[:60], x_test=X[60:], y_test=Y[60:])
    encoding = encoding_of(load(str(path)))
    rows = encoding.read(path, DETECTED)
    assert rows.x.shape[0] == 20
    assert rows.notices == ["the test part of data.npz is predicted, and no other."]
    np.savez(tmp_path / "odd.npz", x_train=X, x_val=X)
    with pytest.raises(DataError, match="it cannot be told which to predict"):
        encoding.read(tmp_path / "odd.npz", DETECTED)


def test_numbers_are_their_own_truth(tmp_path: Path):
    path = saved(tmp_path, x=X, y=X[:, 0])
    rows = encoding_of(load(str(path))).read(path, DETECTED)
    assert rows.truth is not None
    np.testing.assert_allclose(rows.truth, X[:, 0])


def test_rows_from_python_are_encoded_too():
    splits = Arrays(torch.from_numpy(X), torch.from_numpy(Y)).splits(0)
    assert splits.given is not None
    assert torch.equal(encoding_of(splits)(X[splits.given.tested]).x[:], splits.test.x)
