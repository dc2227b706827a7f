"""What an engine is: it carries out runs as it is ordered to, and says what came of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from calmix.engines.asked import check_run_timeout
from calmix.results.files import NamedArrays
from calmix.results.records import Epoch, Failure, Record
from calmix.train import Checkpoints, Loggers, Recipe

# told label, seed, how many epochs are done, and the one that has just ended; None where the run has ended
Tick = Callable[[str, int, int, Epoch | None], object]
Finished = tuple[Record, NamedArrays]


def always(recipe: Recipe) -> bool:
    """Every run is wanted."""
    return True


def untold(*news: object) -> None:
    """Nobody is told of finished epochs."""


@dataclass(frozen=True)
class Orders:
    """How runs are to be carried out, whichever they are.

    tick: is told of finished epochs, as far as they are known here. checkpoints: where runs that were stopped are kept
    and go on; it is the caller who removes a finished run's. loggers: what writes down each epoch, in the process of
    the run. wanted: asked right before a run begins; one that is not wanted is left out. run_timeout: minutes that a
    run may take; None: as many as it takes.

    Raises:
        SettingError: minutes that are not positive.
    """

    tick: Tick = untold
    checkpoints: Checkpoints | None = None
    loggers: Loggers | None = None
    wanted: Callable[[Recipe], bool] = always
    run_timeout: float | None = None

    def __post_init__(self) -> None:
        check_run_timeout(self.run_timeout)

    @property
    def sent(self) -> "Orders":
        """What another process is told of them."""
        return replace(self, tick=untold, wanted=always)


class Engine(Protocol):
    """Where runs are carried out."""

    def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Finished | Failure]:
        """Yield what came of each run as soon as it has ended.

        A run that fails, takes too long, or whose process dies, ends in a `Failure`, and the others go on.

        Raises:
            CalmixError: no run can be carried out so.
        """
        ...
