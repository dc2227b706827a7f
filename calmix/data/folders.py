"""Where the files of a named data set are, and what tells that files have changed."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from calmix.errors import DataError
from calmix.reading import reading

_SHARD = re.compile(r"-of-(\d+)\.")  # in the name of a file of the hub


def find_companion(name: str, pattern: str, data_dir: Path | None, advice: str) -> Path:
    """The folder of a set that accompanies another: in $CALMIX_DATA, or in or beside data_dir, always by its name.

    The bare folders are not tried: Fashion-MNIST's own files have the names of notMNIST's.
    """
    root = os.environ.get("CALMIX_DATA")
    near = [] if data_dir is None else [Path(data_dir, name), Path(data_dir).resolve().parent / name]
    places = [*near, *([Path(root, name)] if root else [])]
    return _first(name, pattern, places, advice)


def find_folder(name: str, pattern: str, data_dir: Path | None, more: Iterable[Path], advice: str) -> Path:
    """The first folder that holds such a file: data_dir, or `name` in it, where given, else the usual places."""
    return _first(name, pattern, _places(name, data_dir, more), advice)


def find_file(name: str, file: str, data_dir: Path | None, advice: str) -> Path:
    """The first file that is called so, or so and gzipped; the folders are those of `find_folder`."""
    places = _places(name, data_dir, [])
    found = filter(None, (plain_or_gzipped(place / file) for place in places))
    return next(found, None) or _absent(name, f"{file} or {file}.gz", places, advice)


def plain_or_gzipped(path: Path) -> Path | None:
    """The path, or it with .gz, whichever is a file."""
    return next((one for one in (path, path.with_name(f"{path.name}.gz")) if one.is_file()), None)


def digest_of_files(paths: Iterable[Path], names: Iterable[str] | None = None) -> str:
    """What tells these files, by their content, their names and their order, from any others.

    names: what they are told by where the folders that they lie in say something, too, such as a label.
    """
    paths = list(paths)
    digest = hashlib.sha256()
    for path, name in zip(paths, [path.name for path in paths] if names is None else names, strict=True):
        with reading(path, "get the file anew"):
            content = _digest_of_file(path, path.stat().st_mtime_ns)
        digest.update(f"{name}\0{content}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@lru_cache(maxsize=16)
def _digest_of_file(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_all_shards(paths: Sequence[Path]) -> None:
    """Raise DataError where a name such as train-00000-of-00002.parquet says that there are more files than these."""
    for path in paths:
        said = _SHARD.search(path.name)
        if said is not None and len(paths) < int(said[1]):
            raise DataError(f"{path} is one of {int(said[1])} files, of which {len(paths)} are there; get them all.")


def last_change(paths: Iterable[Path]) -> int:
    """A number that changes when one of these files does, or one in these folders, or when one comes or goes.

    In this process: it is a hash.
    """
    found = (file for path in paths for file in (path, *(path.rglob("*") if path.is_dir() else ())))
    return hash(frozenset((str(file), file.stat().st_mtime_ns) for file in found if file.exists()))


def times(path: Path, suffixes: Collection[str] = ()) -> tuple[int, ...]:
    """When the folder and those in it were changed, which files do that come or go, and files that end so."""
    if not path.is_dir():
        return ()
    found = [path]
    for folder, folders, files in os.walk(path):
        found += [Path(folder, name) for name in (*folders, *(one for one in files if Path(one).suffix in suffixes))]
    return tuple(one.stat().st_mtime_ns for one in found)


def _places(name: str, data_dir: Path | None, more: Iterable[Path]) -> list[Path]:
    root = os.environ.get("CALMIX_DATA")
    if data_dir is not None:
        return [Path(data_dir), Path(data_dir, name)]
    return [*([Path(root, name), Path(root)] if root else []), *more]


def _first(name: str, pattern: str, places: Sequence[Path], advice: str) -> Path:
    return next((place for place in places if any(place.glob(pattern))), None) or _absent(name, pattern, places, advice)


def _absent(name: str, file: str, places: Sequence[Path], advice: str) -> NoReturn:
    looked = ", ".join(map(str, places)) or "no folder: CALMIX_DATA is not set"
    raise DataError(f"{name}: no file {file} found (looked in {looked}); {advice}.")
