"""calmix evaluate: every metric of predictions of any model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from calmix.cli.checks import check_files
from calmix.cli.command import Command
from calmix.cli.groups import add_format, add_results
from calmix.cli.objects import default_out, format_of

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("predictions")
    given.add_argument(
        "predictions", type=Path, metavar="FILE", help=".npz or a table: probs and labels, or mean and targets"
    )
    given.add_argument(
        "--calibration", type=Path, metavar="FILE", help="predictions of other rows, to fit corrections (default: none)"
    )
    given.add_argument(
        "--ood",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="predictions of rows that are of no class (default: none)",
    )
    given.add_argument(
        "--human-labels", type=Path, metavar="FILE", help=".npy: how often people chose each class (default: none)"
    )
    given.add_argument("--logits", action="store_true", help="what the files call probabilities are logits")
    table = parser.add_argument_group("columns of a table")
    table.add_argument(
        "--prob-columns",
        nargs="+",
        type=str,
        default=[],
        metavar="COLUMN",
        help="the probabilities, a column a class (default: those called probs_CLASS)",
    )
    table.add_argument("--label-column", type=str, metavar="COLUMN", help="the true class (default: labels)")
    table.add_argument(
        "--positive",
        type=str,
        metavar="CLASS",
        help="of two classes: which P(y = 1) is said of (default: the second)",
    )
    add_format(parser.add_argument_group("how the tables are written"))
    add_results(parser, "calmix-runs/PREDICTIONS-evaluation").add_argument(
        "--bins", type=int, default=15, help="bins of calibration errors and reliability diagrams"
    )


def _run(arguments: list[str]) -> None:
    options = COMMAND.parser().parse_args(arguments)
    check_files([options.predictions, options.calibration, *options.ood, options.human_labels])

    from calmix.results.files import refuse_finished
    from calmix.studies.evaluation.columns import Columns
    from calmix.studies.evaluation.files import read_given
    from calmix.studies.evaluation.page import print_evaluation, write_evaluation
    from calmix.studies.evaluation.study import evaluate

    out = options.out or Path(f"{default_out(str(options.predictions))}-evaluation")
    refuse_finished(out, "give another --out")
    files = options.predictions, options.calibration, options.ood, options.human_labels
    columns = Columns(tuple(options.prob_columns), options.label_column, options.positive)
    given = read_given(*files, options.logits, columns, format_of(options))
    for notice in given.notices:
        print(notice, file=sys.stderr)
    evaluation = evaluate(given, bins=options.bins)
    page = write_evaluation(out, evaluation, ["calmix", "evaluate", *arguments])
    if not options.quiet:
        print_evaluation(evaluation)
    print(f"metrics: {out / 'metrics.json'}\nreport: {page}")


COMMAND = Command(
    "evaluate",
    "every metric and a report for predictions of any model",
    _run,
    {
        "predictions to evaluate": "calmix train wine --method erm --out mine",
        "every metric of them": "calmix evaluate mine/predictions/erm-seed0.npz",
        "fewer bins, in another folder": ("calmix evaluate mine/predictions/erm-seed0.npz --bins 10 --out ten-bins"),
    },
    "FILE [options]",
    _add_options,
)
