"""Runs carried out here one after the other, or several at a time in processes of their own."""

import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler

from calmix.data import Fixed, Split, Splits
from calmix.engines.asked import check_workers
from calmix.engines.attempt import attempt, reason_of
from calmix.engines.engine import Finished, Tick, Wanted, always
from calmix.errors import CalmixError, SettingError
from calmix.results.records import Epoch, Failure
from calmix.rows import Rows
from calmix.train import Checkpoints, Loggers, Recipe, TrainingSettings

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

    None: as many as `default_workers` says.

    Raises:
        SettingError: less than one.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)

    def carry_out(
        self,
        recipes: Sequence[Recipe],
        tick: Tick,
        checkpoints: Checkpoints | None = None,
        loggers: Loggers | None = None,
        wanted: Wanted = always,
    ) -> Iterator[Finished | Failure]:
        """See `Engine`."""
        if recipes:
            workers = min(len(recipes), self.workers or default_workers(len(recipes), recipes[0].settings))
            yield from carry_out(recipes, workers, tick, checkpoints, loggers, wanted)


def carry_out(
    recipes: Sequence[Recipe],
    workers: int,
    tick: Tick,
    checkpoints: Checkpoints | None = None,
    loggers: Loggers | None = None,
    wanted: Wanted = always,
) -> Iterator[Finished | Failure]:
    """Yield what came of each run as soon as it has ended; `tick` is told each finished epoch. See `Engine`.

    Workers are new processes, to which recipes travel by pickle, and splits in shared memory.

    Raises:
        SettingError: several workers, and a recipe that cannot be pickled.
        CalmixError: a worker's process could not start.
    """
    if workers == 1:
        for recipe in filter(wanted, recipes):
            ended = attempt(recipe, tick, checkpoints, loggers)
            if isinstance(ended, Failure):
                tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
            yield ended
        return
    for recipe in {recipe.label: recipe for recipe in recipes}.values():
        _check_pickles(recipe)
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    send, todo, busy = _Sender(), deque(recipes), dict[Future, tuple[_Worker, Recipe]]()
    idle: list[_Worker] = []
    try:
        while todo or busy:
            while todo and len(busy) < workers:
                recipe = todo.popleft()
                if not wanted(recipe):
                    continue
                sent, worker = send(recipe), idle.pop() if idle else _Worker()
                try:
                    future = worker.submit(sent, checkpoints, loggers)
                except BrokenProcessPool:  # its process died between two runs
                    worker = _Worker()
                    future = worker.submit(sent, checkpoints, loggers)
                busy[future] = worker, recipe
            done, _ = wait(busy, timeout=0.2, return_when=FIRST_COMPLETED)
            for worker, _ in busy.values():
                worker.tell(tick)
            for future in done:
                worker, recipe = busy.pop(future)
                try:
                    ended = future.result()
                except BrokenProcessPool:
                    ended = worker.failure(recipe)
                    worker = _Worker()
                except CalmixError:
                    raise
                except (Exception, SystemExit) as error:  # of a network of the user's, or what cannot be sent back
                    ended = Failure(recipe.label, recipe.seed, reason_of(error))
                idle.append(worker)
                yield ended
                tick(recipe.label, recipe.seed, recipe.settings.epochs, None)
        for worker in idle:
            worker.pool.shutdown()
    finally:
        _end([*idle, *(worker for worker, _ in busy.values())], _LAST_SECONDS if checkpoints else 0.0)


def _check_pickles(recipe: Recipe) -> None:
    rows = recipe.splits().train.rows
    try:
        pickle.dumps((recipe.method, recipe.model, recipe.robustness, rows if isinstance(rows, Rows) else None))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingError(
            f"several workers are processes of their own, and a part of the run cannot be sent to them ({error}); "
            "define the model's factory, and a data set, at the top of a module, or take workers=1."
        ) from None


_STAND = (
    "In Python, the model's factory must stand in a module, and a script needs `if __name__ == '__main__':`; or take "
    "workers=1."
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
    names = ("train", "validation", "calibration", "test")
    given = splits.given and splits.given.of_test()
    parts = {name: _shared_split(getattr(splits, name)) for name in names}
    return replace(splits, given=given, encoding=None, **parts)


def _shared_split(split: Split) -> Split:
    rows = split.rows  # those that are not in memory are read by each worker
    return Split(rows if isinstance(rows, Rows) else rows.clone().share_memory_(), split.y.clone().share_memory_())


_LAST_SECONDS = 20.0  # that workers have to finish a step and write a checkpoint


def _end(workers: Sequence["_Worker"], seconds: float) -> None:
    """Tell the workers to end, and after so many seconds end those that go on."""
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


class _Worker:
    """A process for one run at a time, and the line on which it tells of its epochs."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._news, theirs = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, context, _set_up, (theirs,))
        self._started = False

    def submit(
        self, recipe: Recipe, checkpoints: Checkpoints | None, loggers: Loggers | None
    ) -> Future[Finished | Failure]:
        # pickled here and unpickled in the run, where an error can be told
        return self.pool.submit(_attempt_in_worker, bytes(ForkingPickler.dumps((recipe, checkpoints, loggers))))

    @property
    def processes(self) -> list[BaseProcess]:
        """The one process, or none if it has ended."""
        return list((self.pool._processes or {}).values())

    def tell(self, tick: Tick) -> None:
        """Pass on the news."""
        try:
            while self._news.poll():
                news = self._news.recv()
                self._started = True
                if news is not None:
                    tick(*news)
        except (EOFError, OSError):  # the process died
            pass

    def failure(self, recipe: Recipe) -> Failure:
        """What a dead process leaves of its run. Raise CalmixError where it never came to life."""
        self.tell(lambda label, seed, epochs, entry: None)
        if not self._started:
            raise CalmixError(f"a run's process could not start. {_STAND}")
        reason = "its process died: it was killed, or there was too little memory; take fewer workers."
        return Failure(recipe.label, recipe.seed, reason)


# ------------------------------------------------------------------------------------ in a worker's process

_news: Connection  # a worker's line to its parent


def _set_up(news: Connection) -> None:
    global _news  # noqa: PLW0603  (a process has one parent)
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # else Lightning would end the run as if it were finished
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _tell(None)


def _die_with_parent() -> None:
    """A parent that was killed cannot stop its workers."""
    parent = parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _attempt_in_worker(pickled: bytes) -> Finished | Failure:
    try:
        recipe, checkpoints, loggers = pickle.loads(pickled)
    except (AttributeError, ImportError) as error:
        raise SettingError(f"a run's process cannot find a part of the run ({error}). {_STAND}") from None
    return attempt(recipe, lambda *news: _tell(news), checkpoints, loggers)


def _tell(news: tuple[str, int, int, Epoch | None] | None) -> None:
    try:
        _news.send(news)
    except OSError:  # the parent was killed
        os._exit(1)
