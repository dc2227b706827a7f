"""Whether mixing that sets its own strength does as well as the best of fixed strengths, table by table.

CALMIX_DATA=data python -m benchmarks.auto [--methods ...] [--seeds 10] [--out calmix-runs/auto] [--cost]

The tables are those that `auto` is developed on; they were named before the first run, and what is concluded from them
must be confirmed on others. Of each: 600 training rows at most, a perceptron, 50 epochs, splits and first weights by
the seed, alike for all methods. What has been done is kept in OUT; OUT/results.csv has a row a run. With --cost, CPU
time of whole trainings in place of all that.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from calmix.data.sources import TableFile
from calmix.methods.read import read_method
from calmix.results.records import Record, read_record, write_record
from calmix.results.statistics import interval
from calmix.train import Recipe, TrainingSettings, train
from calmix.train.running import run

TABLES = ("vehicle", "credit_g", "cmc", "splice", "optdigits", "mfeat_fourier", "phoneme", "wine_quality_red")
ROWS = 600  # training rows of a table, but for vehicle, which has 507
METHODS = ("erm", "mixup", "mixup(per_row=True)", "sk_mixup", "regmixup", "auto")
SETTINGS = TrainingSettings(epochs=50, device="cpu")
METRICS = {"nll": -1, "nll_scaled": -1, "accuracy": 1, "ece": -1}  # and which direction is better
COSTLY = ("vehicle", "optdigits")


def main() -> None:
    """Train what has not been trained, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("calmix-runs/auto"))
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        print(*costs(options.methods), sep="\n")
        return
    rows = [
        row_of(table, carried_out(recipe_of(table, label, seed), options.out / table))
        for seed in range(options.seeds)
        for table in options.tables
        for label in options.methods
    ]
    frame = pd.DataFrame(rows)
    frame.to_csv(options.out / "results.csv", index=False, float_format="%.5g")
    print(*summary(frame, options.methods), sep="\n")


def recipe_of(table: str, label: str, seed: int) -> Recipe:
    path = Path(os.environ["CALMIX_DATA"]) / "tabular" / "classification" / f"{table}.csv.gz"
    source = TableFile(path, "target", "classification", None if table == "vehicle" else ROWS)
    return Recipe(source, label, read_method(label), settings=SETTINGS, seed=seed)


def carried_out(recipe: Recipe, folder: Path) -> Record:
    """The stored run, or a new one."""
    record = read_record(folder, recipe.label, recipe.seed)
    if record is None or record.recipe != recipe.text:
        record = run(recipe).record
        write_record(folder, record)
    return record


def row_of(table: str, record: Record) -> dict[str, str | int | float | None]:
    plain, scaled = record.metrics["plain"], record.metrics["scaled"]
    measured = {"accuracy": plain["accuracy"], "nll": plain["nll"], "nll_scaled": scaled["nll"], "ece": plain["ece"]}
    return {"table": table, "method": record.method, "seed": record.seed, **measured, "strength": record.strength}


# -------------------------------------------------------------------------------------------------- what it says


def summary(rows: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """As Markdown: means by table, then how often each method is best or tied, and how it stands to plain training."""
    lines = []
    for metric, better in METRICS.items():
        tables = [str(table) for table in dict.fromkeys(rows.table)]
        ordered: pd.DataFrame = rows.sort_values("seed")
        values = {
            (table, method): list(ordered[metric][(ordered.table == table) & (ordered.method == method)])
            for table in tables
            for method in methods
        }
        lines += ["", f"**{metric}**", "", "| table | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
        tied = dict.fromkeys(methods, 0)
        worse, gained = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0)
        for table in tables:
            means = {method: statistics.mean(values[table, method]) for method in methods}
            best = max(methods, key=lambda method: better * means[method])
            cells = []
            for method in methods:
                level = method == best or _side(values[table, method], values[table, best]) != -better
                tied[method] += level
                if "erm" in methods and method != "erm":
                    side = better * _side(values[table, method], values[table, "erm"])
                    worse[method] += side == -1
                    gained[method] += side == 1
                cells.append(f"**{means[method]:.3f}**" if level else f"{means[method]:.3f}")
            lines.append(f"| {table} | " + " | ".join(cells) + " |")
        overall = [statistics.mean(statistics.mean(values[t, m]) for t in tables) for m in methods]
        lines.append("| mean | " + " | ".join(f"{mean:.3f}" for mean in overall) + " |")
        lines.append("| best or tied | " + " | ".join(str(tied[m]) for m in methods) + " |")
        lines.append("| worse, better than erm | " + " | ".join(f"{worse[m]}, {gained[m]}" for m in methods) + " |")
    return lines


def _side(values: Sequence[float], others: Sequence[float]) -> int:
    """1 where the values are beyond chance larger than the others, pair by pair; -1 where smaller; else 0."""
    differences = [one - other for one, other in zip(values, others, strict=True)]
    return interval(differences).side if len(differences) > 1 else 0


def costs(methods: Sequence[str], rounds: int = 3) -> list[str]:
    """CPU time of a training over that of plain training, turn by turn; the median of a few rounds."""
    lines = ["| table | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for table in COSTLY:
        seconds: dict[str, list[float]] = {method: [] for method in ("erm", *methods)}
        for _ in range(rounds):
            for method, took in seconds.items():
                start = time.process_time()
                train(recipe_of(table, method, 0))
                took.append(time.process_time() - start)
        ratios = [statistics.median(t / e for t, e in zip(seconds[m], seconds["erm"], strict=True)) for m in methods]
        lines.append(f"| {table} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    return lines


if __name__ == "__main__":
    main()
