"""How much a metric of each method is of plain training's, data set by data set.

    python -m benchmarks.over_plain calmix-runs/values/* --out docs/results/reproductions/over-plain.csv

reads folders that `calmix compare` wrote. Prints the mean of the ratios, paired by seed, with half of its 95 %
interval; below 1 is better than plain training where a metric is an error. Seeds in which any method failed are left
out. plain: the mean of plain training over the others. --than DIR: plain training is that of the comparison of the
same name in DIR, such as of other settings, and both are paired by the seeds that they share.
"""

import argparse
from pathlib import Path
from statistics import fmean

import pandas as pd

from calmix.results.statistics import interval
from calmix.results.store import PLAIN_TRAINING, read_results


def ratios_of(folder: Path, metric: str, than: Path | None) -> list[dict[str, object]]:
    """A row a method."""
    results, rows = read_results(folder), []
    others = results if than is None else read_results(than / folder.name)
    plain = {one.seed: one.metrics["plain"][metric] for one in others.of_method(PLAIN_TRAINING)}
    for method in results.methods:
        ratios = [
            one.metrics["plain"][metric] / plain[one.seed] for one in results.of_method(method) if one.seed in plain
        ]
        if (than is not None or method != PLAIN_TRAINING) and len(ratios) > 1:
            found = interval(ratios)
            named = {"set": folder.name, "plain": fmean(plain.values()), "method": method, "seeds": found.count}
            rows.append({**named, "over_plain": found.mean, "half_width": found.half_width})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--metric", default="rmse")
    parser.add_argument("--than", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    rows = pd.DataFrame([row for folder in asked.folders for row in ratios_of(folder, asked.metric, asked.than)])
    rows.to_csv(asked.out, index=False, float_format="%.4g")
    rows["plain"] = rows["plain"].map("{:.4g}".format)
    rows["text"] = [
        f"{mean:.3f} ± {half:.3f} ({seeds})"
        for mean, half, seeds in zip(rows["over_plain"], rows["half_width"], rows["seeds"], strict=True)
    ]
    table = rows.pivot_table(index=["set", "plain"], columns="method", values="text", aggfunc="first", sort=False)
    print(table.reset_index().to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
