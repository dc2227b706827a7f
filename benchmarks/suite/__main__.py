"""CALMIX_DATA=data python -m benchmarks.suite [--half "held back"] [--stages default ...] [--sets ...] [--out FOLDER]

Trains what has not been trained, and prints the tables. OUT/SET.csv has a row a run, OUT/runs.csv has all of them, and
OUT/ranks-*.png are critical-difference diagrams.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.suite.methods import AUTO, FIXED
from benchmarks.suite.runs import STAGES, all_rows, carry_out_set
from benchmarks.suite.sets import HALVES
from benchmarks.suite.verdicts import PLAIN, choices, pictures, report
from calmix.results.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(description="Methods on many data sets.")
    parser.add_argument("--half", choices=HALVES, default="development")
    parser.add_argument("--sets", nargs="+", help="only these (default: all of the half)")
    parser.add_argument("--methods", nargs="+", default=[*FIXED, *AUTO])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=["default"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("calmix-runs/suite"))
    options = parser.parse_args()
    if PLAIN not in options.methods:
        parser.error(f"the tables compare with plain training; name {PLAIN} among --methods, too")
    sets = [of for of in HALVES[options.half] if options.sets is None or of.name in options.sets]
    for of in sets:
        carry_out_set(of, options.methods, options.seeds, options.stages, options.out, options.workers)
        print(of.name, flush=True)
    rows = pd.DataFrame(all_rows(options.out, sets))
    write_csv(options.out / "runs.csv", rows)
    if len(sets) > 1:
        print(*report(rows), *report(rows, details=True), "", *choices(rows), sep="\n")
        for name, picture in pictures(rows).items():
            (options.out / name).write_bytes(picture)


if __name__ == "__main__":
    main()
