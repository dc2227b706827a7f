"""calmix tune: settings of methods and of their training, searched."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.checks import asked_methods, check_data, check_engine, check_output, refuse_torchrun
from calmix.cli.command import Command
from calmix.cli.groups import add_data, add_methods, add_results, add_scheduler, add_training, add_workers
from calmix.cli.objects import default_out, engine_of, model_of, settings_of, source_of
from calmix.cli.screen import describe, print_notices, progress
from calmix.cli.train import COMMAND as TRAIN

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser
    from calmix.studies.tuning.outcome import Outcome

# options that calmix train has, too, with another meaning or value
_NOT_FOR_TRAIN = ("epochs", "learning_rate", "weight_decay", "seed", "out", "resume", "quiet", "verbose", "config")


def _add_options(parser: "OptionParser") -> None:
    from calmix.methods.defaults import TUNED
    from calmix.studies.tuning.defaults import DEFAULT_BUDGET, DEFAULT_FRESH, SAMPLERS

    add_data(parser)
    group = parser.add_argument_group("search")
    add_methods(group, f"what to tune; the first, as it is, is to be beaten (default: {' '.join(TUNED)})")
    group.add_argument(
        "--budget",
        type=str,
        default=f"{DEFAULT_BUDGET:g}",
        metavar="N",
        help=f"plain trainings to search with, or minutes in all, such as 30min (default: {DEFAULT_BUDGET:g})",
    )
    group.add_argument(
        "--fresh-seeds",
        type=int,
        default=DEFAULT_FRESH,
        help=f"seeds that what is to be beaten, and what was chosen, are tested with (default: {DEFAULT_FRESH})",
    )
    group.add_argument(
        "--search",
        type=str,
        default=SAMPLERS[0],
        metavar="NAME",
        known=SAMPLERS,
        help=f"{SAMPLERS[0]} learns from eight trials on, {SAMPLERS[1]} does not (default: {SAMPLERS[0]})",
    )
    group.add_argument("--seed", type=int, default=0, help="draws the test rows and the settings that are tried")
    add_training(parser)
    results = add_results(parser, "calmix-runs/DATA-tuned", "search")
    add_workers(results, "trainings")
    add_scheduler(results)


def _run(arguments: list[str]) -> None:
    from calmix.methods.defaults import TUNED, tuned
    from calmix.studies.tuning.defaults import DEFAULT_BUDGET, check_search, read_budget

    refuse_torchrun("tune")
    options = COMMAND.parser().parse_args(arguments)
    amount, of_minutes = read_budget(options.budget)
    check_search(options.search, options.fresh_seeds)
    asked_methods(options.methods or TUNED, [])
    settings = settings_of(options)
    check_engine(options)
    check_output(options)
    check_data(options)

    from calmix.studies.tuning.families import family_of
    from calmix.studies.tuning.rows import OneTest
    from calmix.studies.tuning.study import Tuning, carry_out_tuning, in_minutes

    source = source_of(options)
    if options.describe:
        return describe(source, options.seed)
    data = OneTest(source, options.seed)
    regression = data.splits(0).about.task == "regression"
    tuning = Tuning(
        data,
        tuple(family_of(text.strip(), regression) for text in options.methods or tuned(regression)),
        model_of(options),
        settings,
        DEFAULT_BUDGET if of_minutes else amount,
        options.fresh_seeds,
        options.seed,
        options.search == "tpe",
    )
    print_notices(data, options)
    tuning.check()
    engine, out = engine_of(options), options.out or Path(f"{default_out(options.data)}-tuned")
    if of_minutes:
        tuning = in_minutes(tuning, amount, out, options.resume, options.workers)
    command, train = ["calmix", "tune", *arguments], ["calmix", "train", *_train_arguments(options)]
    with progress(tuning.trainings, settings.epochs, options) as tick:
        found = carry_out_tuning(tuning, out, options.resume, engine, command, train, tick, options.run_timeout)
    show_search(found.outcome, out, options.quiet)


def show_search(outcome: "Outcome", out: Path, quiet: bool) -> None:
    """Write and print what a search found, and how the winner is trained."""
    from calmix.studies.tuning.page import print_tuning, write_tuning

    page = write_tuning(out, outcome)
    if not quiet:
        print_tuning(outcome)
        python = "\n".join(f"  {line}" for line in outcome.python)
        command = shlex.join(outcome.train_command)
        way = f"with\n\n  {command}\n\nor in Python" if command else "in Python"
        print(f"\ntrain it {way}\n\n{python}\n")
    print(f"report: {page}")


def _train_arguments(options: Any) -> list[str]:
    """What was said of the data, the network and the training, for a command that trains on the same."""
    parser = TRAIN.parser()
    words = [options.data]
    for action in parser._actions:
        value = options.get(action.dest)
        if not action.option_strings or action.dest in _NOT_FOR_TRAIN or value in (None, action.default, False, []):
            continue
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            words += map(str, value if isinstance(value, list) else [value])
    return words


COMMAND = Command(
    "tune",
    "search the settings of methods and of their training, honestly",
    _run,
    {
        "three methods with a small budget, in a minute or two": "calmix tune wine --budget 20",
        "plain training and RegMixup on handwritten digits": (
            "calmix tune digits --methods erm regmixup --budget 30 --epochs 10"
        ),
        "three minutes, with a wider network": "calmix tune diabetes --budget 3min --model 'mlp(width=512)'",
    },
    "DATA [--target COLUMN] [options]",
    _add_options,
)
