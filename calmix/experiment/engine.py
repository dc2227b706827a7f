"""Runs carried out: here one after the other, or several at a time in processes of their own."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from calmix.errors import CalmixError
from calmix.experiment.recipe import Recipe
from calmix.experiment.record import save
from calmix.experiment.run import run

News = tuple[str, int, int]  # label, seed, epochs done
Tick = Callable[[str, int, int], None]

_news: "Queue[News]"  # a worker's line to its parent


# glibc gives a large block back to the system as soon as it is freed, and training frees the same ones in every step:
# keeping them spares a small network much of its time. Ignored where the C library is another.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}


def default_workers(runs: int, accelerator: str) -> int:
    """One run per CPU core (at most 8), as small networks gain little from threads; one run at a time on a GPU."""
    return 1 if accelerator == "cuda" else max(1, min(runs, os.cpu_count() or 1, 8))


def carry_out(recipes: Sequence[Recipe], out: Path, workers: int, tick: Tick) -> None:
    """Run and save every recipe; `tick` is told each finished epoch. The first error stops the rest."""
    if workers == 1:
        for recipe in recipes:
            _run_and_save(recipe, out, tick)
        return
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    context = get_context("spawn")
    news: Queue[News] = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // workers)
    others = set(active_children())
    with ProcessPoolExecutor(workers, context, _set_up_worker, (threads, news)) as pool:
        pending = {pool.submit(_run_in_worker, recipe, out): recipe for recipe in recipes}
        try:
            while pending:
                done, _ = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                with suppress(Empty):
                    while True:
                        tick(*news.get_nowait())
                for finished in done:
                    finished.result()
                    recipe = pending.pop(finished)
                    tick(recipe.label, recipe.seed, recipe.fit.epochs)
        except BrokenProcessPool:
            raise CalmixError(
                "a run's process died, perhaps for lack of memory; go on with --resume and fewer --workers."
            ) from None
        except BaseException:
            for process in set(active_children()) - others:
                process.kill()  # Lightning holds off a mere SIGTERM
            raise


def _run_and_save(recipe: Recipe, out: Path, tick: Tick) -> None:
    finished = run(recipe, lambda epoch: tick(recipe.label, recipe.seed, epoch))
    save(out, finished.record, finished.predictions)


# ------------------------------------------------------------------------------------ in a worker's process


def _set_up_worker(threads: int, news: "Queue[News]") -> None:
    global _news  # noqa: PLW0603  (a process has one parent)
    _news = news
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides


def _run_in_worker(recipe: Recipe, out: Path) -> None:
    _run_and_save(recipe, out, _tell)


def _tell(*news: Any) -> None:
    parent = parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # killed, it could not stop us
    _news.put(news)
