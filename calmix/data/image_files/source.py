"""A folder of images as a source of splits."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from calmix.data.asked import SHARDS
from calmix.data.folders import times
from calmix.data.image_files.cache import cached, check_side
from calmix.data.image_files.find import found_in
from calmix.data.image_files.found import Found
from calmix.data.image_files.new_images import ImageEncoding
from calmix.data.splits import About
from calmix.data.stored import StoredRows
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError, SettingError


@dataclass(frozen=True, repr=False)
class ImageFolder(WholeSource):
    """Images in class folders, or in train, validation and test folders above those; or parquet shards of the hub.

    image_size: the side in pixels of the square that the middle of each becomes; None: their own size where it is the
    same for all and at most 64, else 64. target: of shards, the column of the classes, where there are several. Images
    are decoded once and kept in a cache, see `calmix.data.image_files.cache`.

    Raises:
        SettingError: no such size, or a task that is none for classes.
    """

    path: Path
    image_size: int | None = None
    target: str | None = None
    task: str | None = None
    train_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        check_side(self.image_size)
        if self.task == "regression":
            raise SettingError("task 'regression' was asked for, and folders of images hold classes; leave it out.")

    @property
    def foldable(self) -> bool:
        """Whether no part is given, so that the images can be cut into folds."""
        return not self._found.given

    @property
    def _changed(self) -> tuple[int, ...]:
        return times(self.path, SHARDS)

    @property
    def _found(self) -> Found:
        return found_in(self.path, self.target, times(self.path, SHARDS))

    @property
    def _whole(self) -> Whole:
        found = self._found
        if self.task == "binary" and len(found.classes) != 2:
            raise DataError(f"task 'binary' was asked for, and there are {len(found.classes)} classes; leave it out.")
        about = About(
            name=self.path.resolve().name,
            task=self.task or "classification",
            kind="image",
            classes=found.classes,
            features=(),
            natural=False,
            source=str(self.path),
        )
        return whole_of(found, self.image_size, about)


def whole_of(found: Found, image_size: int | None, about: About) -> Whole:
    """The images as they are in the cache. about: what is known of them before they are read."""
    file, known = cached(found, image_size)
    height, width = known.shape[1:]
    labelled = hashlib.sha256(
        f"{known.digest} {found.classes}".encode(errors="surrogateescape") + found.labels.tobytes()
    )
    scaled = (
        () if known.own_size else (f"the middle of each image is scaled to {width} x {height} pixels (--image-size).",)
    )
    return Whole(
        x=StoredRows(file, known.shape, "uint8", np.arange(known.rows), loaders=loaders()),
        y=found.labels,
        about=replace(about, digest=labelled.hexdigest()[:16], notices=(*found.notices, *scaled)),
        given=found.given,
        unit="image",
        note=f"Images are counted from 0, in the order of their classes and names in {about.source}.",
        names=found.names,
        encoding=partial(ImageEncoding, known.shape, found.classes),
    )


def loaders() -> int:
    """How many processes read images that are not in memory: a GPU would wait for one."""
    return 4 if torch.cuda.is_available() else 0
