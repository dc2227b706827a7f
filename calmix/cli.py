"""The command: parse, call one function, print."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from calmix.errors import CalmixError, SettingError, UnknownNameError

DEFAULT_METHODS = ("erm", "mixup", "sk_mixup", "mixup_e", "sk_mixup_e")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 2 for bad input (one sentence on stderr), 130 when stopped by hand."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser().parse_args(list(arguments))
        COMMANDS[options.subcommand](options[options.subcommand], arguments)
    except CalmixError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that went away
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        print("stopped; a comparison goes on where it was with --resume.", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(f"calmix: {message}", file=sys.stderr)
    sys.exit(2)


def _parser() -> Any:
    try:
        from jsonargparse import ArgumentParser
    except ImportError:
        _fail("the command needs more than the library; install it with: pip install 'calmix[train]'")

    class Parser(ArgumentParser):
        def __init__(self, **options: Any) -> None:
            super().__init__(allow_abbrev=False, **options)

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # pyright: ignore
            _fail(f"{' '.join(str(message).split())} (see: calmix --help)")

    from calmix import __version__
    from calmix.core.batch_norm import BATCH_NORM
    from calmix.data import CORRUPTIONS, OOD_SETS
    from calmix.models import MODELS
    from calmix.train.settings import DEVICES, OPTIMIZERS, PRECISIONS, SCHEDULES, SELECTIONS, TrainingSettings

    def data_and_training(parser: Any) -> None:
        parser.add_argument(
            "data", type=str, help="a data set (see `calmix datasets`), or a .csv, .csv.gz or .parquet file"
        )
        parser.add_argument("--target", type=str, help="the column to predict, for a file of your own")
        parser.add_argument("--task", type=str, help="classification, binary or regression, if not as inferred")
        parser.add_argument(
            "--keep", nargs="*", type=str, default=[], help="columns to use although they look like ids"
        )
        parser.add_argument("--train-size", type=int, help="cut the training split to this many rows (stratified)")
        parser.add_argument(
            "--label-noise",
            type=str,
            metavar="SPEC",
            help="wrong training labels: symmetric:RATE, or human:KIND (cifar10)",
        )
        parser.add_argument("--data-dir", type=Path, help="the folder of a named set's files, see `calmix datasets`")
        parser.add_argument(
            "--model", type=str, help=f"{', '.join(MODELS)} (default: resnet for images, mlp for tables)"
        )
        parser.add_argument("--epochs", type=int, default=TrainingSettings.epochs)
        parser.add_argument("--batch-size", type=int, default=TrainingSettings.batch_size)
        parser.add_argument(
            "--learning-rate", type=float, help="the schedule's largest (default: 0.1 sgd, 0.002 adamw)"
        )
        parser.add_argument("--weight-decay", type=float, default=TrainingSettings.weight_decay)
        parser.add_argument("--optimizer", type=str, default=TrainingSettings.optimizer, help=" or ".join(OPTIMIZERS))
        parser.add_argument("--schedule", type=str, default=TrainingSettings.schedule, help=", ".join(SCHEDULES))
        parser.add_argument(
            "--batch-norm",
            type=str,
            default=TrainingSettings.batch_norm,
            help=f"which passes move its running statistics: {', '.join(BATCH_NORM)}",
        )
        parser.add_argument(
            "--refresh-batch-norm", action="store_true", help="re-estimate batch norm on clean rows after training"
        )
        parser.add_argument(
            "--select", type=str, default=TrainingSettings.select, help=f"{' or '.join(SELECTIONS)} epoch"
        )
        parser.add_argument("--device", type=str, default=TrainingSettings.device, help=", ".join(DEVICES))
        parser.add_argument("--precision", type=str, default=TrainingSettings.precision, help=", ".join(PRECISIONS))
        parser.add_argument("--set", nargs="+", action="extend", type=str, default=[], metavar="METHOD.OPTION=VALUE")
        parser.add_argument(
            "--ood",
            nargs="+",
            type=str,
            default=[],
            metavar="NAME",
            help=f"also judge on images of no class: {', '.join(OOD_SETS)}",
        )
        parser.add_argument(
            "--corruptions",
            nargs="*",
            type=str,
            metavar="FAMILY",
            help=f"also judge on corrupted images: ALL, or {', '.join(CORRUPTIONS)}",
        )
        parser.add_argument("--out", type=Path, help="where results go (default: calmix-runs/DATA)")
        parser.add_argument("--config", action="config", help="a YAML file with any of these options")

    parser = Parser(prog="calmix", description="Calibrated mixup: accuracy, and probabilities that mean what they say.")
    parser.add_argument("--version", action="version", version=f"calmix {__version__}")
    commands = parser.add_subcommands(required=True, dest="subcommand")

    compare = Parser(description="Train one network with several methods and seeds, and show what each did.")
    data_and_training(compare)
    compare.add_argument("--methods", nargs="+", type=str, default=list(DEFAULT_METHODS), metavar="METHOD")
    compare.add_argument("--seeds", type=int, default=5, help="how many seeds (0, 1, ...); runs of a seed are paired")
    compare.add_argument(
        "--reference", type=str, metavar="METHOD", help="what marks refer to (default: mixup, else erm)"
    )
    compare.add_argument("--resume", action="store_true", help="go on where a stopped comparison was")
    compare.add_argument("--workers", type=int, help="runs at a time (default: one a CPU core; one on a GPU)")
    commands.add_subcommand("compare", compare, help="the main job: methods side by side, with error bars")

    train = Parser(description="Train one network with one method, evaluate it and save its weights.")
    data_and_training(train)
    train.add_argument("--method", type=str, default="sk_mixup", metavar="METHOD")
    train.add_argument("--seed", type=int, default=0)
    commands.add_subcommand("train", train, help="one network, its metrics and its weights")

    evaluate = Parser(description="Judge predictions of any model, from any framework: every metric, and a report.")
    evaluate.add_argument(
        "predictions",
        type=Path,
        help="an .npz, .csv or .parquet file: probs or logits and labels; or mean, std and targets",
    )
    evaluate.add_argument(
        "--calibration", type=Path, metavar="FILE", help="predictions of other rows, to fit temperature and its kin on"
    )
    evaluate.add_argument("--logits", action="store_true", help="what the files call probabilities are logits")
    evaluate.add_argument(
        "--ood", nargs="+", type=Path, default=[], metavar="FILE", help="predictions for rows that are of no class"
    )
    evaluate.add_argument("--votes", type=Path, metavar="FILE.npy", help="how often people chose each class, by row")
    evaluate.add_argument("--bins", type=int, default=15)
    evaluate.add_argument("--out", type=Path, help="where results go (default: calmix-runs/PREDICTIONS-evaluation)")
    commands.add_subcommand("evaluate", evaluate, help="judge predictions of any model")

    diagnose = Parser(description="Do wrong labels grow with distance, and what does each method do about it?")
    data_and_training(diagnose)
    diagnose.add_argument("--methods", nargs="+", type=str, default=["mixup", "sk_mixup"], metavar="METHOD")
    diagnose.add_argument("--seeds", type=int, default=3, help="how many seeds (0, 1, ...); claims need ten")
    diagnose.add_argument("--pairs", type=int, default=3000, help="random pairs of training rows a seed")
    diagnose.add_argument("--oracle-rows", type=int, default=20_000, help="at most so many rows teach the oracle")
    diagnose.add_argument("--oracle-epochs", type=int, help="(default: as many as make 100,000 rows, 5 to 100)")
    diagnose.add_argument("--labels-only", action="store_true", help="leave out derivatives and decision surfaces")
    diagnose.add_argument("--resume", action="store_true", help="go on where a stopped diagnosis was")
    commands.add_subcommand("diagnose", diagnose, help="the theory made visible on your data")

    commands.add_subcommand("methods", Parser(description="List the methods."), help="list the methods")
    commands.add_subcommand("datasets", Parser(description="List the data sets."), help="list the data sets")
    report = Parser(description="Draw a comparison's report again, without training; or rank methods over several.")
    report.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="the folder that `calmix compare` wrote; several: ranks over their data sets",
    )
    report.add_argument("--reference", type=str, metavar="METHOD", help="of one folder: mark against another method")
    report.add_argument("--out", type=Path, help="of several folders: where ranks go (default: calmix-runs/ranks)")
    commands.add_subcommand("report", report, help="draw a report again")
    return parser


# ---------------------------------------------------------------------------------------------- commands


def _compare(options: Any, arguments: Sequence[str]) -> None:
    from calmix.experiment import Comparison, compare
    from calmix.report import print_table, write_report

    methods = _methods(options.methods, options.set)
    source, shift = _source(options), _shift(options)
    comparison = Comparison(source, methods, options.model, _fit(options), options.seeds, options.reference, shift)
    out = options.out or _default_out(options.data)
    _say_notices(comparison.source)
    if "ALL" in options.methods:
        comparison = _without_unfit(comparison)
    with _progress(len(comparison.recipes()), comparison.fit.epochs) as tick:
        results = compare(comparison, out, options.resume, options.workers, ["calmix", *arguments], tick)
    print_table(results)
    print(f"report: {write_report(out)}")


def _train(options: Any, arguments: Sequence[str]) -> None:
    from calmix.experiment import Recipe, train
    from calmix.methods.read import method_name
    from calmix.report import print_table, write_report

    [(label, method)] = _methods([options.method], options.set).items()
    recipe = Recipe(_source(options), label, method, options.model, _fit(options), options.seed, _shift(options))
    name = f"{Path(options.data).name.split('.')[0]}-{method_name(label)}-seed{recipe.seed}"
    out = options.out or _default_out(name)
    _say_notices(recipe.source, recipe.seed)
    with _progress(runs=1, epochs=recipe.fit.epochs) as tick:
        results = train(recipe, out, ["calmix", *arguments], lambda epoch: tick(label, recipe.seed, epoch))
    print_table(results)
    print(f"report: {write_report(out)}\nweights: {out / 'model.pt'}")


def _evaluate(options: Any, arguments: Sequence[str]) -> None:
    from calmix.evaluation import evaluate, read_given
    from calmix.experiment.compare import refuse_finished
    from calmix.report import print_evaluation, write_evaluation

    out = options.out or Path(f"{_default_out(str(options.predictions))}-evaluation")
    refuse_finished(out, "give another --out")
    given = read_given(options.predictions, options.calibration, options.ood, options.votes, options.logits)
    evaluation = evaluate(given, options.bins)
    page = write_evaluation(out, evaluation, ["calmix", *arguments])
    print_evaluation(evaluation)
    print(f"metrics: {out / 'metrics.json'}\nreport: {page}")


def _diagnose(options: Any, arguments: Sequence[str]) -> None:
    from calmix.experiment.diagnosis import Diagnosis, OracleSettings, diagnose, explain
    from calmix.report.diagnosis import sentences, write_diagnosis

    if options.ood or options.corruptions is not None:
        raise SettingError("a diagnosis looks at mixes of training rows; leave out --ood and --corruptions.")
    methods, oracle = _methods(options.methods, options.set), OracleSettings(options.oracle_rows, options.oracle_epochs)
    diagnosis = Diagnosis(_source(options), methods, options.model, _fit(options), options.seeds, oracle, options.pairs)
    out = options.out or Path(f"{_default_out(options.data)}-diagnosis")
    _say_notices(diagnosis.source)
    plane = diagnosis.source.splits(0).train.x.shape[1:] == (2,)
    runs = 1 + len(methods) * (1 if options.labels_only else 3 if plane else 2)
    with _progress(options.seeds * runs, diagnosis.fit.epochs) as tick:
        results = diagnose(diagnosis, out, options.resume, ["calmix", *arguments], tick)
        if not options.labels_only:
            explain(diagnosis, out, options.resume, tick)
    print("\n\n".join(sentences(results)))
    print(f"report: {write_diagnosis(out)}")


def _methods_list(options: Any, arguments: Sequence[str]) -> None:
    from calmix.methods.table import METHODS

    _print_list({name: _first_line(method) for name, method in METHODS.items()})


def _datasets_list(options: Any, arguments: Sequence[str]) -> None:
    from calmix.data import DATASETS

    _print_list({name: _first_line(dataset) for name, dataset in DATASETS.items()})
    print("or the path of your own table: .csv, .csv.gz or .parquet, with --target COLUMN")


def _report(options: Any, arguments: Sequence[str]) -> None:
    from calmix.experiment import refer
    from calmix.report import print_table, write_report
    from calmix.report.diagnosis import write_diagnosis

    if len(options.folders) > 1:
        _ranks(options, arguments)
        return
    if options.out is not None:
        raise SettingError("--out is where ranks over several folders go; one folder's report is written in it.")
    [folder] = options.folders
    if (folder / "diagnosis.json").exists():
        print(f"report: {write_diagnosis(folder)}")
        return
    print_table(refer(folder, options.reference))
    print(f"report: {write_report(folder)}")


def _ranks(options: Any, arguments: Sequence[str]) -> None:
    from calmix.report import print_ranks, read_ranking, write_ranks

    if options.reference is not None:
        raise SettingError("--reference is for the report of one folder; ranks compare every method with every other.")
    ranking = read_ranking(options.folders)
    page = write_ranks(ranking, options.out or Path("calmix-runs/ranks"), ["calmix", *arguments])
    print_ranks(ranking)
    print(f"report: {page}")


COMMANDS: dict[str, Callable[[Any, Sequence[str]], None]] = {
    "compare": _compare,
    "train": _train,
    "evaluate": _evaluate,
    "diagnose": _diagnose,
    "methods": _methods_list,
    "datasets": _datasets_list,
    "report": _report,
}


# --------------------------------------------------------------------------------- from strings to things


def _source(options: Any) -> Any:
    from calmix.data import read_label_noise
    from calmix.experiment import Source

    return Source(
        options.data,
        options.target,
        options.task,
        options.train_size,
        options.data_dir,
        tuple(options.keep),
        None if options.label_noise is None else read_label_noise(options.label_noise),
    )


def _shift(options: Any) -> Any:
    from calmix.data import CORRUPTIONS
    from calmix.experiment import Shift

    families = options.corruptions  # None where the option is not there, [] where it is bare
    everything = families is not None and (not families or "ALL" in families)
    return Shift(tuple(options.ood), tuple(CORRUPTIONS if everything else families or ()))


def _fit(options: Any) -> Any:
    from dataclasses import fields

    from calmix.train import TrainingSettings

    return TrainingSettings(**{field.name: options[field.name] for field in fields(TrainingSettings)})


def _methods(texts: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
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


def _without_unfit(comparison: Any) -> Any:
    """The comparison without methods that its data or network do not allow, which are named with the reason."""
    from dataclasses import replace

    from calmix.experiment import unfit

    reasons = unfit(comparison.recipes()[: len(comparison.methods)])
    for label, reason in reasons.items():
        print(f"{label} is left out: {reason}", file=sys.stderr)
    methods = {label: method for label, method in comparison.methods.items() if label not in reasons}
    return replace(comparison, methods=methods)


def _default_out(data: str) -> Path:
    return Path("calmix-runs") / Path(data).name.split(".")[0]


# --------------------------------------------------------------------------------------------- on the screen


def _say_notices(source: Any, seed: int = 0) -> None:
    for notice in source.splits(seed).about.notices:
        print(notice, file=sys.stderr)


@contextmanager
def _progress(runs: int, epochs: int) -> Iterator[Callable[[str, int, int], None]]:
    """A live bar over all epochs of all runs, with the time left."""
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
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{runs} runs", total=runs * epochs)

        def tick(label: str, seed: int, epoch: int) -> None:
            done[label, seed] = epoch
            bar.update(task, completed=sum(done.values()), description=escape(f"{label}, seed {seed}"))

        yield tick


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def _print_list(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")


if __name__ == "__main__":
    main()
