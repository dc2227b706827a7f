"""calmix reproduce: a paper's experiment."""

from pathlib import Path
from typing import TYPE_CHECKING

from calmix.cli.command import Command
from calmix.cli.groups import add_results, add_workers
from calmix.cli.objects import RUNS
from calmix.cli.screen import TRY_AGAIN, exit_where_missing, print_reading, progress
from calmix.errors import SettingError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    from calmix.reproduction.table import EXPERIMENTS, SCALES

    parser.add_argument("experiment", type=str, nargs="?", metavar="NAME", known=tuple(EXPERIMENTS), help="see --list")
    run = parser.add_argument_group("experiment")
    run.add_argument("--list", action="store_true", help="all experiments, their data, and how long they take")
    run.add_argument(
        "--scale",
        type=str,
        default="small",
        known=SCALES,
        help="smoke: a minute; small: as much as two cores allow; paper: as published (default: small)",
    )
    run.add_argument("--data-dir", type=Path, help="folder of its data (default: where CALMIX_DATA says)")
    run.add_argument(
        "--budget",
        type=float,
        metavar="TRAININGS",
        help="first search every method's options and training, each with an equal share of so many plain trainings "
        "(default: as published)",
    )
    add_workers(run)
    add_results(parser, f"{RUNS}/NAME-SCALE", resumes="reproduction")


def _run(arguments: list[str]) -> None:
    options = COMMAND.parser().parse_args(arguments)
    if options.list:
        return _experiments_list()
    if options.experiment is None:
        raise SettingError("no experiment was named; calmix reproduce --list shows all.")

    from calmix.engines import Processes
    from calmix.engines.asked import check_run_timeout
    from calmix.reproduction.named import experiment
    from calmix.reproduction.reproduced import carry_out
    from calmix.reproduction.table import EXPERIMENTS

    engine = Processes(options.workers)
    check_run_timeout(options.run_timeout)
    asked = experiment(options.experiment, options.scale, options.data_dir)
    print_reading(asked.comparison.data.splits(0).about, options.quiet)
    kind = options.scale if options.budget is None else f"{options.scale}-searched"
    out = options.out or RUNS / f"{options.experiment.replace('/', '-')}-{kind}"
    found = carry_out(
        options.experiment,
        options.scale,
        EXPERIMENTS[options.experiment],
        asked,
        out,
        options.resume,
        engine,
        ["calmix", "reproduce", *arguments],
        lambda runs, epochs, others: progress(runs, epochs, options, others),
        options.budget,
        options.run_timeout,
    )
    page = found.write(out)
    if not options.quiet:
        found.honest.print()
        found.print()
    print(f"report: {page}")
    exit_where_missing(found.failures, TRY_AGAIN)


def _experiments_list() -> None:
    from calmix.reproduction.table import EXPERIMENTS, SCALES, lasting

    for name, entry in EXPERIMENTS.items():
        times = ", ".join(f"{scale} {lasting(minutes)}" for scale, minutes in zip(SCALES, entry.minutes, strict=True))
        gpu = "" if entry.gpu_hours is None else f"; paper on a GPU {lasting(60 * entry.gpu_hours)}"
        print(f"{name}\n  {entry.stands_for}\n  data: {entry.data}\n  on one CPU core, about: {times}{gpu}")


COMMAND = Command(
    "reproduce",
    "a paper's experiment, and which of its claims hold",
    _run,
    {
        "all experiments": "calmix reproduce --list",
        "a minute of one of them": "calmix reproduce sk-mixup/two-moons --scale smoke",
        "on from where it was stopped": "calmix reproduce sk-mixup/two-moons --scale smoke --resume",
        "with searched options": "calmix reproduce sk-mixup/two-moons --scale smoke --budget 90 --out searched",
    },
    "NAME [--scale smoke|small|paper] [options]",
    _add_options,
)
