"""What searches tried: how much is mixed, and what it gains on plain training with the same training.

    python -m benchmarks.trials calmix-runs/*-small-searched --out docs/results/reproductions

reads the searches of `calmix reproduce --budget`. Trial n of every method has the same learning rate, weight decay,
number of epochs, rows and initial weights, so that each is paired with plain training. Prints the geometric mean of
the ratios, of NLL or RMSE on rows that are neither trained on nor tested, by how far the kernel mixes; below 1 is
better than plain training. trials.csv has every pair.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from calmix.reproduction.searched import SEARCH
from calmix.reproduction.stated import FILE, read_stated
from calmix.reproduction.table import EXPERIMENTS


def pairs_of(folder: Path) -> list[dict[str, object]]:
    """A row a training of a search, with its ratio to plain training."""
    name, found = read_stated(folder).name, {}
    for path in (folder / SEARCH / "runs").glob("*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        method, _, trial = run["method"].rpartition(" ")
        validation = run["metrics"]["validation"]
        metric = "rmse" if "rmse" in validation else "nll"
        found[method, int(trial), run["seed"]] = run["repr"], metric, validation[metric]
    rows = []
    for (method, trial, seed), (text, metric, value) in sorted(found.items()):
        plain = found.get(("erm", trial, seed))
        if method != "erm" and plain is not None:
            options = {name: _number(name, text) for name in ("tau_max", "tau_std", "alpha", "eta", "until")}
            named = {"experiment": name, "method": method, "trial": trial, "seed": seed, **options, "metric": metric}
            rows.append({**named, "value": value, "over_plain": value / plain[2]})
    return rows


def _number(name: str, text: str) -> float | None:
    """An option in the text of a method; None where the method has none."""
    found = re.search(rf"\b{name}=([0-9.e+-]+)", text)
    return float(found[1]) if found else None


def means(pairs: pd.DataFrame) -> pd.DataFrame:
    """By domain, method and tau_max: the mean ratio, the share below 1, and of how many trainings and sets."""
    named = pairs.assign(
        domain=[EXPERIMENTS[name].make[0] for name in pairs["experiment"]],
        tau=[_band(tau) for tau in pairs["tau_max"]],
        ratio=np.log(pairs["over_plain"]),
        better=pairs["over_plain"] < 1,
    )
    found = named.groupby(["domain", "method", "tau"]).agg(
        ratio=("ratio", "mean"), better=("better", "mean"), trainings=("ratio", "size"), sets=("experiment", "nunique")
    )
    return found.assign(ratio=np.exp(found["ratio"])).round(3)


def _band(tau: float) -> str:
    """Within which powers of ten tau_max lies; nothing for a method without one.

    >>> _band(0.02), _band(0.0002), _band(4.0)
    ('0.01 to 0.1', 'below 0.001', '1 or more')
    """
    if np.isnan(tau):
        return ""
    if tau < 1e-3 or tau >= 1:
        return "below 0.001" if tau < 1 else "1 or more"
    low = 10.0 ** np.floor(np.log10(tau))
    return f"{low:g} to {10 * low:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pairs = pd.DataFrame([row for folder in asked.folders if (folder / FILE).exists() for row in pairs_of(folder)])
    asked.out.mkdir(parents=True, exist_ok=True)
    pairs.to_csv(asked.out / "trials.csv", index=False, float_format="%.6g")
    print(means(pairs).to_string())


if __name__ == "__main__":
    main()
