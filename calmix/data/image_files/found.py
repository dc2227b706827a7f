"""Which images a folder holds, of which classes and parts. None is read yet, and PyTorch is not loaded.

N images
"""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calmix.data.asked import IMAGES
from calmix.data.splits import listed
from calmix.errors import DataError
from calmix.reading import visible

PARTS: dict[str, tuple[str, ...]] = {  # what folders and shards of parts are called
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
TESTS_ARE_DRAWN = "test images are drawn from the training images."
_FOREIGN = {"__macosx", "thumbs.db", "desktop.ini"}  # what systems put beside images


@dataclass(frozen=True, eq=False)
class Found:
    """Images in the order in which they are read.

    names: (N,) as the user finds them in `root`. labels: (N,) class ids. given: places of the parts that are given.
    stamp: another one where a file is another, or was changed. read_at: the images at some places, which rise, as
    paths or as encoded bytes.
    """

    root: Path
    names: Sequence[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    given: Mapping[str, NDArray[np.int64]]
    stamp: str
    read_at: Callable[[NDArray[np.int64]], Iterator[Path | bytes]]
    notices: tuple[str, ...] = ()

    def read(self) -> Iterator[Path | bytes]:
        """All images anew."""
        return self.read_at(np.arange(len(self.names)))

    def at(self, places: NDArray[np.int64]) -> "Found":
        """The images at some places, which rise, and their classes, as if there were no others."""
        known, labels = np.unique(self.labels[places], return_inverse=True)
        return replace(
            self,
            names=[self.names[place] for place in places.tolist()],
            labels=labels.astype(np.int64),
            classes=tuple(self.classes[k] for k in known.tolist()),
            given={part: np.flatnonzero(np.isin(places, rows)) for part, rows in self.given.items()},
            stamp=_digest([self.stamp, *map(str, places.tolist())]),
            read_at=lambda inner: self.read_at(places[inner]),
        )


@dataclass
class Listing:
    """Files below a folder: images by their suffixes, with sizes and times, and the names of others."""

    images: list[Path] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def notices(self) -> tuple[str, ...]:
        if not self.others:
            return ()
        count = len(self.others)
        what = "file is no image by its name and is" if count == 1 else "files are no images by their names and are"
        return (f"{count:,} {what} left out: {listed(map(visible, self.others), at_most=3)}.",)


def find_images(root: Path) -> Found:
    """The images of a folder of class folders, or of train, validation and test folders above class folders.

    A class folder may hold folders of its own. Hidden files are left out.

    Raises:
        DataError: no class folders, no images, or fewer than two classes.
    """
    listing = Listing()
    folders = folders_in(root)
    parts = parts_of(folders)
    notices: list[str] = []
    by_part: dict[str, dict[str, list[Path]]] = {}
    if parts is None:
        by_part["all"] = _classes(root, root, listing, notices)
    else:
        for part, folder in parts.items():
            if part != "train" and not folders_in(folder):
                notices.append(
                    f"{folder.name}/ has no class folders and is left out; calmix predict says what its images are."
                )
            else:
                by_part[part] = _classes(root, folder, listing, notices)
    classes = sorted({name for groups in by_part.values() for name in groups})
    _check(root, by_part, classes, listing)
    ids = {name: k for k, name in enumerate(classes)}
    names, labels, given = [], [], {}
    for part, groups in by_part.items():
        start = len(labels)
        for name in sorted(groups):
            names += groups[name]
            labels += [ids[name]] * len(groups[name])
        if part in ("validation", "test"):
            given[part] = np.arange(start, len(labels))
    if given and "test" not in given:
        notices.append(f"there is no test folder with classes: {TESTS_ARE_DRAWN}")
    return Found(
        root=root,
        names=[path.relative_to(root).as_posix() for path in names],
        labels=np.array(labels, np.int64),
        classes=tuple(classes),
        given=given,
        stamp=_digest([str(root.resolve()), *sorted(listing.stamps)]),
        read_at=lambda places: (names[place] for place in places.tolist()),
        notices=(*notices, *listing.notices()),
    )


def parts_of(folders: Sequence[Path]) -> dict[str, Path] | None:
    """The folders of parts, train first; None where they are those of classes.

    Raises:
        DataError: folders of several parts beside others, or two folders of one part.
    """
    by_name = {name: part for part, names in PARTS.items() for name in names}
    parts: dict[str, Path] = {}
    others = []
    for folder in folders:
        part = by_name.get(folder.name.lower())
        if part is None:
            others.append(folder.name)
            continue
        if part in parts:
            raise DataError(
                f"{folder.parent} holds {parts[part].name}/ and {folder.name}/, two folders for one part; merge them."
            )
        parts[part] = folder
    if "train" not in parts or (others and len(parts) == 1):
        return None  # a class may be called train, or test
    if others:
        names = ", ".join(f"{parts[part].name}/" for part in PARTS if part in parts)
        raise DataError(
            f"{visible(str(folders[0].parent))} holds {names} and other folders: {listed(map(visible, others))}; move "
            "these elsewhere."
        )
    return {part: parts[part] for part in PARTS if part in parts}


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, in order; hidden ones are left out."""
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def list_images(folder: Path, root: Path, listing: Listing) -> list[Path]:
    """The images in a folder and below it, in order; all that is seen is noted in the listing."""
    found, todo, seen = [], [folder], set()
    while todo:
        here = todo.pop()
        if (real := os.path.realpath(here)) in seen:  # a link to where it is
            continue
        seen.add(real)
        for entry in _entries(here):
            path = Path(entry.path)
            if entry.is_dir():
                todo.append(path)
            elif path.suffix.lower() in IMAGES:
                found.append(path)
                listing.stamps.append(stamp_of(path, root))
            else:
                listing.others.append(path.relative_to(root).as_posix())
    listing.images += found
    return sorted(found)


def stamp_of(path: Path, root: Path) -> str:
    """The name, size and time of a file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{visible(str(path))} cannot be read ({error.strerror}); remove it.") from None
    return f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}"


def _classes(root: Path, folder: Path, listing: Listing, notices: list[str]) -> dict[str, list[Path]]:
    """The images of each class folder, by the name of the class."""
    groups: dict[str, list[Path]] = {}
    for place in folders_in(folder):
        images = list_images(place, root, listing)
        if images:
            groups.setdefault(unicodedata.normalize("NFC", place.name), []).extend(images)
        else:
            notices.append(f"{visible(place.relative_to(root).as_posix())}/ holds no images, and is no class.")
    loose = [entry.name for entry in _entries(folder) if not entry.is_dir()]
    listing.others += [Path(folder, name).relative_to(root).as_posix() for name in loose]
    return groups


def _check(root: Path, by_part: Mapping[str, Mapping[str, object]], classes: Sequence[str], listing: Listing) -> None:
    shown = visible(str(root))
    like = f"one folder a class, such as {shown}/cat/1.jpg and {shown}/dog/2.jpg"
    loose = sum(Path(name).suffix.lower() in IMAGES for name in listing.others)
    if not classes and loose:
        raise DataError(f"{shown} holds {loose:,} images and no class folders; make {like}.")
    if not classes:
        raise DataError(f"{shown} holds no images (.jpg, .png and others); make {like}.")
    if len(classes) < 2:
        raise DataError(f"{shown} has one class, {listed(classes)}; give two or more: {like}.")
    learnt = by_part.get("all", by_part.get("train", {}))
    for part, groups in by_part.items():
        unknown = [name for name in groups if name not in learnt]
        if unknown:
            raise DataError(
                f"{part} has classes that train lacks: {listed(unknown)}; add them to train, or take them away."
            )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [one for one in entries if not one.name.startswith(".") and one.name.lower() not in _FOREIGN]
    except OSError as error:
        raise DataError(f"{visible(str(folder))} cannot be read ({error.strerror}); give another folder.") from None


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()
