"""A run as a frozen value: what data, what method, what network, how trained, which seed."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from calmix.core.method import Method, Scheduled
from calmix.core.task import Binary, Classification, Regression, Task
from calmix.data import About, LabelNoise, Splits, load
from calmix.errors import SettingError
from calmix.experiment.shift import Shift
from calmix.train import TrainingSettings


@dataclass(frozen=True)
class Source:
    """Which data: a registered name or the path of a table, and how to read it (see `calmix.data.load`).

    label_noise: makes some labels of the training split wrong, e.g. `Symmetric(0.4)`.
    """

    data: str
    target: str | None = None
    task: str | None = None
    train_size: int | None = None
    data_dir: Path | None = None
    keep: tuple[str, ...] = ()
    label_noise: LabelNoise | None = None

    def splits(self, seed: int) -> Splits:
        """The splits that belong to a seed; the last ones are kept in memory."""
        return _splits(self, seed)


@dataclass(frozen=True)
class Recipe:
    """One run. Its repr is the code that makes it.

    label: what the method is called in tables; model: a name of `MODELS`, None for the default of the data; shift: what
    else the trained network is judged on.
    """

    source: Source
    label: str
    method: Method | Scheduled
    model: str | None = None
    fit: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    shift: Shift = field(default_factory=Shift)

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
    splits = load(
        source.data,
        seed=seed,
        train_size=source.train_size,
        target=source.target,
        task=source.task,
        data_dir=source.data_dir,
        keep=source.keep,
    )
    return splits if source.label_noise is None else source.label_noise(splits, seed, source.data_dir)
