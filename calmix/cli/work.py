"""calmix work: a part of a comparison's runs, on one of many machines."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.checks import check_output
from calmix.cli.command import Command
from calmix.cli.compare import COMMAND as COMPARE
from calmix.cli.compare import comparison_of, refused_early
from calmix.cli.groups import add_mixed, add_workers
from calmix.cli.screen import progress
from calmix.errors import DataError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser
    from calmix.results.jobs import Jobs
    from calmix.studies.comparison.study import Comparison


def _add_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("jobs")
    given.add_argument("folder", type=Path, metavar="DIR", help="where calmix compare --plan left its list of runs")
    given.add_argument(
        "--job", nargs="+", type=int, metavar="N", help="the runs of these numbers, from 1 (default: all that are left)"
    )
    given.add_argument(
        "--shard", type=str, metavar="K/N", help="every Nth run, from the Kth on, such as 3/20 (default: all)"
    )
    add_mixed(given)
    output = parser.add_argument_group("output")
    add_workers(output)
    output.add_argument("--quiet", action="store_true", help="print warnings and where results are, and nothing else")
    output.add_argument("--verbose", action="store_true", help="print a line an epoch, with its losses")


def _run(arguments: list[str]) -> None:
    from calmix.engines.asked import check_run_timeout
    from calmix.results.jobs import check_versions, read_jobs, versions

    options = COMMAND.parser().parse_args(arguments)
    check_run_timeout(options.run_timeout)
    check_output(options)
    out: Path = options.folder
    jobs = read_jobs(out)
    if jobs is None:
        raise DataError(f"{out} holds no jobs.json; make one with `calmix compare DATA --out {out} --plan`.")
    chosen = jobs.chosen(options.job, options.shard)
    if not options.allow_mixed:
        check_versions(jobs.versions, versions(), "this machine")
    planned, comparison, minutes = planned_of(jobs)

    from calmix.engines import Processes
    from calmix.studies.comparison.jobs import work

    engine, timeout = Processes(options.workers or planned.workers), options.run_timeout or planned.run_timeout
    with progress(len(chosen), comparison.settings.epochs, options) as tick:
        ended = work(comparison, jobs, chosen, out, engine, tick, minutes, planned.logger, timeout)
    for failure in ended.failures:
        print(f"calmix: {failure.method} with seed {failure.seed} failed: {failure.reason}", file=sys.stderr)
    counts = {"carried out": ended.here, "finished before": ended.before, "left to others": ended.elsewhere}
    print(f"runs in {out}: {', '.join(f'{len(runs)} {what}' for what, runs in counts.items())}")
    if ended.failures:
        sys.exit(1)


def planned_of(jobs: "Jobs") -> "tuple[Any, Comparison, float]":
    """The options of the command that made a list of jobs, its comparison, and the minutes between checkpoints."""
    options = COMPARE.parser().parse_args(list(jobs.command[2:]))
    asked, settings, minutes = refused_early(options)
    labels = jobs.methods  # of ALL those that fit
    comparison = comparison_of(options, asked, settings)
    fitting = {label: method for label, method in comparison.methods.items() if label in labels}
    return options, comparison.of_methods(fitting), minutes


COMMAND = Command(
    "work",
    "carry out a part of a comparison's runs, on one of many machines",
    _run,
    {
        "list the runs, and train nothing": ("calmix compare wine --methods erm mixup --seeds 3 --out grid --plan"),
        "the third of six runs": "calmix work grid --job 3",
        "half of them, two at a time": "calmix work grid --shard 1/2 --workers 2",
        "whatever is left": "calmix work grid",
        "the comparison, as far as it is": "calmix report grid",
    },
    "DIR [--job N ... | --shard K/N] [options]",
    _add_options,
)
