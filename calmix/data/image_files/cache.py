"""Decoded images in one file of raw bytes, made once, whole or not at all.

    CACHE/images/KEY.raw    N rows of C H W bytes, then what is known of them as JSON, its length, and a mark

KEY follows from the list of files with their sizes and times, and from the size that is asked for. CACHE is
$CALMIX_CACHE, $XDG_CACHE_HOME/calmix or ~/.cache/calmix; it may be deleted whenever no command runs.
"""

import hashlib
import json
import math
import os
import secrets
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from calmix.data.image_files.decode import look, pixels
from calmix.data.image_files.found import Found
from calmix.errors import DataError, SettingError
from calmix.reading import reason_of, typed, visible

Tell = Callable[[int, int], object]  # told how many images are decoded, and how many there are

DEFAULT_SIDE = 64  # pixels: of images that differ in size, or are larger
LARGEST = 4096
_VERSION, _MARK = 1, b"calmix-1"
_AT_ONCE = 32  # images that a thread takes
_NAMED = 5  # broken files in one message
_OLD = 24 * 3600  # seconds: what is left half-written by a killed command
T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """shape: (C, H, W). digest: of the content of all files, with their names. own_size: whether none was scaled."""

    shape: tuple[int, int, int]
    rows: int
    digest: str
    own_size: bool


def check_side(side: int | None) -> None:
    """Raise SettingError unless images can be so large."""
    if side is not None and not 1 <= side <= LARGEST:
        raise SettingError(f"image_size must be from 1 to {LARGEST} pixels; got {side}.")


def cached(found: Found, side: int | None, tell: Tell = lambda done, of: None) -> tuple[Path, Decoded]:
    """The file of the decoded images, and what it holds; they are decoded where it is missing or damaged.

    side: of the square that each image becomes; None: their own size where it is the same for all and at most
    DEFAULT_SIDE, else that. They are grey if all files are. Threads decode them: Pillow lets go of Python meanwhile.

    Raises:
        DataError: files that cannot be read, by name; a cache that cannot be written. SettingError: no such side.
    """
    check_side(side)
    folder = cache_folder() / "images"
    key = hashlib.sha256(f"{_VERSION} {side} {found.stamp}".encode()).hexdigest()[:32]
    path = folder / f"{key}.raw"
    known = _read(path, len(found.names))
    if known is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of what it could read all the same
            known = _write(path, found, side, tell)
    return path, known


def cache_folder() -> Path:
    """Where what was decoded is kept."""
    own = os.environ.get("CALMIX_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else Path(base or "~/.cache").expanduser() / "calmix"


def _read(path: Path, rows: int) -> Decoded | None:
    """What the file says of itself; None where it is missing, cut short, or of other rows."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8 - len(_MARK)))
            length, mark = int.from_bytes(file.read(8), "little"), file.read()
            tail = length + 8 + len(_MARK)
            if mark != _MARK or tail > size:
                return None
            file.seek(size - tail)
            known = typed(dict[str, Any], json.loads(file.read(length)))
        known["shape"] = tuple(known["shape"])
        found = Decoded(**known)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    fits = found.rows == rows and size - tail == rows * math.prod(found.shape)
    return found if fits else None


def _write(path: Path, found: Found, side: int | None, tell: Tell) -> Decoded:
    looks = [one for _, one in each(found, look)]
    sizes = {one.size for one in looks}
    shape = (1 if all(one.grey for one in looks) else 3, *_size(sizes, side))
    temporary = path.with_name(f"{path.stem}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        _check_room(path.parent, len(looks) * math.prod(shape))
        try:
            with temporary.open("xb") as file:
                known = Decoded(shape, len(looks), _decode(found, shape, file, tell), sizes == {shape[1:]})
                tail = json.dumps(asdict(known)).encode()
                file.write(tail + len(tail).to_bytes(8, "little") + _MARK)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"decoded images cannot be kept in {path.parent} ({error.strerror or error}); set CALMIX_CACHE to another "
            "folder."
        ) from None
    return known


def _size(sizes: set[tuple[int, int]], side: int | None) -> tuple[int, int]:
    [first, *others] = sizes
    if side is None and not others and max(first) <= DEFAULT_SIDE:
        return first
    return side or DEFAULT_SIDE, side or DEFAULT_SIDE


def _decode(found: Found, shape: tuple[int, int, int], file: BinaryIO, tell: Tell) -> str:
    """Write the rows, and return the digest of the files' content and names."""
    digest = hashlib.sha256()

    def decoded(source: Path | bytes) -> tuple[bytes, bytes]:
        content = source if isinstance(source, bytes) else source.read_bytes()
        return hashlib.sha256(content).digest(), pixels(content, shape).tobytes()

    for done, (name, (of_content, row)) in enumerate(each(found, decoded), start=1):
        digest.update(name.encode(errors="surrogateescape") + b"\0" + of_content)
        file.write(row)
        tell(done, len(found.names))
    return digest.hexdigest()[:16]


def each(found: Found, work: Callable[[Path | bytes], T]) -> Iterator[tuple[str, T]]:
    """The name of each image and what the work makes of it, in order; several threads work.

    Raises:
        DataError: images of which the work raised; in the end, so that the message names the first of them all.
    """

    def attempt(some: Sequence[tuple[str, Path | bytes]]) -> list[tuple[str, T | Exception]]:
        done: list[tuple[str, T | Exception]] = []
        for name, source in some:
            try:
                done.append((name, work(source)))
            except (ValueError, OSError, MemoryError) as error:
                done.append((name, error))
        return done

    broken: list[str] = []
    count = os.cpu_count() or 1
    images = zip(found.names, found.read(), strict=True)
    waiting: deque[Future[list[tuple[str, T | Exception]]]] = deque()
    pool = ThreadPoolExecutor(count)
    try:
        while True:
            some = list(islice(images, _AT_ONCE))
            if some:
                waiting.append(pool.submit(attempt, some))
            if not waiting:
                break
            if not some or len(waiting) > 2 * count:
                for name, made in waiting.popleft().result():
                    if isinstance(made, Exception):
                        broken.append(f"{visible(name)} ({reason_of(made)})")
                    else:
                        yield name, made
    finally:
        pool.shutdown(cancel_futures=True)
    if broken:
        more = f" and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
        what = "1 image cannot be read" if len(broken) == 1 else f"{len(broken):,} images cannot be read"
        raise DataError(
            f"{what} in {visible(str(found.root))}: {', '.join(broken[:_NAMED])}{more}; replace or remove "
            f"{'it' if len(broken) == 1 else 'them'}."
        )


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"decoded images take {size / 1e9:.1f} GB, and {folder} has room for {free / 1e9:.1f} GB; set CALMIX_CACHE "
            "to a folder on another disk, or make images smaller (--image-size)."
        )


def _sweep(folder: Path) -> None:
    """Take away what killed commands left."""
    for left in folder.glob("*.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD:
                left.unlink()
