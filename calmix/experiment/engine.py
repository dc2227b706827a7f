"""Runs carried out: here one after the other, or several at a time in processes of their own."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, Queue

import torch

from calmix.experiment.recipe import Recipe
from calmix.experiment.record import save
from calmix.experiment.run import run

Tick = Callable[[str, int, int], None]  # label, seed, epochs done


# glibc gives a large block back to the system as soon as it is freed, and training frees the same ones in every step:
# keeping them saves a small network a third of its time. Ignored where the C library is another.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}


def default_workers(runs: int, accelerator: str) -> int:
    """One run per CPU core, each with one thread: small networks do not gain from more; one run at a time on a GPU."""
    return 1 if accelerator == "cuda" else max(1, min(runs, os.cpu_count() or 1))


def carry_out(recipes: Sequence[Recipe], out: Path, workers: int, tick: Tick) -> None:
    """Run and save every recipe; `tick` is told each finished epoch. The first error stops the rest."""
    if workers == 1:
        for recipe in recipes:
            _run_and_save(recipe, out, lambda news: tick(*news))
        return
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # a process reads it when it starts
    context = get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    with context.Manager() as manager:
        news = manager.Queue()
        with ProcessPoolExecutor(workers, context, torch.set_num_threads, (threads,)) as pool:
            pending = {pool.submit(_run_and_save, recipe, out, news.put) for recipe in recipes}
            try:
                while pending:
                    done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                    _drain(news, tick)
                    for finished in done:
                        finished.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _run_and_save(recipe: Recipe, out: Path, tell: Callable[[tuple[str, int, int]], object]) -> None:
    finished = run(recipe, lambda epoch: tell((recipe.label, recipe.seed, epoch)))
    save(out, finished.record, finished.predictions)


def _drain(news: Queue, tick: Tick) -> None:
    with suppress(Empty):
        while True:
            tick(*news.get_nowait())
