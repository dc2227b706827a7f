"""Runs carried out here one after the other, or several at a time in processes of their own."""

import math
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from torch import Tensor

from calmix.data import Fixed, Split, Splits
from calmix.data.splits import PARTS
from calmix.engines.asked import check_workers
from calmix.engines.attempt import attempt, reason_of
from calmix.engines.engine import Finished, Orders, Tick, untold
from calmix.engines.memory import fits, free_memory, peak_memory
from calmix.errors import CalmixError, SettingError
from calmix.results.records import Epoch, Failure
from calmix.rows import Rows
from calmix.train import Recipe, TrainingSettings
from calmix.train.stopping import end_with_parent

# glibc gives a large block back to the system as soon as it is freed, and training frees the same ones in every step:
# keeping them spares a small network much of its time. Ignored where the C library is another.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}


def default_workers(runs: int, settings: TrainingSettings) -> int:
    """As many runs at a time as have cores for their devices and threads (at most 8); one at a time on a GPU."""
    if settings.accelerator == "cuda":
        return 1
    return max(1, min(runs, _cores() // (settings.devices * settings.threads), 8))


def _cores() -> int:
    """The cores that this process may use: a job scheduler may give it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Processes:
    """Runs on this machine: so many at a time, each in a process of its own, or one after the other in this process.

    None: as many as `default_workers` says, and, beside the first, no more than fit into the memory that is free, by
    what runs took so far (`fits`). With a `run_timeout`, one after the other is in another process, too, as nothing
    else can end a run that hangs.

    Raises:
        SettingError: less than one.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)

    def carry_out(self, recipes: Sequence[Recipe], orders: Orders = Orders()) -> Iterator[Finished | Failure]:
        """See `Engine`. Workers are new processes, to which recipes travel by pickle, and splits in shared memory.

        Raises:
            SettingError: several workers, or a run_timeout, and a recipe that cannot be pickled.
            CalmixError: a worker's process could not start.
        """
        if not recipes:
            return
        workers = min(len(recipes), self.workers or default_workers(len(recipes), recipes[0].settings))
        if workers == 1 and orders.run_timeout is None:
            yield from _in_turn(recipes, orders)
        else:
            yield from _at_a_time(recipes, workers, orders, _whatever if self.workers else _by_memory)


def _in_turn(recipes: Sequence[Recipe], orders: Orders) -> Iterator[Finished | Failure]:
    for recipe in filter(orders.wanted, recipes):
        ended = attempt(recipe, orders)
        if isinstance(ended, Failure):
            orders.tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
        yield ended


def _by_memory(peaks: Sequence[int]) -> bool:
    return fits(peaks, peak_memory(), free_memory())


def _whatever(peaks: Sequence[int]) -> bool:
    """The user has said how many."""
    return True


def _at_a_time(
    recipes: Sequence[Recipe], workers: int, orders: Orders, room: Callable[[Sequence[int]], bool]
) -> Iterator[Finished | Failure]:
    """room: whether another run fits beside those that go on, by the peaks of their memory."""
    for recipe in {recipe.label: recipe for recipe in recipes}.values():
        _check_pickles(recipe)
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    send, todo, busy = _Sender(), deque(recipes), dict[Future, tuple[_Worker, Recipe]]()
    idle: list[_Worker] = []
    last_seconds = _LAST_SECONDS if orders.checkpoints else 0.0
    try:
        while todo or busy:
            while todo and len(busy) < workers:
                if busy and not idle and not room([worker.peak for worker, _ in busy.values()]):
                    break
                recipe = todo.popleft()
                if not orders.wanted(recipe):
                    continue
                sent, worker = send(recipe), idle.pop() if idle else _Worker()
                try:
                    future = worker.submit(sent, orders)
                except BrokenProcessPool:  # its process died between two runs
                    worker = _Worker()
                    future = worker.submit(sent, orders)
                busy[future] = worker, recipe
            done, _ = wait(busy, timeout=0.2, return_when=FIRST_COMPLETED)
            for worker, _ in busy.values():
                worker.tell(orders.tick)
                if orders.run_timeout is not None:
                    worker.end_after(60 * orders.run_timeout, last_seconds)
            for future in done:
                worker, recipe = busy.pop(future)
                try:
                    ended = future.result()
                except BrokenProcessPool:
                    ended = worker.failure(recipe, orders)
                    _end([worker], 0.0)  # it may still be about to end
                    worker = _Worker()
                except CalmixError:
                    raise
                except (Exception, SystemExit) as error:  # of a network of the user's, or what cannot be sent back
                    ended = Failure(recipe.label, recipe.seed, reason_of(error))
                if worker.late:  # its run finished in the last moment, and its process has yet to end
                    _end([worker], 0.0)
                    worker = _Worker()
                idle.append(worker)
                yield ended
                orders.tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
        for worker in idle:
            worker.pool.shutdown()
    finally:
        _end([*idle, *(worker for worker, _ in busy.values())], last_seconds)


def _check_pickles(recipe: Recipe) -> None:
    rows = recipe.splits().train.rows
    try:
        pickle.dumps((recipe.method, recipe.model, recipe.robustness, rows if isinstance(rows, Rows) else None))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingError(
            "several workers, and runs with a run_timeout, are processes of their own, and a part of the run cannot be "
            f"sent to them ({error}); define the model's factory, and a data set, at the top of a module, or take "
            "workers=1 and no run_timeout."
        ) from None


_STAND = (
    "In Python, the model's factory must stand in a module, and a script needs `if __name__ == '__main__':`; or take "
    "workers=1 and no run_timeout."
)


class _Sender:
    """Recipes as workers get them: with splits in shared memory in place of their source, so that data are there once.

    Recipes come seed by seed, so the last splits are kept. Where there is no room to share, workers read on their own.
    """

    def __init__(self) -> None:
        self._last: tuple[object, int] | None = None
        self._shared: Fixed | None = None

    def __call__(self, recipe: Recipe) -> Recipe:
        if self._last != (recipe.data, recipe.seed):
            self._last, self._shared = (recipe.data, recipe.seed), None
            with suppress(Exception):  # no room, or data that cannot be read: the run itself will say so
                self._shared = Fixed(_shared(recipe.splits()), repr(recipe.data))
        return recipe if self._shared is None else replace(recipe, data=self._shared)


def _shared(splits: Splits) -> Splits:
    """What a run needs of the splits, in shared memory. Raise RuntimeError where there is no room."""
    return needed(splits, lambda tensor: tensor.clone().share_memory_())


def needed(splits: Splits, carried: Callable[[Tensor], Tensor]) -> Splits:
    """What a run needs of the splits, tensors as `carried` gives them; rows that are not in memory stay as they are."""

    def part(split: Split) -> Split:
        return Split(split.rows if isinstance(split.rows, Rows) else carried(split.rows), carried(split.y))

    given = splits.given and splits.given.of_test()
    parts = {name: part(getattr(splits, name)) for name in PARTS}
    return replace(splits, given=given, encoding=None, **parts)


_LAST_SECONDS = 20.0  # that workers have to finish a step and write a checkpoint
_GONE_SECONDS = 5.0  # that the system has to end a process that was killed


def _end(workers: Sequence["_Worker"], seconds: float) -> None:
    """Tell the workers to end, and after so many seconds end those that go on; they are gone when this returns."""
    processes = [process for worker in workers for process in worker.processes]
    try:
        if seconds:
            for process in processes:
                process.terminate()
            until = time.monotonic() + seconds
            for process in processes:
                process.join(max(0.0, until - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join(_GONE_SECONDS)


@dataclass(frozen=True)
class _News:
    """What a worker tells when an epoch has ended: what `tick` is told, and the peak of the run's memory in bytes."""

    told: tuple[str, int, int, Epoch | None]
    peak: int


class _Worker:
    """A process for one run at a time, and the line on which it tells of its epochs."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._news, theirs = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, context, _set_up, (theirs,))
        self._started = False
        self._since = math.inf  # when its run began; infinity while its process starts
        self.late = False  # it has been told to end, as its run takes too long
        self.peak: int = 0  # of its memory, in bytes, when the last epoch ended

    def submit(self, recipe: Recipe, orders: Orders) -> Future[Finished | Failure]:
        self._since = time.monotonic() if self._started else math.inf
        # pickled here and unpickled in the run, where an error can be told
        with _allowed_children():
            return self.pool.submit(_attempt_in_worker, bytes(ForkingPickler.dumps((recipe, orders.sent))))

    @property
    def processes(self) -> list[BaseProcess]:
        """The one process, or none if it has ended."""
        return list((self.pool._processes or {}).values())

    def tell(self, tick: Tick) -> None:
        """Pass on the news."""
        try:
            while self._news.poll():
                news = self._news.recv()
                self._started, self._since = True, min(self._since, time.monotonic())
                if news is not None:
                    self.peak = news.peak
                    tick(*news.told)
        except (EOFError, OSError):  # the process died
            pass

    def end_after(self, seconds: float, last_seconds: float) -> None:
        """Tell the process to end once its run has taken so many seconds, and end it if it is there long after."""
        over = time.monotonic() - self._since - seconds
        for process in self.processes if over > 0 else ():
            if not self.late:
                process.terminate()
            if over > last_seconds:
                process.kill()
        self.late |= over > 0

    def failure(self, recipe: Recipe, orders: Orders) -> Failure:
        """What a dead process leaves of its run. Raise CalmixError where it never came to life."""
        self.tell(untold)
        if not self._started:
            raise CalmixError(f"a run's process could not start. {_STAND}")
        reason = "its process died: it was killed, or there was too little memory; take fewer workers."
        if self.late:
            reason = (
                f"it was ended, as it took longer than {orders.run_timeout:g} minutes; if it does not hang, allow it "
                "more (--run-timeout, run_timeout=)."
            )
        return Failure(recipe.label, recipe.seed, reason)


@contextmanager
def _allowed_children() -> Iterator[None]:
    """In the block, a daemon may start processes, too, as the workers of Dask and of other pools are.

    multiprocessing forbids it, as they would outlive a daemon; those of calmix end with their parent.
    """
    own = vars(current_process())["_config"]
    before = own.get("daemon")
    own["daemon"] = False
    try:
        yield
    finally:
        own["daemon"] = before


# ------------------------------------------------------------------------------------ in a worker's process

_news: Connection  # a worker's line to its parent


def _set_up(news: Connection) -> None:
    global _news  # noqa: PLW0603  (a process has one parent)
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # else Lightning would end the run as if it were finished
    end_with_parent()
    _tell(None)


def _attempt_in_worker(pickled: bytes) -> Finished | Failure:
    try:
        recipe, orders = pickle.loads(pickled)
    except (AttributeError, ImportError) as error:
        raise SettingError(f"a run's process cannot find a part of the run ({error}). {_STAND}") from None

    def tick(*told: Any) -> None:
        _tell(_News(told, recipe.settings.devices * peak_memory()))

    return attempt(recipe, replace(orders, tick=tick))


def _tell(news: _News | None) -> None:
    try:
        _news.send(news)
    except OSError:  # the parent was killed
        os._exit(1)
