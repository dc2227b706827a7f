"""Lightning's loggers, which write down each epoch of a run while it is trained; no number of the run depends on them.

    FOLDER/logs/SLUG-seed0/metrics.csv, hparams.yaml     csv
    FOLDER/logs/SLUG-seed0/events.out.tfevents.*         tensorboard

PyTorch is loaded by a run, and not to check a name.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from calmix.errors import SettingError, UnknownNameError, needs

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from calmix.results.records import Epoch
    from calmix.train.recipe import Recipe

LOGGERS: Mapping[str, tuple[str, ...]] = {  # by name, the packages of which it needs one
    "csv": (),
    "tensorboard": ("tensorboard", "tensorboardX"),
}
_FILES = {"csv": ("metrics.csv", "hparams.yaml"), "tensorboard": ("events.out.tfevents.*", "hparams.yaml")}


def check_loggers(names: Sequence[str]) -> None:
    """Raise UnknownNameError for a name that is not known, SettingError for one given twice or that lacks a package."""
    if len(set(names)) < len(names):
        raise SettingError(f"a logger is named twice in {', '.join(names)}; name each one once.")
    for name in names:
        if name not in LOGGERS:
            raise UnknownNameError("logger", name, LOGGERS)
        if (needed := LOGGERS[name]) and not any(map(find_spec, needed)):
            raise SettingError(needs(f"the logger {name!r}", needed[0], name))


@dataclass(frozen=True)
class Loggers:
    """Which loggers write down the runs of a folder.

    folder: of the results. names: `csv`, `tensorboard`.

    Raises:
        UnknownNameError, SettingError: a name that is not known or stands twice, or whose package is not installed.

    >>> Loggers(Path("calmix-runs/wine"), ("csv",)).path("mixup", seed=0)
    PosixPath('calmix-runs/wine/logs/mixup-seed0')
    """

    folder: Path
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        check_loggers(self.names)

    def path(self, label: str, seed: int) -> Path:
        from calmix.results.files import slug

        return self.folder / "logs" / f"{slug(label)}-seed{seed}"

    def log(self, recipe: "Recipe") -> "Log":
        """That of one run."""
        return Log(self.names, self.path(recipe.label, recipe.seed), recipe)


class Log:
    """What loggers write of one run; a context that closes their files.

    A run that begins takes the place of what stood there. So does one that goes on, with its learning curve from the
    first epoch on: each epoch stands once, wherever the run was stopped. What cannot be written, as the disk is full,
    is a warning, and the run goes on.
    """

    def __init__(self, names: Sequence[str], folder: Path, recipe: "Recipe") -> None:
        self._names, self._folder, self._facts = names, folder, hyperparameters(recipe)
        self._loggers: list[Logger] = []
        self._history: Sequence[Epoch] = ()  # what is written
        self._broken = False

    def write(self, history: "Sequence[Epoch]") -> None:
        """Write the epochs that are not yet written."""
        if len(history) > len(self._history):
            self._trying(lambda: self._write(history[len(self._history) :]))
            self._history = tuple(history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        self._trying(lambda: self._close(trained=kind is None))

    def _write(self, epochs: "Sequence[Epoch]") -> None:
        if not self._loggers:
            self._begin()
        for logger in self._loggers:
            for epoch in epochs:
                _log(logger, epoch)
            logger.save()

    def _begin(self) -> None:
        for pattern in {pattern for name in self._names for pattern in _FILES[name]}:
            for left in self._folder.glob(pattern):
                left.unlink()
        for name in self._names:
            logger = _MAKERS[name](self._folder)
            logger.log_hyperparams(self._facts)
            self._loggers.append(logger)

    def _close(self, trained: bool) -> None:
        from lightning.pytorch.loggers import TensorBoardLogger

        for logger in self._loggers:
            if trained and isinstance(logger, TensorBoardLogger):  # its page HPARAMS compares runs by such numbers
                last = {f"last/{name}": value for epoch in self._history for name, value in _numbers(epoch).items()}
                logger.log_hyperparams(self._facts, last, self._history[-1].number)
            logger.finalize("success" if trained else "failed")

    def _trying(self, write: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            write()
        except Exception as error:  # TensorBoardLogger makes a ValueError of an OSError
            self._broken = True
            reason = " ".join(str(error.__cause__ or error).split())
            warnings.warn(f"the log in {self._folder} ends here: {reason}.", stacklevel=2)


def hyperparameters(recipe: "Recipe") -> dict[str, str | int | float | bool | None]:
    """A recipe in words and numbers, by name.

    >>> from calmix import mixup
    >>> from calmix.data import NamedSet
    >>> from calmix.train import Recipe
    >>> facts = hyperparameters(Recipe(NamedSet("wine"), "mixup", mixup()))
    >>> facts["data"], facts["model"], facts["epochs"], facts["learning_rate"]
    ('wine', 'mlp', 30, 0.1)
    """
    from calmix.models import name_of

    about = recipe.splits().about
    return {
        "data": about.name,
        "method": recipe.label,
        "method_in_full": repr(recipe.method),
        "model": name_of(recipe.factory),
        "seed": recipe.seed,
        **recipe.settings.in_full(about.task),
    }


def _numbers(epoch: "Epoch") -> dict[str, float]:
    """All that is known of an epoch, by the names that the files have."""
    parts = {"train": epoch.train, "validation": epoch.validation}
    numbers = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    further = {"learning_rate": epoch.learning_rate, "seconds_waited": epoch.waited}
    return numbers | {name: value for name, value in further.items() if value is not None}


def _log(logger: "Logger", epoch: "Epoch") -> None:
    """Write an epoch, in TensorBoard with the time when it ended: a run that goes on writes earlier ones anew."""
    from lightning.pytorch.loggers import TensorBoardLogger

    if isinstance(logger, TensorBoardLogger):
        for name, value in _numbers(epoch).items():
            logger.experiment.add_scalar(name, value, epoch.number, epoch.ended)
    else:
        logger.log_metrics(_numbers(epoch), epoch.number)


def _csv(folder: Path) -> "Logger":
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder.parent, name="", version=folder.name)


def _tensorboard(folder: Path) -> "Logger":
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder.parent, name="", version=folder.name, default_hp_metric=False)


_MAKERS: Mapping[str, "Callable[[Path], Logger]"] = {"csv": _csv, "tensorboard": _tensorboard}
