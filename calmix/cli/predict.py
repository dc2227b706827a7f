"""calmix predict: what a trained network says of new rows."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from calmix.cli.checks import check_files
from calmix.cli.command import Command
from calmix.cli.groups import add_format, add_labels, add_model
from calmix.cli.objects import format_of, model_of
from calmix.errors import DataError, SettingError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("network and rows")
    given.add_argument("network", type=Path, metavar="DIR", help="the folder that calmix train left")
    given.add_argument("data", type=Path, metavar="ROWS", help="new data of the kind that it was trained on")
    add_model(given, "as trained, if it is calmix's")
    add_labels(given, "as far as the data show them")
    add_format(parser.add_argument_group("how the table is written"))
    results = parser.add_argument_group("output")
    results.add_argument("--alpha", type=float, default=0.1, help="how often a set or an interval may miss the truth")
    results.add_argument(
        "--out", type=Path, metavar="FILE", help=".csv or .parquet file (default: ROWS-predictions.csv)"
    )


def _run(arguments: list[str]) -> None:
    options = COMMAND.parser().parse_args(arguments)
    out = options.out or Path(f"{options.data.resolve().name.split('.')[0]}-predictions.csv")
    if out.suffix not in (".csv", ".parquet"):
        raise SettingError(f"--out is {out}; give a file that ends in .csv or .parquet.")
    if out.resolve() == options.data.resolve():
        raise SettingError(f"--out is {out}, the table that is read; give another file.")

    if not options.data.exists():
        raise DataError(f"file not found: {options.data}; give the rows to predict, as they were given in training.")

    check_files([options.labels])

    from calmix.data.labelled_files import only_listed
    from calmix.results.files import write_csv, write_parquet
    from calmix.train.saved import load, prediction_table

    predictor = load(options.network, model_of(options))
    rows = predictor.encoding.read(options.data, format_of(options))
    if options.labels is None:
        rows = rows.tested(str(options.data))
    else:
        rows = only_listed(rows, options.labels, predictor.saved.task == "regression")
    found = prediction_table(predictor, rows, options.alpha)
    for notice in rows.notices:
        print(notice, file=sys.stderr)
    (write_csv if out.suffix == ".csv" else write_parquet)(out, found)
    print(f"predictions: {out}")


COMMAND = Command(
    "predict",
    "what a trained network says of new rows: probabilities, sets, intervals",
    _run,
    {
        "a network for a table of yours": "calmix train flights.csv --target late --out late",
        "what it says of new rows": "calmix predict late tomorrow.csv",
        "sets that miss one row in twenty": "calmix predict late tomorrow.csv --alpha 0.05 --out said.parquet",
        "a network for images in folders of their classes": "calmix train photos --image-size 64 --out net",
        "what it says of new images, in folders or not": "calmix predict net new_images --out said.csv",
    },
    "DIR ROWS [options]",
    _add_options,
)
