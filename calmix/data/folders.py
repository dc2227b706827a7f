"""Where the files of a named data set are."""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from calmix.errors import DataError


def find_companion(name: str, pattern: str, data_dir: Path | None, advice: str) -> Path:
    """The folder of a set that accompanies another: in $CALMIX_DATA, or in or beside data_dir, always by its name.

    The bare folders are not tried: Fashion-MNIST's own files have the names of notMNIST's.
    """
    root = os.environ.get("CALMIX_DATA")
    near = [] if data_dir is None else [Path(data_dir, name), Path(data_dir).resolve().parent / name]
    places = [*near, *([Path(root, name)] if root else [])]
    return _first(name, pattern, places, advice)


def find_folder(name: str, pattern: str, data_dir: Path | None, more: Iterable[Path], advice: str) -> Path:
    """The first folder that holds such a file: data_dir alone where given, else the usual places."""
    root = os.environ.get("CALMIX_DATA")
    places = [Path(data_dir)] if data_dir else [*([Path(root, name), Path(root)] if root else []), *more]
    return _first(name, pattern, places, advice)


def digest_of_files(paths: Iterable[Path]) -> str:
    """What tells the content of these files from any other, whatever they are called."""
    digests = sorted(_digest_of_file(path, path.stat().st_mtime_ns) for path in paths)
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


@lru_cache(maxsize=16)
def _digest_of_file(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def last_change(paths: Iterable[Path]) -> int:
    """A number that changes when one of these files does, or one in these folders, or when one comes or goes.

    In this process: it is a hash.
    """
    found = (file for path in paths for file in (path, *(path.rglob("*") if path.is_dir() else ())))
    return hash(frozenset((str(file), file.stat().st_mtime_ns) for file in found if file.exists()))


def _first(name: str, pattern: str, places: list[Path], advice: str) -> Path:
    for place in places:
        if any(place.glob(pattern)):
            return place
    looked = ", ".join(map(str, places)) or "no folder: CALMIX_DATA is not set"
    raise DataError(f"{name}: no file {pattern} found (looked in {looked}); {advice}.")
