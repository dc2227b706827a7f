"""calmix report: a report drawn again, or ranks over several comparisons."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.command import Command
from calmix.cli.compare import show
from calmix.cli.groups import add_method, add_results
from calmix.cli.objects import RUNS
from calmix.cli.tune import show_search
from calmix.cli.work import planned_of
from calmix.errors import SettingError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser
    from calmix.results.jobs import Jobs


def _add_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("folders")
    given.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="what compare, tune or diagnose wrote; of several comparisons: ranks over their data",
    )
    add_method(given, "--reference", "of one comparison: compare the others to this method (default: as it was)")
    add_results(parser, "calmix-runs/ranks", what="ranks over several comparisons")


def _run(arguments: list[str]) -> None:
    from calmix.results.asked import finished_runs, results_path
    from calmix.results.jobs import read_jobs
    from calmix.studies.tuning.begun import refuse_unfinished

    options = COMMAND.parser().parse_args(arguments)
    if len(options.folders) > 1:
        _ranks(options.folders, options.reference, options.out or RUNS / "ranks", arguments, options.quiet)
        return
    if options.out is not None:
        raise SettingError("--out is where ranks over several folders go; one folder's report is written in it.")
    [folder] = options.folders
    refuse_unfinished(folder)
    if (folder / "tuning.json").exists():
        return _report_search(folder, options)
    if (jobs := read_jobs(folder)) is not None and finished_runs(folder) < len(jobs.jobs):
        return _gather(folder, jobs, options)
    results_path(folder)

    from calmix.reproduction.stated import FILE
    from calmix.results.files import hold_folder
    from calmix.results.store import write_results
    from calmix.studies.comparison.compared import read_comparison

    if (folder / "diagnosis.json").exists():
        from calmix.studies.diagnosis.page import write_diagnosis

        if options.reference is not None:
            raise SettingError("--reference is for the report of a comparison, and this is a diagnosis: leave it out.")
        print(f"report: {write_diagnosis(folder)}")
        return
    with hold_folder(folder):
        if (folder / FILE).exists():
            from calmix.reproduction.reproduced import read_reproduced

            reproduced = read_reproduced(folder, options.reference)
            found, page = reproduced.honest, reproduced.write(folder)
        else:
            reproduced, found = None, read_comparison(folder, options.reference)
            page = found.write_report(folder)
        if options.reference is not None:
            write_results(folder, found.results)  # it stays the reference
    if not options.quiet:
        found.print()
        if reproduced is not None:
            reproduced.print()
    print(f"report: {page}")


def _report_search(folder: Path, options: Any) -> None:
    if options.reference is not None:
        raise SettingError("--reference is for the report of a comparison, and this is a search: leave it out.")

    from calmix.results.files import hold_folder
    from calmix.studies.tuning.outcome import read_outcome

    with hold_folder(folder):
        show_search(read_outcome(folder), folder, options.quiet)


def _gather(folder: Path, jobs: "Jobs", options: Any) -> None:
    """The report of a comparison that machines have carried out, or begun to."""
    planned, comparison, _ = planned_of(jobs)

    from dataclasses import replace

    from calmix.studies.comparison.jobs import gather

    comparison = replace(comparison, reference=options.reference or planned.reference)
    found = gather(comparison, jobs, folder)
    show(found, folder, options.quiet, f"calmix work {shlex.quote(str(folder))} carries out what is left")


def _ranks(folders: list[Path], reference: str | None, out: Path, arguments: list[str], quiet: bool) -> None:
    from calmix.studies.ranking.page import print_ranks, write_ranks
    from calmix.studies.ranking.study import read_ranking

    if reference is not None:
        raise SettingError("--reference is for the report of one folder; ranks compare every method with every other.")
    ranking = read_ranking(folders)
    page = write_ranks(out, ranking, ["calmix", "report", *arguments])
    if not quiet:
        print_ranks(ranking)
    print(f"report: {page}")


COMMAND = Command(
    "report",
    "draw a report again, or rank methods over several comparisons",
    _run,
    {
        "a comparison": "calmix compare wine --methods erm mixup --out first",
        "another one, on other data": "calmix compare breast_cancer --methods erm mixup --out second",
        "draw a report again, and compare to plain training": "calmix report first --reference erm",
        "rank the methods over both data sets": "calmix report first second",
    },
    "DIR [DIR ...] [options]",
    _add_options,
)
