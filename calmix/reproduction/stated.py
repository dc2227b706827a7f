"""What a reproduction states beside its comparisons, on disk: PyTorch is not loaded for it.

OUT/reproduction.json  what the experiment stands for, its claims and deviations, and what a search chose
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from calmix.reading import read_json, typed
from calmix.reproduction.claims import Claim
from calmix.results.files import write_json

FILE = "reproduction.json"


@dataclass(frozen=True)
class Chosen:
    """What a search chose for a method: `text` is it with its options.

    goal: the mean of what trials are judged by, over so many seeds of the search, of so many trials.
    """

    method: str
    text: str
    options: Mapping[str, float | bool]
    learning_rate: float
    weight_decay: float
    epochs: int
    weights: str
    goal: float
    seeds: int
    trials: int


@dataclass(frozen=True)
class Search:
    """A search before a comparison: its budget in plain trainings, and what it chose by `goal`, a metric's heading."""

    budget: float
    goal: str
    chosen: tuple[Chosen, ...]


@dataclass(frozen=True)
class Stated:
    """What is said of an experiment on its page, whatever came of it.

    scale: as which it was carried out. stands_for: in a line. source, deviations, claims: as in `Experiment`. search:
    None where settings are as published.
    """

    name: str
    scale: str
    stands_for: str
    source: str
    claims: tuple[Claim, ...]
    deviations: tuple[str, ...]
    search: Search | None = None

    @property
    def protocol(self) -> str:
        """Whose settings are compared on honest splits."""
        return "honest" if self.search is None else "searched"


def write_stated(folder: Path, stated: Stated) -> None:
    """Raise DataError where it cannot be written."""
    write_json(folder / FILE, asdict(stated))


def read_stated(folder: Path) -> Stated:
    """Raise DataError where the file is damaged."""
    return typed(Stated, read_json(folder / FILE))
