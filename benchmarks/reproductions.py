"""What reproductions found, over all of them: claims, ranks by domain, and small tables to keep.

    python -m benchmarks.reproductions calmix-runs/*-small --out docs/results/reproductions

reads folders that `calmix reproduce` wrote, prints the tables of docs/results/README.md, and writes claims.csv,
means.csv, differences.csv and chosen.csv, which hold every number behind them. What these files hold of other
experiments stays.
"""

import argparse
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pandas as pd
from scipy.stats import rankdata

from calmix.reproduction.stated import FILE, read_stated
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
OURS = ("sk_mixup", "mixup_e", "sk_mixup_e", "auto")
REFERENCES = ("erm", "mixup", "auto")  # of every method; ours are compared to the controls, too
SIDES = {1: "better", 0: "cannot be told", -1: "worse"}
MAIN = {True: (VALUES[0], VALUES[2]), False: (CLASSES[0], CLASSES[2])}  # of a regression, and of classes


def means_of(results: Results) -> list[dict[str, object]]:
    """A row a method and column: the mean over seeds and half of its 95 % interval, in stored units."""
    rows = []
    for column in VALUES if results.regression else CLASSES:
        for method in results.methods:
            if len(results.scores.values(method, column.key, column.condition)):
                found = results.scores.interval(method, column.key, column.condition)
                named = {"method": method, "metric": column.key, "condition": column.condition}
                rows.append({**named, "seeds": found.count, "mean": found.mean, "half_width": found.half_width})
    for method in results.methods:
        costs = [one.relative_cost for one in results.of_method(method) if one.relative_cost is not None]
        if costs:
            cost = {"metric": "relative_cost", "condition": "plain", "seeds": 1, "mean": costs[0], "half_width": None}
            rows.append({"method": method, **cost})
    return rows


def differences_of(results: Results) -> list[dict[str, object]]:
    """A row a method, reference and column: the paired difference, and whether the method is better beyond chance."""
    rows, controls = [], filter(is_control, results.methods)
    pairs = [*product(results.methods, REFERENCES), *product(OURS, controls)]
    for method, than in (pair for pair in pairs if len(set(pair)) == 2):
        for column in VALUES if results.regression else CLASSES:
            values = [results.scores.values(label, column.key, column.condition) for label in (method, than)]
            if all(map(len, values)):
                found = results.scores.difference(method, than, column.key, column.condition)
                named = {"method": method, "than": than, "metric": column.key, "condition": column.condition}
                interval = {"difference": found.mean, "low": found.low, "high": found.high, "seeds": found.count}
                rows.append({**named, **interval, "side": SIDES[column.mark(found)]})
    return rows


def domain_of(name: str) -> str:
    """The module of an experiment."""
    return EXPERIMENTS[name].make[0]


def ranks(means: pd.DataFrame) -> pd.DataFrame:
    """By domain and method: mean ranks in accuracy or RMSE and in ECE or ENCE; the median cost, searches apart."""
    rows = []
    for key, found in means.groupby(_key(means), sort=False):
        name, _, protocol = str(key).partition(" ")
        for place, column in enumerate(MAIN["rmse" in set(found["metric"])]):
            taken = ~found["method"].map(is_control)
            of = found.loc[taken & (found["metric"] == column.key) & (found["condition"] == column.condition)]
            places = rankdata(-column.better * of["mean"])
            named = {"domain": f"{domain_of(name)}, {protocol}", "what": ("right", "calibrated")[place]}
            rows += [
                {**named, "method": method, "rank": rank} for method, rank in zip(of["method"], places, strict=True)
            ]
    table = pd.DataFrame(rows).pivot_table(index="method", columns=["domain", "what"], values="rank", aggfunc="mean")
    costs = means[(means["metric"] == "relative_cost") & (means["protocol"] == "honest")]
    table["cost", ""] = costs.groupby("method")["mean"].median()
    return table


def counts(rows: pd.DataFrame, said: str) -> pd.DataFrame:
    """By domain, protocol, pair of methods and metric: on how many experiments what was said."""
    named = rows.assign(domain=rows["experiment"].map(domain_of))
    keys = ["domain", "protocol", "method", "than", "metric", "condition"]
    return named.pivot_table(index=keys, columns=said, aggfunc="size", fill_value=0)


def written(out: Path, name: str, new: pd.DataFrame) -> pd.DataFrame:
    """A file with new rows in place of those of the same experiments and protocols, in the order of EXPERIMENTS."""
    path, order = out / name, list(EXPERIMENTS)
    if path.exists():
        old = pd.read_csv(path)
        new = pd.concat([old.loc[~_key(old).isin(_key(new))], new], ignore_index=True)
    names = [(order.index(name), protocol) for name, protocol in zip(new["experiment"], new["protocol"], strict=True)]
    new.iloc[sorted(range(len(new)), key=names.__getitem__)].to_csv(path, index=False, float_format="%.6g")
    return pd.read_csv(path)


def _key(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(rows["experiment"] + " " + rows["protocol"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    claims, means, differences, chosen = [], [], [], []
    for folder in asked.folders:
        if not (folder / FILE).exists():
            continue
        stated = read_stated(folder)
        named = {"experiment": stated.name, "protocol": stated.protocol}
        claims.append(pd.read_csv(folder / "claims.csv"))
        results = read_results(folder)
        means += [{**named, **row} for row in means_of(results)]
        differences += [{**named, **row} for row in differences_of(results)]
        if stated.search is not None:
            for one in stated.search.chosen:
                row = {name: value for name, value in asdict(one).items() if name != "options"}
                chosen.append({**named, "budget": stated.search.budget, **row})
    asked.out.mkdir(parents=True, exist_ok=True)
    all_claims = written(asked.out, "claims.csv", pd.concat(claims, ignore_index=True))
    all_means = written(asked.out, "means.csv", pd.DataFrame(means))
    all_differences = written(asked.out, "differences.csv", pd.DataFrame(differences))
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        print(ranks(all_means).round(2).to_string(), end="\n\n")
        print(counts(all_claims, "verdict").to_string(), end="\n\n")
        print(counts(all_differences, "side").to_string(), end="\n\n")
        if chosen:
            print(written(asked.out, "chosen.csv", pd.DataFrame(chosen)).to_string())


if __name__ == "__main__":
    main()
