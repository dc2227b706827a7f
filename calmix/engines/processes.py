"""Runs carried out here one after the other, or several at a time in processes of their own."""

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from queue import Empty

import torch
from torch import nn

from calmix.errors import CalmixError, SettingError
from calmix.results.files import NamedArrays
from calmix.results.records import Record
from calmix.train import Recipe, run

News = tuple[str, int, int]  # label, seed, epochs done
Tick = Callable[[str, int, int], object]  # told the same
Finished = tuple[Record, NamedArrays]

_news: "Queue[News]"  # a worker's line to its parent


# glibc gives a large block back to the system as soon as it is freed, and training frees the same ones in every step:
# keeping them spares a small network much of its time. Ignored where the C library is another.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}


def default_workers(runs: int, accelerator: str) -> int:
    """One run per CPU core (at most 8), as small networks gain little from threads; one run at a time on a GPU."""
    return 1 if accelerator == "cuda" else max(1, min(runs, os.cpu_count() or 1, 8))


def carry_out(recipes: Sequence[Recipe], workers: int, tick: Tick) -> Iterator[Finished]:
    """Yield the record and the predictions of each run as soon as it is finished; `tick` is told each finished epoch.

    The first error stops the rest. Workers are new processes, to which recipes travel by pickle.

    Raises:
        SettingError: several workers, and a recipe that cannot be pickled.
        CalmixError: a worker's process died.
        Whatever a run raises.
    """
    if workers == 1:
        for recipe in recipes:
            yield _finished(recipe, tick)
        return
    for recipe in {recipe.label: recipe for recipe in recipes}.values():
        _check_pickles(recipe)
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    context = get_context("spawn")
    news: Queue[News] = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // workers)
    others = set(active_children())
    with ProcessPoolExecutor(workers, context, _set_up_worker, (threads, news)) as pool:
        pending = {pool.submit(_run_in_worker, recipe): recipe for recipe in recipes}
        try:
            while pending:
                done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                with suppress(Empty):
                    while True:
                        tick(*news.get_nowait())
                for future in done:
                    finished = future.result()
                    recipe = pending.pop(future)
                    yield finished
                    tick(recipe.label, recipe.seed, recipe.settings.epochs)
        except BrokenProcessPool:
            raise CalmixError(
                "a run's process died: for lack of memory, or because it could not start. Finished runs are kept: "
                "resume with fewer workers. In Python, the model's factory must stand in a module, and a script needs "
                "`if __name__ == '__main__':`; or take workers=1."
            ) from None
        except BaseException:
            for process in set(active_children()) - others:
                process.kill()  # Lightning holds off a mere SIGTERM
            raise


def _finished(recipe: Recipe, tick: Tick) -> Finished:
    def on_epoch(epoch: int, model: nn.Module) -> None:
        tick(recipe.label, recipe.seed, epoch)

    record, predictions, _ = run(recipe, on_epoch)
    return record, predictions


def _check_pickles(recipe: Recipe) -> None:
    try:
        pickle.dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingError(
            f"several workers are processes of their own, and a part of the run cannot be sent to them ({error}); "
            "define the model's factory at the top of a module, or take workers=1."
        ) from None


# ------------------------------------------------------------------------------------ in a worker's process


def _set_up_worker(threads: int, news: "Queue[News]") -> None:
    global _news  # noqa: PLW0603  (a process has one parent)
    _news = news
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides


def _run_in_worker(recipe: Recipe) -> Finished:
    return _finished(recipe, _tell)


def _tell(label: str, seed: int, epoch: int) -> None:
    parent = parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # a parent that was killed cannot stop its workers
    _news.put((label, seed, epoch))
