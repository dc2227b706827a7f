"""Published sets of images in a folder, with their official test parts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calmix.data.asked import SHARDS, has_shards
from calmix.data.folders import times
from calmix.data.image_files.cache import check_side
from calmix.data.image_files.find import found_in
from calmix.data.image_files.found import TESTS_ARE_DRAWN, Found
from calmix.data.image_files.source import whole_of
from calmix.data.splits import About
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError, UnknownNameError
from calmix.reading import visible

SHARES = (44, 1, 5, 0)  # train, validation and a tenth to calibrate with, of the official training part
FEW = (10, 25, 10)  # classes, and images of each to train on and to test on, for a look at whether all works


@dataclass(frozen=True)
class PublishedSet:
    """title: as people say it. rows: of the official training and test parts. mirrored: mirror images are as likely.

    target: the column of classes, of shards that have several. advice: what to get and how it should lie.
    """

    title: str
    rows: tuple[int, int]
    classes: int
    mirrored: bool
    advice: str
    target: str | None = None


_FOLDERS = "or image folders train/CLASS/ and {test}/CLASS/"
PUBLISHED: Mapping[str, PublishedSet] = {
    "cifar100": PublishedSet(
        "CIFAR-100",
        (50_000, 10_000),
        100,
        True,
        f"the parquet files train-* and test-* of the hub's uoft-cs/cifar100, {_FOLDERS.format(test='test')}",
        "fine_label",
    ),
    "svhn": PublishedSet(
        "SVHN",
        (73_257, 26_032),
        10,
        False,
        "the parquet files train-* and test-* (without extra-*) of the hub's ufldl-stanford/svhn, folder "
        f"cropped_digits, {_FOLDERS.format(test='test')}",
    ),
    "tiny_imagenet": PublishedSet(
        "Tiny-ImageNet",
        (100_000, 10_000),
        200,
        True,
        f"the parquet files train-* and valid-* of the hub's zh-plus/tiny-imagenet, {_FOLDERS.format(test='val')}; the "
        "images in val of the original archive must first be put into folders as val_annotations.txt says",
    ),
    "imagenet": PublishedSet(
        "ImageNet",
        (1_281_167, 50_000),
        1_000,
        True,
        "the parquet files train-* and validation-* of the hub's ILSVRC/imagenet-1k (150 GB, after its licence was "
        f"accepted), {_FOLDERS.format(test='val')}; decoded images of 224 pixels take 200 GB more in $CALMIX_CACHE",
    ),
}
_WITHIN = ("", "data", "cifar100", "cropped_digits")  # a data set's folder: where the hub has its shards


def find_published(name: str, data_dir: Path | None = None) -> Path:
    """The folder that holds the parts of a set: data_dir or NAME in it, or $CALMIX_DATA/NAME.

    Raises:
        UnknownNameError: no such set. DataError: it is not there; the message says what to get and where to put it.
    """
    if name not in PUBLISHED:
        raise UnknownNameError("published set", name, PUBLISHED)
    root = os.environ.get("CALMIX_DATA")
    places = [Path(data_dir, name), data_dir] if data_dir else [Path(root, name)] if root else []
    for place in places:
        for within in _WITHIN:
            if any((place / within).glob("train*")):
                return place / within
    looked = " and ".join(str(place) for place in places) or "no folder: CALMIX_DATA is not set"
    raise DataError(
        f"{PUBLISHED[name].title} is not there (looked in {looked}). Get {PUBLISHED[name].advice}. Put them into a "
        f"folder {name} in the folder that CALMIX_DATA names, or give their folder as --data-dir."
    )


@dataclass(frozen=True, repr=False)
class PublishedImages(WholeSource):
    """A set of `PUBLISHED` in a folder, as shards of the hub or as image folders; see `ImageFolder`.

    The official test part is the test split of every seed: the part called test, or, where its labels are not public,
    the labelled validation part. The official training part is drawn into train, validation and calibration splits,
    44 : 1 : 5. Images are decoded into the cache once; of more than 1 GiB they are read from there a batch at a time.

    image_size: see `ImageFolder`. few: the first images of the first classes alone, see `FEW`, with no look at how many
    there are in all; nothing else is decoded.

    Raises:
        UnknownNameError, SettingError: no such set, or size.
        DataError, once splits are drawn: files that cannot be read, or other numbers of images and classes.
    """

    name: str
    folder: Path
    image_size: int | None = None
    few: bool = False
    train_size: int | None = None

    def __post_init__(self) -> None:
        if self.name not in PUBLISHED:
            raise UnknownNameError("published set", self.name, PUBLISHED)
        check_side(self.image_size)

    @property
    def _changed(self) -> tuple[int, ...]:
        return times(self.folder, SHARDS)

    @property
    def _whole(self) -> Whole:
        known = PUBLISHED[self.name]
        target = known.target if has_shards(self.folder) else None
        found = self._tested(found_in(self.folder, target, times(self.folder, SHARDS)))
        if self.few:
            found = found.at(_few(found))
        else:
            self._check(found)
        about = About(
            name=f"{self.name}_few" if self.few else self.name,
            task="classification",
            kind="image",
            classes=found.classes,
            features=(),
            natural=known.mirrored,
            source=str(self.folder),
        )
        return replace(whole_of(found, self.image_size, about), shares=SHARES)

    def _tested(self, found: Found) -> Found:
        """With the test part as the only one that is given."""
        part = "test" if "test" in found.given else "validation"
        if part not in found.given:
            raise DataError(
                f"{visible(str(self.folder))} holds no test part of {PUBLISHED[self.name].title}; get "
                f"{PUBLISHED[self.name].advice}."
            )
        notices = tuple(one for one in found.notices if not one.endswith(TESTS_ARE_DRAWN))
        return replace(found, given={"test": found.given[part]}, notices=notices)

    def _check(self, found: Found) -> None:
        """Raise DataError unless there are as many images and classes as were published."""
        known, tests = PUBLISHED[self.name], len(found.given["test"])
        counts = (len(found.labels) - tests, tests), len(found.classes)
        if counts != (known.rows, known.classes):
            said = [
                f"{train:,} training and {test:,} test images of {classes:,} classes"
                for (train, test), classes in (counts, (known.rows, known.classes))
            ]
            raise DataError(
                f"{visible(str(self.folder))} holds {said[0]}, and {known.title} has {said[1]}; get {known.advice}."
            )


def _few(found: Found) -> np.ndarray:
    """Places of the first images of the first classes, of each part, in order."""
    classes, *most = FEW
    tested = np.zeros(len(found.labels), bool)
    tested[found.given["test"]] = True
    chosen = [
        np.flatnonzero((found.labels == k) & (tested == test))[:count]
        for k in range(min(classes, len(found.classes)))
        for test, count in zip((False, True), most, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
