"""New images for a network that was trained on some.

n images of C channels, H x W pixels
"""

import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.asked import SHARDS, has_shards
from calmix.data.image_files.decode import Source, pixels
from calmix.data.image_files.found import Listing, folders_in, list_images, parts_of
from calmix.data.image_files.hub import new_shards
from calmix.data.new_rows import NewRows
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError
from calmix.reading import reason_of, visible


@dataclass(frozen=True)
class ImageEncoding:
    """How an image becomes a row: its middle scaled to (C, H, W), each channel less its mean over its deviation.

    image_classes: names of folders that tell the truth.
    """

    image_shape: tuple[int, ...]
    image_classes: tuple[str, ...]
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]

    def __call__(self, rows: Any) -> NewRows:
        """A file or folder of images, an image of Pillow, an array of bytes, or a list of these.

        Arrays are (H, W), (H, W, 3), or several of them (n, H, W, 3), of 8-bit integers.

        Raises:
            DataError: what is no image.
        """
        if isinstance(rows, str | Path):
            return self.read(Path(rows), DETECTED)
        sources = [_source(one) for one in rows] if _several(rows) else [_source(rows)]
        paths = [isinstance(one, Path) for one in sources]
        names = {"file": [str(one) for one in sources]} if sources and all(paths) else {}
        return NewRows(ImageRows(self, tuple(sources), np.arange(len(sources))), names)

    def read(self, path: Path, format: TableFormat) -> NewRows:
        """The images in a folder and below it, in folders of their classes or not; or a single one; or shards.

        Of shards of several parts those of the test part; of folders of parts all, see `NewRows.tested`.
        """
        if format != DETECTED:
            raise SettingError(f"{format!r} is for tables, and this network takes images: leave it out.")
        if has_shards(path) if path.is_dir() else path.suffix in SHARDS:
            found = new_shards(path, self.image_classes)
            names = {"file": list(map(visible, found.names))}
            return NewRows(self._rows(found.images), names, found.truth, found.notices)
        if not path.is_dir():
            return NewRows(self._rows([path]), {"file": [visible(str(path))]})
        listing = Listing()
        images = list_images(path, path, listing)
        if not images:
            raise DataError(f"{path} holds no images (.jpg, .png and others); give a folder of images, or one image.")
        names = [image.relative_to(path).as_posix() for image in images]
        parts = _parts(path, names)
        truth, known = self._truth(names, parts), {"file": list(map(visible, names))}
        return NewRows(self._rows(images), known, truth, listing.notices(), parts)

    def check(self, shape: Sequence[int]) -> None:
        lengths = {self.image_shape[0], len(self.pixel_mean), len(self.pixel_std)} if self.image_shape else set()
        if tuple(shape) != self.image_shape or len(lengths) != 1 or not min(self.pixel_std) > 0:
            raise ValueError("the encoding of the images does not fit the network")

    def _rows(self, sources: Sequence[Source]) -> "ImageRows":
        return ImageRows(self, tuple(sources), np.arange(len(sources)))

    def _truth(self, names: Sequence[str], parts: Sequence[str]) -> NDArray[Any] | None:
        """What the folders say, in each part where all are called after classes."""
        depth = 1 if parts else 0
        names = [unicodedata.normalize("NFC", name) for name in names]  # as classes are called
        said = np.array([name.split("/")[depth] if name.count("/") > depth else None for name in names], object)
        part_of = np.array(parts or [""] * len(names))
        for part in set(parts) or {""}:
            if not set(said[part_of == part]) <= set(self.image_classes):
                said[part_of == part] = None
        return said if any(said) else None


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images that are decoded when they are asked for; see `calmix.rows.Rows`."""

    encoding: ImageEncoding
    sources: Sequence[Source]
    places: NDArray[np.int64]
    loaders: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.encoding.image_shape)

    def __getitem__(self, places: Tensor | slice | int) -> Tensor:
        """(m, C, H, W), or (C, H, W) of a single place.

        Raises:
            DataError: an image that cannot be read, by its name.
        """
        if isinstance(places, int):
            return self[places : places + 1 or None][0]
        chosen = self.places[places if isinstance(places, slice) else places.numpy()].tolist()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            rows = list(pool.map(self._decoded, chosen))
        x = torch.from_numpy(np.stack(rows)).float().div_(255) if rows else torch.empty(0, *self.shape[1:])
        mean, std = (
            torch.tensor(values).view(-1, 1, 1) for values in (self.encoding.pixel_mean, self.encoding.pixel_std)
        )
        return x.sub_(mean).div_(std)

    def part(self, places: Tensor | slice) -> "ImageRows":
        return replace(self, places=self.places[places if isinstance(places, slice) else places.numpy()])

    def _decoded(self, place: int) -> NDArray[np.uint8]:
        source = self.sources[place]
        channels, height, width = self.encoding.image_shape
        try:
            return pixels(source, (channels, height, width))
        except (ValueError, OSError) as error:
            name = visible(str(source)) if isinstance(source, Path) else f"image {place}"
            raise DataError(f"{name} cannot be read ({reason_of(error)}); replace or remove it.") from None


def _parts(folder: Path, names: Sequence[str]) -> list[str]:
    """Of which part each image is, by the folder in `folder` that it lies in; none where these are no parts."""
    parts = {found.name: part for part, found in (parts_of(folders_in(folder)) or {}).items()}
    return [parts.get(name.split("/")[0], "") for name in names] if parts else []


def _several(rows: Any) -> bool:
    return isinstance(rows, list | tuple) or (isinstance(rows, np.ndarray) and rows.ndim == 4)


def _source(one: Any) -> Source:
    from PIL import Image

    if isinstance(one, str | Path):
        return Path(one)
    if isinstance(one, bytes | Image.Image):
        return one
    array = np.asarray(one)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise DataError(
            f"an image is an array (H, W) or (H, W, 3) of 8-bit integers; got {array.dtype} of shape {array.shape}."
        )
    return Image.fromarray(array)
