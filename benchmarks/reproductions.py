"""What reproductions found, over all of them: claims, ranks by domain, and small tables to keep.

    python -m benchmarks.reproductions calmix-runs/*-small --out docs/results/reproductions

reads folders that `calmix reproduce` wrote, prints the tables of docs/results/README.md, and writes claims.csv and
means.csv, which hold every number behind them.
"""

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import rankdata

from calmix.reproduction.table import EXPERIMENTS
from calmix.results.catalogue import METRICS, Column
from calmix.results.store import Results, is_control, read_results

CLASSES = (
    Column(METRICS["accuracy"]),
    Column(METRICS["nll"]),
    Column(METRICS["ece"]),
    Column(METRICS["ece"], "scaled"),
)
VALUES = (Column(METRICS["rmse"]), Column(METRICS["mape"]), Column(METRICS["ence"], "scaled"))
MAIN = {True: (VALUES[0], VALUES[2]), False: (CLASSES[0], CLASSES[2])}  # of a regression, and of classes


def means_of(name: str, results: Results) -> list[dict[str, object]]:
    """A row a method and column: the mean over seeds and half of its 95 % interval, in stored units."""
    rows = []
    for column in VALUES if results.regression else CLASSES:
        for method in results.methods:
            if len(results.scores.values(method, column.key, column.condition)):
                found = results.scores.interval(method, column.key, column.condition)
                named = {"experiment": name, "method": method, "metric": column.key, "condition": column.condition}
                rows.append({**named, "seeds": found.count, "mean": found.mean, "half_width": found.half_width})
    for method in results.methods:
        costs = [one.relative_cost for one in results.of_method(method) if one.relative_cost is not None]
        if costs:
            cost = {"metric": "relative_cost", "condition": "plain", "seeds": 1, "mean": costs[0], "half_width": None}
            rows.append({"experiment": name, "method": method, **cost})
    return rows


def domain_of(name: str) -> str:
    """The module of an experiment."""
    return EXPERIMENTS[name].make[0]


def ranks(means: pd.DataFrame, regressions: set[str]) -> pd.DataFrame:
    """By domain and method: mean ranks in accuracy or RMSE and in ECE or ENCE (1 is best), and the median cost."""
    rows = []
    for name, found in means.groupby("experiment", sort=False):
        for place, column in enumerate(MAIN[name in regressions]):
            taken = ~found["method"].map(is_control)
            of = found.loc[taken & (found["metric"] == column.key) & (found["condition"] == column.condition)]
            places = rankdata(-column.better * of["mean"])
            rows += [
                {"domain": domain_of(str(name)), "method": method, "what": ("right", "calibrated")[place], "rank": rank}
                for method, rank in zip(of["method"], places, strict=True)
            ]
    table = pd.DataFrame(rows).pivot_table(index="method", columns=["domain", "what"], values="rank", aggfunc="mean")
    table["cost", ""] = means[means["metric"] == "relative_cost"].groupby("method")["mean"].median()
    return table


def counts(claims: pd.DataFrame) -> pd.DataFrame:
    """By domain, claim and protocol: on how many experiments it holds, does not hold, and cannot be told."""
    named = claims.assign(domain=claims["experiment"].map(domain_of))
    keys = ["domain", "method", "than", "metric", "condition", "protocol"]
    return named.pivot_table(index=keys, columns="verdict", aggfunc="size", fill_value=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    folders = [folder for folder in asked.folders if (folder / "claims.csv").exists()]
    claims = pd.concat([pd.read_csv(folder / "claims.csv") for folder in folders], ignore_index=True)
    rows, regressions = [], set()
    for folder in folders:
        name, results = str(pd.read_csv(folder / "claims.csv")["experiment"].iloc[0]), read_results(folder)
        rows += means_of(name, results)
        regressions |= {name} if results.regression else set()
    means = pd.DataFrame(rows)
    asked.out.mkdir(parents=True, exist_ok=True)
    claims.to_csv(asked.out / "claims.csv", index=False, float_format="%.6g")
    means.to_csv(asked.out / "means.csv", index=False, float_format="%.6g")
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        print(ranks(means, regressions).round(2).to_string(), end="\n\n")
        print(counts(claims).to_string())


if __name__ == "__main__":
    main()
