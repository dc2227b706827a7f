"""What the runs say: for each metric means and verdicts over data sets, as Markdown."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import pandas as pd

from calmix.report.style import styles
from calmix.results.catalogue import ACCURACY, ECE, NLL, SCALED_NLL, Column
from calmix.results.scores import column_name
from calmix.results.statistics import Ranks, paired_difference, rank
from calmix.studies.ranking.diagram import Ranked, ranks_drawing

COLUMNS = (NLL, SCALED_NLL, ACCURACY, ECE)
PLAIN = "erm"
Values = dict[tuple[str, str], list[float]]  # by data set and method: one for each seed


def report(rows: pd.DataFrame, details: bool = False) -> list[str]:
    """A table a metric; with details also each method's mean on each set."""
    rows, lines = rows.query("stage != 'trial'"), []
    for column in COLUMNS:
        lines += ["", f"**{column.title}**", "", *(means_table if details else verdicts)(rows, column)]
    return lines


def pictures(rows: pd.DataFrame) -> dict[str, bytes]:
    """A critical-difference diagram a metric, as PNG, by file name."""
    rows, found = rows.query("stage != 'trial'"), {}
    for column in COLUMNS:
        ranks, name = ranks_of(rows, column), f"ranks-{column_name(column.condition, column.key)}"
        [found[f"{name}.png"]] = ranks_drawing(name, Ranked(column, ranks), styles(ranks.methods)).save("png")
    return found


def ranks_of(rows: pd.DataFrame, column: Column) -> Ranks:
    """Methods ranked on each set by their means over seeds."""
    values, sets, methods = values_of(rows, column)
    means = np.array([[fmean(values[name, method]) for method in methods] for name in sets])
    return rank(means, 1 if column.better == 1 else -1, methods, sets)


def verdicts(rows: pd.DataFrame, column: Column) -> list[str]:
    """A row a method: its mean over the sets, its mean rank, on how many sets it is best or tied, and against plain.

    Tied: not beyond chance from the set's best mean (95 % interval of the differences, paired by seed). Worse, better:
    on how many sets it is, beyond chance, worse and better than plain training.
    """
    values, sets, methods = values_of(rows, column)
    better, ranks = 1 if column.better == 1 else -1, ranks_of(rows, column)
    lines = ["| method | mean | mean rank | best or tied | worse, better than plain |", "|---|---|---|---|---|"]
    for place in ranks.order:
        method = methods[place]
        tied = sum(level_with_best(values, name, methods, method, better) for name in sets)
        sides = [better * paired_difference(values[name, method], values[name, PLAIN]).side for name in sets]
        against = "" if method == PLAIN else f"{sides.count(-1)}, {sides.count(1)}"
        cells = (
            method,
            shown(column, ranks.scores[:, place].mean()),
            f"{ranks.mean[place]:.2f}",
            f"{tied} of {len(sets)}",
        )
        lines.append(f"| {' | '.join(cells)} | {against} |")
    return [*lines, "", f"Mean ranks that differ by {ranks.critical:.2f} are told apart; p = {ranks.p:.2g}."]


CHOICES = {"plain training or auto": (PLAIN, "auto"), "any of the methods": None}


def choices(rows: pd.DataFrame) -> list[str]:
    """A row a rule of choosing among methods by validation NLL after temperature, and a column a metric.

    Each seed by its own validation rows, or one method for the set by their mean. A cell has the mean over the sets, on
    how many a rule is best or tied with the best method, and on how many worse and better than plain training.
    """
    rows = rows.query("stage == 'default'").reset_index(drop=True)
    lines = [
        f"| chosen among | by | {' | '.join(column.title for column in COLUMNS)} |",
        "|---" * (2 + len(COLUMNS)) + "|",
    ]
    for name, among in CHOICES.items():
        tried = rows if among is None else rows[rows["method"].isin(among)]
        best = tried.pivot_table(index="set", columns="method", values="chosen_by").idxmin(axis=1)
        for by, found in {
            "each seed's validation rows": tried.loc[tried.groupby(["set", "seed"])["chosen_by"].idxmin()],
            "the mean over seeds": tried.merge(pd.DataFrame({"method": best}).reset_index()),
        }.items():
            both = pd.concat([rows, found.assign(method=name)])
            lines.append(f"| {name} | {by} | {' | '.join(_choice(both, column, name) for column in COLUMNS)} |")
    return lines


def _choice(rows: pd.DataFrame, column: Column, name: str) -> str:
    values, sets, methods = values_of(rows, column)
    better = 1 if column.better == 1 else -1
    mean = fmean(fmean(values[one, name]) for one in sets)
    tied = sum(level_with_best(values, one, methods, name, better) for one in sets)
    sides = [better * paired_difference(values[one, name], values[one, PLAIN]).side for one in sets]
    return f"{shown(column, mean)}; {tied} of {len(sets)}; {sides.count(-1)}, {sides.count(1)}"


def means_table(rows: pd.DataFrame, column: Column) -> list[str]:
    """A row a set: each method's mean over seeds; bold where it is the best, or not beyond chance from it."""
    values, sets, methods = values_of(rows, column)
    better, lines = 1 if column.better == 1 else -1, []
    for name in sets:
        cells = [shown(column, fmean(values[name, method])) for method in methods]
        tied = [level_with_best(values, name, methods, method, better) for method in methods]
        lines.append(" | ".join([name, *(f"**{c}**" if t else c for c, t in zip(cells, tied, strict=True))]))
    head = [" | ".join(["set", *methods]), " | ".join(["---"] * (1 + len(methods)))]
    return [f"| {line} |" for line in head + lines]


def shown(column: Column, value: float) -> str:
    return f"{value:.1%}" if column in (ACCURACY, ECE) else f"{value:.3f}"


def values_of(rows: pd.DataFrame, column: Column) -> tuple[Values, list[str], list[str]]:
    """What each method gave on each set, with the sets, and the methods that all of them have."""
    key = column_name(column.condition, column.key)
    values: Values = {}
    for row in rows.sort_values("seed").to_dict("records"):
        values.setdefault((row["set"], row["method"]), []).append(row[key])
    sets = [str(name) for name in dict.fromkeys(rows["set"])]
    methods = [str(name) for name in dict.fromkeys(rows["method"]) if all((one, name) in values for one in sets)]
    return values, sets, methods


def level_with_best(values: Values, name: str, methods: Sequence[str], method: str, better: int) -> bool:
    best = max(methods, key=lambda other: better * fmean(values[name, other]))
    return method == best or paired_difference(values[name, method], values[name, best]).side != -better
