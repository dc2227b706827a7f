"""A run as a frozen value: what data, what method, what network, how trained, which seed."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from calmix.core.method import Method, Scheduled
from calmix.core.task import Binary, Classification, Regression, Task
from calmix.data import About, Splits, load
from calmix.errors import SettingError
from calmix.train import Fit


@dataclass(frozen=True)
class Source:
    """Which data: a registered name or the path of a table, and how to read it (see `calmix.data.load`)."""

    data: str
    target: str | None = None
    task: str | None = None
    train_size: int | None = None
    data_dir: Path | None = None
    keep: tuple[str, ...] = ()

    def splits(self, seed: int) -> Splits:
        """The splits that belong to a seed; the last ones are kept in memory."""
        return _splits(self, seed)


@dataclass(frozen=True)
class Recipe:
    """One run. Its repr is the code that makes it.

    label: what the method is called in tables; model: a name of `MODELS`, None for the default of the data.
    """

    source: Source
    label: str
    method: Method | Scheduled
    model: str | None = None
    fit: Fit = field(default_factory=Fit)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingError(f"seed must be at least 0; got {self.seed}.")


def task_of(about: About) -> Task:
    """The task that a data set poses."""
    if about.task == "classification":
        return Classification(len(about.classes))
    return Binary() if about.task == "binary" else Regression(about.targets)


def outputs_of(about: About) -> int:
    """How many outputs a network for this data set has."""
    return len(about.classes) if about.task == "classification" else about.targets


@lru_cache(maxsize=1)
def _splits(source: Source, seed: int) -> Splits:
    return load(
        source.data,
        seed=seed,
        train_size=source.train_size,
        target=source.target,
        task=source.task,
        data_dir=source.data_dir,
        keep=source.keep,
    )
