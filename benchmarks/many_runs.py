"""How far a folder of results and its engines go: many runs of the form of real ones, made without training.

python -m benchmarks.many_runs [--runs 100000] [--methods 10] [--epochs 20] [--only folder|jobs|engines]   (Linux)

One run of each method on `wine` is trained; every other one is one of these with noise on its numbers, and its
predictions are theirs. `folder`: what it takes to gather them and to report them again. `jobs`: to list so many, and to
carry out one of them. `engines`: to hand them to an executor of one process, and to a local Dask cluster of one
worker, both of which give back a finished run at once. A row: seconds, CPU seconds and the most memory of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from calmix.data import NamedSet
from calmix.engines import Elsewhere, Orders
from calmix.engines.engine import Finished
from calmix.methods.table import METHODS as MAKE
from calmix.results.files import hold_folder, write_whole
from calmix.results.jobs import Job, Jobs, hash_of, versions, write_jobs
from calmix.results.records import Record, read_predictions, read_record, run_name, write_record
from calmix.studies.comparison.runs import InFolder, carry_out_runs
from calmix.studies.comparison.study import Comparison
from calmix.train import Checkpoints, Recipe, TrainingSettings

METHODS = (
    "erm",
    "mixup",
    "sk_mixup",
    "mixup_e",
    "sk_mixup_e",
    "regmixup",
    "mit_l",
    "rankmixup",
    "manifold_mixup",
    "auto",
)
MEASURED = """
import resource, sys, time
begin = time.perf_counter()
from calmix.cli import main
try:
    main(sys.argv[1:])
finally:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    print(time.perf_counter() - begin, spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1e6, file=sys.stderr)
"""


def main() -> None:
    """Print a row a command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description="How far a folder goes.")
    parser.add_argument("--runs", type=int, default=100_000, help="of all methods (default: %(default)s)")
    parser.add_argument("--methods", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="of each run (default: %(default)s)")
    parser.add_argument("--only", choices=("folder", "jobs", "engines"), help="one part (default: all)")
    options = parser.parse_args()
    labels = METHODS[: options.methods]
    seeds = options.runs // len(labels)
    asked = ["wine", "--methods", *labels, "--epochs", str(options.epochs), "--workers", "1"]
    print("| what | runs | seconds | CPU, s | peak, GB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        real = train(folder / "real", asked)
        if options.only in (None, "folder"):
            make(folder / "runs", real, seeds, asked)
            for name in ("gather", "report"):
                command(name, options.runs, "report", folder / "runs")
        if options.only in (None, "jobs"):
            many = [*asked, "--seeds", seeds, "--out", folder / "planned"]
            command("plan", options.runs, "compare", *many, "--plan", "--quiet")
            command("work, one job of them", options.runs, "work", folder / "planned", "--job", options.runs, "--quiet")
        if options.only in (None, "engines"):
            engines(folder, real, seeds, options.epochs)


def train(folder: Path, asked: Sequence[str]) -> list[Record]:
    """A real run of each method."""
    command = [sys.executable, "-c", "from calmix.cli import main; main()", "compare", *asked, "--quiet"]
    subprocess.run([*command, "--seeds", "1", "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    records = [
        read_record(folder, run["method"], 0) for run in json.loads((folder / "results.json").read_text())["runs"]
    ]
    return [record for record in records if record is not None]


# ------------------------------------------------------------------------------------------------- in a folder


def make(folder: Path, real: Sequence[Record], seeds: int, asked: Sequence[str]) -> None:
    """A folder of planned and finished runs, as workers leave it."""
    jobs = []
    for seed in range(seeds):
        for record in real:
            made = noisy(record, seed)
            write_record(folder, made)
            jobs.append(Job(len(jobs) + 1, record.method, seed, hash_of(made.recipe)))
    for record in real:
        stored = (folder.parent / "real" / "predictions" / f"{record.run}.npz").read_bytes()
        for seed in range(seeds):
            path = folder / "predictions" / f"{run_name(record.method, seed)}.npz"
            write_whole(path, lambda file, stored=stored: file.write(stored))
    write_jobs(folder, Jobs(["calmix", "compare", *asked, "--seeds", str(seeds)], versions(), jobs))


def noisy(record: Record, seed: int) -> Record:
    """The run as it might have come out with another seed."""
    rng = np.random.default_rng([seed, len(record.method)])

    def scattered(values: Mapping[str, float]) -> dict[str, float]:
        noise = rng.normal(1, 0.05, len(values)).tolist()
        return {name: value * one for (name, value), one in zip(values.items(), noise, strict=True)}

    if seed == 0:
        return record
    metrics = {condition: scattered(values) for condition, values in record.metrics.items()}
    history = tuple(
        replace(epoch, train=scattered(epoch.train), validation=scattered(epoch.validation)) for epoch in record.history
    )
    text = record.recipe.replace("seed=0,", f"seed={seed},")
    return replace(record, seed=seed, metrics=metrics, history=history, recipe=text, relative_cost=None)


def command(name: str, runs: int, *arguments: object) -> None:
    """Print a row of a command's time and memory."""
    given = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    done = subprocess.run(given, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    row(name, runs, *map(float, done.stderr.splitlines()[-1].split()))


def row(name: str, runs: int, seconds: float, cpu: float, memory: float) -> None:
    print(f"| {name} | {runs:,} | {seconds:.1f} | {cpu:.1f} | {memory:.2f} |", flush=True)


# ------------------------------------------------------------------------------------------------- by executors


def engines(folder: Path, real: Sequence[Record], seeds: int, epochs: int) -> None:
    """Hand all runs to executors, and write what comes back, as `compare` does."""
    methods = {record.method: MAKE[record.method]() for record in real}
    recipes = Comparison(NamedSet("wine"), methods, None, TrainingSettings(epochs=epochs), seeds).recipes
    finished = {record.method: (record, read_predictions(folder / "real", record)) for record in real}

    def measure(name: str, executor: Executor) -> None:
        out = folder / name
        began, spent = time.perf_counter(), _cpu()
        with hold_folder(out):
            store = InFolder(Checkpoints(out), True)
            carry_out_runs(recipes, store, Elsewhere(Dummies(executor, finished)), Orders())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        row(name, len(recipes), time.perf_counter() - began, _cpu() - spent, memory)

    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        measure("a process", executor)
    from distributed import Client, LocalCluster

    listening: Any = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(1, threads_per_worker=1, **listening) as cluster, Client(cluster) as client:
        measure("Dask", client.get_executor(pure=False))


class Dummies(Executor):
    """Gives finished runs to an executor, whose workers give them back under the name of the run that was asked for."""

    def __init__(self, executor: Executor, finished: Mapping[str, Finished]) -> None:
        self.executor, self.finished = executor, finished

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        recipe: Recipe = args[0]
        return self.executor.submit(dummy, recipe, self.finished[recipe.label])


def dummy(recipe: Recipe, finished: Finished) -> Finished:
    record, predictions = finished
    return replace(record, seed=recipe.seed, recipe=recipe.text), predictions


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
