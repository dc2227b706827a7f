"""calmix compare: methods side by side, with error bars."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.checks import (
    asked_methods,
    check_data,
    check_engine,
    check_loggers,
    check_output,
    minutes_of,
    refuse_torchrun,
)
from calmix.cli.command import Command
from calmix.cli.groups import (
    add_data,
    add_method,
    add_methods,
    add_results,
    add_robustness,
    add_scheduler,
    add_set,
    add_training,
    add_workers,
)
from calmix.cli.objects import (
    default_out,
    engine_of,
    methods_of,
    model_of,
    robustness_of,
    settings_of,
    source_of,
)
from calmix.cli.screen import TRY_AGAIN, describe, exit_where_missing, print_notices, progress

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser
    from calmix.studies.comparison.compared import Compared
    from calmix.studies.comparison.study import Comparison
    from calmix.train import TrainingSettings

_TIMES = {1: "once", 2: "twice", 3: "three times"}


def _add_options(parser: "OptionParser") -> None:
    from calmix.methods.defaults import COMPARED
    from calmix.studies.comparison.defaults import DEFAULT_FOLDS, DEFAULT_REPEATS, DEFAULT_SEEDS
    from calmix.studies.comparison.defaults import FEW_TEST_ROWS as FEW

    add_data(parser)
    comparison = parser.add_argument_group("comparison")
    add_methods(comparison, f"what to compare, or ALL (default: {' '.join(COMPARED)})", more=("ALL",))
    add_set(comparison)
    folds = f"{DEFAULT_FOLDS} folds {_TIMES[DEFAULT_REPEATS]} where the test split is small"
    comparison.add_argument(
        "--seeds", type=int, help=f"runs of each method (default: {DEFAULT_SEEDS} seeds, or {folds})"
    )
    comparison.add_argument(
        "--folds",
        type=int,
        help=f"instead of seeds, test every row in so many folds (default: {DEFAULT_FOLDS} for under {FEW} test rows)",
    )
    comparison.add_argument(
        "--repeats", type=int, help=f"how often the rows are cut into folds (default: {_TIMES[DEFAULT_REPEATS]})"
    )
    add_method(
        comparison, "--reference", "compare the others to this one (default: mixup, or erm where mixup is missing)"
    )
    add_training(parser)
    add_robustness(parser)
    results = add_results(parser, "calmix-runs/DATA", "comparison")
    add_workers(results)
    add_scheduler(results)
    results.add_argument("--plan", action="store_true", help="list the runs for calmix work, and train nothing")


def _run(arguments: list[str]) -> None:
    refuse_torchrun("compare")
    options = COMMAND.parser().parse_args(arguments)
    asked, settings, minutes = refused_early(options)

    from calmix.data.sources import folds_of
    from calmix.studies.comparison.study import FEW_TEST_ROWS, carry_out_comparison

    if options.describe:
        return describe(source_of(options))
    engine, comparison = engine_of(options), comparison_of(options, asked, settings)
    print_notices(comparison.data, options)
    if folds_of(comparison.data) and options.folds is None:
        few = f"a test split of its own would have fewer than {FEW_TEST_ROWS} rows"
        folds = f"every row is tested, in {comparison.seeds} folds; --seeds 5 takes seeds instead"
        print(f"{few}: {folds}.", file=sys.stderr)
    if "ALL" in (options.methods or ()):
        comparison, reasons = comparison.without_misfits()
        for label, reason in reasons.items():
            print(f"{label} is left out: {reason}", file=sys.stderr)
    out = options.out or default_out(options.data)
    command = ["calmix", "compare", *arguments]
    if options.plan:
        return _plan(comparison, out, options, command)
    with progress(len(comparison.recipes), comparison.settings.epochs, options) as tick:
        found = carry_out_comparison(
            comparison, out, options.resume, engine, command, tick, minutes, options.logger, options.run_timeout
        )
    show(found, out, options.quiet, TRY_AGAIN)


def refused_early(options: Any) -> "tuple[dict[str, dict[str, str]], TrainingSettings, float]":
    """The methods, settings and minutes of a comparison, once all is checked that needs no PyTorch."""
    from calmix.methods.defaults import COMPARED

    asked = asked_methods(options.methods or COMPARED, options.set)
    settings, minutes = settings_of(options), minutes_of(options)
    check_engine(options)
    check_output(options)
    check_loggers(options)
    check_data(options)
    return asked, settings, minutes


def comparison_of(options: Any, asked: Mapping[str, Mapping[str, str]], settings: "TrainingSettings") -> "Comparison":
    from calmix.studies.comparison.study import Comparison, default_methods, plan

    source = source_of(options)
    if options.methods is None:
        asked = asked_methods(default_methods(source), options.set)
    model, robustness = model_of(options), robustness_of(options)
    data, seeds = plan(source, options.seeds, options.folds, options.repeats)
    return Comparison(data, methods_of(asked), model, settings, seeds, options.reference, robustness)


def _plan(comparison: "Comparison", out: Path, options: Any, command: list[str]) -> None:
    from calmix.report.sentences import counted
    from calmix.studies.comparison.jobs import plan_jobs

    jobs = plan_jobs(comparison, out, options.resume, command)
    if not options.quiet:
        folder = shlex.quote(str(out))
        runs = counted(len(jobs.jobs), "run")
        print(f"{runs}; on each machine: calmix work {folder}  (or with --job 1, or --shard 1/20)")
        print(f"in the end: calmix report {folder}")
    print(f"plan: {out / 'jobs.json'}")


def show(found: "Compared", out: Path, quiet: bool, remedy: str) -> None:
    """Write and print a comparison, and exit with 1 where runs are missing."""
    page = found.write_report(out)
    if not quiet:
        found.print()
    print(f"report: {page}")
    exit_where_missing(found.results.failures, remedy)


COMMAND = Command(
    "compare",
    "the main job: methods side by side, with error bars",
    _run,
    {
        "six methods and five seeds on 1,797 handwritten digits": "calmix compare digits",
        "two methods on a small table, in 5 folds": ("calmix compare wine --methods erm mixup --folds 5 --epochs 10"),
        "one method with two settings": ("calmix compare two_moons --methods erm sk_mixup 'sk_mixup(tau_max=0.3)'"),
    },
    "DATA [--target COLUMN] [options]",
    _add_options,
)
