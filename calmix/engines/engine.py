"""What an engine is: it carries out runs, and says what came of each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from calmix.results.files import NamedArrays
from calmix.results.records import Epoch, Failure, Record
from calmix.train import Checkpoints, Loggers, Recipe

# told label, seed, how many epochs are done, and the one that has just ended; None where the run has ended
Tick = Callable[[str, int, int, Epoch | None], object]
Finished = tuple[Record, NamedArrays]
Wanted = Callable[[Recipe], bool]  # asked right before a run begins; one that is not wanted is left out


def always(recipe: Recipe) -> bool:
    """Every run is wanted."""
    return True


class Engine(Protocol):
    """Where runs are carried out."""

    def carry_out(
        self,
        recipes: Sequence[Recipe],
        tick: Tick,
        checkpoints: Checkpoints | None = None,
        loggers: Loggers | None = None,
        wanted: Wanted = always,
    ) -> Iterator[Finished | Failure]:
        """Yield what came of each run as soon as it has ended; `tick` is told finished epochs, as far as known.

        A run that fails, or whose process dies, ends in a `Failure`, and the others go on. With checkpoints, runs that
        were stopped go on where they were; it is the caller who removes a finished run's. loggers: what writes down
        each epoch, in the process of the run.

        Raises:
            CalmixError: no run can be carried out so.
        """
        ...
