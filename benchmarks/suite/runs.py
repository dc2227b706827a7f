"""Runs of the suite, one after the other, and their rows in a table that is written after each."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.suite.methods import MORE_ROWS, TRIALS, TUNED, method_of
from benchmarks.suite.sets import Set
from calmix.data import AllData
from calmix.engines import Processes
from calmix.results.files import write_csv
from calmix.results.records import Failure, Record
from calmix.studies.tuning.families import family_of
from calmix.studies.tuning.points import first_options, shared_settings
from calmix.train import Recipe

STAGES = ("default", "more rows", "tuned")
TRIAL_SEED = 1000  # of the trials: their splits and weights are those of no other run
Row = dict[str, Any]  # of the table of runs


class Table:
    """The runs of one data set, in a file. A run that is there is not carried out again."""

    def __init__(self, of: Set, folder: Path) -> None:
        self.of, self.path = of, folder / f"{of.name.replace(' ', '_')}.csv"
        self.rows: list[Row] = _read(self.path) if self.path.exists() else []

    def carry_out(self, recipes: Sequence[Recipe], stage: str, workers: int) -> None:
        """What is missing, seed by seed.

        Raises:
            SystemExit: a run failed.
        """
        there = {(row["method"], row["seed"], row["recipe"]) for row in self.rows}
        keys = {(recipe.label, recipe.seed): _digest(recipe) for recipe in recipes}
        todo = [recipe for recipe in recipes if (*(key := (recipe.label, recipe.seed)), keys[key]) not in there]
        for ended in Processes(workers).carry_out(todo):
            if isinstance(ended, Failure):
                raise SystemExit(f"{self.of.name}: {ended.method} with seed {ended.seed} failed: {ended.reason}")
            record, _ = ended
            self.rows.append({"set": self.of.name, "stage": stage, **_row(record, keys[record.method, record.seed])})
            write_csv(self.path, pd.DataFrame(self.rows))

    def chosen(self, method: str) -> Recipe:
        """The trial with the lowest validation NLL after temperature scaling."""
        trials = {recipe.label: recipe for recipe in trials_of(self.of, method)}
        tried = [row for row in self.rows if row["method"] in trials and row["stage"] == "trial"]
        return trials[min(tried, key=lambda row: row["chosen_by"])["method"]]


def defaults_of(of: Set, methods: Sequence[str], seeds: int) -> list[Recipe]:
    """Seed by seed, as splits are drawn by seeds."""
    return [
        Recipe(of.source, text, method_of(text), of.model, of.settings, seed)
        for seed in range(seeds)
        for text in methods
    ]


def trials_of(of: Set, method: str) -> list[Recipe]:
    """The method's defaults, and seven more: training settings and options from the lists of `calmix tune`."""
    family = family_of(method, regression=False)
    options, settings = first_options(family.space, TRIALS, seed=0), shared_settings(of.settings, TRIALS, seed=0)
    return [
        Recipe(of.source, f"{method}, trial {n}", family.method(own), of.model, shared, TRIAL_SEED)
        for n, (own, shared) in enumerate(zip(options, settings, strict=True))
    ]


def carry_out_set(
    of: Set, methods: Sequence[str], seeds: int, stages: Sequence[str], folder: Path, workers: int
) -> None:
    """All runs of a data set. Stages: as the methods are, with the validation rows, and with settings of a search."""
    table = Table(of, folder)
    if "default" in stages:
        table.carry_out(defaults_of(of, methods, seeds), "default", workers)
    if "more rows" in stages:
        recipes = defaults_of(of, [method for method in MORE_ROWS if method in methods], seeds)
        more = [replace(one, label=f"{one.label}, more rows", data=AllData(one.data)) for one in recipes]
        table.carry_out(more, "more rows", workers)
    if "tuned" in stages:
        families = [method for method in TUNED if method in methods]
        table.carry_out([trial for method in families for trial in trials_of(of, method)], "trial", workers)
        best = {method: table.chosen(method) for method in families}
        recipes = [replace(best[m], label=f"{m}, tuned", seed=seed) for seed in range(seeds) for m in families]
        table.carry_out(recipes, "tuned", workers)


def _read(path: Path) -> list[Row]:
    return pd.read_csv(path, dtype={"recipe": str}).to_dict("records")


def _digest(recipe: Recipe) -> str:
    return f"{zlib.crc32(recipe.text.encode()):08x}"


def _row(record: Record, digest: str) -> Row:
    plain, scaled = record.metrics["plain"], record.metrics["scaled"]
    return {
        "method": record.method,
        "seed": record.seed,
        "accuracy": plain["accuracy"],
        "nll": plain["nll"],
        "scaled_nll": scaled["nll"],
        "ece": plain["ece"],
        "scaled_ece": scaled["ece"],
        "temperature": record.temperature,
        "strength": record.strength,
        "chosen_by": record.metrics.get("validation/scaled", {}).get("nll"),
        "seconds": record.train_seconds,
        "recipe": digest,
    }


def all_rows(folder: Path, sets: Sequence[Set]) -> Iterator[Row]:
    for of in sets:
        yield from Table(of, folder).rows
