"""Files that are written whole or not at all, and read as what they should hold or an error that names them."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.errors import DataError, SettingError

NamedArrays = Mapping[str, NDArray[Any]]  # by name: logits, probs, labels, ...


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


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}.") from None


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    text = csv_of(frame)
    write_whole(path, lambda file: file.write(text))


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def write_arrays(path: Path, arrays: NamedArrays) -> None:
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Raise DataError where the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # closed also where it is damaged
            return dict(stored)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}; run the command that made it again.") from None


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
    """Raise SettingError where two labels would have the same file name."""
    if len({slug(label) for label in labels}) < len(labels):
        raise SettingError(f"two methods have the same name in files: {', '.join(labels)}; name each one once.")


def refuse_finished(folder: Path, advice: str) -> None:
    """Raise DataError where the folder holds results of any kind."""
    for name, kind in FINISHED.items():
        if (folder / name).exists():
            raise DataError(f"{folder} already holds {kind}; {advice}.")
    if any(folder.glob("runs/*.json")) or any(folder.glob("seeds/*.json")):
        raise DataError(f"{folder} already holds finished runs; {advice}.")
