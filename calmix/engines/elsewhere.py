"""Runs where an executor carries them out: processes, the machines of a cluster, whatever has `submit`."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, replace
from queue import SimpleQueue

from torch import Tensor

from calmix.data import Fixed
from calmix.data.splits import PARTS
from calmix.engines.attempt import reason_of
from calmix.engines.engine import Engine, Finished, Orders
from calmix.engines.processes import Processes, needed
from calmix.errors import CalmixError, DataError, SettingError
from calmix.results.files import is_held
from calmix.results.jobs import check_versions, versions
from calmix.results.records import Failure
from calmix.rows import Rows
from calmix.train import Recipe

_AT_A_TIME = 500  # runs that are with the executor; each has a file open that claims it
_SHIPPED = 10_000_000  # bytes of data that travel with a run
_SHIPPED_AT_A_TIME = 100  # runs that are with the executor, which keeps their data in its memory


@dataclass(frozen=True)
class Elsewhere:
    """Runs that an executor carries out, one at a time in each of its processes.

    Records and predictions come back, and are written here alone; nothing but the data need be where the workers are.
    Where they see the folder of the results, too, they keep checkpoints in it. A recipe travels by the executor's own
    pickle: with data that are in memory, but of named sets and files with no more than their name.

    allow_mixed: take workers with other versions of calmix, PyTorch or Python, too. ship_data: send the rows of small
    data sets along with each run, so that nothing but calmix need be where the workers are. lost: by which errors the
    executor says that a run's workers have died.
    """

    executor: Executor
    allow_mixed: bool = False
    ship_data: bool = False
    lost: tuple[type[Exception], ...] = ()

    def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Finished | Failure]:
        """See `Engine`; `orders.tick` is told the ends of runs alone.

        Raises:
            SettingError: a worker has other versions, or cannot write the logs that were asked for; data are too large
                to be sent along, or not in memory.
            DataError: a worker has other data, or other code of the network.
        """
        expected = None if self.allow_mixed else versions()
        checkpoints = orders.checkpoints and replace(orders.checkpoints, folder=orders.checkpoints.folder.resolve())
        loggers = orders.loggers and replace(orders.loggers, folder=orders.loggers.folder.resolve())
        sent = replace(orders.sent, checkpoints=checkpoints, loggers=loggers)
        at_a_time = _SHIPPED_AT_A_TIME if self.ship_data else _AT_A_TIME
        todo, busy, done = deque(recipes), dict[Future[Finished | Failure], tuple[Recipe, str]](), SimpleQueue()
        try:
            while todo or busy:
                while todo and len(busy) < at_a_time:
                    recipe = todo.popleft()
                    with _ONE:
                        if not orders.wanted(recipe):
                            continue
                        text = recipe.text  # now, as splits of a seed are made for all its runs at once
                        going = _with_rows(recipe) if self.ship_data else recipe
                    try:
                        future = self.executor.submit(_attempt_there, going, sent, expected)
                    except RuntimeError as error:  # it is broken, or was shut down
                        yield Failure(recipe.label, recipe.seed, f"the executor took no more runs ({error}).")
                        continue
                    busy[future] = recipe, text
                    future.add_done_callback(done.put)
                if busy:
                    future = done.get()
                    recipe, text = busy.pop(future)
                    yield _came_of(recipe, text, future, self.lost)
                    orders.tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
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


def _with_rows(recipe: Recipe) -> Recipe:
    """The recipe with its splits in place of their source.

    Raises:
        SettingError: they are too large, or are read from files while a run goes on, as OOD sets are.
    """
    splits = recipe.splits()
    if isinstance(splits.train.rows, Rows) or recipe.robustness.ood:
        what = "OOD sets" if recipe.robustness.ood else f"the rows of {splits.about.name}"
        raise SettingError(
            f"{what} are read from files in each run; put them where workers see them, without shipping."
        )
    shipped = needed(splits, Tensor.clone)
    size = sum(tensor.nbytes for name in PARTS for tensor in (getattr(shipped, name).x, getattr(shipped, name).y))
    if size > _SHIPPED:
        raise SettingError(
            f"the rows of {splits.about.name} are {size / 1e6:.0f} MB, and at most {_SHIPPED / 1e6:.0f} MB travel with "
            "each run; put them where workers see them, and leave out --ship-data (ship_data)."
        )
    return replace(recipe, data=Fixed(shipped, repr(recipe.data)))


def _came_of(
    recipe: Recipe, expected: str, future: "Future[Finished | Failure]", lost: tuple[type[Exception], ...]
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
    if not isinstance(ended, Failure) and ended[0].recipe != expected:
        raise DataError(
            f"a worker carried out another run than {recipe.label} with seed {recipe.seed}: its data, or its code of "
            "the network, differ; make them the same."
        )
    return ended


# ----------------------------------------------------------------------------------------------- in a worker

# torch's generators and threads belong to the process, so one run at a time is carried out in it, or its network made
_ONE = threading.Lock()


def _attempt_there(recipe: Recipe, orders: Orders, expected: Mapping[str, str] | None) -> Finished | Failure:
    with _ONE:
        if expected is not None:
            check_versions(expected, versions(), "a worker")
        shared = orders.checkpoints is not None and is_held(orders.checkpoints.folder)
        if orders.loggers is not None and orders.loggers.names and not shared:
            raise SettingError("a worker does not see the folder of the results, where loggers write; leave them out.")
        orders = orders if shared else replace(orders, checkpoints=None, loggers=None)
        [ended] = Processes(1).carry_out([recipe], orders)
        return ended
