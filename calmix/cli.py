"""The command: strings become objects here, and nowhere else; then one function is called, and its result is printed.

Nothing heavier than argparse is imported before a command is known, and a command imports what it needs.
"""

import argparse
import gc
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from calmix.errors import CalmixError, DataError, SettingError, UnknownNameError, not_installed
from calmix.listing import first_lines, names_in

if TYPE_CHECKING:
    from jsonargparse._core import ArgumentGroup

    from calmix.core.method import Method, Scheduled
    from calmix.data import About, DataSource, TableFormat
    from calmix.engines import Engine, Tick
    from calmix.models import ModelFactory
    from calmix.options import OptionParser
    from calmix.results.jobs import Jobs
    from calmix.results.records import Failure
    from calmix.studies.comparison.compared import Compared
    from calmix.studies.comparison.study import Comparison
    from calmix.studies.tuning.outcome import Outcome
    from calmix.train import Robustness, TrainingSettings

RUNS = Path("calmix-runs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit.

    0: done. 1: done, but some runs failed. 2: bad input, said in one sentence on stderr. 70: a fault of calmix itself;
    CALMIX_TRACEBACK=1 shows where. 130 and 143: stopped, by hand or by SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ["MPLBACKEND"] = "agg"  # figures are files
    gc.set_threshold(50_000, 20, 20)  # libraries and results are made of many small things that stay
    for name in ("stdout", "stderr"):  # where they were closed, or cannot show every character
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _heed_sigterm()
        _check_text(arguments)
        chosen = _top_parser().parse_args(arguments)
        if chosen.print_completion is not None:
            return _print_completion(chosen.print_completion)
        if chosen.command is None:
            raise SettingError(f"no command was given; name one: {', '.join(COMMANDS)} (see: calmix --help).")
        if chosen.command not in COMMANDS:
            raise UnknownNameError("command", chosen.command, COMMANDS)
        if chosen.command not in ("methods", "models", "datasets"):
            _check_memory()
        COMMANDS[chosen.command].run(chosen.rest)
        sys.stdout.flush()  # a disk that is full says so here
    except CalmixError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        _give_up_stdout()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that went away
        if error.filename is None:
            _give_up_stdout()
        _fail(f"{error.filename or 'stdout'}: {error.strerror or error}.")
    except MemoryError:
        _fail(_NO_MEMORY)
    except ImportError as error:
        _fail(f"{error.name or 'a library'} cannot be loaded ({' '.join(str(error).split())[:300]}).")
    except KeyboardInterrupt:
        _stopped("by hand", 130)
    except _Terminated:
        _stopped("by SIGTERM", 143)
    except Exception as error:
        if "can't allocate memory" in str(error):  # as torch says it
            _fail(_NO_MEMORY)
        if os.environ.get("CALMIX_TRACEBACK"):
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"calmix: a fault of calmix, please report it ({said}); CALMIX_TRACEBACK=1 shows where.", file=sys.stderr)
        raise SystemExit(70) from error


_TRY_AGAIN = "--resume tries those that failed again"
_LEAST_MEMORY = 1_200_000_000  # bytes of addresses
_NO_MEMORY = "there is not enough memory; take fewer rows or a smaller network, or raise the limit (ulimit -v)."


class _Terminated(BaseException):
    """The process was told to end."""


def _heed_sigterm() -> None:
    def terminate(number: int, frame: object) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is threading.main_thread():  # others may not
        signal.signal(signal.SIGTERM, terminate)


def _stopped(how: str, code: int) -> NoReturn:
    kept = (
        "what was done is kept, and a comparison, a training, a search or a diagnosis goes on from there with --resume"
    )
    print(f"calmix: stopped {how}; {kept}.", file=sys.stderr)
    sys.exit(code)


def _give_up_stdout() -> None:
    """Write to nowhere from now on, as stdout takes nothing any more."""
    with suppress(OSError):  # of a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_text(arguments: Sequence[str]) -> None:
    """Raise SettingError where a name is not UTF-8, as no report could say it."""
    for text in (*arguments, os.environ.get("CALMIX_DATA", "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SettingError(f"{text!r} is not UTF-8 text; rename the file or folder.") from None


def _check_memory() -> None:
    """Raise SettingError where PyTorch's libraries, which end a process that lacks memory, cannot be loaded at all."""
    with suppress(ImportError):  # Windows has no such limit
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if 0 < limit < _LEAST_MEMORY:
            raise SettingError(
                f"the limit of {limit // 10**6} MB of memory is too low for PyTorch; allow {_LEAST_MEMORY // 10**6} MB "
                "or more (ulimit -v)."
            )


def _fail(message: str) -> NoReturn:
    print(f"calmix: {message}", file=sys.stderr)
    sys.exit(2)


class _TopParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(f"{message} (see: calmix --help)")


def _top_parser() -> argparse.ArgumentParser:
    from calmix import __version__
    from calmix.completion import SHELLS

    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    parser = _TopParser(
        prog="calmix",
        description="Calibrated mixup: accuracy, and probabilities that mean what they say.",
        epilog=f"commands:\n{listed}\n\ncalmix COMMAND --help tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="calmix [-h] [--version] [--print-completion SHELL] COMMAND ...",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"calmix {__version__}", help="print the version")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help="print the completion for bash, zsh or fish",
    )
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="what to do, see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _parser(name: str) -> "OptionParser":
    """A command's parser, with its options."""
    try:
        from calmix.options import OptionParser
    except ModuleNotFoundError as error:
        advice = not_installed("the command", error, "train")
        if advice is error:
            raise
        _fail(str(advice))

    command = COMMANDS[name]
    parser = OptionParser(name, command.summary, command.usage, command.epilog, _fail)
    command.add_options(parser)
    return parser


def _print_completion(shell: str) -> None:
    from calmix.completion import completion

    parsers = {name: _parser(name) for name in COMMANDS}
    print(completion(shell, _top_parser(), parsers))


# ---------------------------------------------------------------------------------------------- commands


class Command:
    """A command.

    summary: for the list. run: carries it out, given its arguments as text. usage: what follows its name.
    add_options: adds its options to a parser. examples: what each does, and the line to type.
    """

    def __init__(
        self,
        summary: str,
        run: Callable[[list[str]], None],
        examples: Mapping[str, str],
        usage: str = "",
        add_options: "Callable[[OptionParser], None]" = lambda parser: None,
    ) -> None:
        self.summary = summary
        self.run = run
        self.examples = examples
        self.usage = usage
        self.add_options = add_options

    @property
    def epilog(self) -> str:
        """The examples as they stand at the end of the command's page."""
        return "examples:\n" + "\n".join(f"  # {what}\n  {line}" for what, line in self.examples.items())


def _compare_options(parser: "OptionParser") -> None:
    from calmix.methods.defaults import COMPARED
    from calmix.studies.comparison.defaults import DEFAULT_FOLDS, DEFAULT_REPEATS, DEFAULT_SEEDS
    from calmix.studies.comparison.defaults import FEW_TEST_ROWS as FEW

    _add_data(parser)
    comparison = parser.add_argument_group("comparison")
    comparison.add_argument(
        "--methods",
        nargs="+",
        type=str,
        metavar="METHOD",
        known=("ALL", *_known_methods()),
        help=f"what to compare, or ALL (default: {' '.join(COMPARED)})",
    )
    _add_set(comparison)
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
    comparison.add_argument(
        "--reference",
        type=str,
        metavar="METHOD",
        known=_known_methods(),
        help="compare the others to this one (default: mixup, or erm where mixup is missing)",
    )
    _add_training(parser)
    _add_robustness(parser)
    results = _add_results(parser, "calmix-runs/DATA", "comparison")
    _add_workers(results)
    _add_scheduler(results)
    results.add_argument("--plan", action="store_true", help="list the runs for calmix work, and train nothing")


def _compare(arguments: list[str]) -> None:
    _refuse_torchrun("compare")
    options = _parser("compare").parse_args(arguments)
    asked, settings, minutes = _refused_early(options)

    from calmix.data.sources import folds_of
    from calmix.studies.comparison.study import FEW_TEST_ROWS, carry_out_comparison

    if options.describe:
        return _describe(_source(options))
    engine, comparison = _engine(options), _comparison(options, asked, settings)
    _print_notices(comparison.data, options)
    if folds_of(comparison.data) and options.folds is None:
        few = f"a test split of its own would have fewer than {FEW_TEST_ROWS} rows"
        folds = f"every row is tested, in {comparison.seeds} folds; --seeds 5 takes seeds instead"
        print(f"{few}: {folds}.", file=sys.stderr)
    if "ALL" in (options.methods or ()):
        comparison, reasons = comparison.without_misfits()
        for label, reason in reasons.items():
            print(f"{label} is left out: {reason}", file=sys.stderr)
    out = options.out or _default_out(options.data)
    command = ["calmix", "compare", *arguments]
    if options.plan:
        return _plan(comparison, out, options, command)
    with _progress(len(comparison.recipes), comparison.settings.epochs, options) as tick:
        found = carry_out_comparison(
            comparison, out, options.resume, engine, command, tick, minutes, options.logger, options.run_timeout
        )
    _show(found, out, options.quiet, _TRY_AGAIN)


def _refused_early(options: Any) -> "tuple[dict[str, dict[str, str]], TrainingSettings, float]":
    """The methods, settings and minutes of a comparison, once all is checked that needs no PyTorch."""
    from calmix.methods.defaults import COMPARED

    asked = _asked_methods(options.methods or COMPARED, options.set)
    settings, minutes = _settings(options), _minutes(options)
    _check_engine(options)
    _check_output(options)
    _check_loggers(options)
    _check_data(options)
    return asked, settings, minutes


def _comparison(options: Any, asked: Mapping[str, Mapping[str, str]], settings: "TrainingSettings") -> "Comparison":
    from calmix.methods.defaults import compared
    from calmix.studies.comparison.study import Comparison, plan

    source = _source(options)
    if options.methods is None:
        asked = _asked_methods(compared(*_kind(source)), options.set)
    model, robustness = _model(options), _robustness(options)
    data, seeds = plan(source, options.seeds, options.folds, options.repeats)
    return Comparison(data, _methods(asked), model, settings, seeds, options.reference, robustness)


def _kind(source: "DataSource", seed: int = 0) -> tuple[bool, bool]:
    """Whether values are to be predicted, and whether there are validation rows: what default methods depend on."""
    splits = source.splits(seed)
    return splits.about.task == "regression", len(splits.validation) > 0


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


def _show(found: "Compared", out: Path, quiet: bool, remedy: str) -> None:
    """Write and print a comparison, and exit with 1 where runs are missing."""
    page = found.write_report(out)
    if not quiet:
        found.print()
    print(f"report: {page}")
    _exit_where_missing(found.results.failures, remedy)


def _exit_where_missing(failures: "Sequence[Failure]", remedy: str) -> None:
    """Exit with 1 where runs failed, or are somebody else's."""
    if failures:
        count = len(failures)
        print(f"calmix: {count} {'run is' if count == 1 else 'runs are'} missing; {remedy}.", file=sys.stderr)
        sys.exit(1)


def _work_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("jobs")
    given.add_argument("folder", type=Path, metavar="DIR", help="where calmix compare --plan left its list of runs")
    given.add_argument(
        "--job", nargs="+", type=int, metavar="N", help="the runs of these numbers, from 1 (default: all that are left)"
    )
    given.add_argument(
        "--shard", type=str, metavar="K/N", help="every Nth run, from the Kth on, such as 3/20 (default: all)"
    )
    _add_mixed(given)
    output = parser.add_argument_group("output")
    _add_workers(output)
    output.add_argument("--quiet", action="store_true", help="print warnings and where results are, and nothing else")
    output.add_argument("--verbose", action="store_true", help="print a line an epoch, with its losses")


def _work(arguments: list[str]) -> None:
    from calmix.engines.asked import check_run_timeout
    from calmix.results.jobs import check_versions, read_jobs, versions

    options = _parser("work").parse_args(arguments)
    check_run_timeout(options.run_timeout)
    _check_output(options)
    out: Path = options.folder
    jobs = read_jobs(out)
    if jobs is None:
        raise DataError(f"{out} holds no jobs.json; make one with `calmix compare DATA --out {out} --plan`.")
    chosen = jobs.chosen(options.job, options.shard)
    if not options.allow_mixed:
        check_versions(jobs.versions, versions(), "this machine")
    planned, comparison, minutes = _planned(jobs)

    from calmix.engines import Processes
    from calmix.studies.comparison.jobs import work

    engine, timeout = Processes(options.workers or planned.workers), options.run_timeout or planned.run_timeout
    with _progress(len(chosen), comparison.settings.epochs, options) as tick:
        ended = work(comparison, jobs, chosen, out, engine, tick, minutes, planned.logger, timeout)
    for failure in ended.failures:
        print(f"calmix: {failure.method} with seed {failure.seed} failed: {failure.reason}", file=sys.stderr)
    counts = {"carried out": ended.here, "finished before": ended.before, "left to others": ended.elsewhere}
    print(f"runs in {out}: {', '.join(f'{len(runs)} {what}' for what, runs in counts.items())}")
    if ended.failures:
        sys.exit(1)


def _planned(jobs: "Jobs") -> "tuple[Any, Comparison, float]":
    """The options of the command that made a list of jobs, its comparison, and the minutes between checkpoints."""
    options = _parser("compare").parse_args(list(jobs.command[2:]))
    asked, settings, minutes = _refused_early(options)
    labels = jobs.methods  # of ALL those that fit
    comparison = _comparison(options, asked, settings)
    fitting = {label: method for label, method in comparison.methods.items() if label in labels}
    return options, comparison.of_methods(fitting), minutes


def _train_options(parser: "OptionParser") -> None:
    _add_data(parser)
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method",
        type=str,
        metavar="METHOD",
        known=_known_methods(),
        help="how to mix (default: auto; erm for numbers to predict; sk_mixup with --all-data)",
    )
    _add_set(method)
    method.add_argument("--seed", type=int, default=0, help="draws the splits, the first weights and the mixes")
    method.add_argument("--all-data", action="store_true", help="train on the validation rows, too, in the end")
    _add_training(parser)
    _add_robustness(parser)
    _add_results(parser, "calmix-runs/DATA-METHOD-seedN", "run")


def _train(arguments: list[str]) -> None:
    from calmix.methods.defaults import TRAINED, trained

    options = _parser("train").parse_args(arguments)
    asked = _asked_methods([options.method or TRAINED], options.set)
    settings, minutes = _settings(options), _minutes(options)
    own_rank = _rank_of_torchrun(settings.devices)
    _check_output(options)
    _check_loggers(options)
    _check_all_data(options)
    _check_data(options)

    from calmix.data import AllData
    from calmix.methods.asked import method_name
    from calmix.studies.comparison.kept import train_along, train_and_keep
    from calmix.train import Recipe
    from calmix.train.recipe import check_seed

    if options.describe:
        return _describe(_source(options), options.seed)
    check_seed(options.seed)
    source = AllData(_source(options)) if options.all_data else _source(options)
    if options.method is None:
        asked = _asked_methods([trained(*_kind(source, options.seed))], options.set)
    methods = _methods(asked)
    if len(methods) > 1:
        raise SettingError(f"train trains one method; got {options.method!r}: name one, or use calmix compare.")
    [(label, method)] = methods.items()
    given = options.seed, _robustness(options)
    recipe = Recipe(source, label, method, _model(options), settings, *given)
    name = f"{Path(options.data).name.split('.')[0]}-{method_name(label)}-seed{recipe.seed}"
    out = options.out or _default_out(name)
    if own_rank > 0:
        return train_along(recipe, out, options.resume, minutes)
    _print_notices(recipe.data, options, recipe.seed)
    command = ["calmix", "train", *arguments]
    with _progress(1, recipe.settings.epochs, options) as tick:
        on_epoch = lambda epoch, model: tick(label, recipe.seed, epoch.number, epoch)  # noqa: E731
        kept = train_and_keep(recipe, out, command, on_epoch, options.resume, minutes, options.logger)
    page = kept.write_report(out)
    if not options.quiet:
        kept.print()
    print(f"report: {page}\nnetwork: {out} (for calmix predict)")


def _tune_options(parser: "OptionParser") -> None:
    from calmix.methods.defaults import TUNED
    from calmix.studies.tuning.defaults import DEFAULT_BUDGET, DEFAULT_FRESH, SAMPLERS

    _add_data(parser)
    group = parser.add_argument_group("search")
    group.add_argument(
        "--methods",
        nargs="+",
        type=str,
        metavar="METHOD",
        known=_known_methods(),
        help=f"what to tune; the first, as it is, is to be beaten (default: {' '.join(TUNED)})",
    )
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
    _add_training(parser)
    results = _add_results(parser, "calmix-runs/DATA-tuned", "search")
    _add_workers(results, "trainings")
    _add_scheduler(results)


def _tune(arguments: list[str]) -> None:
    from calmix.methods.defaults import TUNED, tuned
    from calmix.studies.tuning.defaults import DEFAULT_BUDGET, check_search, read_budget

    _refuse_torchrun("tune")
    options = _parser("tune").parse_args(arguments)
    amount, of_minutes = read_budget(options.budget)
    check_search(options.search, options.fresh_seeds)
    _asked_methods(options.methods or TUNED, [])
    settings = _settings(options)
    _check_engine(options)
    _check_output(options)
    _check_data(options)

    from calmix.studies.tuning.families import family_of
    from calmix.studies.tuning.rows import OneTest
    from calmix.studies.tuning.study import Tuning, carry_out_tuning, in_minutes

    source = _source(options)
    if options.describe:
        return _describe(source, options.seed)
    data = OneTest(source, options.seed)
    regression = data.splits(0).about.task == "regression"
    tuning = Tuning(
        data,
        tuple(family_of(text.strip(), regression) for text in options.methods or tuned(regression)),
        _model(options),
        settings,
        DEFAULT_BUDGET if of_minutes else amount,
        options.fresh_seeds,
        options.seed,
        options.search == "tpe",
    )
    _print_notices(data, options)
    tuning.check()
    engine, out = _engine(options), options.out or Path(f"{_default_out(options.data)}-tuned")
    if of_minutes:
        tuning = in_minutes(tuning, amount, out, options.resume, options.workers)
    command, train = ["calmix", "tune", *arguments], ["calmix", "train", *_train_arguments(options)]
    with _progress(tuning.trainings, settings.epochs, options) as tick:
        found = carry_out_tuning(tuning, out, options.resume, engine, command, train, tick, options.run_timeout)
    _show_search(found.outcome, out, options.quiet)


def _show_search(outcome: "Outcome", out: Path, quiet: bool) -> None:
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


# options of tune that train has, too, with another meaning or value
_NOT_FOR_TRAIN = ("epochs", "learning_rate", "weight_decay", "seed", "out", "resume", "quiet", "verbose", "config")


def _train_arguments(options: Any) -> list[str]:
    """What was said of the data, the network and the training, for a command that trains on the same."""
    parser = _parser("train")
    words = [options.data]
    for action in parser._actions:
        value = options.get(action.dest)
        if not action.option_strings or action.dest in _NOT_FOR_TRAIN or value in (None, action.default, False, []):
            continue
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            words += map(str, value if isinstance(value, list) else [value])
    return words


def _predict_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("network and rows")
    given.add_argument("network", type=Path, metavar="DIR", help="the folder that calmix train left")
    given.add_argument("data", type=Path, metavar="ROWS", help="new data of the kind that it was trained on")
    _add_model(given, "as trained, if it is calmix's")
    _add_labels(given, "as far as the data show them")
    _add_format(parser.add_argument_group("how the table is written"))
    results = parser.add_argument_group("output")
    results.add_argument("--alpha", type=float, default=0.1, help="how often a set or an interval may miss the truth")
    results.add_argument(
        "--out", type=Path, metavar="FILE", help=".csv or .parquet file (default: ROWS-predictions.csv)"
    )


def _predict(arguments: list[str]) -> None:
    options = _parser("predict").parse_args(arguments)
    out = options.out or Path(f"{options.data.resolve().name.split('.')[0]}-predictions.csv")
    if out.suffix not in (".csv", ".parquet"):
        raise SettingError(f"--out is {out}; give a file that ends in .csv or .parquet.")
    if out.resolve() == options.data.resolve():
        raise SettingError(f"--out is {out}, the table that is read; give another file.")

    if not options.data.exists():
        raise DataError(f"file not found: {options.data}; give the rows to predict, as they were given in training.")

    _check_files([options.labels])

    from calmix.data.labelled_files import only_listed
    from calmix.results.files import write_csv, write_parquet
    from calmix.train.saved import load, prediction_table

    predictor = load(options.network, _model(options))
    rows = predictor.encoding.read(options.data, _format(options))
    if options.labels is None:
        rows = rows.tested(str(options.data))
    else:
        rows = only_listed(rows, options.labels, predictor.saved.task == "regression")
    found = prediction_table(predictor, rows, options.alpha)
    for notice in rows.notices:
        print(notice, file=sys.stderr)
    (write_csv if out.suffix == ".csv" else write_parquet)(out, found)
    print(f"predictions: {out}")


def _export_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("network")
    given.add_argument("network", type=Path, metavar="DIR", help="the folder that calmix train left")
    _add_model(given, "as trained, if it is calmix's")
    results = parser.add_argument_group("output")
    results.add_argument("--onnx", action="store_true", help="write an ONNX file, checked against PyTorch")
    results.add_argument("--out", type=Path, metavar="FILE", help=".onnx file (default: DIR/model.onnx)")


def _export(arguments: list[str]) -> None:
    options = _parser("export").parse_args(arguments)
    out = options.out or options.network / "model.onnx"
    if not options.onnx:
        raise SettingError("no format was given; name one: --onnx.")
    if out.suffix != ".onnx":
        raise SettingError(f"--out is {out}; give a file that ends in .onnx.")
    if not options.network.is_dir():
        raise DataError(f"folder not found: {options.network}; give the one that calmix train left.")

    from calmix.train.onnx_file import OPSET, TOLERANCE, check_installed, export_onnx
    from calmix.train.saved import load

    check_installed()
    export_onnx(load(options.network, _model(options)), out)
    print(f"network: {out} (ONNX, opset {OPSET}; within {TOLERANCE:g} of PyTorch on random rows)")


def _evaluate_options(parser: "OptionParser") -> None:
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
    _add_format(parser.add_argument_group("how the tables are written"))
    _add_results(parser, "calmix-runs/PREDICTIONS-evaluation").add_argument(
        "--bins", type=int, default=15, help="bins of calibration errors and reliability diagrams"
    )


def _evaluate(arguments: list[str]) -> None:
    options = _parser("evaluate").parse_args(arguments)
    _check_files([options.predictions, options.calibration, *options.ood, options.human_labels])

    from calmix.results.files import refuse_finished
    from calmix.studies.evaluation.columns import Columns
    from calmix.studies.evaluation.files import read_given
    from calmix.studies.evaluation.page import print_evaluation, write_evaluation
    from calmix.studies.evaluation.study import evaluate

    out = options.out or Path(f"{_default_out(str(options.predictions))}-evaluation")
    refuse_finished(out, "give another --out")
    files = options.predictions, options.calibration, options.ood, options.human_labels
    columns = Columns(tuple(options.prob_columns), options.label_column, options.positive)
    given = read_given(*files, options.logits, columns, _format(options))
    for notice in given.notices:
        print(notice, file=sys.stderr)
    evaluation = evaluate(given, bins=options.bins)
    page = write_evaluation(out, evaluation, ["calmix", "evaluate", *arguments])
    if not options.quiet:
        print_evaluation(evaluation)
    print(f"metrics: {out / 'metrics.json'}\nreport: {page}")


def _diagnose_options(parser: "OptionParser") -> None:
    _add_data(parser)
    diagnosis = parser.add_argument_group("diagnosis")
    diagnosis.add_argument(
        "--methods",
        nargs="+",
        type=str,
        default=["mixup", "sk_mixup"],
        metavar="METHOD",
        known=_known_methods(),
        help="whose mixes to judge (default: mixup sk_mixup)",
    )
    _add_set(diagnosis)
    diagnosis.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3; claims need ten)")
    diagnosis.add_argument("--pairs", type=int, default=3000, help="random pairs of training rows a seed")
    diagnosis.add_argument(
        "--oracle-rows", type=int, default=20_000, help="rows for the oracle, at most (default: 20,000)"
    )
    diagnosis.add_argument(
        "--oracle-epochs", type=int, help="epochs of the oracle (default: 100,000 rows' worth, from 5 to 100)"
    )
    diagnosis.add_argument("--labels-only", action="store_true", help="leave out the derivatives, which train more")
    _add_training(parser)
    _add_results(parser, "calmix-runs/DATA-diagnosis", "diagnosis")


def _diagnose(arguments: list[str]) -> None:
    _refuse_torchrun("diagnose")
    options = _parser("diagnose").parse_args(arguments)
    asked, settings = _asked_methods(options.methods, options.set), _settings(options)
    _check_output(options)
    _check_data(options)

    from calmix.studies.diagnosis.oracle import OracleSettings
    from calmix.studies.diagnosis.page import write_diagnosis
    from calmix.studies.diagnosis.study import Diagnosis, diagnose

    methods, oracle = _methods(asked), OracleSettings(options.oracle_rows, options.oracle_epochs)
    source = _source(options)
    if options.describe:
        return _describe(source)
    diagnosis = Diagnosis(
        source,
        methods,
        _model(options),
        settings,
        options.seeds,
        oracle,
        options.pairs,
        derivatives=not options.labels_only,
    )
    out = options.out or Path(f"{_default_out(options.data)}-diagnosis")
    _print_notices(source, options)
    with _progress(diagnosis.runs, settings.epochs, options) as tick:
        found = diagnose(diagnosis, out, options.resume, ["calmix", "diagnose", *arguments], tick)
    page = write_diagnosis(out)
    if not options.quiet:
        print("\n\n".join([found.verdict.headline, *found.verdict.reasons, " ".join(found.verdict.cautions)]))
    print(f"report: {page}")


def _report_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("folders")
    given.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="what compare, tune or diagnose wrote; of several comparisons: ranks over their data",
    )
    given.add_argument(
        "--reference",
        type=str,
        metavar="METHOD",
        known=_known_methods(),
        help="of one comparison: compare the others to this method (default: as it was)",
    )
    _add_results(parser, "calmix-runs/ranks", what="ranks over several comparisons")


def _report(arguments: list[str]) -> None:
    from calmix.results.asked import finished_runs, results_path
    from calmix.results.jobs import read_jobs
    from calmix.studies.tuning.begun import refuse_unfinished

    options = _parser("report").parse_args(arguments)
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
        _show_search(read_outcome(folder), folder, options.quiet)


def _gather(folder: Path, jobs: "Jobs", options: Any) -> None:
    """The report of a comparison that machines have carried out, or begun to."""
    planned, comparison, _ = _planned(jobs)

    from dataclasses import replace

    from calmix.studies.comparison.jobs import gather

    comparison = replace(comparison, reference=options.reference or planned.reference)
    found = gather(comparison, jobs, folder)
    _show(found, folder, options.quiet, f"calmix work {shlex.quote(str(folder))} carries out what is left")


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


def _reproduce_options(parser: "OptionParser") -> None:
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
    _add_workers(run)
    _add_results(parser, f"{RUNS}/NAME-SCALE", resumes="reproduction")


def _reproduce(arguments: list[str]) -> None:
    options = _parser("reproduce").parse_args(arguments)
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
    _print_reading(asked.comparison.data.splits(0).about, options.quiet)
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
        lambda runs, epochs, others: _progress(runs, epochs, options, others),
        options.budget,
        options.run_timeout,
    )
    page = found.write(out)
    if not options.quiet:
        found.honest.print()
        found.print()
    print(f"report: {page}")
    _exit_where_missing(found.failures, _TRY_AGAIN)


def _experiments_list() -> None:
    from calmix.reproduction.table import EXPERIMENTS, SCALES, lasting

    for name, entry in EXPERIMENTS.items():
        times = ", ".join(f"{scale} {lasting(minutes)}" for scale, minutes in zip(SCALES, entry.minutes, strict=True))
        gpu = "" if entry.gpu_hours is None else f"; paper on a GPU {lasting(60 * entry.gpu_hours)}"
        print(f"{name}\n  {entry.stands_for}\n  data: {entry.data}\n  on one CPU core, about: {times}{gpu}")


def _methods_list(arguments: list[str]) -> None:
    _no_options("methods", arguments)
    _print_list(first_lines("methods.table", "METHODS"))


def _models_list(arguments: list[str]) -> None:
    _no_options("models", arguments)
    _print_list(first_lines("models.table", "MODELS"))
    print("or a function of your own that returns a network, such as path/to/nets.py:wide or package.module:wide")


def _datasets_list(arguments: list[str]) -> None:
    _no_options("datasets", arguments)
    _print_list(first_lines("data.registry", "DATASETS"))
    print(
        "or the path of your own table (with --target COLUMN), arrays (.npz, ...), series (.ts), or folder of images "
        "or recordings"
    )


def _no_options(name: str, arguments: list[str]) -> None:
    command = COMMANDS[name]
    form = argparse.RawDescriptionHelpFormatter
    parser = _TopParser(
        prog=f"calmix {name}",
        description=command.summary,
        epilog=command.epilog,
        formatter_class=form,
        allow_abbrev=False,
    )
    parser.parse_args(arguments)


def _print_list(lines: Mapping[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")


COMMANDS: Mapping[str, Command] = {
    "compare": Command(
        "the main job: methods side by side, with error bars",
        _compare,
        {
            "six methods and five seeds on 1,797 handwritten digits": "calmix compare digits",
            "two methods on a small table, in 5 folds": (
                "calmix compare wine --methods erm mixup --folds 5 --epochs 10"
            ),
            "one method with two settings": ("calmix compare two_moons --methods erm sk_mixup 'sk_mixup(tau_max=0.3)'"),
        },
        "DATA [--target COLUMN] [options]",
        _compare_options,
    ),
    "work": Command(
        "carry out a part of a comparison's runs, on one of many machines",
        _work,
        {
            "list the runs, and train nothing": ("calmix compare wine --methods erm mixup --seeds 3 --out grid --plan"),
            "the third of six runs": "calmix work grid --job 3",
            "half of them, two at a time": "calmix work grid --shard 1/2 --workers 2",
            "whatever is left": "calmix work grid",
            "the comparison, as far as it is": "calmix report grid",
        },
        "DIR [--job N ... | --shard K/N] [options]",
        _work_options,
    ),
    "train": Command(
        "train one network, and keep its metrics and its weights",
        _train,
        {
            "mixing that sets its own strength, on 1,797 handwritten digits": "calmix train digits",
            "plain Mixup on a small table, with another seed": "calmix train wine --method mixup --epochs 50 --seed 1",
            "a regression, with another optimizer": ("calmix train diabetes --method c_mixup --optimizer adamw"),
        },
        "DATA [--target COLUMN] [options]",
        _train_options,
    ),
    "tune": Command(
        "search the settings of methods and of their training, honestly",
        _tune,
        {
            "three methods with a small budget, in a minute or two": "calmix tune wine --budget 20",
            "plain training and RegMixup on handwritten digits": (
                "calmix tune digits --methods erm regmixup --budget 30 --epochs 10"
            ),
            "three minutes, with a wider network": "calmix tune diabetes --budget 3min --model 'mlp(width=512)'",
        },
        "DATA [--target COLUMN] [options]",
        _tune_options,
    ),
    "predict": Command(
        "what a trained network says of new rows: probabilities, sets, intervals",
        _predict,
        {
            "a network for a table of yours": "calmix train flights.csv --target late --out late",
            "what it says of new rows": "calmix predict late tomorrow.csv",
            "sets that miss one row in twenty": "calmix predict late tomorrow.csv --alpha 0.05 --out said.parquet",
            "a network for images in folders of their classes": "calmix train photos --image-size 64 --out net",
            "what it says of new images, in folders or not": "calmix predict net new_images --out said.csv",
        },
        "DIR ROWS [options]",
        _predict_options,
    ),
    "export": Command(
        "a trained network as an ONNX file, for programs without PyTorch",
        _export,
        {
            "a network": "calmix train wine --method mixup --epochs 20 --out wine-net",
            "wine-net/model.onnx, from rows to calibrated probabilities": "calmix export wine-net --onnx",
            "the same, in another file": "calmix export wine-net --onnx --out wine.onnx",
        },
        "DIR --onnx [options]",
        _export_options,
    ),
    "evaluate": Command(
        "every metric and a report for predictions of any model",
        _evaluate,
        {
            "predictions to evaluate": "calmix train wine --method erm --out mine",
            "every metric of them": "calmix evaluate mine/predictions/erm-seed0.npz",
            "fewer bins, in another folder": (
                "calmix evaluate mine/predictions/erm-seed0.npz --bins 10 --out ten-bins"
            ),
        },
        "FILE [options]",
        _evaluate_options,
    ),
    "diagnose": Command(
        "do wrong labels grow with distance, and what does each method do about it?",
        _diagnose,
        {
            "Mixup and Similarity Kernel Mixup on two half moons": "calmix diagnose two_moons",
            "what mixing does to labels, and no derivatives": (
                "calmix diagnose wine --methods mixup far_mixup --labels-only"
            ),
            "a quick look at handwritten digits": "calmix diagnose digits --train-size 300 --seeds 1 --epochs 5",
        },
        "DATA [--target COLUMN] [options]",
        _diagnose_options,
    ),
    "report": Command(
        "draw a report again, or rank methods over several comparisons",
        _report,
        {
            "a comparison": "calmix compare wine --methods erm mixup --out first",
            "another one, on other data": "calmix compare breast_cancer --methods erm mixup --out second",
            "draw a report again, and compare to plain training": "calmix report first --reference erm",
            "rank the methods over both data sets": "calmix report first second",
        },
        "DIR [DIR ...] [options]",
        _report_options,
    ),
    "reproduce": Command(
        "a paper's experiment, and which of its claims hold",
        _reproduce,
        {
            "all experiments": "calmix reproduce --list",
            "a minute of one of them": "calmix reproduce sk-mixup/two-moons --scale smoke",
            "on from where it was stopped": "calmix reproduce sk-mixup/two-moons --scale smoke --resume",
            "with searched options": "calmix reproduce sk-mixup/two-moons --scale smoke --budget 90 --out searched",
        },
        "NAME [--scale smoke|small|paper] [options]",
        _reproduce_options,
    ),
    "methods": Command(
        "list the methods",
        _methods_list,
        {
            "every method, in a line": "calmix methods",
            "try every method that the data allow": "calmix compare wine --methods ALL --epochs 2 --out all",
            "one method, with an option of its own": "calmix train wine --method 'sk_mixup(tau_max=0.3)' --out own",
        },
    ),
    "models": Command(
        "list the networks that have names",
        _models_list,
        {
            "every network, in a line": "calmix models",
            "a narrow ResNet": "calmix train digits --model 'resnet18(width=8)' --out small",
            "a wider perceptron": "calmix train wine --model 'mlp(width=512)' --epochs 20 --out wider",
        },
    ),
    "datasets": Command(
        "list the data sets",
        _datasets_list,
        {
            "every data set, in a line": "calmix datasets",
            "train on one": "calmix train breast_cancer",
            "train on a part of one": "calmix train breast_cancer --train-size 50 --out few",
        },
    ),
}


# ------------------------------------------------------------------------------------------ groups of options


_TIMES = {1: "once", 2: "twice", 3: "three times"}


def _add_data(parser: "OptionParser") -> None:
    from calmix.data import TASKS

    data = parser.add_argument_group("data")
    data.add_argument(
        "data",
        type=str,
        metavar="DATA",
        known=names_in("data.registry", "DATASETS"),
        help="a data set, see calmix datasets; or a file or folder: a table, images, arrays, recordings, series",
    )
    data.add_argument(
        "--task", type=str, known=TASKS, help=f"{TASKS[0]}, {TASKS[1]} or {TASKS[2]} (default: as the target shows)"
    )
    data.add_argument("--train-size", type=int, help="rows to train on, drawn by class (default: all)")
    data.add_argument("--data-dir", type=Path, help="folder of a data set's files (default: the folder in CALMIX_DATA)")
    data.add_argument(
        "--label-noise",
        type=str,
        metavar="SPEC",
        help="wrong training labels: symmetric:RATE, or human:KIND of cifar10 (default: none)",
    )
    table = parser.add_argument_group("a table of your own")
    table.add_argument("--target", type=str, metavar="COLUMN", help="the column to predict (no default)")
    table.add_argument(
        "--keep",
        nargs="+",
        type=str,
        default=[],
        metavar="COLUMN",
        help="columns to use although they look like identifiers or free text (default: none)",
    )
    table.add_argument(
        "--drop", nargs="+", type=str, default=[], metavar="COLUMN", help="columns to leave out (default: none)"
    )
    for name in ("test", "validation"):
        table.add_argument(
            f"--{name}",
            type=Path,
            metavar="FILE",
            help=f"a table that is the {name} split, whatever the seed (default: drawn)",
        )
    table.add_argument(
        "--group",
        type=str,
        metavar="COLUMN",
        help="rows of one value, such as a patient, stay in one split (default: none)",
    )
    table.add_argument(
        "--time", type=str, metavar="COLUMN", help="train on what comes first, test on what comes last (default: none)"
    )
    table.add_argument(
        "--weight", type=str, metavar="COLUMN", help="how often each training row is drawn (default: once an epoch)"
    )
    images = parser.add_argument_group("a folder of images of your own")
    images.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side that images are scaled to (default: their own, if all have one of up to 64; or 64)",
    )
    files = parser.add_argument_group("recordings of your own")
    _add_labels(files, "their folders")
    files.add_argument(
        "--seconds", type=float, help="how long a part of each is heard (default: as long as 95 % of them are)"
    )
    series = parser.add_argument_group("series of your own, a row a step")
    for name, what in (("id", "whose value names the series of a row"), ("time", "that orders the steps of a series")):
        series.add_argument(
            f"--series-{name}", type=str, metavar="COLUMN", help=f"the column {what} (default: rows are no steps)"
        )
    table.add_argument("--describe", action="store_true", help="print what each column is taken for, and train nothing")
    _add_format(table)


def _add_labels(group: "ArgumentGroup", default: str) -> None:
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help=f"a table with the columns file, label, and maybe split, group (default: {default})",
    )


def _add_set(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        type=str,
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="options of methods, such as sk_mixup.tau_max=0.3 (default: each method's own)",
    )


def _add_training(parser: "OptionParser") -> None:
    from calmix.train import TrainingSettings
    from calmix.train.averaging import AVERAGES
    from calmix.train.settings import CHOICES

    training = parser.add_argument_group("training")
    _add_model(training, "resnet for images, or else mlp")
    training.add_class_arguments(TrainingSettings, as_group=False)
    parser.add_argument(
        "--config",
        action=_config_action(),
        metavar="FILE",
        help="read any of these options from a YAML file (default: none)",
    )
    shown = parser._option_string_actions["--print-config"]
    shown.help, shown.metavar = "print the options as such a file, and train nothing", ""
    for action in training._group_actions:
        vars(action)["known"] = {**CHOICES, "average": tuple(AVERAGES)}.get(action.dest) or vars(action)["known"]


def _add_model(group: "ArgumentGroup", default: str) -> None:
    group.add_argument(
        "--model",
        type=str,
        metavar="NETWORK",
        known=names_in("models.table", "MODELS"),
        help=f"a name, see calmix models, or nets.py:function (default: {default})",
    )
    group.add_argument(
        "--output", type=str, metavar="NAME", help="key or place, where a network returns several (default: none)"
    )


def _add_results(
    parser: "OptionParser", out: str, resumes: str | None = None, what: str = "results"
) -> "ArgumentGroup":
    from calmix.train.loggers import LOGGERS
    from calmix.train.settings import CHECKPOINT_MINUTES

    results = parser.add_argument_group("output")
    results.add_argument("--out", type=Path, help=f"folder for {what} (default: {out})")
    if resumes is not None:
        results.add_argument("--resume", action="store_true", help=f"go on where a stopped {resumes} was")
    if resumes in ("comparison", "run"):
        results.add_argument(
            "--checkpoint-minutes",
            type=float,
            default=CHECKPOINT_MINUTES,
            help=f"how much of a run a crash may cost (default: {CHECKPOINT_MINUTES:g})",
        )
        results.add_argument(
            "--logger",
            nargs="+",
            type=str,
            default=[],
            metavar="NAME",
            known=tuple(LOGGERS),
            help=f"log each epoch in OUT/logs: {', '.join(LOGGERS)} (default: none)",
        )
    results.add_argument("--quiet", action="store_true", help="print warnings and where results are, and nothing else")
    if resumes is not None:
        results.add_argument("--verbose", action="store_true", help="print a line an epoch, with its losses")
    return results


_WRITTEN = {
    "sep": "what stands between cells: a character, tab or space",
    "decimal": "what stands before decimals: . or ,",
    "thousands": "what stands between thousands: , . ' or space",
    "encoding": "how letters are stored, such as utf-8 or cp1252",
    "sheet": "the sheet of an .xlsx file",
}


def _add_format(table: "ArgumentGroup") -> None:
    for name, text in _WRITTEN.items():  # as text: YAML has meanings of its own for '#' and '~'
        sign = "NAME" if name in ("encoding", "sheet") else "MARK"
        table.add_argument(f"--{name}", type=str, metavar=sign, help=f"{text} (default: as the file shows)")
    table.add_argument("--header", type=bool, help="the first row is the header, although it looks like the others")
    table.add_argument("--no-header", type=bool, help="there is no header; name the columns column1, column2, ...")


def _config_action() -> Any:
    from jsonargparse import ActionConfigFile  # pyright: ignore[reportPrivateImportUsage]

    class Config(ActionConfigFile):
        def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
            _check_config(Path(values))
            super().__call__(parser, cfg, values, option_string)

    return Config


def _check_config(path: Path) -> None:
    """Raise DataError unless the file holds options by name: texts, numbers, true or false, or lists of them."""
    import yaml

    from calmix.reading import reading, typed

    with reading(path, "give a YAML file of options, such as epochs: 30"):
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    one = str | int | float | bool
    try:
        typed(Mapping[str, one | Sequence[one]], {} if raw is None else raw)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _add_robustness(parser: "OptionParser") -> None:
    sets, families = names_in("data.ood", "OOD_SETS"), names_in("data.corruptions", "CORRUPTIONS")
    images = parser.add_argument_group(
        "further measurements of images", f"FAMILY is one of {', '.join(families)}, or ALL."
    )
    images.add_argument(
        "--ood",
        nargs="+",
        type=str,
        default=[],
        metavar="NAME",
        known=sets,
        help=f"images of no class: {', '.join(sets)} (default: none)",
    )
    images.add_argument(
        "--corruptions",
        nargs="*",
        type=str,
        metavar="FAMILY",
        known=("ALL", *families),
        help="images that are corrupted in these ways; no FAMILY: all (default: none)",
    )


def _add_workers(group: "ArgumentGroup", what: str = "runs") -> None:
    group.add_argument(
        "--workers",
        type=int,
        help=f"{what} at a time (default: one a CPU core, if memory allows, at most 8; one on a GPU)",
    )
    group.add_argument(
        "--run-timeout", type=float, metavar="MINUTES", help="end one that takes longer, as a failure (default: none)"
    )


def _add_scheduler(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--scheduler",
        type=str,
        metavar="ADDRESS",
        known=("local",),
        help="of a Dask cluster, such as tcp://head:8786, or local (default: none)",
    )
    _add_mixed(group)
    group.add_argument(
        "--ship-data", action="store_true", help="send the rows to the cluster with each run, at most 10 MB"
    )


def _add_mixed(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--allow-mixed", action="store_true", help="take other versions of calmix, PyTorch or Python there, too"
    )


# ------------------------------------------------------------------------------- what is refused without PyTorch


def _known_methods() -> tuple[str, ...]:
    return names_in("methods.table", "METHODS")


def _asked_methods(texts: Sequence[str], settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """The options in --set by method, every method by the text that names it."""
    from calmix.methods.asked import check_name, method_name

    known = _known_methods()
    texts = [name for text in texts for name in (known if text == "ALL" else [text.strip()])]
    options: dict[str, dict[str, str]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        name, dot, option = place.partition(".")
        if not (equals and dot and name and option and value):
            raise SettingError(f"cannot read --set {setting!r}; write METHOD.OPTION=VALUE, e.g. sk_mixup.tau_max=0.3.")
        if name not in map(method_name, texts):
            raise UnknownNameError("method in --set", name, map(method_name, texts))
        options.setdefault(name, {})[option] = value
    for text in texts:
        check_name(text, [*known, *names_in("methods.wrappers", "WRAPPERS")])
        if texts.count(text) > 1:
            raise SettingError(f"the method {text!r} is named twice; name each once, or with different options.")
    return {text: options.get(method_name(text), {}) for text in texts}


def _check_engine(options: Any) -> None:
    """Raise SettingError where what is said of workers contradicts itself."""
    from calmix.engines.asked import check_run_timeout, check_scheduler, check_workers

    check_workers(options.workers)
    check_run_timeout(options.run_timeout)
    if options.scheduler is not None:
        if options.get("plan"):
            raise SettingError("--plan lists runs for calmix work, which needs no --scheduler; leave one of them out.")
        check_scheduler(options.scheduler, options.workers)
        return
    for option, given in (("--allow-mixed", options.allow_mixed), ("--ship-data", options.ship_data)):
        if given:
            raise SettingError(f"{option} is for the workers of a cluster; give --scheduler, too, or leave it out.")


def _check_output(options: Any) -> None:
    if options.quiet and options.verbose:
        raise SettingError("--quiet and --verbose exclude each other; give one of them.")


def _refuse_torchrun(command: str) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise SettingError(
            f"torchrun is for calmix train; calmix {command} starts the processes of --devices itself: leave torchrun "
            "out."
        )


def _rank_of_torchrun(devices: int) -> int:
    """Which of torchrun's processes this is, 0 where it started none; SettingError where it started another number."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0
    started = int(os.environ["WORLD_SIZE"])
    if started != devices:
        raise SettingError(
            f"torchrun started {started} processes: give --devices {started}, or let torchrun start {devices}."
        )
    return int(os.environ["RANK"])


def _minutes(options: Any) -> float:
    from calmix.core import require

    require.positive("checkpoint_minutes", options.checkpoint_minutes)
    return options.checkpoint_minutes


def _check_loggers(options: Any) -> None:
    from calmix.train.loggers import check_loggers

    check_loggers(options.logger)


def _check_all_data(options: Any) -> None:
    """Raise SettingError where --all-data contradicts another option."""
    from calmix.methods.asked import method_name

    own_strength = options.method is not None and method_name(options.method) == "auto"
    needs = {
        "--method auto": (own_strength, "needs validation rows, by which it sets its strength"),
        "--select best": (options.select == "best", "needs validation rows, by whose loss it chooses"),
        "--train-size": (options.train_size is not None, "leaves out rows"),
        "--label-noise": (options.label_noise is not None, "makes labels wrong, which no final network should learn"),
    }
    for name, (given, reason) in needs.items():
        if options.all_data and given:
            raise SettingError(f"--all-data trains on the validation rows, too, and {name} {reason}: leave one out.")


def _check_data(options: Any) -> None:
    """Raise what reading the data would: for a name or a file that is not there, for options, or for columns."""
    from calmix.data.asked import OPTIONS, SERIES_COLUMNS, check_options, check_task, kind_of, path_of

    path = path_of(options.data, names_in("data.registry", "DATASETS"))
    check_task(options.task)
    in_series = any(options[name] for name in SERIES_COLUMNS)
    kind = "named" if path is None else kind_of(path, in_series)
    check_options(kind, options.data, [name for name in OPTIONS if options.get(name)])
    if path is None:
        return
    if kind == "table":
        _check_table(path, options)
    elif kind == "long":
        from calmix.data.asked import check_long
        from calmix.data.series_tables import columns_of  # pandas takes its time

        named = check_long(options.data, *(options[name] for name in ("target", *SERIES_COLUMNS)))
        columns_of(path, _format(options), *named, options.drop)
    elif kind in ("images", "hub"):
        _decode(path, options)
    else:
        _check_files([path, options.labels])


def _check_table(path: Path, options: Any) -> None:
    from calmix.data.asked import check_columns, check_ready, target_of
    from calmix.data.table.files import read_table  # pandas takes its time
    from calmix.data.table.roles import Roles, check_roles

    ready = {part: file for part in ("validation", "test") if (file := options[part]) is not None}
    check_ready(path, ready)
    table, *tables = (read_table(file, _format(options)) for file in (path, *ready.values()))  # kept
    columns, name = list(table.frame), path.name.removesuffix(".gz").removesuffix(path.suffix)
    target = target_of(columns, options.target, options.drop, name, table.sheets)
    roles = Roles(options.group, options.time, options.weight)
    check_roles(roles, columns, target, options.keep, options.drop)
    for file, other in zip(ready.values(), tables, strict=True):
        check_columns(file.name, list(other.frame), [target, *roles.splitting])


def _decode(path: Path, options: Any) -> None:
    """Fill the cache of decoded images, where it is empty, and say how far it is."""
    import time

    from calmix.data.image_files.cache import cached
    from calmix.data.image_files.find import find

    found = find(path, options.target)
    live = sys.stderr.isatty()
    said = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal said
        if time.monotonic() - said >= (0.5 if live else 30) or (live and done == of):
            said = time.monotonic()
            end = "\r" if live and done < of else "\n"
            print(f"decoding images, once: {done:,} of {of:,}", end=end, file=sys.stderr, flush=True)

    cached(found, options.image_size, (lambda done, of: None) if options.quiet else tell)


def _check_files(paths: Sequence[Path | None]) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise DataError(f"file not found: {path}; give the path of an .npz, .csv or .parquet file.")


# --------------------------------------------------------------------------------- from strings to things


def _source(options: Any) -> "DataSource":
    from calmix.data import Noisy, read_label_noise, read_source
    from calmix.data.asked import OPTIONS, WRITTEN

    given = {name: options[name] for name in ("task", "train_size", *OPTIONS) if name not in ("format", *WRITTEN)}
    source = read_source(options.data, **given, format=_format(options))
    return Noisy(source, read_label_noise(options.label_noise), options.data_dir) if options.label_noise else source


def _format(options: Any) -> "TableFormat":
    from calmix.data import TableFormat

    if options.header and options.no_header:
        raise SettingError("--header and --no-header exclude each other; give one of them.")
    header = True if options.header else False if options.no_header else None
    return TableFormat(**{name: options[name] for name in _WRITTEN}, header=header)


def _engine(options: Any) -> "Engine":
    from calmix.engines import Cluster, Processes

    if options.scheduler is None:
        return Processes(options.workers)
    return Cluster(options.scheduler, options.workers, options.allow_mixed, options.ship_data)


def _model(options: Any) -> "ModelFactory | None":
    from calmix.models import read_model, with_output

    output = options.output
    if options.model is None:
        if output is not None:
            raise SettingError("--output chooses from what a network of your own returns; give --model, too.")
        return None
    model = read_model(options.model)
    return model if output is None else with_output(model, int(output) if output.isdecimal() else output)


def _settings(options: Any) -> "TrainingSettings":
    from dataclasses import fields

    from calmix.train import TrainingSettings

    return TrainingSettings(**{field.name: options[field.name] for field in fields(TrainingSettings)})


def _robustness(options: Any) -> "Robustness":
    from calmix.data import CORRUPTIONS, OODSet
    from calmix.train import Robustness

    families = options.corruptions  # None where the option is not there, [] where it is bare
    everything = families is not None and (not families or "ALL" in families)
    ood = tuple(OODSet(name, options.data_dir) for name in options.ood)
    return Robustness(ood, tuple(CORRUPTIONS if everything else families or ()), options.data_dir)


def _methods(asked: Mapping[str, Mapping[str, str]]) -> "dict[str, Method | Scheduled]":
    """Methods by label: the text that names them."""
    from calmix.methods.read import read_method

    return {text: read_method(text, options) for text, options in asked.items()}


def _default_out(data: str) -> Path:
    return RUNS / Path(data).name.split(".")[0]


# --------------------------------------------------------------------------------------------- on the screen


def _print_notices(source: "DataSource", options: Any, seed: int = 0) -> None:
    """How the data are read, and what else to know before training."""
    about = source.splits(seed).about
    _print_reading(about, options.quiet)
    if (
        about.kind == "image"
        and options.augment == "auto"
        and options.data not in names_in("data.registry", "DATASETS")
    ):
        print(
            "images are augmented only where you ask for it: --augment crop_flip shifts and mirrors them, which helps "
            "with photographs, and hurts where left and right differ, as in text and digits.",
            file=sys.stderr,
        )


def _print_reading(about: "About", quiet: bool) -> None:
    """What the columns of a table become, unless it is to be quiet, and notices."""
    if about.columns and not quiet:
        from calmix.report.columns import print_columns

        print_columns(about.columns, to_stderr=True)
    for notice in about.notices:
        print(notice, file=sys.stderr)


def _describe(source: "DataSource", seed: int = 0) -> None:
    from calmix.report.columns import print_columns

    about = source.splits(seed).about
    if not about.columns:
        raise SettingError(f"--describe is for tables, and {about.name} has no columns: leave it out.")
    print_columns(about.columns)
    for notice in about.notices:
        print(notice)


def _progress(
    runs: int, epochs: int, options: Any, others: Mapping[str, int] | None = None
) -> "AbstractContextManager[Tick]":
    from calmix.report.progress import showing_progress

    return showing_progress(runs, epochs, options.quiet, options.verbose, others)


if __name__ == "__main__":
    main()
