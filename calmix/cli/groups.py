"""Groups of options that several commands have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.errors import DataError
from calmix.listing import names_in

if TYPE_CHECKING:
    from jsonargparse._core import ArgumentGroup

    from calmix.cli.parser import OptionParser

WRITTEN_AS = {
    "sep": "what stands between cells: a character, tab or space",
    "decimal": "what stands before decimals: . or ,",
    "thousands": "what stands between thousands: , . ' or space",
    "encoding": "how letters are stored, such as utf-8 or cp1252",
    "sheet": "the sheet of an .xlsx file",
}  # of how a table is written


def known_methods() -> tuple[str, ...]:
    return names_in("methods.table", "METHODS")


def add_methods(
    group: "ArgumentGroup", text: str, default: Sequence[str] | None = None, more: Sequence[str] = ()
) -> None:
    """more: what may be given beside methods."""
    known = (*more, *known_methods())
    given = None if default is None else list(default)
    group.add_argument("--methods", nargs="+", type=str, default=given, metavar="METHOD", known=known, help=text)


def add_method(group: "ArgumentGroup", option: str, text: str) -> None:
    group.add_argument(option, type=str, metavar="METHOD", known=known_methods(), help=text)


def add_data(parser: "OptionParser") -> None:
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
    add_labels(files, "their folders")
    files.add_argument(
        "--seconds", type=float, help="how long a part of each is heard (default: as long as 95 % of them are)"
    )
    series = parser.add_argument_group("series of your own, a row a step")
    for name, what in (("id", "whose value names the series of a row"), ("time", "that orders the steps of a series")):
        series.add_argument(
            f"--series-{name}", type=str, metavar="COLUMN", help=f"the column {what} (default: rows are no steps)"
        )
    table.add_argument("--describe", action="store_true", help="print what each column is taken for, and train nothing")
    add_format(table)


def add_labels(group: "ArgumentGroup", default: str) -> None:
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help=f"a table with the columns file, label, and maybe split, group (default: {default})",
    )


def add_set(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        type=str,
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="options of methods, such as sk_mixup.tau_max=0.3 (default: each method's own)",
    )


def add_training(parser: "OptionParser") -> None:
    from calmix.train import TrainingSettings
    from calmix.train.averaging import AVERAGES
    from calmix.train.settings import CHOICES

    training = parser.add_argument_group("training")
    add_model(training, "resnet for images, or else mlp")
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


def add_model(group: "ArgumentGroup", default: str) -> None:
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


def add_results(parser: "OptionParser", out: str, resumes: str | None = None, what: str = "results") -> "ArgumentGroup":
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


def add_format(table: "ArgumentGroup") -> None:
    for name, text in WRITTEN_AS.items():  # as text: YAML has meanings of its own for '#' and '~'
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


def add_robustness(parser: "OptionParser") -> None:
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


def add_workers(group: "ArgumentGroup", what: str = "runs") -> None:
    group.add_argument(
        "--workers",
        type=int,
        help=f"{what} at a time (default: one a CPU core, if memory allows, at most 8; one on a GPU)",
    )
    group.add_argument(
        "--run-timeout", type=float, metavar="MINUTES", help="end one that takes longer, as a failure (default: none)"
    )


def add_scheduler(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--scheduler",
        type=str,
        metavar="ADDRESS",
        known=("local",),
        help="of a Dask cluster, such as tcp://head:8786, or local (default: none)",
    )
    add_mixed(group)
    group.add_argument(
        "--ship-data", action="store_true", help="send the rows to the cluster with each run, at most 10 MB"
    )


def add_mixed(group: "ArgumentGroup") -> None:
    group.add_argument(
        "--allow-mixed", action="store_true", help="take other versions of calmix, PyTorch or Python there, too"
    )
