"""Files that are written whole or not at all. `calmix.reading` reads them."""

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from calmix.errors import DataError, SettingError
from calmix.reading import visible

NamedArrays = Mapping[str, NDArray[Any]]  # by name: logits, probs, labels, ...


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet carries out
_LONGEST_SLUG = 200  # characters; file systems allow 255 bytes, and names have further parts
_LOCK, _CLAIM, _TEMPORARY = ".lock", "runs/.{}.lock", ".calmix-{}.tmp"
CHECKPOINTS = "checkpoints"  # the room of unfinished runs
FAILURES = "failures"  # the room of runs that failed where `calmix work` carried them out
_ROOMS = ("", "runs", "predictions", FAILURES, CHECKPOINTS, "figures", "seeds", "oracle", "mixes", "surfaces")


def slug(label: str) -> str:
    """A label as a file name; a long one ends in a digest of the whole label.

    >>> slug("sk_mixup(tau_max=0.3)"), slug("mixup" * 50)[-20:]
    ('sk_mixup-tau_max-0.3', 'mixupmixu-6819231842')
    """
    name = re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-")
    if len(name) <= _LONGEST_SLUG:
        return name
    digest = hashlib.sha256(label.encode(errors="surrogateescape")).hexdigest()[:10]
    return f"{name[: _LONGEST_SLUG - 11]}-{digest}"


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write beside the target, then put the file in its place in one step.

    Raises:
        DataError: the file cannot be written.
    """
    temporary = path.with_name(_TEMPORARY.format(secrets.token_hex(8)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                write(file)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}.") from None


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make the folder, keep other commands from writing to it, and sweep out what a killed one left half-written.

    What the holder calls may hold it again. A new folder to which no file was written is taken away again.

    Raises:
        DataError: the folder cannot be made, or another command holds it.
    """
    key = folder.resolve(), get_ident()
    if key in _held:
        yield
        return
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = _locked(folder / _LOCK, folder)
    if lock is None:
        raise DataError(f"another command is writing to {folder}; wait for it, or give another --out.")
    _held.add(key)
    try:
        _sweep(folder)
        yield
    finally:
        _held.remove(key)
        _unlock(lock)
        for made in [*(folder / room for room in _ROOMS[1:]), *new] if new else []:
            with suppress(OSError):  # not there, or not empty
                made.rmdir()


def is_held(folder: Path) -> bool:
    """Whether a command seems to write to a folder, on whatever machine: its lock is there."""
    return (folder / _LOCK).exists()


_held: set[tuple[Path, int]] = set()  # by which threads of this process


def _locked(path: Path, folder: Path) -> FileLock | None:
    """The lock, taken; None where another process has it. Raise DataError where the folder takes no locks."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:  # the second where a file system has no locks
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot write to {folder}: {reason}; give another --out.") from None
    return lock


def _unlock(lock: FileLock) -> None:
    with suppress(OSError):  # elsewhere than on Unix, a file that is open cannot be removed
        Path(lock.lock_file).unlink()
    lock.release()


def _sweep(folder: Path) -> None:
    """Remove what killed commands left half-written, unless others carry out runs there.

    What is half-written now is listed before the claims are tried, so that whoever is writing it is seen.
    """
    left = [path for room in _ROOMS for path in (folder / room).glob(_TEMPORARY.format("*"))]
    others = False
    for path in folder.glob(_CLAIM.format("*")):
        lock = _locked(path, folder)
        others = others or lock is None
        if lock is not None:
            _unlock(lock)
    if not others:
        for path in left:
            path.unlink(missing_ok=True)


class Claims:
    """The runs in a folder that this process carries out, and no other does meanwhile.

    A claim is a lock on a file. It ends with its process, however that ends, also on a folder that machines share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder
        self._locks: dict[str, FileLock] = {}

    def take(self, run: str) -> bool:
        """Claim a run; False where another process has it. Raise DataError where the folder takes no locks."""
        lock = _locked(self.folder / _CLAIM.format(run), self.folder)
        if lock is not None:
            self._locks[run] = lock
        return lock is not None

    def elsewhere(self, run: str) -> bool:
        """Whether another process carries out the run."""
        path = self.folder / _CLAIM.format(run)
        if not path.exists():
            return False
        lock = _locked(path, self.folder)
        if lock is not None:
            _unlock(lock)
        return lock is None

    def release(self, run: str) -> None:
        """Let go of a run, if it was claimed."""
        if run in self._locks:
            _unlock(self._locks.pop(run))

    def release_all(self) -> None:
        """Let go of every run."""
        for run in list(self._locks):
            self.release(run)


def write_json(path: Path, value: Any) -> None:
    """Raise ValueError where a number is not finite, TypeError where a value has no form in JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_json_lines(path: Path, value: Mapping[str, object], key: str, rows: Iterable[object]) -> None:
    """As `write_json`, with one more entry, `key`: a list with a line a row, of which there may be very many."""
    head = json.dumps(value, indent=1, allow_nan=False).removesuffix("\n}")

    def write(file: BinaryIO) -> None:
        file.write(f"{head},\n {json.dumps(key)}: [".encode())
        for place, row in enumerate(rows):
            file.write(f"{',' if place else ''}\n  {json.dumps(row, allow_nan=False)}".encode())
        file.write(b"\n ]\n}\n")

    write_whole(path, write)


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    text = csv_of(frame)
    write_whole(path, lambda file: file.write(text))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    write_whole(path, lambda file: file.write(content.getbuffer()))


def csv_of(frame: pd.DataFrame) -> bytes:
    """In UTF-8, and with a ' before each text that a spreadsheet would carry out as a formula.

    >>> csv_of(pd.DataFrame({"class": ["=1+1", "-1"]}))
    b"class\\n'=1+1\\n-1\\n"
    """
    harmless = frame.rename(columns=_harmless)
    for place, kind in enumerate(harmless.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):  # numbers keep their form
            cells = map(_harmless, harmless.iloc[:, place])
            harmless.isetitem(place, pd.Series(list(cells), harmless.index, dtype=object))
    return harmless.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")


def without_quote(text: str) -> str:
    """The text that `csv_of` wrote.

    >>> without_quote("'=1+1"), without_quote("'s")
    ('=1+1', "'s")
    """
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def write_arrays(path: Path, arrays: NamedArrays) -> None:
    content = io.BytesIO()  # what numpy raises where a disk is full does not say so
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_whole(path, lambda file: file.write(content.getbuffer()))


# what marks a folder as taken, and by what
FINISHED = {
    "results.json": "a comparison",
    "diagnosis.json": "a diagnosis",
    "metrics.json": "an evaluation",
    "tuning.json": "a search",
}


def refuse_others(folder: Path, own: str) -> None:
    """Raise DataError where the folder holds results of another kind than those marked by the file `own`."""
    for name, kind in FINISHED.items():
        if name != own and (folder / name).exists():
            raise DataError(f"{folder} holds {kind}; give another --out.")


def check_labels(labels: Collection[str]) -> None:
    """Raise SettingError where two labels would have the same file name on some system, or one cannot be shown."""
    for label in labels:
        if visible(label) != label:
            raise SettingError(f"the label {label!r} has control characters; leave them out.")
    if len({slug(label).lower() for label in labels}) < len(labels):
        raise SettingError(f"two methods have the same name in files: {', '.join(labels)}; name each one once.")


def refuse_finished(folder: Path, advice: str) -> None:
    """Raise DataError where the folder holds results of any kind."""
    for name, kind in FINISHED.items():
        if (folder / name).exists():
            raise DataError(f"{folder} already holds {kind}; {advice}.")
    if any(folder.glob("runs/*.json")) or any(folder.glob("seeds/*.json")):
        raise DataError(f"{folder} already holds finished runs; {advice}.")
    if any(folder.glob(f"{CHECKPOINTS}/*.safetensors")):
        raise DataError(f"{folder} already holds a run that was stopped; {advice}.")


def refuse_other_run(folder: Path, label: str) -> NoReturn:
    """Raise DataError, as the folder holds another run of the same name."""
    raise DataError(
        f"{folder} holds {label!r} with other settings, data or code; repeat the command that began it, or give "
        "another --out."
    )
