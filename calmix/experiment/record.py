"""A finished run, in memory and on disk.

    OUT/comparison.json           what was asked for
    OUT/runs/SLUG-seed0.json      one run: metrics, temperature, cost, learning curve
    OUT/predictions/SLUG-seed0.npz  its test predictions (and the calibration split's)
    OUT/results.json, results.csv, report.html

Every file is written whole or not at all.
"""

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np

from calmix.errors import DataError


@dataclass(frozen=True)
class Record:
    """What a run left: fractions, not per cent; metrics holds "scaled", those after temperature, in classification,
    and "refreshed", those after batch norm was re-estimated, for networks that have it."""

    method: str
    repr: str
    seed: int
    metrics: dict[str, Any]
    temperature: float | None
    train_seconds: float
    relative_cost: float
    epoch: int
    history: list[dict[str, Any]]
    recipe: str  # repr of the Recipe, to tell whether a stored run is the one asked for

    @property
    def train_loss(self) -> float:
        """The mean loss of the last epoch's training steps: on mixed rows, where the method mixes."""
        return self.history[-1]["train"]["loss"]

    def value(self, path: str) -> float:
        """A metric by name, e.g. "ece" or "scaled.ece"; "cost" is the relative cost."""
        if path == "cost":
            return self.relative_cost
        found: Any = self.metrics
        for name in path.split("."):
            found = found[name]
        return found

    def paths(self) -> list[str]:
        """The names of all numbers in the metrics, as `value` takes them."""

        def numbers(found: Mapping[str, Any], before: str) -> list[str]:
            inner = (
                numbers(value, f"{before}{name}.") if isinstance(value, Mapping) else [f"{before}{name}"]
                for name, value in found.items()
                if isinstance(value, Mapping | float | int)
            )
            return [path for paths in inner for path in paths]

        return numbers(self.metrics, "")

    def has(self, path: str) -> bool:
        """Whether there is such a metric."""
        try:
            self.value(path)
        except KeyError:
            return False
        return True


Predictions = Mapping[str, np.ndarray]  # logits, probs, labels, calibration_logits, ...; or mean, targets


def slug(label: str, seed: int) -> str:
    """A file name for a run: `sk_mixup(tau_max=0.3)`, 0 -> `sk_mixup-tau_max-0.3-seed0`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-") + f"-seed{seed}"


def save(folder: Path, record: Record, predictions: Predictions) -> None:
    """Write a run; the predictions first, so that a stored record is a finished run."""
    name = slug(record.method, record.seed)
    write_whole(
        folder / "predictions" / f"{name}.npz",
        lambda file: np.savez_compressed(file, allow_pickle=False, **predictions),
    )
    write_json(folder / "runs" / f"{name}.json", dataclasses.asdict(record))


def read(folder: Path, label: str, seed: int) -> Record | None:
    """The stored run, or None where it is not finished."""
    path = folder / "runs" / f"{slug(label, seed)}.json"
    if not path.exists():
        return None
    try:
        return Record(**read_json(path))
    except TypeError:
        raise DataError(f"{path} is not a run of this version of calmix; give another --out.") from None


def read_predictions(folder: Path, record: Record) -> Predictions:
    path = folder / "predictions" / f"{slug(record.method, record.seed)}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise DataError(f"cannot read the predictions {path}: {error}; run the comparison again.") from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}.") from None


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, allow_nan=False, default=str) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write beside the target, then put it in place in one step."""
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
