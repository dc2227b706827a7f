"""Runs where an executor carries them out: processes, the machines of a cluster, whatever has `submit`."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, replace
from queue import SimpleQueue

from calmix.engines.attempt import attempt, reason_of
from calmix.engines.engine import Engine, Finished, Tick, Wanted, always
from calmix.engines.processes import Processes
from calmix.errors import CalmixError, DataError, SettingError
from calmix.results.files import is_held
from calmix.results.jobs import check_versions, versions
from calmix.results.records import Failure
from calmix.train import Checkpoints, Loggers, Recipe

_AT_A_TIME = 500  # runs that are with the executor; each has a file open that claims it


@dataclass(frozen=True)
class Elsewhere:
    """Runs that an executor carries out, one at a time in each of its processes.

    Records and predictions come back, and are written here alone; nothing but the data need be where the workers are.
    Where they see the folder of the results, too, they keep checkpoints in it. A recipe travels by the executor's own
    pickle: with data that are in memory, but of named sets and files with no more than their name.

    allow_mixed: take workers with other versions of calmix, PyTorch or Python, too. lost: by which errors the executor
    says that a run's workers have died.
    """

    executor: Executor
    allow_mixed: bool = False
    lost: tuple[type[Exception], ...] = ()

    def carry_out(
        self,
        recipes: Sequence[Recipe],
        tick: Tick,
        checkpoints: Checkpoints | None = None,
        loggers: Loggers | None = None,
        wanted: Wanted = always,
    ) -> Iterator[Finished | Failure]:
        """See `Engine`; `tick` is told the ends of runs alone.

        Raises:
            SettingError: a worker has other versions, or cannot write the logs that were asked for.
            DataError: a worker has other data, or other code of the network.
        """
        expected = None if self.allow_mixed else versions()
        checkpoints = checkpoints and replace(checkpoints, folder=checkpoints.folder.resolve())
        loggers = loggers and replace(loggers, folder=loggers.folder.resolve())
        todo, busy, done = deque(recipes), dict[Future[Finished | Failure], Recipe](), SimpleQueue()
        try:
            while todo or busy:
                while todo and len(busy) < _AT_A_TIME:
                    recipe = todo.popleft()
                    with _ONE:
                        if not wanted(recipe):
                            continue
                    try:
                        future = self.executor.submit(_attempt_there, recipe, checkpoints, loggers, expected)
                    except RuntimeError as error:  # it is broken, or was shut down
                        yield Failure(recipe.label, recipe.seed, f"the executor took no more runs ({error}).")
                        continue
                    busy[future] = recipe
                    future.add_done_callback(done.put)
                if busy:
                    future = done.get()
                    recipe = busy.pop(future)
                    yield _came_of(recipe, future, self.lost)
                    tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
        finally:
            for future in busy:
                future.cancel()


def engine_of(workers: int, executor: Executor | Engine | None) -> Engine:
    """What a function was asked to carry out runs with. Raise SettingError for several workers and an executor."""
    if executor is None:
        return Processes(workers)
    if workers != 1:
        raise SettingError("workers are processes on this machine, and an executor has its own; give one of them.")
    return Elsewhere(executor) if isinstance(executor, Executor) else executor


def _came_of(
    recipe: Recipe, future: "Future[Finished | Failure]", lost: tuple[type[Exception], ...]
) -> Finished | Failure:
    try:
        ended = future.result()
    except CalmixError:
        raise
    except (BrokenExecutor, CancelledError) as error:
        reason = f"its worker died, or the executor gave up ({' '.join(str(error).split()) or type(error).__name__})."
        return Failure(recipe.label, recipe.seed, reason)
    except lost:
        reason = "each worker that carried it out died: it kills them, or they have too little memory."
        return Failure(recipe.label, recipe.seed, reason)
    except (Exception, SystemExit) as error:  # whatever an executor may raise
        return Failure(recipe.label, recipe.seed, reason_of(error))
    with _ONE:
        expected = recipe.text
    if not isinstance(ended, Failure) and ended[0].recipe != expected:
        raise DataError(
            f"a worker carried out another run than {recipe.label} with seed {recipe.seed}: its data, or its code of "
            "the network, differ; make them the same."
        )
    return ended


# ----------------------------------------------------------------------------------------------- in a worker

# torch's generators and threads belong to the process, so one run at a time is carried out in it, or its network made
_ONE = threading.Lock()


def _attempt_there(
    recipe: Recipe, checkpoints: Checkpoints | None, loggers: Loggers | None, expected: Mapping[str, str] | None
) -> Finished | Failure:
    with _ONE:
        if expected is not None:
            check_versions(expected, versions(), "a worker")
        shared = checkpoints is not None and is_held(checkpoints.folder)
        if loggers is not None and loggers.names and not shared:
            raise SettingError("a worker does not see the folder of the results, where loggers write; leave them out.")
        return attempt(recipe, _ignore, checkpoints if shared else None, loggers if shared else None)


def _ignore(*news: object) -> None:
    """What is told of epochs stays in the worker."""
