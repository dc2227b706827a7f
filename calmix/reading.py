"""What is read from outside becomes a typed value, or one sentence that names the file: one function a format.

Tables have their own, `calmix.data.table.files.read_table`.
"""

import bz2
import gzip
import io
import json
import lzma
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import IO, Any, Literal, Union, get_args, get_origin, get_type_hints
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from calmix.errors import CalmixError, DataError

AGAIN = "run the command that made it again"
LARGE, TIMES = 2**28, 100  # bytes: what unpacks to more than LARGE and to more than so many times its file is refused
_LONGEST_HEAD = 10_000  # bytes; numpy refuses longer ones
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # what neither XML nor UTF-8 nor a line can hold


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Whatever is raised inside becomes a DataError that names the file and ends in the remedy.

    Only for calls of other people's parsers: which exceptions those raise of damaged bytes is written down nowhere.
    """
    try:
        yield
    except CalmixError:
        raise
    except MemoryError:
        raise DataError(f"{path} cannot be read (it needs more memory than there is); {remedy}.") from None
    except Exception as error:
        remedy = "give yourself the right to read it" if isinstance(error, PermissionError) else remedy
        raise DataError(f"{path} cannot be read ({reason_of(error)}); {remedy}.") from error


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line without a full stop.

    >>> reason_of(ValueError("not so.\\n  Look here.")), reason_of(MemoryError())
    ('not so. Look here', 'MemoryError')
    """
    said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return visible(" ".join(said.split()).rstrip(".")[:300]) or type(error).__name__


def visible(text: str) -> str:
    """Control characters and lone surrogates as escapes: a name that any file, page or terminal can show.

    >>> visible("a\\x07b")
    'a\\\\x07b'
    """
    return text if text.isprintable() else CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def read_bytes(path: Path, remedy: str) -> bytes:
    """The content of a file, unpacked where its name ends in .gz, .bz2, .xz or .zst."""
    with reading(path, remedy):
        unpack = _UNPACK.get(path.suffix.lower())
        if unpack is None:
            return path.read_bytes()
        size = path.stat().st_size
        with unpack(path) as file:
            found = file.read(max(LARGE, TIMES * size) + 1)
        check_size(path, len(found), size)
        return found


def read_zip(path: Path, remedy: str) -> tuple[str, bytes]:
    """The name and the content of the one file in a .zip file."""
    with reading(path, remedy), ZipFile(path) as stored:
        members = [member for member in stored.infolist() if not member.is_dir() and "__MACOSX" not in member.filename]
        if len(members) != 1:
            names = ", ".join(visible(member.filename) for member in members[:5]) or "none"
            raise DataError(
                f"{path} holds {len(members)} files ({names}), expected one; unpack it and give one of them."
            )
        check_size(path, members[0].file_size, path.stat().st_size)
        return Path(members[0].filename).name, stored.read(members[0])


def check_size(path: Path, unpacked: int, size: int) -> None:
    """Raise DataError where a file of `size` bytes unpacks to more than is plausible."""
    if unpacked > max(LARGE, TIMES * size):
        raise DataError(
            f"{path} unpacks to more than {TIMES} times its size, at least {unpacked / 2**30:.1f} GiB; if it should be "
            "so large, save it uncompressed."
        )


def _open_zst(path: Path) -> Any:
    import pyarrow as pa

    return pa.input_stream(str(path), compression="zstd")


_UNPACK: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _open_zst}


# --------------------------------------------------------------------------------------------------- arrays


def read_arrays(path: Path, remedy: str = AGAIN) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name: booleans, numbers or text, in this machine's byte order.

    Raises:
        DataError: the file is missing or damaged, holds anything else, or claims more than it can hold.
    """
    with reading(path, remedy), path.open("rb") as file, ZipFile(file) as stored:
        members = stored.infolist()
        check_size(path, sum(member.file_size for member in members), path.stat().st_size)
        found = {}
        for member in members:
            with stored.open(member) as entry:
                found[member.filename.removesuffix(".npy")] = _array(entry, member.file_size, path, remedy)
        if len(found) < len(members):
            raise DataError(f"{path} holds two arrays of the same name; {remedy}.")
        return found


def read_array(path: Path, remedy: str = AGAIN) -> NDArray[Any]:
    """The array of an .npy file, as `read_arrays`."""
    with reading(path, remedy), path.open("rb") as file:
        return _array(file, path.stat().st_size, path, remedy)


_HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _array(file: IO[bytes], size: int, path: Path, remedy: str) -> NDArray[Any]:
    """The array of one .npy file of `size` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADS:  # a third one exists for names of fields, which plain arrays do not have
        raise ValueError(f"arrays of version {version}")
    count = file.read(2 if version == (1, 0) else 4)
    head = count + file.read(min(int.from_bytes(count, "little"), _LONGEST_HEAD))
    shape, by_columns, dtype = _read_head(version, head)
    if dtype.kind not in "biufSU":
        raise DataError(f"{path} holds {dtype} and should hold plain arrays of numbers or text; {remedy}.")
    length = math.prod(shape) * dtype.itemsize
    if length > size:
        raise DataError(f"{path} is damaged: an array claims {length} bytes and has {size}; {remedy}.")
    content = bytearray(length)
    place = memoryview(content)
    while len(place):
        count = file.readinto(place[: 2**20])  # pyright: ignore[reportAttributeAccessIssue]  (both kinds of file do)
        if not count:
            raise EOFError("it ends within an array")
        place = place[count:]
    if file.read(1):  # which also checks the sum of a member
        raise ValueError("an array is longer than it says")
    array = np.ndarray(shape, dtype, content, order="F" if by_columns else "C")
    plain = np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        return array.astype(plain, copy=False)


@lru_cache(maxsize=64)
def _read_head(version: tuple[int, int], head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and kind, read by numpy: once for all files of one kind, as it takes longer than a small array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about headers that Python 2 wrote
        return _HEADS[version](io.BytesIO(head))


def check_arrays(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    expected: Mapping[str, str],
    remedy: str = AGAIN,
    **given: int,
) -> None:
    """Raise DataError unless there are these arrays, not empty, of finite numbers and of shapes that go together.

    expected: by name the lengths, a letter each, and * for further ones; the same letter is the same length everywhere.
    Where the letter in front of a colon counts classes, the entries are class ids. given: lengths that are known.

    >>> known = {"probs": np.zeros((5, 3)), "labels": np.array([0, 1, 2, 2, 3])}
    >>> check_arrays(Path("a.npz"), known, {"probs": "n K", "labels": "K: n"})
    Traceback (most recent call last):
    ...
    calmix.errors.DataError: a.npz: labels should hold class ids below 3; run the command that made it again.
    """
    lengths: dict[str, tuple[int, ...]] = {letter: (length,) for letter, length in given.items()}
    for name, text in expected.items():
        classes, _, dims = text.rpartition(":")
        if name not in arrays:
            raise DataError(f"{path} lacks {name}; {remedy}.")
        array, letters = arrays[name], dims.split()
        plain = [letter for letter in letters if letter != "*"]
        found = [(length,) for length in array.shape[: len(plain)]]
        if "*" in letters:
            found.append(array.shape[len(plain) :])
        fits = len(found) == len(letters) and ("*" in letters or array.ndim == len(letters))
        if (
            not fits
            or 0 in array.shape
            or any(lengths.setdefault(*pair) != pair[1] for pair in zip(letters, found, strict=True))
        ):
            raise DataError(f"{path}: {name} has shape {array.shape}, which does not fit; {remedy}.")
        if array.dtype.kind not in "iu" and (classes or array.dtype.kind != "f" or not np.isfinite(array).all()):
            raise DataError(f"{path}: {name} should hold {'class ids' if classes else 'finite numbers'}; {remedy}.")
        if classes and array.size and not (array.min() >= 0 and array.max() < lengths[classes][0]):
            raise DataError(f"{path}: {name} should hold class ids below {lengths[classes][0]}; {remedy}.")


# --------------------------------------------------------------------------------------------------- JSON


def read_json(path: Path, remedy: str = AGAIN) -> Any:
    """Raise DataError where the file is missing, is no JSON, or holds NaN or infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    with reading(path, remedy):
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def typed(kind: Any, raw: object) -> Any:
    """What JSON or YAML gave, as a value of `kind`: a dataclass, mapping, sequence, union, text, number, bool or None.

    Numbers are finite; control characters in texts become escapes; an entry of a dataclass may be missing where its
    field has a default.

    Raises:
        DataError: an entry is missing, unknown or of another kind; the message names it.

    >>> typed(Mapping[str, float], {"ece": 1})
    {'ece': 1.0}
    >>> typed(tuple[int, ...], [1, "x"])
    Traceback (most recent call last):
    ...
    calmix.errors.DataError: the entry 1 is 'x', expected a whole number.
    """
    try:
        return _reader(kind)(raw)
    except _Other as other:
        where = ".".join(map(str, reversed(other.path)))
        raise DataError(f"the entry {visible(where)} {other}." if where else f"it {other}.") from None


def known(kind: type, raw: object) -> dict[str, Any]:
    """The entries of `raw` that are fields of a dataclass, for files that hold more. Raise DataError for no mapping."""
    entries = typed(Mapping[str, Any], raw)
    return {field.name: entries[field.name] for field in fields(kind) if field.name in entries}


class _Other(Exception):
    """An entry that is not of its kind; path: where it is, the innermost first."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path: list[object] = []


def _at(place: object, reader: Callable[[Any], Any], raw: object) -> Any:
    try:
        return reader(raw)
    except _Other as other:
        other.path.append(place)
        raise


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """The function that makes a value of a kind; of what another kind gave, it raises _Other."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _reader_of_fields(kind)
    if origin in (Mapping, dict):
        of_value = _reader(inner[1])
        return lambda raw: {
            _text(name): _at(name, of_value, value) for name, value in _of(Mapping, "a mapping", raw).items()
        }
    if origin in (Sequence, list, tuple):
        of_entry = _reader(inner[0])
        return lambda raw: tuple(
            _at(place, of_entry, entry) for place, entry in enumerate(_of(list | tuple, "a list", raw))
        )
    if origin in (Union, UnionType):
        return _reader_of_any(inner)
    if origin is Literal:
        return lambda raw: raw if raw in inner else _refuse(raw, f"one of {', '.join(map(repr, inner))}")
    return (lambda raw: raw) if kind is Any else _SCALARS[kind]


def _reader_of_fields(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    needed = [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]

    def read(raw: Any) -> Any:
        given = _of(Mapping, "a mapping", raw)
        for name in needed:
            if name not in given:
                _at(name, _no_such, "is missing")
        for name in given:
            if name not in readers:
                _at(name, _no_such, "is one that this version of calmix does not know")
        return kind(**{name: _at(name, readers[name], value) for name, value in given.items()})

    return read


def _reader_of_any(kinds: Sequence[Any]) -> Callable[[Any], Any]:
    readers = [_reader(kind) for kind in kinds]

    def read(raw: Any) -> Any:
        for reader in readers[:-1]:
            try:
                return reader(raw)
            except _Other:
                pass
        return readers[-1](raw)

    return read


def _no_such(why: str) -> None:
    raise _Other(why)


def _refuse(raw: object, expected: str) -> Any:
    scalar = isinstance(raw, str | int | float | bool | None)
    raise _Other(f"is {repr(raw)[:60] if scalar else type(raw).__name__}, expected {expected}")


def _of(kind: Any, expected: str, raw: Any) -> Any:
    return raw if isinstance(raw, kind) else _refuse(raw, expected)


def _text(raw: Any) -> str:
    return visible(raw) if isinstance(raw, str) else _refuse(raw, "text")


def _number(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) <= sys.float_info.max:
        _refuse(raw, "a finite number")
    return float(raw)


_SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text,
    float: _number,
    int: lambda raw: raw if type(raw) is int else _refuse(raw, "a whole number"),
    bool: lambda raw: raw if type(raw) is bool else _refuse(raw, "true or false"),
    NoneType: lambda raw: raw if raw is None else _refuse(raw, "nothing"),
}
