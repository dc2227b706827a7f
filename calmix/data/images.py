"""Image sets: scikit-learn's digits, and Fashion-MNIST and CIFAR-10 from a folder.

n images of C channels, H x W pixels. Decoded files stay in memory as uint8; only the rows of a split become float32.
"""

import io
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from calmix.data.folders import check_all_shards, digest_of_files, find_folder, plain_or_gzipped
from calmix.data.given_rows import GivenRows
from calmix.data.splits import About, Draw, RowIds, Split, Splits, cut_train, draw_parts, split_rows
from calmix.errors import DataError
from calmix.reading import read_bytes, reading
from calmix.threads import using_threads

Images = NDArray[np.uint8]  # (n, C, H, W)

_ANEW = "get the file anew"
_LARGEST = 512  # pixels a side: images of these sets have 32
HELD_OUT = (1_000, 5_000)  # validation and calibration rows drawn from an official training part
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


def digits(seed: Draw = 0, train_size: int | None = None) -> Splits:
    """1,797 handwritten digits, 8 x 8 grey, 10 classes (embedded in scikit-learn).

    Pixels are scaled from 0..16 to [0, 1].

    >>> digits(train_size=100).train.x.shape
    torch.Size([100, 1, 8, 8])
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = np.asarray(labels, np.int64)
    train, *others = draw_parts(labels, len(labels), seed)
    parts = [cut_train(train, labels, train_size), *others]
    about = About(
        name="digits",
        task="classification",
        kind="image",
        classes=tuple("0123456789"),
        features=(),
        natural=False,
        source="scikit-learn, load_digits",
        pixel_mean=(0.0,),
        pixel_std=(1.0,),
    )
    note = "Images are counted from 0, as in scikit-learn's load_digits."
    given = GivenRows(np.arange(len(labels)), parts[-1], "image", note)
    return Splits(*(Split(images[rows], torch.from_numpy(labels[rows])) for rows in parts), about=about, given=given)


def fashion_mnist(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """70,000 pictures of clothing, 28 x 28 grey, 10 classes (idx files in a folder).

    data_dir holds the four idx files, plain or gzipped; without it, $CALMIX_DATA/fashion_mnist, $CALMIX_DATA and the
    folder of Debian's package dataset-fashion-mnist are tried. The test split is the official one.

    Raises DataError if the files are missing or broken.
    """
    advice = "give data_dir, set CALMIX_DATA, or install Debian's package dataset-fashion-mnist"
    folder = find_folder("fashion_mnist", "train-images-idx3-ubyte*", data_dir, [DEBIAN], advice)
    files = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    digest = digest_of_files(_idx_path(folder, name) for name in files)
    source = f"Fashion-MNIST, {folder}"
    about = About("fashion_mnist", "classification", "image", FASHION, (), False, source, digest=digest)
    return _image_splits(_idx_pair(folder, "train"), _idx_pair(folder, "t10k"), seed, train_size, about)


def cifar10(seed: int = 0, train_size: int | None = None, data_dir: Path | None = None) -> Splits:
    """60,000 photographs of animals and vehicles, 32 x 32 colour, 10 classes (parquet files in a folder).

    data_dir holds train-*.parquet and test-*.parquet with the columns img (a struct with the encoded bytes) and label;
    without it, $CALMIX_DATA/cifar10 and $CALMIX_DATA are tried. The test split is the official one.

    Raises DataError if the files are missing or broken.
    """
    folder = find_folder("cifar10", "train-*.parquet", data_dir, [], "give data_dir or set CALMIX_DATA")
    digest = digest_of_files([*_shard_paths(folder, "train"), *_shard_paths(folder, "test")])
    about = About("cifar10", "classification", "image", CIFAR10, (), True, f"CIFAR-10, {folder}", digest=digest)
    return _image_splits(_shards(folder, "train"), _shards(folder, "test"), seed, train_size, about)


def _image_splits(
    official_train: tuple[Images, RowIds],
    official_test: tuple[Images, RowIds],
    seed: int,
    size: int | None,
    about: About,
) -> Splits:
    """Splits standardised by each channel's mean and std over the drawn train split."""
    images, labels = official_train
    sizes = images.shape[1:], official_test[0].shape[1:]
    if sizes[0] != sizes[1] or 0 in sizes[0]:
        raise DataError(f"{about.source}: training images are {sizes[0]} and test images {sizes[1]}; {_ANEW}.")
    for _, ids in (official_train, official_test):
        if not np.array_equal(np.unique(ids), np.arange(len(about.classes))):
            raise DataError(
                f"{about.source}: labels must run from 0 to {len(about.classes) - 1}, each there; get the files anew."
            )
    free = len(labels) - sum(HELD_OUT)
    if free < 1:
        raise DataError(
            f"{about.source}: {len(labels)} training images, of which {sum(HELD_OUT)} are held out; get all."
        )
    train, validation, calibration = split_rows(labels, (free, *HELD_OUT), np.random.default_rng(seed))
    train = cut_train(train, labels, size)
    pixels = floats(images[train])
    with using_threads(1):  # the sums are then the same on every machine alike
        std, mean = torch.std_mean(pixels, dim=(0, 2, 3), correction=0, keepdim=True)  # (1, C, 1, 1)
    std[std == 0] = 1
    tests = np.arange(len(official_test[1]))

    def split(pixels: torch.Tensor, labels: RowIds) -> Split:
        return Split(pixels.sub_(mean).div_(std), torch.tensor(labels))

    return Splits(
        train=split(pixels, labels[train]),
        validation=split(floats(images[validation]), labels[validation]),
        calibration=split(floats(images[calibration]), labels[calibration]),
        test=split(floats(official_test[0]), official_test[1]),
        about=replace(about, pixel_mean=tuple(mean.flatten().tolist()), pixel_std=tuple(std.flatten().tolist())),
        train_rows=train,
        given=GivenRows(tests, tests, "image", "Images are counted from 0, as in the official test set."),
    )


def floats(images: Images) -> torch.Tensor:
    """A fresh float32 tensor in [0, 1]."""
    return torch.tensor(images, dtype=torch.float32).div_(255)


def _idx_pair(folder: Path, stem: str) -> tuple[Images, RowIds]:
    images, labels = (_idx(folder, f"{stem}-{what}-ubyte") for what in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{folder}: {stem} has images {images.shape} and labels {labels.shape}; get the files anew.")
    return images[:, None], labels.astype(np.int64)


def read_idx_images(folder: Path, name: str) -> Images:
    """The grey images (n, 1, H, W) of an idx file, plain or gzipped."""
    images = _idx(folder, name)
    if images.ndim != 3:
        raise DataError(f"{folder}: {name} has images {images.shape}, not (n, H, W); get the file anew.")
    return images[:, None]


def _idx(folder: Path, name: str) -> NDArray[np.uint8]:
    path = _idx_path(folder, name)
    return _read_idx(path, path.stat().st_mtime_ns)


def _idx_path(folder: Path, name: str) -> Path:
    if path := plain_or_gzipped(folder / name):
        return path
    raise DataError(f"no {name} or {name}.gz in {folder}; get the set's four idx files.")


@lru_cache(maxsize=8)
def _read_idx(path: Path, modified: int) -> NDArray[np.uint8]:
    """An idx file of bytes: two zeros, the type 8, the number of dimensions, each length as >u4, then the values."""
    raw = read_bytes(path, _ANEW)
    with reading(path, _ANEW):
        if raw[:3] != b"\0\0\x08":
            raise ValueError("not an idx file of bytes")
        shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def read_shards(folder: Path, stem: str) -> Images:
    """The images (n, 3, H, W) of a folder's parquet files STEM-*.parquet, in order."""
    return np.concatenate([_read_images(path, path.stat().st_mtime_ns) for path in _shard_paths(folder, stem)])


def _shards(folder: Path, stem: str) -> tuple[Images, RowIds]:
    labels = [_read_labels(path, path.stat().st_mtime_ns) for path in _shard_paths(folder, stem)]
    return read_shards(folder, stem), np.concatenate(labels)


def _shard_paths(folder: Path, stem: str) -> list[Path]:
    paths = sorted(folder.glob(f"{stem}-*.parquet"))
    if not paths:
        raise DataError(f"no {stem}-*.parquet in {folder}; get the set's parquet files, train and test.")
    check_all_shards(paths)
    return paths


@lru_cache(maxsize=8)
def _read_images(path: Path, modified: int) -> Images:
    from PIL import Image, UnidentifiedImageError

    def decode(number: int, encoded: Any) -> NDArray[np.uint8]:
        try:
            image = Image.open(io.BytesIO((encoded or {}).get("bytes") or b""))
            if max(image.size) <= _LARGEST:  # before it is unpacked
                return np.asarray(image.convert("RGB"))
        except UnidentifiedImageError:
            raise ValueError(f"row {number}, counted from 0, is no image") from None
        raise ValueError(f"an image of {image.size} pixels")

    with reading(path, f"it should hold small images (img.bytes, label): {_ANEW}"):
        images = np.stack([decode(*one) for one in enumerate(_column(path, "img").to_pylist())])
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@lru_cache(maxsize=8)
def _read_labels(path: Path, modified: int) -> RowIds:
    with reading(path, f"it should hold small images (img.bytes, label): {_ANEW}"):
        labels = _column(path, "label").to_numpy()
        if labels.dtype.kind not in "iu":
            raise ValueError("labels that are no whole numbers")
        return labels.astype(np.int64)


def _column(path: Path, name: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=[name])[name]
