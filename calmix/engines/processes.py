"""Runs carried out here one after the other, or several at a time in processes of their own."""

import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for

import torch
from torch import nn

from calmix.data import Fixed, Splits
from calmix.errors import CalmixError, SettingError
from calmix.results.files import NamedArrays
from calmix.results.records import Failure, Record
from calmix.train import Recipe, TrainingSettings, run

Tick = Callable[[str, int, int], object]  # told label, seed, epochs done
Finished = tuple[Record, NamedArrays]

# glibc gives a large block back to the system as soon as it is freed, and training frees the same ones in every step:
# keeping them spares a small network much of its time. Ignored where the C library is another.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}


def default_workers(runs: int, settings: TrainingSettings) -> int:
    """As many runs at a time as have cores for their threads (at most 8); one at a time on a GPU."""
    if settings.accelerator == "cuda":
        return 1
    return max(1, min(runs, (os.cpu_count() or 1) // settings.threads, 8))


def carry_out(recipes: Sequence[Recipe], workers: int, tick: Tick) -> Iterator[Finished | Failure]:
    """Yield what came of each run as soon as it has ended; `tick` is told each finished epoch.

    A run that fails, or whose process dies, ends in a `Failure`, and the others go on. Workers are new processes, to
    which recipes travel by pickle, and splits in shared memory.

    Raises:
        SettingError: several workers, and a recipe that cannot be pickled.
        CalmixError: a worker's process could not start.
    """
    if workers == 1:
        for recipe in recipes:
            yield _attempt(recipe, tick)
        return
    for recipe in {recipe.label: recipe for recipe in recipes}.values():
        _check_pickles(recipe)
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    others, send = set(active_children()), _Sender()
    todo, idle, busy = deque(recipes), [_Worker() for _ in range(workers)], dict[Future, tuple[_Worker, Recipe]]()
    try:
        while todo or busy:
            while todo and idle:
                worker, recipe = idle.pop(), todo.popleft()
                busy[worker.submit(send(recipe))] = worker, recipe
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
                idle.append(worker)
                yield ended
                tick(recipe.label, recipe.seed, recipe.settings.epochs)
        for worker in idle:
            worker.pool.shutdown()
    finally:
        for process in set(active_children()) - others:
            process.kill()


def _attempt(recipe: Recipe, tick: Tick) -> Finished | Failure:
    def on_epoch(epoch: int, model: nn.Module) -> None:
        tick(recipe.label, recipe.seed, epoch)

    try:
        record, predictions, _ = run(recipe, on_epoch)
        return record, predictions
    except Exception as error:  # whatever a network of the user's may raise
        return Failure(recipe.label, recipe.seed, _reason(error))


def _reason(error: Exception) -> str:
    """Why a run failed, in one sentence."""
    if isinstance(error, CalmixError):
        return str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "it ran out of memory; take smaller batches, or fewer runs at a time."
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.filename}, line {place.lineno})"


def _check_pickles(recipe: Recipe) -> None:
    try:
        pickle.dumps((recipe.method, recipe.model, recipe.robustness))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingError(
            f"several workers are processes of their own, and a part of the run cannot be sent to them ({error}); "
            "define the model's factory at the top of a module, or take workers=1."
        ) from None


class _Sender:
    """Recipes as workers get them: with splits that lie in shared memory once, not a source to read in each process.

    Recipes come seed by seed, so the last splits are kept. Where there is no room to share, workers read on their own.
    """

    def __init__(self) -> None:
        self._last: tuple[object, int] | None = None
        self._shared: Fixed | None = None

    def __call__(self, recipe: Recipe) -> Recipe:
        if self._last != (recipe.data, recipe.seed):
            self._last, self._shared = (recipe.data, recipe.seed), None
            try:
                splits = recipe.splits()
                _share(splits)
                self._shared = Fixed(splits, repr(recipe.data))
            except (CalmixError, RuntimeError):  # the first is the run's own failure
                pass
        return recipe if self._shared is None else replace(recipe, data=self._shared)


def _share(splits: Splits) -> None:
    """Raise RuntimeError where there is no room."""
    for part in (splits.train, splits.validation, splits.calibration, splits.test):
        part.x.share_memory_()
        part.y.share_memory_()


class _Worker:
    """A process for one run at a time, and the line on which it tells of its epochs."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._news, theirs = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, context, _set_up, (theirs,))
        self._started = False

    def submit(self, recipe: Recipe) -> Future[Finished | Failure]:
        return self.pool.submit(_attempt_in_worker, recipe)

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
        self.tell(lambda label, seed, epochs: None)
        if not self._started:
            raise CalmixError(
                "a run's process could not start. In Python, the model's factory must stand in a module, and a script "
                "needs `if __name__ == '__main__':`; or take workers=1."
            )
        return Failure(recipe.label, recipe.seed, "its process died, often for lack of memory; take fewer workers.")


# ------------------------------------------------------------------------------------ in a worker's process

_news: Connection  # a worker's line to its parent


def _set_up(news: Connection) -> None:
    global _news  # noqa: PLW0603  (a process has one parent)
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # else Lightning would end the run as if it were finished
    threading.Thread(target=_die_with_parent, daemon=True).start()
    news.send(None)


def _die_with_parent() -> None:
    """A parent that was killed cannot stop its workers."""
    parent = parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _attempt_in_worker(recipe: Recipe) -> Finished | Failure:
    return _attempt(recipe, lambda label, seed, epoch: _news.send((label, seed, epoch)))
