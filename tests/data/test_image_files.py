"""Folders of images and shards of the hub: what is found, decoded, kept, and predicted."""

import io
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import calmix
from calmix.cli import main
from calmix.data import Folds, ImageFolder, read_source
from calmix.data.image_files import cache as cache_module
from calmix.data.image_files.cache import cached
from calmix.data.image_files.decode import look, pixels
from calmix.data.image_files.find import find
from calmix.data.image_files.found import find_images
from calmix.data.image_files.new_images import ImageEncoding, ImageRows
from calmix.data.splits import Fold
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.rows import Rows
from calmix.studies.comparison.kept import train_and_keep
from calmix.train import Recipe, TrainingSettings
from calmix.train.saved import load, prediction_table

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder beside the cache."""
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path, **options)
    return path


def soft(height: int, width: int, channels: int = 3) -> np.ndarray:
    array = RNG.integers(0, 256, (max(2, height // 8), max(2, width // 8), channels), np.uint8)
    image = Image.fromarray(array if channels > 1 else array[:, :, 0])
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def folder(
    root: Path, classes: Sequence[str] = ("cat", "dog"), each: int = 12, size: tuple[int, int] = (8, 10)
) -> Path:
    for k, name in enumerate(classes):
        for number in range(each):
            save(root / name / f"{number:02}.png", np.clip(soft(*size) / 2 + 100 * k, 0, 255))
    return root


# ------------------------------------------------------------------------------------------------ what is found


def test_folders_are_classes_and_what_is_in_folders_below_belongs_to_them(tmp_path: Path):
    root = folder(tmp_path / "photos", ("ñandú", "Кот"), 3)
    save(root / "Кот" / "more" / "deep" / "x.JPG", soft(8, 10))
    for idle in (".hidden.png", ".git/a.png", "Кот/.thumb.png", "__MACOSX/a.png", "Thumbs.db"):
        (root / idle).parent.mkdir(exist_ok=True)
        (root / idle).write_bytes(b"no image")
    (root / "empty").mkdir()
    (root / "Кот" / "notes.txt").write_text("x")
    found = find_images(root)
    assert found.classes == ("ñandú", "Кот")
    assert found.labels.tolist() == [0] * 3 + [1] * 4
    assert found.names[-1] == "Кот/more/deep/x.JPG"
    assert found.given == {}
    assert found.notices == (
        "empty/ holds no images, and is no class.",
        "1 file is no image by its name and is left out: 'Кот/notes.txt'.",
    )


def test_names_that_systems_write_differently_are_one_class(tmp_path: Path):
    folder(tmp_path / "train", ("caf\u00e9", "bar"), 3)
    folder(tmp_path / "test", ("cafe\u0301", "bar"), 3)
    assert find_images(tmp_path).classes == ("bar", "caf\u00e9")


@pytest.mark.parametrize("called", ["val", "valid", "Validation"])
def test_parts_that_are_given_stay_as_they_are(photos: Path, called: str):
    for part, each in (("train", 20), (called, 3), ("test", 4)):
        folder(photos / part, each=each)
    splits = ImageFolder(photos).splits(3)
    assert [len(split) for split in (splits.validation, splits.test)] == [6, 8]
    assert len(splits.train) + len(splits.calibration) == 40
    assert splits.given is not None
    assert {name.split("/")[0] for name in splits.given.names_of(splits.given.tested.tolist())} == {"test"}
    assert not ImageFolder(photos).foldable
    shutil.rmtree(photos / called)
    drawn = ImageFolder(photos).splits(3)
    assert len(drawn.test) == 8
    assert len(drawn.validation) == len(drawn.calibration) == 5
    with pytest.raises(SettingError, match="no rows to cut into folds"):
        Folds(ImageFolder(photos), 4)


def test_a_test_folder_without_classes_is_left_out_and_named(photos: Path):
    folder(photos / "train", each=20)
    save(photos / "test" / "1.png", soft(8, 10))
    splits = ImageFolder(photos).splits(0)
    assert len(splits.test) == 8
    assert any(notice.startswith("test/ has no class folders and is left out") for notice in splits.about.notices)


def test_a_class_may_be_called_test(tmp_path: Path):
    assert find_images(folder(tmp_path / "a", ("rest", "test"), 3)).classes == ("rest", "test")
    assert find_images(folder(tmp_path / "b", ("bus", "train"), 3)).classes == ("bus", "train")


def loose(root: Path) -> None:
    save(root / "a.png", soft(8, 8))


def unknown_class(root: Path) -> None:
    folder(root / "train")
    folder(root / "test", ("cat", "horse"))


def others_beside_parts(root: Path) -> None:
    for part in ("train", "test", "more"):
        folder(root / part)


def two_tests(root: Path) -> None:
    for part in ("train", "test", "testing"):
        folder(root / part)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (loose, "holds 1 images and no class folders; make one folder a class"),
        (lambda root: root.mkdir(exist_ok=True), "holds no images"),
        (lambda root: folder(root, ("cat",)), "has one class, 'cat'; give two or more"),
        (unknown_class, "test has classes that train lacks: 'horse'"),
        (others_beside_parts, "holds train/, test/ and other folders: 'more'; move these elsewhere"),
        (two_tests, "two folders for one part; merge them"),
    ],
)
def test_folders_that_cannot_be_used_are_a_sentence(tmp_path: Path, make: Callable[[Path], Any], message: str):
    root = tmp_path / "photos"
    root.mkdir()
    make(root)
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        ImageFolder(root).splits(0)
    assert str(raised.value).count("\n") == 0
    assert not (tmp_path / "cache").exists()


def test_a_link_to_where_it_is_is_followed_once(tmp_path: Path):
    root = folder(tmp_path / "photos", each=3)
    (root / "cat" / "again").symlink_to(root / "cat", target_is_directory=True)
    assert len(find_images(root).names) == 6


# ------------------------------------------------------------------------------------------------ what is decoded


def decoded(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return pixels(path, shape).astype(int)


def test_images_of_every_mode_become_bytes(tmp_path: Path):
    grey, colour = soft(8, 8, 1), soft(8, 8)
    save(tmp_path / "grey.png", grey)
    assert (decoded(tmp_path / "grey.png", (1, 8, 8))[0] == grey).all()
    assert (decoded(tmp_path / "grey.png", (3, 8, 8)) == grey).all()
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    assert (decoded(tmp_path / "wide.png", (1, 8, 8))[0] == grey).all()
    Image.fromarray(colour).quantize(256).save(tmp_path / "palette.png")
    assert np.abs(decoded(tmp_path / "palette.png", (3, 8, 8)).transpose(1, 2, 0) - colour).max() <= 4
    clear = np.dstack([colour, np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    shown = decoded(tmp_path / "clear.png", (3, 8, 8)).transpose(1, 2, 0)
    assert (shown[:4] == 255).all()
    assert (shown[4:] == colour[4:]).all()
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "print.tif")
    assert np.abs(decoded(tmp_path / "print.tif", (3, 8, 8)).transpose(1, 2, 0) - colour).max() <= 2
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (10, 200)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    assert (decoded(tmp_path / "moves.gif", (1, 8, 8)) == 10).all()
    save(tmp_path / "dot.png", np.full((1, 1, 3), 77))
    assert (decoded(tmp_path / "dot.png", (3, 5, 5)) == 77).all()


TURNS = Image.Transpose
LAID = {  # EXIF orientation -> how the upright image is laid down for it
    1: (), 2: (TURNS.FLIP_LEFT_RIGHT,), 3: (TURNS.ROTATE_180,), 4: (TURNS.FLIP_TOP_BOTTOM,), 5: (TURNS.TRANSPOSE,),
    6: (TURNS.ROTATE_90,), 7: (TURNS.TRANSVERSE,), 8: (TURNS.ROTATE_270,),
}  # fmt: skip


@pytest.mark.parametrize("orientation", LAID)
def test_an_image_stands_upright_as_its_camera_says(tmp_path: Path, orientation: int):
    upright = soft(16, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = Image.fromarray(upright)
    for turn in LAID[orientation]:
        lying = lying.transpose(turn)
    lying.save(tmp_path / "photo.png", exif=exif)
    assert look(tmp_path / "photo.png").size == (16, 24)
    assert (decoded(tmp_path / "photo.png", (3, 16, 24)).transpose(1, 2, 0) == upright).all()


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (300, 200)])
def test_the_middle_is_scaled_without_aliasing(tmp_path: Path, size: tuple[int, int]):
    array = soft(*size)
    save(tmp_path / "a.jpg", array, quality=95)
    image = Image.open(tmp_path / "a.jpg")
    side, left, top = min(size), (size[1] - min(size)) // 2, (size[0] - min(size)) // 2
    middle = image.crop((left, top, left + side, top + side)).resize((20, 20), Image.Resampling.BILINEAR)
    difference = decoded(tmp_path / "a.jpg", (3, 20, 20)).transpose(1, 2, 0) - np.asarray(middle).astype(int)
    assert np.abs(difference).mean() < 1.5
    stripes = np.zeros((200, 200)) + 255 * (np.arange(200) % 2)
    save(tmp_path / "stripes.png", stripes)
    assert np.abs(decoded(tmp_path / "stripes.png", (1, 20, 20)) - 127.5).max() < 6


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "truncated"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "it is no image that Pillow knows"),
        (bomb, "more than 178 million pixels; scale it down"),
        (lambda path: Image.fromarray(np.ones((4, 4), np.float32)).save(path, "TIFF"), "floating numbers"),
    ],
)
def test_broken_files_are_named_and_nothing_is_kept(
    tmp_path: Path, own_cache: Path, spoil: Callable[[Path], Any], reason: str
):
    root = folder(tmp_path / "photos", each=3)
    for name in ("b.png", "a.png"):
        shutil.copy(root / "cat" / "00.png", root / "dog" / name)
        spoil(root / "dog" / name)
    with pytest.raises(DataError, match=f"2 images cannot be read in .*: dog/a.png .*{reason}.*, dog/b.png") as raised:
        ImageFolder(root).splits(0)
    assert str(raised.value).endswith("; replace or remove them.")
    assert not own_cache.exists() or list(own_cache.iterdir()) == []


# ------------------------------------------------------------------------------------------------ sizes and channels


def test_images_keep_their_size_where_all_have_the_same_small_one(tmp_path: Path):
    same = ImageFolder(folder(tmp_path / "same", size=(8, 10)))
    assert same.splits(0).train.shape == (3, 8, 10)
    assert not any("scaled" in notice for notice in same.splits(0).about.notices)
    assert ImageFolder(folder(tmp_path / "large", size=(65, 65))).splits(0).train.shape == (3, 64, 64)
    save(tmp_path / "same" / "cat" / "other.png", soft(9, 10))
    mixed = ImageFolder(tmp_path / "same").splits(0)
    assert mixed.train.shape == (3, 64, 64)
    assert "the middle of each image is scaled to 64 x 64 pixels (--image-size)." in mixed.about.notices
    assert ImageFolder(tmp_path / "same", 12).splits(0).train.shape == (3, 12, 12)
    for side in (0, 4097):
        with pytest.raises(SettingError, match=f"image_size must be from 1 to 4096 pixels; got {side}"):
            ImageFolder(tmp_path, side)


def test_images_are_grey_where_all_files_are(photos: Path):
    for k, name in enumerate(("a", "b")):
        for number in range(12):
            save(photos / name / f"{number}.png", soft(6, 6, 1) // 2 + 100 * k)
    assert ImageFolder(photos).splits(0).train.shape == (1, 6, 6)
    save(photos / "a" / "colour.png", soft(6, 6))
    assert ImageFolder(photos).splits(0).train.shape == (3, 6, 6)


def test_splits_hold_the_pixels_standardised_by_the_training_split(tmp_path: Path):
    root = folder(tmp_path / "photos")
    source = ImageFolder(root, train_size=8)
    splits = source.splits(1)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.about.pixel_mean, splits.about.pixel_std))
    assert torch.allclose(splits.train.x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert len(splits.train) == 8
    assert splits.given is not None
    for x, number, y in zip(splits.test.x, splits.given.tested.tolist(), splits.test.y.tolist(), strict=True):
        [name] = splits.given.names_of([number])
        raw = torch.from_numpy(np.asarray(Image.open(root / name)).copy()).permute(2, 0, 1) / 255
        assert torch.allclose(x * std + mean, raw, atol=1e-5)
        assert name.startswith(splits.about.classes[y])
    assert len(source.whole().splits(1).train) > 8
    assert pickle.loads(pickle.dumps(source)) == source
    assert repr(source) == f"ImageFolder(path={root!r}, train_size=8)"
    assert len(ImageFolder(root).splits(Fold(0, 4)).test) == 6


# ------------------------------------------------------------------------------------------------ the cache


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def count(*arguments: Any) -> Any:
        calls.append(1)
        return pixels(*arguments)

    monkeypatch.setattr(cache_module, "pixels", count)
    return calls


def test_images_are_decoded_once_until_a_file_changes(tmp_path: Path, own_cache: Path, counted: list[int]):
    root = folder(tmp_path / "photos", each=3)
    told: list[tuple[int, int]] = []
    path, known = cached(find_images(root), None, lambda *news: told.append(news))
    assert told == [(number, 6) for number in range(1, 7)]
    assert cached(find_images(root), None) == (path, known)
    assert len(counted) == 6
    assert list(own_cache.iterdir()) == [path]
    other_size, scaled = cached(find_images(root), 5)
    assert (len(counted), scaled.shape, scaled.digest) == (12, (3, 5, 5), known.digest)
    assert other_size != path
    os.utime(root / "cat" / "00.png", (1, 1))
    touched = cached(find_images(root), None)
    assert len(counted) == 18
    assert touched[1].digest == known.digest  # the content is the same
    save(root / "cat" / "00.png", soft(8, 10))
    assert cached(find_images(root), None)[1].digest != known.digest
    (root / "cat" / "01.png").rename(root / "cat" / "renamed.png")
    assert cached(find_images(root), None)[1].digest not in (known.digest, touched[1].digest)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:100],
        lambda raw: raw[:-1],
        lambda raw: raw[50:],
        lambda raw: raw.replace(b'"rows": 6', b'"rows": 5'),
        lambda raw: raw.replace(b'"shape"', b'"shapo"'),
        lambda raw: raw.replace(b"[3,", b"[x,"),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, counted: list[int], damage: Callable[[bytes], bytes]):
    root = folder(tmp_path / "photos", each=3)
    path, known = cached(find_images(root), None)
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    assert cached(find_images(root), None) == (path, known)
    assert path.read_bytes() == whole
    assert len(counted) == 12


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = folder(tmp_path / "photos", each=3)
    monkeypatch.setenv("CALMIX_CACHE", str(root / "cat" / "00.png"))
    with pytest.raises(DataError, match=r"cannot be kept in .*; set CALMIX_CACHE to another folder"):
        cached(find_images(root), None)
    monkeypatch.setenv("CALMIX_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(DataError, match=r"has room for 0.0 GB; set CALMIX_CACHE"):
        cached(find_images(root), None)


def test_a_change_of_any_file_is_another_stamp(photos: Path):
    folder(photos, each=3)
    stamps = {find_images(photos).stamp}
    for path in photos.rglob("*.png"):
        os.utime(path, ns=(1, 1))
        stamps.add(find_images(photos).stamp)
    assert len(stamps) == 1 + 6


def test_a_file_that_is_added_is_seen_by_the_same_source(tmp_path: Path):
    source = ImageFolder(folder(tmp_path / "photos"))
    before = source.splits(0)
    assert source.splits(0) is before
    save(tmp_path / "photos" / "cat" / "new.png", soft(8, 10))
    os.utime(tmp_path / "photos" / "cat", (1, 1))  # as if it had come much later, or earlier
    after = source.splits(0)
    assert sum(after.about.digest != before.about.digest for _ in "x") == 1
    assert after.given is not None
    assert len(after.given.numbers) == 25


# ------------------------------------------------------------------------------------------------ shards of the hub


def encoded(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def table(labels: Sequence[Any], names: Sequence[str] = (), **others: Sequence[Any]) -> pa.Table:
    images = [{"bytes": encoded(np.clip(soft(6, 6) / 2 + 50, 0, 255)), "path": None} for _ in labels]
    made = pa.table({"img": images, "label": labels, **others})
    features: Mapping[str, Any] = {"img": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return (
        made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}) if names else made
    )


def hub(root: Path, names: Sequence[str] = ("bird", "ant")) -> Path:
    (root / "data").mkdir(parents=True)
    for shard in range(2):
        path = root / "data" / f"train-0000{shard}-of-00002.parquet"
        pq.write_table(table([0, 1] * 10, names), path, row_group_size=7)
    pq.write_table(table([1, 0, 0], names), root / "data" / "test-00000-of-00001.parquet")
    return root


def test_shards_of_the_hub_are_images_with_parts_and_names(tmp_path: Path):
    splits = ImageFolder(hub(tmp_path / "hub")).splits(0)
    assert splits.about.classes == ("bird", "ant")
    assert splits.test.y.tolist() == [1, 0, 0]
    assert splits.train.shape == (3, 6, 6)
    assert splits.given is not None
    assert splits.given.names_of(splits.given.tested.tolist())[2] == "data/test-00000-of-00001.parquet:2"
    row = pq.read_table(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet")["img"][2].as_py()["bytes"]
    raw = torch.from_numpy(np.asarray(Image.open(io.BytesIO(row))).copy()).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.about.pixel_mean, splits.about.pixel_std))
    assert torch.allclose(splits.test.x[2] * std + mean, raw, atol=1e-5)


def test_other_classes_of_the_same_images_are_other_data(tmp_path: Path):
    source = ImageFolder(hub(tmp_path / "hub"))
    shard = tmp_path / "hub" / "data" / "test-00000-of-00001.parquet"
    before, made = source.splits(0), pq.read_table(shard)
    pq.write_table(made.set_column(1, "label", pa.array([1, 1, 0])), shard)
    os.utime(shard, (1, 1))
    after = source.splits(0)
    assert (before.test.y.tolist(), after.test.y.tolist()) == ([1, 0, 0], [1, 1, 0])
    assert sum(after.about.digest != before.about.digest for _ in "x") == 1
    for path in shard.parent.iterdir():  # the same names in another order
        pq.write_table(pq.read_table(path).replace_schema_metadata(table([], ("ant", "bird")).schema.metadata), path)
        os.utime(path, (2, 2))
    assert len({splits.about.digest for splits in (before, after, source.splits(0))}) == 3


def test_classes_without_names_are_called_after_their_values(tmp_path: Path):
    assert find(hub(tmp_path / "numbers", ()), None).classes == ("0", "1")
    (tmp_path / "texts").mkdir()
    pq.write_table(table(["no", "yes"] * 12), tmp_path / "texts" / "all.parquet")
    found = find(tmp_path / "texts", None)
    assert (found.classes, found.given) == (("no", "yes"), {})


def test_several_columns_of_classes_need_a_name(tmp_path: Path):
    (tmp_path / "hub").mkdir()
    made = table([0, 1] * 8, fine=[0, 1, 2, 3] * 4, coarse=["a", "b", "b", "b"] * 4).drop_columns(["label"])
    pq.write_table(made, tmp_path / "hub" / "train.parquet")
    with pytest.raises(DataError, match="name it with --target: 'fine', 'coarse'"):
        find(tmp_path / "hub", None)
    assert find(tmp_path / "hub", "fine").classes == ("0", "1", "2", "3")
    assert find(tmp_path / "hub", "coarse").labels.tolist() == [0, 1, 1, 1] * 4
    with pytest.raises(UnknownNameError, match="did you mean 'fine'"):
        find(tmp_path / "hub", "fin")
    with pytest.raises(SettingError, match="is the column of images"):
        find(tmp_path / "hub", "img")


def test_a_test_shard_without_classes_is_left_out_and_a_training_row_without_one_refused(tmp_path: Path):
    root = hub(tmp_path / "hub")
    pq.write_table(table([-1, -1], ("bird", "ant")), root / "data" / "test-00000-of-00001.parquet")
    found = find(root, None)
    assert (len(found.names), found.given) == (40, {})
    assert found.notices == ("the images of test have no classes and are left out; calmix predict says what they are.",)
    pq.write_table(table([0, None], ("bird", "ant")), root / "data" / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match="has images without a class in 'label'"):
        find(root, None)


def shards(root: Path, **tables: pa.Table) -> Path:
    """NAME.parquet of each; `__` in a name stands for a folder."""
    for name, made in tables.items():
        path = root / (name.replace("__", "/") + ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, path)
    return root


def test_shards_are_read_in_the_order_of_their_names_and_hidden_ones_never(photos: Path):
    labels = np.random.default_rng(0).permutation([0, 1] * 6)
    tables = {f"part{k:02}": table([label]) for k, label in enumerate(labels)}
    found = find(shards(photos, **dict(reversed(tables.items()))), None)
    shards(photos, **{".git__part": table([7]), ".part": table([8])})
    assert find(photos, None).names == found.names == [f"part{k:02}.parquet:0" for k in range(12)]
    assert found.labels.tolist() == labels.tolist()
    assert [made["img"][0].as_py()["bytes"] for made in tables.values()] == [*found.read()]


def test_shards_of_many_rows_are_read_in_turn(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.data.image_files.hub._ROWS", 3)
    made = table([1, 0, 0, 0, 0, 0, 1])
    found = find(shards(photos, all=made), None)
    assert found.labels.tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert [row["bytes"] for row in made["img"].to_pylist()] == [*found.read()]


def test_the_part_of_a_shard_is_told_by_its_name_else_by_its_folders(photos: Path):
    labels = table([0, 1])
    found = find(shards(photos, train__test=labels, training__a=labels, test__dev__b=labels), None)
    assert found.names[::2] == ["training/a.parquet:0", "test/dev/b.parquet:0", "train/test.parquet:0"]
    assert {part: rows.tolist() for part, rows in found.given.items()} == {"validation": [2, 3], "test": [4, 5]}
    assert found.notices == ()


def test_shards_with_validation_and_without_test_say_where_test_images_come_from(tmp_path: Path):
    found = find(shards(tmp_path / "a", train=table([0, 1]), valid=table([0, 1])), None)
    assert list(found.given) == ["validation"]
    assert found.notices == ("there is no test part: test images are drawn from the training images.",)
    found = find(shards(tmp_path / "b", test=table([0, 1]), valid=table([0, 1])), None)  # nothing to train on
    assert (len(found.names), found.given, found.notices) == (4, {}, ())


def test_classes_of_shards_are_those_that_occur_in_the_order_of_their_names(tmp_path: Path):
    found = find(shards(tmp_path / "a", all=table([3, 1, 3], ("d", "c", "b", "a"))), None)
    assert (found.classes, found.labels.tolist()) == (("c", "a"), [1, 0, 1])
    assert find(shards(tmp_path / "b", all=table([10, 2, 1])), None).classes == ("1", "2", "10")


def typed(made: pa.Table, **kinds: Mapping[str, Any]) -> pa.Table:
    """With what the library datasets says of the columns."""
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": kinds}})})


def test_what_the_library_said_of_columns_goes_before_their_names(photos: Path):
    made = table([0, 1, 0], kind=[1, 0, 0])
    made = made.add_column(0, "preview", pa.array([b"x"] * 3))
    names = {"_type": "ClassLabel", "names": ["a", "b"]}
    found = find(shards(photos, all=typed(made, img={"_type": "Image"}, kind=names)), None)
    assert (found.classes, found.labels.tolist()) == (("a", "b"), [1, 0, 0])
    assert [*found.read()] == [row["bytes"] for row in made["img"].to_pylist()]
    shards(photos, all=typed(made, img={"_type": "Image"}, kind=names, label=names))
    with pytest.raises(DataError, match="name it with --target: 'kind', 'label'"):
        find(photos, None)


def test_of_several_columns_of_images_the_first_is_taken_and_that_is_said(photos: Path):
    made = table([0, 1])
    other = pa.array([{"bytes": encoded(soft(6, 6)), "path": None} for _ in range(2)])
    sound = pa.array([{"data": b"x"}] * 2)  # no bytes of an image, by their name
    made = made.append_column("depth", other).add_column(0, "sound", sound)
    found = find(shards(photos, all=made), None)
    assert [*found.read()] == [row["bytes"] for row in made["img"].to_pylist()]
    assert found.notices == ("images are those of 'img'; left out: 'depth'.",)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("called", ["labels", "class"])
def test_columns_that_nobody_describes_are_images_and_classes_all_the_same(photos: Path, kind: Any, called: str):
    images = [encoded(soft(6, 6)) for _ in range(2)]
    found = find(shards(photos, all=pa.table({"photo": pa.array(images, kind), called: ["a", "b"]})), None)
    assert ([*found.read()], found.classes) == (images, ("a", "b"))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"train": table([0, 1]), "more": table([0, 1])}, "holds shards of parts, such as 'train.parquet', and others"),
        ({"all": table([-1, -1])}, "has images without a class in 'label'"),
        ({"all": table([0, 1, 2], ("a", "b"))}, "has classes that are not known: '2'; known: 'a', 'b'"),
        ({"all": table([0, 1, -2], ("a", "b"))}, "has classes that are not known: '-2'; known: 'a', 'b'"),
        ({"all": table([0, 0], ("a", "b"))}, "has one class, 'a', in 'label'; give two or more"),
        ({"all": table([0, 1]).drop_columns(["img"])}, "has no column of encoded images; its columns: 'label'"),
    ],
)
def test_shards_that_cannot_be_used_are_a_sentence(photos: Path, tables: Mapping[str, pa.Table], message: str):
    with pytest.raises(DataError, match=re.escape(message)):
        find(shards(photos, **tables), None)


def test_another_shard_is_another_stamp(photos: Path):
    before = find(shards(photos, a=table([0, 1]), b=table([0, 1])), None).stamp
    os.utime(photos / "b.parquet", ns=(1, 1))
    assert find(photos, None).stamp not in ("", before)


def test_a_row_of_a_shard_without_an_image_is_named(photos: Path):
    made = table([0, 1, 0])
    images = [*made["img"].to_pylist()[:2], None]
    with pytest.raises(DataError, match=r"1 image cannot be read in .*: all\.parquet:2 \(it is empty\)"):
        ImageFolder(shards(photos, all=made.set_column(0, "img", pa.array(images)))).splits(0)


def test_a_single_shard_is_no_table_and_its_folder_is_asked_for(photos: Path):
    shards(photos, all=table([0, 1]))
    with pytest.raises(DataError, match=r"column 'img' is struct<.*; of images give the folder of shards\."):
        read_source(str(photos / "all.parquet"), target="label").splits(0)


def test_arrow_files_of_save_to_disk_are_shards(photos: Path):
    for part, labels in (("train", [0, 1] * 10), ("test", [1, 0, 1])):
        (photos / part).mkdir(parents=True)
        made = table(labels, ("bird", "ant"))
        path = str(photos / part / "data-00000-of-00001.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, made.schema) as stream:
            stream.write_table(made)
    splits = ImageFolder(photos).splits(0)
    assert splits.test.y.tolist() == [1, 0, 1]
    assert splits.about.classes == ("bird", "ant")


def test_broken_shards_and_images_in_them_are_named(tmp_path: Path):
    root = hub(tmp_path / "hub")
    shard = root / "data" / "train-00001-of-00002.parquet"
    made = table([0, 1], ("bird", "ant"))
    images = [{"bytes": encoded(soft(6, 6)), "path": None}, {"bytes": b"nothing", "path": None}]
    pq.write_table(made.set_column(0, "img", pa.array(images)), shard)
    with pytest.raises(DataError, match=r"1 image cannot be read in .*: data/train-00001-of-00002.parquet:1 "):
        ImageFolder(root).splits(0)
    shard.write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match=r"train-00001-of-00002.parquet cannot be read \(.*\); get the file anew"):
        ImageFolder(root).splits(0)


def test_real_shards_of_the_hub_are_the_named_set(real_data: Path):
    found = find(real_data / "cifar10", None)
    assert found.classes[:3] == ("airplane", "automobile", "bird")
    assert (len(found.names), len(found.given["test"])) == (60_000, 10_000)


# ------------------------------------------------------------------------------------------------ new images


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("network")
    old = os.environ.get("CALMIX_CACHE")
    os.environ["CALMIX_CACHE"] = str(home / "cache")
    try:
        recipe = Recipe(
            ImageFolder(folder(home / "photos", each=40)), "mixup", calmix.mixup(), settings=TrainingSettings(epochs=4)
        )
        train_and_keep(recipe, home / "net")
    finally:
        os.environ.pop("CALMIX_CACHE") if old is None else os.environ.update(CALMIX_CACHE=old)
    return home


def test_the_test_images_are_predicted_as_they_were_in_the_run(network: Path):
    predictor = load(network / "net")
    encoding = predictor.encoding
    assert isinstance(encoding, ImageEncoding)
    assert predictor.saved.shape == (3, 8, 10)
    photos = network / "photos"
    found = prediction_table(predictor, encoding.read(photos, DETECTED), 0.1)
    assert list(found.columns) == ["file", "probs_cat", "probs_dog", "answer", "set", "label"]
    assert found.file[0] == "cat/00.png"
    assert (found.label == [name.split("/")[0] for name in found.file]).all()
    assert (found.answer == found.label).mean() > 0.9
    with np.load(network / "net" / "predictions" / "mixup-seed0.npz") as stored:
        logits, rows, temperature = stored["logits"], stored["rows"], stored["temperature"]
    expected = torch.from_numpy(logits).double().div(float(temperature)).softmax(1)
    said = torch.tensor(found.loc[rows, ["probs_cat", "probs_dog"]].to_numpy())
    assert torch.allclose(said, expected, atol=1e-4)
    assert "calmix predict THIS_FOLDER new_images/" in (network / "net" / "README.md").read_text()
    assert '"name": "' in (network / "net" / "mistakes.json").read_text() or (found.answer == found.label)[rows].all()


def test_images_are_predicted_from_files_lists_arrays_and_pillow(network: Path):
    predictor = load(network / "net")
    paths = [network / "photos" / "dog" / f"0{number}.png" for number in range(3)]
    images = [Image.open(path) for path in paths]
    expected = predictor.predict_proba(paths)
    assert expected.shape == (3, 2)
    for same in (images, np.stack([np.asarray(image) for image in images]), [str(path) for path in paths]):
        assert np.allclose(predictor.predict_proba(same), expected)
    for one in (paths[0], str(paths[0]), images[0], np.asarray(images[0])):
        assert np.allclose(predictor.predict_proba(one), expected[:1])
    assert predictor.encoding(paths).names == {"file": [str(path) for path in paths]}
    assert np.allclose(predictor.predict_proba(network / "photos" / "dog")[:3], expected)
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), [3.5], np.zeros((0, 4), np.uint8)):
        with pytest.raises(DataError, match="an image is an array"):
            predictor.predict(wrong)
    with pytest.raises(DataError, match="there are no rows"):
        predictor.predict([])


def test_folders_that_are_no_classes_tell_no_truth(network: Path, tmp_path: Path):
    encoding = load(network / "net").encoding
    shutil.copytree(network / "photos", tmp_path / "test" / "val" / "rest")
    assert encoding.read(tmp_path / "test", DETECTED).truth is None
    truth = encoding.read(network / "photos" / "cat", DETECTED).truth
    assert truth is None
    shutil.copytree(network / "photos", tmp_path / "parts" / "train")
    truth = encoding.read(tmp_path / "parts", DETECTED).truth
    assert truth is not None
    assert truth.tolist() == ["cat"] * 40 + ["dog"] * 40
    (tmp_path / "broken.png").write_bytes(b"")
    rows = encoding.read(tmp_path / "broken.png", DETECTED)
    with pytest.raises(DataError, match=r"broken.png cannot be read \(it is empty\); replace or remove it"):
        _ = rows.x[:]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        encoding.read(tmp_path / "none", DETECTED)
    with pytest.raises(SettingError, match="this network takes images"):
        encoding.read(network / "photos", TableFormat(sep=";"))


def test_of_a_folder_with_parts_the_test_part_is_predicted(network: Path, photos: Path):
    predictor = load(network / "net")
    for part, each in (("train", 4), ("Testing", 2), ("val", 1)):
        folder(photos / part, each=each)
    save(photos / "beside.png", soft(8, 10))
    rows = predictor.encoding.read(photos, DETECTED).tested("photos")
    names = [f"Testing/{name}/0{number}.png" for name in ("cat", "dog") for number in range(2)]
    assert rows.names["file"] == names
    assert rows.truth is not None
    assert rows.truth.tolist() == ["cat", "cat", "dog", "dog"]
    assert rows.notices == ("the test part of photos is predicted, 4 of 15 rows, and no other.",)
    assert np.allclose(predictor.predict_proba(photos), predictor.predict_proba([photos / name for name in names]))
    assert len(predictor.predict(photos / "train")) == 8
    shutil.rmtree(photos / "Testing")
    save(photos / "test" / "new.png", soft(8, 10))  # without classes, as in a contest
    rows = predictor.encoding.read(photos, DETECTED).tested("photos")
    assert rows.names["file"] == ["test/new.png"]
    assert rows.truth is None
    shutil.rmtree(photos / "test")
    with pytest.raises(DataError, match="holds train and validation, and it cannot be told which to predict"):
        predictor.predict(photos)
    shutil.rmtree(photos / "val")
    assert len(predictor.predict(photos)) == 9  # one part is no choice


def test_the_command_says_which_part_is_predicted(network: Path, photos: Path, capsys: pytest.CaptureFixture[str]):
    for part in ("train", "test"):
        folder(photos / part, each=3)
    main(["predict", str(network / "net"), str(photos), "--out", str(photos / "said.csv")])
    assert f"the test part of {photos} is predicted, 6 of 12 rows, and no other." in capsys.readouterr().err
    lines = (photos / "said.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:3]] == ["test/cat/00.png", "test/cat/01.png"]
    assert len(lines) == 7


def test_shards_are_predicted_with_their_truth(network: Path, tmp_path: Path):
    """The test part of a folder; or one shard."""
    encoding, root = load(network / "net").encoding, hub(tmp_path / "hub", ("dog", "cat"))
    rows = encoding.read(root, DETECTED)
    assert rows.truth is not None
    assert rows.names["file"] == [f"data/test-00000-of-00001.parquet:{row}" for row in range(3)]
    assert rows.truth.tolist() == ["cat", "dog", "dog"]
    assert rows.notices == [f"the test part of {root} is predicted, and no other; or give one shard."]
    assert isinstance(rows.x, Rows)
    assert tuple(rows.x.shape) == (3, 3, 8, 10)
    one = encoding.read(root / "data" / "train-00001-of-00002.parquet", DETECTED)
    assert one.truth is not None
    assert one.truth.tolist() == ["dog", "cat"] * 10
    assert (one.names["file"][19], one.notices) == ("train-00001-of-00002.parquet:19", [])
    same = encoding.read(root / "data" / "test-00000-of-00001.parquet", DETECTED)
    assert torch.equal(same.x[:], rows.x[:])
    (root / "data" / "test-00000-of-00001.parquet").rename(root / "data" / "val.parquet")
    with pytest.raises(DataError, match=r"holds train and validation, .* give one shard"):
        encoding.read(root, DETECTED)
    (root / "data" / "val.parquet").unlink()
    assert len(encoding.read(root, DETECTED).names["file"]) == 40


@pytest.mark.parametrize(
    "labels",
    [
        table([-1, -1], ("dog", "cat")),  # of a contest
        table([0, None], ("dog", "cat")),
        table([0, 1], ("wolf", "cat")),
        table([0, 1], ("dog", "cat")).drop_columns(["label"]),
        table([0, 1], fine=[3, 4], coarse=["dog", "cat"]).drop_columns(["label"]),
    ],
)
def test_shards_that_tell_no_truth_are_predicted_all_the_same(network: Path, tmp_path: Path, labels: pa.Table):
    (tmp_path / "hub").mkdir()
    pq.write_table(labels, tmp_path / "hub" / "test-00000-of-00001.parquet")
    rows = load(network / "net").encoding.read(tmp_path / "hub", DETECTED)
    assert rows.truth is None
    assert rows.names["file"] == ["test-00000-of-00001.parquet:0", "test-00000-of-00001.parquet:1"]
    assert tuple(rows.x.shape) == (2, 3, 8, 10)


def test_folders_that_systems_write_differently_tell_the_truth(tmp_path: Path):
    """As a Mac packs them: caf\u00e9 in five characters."""
    encoding = ImageEncoding((3, 8, 10), ("bar", "caf\u00e9"), (0.5,) * 3, (0.2,) * 3)
    rows = encoding.read(folder(tmp_path / "new", ("cafe\u0301", "bar"), 2), DETECTED)
    assert rows.truth is not None
    assert rows.truth.tolist() == ["bar", "bar", "caf\u00e9", "caf\u00e9"]


def test_places_slices_and_parts_of_images_are_those_of_a_tensor(network: Path):
    rows = load(network / "net").encoding.read(network / "photos", DETECTED).x
    assert isinstance(rows, ImageRows)
    whole = rows[:]
    places = torch.tensor([5, 5, 79, 0, -1])
    for some in (places, slice(3, 60, 7), slice(4), torch.arange(80) % 2 == 0):
        assert torch.equal(rows[some], whole[some])
        assert torch.equal(rows.part(some)[:], whole[some])
    assert torch.equal(rows[-1], whole[-1])


@pytest.mark.parametrize(
    "change",
    [
        {"image_shape": [1, 8, 10]},
        {"pixel_std": [0.1, 0.1, 0.0]},
        {"pixel_mean": [0.1, 0.1]},
        {"image_shape": []},
    ],
)
def test_an_encoding_that_contradicts_the_network_is_refused(network: Path, tmp_path: Path, change: Mapping[str, Any]):
    shutil.copytree(network / "net", tmp_path / "net")
    path = tmp_path / "net" / "model.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "encoding": {**facts["encoding"], **change}}))
    with pytest.raises(DataError, match=r"model.json cannot be read"):
        load(tmp_path / "net")


# ------------------------------------------------------------------------------------------------ options


def test_options_of_tables_are_refused_for_images_and_the_other_way_round(tmp_path: Path):
    photos = str(folder(tmp_path / "photos"))
    assert read_source(photos, image_size=9) == ImageFolder(Path(photos), 9)
    chosen: list[dict[str, Any]] = [{"keep": ["a"]}, {"drop": ["a"]}, {"format": TableFormat(sep=";")}]
    for options in chosen:
        with pytest.raises(SettingError, match="holds folders of images: leave it out"):
            read_source(photos, **options)
    with pytest.raises(SettingError, match=r"target is for tables, .* and .*photos holds folders of images"):
        read_source(photos, target="y")
    with pytest.raises(SettingError, match=r"the classes of .* are its folders"):
        ImageFolder(Path(photos), target="y").splits(0)
    for data in ("digits", "own.csv"):
        with pytest.raises(SettingError, match="image_size is for folders of images"):
            read_source(data, image_size=9)
    with pytest.raises(SettingError, match="folders of images hold classes"):
        read_source(photos, task="regression")
    assert read_source(photos, task="binary").splits(0).about.task == "binary"
    folder(tmp_path / "photos", ("fish",))
    with pytest.raises(DataError, match="there are 3 classes"):
        read_source(photos, task="binary").splits(0)


def test_the_command_tells_of_augmentation_only_who_did_not_ask_for_any(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder(photos)
    once = ["train", str(photos), "--method", "erm", "--epochs", "1", "--threads", "1", "--quiet"]
    main([*once, "--out", str(tmp_path / "a")])
    assert "--augment crop_flip shifts and mirrors" in capsys.readouterr().err
    main([*once, "--augment", "crop", "--out", str(tmp_path / "b")])
    assert "--augment" not in capsys.readouterr().err
