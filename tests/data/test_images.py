"""Image sets: official test sets, pixels in their places, statistics of the drawn train split."""

import gzip
import io
import shutil
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from calmix.data import cifar10, digits, fashion_mnist, images
from calmix.errors import DataError

LABELS = np.arange(100) % 10


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Folders made here hold 100 images; the real ones keep their sizes."""
    if "real" not in request.node.name:
        monkeypatch.setattr(images, "HELD_OUT", (10, 20))
        monkeypatch.setattr(images, "DEBIAN", Path("/nowhere"))
        monkeypatch.delenv("CALMIX_DATA", raising=False)


def pictures(first: int, count: int) -> np.ndarray:
    """(count, 32, 32, 3) picture i has red i, green 255 - i and blue its row number."""
    pixels = np.zeros((count, 32, 32, 3), np.uint8)
    pixels[..., 0] = np.arange(first, first + count)[:, None, None]
    pixels[..., 1] = 255 - pixels[..., 0]
    pixels[..., 2] = np.arange(32)[:, None]
    return pixels


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def write_shard(path: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    img = [{"bytes": png(picture), "path": None} for picture in pixels]
    pd.DataFrame({"img": img, "label": labels}).to_parquet(path)


@pytest.fixture
def cifar_folder(tmp_path: Path) -> Path:
    write_shard(tmp_path / "train-00000-of-00002.parquet", pictures(0, 60), LABELS[:60])
    write_shard(tmp_path / "train-00001-of-00002.parquet", pictures(60, 40), LABELS[60:])
    write_shard(tmp_path / "test-00001-of-00002.parquet", pictures(210, 10), LABELS[10:20])
    write_shard(tmp_path / "test-00000-of-00002.parquet", pictures(200, 10), LABELS[:10])
    return tmp_path


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.astype(np.uint8).tobytes()


@pytest.fixture
def fashion_folder(tmp_path: Path) -> Path:
    """Picture i is grey i with one bright corner; the train files are gzipped, the test files plain."""
    for stem, count in (("train", 100), ("t10k", 20)):
        pixels = np.tile(np.arange(count)[:, None, None], (1, 28, 28))
        pixels[:, 0, 27] = 255
        for what, values in (("images-idx3", pixels), ("labels-idx1", LABELS[:count])):
            path = tmp_path / f"{stem}-{what}-ubyte"
            if stem == "train":
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(values)))
            else:
                path.write_bytes(idx(values))
    return tmp_path


def test_digits_are_scaled_and_stratified():
    splits = digits(seed=3, train_size=200)
    assert splits.train.x.shape == (200, 1, 8, 8)
    assert splits.train.x.dtype == torch.float32
    assert (splits.train.x.min(), splits.train.x.max()) == (0, 1)
    assert [len(s) for s in (splits.validation, splits.calibration, splits.test)] == [180, 180, 359]
    assert splits.train.y.bincount().tolist() == [20] * 10
    assert (splits.about.pixel_mean, splits.about.pixel_std) == ((0,), (1,))
    assert not torch.equal(digits(seed=0).test.x, splits.test.x)
    assert torch.equal(digits(seed=3).test.x, splits.test.x)


def test_pictures_keep_their_labels_channels_and_orientation(cifar_folder):
    splits = cifar10(data_dir=cifar_folder)
    assert [len(s) for s in (splits.train, splits.validation, splits.calibration, splits.test)] == [70, 10, 20, 20]
    x = torch.cat([splits.train.x, splits.validation.x, splits.calibration.x])
    y = torch.cat([splits.train.y, splits.validation.y, splits.calibration.y])
    assert y.bincount().tolist() == [10] * 10
    rank = x[:, 0, 0, 0].argsort()  # by red, the number of the picture
    assert torch.equal(y[rank], torch.from_numpy(LABELS))
    assert torch.equal(x[:, 1, 0, 0].argsort(descending=True), rank)  # green falls
    assert (x[:, 2].diff(dim=1) > 0).all()  # blue grows from row to row
    assert (x[:, 2].diff(dim=2) == 0).all()


def test_the_official_test_set_is_the_test_split_in_its_order(cifar_folder):
    for seed in (0, 1):
        splits = cifar10(seed=seed, data_dir=cifar_folder)
        assert splits.test.y.tolist() == LABELS[:20].tolist()
        assert (splits.test.x[:, 0, 0, 0].diff() > 0).all()
        assert splits.test.x[:, 0].min() > splits.train.x[:, 0].max()  # red is 200 and more


@pytest.mark.parametrize("train_size", [None, 15])
def test_statistics_are_those_of_the_drawn_train_split(cifar_folder, train_size):
    splits = cifar10(seed=5, train_size=train_size, data_dir=cifar_folder)
    assert len(splits.train) == (train_size or 70)
    torch.testing.assert_close(splits.train.x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(splits.train.x.std((0, 2, 3), correction=0), torch.ones(3))
    assert abs(splits.test.x[:, 0].mean()) > 1
    mean, std = (torch.tensor(values)[:, None, None] for values in (splits.about.pixel_mean, splits.about.pixel_std))
    red = (splits.train.x * std + mean)[:, 0, 0, 0] * 255  # the number of the picture
    assert splits.train_rows is not None
    torch.testing.assert_close(red, torch.tensor(splits.train_rows).float(), atol=1e-3, rtol=0)


def test_another_seed_draws_other_rows_and_decodes_nothing(cifar_folder, monkeypatch):
    first = cifar10(data_dir=cifar_folder)
    monkeypatch.setattr(Image, "open", None)
    second = cifar10(seed=1, data_dir=cifar_folder)
    assert not torch.equal(first.train.y, second.train.y)
    assert torch.equal(cifar10(data_dir=cifar_folder).train.x, first.train.x)


def test_a_shard_of_large_images_is_refused_before_they_are_unpacked(cifar_folder: Path):
    side = images._LARGEST + 1
    write_shard(cifar_folder / "train-00001-of-00002.parquet", np.zeros((2, 1, side, 3), np.uint8), LABELS[:2])
    with pytest.raises(DataError, match=rf"an image of \({side}, 1\) pixels"):
        cifar10(data_dir=cifar_folder)


@pytest.mark.parametrize("name", ["train-00001-of-00002.parquet", "test-00000-of-00002.parquet"])
def test_another_shard_is_another_digest(cifar_folder: Path, name: str):
    before = cifar10(data_dir=cifar_folder).about.digest
    write_shard(cifar_folder / name, pictures(7, 40), LABELS[:40])
    assert cifar10(data_dir=cifar_folder).about.digest not in ("", before)


def test_idx_files_plain_and_gzipped(fashion_folder):
    splits = fashion_mnist(data_dir=fashion_folder)
    assert splits.test.x.shape == (20, 1, 28, 28)
    assert splits.test.y.tolist() == LABELS[:20].tolist()
    assert (splits.test.x[:, 0, 5, 5].diff() > 0).all()
    assert splits.test.x[0].argmax() == 27  # the bright corner: first row, last column


def test_the_folder_comes_from_the_environment(fashion_folder, monkeypatch):
    monkeypatch.setattr(images, "DEBIAN", fashion_folder)
    assert fashion_mnist().about.source.endswith(str(fashion_folder))
    monkeypatch.setenv("CALMIX_DATA", str(fashion_folder))
    monkeypatch.setattr(images, "DEBIAN", Path("/nowhere"))
    assert fashion_mnist().about.source.endswith(str(fashion_folder))
    nested = fashion_folder / "fashion_mnist"
    shutil.copytree(fashion_folder, nested)
    assert fashion_mnist().about.source.endswith(str(nested))
    assert fashion_mnist(data_dir=fashion_folder).about.source.endswith(str(fashion_folder))


def test_missing_folders_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"looked in /nowhere\); .* install Debian's package dataset-fashion-mnist\.$"):
        fashion_mnist()
    with pytest.raises(
        DataError, match=r"^cifar10: no file train-\*\.parquet found .*; give data_dir or set CALMIX_DATA"
    ):
        cifar10(data_dir=tmp_path)
    with pytest.raises(DataError, match="looked in no folder: CALMIX_DATA is not set"):
        cifar10()


def test_broken_files_say_which(cifar_folder):
    path = cifar_folder / "test-00000-of-00002.parquet"
    path.write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"test-00000-of-00002\.parquet cannot be read .*it should hold small images"):
        cifar10(data_dir=cifar_folder)
    pd.DataFrame({"image": [1], "label": [1]}).to_parquet(path)
    with pytest.raises(DataError, match=r"test-00000-of-00002\.parquet cannot be read .*it should hold small images"):
        cifar10(data_dir=cifar_folder)
    pd.DataFrame({"img": [{"bytes": b"no picture"}], "label": [1]}).to_parquet(path)
    with pytest.raises(DataError, match=r"test-00000-of-00002\.parquet cannot be read .*it should hold small images"):
        cifar10(data_dir=cifar_folder)
    for labels in ([1, 2, 10], [1, 2, -1], [1, 1, 1]):
        write_shard(path, pictures(0, 3), np.array(labels))
        write_shard(cifar_folder / "test-00001-of-00002.parquet", pictures(0, 3), np.array(labels))
        with pytest.raises(DataError, match="labels must run from 0 to 9, each there"):
            cifar10(data_dir=cifar_folder)
    for labels in ([1, 2, None], [1, 2, 0.5]):
        write_shard(path, pictures(0, 3), np.array(labels, float))
        with pytest.raises(
            DataError, match=r"test-00000-of-00002\.parquet cannot be read \(labels that are no whole nu"
        ):
            cifar10(data_dir=cifar_folder)
    for damaged in ({"bytes": b"no picture"}, {"bytes": None}, None):
        good = {"bytes": png(pictures(0, 1)[0])}
        pd.DataFrame({"img": [good, damaged], "label": [1, 2]}).to_parquet(path)
        with pytest.raises(
            DataError, match=r"test-00000-of-00002\.parquet cannot be read \(row 1, counted from 0, is no"
        ):
            cifar10(data_dir=cifar_folder)
    path.unlink()
    with pytest.raises(
        DataError, match=r"test-00001-of-00002\.parquet is one of 2 files, of which 1 are there; get them"
    ):
        cifar10(data_dir=cifar_folder)
    (cifar_folder / "test-00001-of-00002.parquet").unlink()
    (cifar_folder / "test-00001-of-00002.parquet").mkdir()
    path.mkdir()
    with pytest.raises(
        DataError, match=r"test-00000-of-00002\.parquet cannot be read \(Is a directory\); get the file"
    ):
        cifar10(data_dir=cifar_folder)
    for path in cifar_folder.glob("test-*.parquet"):
        path.rmdir()
    with pytest.raises(DataError, match=r"no test-\*\.parquet in"):
        cifar10(data_dir=cifar_folder)


def test_a_channel_that_never_varies_does_no_harm(cifar_folder):
    grey = pictures(0, 100)
    grey[..., 2] = 7
    write_shard(cifar_folder / "train-00000-of-00002.parquet", grey[:60], LABELS[:60])
    write_shard(cifar_folder / "train-00001-of-00002.parquet", grey[60:], LABELS[60:])
    splits = cifar10(data_dir=cifar_folder)
    assert splits.test.x.isfinite().all()
    assert splits.train.x[:, 2].abs().max() < 1e-5


@pytest.mark.parametrize("content", [b"", b"garbage", idx(LABELS)[:-1], idx(LABELS)[:2] + b"\x0d" + idx(LABELS)[3:]])
def test_broken_idx_files_say_which(fashion_folder, content):
    (fashion_folder / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte cannot be read .*get the file anew"):
        fashion_mnist(data_dir=fashion_folder)


def test_truncated_and_missing_and_mismatched_idx_files(fashion_folder):
    path = fashion_folder / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be read .*get the file anew"):
        fashion_mnist(data_dir=fashion_folder)
    path.write_bytes(gzip.compress(idx(np.zeros((99, 28, 28)))))
    with pytest.raises(DataError, match=r"images \(99, 28, 28\) and labels \(100,\)"):
        fashion_mnist(data_dir=fashion_folder)
    path.write_bytes(whole)
    (fashion_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no t10k-labels-idx1-ubyte or .*\.gz in"):
        fashion_mnist(data_dir=fashion_folder)


def test_too_few_images_to_hold_some_out(cifar_folder, monkeypatch):
    monkeypatch.setattr(images, "HELD_OUT", (50, 50))
    with pytest.raises(DataError, match="100 training images, of which 100 are held out"):
        cifar10(data_dir=cifar_folder)


def test_real_cifar10(real_data):
    splits = cifar10(train_size=1000, data_dir=real_data / "cifar10")
    assert splits.about.natural
    assert splits.train.x.shape == (1000, 3, 32, 32)
    assert splits.train.y.bincount().tolist() == [100] * 10
    assert [len(s) for s in (splits.validation, splits.calibration, splits.test)] == [1_000, 5_000, 10_000]
    assert [splits.about.classes[i] for i in splits.test.y[:4]] == ["cat", "ship", "ship", "airplane"]
    with pytest.raises(DataError, match="there are 44000 rows to train on"):
        cifar10(train_size=44_001, data_dir=real_data / "cifar10")


def test_real_fashion_mnist():
    if not images.DEBIAN.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    splits = fashion_mnist(train_size=500, data_dir=images.DEBIAN)
    assert splits.train.x.shape == (500, 1, 28, 28)
    assert not splits.about.natural
    assert [splits.about.classes[i] for i in splits.test.y[:3]] == ["Ankle boot", "Pullover", "Trouser"]
    assert splits.test.y.bincount().tolist() == [1_000] * 10


@pytest.mark.parametrize("shape", [(20, 27, 28), (20, 0, 28), (20, 28, 0)])
def test_images_of_another_size_or_of_none_are_named(fashion_folder: Path, shape: tuple[int, int, int]):
    (fashion_folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.ones(shape)))
    with pytest.raises(DataError, match=r"training images are \(1, 28, 28\) and test images .*; get the file anew"):
        fashion_mnist(data_dir=fashion_folder)
    train = np.ones((100, *shape[1:]))
    (fashion_folder / "train-images-idx3-ubyte").write_bytes(idx(train))
    if 0 in shape:
        with pytest.raises(DataError, match=r"training images are .* get the file anew"):
            fashion_mnist(data_dir=fashion_folder)


def test_an_image_that_unpacks_to_a_gigabyte_is_refused_unread(cifar_folder: Path):
    """A PNG of 50,000 x 50,000 pixels, as its head says."""
    content = bytearray(png(pictures(0, 1)[0]))
    content[16:24] = (50_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path = cifar_folder / "test-00000-of-00002.parquet"
    img = [{"bytes": bytes(content), "path": None}] * 10
    pd.DataFrame({"img": img, "label": LABELS[:10]}).to_parquet(path)
    with pytest.raises(DataError, match=r"test-00000-of-00002\.parquet cannot be read \(.*50000.*get the file anew"):
        cifar10(data_dir=cifar_folder)
