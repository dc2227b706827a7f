"""Arrays in files by their names: which is x, which is y, and of which part."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.data.asked import ARRAYS
from calmix.data.splits import listed
from calmix.errors import DataError
from calmix.reading import read_array, read_arrays, reading, visible

_X = ("x", "data", "images", "image", "features", "inputs", "input", "series")
_Y = ("y", "labels", "label", "targets", "target")
_PARTS = {"train": "train", "training": "train", "test": "test", "val": "validation", "valid": "validation",
          "validation": "validation"}  # fmt: skip
ANEW = "save the arrays anew"

Named = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Found:
    """parts: by part "train", "validation" or "test", what is called x and y. names: of all arrays, in words."""

    parts: Mapping[str, Named]
    names: str
    left_out: str
    files: list[Path]


def parts_of(path: Path, alone: str | None = None) -> Found:
    """The arrays of a file or folder by part. alone: what the array of a single .npy file is; None: it is refused."""
    arrays, files = _read(path, alone)
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    called: dict[tuple[str, str], str] = {}
    left: list[str] = []
    for name, array in arrays.items():
        place = _place(name)
        if place is None:
            left.append(name)
        elif place in called:
            raise DataError(f"{path} holds both {called[place]!r} and {name!r}, which are one thing; {ANEW}.")
        else:
            called[place] = name
            parts.setdefault(place[0], {})[place[1]] = array
    names = ", ".join(f"{visible(name)} {array.shape}" for name, array in arrays.items()) or "no array"
    left_out = f"arrays of {path.name} that are left out: {listed(left)}." if left else ""
    return Found(parts, names, left_out, files)


def _place(name: str) -> tuple[str, str] | None:
    """The part, and x or y, that an array's name stands for.

    >>> _place("X_train"), _place("val_labels"), _place("y"), _place("ids")
    (('train', 'x'), ('validation', 'y'), ('train', 'y'), None)
    """
    words = [word for word in re.split(r"[_.\-/ ]", name.lower()) if word]
    parts = [_PARTS[word] for word in words if word in _PARTS]
    rest = [word for word in words if word not in _PARTS]
    if len(parts) > 1 or len(rest) != 1 or rest[0] not in (*_X, *_Y):
        return None
    return parts[0] if parts else "train", "x" if rest[0] in _X else "y"


def _read(path: Path, alone: str | None) -> tuple[Named, list[Path]]:
    """The arrays by name, and the files that they were read from."""
    if not path.exists():
        raise DataError(f"file not found: {path}; give a file of arrays ({', '.join(ARRAYS)}).")
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if not files:
            raise DataError(f"{path} holds no .npy files; give one file of arrays, or a folder of x.npy and y.npy.")
        return {file.stem: read_array(file, ANEW) for file in files}, files
    suffix = path.suffix.lower()
    if suffix == ".npy":
        if alone is None:
            raise DataError(f"{path} holds one array; put x.npy and y.npy into a folder, and give the folder.")
        return {alone: read_array(path, ANEW)}, [path]
    read = {".npz": read_arrays, ".safetensors": _read_safetensors, ".pt": _read_torch, ".pth": _read_torch}
    return read[suffix](path, ANEW), [path]


def _read_safetensors(path: Path, remedy: str) -> Named:
    from safetensors.torch import load

    with reading(path, remedy):
        return {name: array_of(tensor) for name, tensor in load(path.read_bytes()).items()}


def _read_torch(path: Path, remedy: str) -> Named:
    """What torch.save wrote of a mapping of tensors, a pair (x, y), or a mapping of such by part; no code is run."""
    remedy = "save plain tensors, torch.save({'x': x, 'y': y}, path)"
    with reading(path, remedy):
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {name: array_of(tensor) for name, tensor in _flat(found, path, remedy).items()}


def _flat(found: Any, path: Path, remedy: str) -> Mapping[str, Tensor]:
    if isinstance(found, tuple | list) and len(found) == 2:
        found = {"x": found[0], "y": found[1]}
    if not isinstance(found, Mapping):
        raise DataError(f"{path} holds {type(found).__name__}, and no tensors by name; {remedy}.")
    flat: dict[str, Tensor] = {}
    for name, value in found.items():
        if isinstance(value, Tensor):
            flat[str(name)] = value
        else:
            flat |= {f"{name}_{inner}": tensor for inner, tensor in _flat(value, path, remedy).items()}
    return flat


def array_of(values: Any) -> NDArray[Any]:
    """A tensor or an array, or what numpy makes one of, as an array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)
