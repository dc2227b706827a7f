"""The command: strings become objects here, and nowhere else; then one function is called, and its result is printed.

Nothing heavier than argparse is imported before a command is known, and a command imports what it needs.
"""

import argparse
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from calmix.errors import CalmixError, DataError, SettingError, UnknownNameError
from calmix.listing import first_lines

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from calmix.core.method import Method, Scheduled
    from calmix.data import DataSource
    from calmix.models import ModelFactory
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
    kept = "what was finished is kept, and a comparison or a diagnosis goes on from there with --resume"
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

    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    parser = _TopParser(
        prog="calmix",
        description="Calibrated mixup: accuracy, and probabilities that mean what they say.",
        epilog=f"commands:\n{listed}\n\ncalmix COMMAND --help tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="calmix [-h] [--version] COMMAND ...",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"calmix {__version__}")
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="what to do, see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _parser(name: str) -> "ArgumentParser":
    """A command's parser, whose options may come from dataclasses and functions."""
    try:
        from jsonargparse import ArgumentParser
    except ModuleNotFoundError:
        _fail("the command needs more than the library; install it with: pip install 'calmix[train]'")

    from calmix.reading import reason_of

    class Parser(ArgumentParser):
        def add_argument(self, *names: str, **options: Any) -> Any:  # pyright: ignore
            """Options are spelled with hyphens; yes or no is a flag."""
            names = tuple(name.replace("_", "-") if name.startswith("--") else name for name in names)
            if options.get("type") is bool:
                options = {"action": "store_true", "help": options.get("help")}
            return super().add_argument(*names, **options)

        def parse_args(self, *given: Any, **options: Any) -> Any:  # pyright: ignore
            try:
                return super().parse_args(*given, **options)
            except (RuntimeError, LookupError, AttributeError, ArithmeticError) as error:  # of what it did not foresee
                self.error(f"the options cannot be read ({reason_of(error)})")

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # pyright: ignore
            _fail(f"{' '.join(str(message).split())} (see: calmix {name} --help)")

    parser = Parser(prog=f"calmix {name}", description=COMMANDS[name].summary, allow_abbrev=False)
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no tables: warnings, and where results are"
    )
    return parser


# ---------------------------------------------------------------------------------------------- commands


class Command:
    """A command: its summary for the list, and the function that carries it out, given its arguments as text."""

    def __init__(self, summary: str, run: Callable[[list[str]], None]) -> None:
        self.summary = summary
        self.run = run


def _compare(arguments: list[str]) -> None:
    from calmix.studies.comparison.study import DEFAULT_METHODS, FEW_TEST_ROWS, Comparison, carry_out_comparison, plan

    parser = _parser("compare")
    _add_data_and_training(parser)
    _add_robustness(parser)
    parser.add_argument("--methods", nargs="+", type=str, default=list(DEFAULT_METHODS), metavar="METHOD")
    parser.add_argument(
        "--seeds",
        type=int,
        help="how many seeds (0, 1, ...); runs of a seed are paired (default: 5; --folds 5 for a table with fewer than "
        f"{FEW_TEST_ROWS} test rows)",
    )
    parser.add_argument("--folds", type=int, help="cross-validation in place of seeds: every row is tested")
    parser.add_argument("--repeats", type=int, help="how often rows are cut into folds (default: 2)")
    parser.add_argument(
        "--reference", type=str, metavar="METHOD", help="what marks refer to (default: mixup, else erm)"
    )
    parser.add_argument("--resume", action="store_true", help="go on where a stopped comparison was")
    parser.add_argument("--workers", type=int, help="runs at a time (default: one a CPU core; one on a GPU)")
    options = parser.parse_args(arguments)
    methods, source = _methods(options.methods, options.set), _source(options)
    if options.describe:
        return _describe(source)
    model, settings, robustness = _model(options), _settings(options), _robustness(options)
    data, seeds = plan(source, options.seeds, options.folds, options.repeats)
    comparison = Comparison(data, methods, model, settings, seeds, options.reference, robustness)
    _print_notices(data, quiet=options.quiet)
    if data is not source and options.folds is None:
        few = f"a test split of its own would have fewer than {FEW_TEST_ROWS} rows"
        print(f"{few}: every row is tested, in {seeds} folds; --seeds 5 takes seeds instead.", file=sys.stderr)
    if "ALL" in options.methods:
        comparison, reasons = comparison.without_misfits()
        for label, reason in reasons.items():
            print(f"{label} is left out: {reason}", file=sys.stderr)
    out = options.out or _default_out(options.data)
    command = ["calmix", "compare", *arguments]
    with _progress(len(comparison.recipes), comparison.settings.epochs, options.quiet) as tick:
        found = carry_out_comparison(comparison, out, options.resume, options.workers, command, tick)
    page = found.write_report(out)
    if not options.quiet:
        found.print()
    print(f"report: {page}")
    if found.results.failures:
        print("calmix: some runs failed; --resume tries them again.", file=sys.stderr)
        sys.exit(1)


def _train(arguments: list[str]) -> None:
    from calmix.methods.read import method_name
    from calmix.studies.comparison.kept import train_and_keep
    from calmix.train import Recipe

    parser = _parser("train")
    _add_data_and_training(parser)
    _add_robustness(parser)
    parser.add_argument("--method", type=str, default="sk_mixup", metavar="METHOD")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    methods = _methods([options.method], options.set)
    if len(methods) > 1:
        raise SettingError(f"train trains one method; got {options.method!r}: name one, or use calmix compare.")
    [(label, method)] = methods.items()
    if options.describe:
        return _describe(_source(options), options.seed)
    given = options.seed, _robustness(options)
    recipe = Recipe(_source(options), label, method, _model(options), _settings(options), *given)
    name = f"{Path(options.data).name.split('.')[0]}-{method_name(label)}-seed{recipe.seed}"
    out = options.out or _default_out(name)
    _print_notices(recipe.data, recipe.seed, options.quiet)
    command = ["calmix", "train", *arguments]
    with _progress(1, recipe.settings.epochs, options.quiet) as tick:
        kept = train_and_keep(recipe, out, command, lambda epoch, model: tick(label, recipe.seed, epoch))
    page = kept.write_report(out)
    if not options.quiet:
        kept.print()
    print(f"report: {page}\nweights: {out / 'model.pt'}")


def _evaluate(arguments: list[str]) -> None:
    from calmix.results.files import refuse_finished
    from calmix.studies.evaluation.columns import Columns
    from calmix.studies.evaluation.files import read_given
    from calmix.studies.evaluation.page import print_evaluation, write_evaluation
    from calmix.studies.evaluation.study import evaluate

    parser = _parser("evaluate")
    parser.add_argument(
        "predictions",
        type=Path,
        help="an .npz, .csv or .parquet file: probs or logits and labels; or mean, std and targets",
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="predictions of other rows, to fit temperature and its kin on"
    )
    parser.add_argument(
        "--prob-columns", nargs="+", type=str, default=[], metavar="COLUMN", help="of tables: a column a class"
    )
    parser.add_argument("--label-column", type=str, metavar="COLUMN", help="of tables: the true class")
    parser.add_argument("--positive", type=str, metavar="CLASS", help="of two classes: which P(y = 1) is said of")
    parser.add_argument("--logits", action="store_true", help="what the files call probabilities are logits")
    parser.add_argument(
        "--ood", nargs="+", type=Path, default=[], metavar="FILE", help="predictions for rows that are of no class"
    )
    parser.add_argument(
        "--human-labels", type=Path, metavar="FILE.npy", help="how often people chose each class, by row"
    )
    parser.add_argument("--bins", type=int, default=15)
    parser.add_argument("--out", type=Path, help="where results go (default: calmix-runs/PREDICTIONS-evaluation)")
    options = parser.parse_args(arguments)
    out = options.out or Path(f"{_default_out(str(options.predictions))}-evaluation")
    refuse_finished(out, "give another --out")
    files = options.predictions, options.calibration, options.ood, options.human_labels
    columns = Columns(tuple(options.prob_columns), options.label_column, options.positive)
    given = read_given(*files, options.logits, columns)
    for notice in given.notices:
        print(notice, file=sys.stderr)
    evaluation = evaluate(given, bins=options.bins)
    page = write_evaluation(out, evaluation, ["calmix", "evaluate", *arguments])
    if not options.quiet:
        print_evaluation(evaluation)
    print(f"metrics: {out / 'metrics.json'}\nreport: {page}")


def _diagnose(arguments: list[str]) -> None:
    from calmix.studies.diagnosis.oracle import OracleSettings
    from calmix.studies.diagnosis.page import write_diagnosis
    from calmix.studies.diagnosis.study import Diagnosis, diagnose

    parser = _parser("diagnose")
    _add_data_and_training(parser)
    parser.add_argument("--methods", nargs="+", type=str, default=["mixup", "sk_mixup"], metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (0, 1, ...); claims need ten")
    parser.add_argument("--pairs", type=int, default=3000, help="random pairs of training rows a seed")
    parser.add_argument("--oracle-rows", type=int, default=OracleSettings.rows, help="rows that teach it, at most")
    parser.add_argument("--oracle-epochs", type=int, help="(default: as many as make 100,000 rows, 5 to 100)")
    parser.add_argument("--labels-only", action="store_true", help="leave out the derivatives, which train more")
    parser.add_argument("--resume", action="store_true", help="go on where a stopped diagnosis was")
    options = parser.parse_args(arguments)
    methods, oracle = _methods(options.methods, options.set), OracleSettings(options.oracle_rows, options.oracle_epochs)
    source, settings = _source(options), _settings(options)
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
    _print_notices(source, quiet=options.quiet)
    with _progress(diagnosis.runs, settings.epochs, options.quiet) as tick:
        found = diagnose(diagnosis, out, options.resume, ["calmix", "diagnose", *arguments], tick)
    page = write_diagnosis(out)
    if not options.quiet:
        print("\n\n".join([found.verdict.headline, *found.verdict.reasons, " ".join(found.verdict.cautions)]))
    print(f"report: {page}")


def _report(arguments: list[str]) -> None:
    from calmix.results.files import hold_folder
    from calmix.results.store import write_results
    from calmix.studies.comparison.compared import read_comparison

    parser = _parser("report")
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="the folder that `calmix compare` or `calmix diagnose` wrote; several comparisons: ranks over their data",
    )
    parser.add_argument("--reference", type=str, metavar="METHOD", help="of one folder: mark against another method")
    parser.add_argument("--out", type=Path, help="of several folders: where ranks go (default: calmix-runs/ranks)")
    options = parser.parse_args(arguments)
    if len(options.folders) > 1:
        _ranks(options.folders, options.reference, options.out or RUNS / "ranks", arguments, options.quiet)
        return
    if options.out is not None:
        raise SettingError("--out is where ranks over several folders go; one folder's report is written in it.")
    [folder] = options.folders
    if (folder / "diagnosis.json").exists():
        from calmix.studies.diagnosis.page import write_diagnosis

        if options.reference is not None:
            raise SettingError("--reference is for the report of a comparison, and this is a diagnosis: leave it out.")
        print(f"report: {write_diagnosis(folder)}")
        return
    with hold_folder(folder):
        found = read_comparison(folder, options.reference)
        if options.reference is not None:
            write_results(folder, found.results)  # it stays the reference
        page = found.write_report(folder)
    if not options.quiet:
        found.print()
    print(f"report: {page}")


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
    print("or the path of your own table (.csv, .xlsx, .parquet and others), with --target COLUMN")


def _no_options(name: str, arguments: list[str]) -> None:
    summary = COMMANDS[name].summary
    _TopParser(prog=f"calmix {name}", description=summary, allow_abbrev=False).parse_args(arguments)


def _print_list(lines: Mapping[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")


COMMANDS: Mapping[str, Command] = {
    "compare": Command("the main job: methods side by side, with error bars", _compare),
    "train": Command("train one network, and keep its metrics and its weights", _train),
    "evaluate": Command("every metric and a report for predictions of any model", _evaluate),
    "diagnose": Command("do wrong labels grow with distance, and what does each method do about it?", _diagnose),
    "report": Command("draw a report again, or rank methods over several comparisons", _report),
    "methods": Command("list the methods", _methods_list),
    "models": Command("list the networks that have names", _models_list),
    "datasets": Command("list the data sets", _datasets_list),
}


# --------------------------------------------------------------------------------- from strings to things


def _add_data_and_training(parser: "ArgumentParser") -> None:
    from calmix.data import read_source
    from calmix.train import TrainingSettings

    parser.add_function_arguments(read_source, as_group=False, as_positional=True, skip={"keep", "drop", "format"})
    parser.add_argument(
        "--keep",
        nargs="+",
        type=str,
        default=[],
        metavar="COLUMN",
        help="columns of a table to use although they look like identifiers or free text",
    )
    parser.add_argument(
        "--drop", nargs="+", type=str, default=[], metavar="COLUMN", help="columns of a table to leave out"
    )
    parser.add_argument(
        "--describe", action="store_true", help="print what each column of a table is taken for, and train nothing"
    )
    for name, text in _WRITTEN.items():  # as text: YAML has meanings of its own for '#' and '~'
        parser.add_argument(f"--{name}", type=str, help=f"{text} (default: as the file shows)")
    parser.add_argument(
        "--no-header", type=bool, help="the table begins with a row; name the columns column1, column2, ..."
    )
    parser.add_argument("--header", type=bool, help="the table begins with its header, although that looks like a row")
    parser.add_argument(
        "--label-noise", type=str, metavar="SPEC", help="wrong training labels: symmetric:RATE, or human:KIND (cifar10)"
    )
    parser.add_argument(
        "--model",
        type=str,
        metavar="NETWORK",
        help="a network that has a name (calmix models lists them), with options such as 'resnet18(stem=cifar)'; or a "
        "function of your own that returns one: path/to/nets.py:wide, package.module:wide (default: resnet for images, "
        "mlp for other rows)",
    )
    parser.add_argument(
        "--output", type=str, metavar="NAME", help="of a network that returns a dict or a tuple: the key, or the place"
    )
    parser.add_class_arguments(TrainingSettings, as_group=False)
    parser.add_argument("--set", nargs="+", action="extend", type=str, default=[], metavar="METHOD.OPTION=VALUE")
    parser.add_argument("--out", type=Path, help="where results go (default: calmix-runs/DATA)")
    parser.add_argument("--config", action=_config_action(), help="a YAML file with any of these options")


_WRITTEN = {
    "sep": "what stands between the cells of a table: a character, tab or space",
    "decimal": "what stands before the decimals of a table: . or ,",
    "thousands": "what stands between thousands in a table: , . ' or space",
    "encoding": "how letters are stored in a table, such as utf-8 or cp1252",
    "sheet": "the sheet of an .xlsx file",
}


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


def _add_robustness(parser: "ArgumentParser") -> None:
    from calmix.data import CORRUPTIONS, OOD_SETS

    known = ", ".join(OOD_SETS)
    parser.add_argument(
        "--ood", nargs="+", type=str, default=[], metavar="NAME", help=f"also measure on images of no class: {known}"
    )
    parser.add_argument(
        "--corruptions",
        nargs="*",
        type=str,
        metavar="FAMILY",
        help=f"also measure on corrupted images: ALL, or {', '.join(CORRUPTIONS)}",
    )


def _source(options: Any) -> "DataSource":
    from calmix.data import Noisy, TableFormat, read_label_noise, read_source

    if options.header and options.no_header:
        raise SettingError("--header and --no-header exclude each other; give one of them.")
    header = True if options.header else False if options.no_header else None
    format = TableFormat(**{name: options[name] for name in _WRITTEN}, header=header)
    names = ("target", "task", "train_size", "data_dir", "keep", "drop")
    source = read_source(options.data, **{name: options[name] for name in names}, format=format)
    return Noisy(source, read_label_noise(options.label_noise), options.data_dir) if options.label_noise else source


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


def _methods(texts: Sequence[str], settings: Sequence[str]) -> "dict[str, Method | Scheduled]":
    """Methods by label: the text that names them."""
    from calmix.methods.read import method_name, read_method
    from calmix.methods.table import METHODS

    texts = [name for text in texts for name in (METHODS if text == "ALL" else [text.strip()])]
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
        if texts.count(text) > 1:
            raise SettingError(f"the method {text!r} is named twice; name each once, or with different options.")
    return {text: read_method(text, options.get(method_name(text))) for text in texts}


def _default_out(data: str) -> Path:
    return RUNS / Path(data).name.split(".")[0]


# --------------------------------------------------------------------------------------------- on the screen


def _print_notices(source: "DataSource", seed: int = 0, quiet: bool = False) -> None:
    """What the columns of a table become, unless it is to be quiet, and notices."""
    about = source.splits(seed).about
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


@contextmanager
def _progress(runs: int, epochs: int, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A live bar over all epochs of all runs, with the time left, unless it is to be quiet."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done: dict[tuple[str, int], int] = {}
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(f"{runs} runs", total=runs * epochs)

        def tick(label: str, seed: int, epoch: int) -> None:
            done[label, seed] = epoch
            bar.update(task, completed=sum(done.values()), description=escape(f"{label}, seed {seed}"))

        yield tick


if __name__ == "__main__":
    main()
