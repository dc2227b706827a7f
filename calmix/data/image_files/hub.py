"""Shards of the hub: parquet or arrow files with a column of encoded images and one of classes.

    train-00000-of-00002.parquet, test-00000-of-00001.parquet    in the folder or below it, in folders of parts or not
    train/data-00000-of-00001.arrow                              what `save_to_disk` of the library datasets leaves

N images
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calmix.data.asked import SHARDS
from calmix.data.image_files.found import PARTS, TESTS_ARE_DRAWN, Found, stamp_of
from calmix.data.splits import listed
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.reading import reading, visible

_AGAIN = "get the file anew"
_ROWS = 256  # read at a time


def shards_in(folder: Path) -> list[Path]:
    """The shards in a folder and below it, in order; hidden ones are left out."""
    found = [path for suffix in SHARDS for path in folder.rglob(f"*{suffix}")]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def find_shards(root: Path, target: str | None) -> Found:
    """The images of a folder of shards.

    Classes have the names that the library datasets wrote into the shards, or else are called after their values.

    target: the column of classes, where there are several.

    Raises:
        DataError: no column of images or of classes, or shards that cannot be read. UnknownNameError: no such column.
    """
    paths = shards_in(root)
    by_part = _parts(root, paths)
    schema = _schema(paths[0])
    (image, *others), (label, names) = _image_columns(paths[0], schema), _class_column(paths[0], schema, target)
    if label == image:
        raise SettingError(f"{label!r} is the column of images; give the column of classes as target.")
    notices = [f"images are those of {image!r}; left out: {listed(others)}."] if others else []
    kept: list[tuple[Path, list[Any]]] = []
    given: dict[str, Any] = {}
    count = 0
    for part, shards in by_part.items():
        values = [(path, _values(path, label)) for path in shards]
        every = [value for _, some in values for value in some]
        if part != "train" and part and all(_unknown(value) for value in every):
            notices.append(f"the images of {part} have no classes and are left out; calmix predict says what they are.")
            continue
        if any(_unknown(value) for value in every):
            raise DataError(f"{visible(str(root))} has images without a class in {label!r}; remove these rows.")
        kept += values
        if part in ("validation", "test"):
            given[part] = np.arange(count, count + len(every))
        count += len(every)
    said = [_name(value, names) for _, some in kept for value in some]
    known = list(names or sorted(set(said), key=_in_order))
    unknown = sorted(set(said) - set(known))
    if unknown:
        raise DataError(
            f"{visible(str(root))} has classes that are not known: {listed(unknown)}; known: {listed(known)}."
        )
    known = [name for name in known if name in set(said)]
    ids = {name: k for k, name in enumerate(known)}
    if len(known) < 2:
        raise DataError(f"{visible(str(root))} has one class, {listed(known)}, in {label!r}; give two or more.")
    if given and "test" not in given:
        notices.append(f"there is no test part: {TESTS_ARE_DRAWN}")
    shards = [path for path, _ in kept]
    sizes = [(path, len(some)) for path, some in kept]
    stamps = [str(root.resolve()), image, *(stamp_of(path, path.parent) for path in shards)]
    return Found(
        root=root,
        names=[f"{_called(path, root)}:{row}" for path, some in kept for row in range(len(some))],
        labels=np.array([ids[name] for name in said], np.int64),
        classes=tuple(known),
        given=given,
        stamp=hashlib.sha256("\0".join(stamps).encode(errors="surrogateescape")).hexdigest(),
        read_at=lambda places: _images_at(sizes, image, places),
        notices=tuple(notices),
    )


@dataclass(frozen=True, eq=False)
class NewShards:
    """Images in shards, to be predicted, as encoded bytes. truth: (N,) their classes, where all are told and known."""

    names: Sequence[str]
    images: Sequence[bytes]
    truth: NDArray[Any] | None
    notices: Sequence[str]


def new_shards(root: Path, classes: Sequence[str]) -> NewShards:
    """The images of a shard, or of a folder of them: of several parts the test part. classes: those that are known.

    Raises:
        DataError: no column of images, or shards that cannot be read; or several parts, of which none is the test part.
    """
    paths, notices = _to_predict(root) if root.is_dir() else ([root], [])
    schema = _schema(paths[0])
    image = _image_columns(paths[0], schema)[0]
    names: list[str] = []
    images: list[bytes] = []
    for path in paths:
        held = list(_images(path, image))
        called = _called(path, root) if root.is_dir() else path.name
        names += [f"{called}:{row}" for row in range(len(held))]
        images += held
    try:
        label, known = _class_column(paths[0], schema, None)
    except DataError:
        return NewShards(names, images, None, notices)
    said = [_name(value, known) for path in paths for value in _values(path, label)]
    return NewShards(names, images, np.array(said, object) if set(said) <= set(classes) else None, notices)


def _to_predict(root: Path) -> tuple[list[Path], list[str]]:
    """The shards of the test part where there are several parts, and what is to be said of it; else all."""
    paths = shards_in(root)
    by_part = _parts(root, paths)
    if len(by_part) < 2:
        return paths, []
    name, parts = visible(str(root)), " and ".join(by_part)
    if "test" not in by_part:
        raise DataError(f"{name} holds {parts}, and it cannot be told which to predict; give one shard.")
    return by_part["test"], [f"the test part of {name} is predicted, and no other; or give one shard."]


def _called(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _parts(root: Path, paths: Sequence[Path]) -> Mapping[str, list[Path]]:
    """The shards by part, train first; "" where no name tells a part."""
    by_name = {name: part for part, names in PARTS.items() for name in names}

    def part_of(path: Path) -> str:
        for text in (path.name, *reversed(path.relative_to(root).parts[:-1])):
            first = re.split(r"[-_.]", text.lower())[0]
            if first in by_name:
                return by_name[first]
        return ""

    parts = {path: part_of(path) for path in paths}
    found = {part: [path for path in paths if parts[path] == part] for part in ("", *PARTS)}
    found = {part: shards for part, shards in found.items() if shards}
    if "" in found and len(found) > 1:
        of_part, other = (next(path.name for path in paths if bool(parts[path]) == known) for known in (True, False))
        raise DataError(
            f"{visible(str(root))} holds shards of parts, such as {of_part!r}, and others, such as {other!r}; put each "
            "set into a folder of its own."
        )
    if "" not in found and "train" not in found:
        found = {"": [path for shards in found.values() for path in shards]}
    return found


def _kinds(path: Path, schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """What the library datasets wrote of each column: of which type it is, and the names of classes."""
    raw = (schema.metadata or {}).get(b"huggingface", b"{}")
    with reading(path, _AGAIN):
        features = json.loads(raw).get("info", {}).get("features", {})
    return {name: kind for name, kind in features.items() if isinstance(kind, dict) and name in schema.names}


def _image_columns(path: Path, schema: Any) -> list[str]:
    """One or more, in their order; the first is taken."""
    images = [name for name, kind in _kinds(path, schema).items() if kind.get("_type") == "Image"]
    images = images or [field.name for field in schema if _is_bytes(field.type)]
    if not images:
        raise DataError(f"{visible(str(path))} has no column of encoded images; its columns: {listed(schema.names)}.")
    return images


def _class_column(path: Path, schema: Any, target: str | None) -> tuple[str, Sequence[str]]:
    """The column of classes, and the names of classes where the shard tells them."""
    import pyarrow as pa

    kinds = _kinds(path, schema)
    if target is None:
        labels = [name for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"]
        labels = labels or [name for name in ("label", "labels", "class") if name in schema.names]
        others = [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_string(field.type)]
        if len(labels) != 1:
            raise DataError(
                f"the column of classes in {visible(str(path))} is not plain; name it with --target: "
                f"{listed(labels or others or schema.names)}."
            )
        target = labels[0]
    elif target not in schema.names:
        raise UnknownNameError("target column", target, schema.names)
    return target, [str(name) for name in kinds.get(target, {}).get("names", [])]


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _unknown(value: Any) -> bool:
    return value is None or value == -1


def _name(value: Any, names: Sequence[str]) -> str:
    if isinstance(value, int) and names:
        return names[value] if 0 <= value < len(names) else str(value)
    return str(value)


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isascii() and name.isdecimal() else (0, name)


# ------------------------------------------------------------------------------------------------ reading of shards


def _schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, _AGAIN):
        if path.suffix == ".parquet":
            return pq.read_schema(path)
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_stream(file).schema


def _batches(path: Path, column: str) -> Iterator[Any]:
    """The column, some rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, _AGAIN):
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS, columns=[column]):
                    yield batch.column(0)
        else:
            with pa.memory_map(str(path)) as file:
                for batch in pa.ipc.open_stream(file):
                    yield batch.column(batch.schema.names.index(column))


def _values(path: Path, column: str) -> list[Any]:
    return [value for batch in _batches(path, column) for value in batch.to_pylist()]


def _images(path: Path, column: str) -> Iterator[bytes]:
    for batch in _batches(path, column):
        for value in batch.to_pylist():
            content = value.get("bytes") if isinstance(value, dict) else value
            yield content or b""


def _images_at(shards: Sequence[tuple[Path, int]], column: str, places: NDArray[np.int64]) -> Iterator[bytes]:
    """The images at places that rise, of shards with so many rows each; shards without any are not opened."""
    start = 0
    for path, rows in shards:
        wanted = places[(places >= start) & (places < start + rows)] - start
        chosen = np.isin(np.arange(wanted[-1] + 1 if len(wanted) else 0), wanted)
        if len(chosen):
            yield from (content for take, content in zip(chosen, _images(path, column), strict=False) if take)
        start += rows
