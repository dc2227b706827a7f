"""One finished run, in memory and on disk.

OUT/runs/SLUG-seed0.json        what was measured: metrics, temperature, cost, learning curve, its recipe
OUT/predictions/SLUG-seed0.npz  its test predictions, and those of the calibration split and of sets of no class
OUT/failures/SLUG-seed0.json    why `calmix work` could not finish it, until it does
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from calmix.errors import DataError
from calmix.reading import AGAIN, check_arrays, read_arrays, read_json, typed, visible
from calmix.results.files import FAILURES, NamedArrays, slug, write_arrays, write_json
from calmix.results.machines import Machine
from calmix.results.scores import PLAIN, Measured, Scores, flat, nested

OLD_NAMES = {"votes": "human_labels", "outside": "ood"}  # conditions and arrays as calmix 0.1.0 called them


@dataclass(frozen=True)
class Epoch:
    """One epoch of a learning curve; means over the rows. `validation` is empty where none was done.

    learning_rate: of the last step. waited: seconds for training rows to be read. ended: when, in seconds since 1970.
    These are known while the run is trained, and not stored with it.
    """

    number: int  # from 1
    train: Mapping[str, float]  # with the strength of the epoch's mixing, where it moves, and its range over classes
    validation: Mapping[str, float]
    learning_rate: float | None = field(default=None, compare=False)
    waited: float | None = field(default=None, compare=False)
    ended: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Record:
    """What a run left: fractions, not per cent."""

    method: str  # its label in tables
    repr: str  # the expression that makes it
    seed: int
    metrics: Measured
    temperature: float | None  # None for regression
    train_seconds: float
    relative_cost: float | None  # of the method, in one of its runs
    epoch: int  # the one that was kept, from 1
    history: tuple[Epoch, ...]
    recipe: str  # the text of the recipe, which tells whether a stored run is the one asked for
    waited_seconds: float | None = field(default=None, compare=False)  # of train_seconds, for rows to be read
    machine: Machine | None = None  # where it was carried out; None: not known, as of runs of before this was kept
    cost_machine: Machine | None = None  # where its cost was measured

    @property
    def train_loss(self) -> float | None:
        """The mean loss of the last epoch's training steps: on mixed rows, where the method mixes."""
        return self.history[-1].train.get("loss") if self.history else None

    @property
    def strength(self) -> float | None:
        """How strongly rows were mixed in the last epoch that mixed, alpha or tau_max, where it moves in training."""
        moved = (epoch.train["strength"] for epoch in reversed(self.history) if "strength" in epoch.train)
        return next(moved, None)

    @property
    def run(self) -> str:
        """What the run is called in files."""
        return run_name(self.method, self.seed)


def run_name(label: str, seed: int) -> str:
    """What a run is called in files."""
    return f"{slug(label)}-seed{seed}"


@dataclass(frozen=True)
class Failure:
    """A run that ended without a record."""

    method: str  # its label in tables
    seed: int
    reason: str  # a sentence


def scores_of(records: Iterable[Record], overlap: float = 0.0) -> Scores:
    """All that was measured, the cost and what else belongs to a run being metrics of the plain network."""

    def measured(record: Record) -> Measured:
        own = {
            "cost": record.relative_cost,
            "temperature": record.temperature,
            "train_seconds": record.train_seconds,
            "epoch": record.epoch,
            "train_loss": record.train_loss,
            "strength": record.strength,
        }
        known = {name: value for name, value in own.items() if value is not None}
        return {**record.metrics, PLAIN: {**record.metrics.get(PLAIN, {}), **known}}

    return Scores.of(((record.method, record.seed, measured(record)) for record in records), overlap)


def as_json(record: Record) -> dict[str, object]:
    """As it stands in files: readable, and as calmix 0.1.0 had it."""
    history = [
        {"epoch": epoch.number, "train": epoch.train, **({"validation": epoch.validation} if epoch.validation else {})}
        for epoch in record.history
    ]
    machines = {name: value and asdict(value) for name, value in vars(record).items() if name in _MACHINES}
    return {**vars(record), "metrics": nested(record.metrics), "history": history, **machines}


_MACHINES = ("machine", "cost_machine")


def from_json(raw: object) -> Record:
    """`as_json`, backwards. Raise DataError where an entry is missing or of another kind."""
    if not isinstance(raw, Mapping):
        raise DataError(f"expected a run; got {type(raw).__name__}.")
    measured = flat(raw["metrics"]) if "metrics" in raw else {}
    history = tuple(map(_epoch, typed(Sequence[Any], raw["history"]))) if "history" in raw else ()
    checked: dict[str, object] = {"history": ()} if history else {}  # `flat` has checked them: numbers are many
    checked |= {"metrics": {}} if measured else {}
    record: Record = typed(Record, {**raw, **checked})
    return replace(record, metrics={_renamed(path): found for path, found in measured.items()}, history=history)


def _epoch(raw: object) -> Epoch:
    """Terms of a loss, one level below, are left out."""
    if not isinstance(raw, Mapping) or type(raw.get("epoch")) is not int:
        raise DataError("the entry history holds something else than epochs.")
    train, validation = (flat(raw.get(name, {})).get(PLAIN, {}) for name in ("train", "validation"))
    return Epoch(raw["epoch"], train, validation)


def _renamed(path: str) -> str:
    first, slash, rest = path.partition("/")
    return visible(f"{OLD_NAMES.get(first, first)}{slash}{rest}")


# ------------------------------------------------------------------------------------------------- in a folder


def save_record(folder: Path, record: Record, predictions: NamedArrays) -> None:
    """Write a run; the predictions first, so that a stored record is a finished run."""
    write_arrays(_predictions(folder, record), predictions)
    write_record(folder, record)


def write_record(folder: Path, record: Record) -> None:
    write_json(folder / "runs" / f"{record.run}.json", as_json(record))


def read_record(folder: Path, label: str, seed: int) -> Record | None:
    """The stored run; None where there is none that can be read."""
    try:
        return from_json(read_json(folder / "runs" / f"{run_name(label, seed)}.json"))
    except DataError:
        return None


def read_predictions(folder: Path, record: Record) -> NamedArrays:
    """A run's test predictions; those of calmix 0.1.0 come under today's names.

    Raises:
        DataError: the file is missing or damaged, or its arrays do not go together.
    """
    path = _predictions(folder, record)
    arrays = {
        next((name.replace(old, new, 1) for old, new in OLD_NAMES.items() if name.startswith(old)), name): array
        for name, array in read_arrays(path).items()
    }
    if record.temperature is None:  # values
        expected = {"mean": "n *", "targets": "n *"}
    else:
        expected = {"logits": "n K", "probs": "n K", "labels": "K: n", "temperature": ""}
        expected |= {name: f"{name} K" for name in arrays if name.startswith("ood_") and name.endswith("_logits")}
    if "rows" in arrays:
        expected["rows"] = "n"
    check_arrays(path, arrays, expected)
    if record.temperature is not None:
        probs = arrays["probs"]
        if probs.min() < 0 or probs.max() > 1.001 or arrays["temperature"] <= 0:
            raise DataError(f"{path} holds no probabilities, or a temperature that is not positive; {AGAIN}.")
    return arrays


def _predictions(folder: Path, record: Record) -> Path:
    return folder / "predictions" / f"{record.run}.npz"


def write_failure(folder: Path, failure: Failure) -> None:
    """Keep why a run failed."""
    write_json(_failure(folder, failure.method, failure.seed), asdict(failure))


def read_failure(folder: Path, label: str, seed: int) -> Failure | None:
    """Why a run failed; None where it did not, as far as is known."""
    try:
        return typed(Failure, read_json(_failure(folder, label, seed)))
    except DataError:
        return None


def remove_failure(folder: Path, label: str, seed: int) -> None:
    """The run has succeeded."""
    _failure(folder, label, seed).unlink(missing_ok=True)


def _failure(folder: Path, label: str, seed: int) -> Path:
    return folder / FAILURES / f"{run_name(label, seed)}.json"
