"""Files that are written whole or not at all. `calmix.reading` reads them."""

import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.errors import DataError, SettingError
from calmix.reading import visible

NamedArrays = Mapping[str, NDArray[Any]]  # by name: logits, probs, labels, ...


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet carries out


def slug(label: str) -> str:
    """A label as a file name.

    >>> slug("sk_mixup(tau_max=0.3)")
    'sk_mixup-tau_max-0.3'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write beside the target, then put the file in its place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: Path, value: Any) -> None:
    """Raise ValueError where a number is not finite, TypeError where a value has no form in JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    text = csv_of(frame)
    write_whole(path, lambda file: file.write(text))


def csv_of(frame: pd.DataFrame) -> bytes:
    """In UTF-8, and with a ' before each text that a spreadsheet would carry out as a formula.

    >>> csv_of(pd.DataFrame({"class": ["=1+1", "-1"]}))
    b"class\\n'=1+1\\n-1\\n"
    """
    harmless = frame.rename(columns=_harmless).map(_harmless)
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


def make_folder(path: Path) -> None:
    """Raise DataError where the folder cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {path}: {error.strerror or error}; give another --out.") from None


# what marks a folder as taken, and by what
FINISHED = {"results.json": "a comparison", "diagnosis.json": "a diagnosis", "metrics.json": "an evaluation"}


def refuse_others(folder: Path, own: str) -> None:
    """Raise DataError where the folder holds results of another kind than those marked by the file `own`."""
    for name, kind in FINISHED.items():
        if name != own and (folder / name).exists():
            raise DataError(f"{folder} holds {kind}; give another --out.")


def check_labels(labels: Collection[str]) -> None:
    """Raise SettingError where two labels would have the same file name, or one has characters that none can show."""
    for label in labels:
        if visible(label) != label:
            raise SettingError(f"the label {label!r} has control characters; leave them out.")
    if len({slug(label) for label in labels}) < len(labels):
        raise SettingError(f"two methods have the same name in files: {', '.join(labels)}; name each one once.")


def refuse_finished(folder: Path, advice: str) -> None:
    """Raise DataError where the folder holds results of any kind."""
    for name, kind in FINISHED.items():
        if (folder / name).exists():
            raise DataError(f"{folder} already holds {kind}; {advice}.")
    if any(folder.glob("runs/*.json")) or any(folder.glob("seeds/*.json")):
        raise DataError(f"{folder} already holds finished runs; {advice}.")
