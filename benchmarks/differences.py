"""What the results.csv of a comparison says, as tables for a document.

python -m benchmarks.differences results.csv --reference mixup --columns accuracy ece nll refreshed_accuracy
python -m benchmarks.differences results.csv --pairs "sk_mixup(remember=True)" sk_mixup --columns accuracy ece nll
python -m benchmarks.differences results.csv --changes refreshed_accuracy accuracy refreshed_ece ece
"""

import argparse
from pathlib import Path

import pandas as pd

from calmix.results.statistics import Interval, interval, paired_difference

PERCENT = ("accuracy", "ece")  # columns whose names end so are fractions; shown in per cent, differences in points


def main() -> None:
    """Print the table that the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the results.csv of a comparison")
    parser.add_argument("--columns", nargs="+", default=["accuracy", "ece", "nll"])
    parser.add_argument("--reference", help="means, and differences from this method, paired by seed")
    parser.add_argument("--pairs", nargs="+", default=[], help="differences of each first method from each second")
    parser.add_argument("--changes", nargs="+", default=[], help="each first column minus each second, by method")
    options = parser.parse_args()
    runs = pd.read_csv(options.results).set_index(["method", "seed"])
    methods = list(runs.index.unique("method"))
    if options.changes:
        pairs = list(zip(options.changes[::2], options.changes[1::2], strict=True))
        rows = [[f"`{method}`", *(_change(runs, method, *pair) for pair in pairs)] for method in methods]
        _show(["method", *(f"{_title(a)} − {_title(b)}" for a, b in pairs)], rows)
        return
    if options.pairs:
        pairs = list(zip(options.pairs[::2], options.pairs[1::2], strict=True))
        rows = [[f"`{a}` − `{b}`", *(_difference(runs, a, b, name) for name in options.columns)] for a, b in pairs]
        _show(["", *map(_title, options.columns)], rows)
        return
    rows = [[f"`{method}`", *(_mean(runs, method, name) for name in options.columns)] for method in methods]
    _show(["method", *map(_title, options.columns)], rows)
    if options.reference:
        print(f"\nDifferences from `{options.reference}`, paired by seed:\n")
        rows = [
            [f"`{method}`", *(_difference(runs, method, options.reference, name) for name in options.columns)]
            for method in methods
            if method != options.reference
        ]
        _show(["method", *map(_title, options.columns)], rows)


def _values(runs: pd.DataFrame, method: str, name: str) -> list[float]:
    """A value for each seed, in the order of the seeds."""
    return list(runs.loc[method, name].sort_index() * (100 if name.endswith(PERCENT) else 1))


def _mean(runs: pd.DataFrame, method: str, name: str) -> str:
    found, digits = interval(_values(runs, method, name)), _digits(name)
    return f"{found.mean:.{digits}f} ± {found.half_width:.{digits}f}"


def _difference(runs: pd.DataFrame, method: str, reference: str, name: str) -> str:
    return _signed(paired_difference(_values(runs, method, name), _values(runs, reference, name)), name)


def _change(runs: pd.DataFrame, method: str, name: str, other: str) -> str:
    return _signed(paired_difference(_values(runs, method, name), _values(runs, method, other)), name)


def _signed(found: Interval, name: str) -> str:
    """The difference, bold where its interval excludes zero."""
    digits = 2 if name.endswith(PERCENT) else 3
    mean, low, high = (f"{value:+.{digits}f}".replace("-", "−") for value in (found.mean, found.low, found.high))
    text = f"{mean} [{low}, {high}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def _digits(name: str) -> int:
    return 1 if name.endswith("accuracy") else 2 if name.endswith("ece") or "cost" in name else 3


def _title(name: str) -> str:
    words = name.replace("_", " ").replace("ece", "ECE").replace("nll", "NLL")
    return f"{words}, %" if name.endswith(PERCENT) else words


def _show(header: list[str], rows: list[list[str]]) -> None:
    for line in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
