"""Outside sets: found beside the data, never mistaken for it, standardised as it is."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from calmix.data import OOD_SETS, cifar10, digits, fashion_mnist, images, load, load_ood, notmnist, tiny_imagenet_ood
from calmix.errors import DataError, SettingError, ShapeError, UnknownNameError


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.astype(np.uint8).tobytes()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real" not in request.node.name:
        monkeypatch.delenv("CALMIX_DATA", raising=False)
        monkeypatch.setattr(images, "HELD_OUT", (10, 20))
        monkeypatch.setattr(images, "DEBIAN", Path("/nowhere"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Fashion-MNIST of grey values 0 to 99, and letters of grey 100 to 109 beside it, under the same file names."""
    for name, stem, first, count in (("fashion_mnist", "train", 0, 100), ("fashion_mnist", "t10k", 0, 20),
                                     ("notmnist", "t10k", 100, 10)):  # fmt: skip
        (tmp_path / name).mkdir(exist_ok=True)
        pixels = np.tile(np.arange(first, first + count)[:, None, None], (1, 28, 28))
        (tmp_path / name / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (tmp_path / name / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count) % 10)))
    return tmp_path


def test_the_names():
    assert {"notmnist": notmnist, "tiny_imagenet_ood": tiny_imagenet_ood} == OOD_SETS
    assert all((make.__doc__ or "")[0].isdigit() for make in OOD_SETS.values())


@pytest.mark.parametrize("how", ["environment", "beside", "inside"])
def test_outside_images_are_standardised_as_the_data_are(root, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("CALMIX_DATA", str(root))
        splits, data_dir = fashion_mnist(), None
    else:
        if how == "inside":
            (root / "notmnist").rename(root / "fashion_mnist" / "notmnist")
        data_dir = root / "fashion_mnist"
        splits = fashion_mnist(data_dir=data_dir)
    letters = load_ood("notmnist", splits, data_dir)
    assert letters.shape == (10, 1, 28, 28)
    grey = letters[:, 0, 5, 5] * splits.about.pixel_std[0] + splits.about.pixel_mean[0]
    torch.testing.assert_close(grey, torch.arange(100, 110) / 255)
    raw = torch.cat([splits.train.x, splits.validation.x, splits.calibration.x])[:, 0, 0, 0]
    known = (raw * splits.about.pixel_std[0] + splits.about.pixel_mean[0]).sort().values
    torch.testing.assert_close(known, torch.arange(100) / 255, atol=1e-6, rtol=0)


def test_the_data_s_own_files_are_not_taken_for_letters(root, monkeypatch):
    (root / "notmnist").rename(root / "elsewhere")
    data_dir = root / "fashion_mnist"
    monkeypatch.setenv("CALMIX_DATA", str(data_dir))
    with pytest.raises(DataError, match=r"^notmnist: no file t10k-images-idx3-ubyte\* found .*; set CALMIX_DATA to "
                       r"the folder that holds notmnist/, or leave --ood notmnist out\.$"):  # fmt: skip
        load_ood("notmnist", fashion_mnist(data_dir=data_dir), data_dir)


def test_photographs(tmp_path, monkeypatch):
    def encoded(value: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(stream, "png")
        return stream.getvalue()

    folder = tmp_path / "tiny_imagenet_ood"
    folder.mkdir()
    rows = [{"bytes": encoded(value), "path": None} for value in (0, 51, 255)]
    pd.DataFrame({"img": rows}).to_parquet(folder / "test-00000-of-00001.parquet")
    monkeypatch.setenv("CALMIX_DATA", str(tmp_path))
    torch.testing.assert_close(tiny_imagenet_ood()[:, 2, 0, 0], torch.tensor([0, 0.2, 1]))
    with pytest.raises(ShapeError, match="tiny_imagenet_ood has images of 3 x 32 x 32, and digits of 1 x 8 x 8; give"):
        load_ood("tiny_imagenet_ood", digits())
    (folder / "test-00000-of-00001.parquet").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"cannot be read .*it should hold small images"):
        tiny_imagenet_ood()


def test_a_bad_choice_earns_a_sentence():
    with pytest.raises(UnknownNameError, match="unknown OOD set 'notmist'; did you mean 'notmnist'"):
        load_ood("notmist", digits())
    with pytest.raises(SettingError, match="OOD sets are images, and wine is a table; leave --ood out"):
        load_ood("notmnist", load("wine"))


def test_real_letters(real_data):
    letters = notmnist(real_data)
    assert letters.shape == (10_000, 1, 28, 28)
    assert (letters.min(), letters.max()) == (0, 1)


def test_real_photographs(real_data):
    splits = cifar10(train_size=100, data_dir=real_data / "cifar10")
    photographs = load_ood("tiny_imagenet_ood", splits, real_data / "cifar10")
    assert photographs.shape == (2_000, 3, 32, 32)
    assert photographs.mean().abs() < 0.5
    assert not torch.equal(photographs, photographs[:1].expand_as(photographs))
