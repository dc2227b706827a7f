"""The images of a folder, whichever way they lie in it. PyTorch is not loaded for it."""

from functools import lru_cache
from pathlib import Path

from calmix.data.asked import has_shards
from calmix.data.image_files.found import Found, find_images
from calmix.data.image_files.hub import find_shards
from calmix.errors import SettingError


def find(path: Path, target: str | None) -> Found:
    """The images of a folder of classes, or of shards.

    Raises:
        DataError: a folder that cannot be used. SettingError: a target where classes are folders.
    """
    if has_shards(path):
        return find_shards(path, target)
    if target is not None:
        raise SettingError(f"target is for columns, and the classes of {path} are its folders; leave it out.")
    return find_images(path)


@lru_cache(maxsize=4)
def found_in(path: Path, target: str | None, modified: tuple[int, ...]) -> Found:
    return find(path, target)
