"""calmix diagnose: whether wrong labels grow with distance."""

from pathlib import Path
from typing import TYPE_CHECKING

from calmix.cli.checks import asked_methods, check_data, check_output, refuse_torchrun
from calmix.cli.command import Command
from calmix.cli.groups import add_data, add_methods, add_results, add_set, add_training
from calmix.cli.objects import default_out, methods_of, model_of, settings_of, source_of
from calmix.cli.screen import describe, print_notices, progress

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    add_data(parser)
    diagnosis = parser.add_argument_group("diagnosis")
    add_methods(diagnosis, "whose mixes to judge (default: mixup sk_mixup)", default=("mixup", "sk_mixup"))
    add_set(diagnosis)
    diagnosis.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3; claims need ten)")
    diagnosis.add_argument("--pairs", type=int, default=3000, help="random pairs of training rows a seed")
    diagnosis.add_argument(
        "--oracle-rows", type=int, default=20_000, help="rows for the oracle, at most (default: 20,000)"
    )
    diagnosis.add_argument(
        "--oracle-epochs", type=int, help="epochs of the oracle (default: 100,000 rows' worth, from 5 to 100)"
    )
    diagnosis.add_argument("--labels-only", action="store_true", help="leave out the derivatives, which train more")
    add_training(parser)
    add_results(parser, "calmix-runs/DATA-diagnosis", "diagnosis")


def _run(arguments: list[str]) -> None:
    refuse_torchrun("diagnose")
    options = COMMAND.parser().parse_args(arguments)
    asked, settings = asked_methods(options.methods, options.set), settings_of(options)
    check_output(options)
    check_data(options)

    from calmix.studies.diagnosis.oracle import OracleSettings
    from calmix.studies.diagnosis.page import write_diagnosis
    from calmix.studies.diagnosis.study import Diagnosis, diagnose

    methods, oracle = methods_of(asked), OracleSettings(options.oracle_rows, options.oracle_epochs)
    source = source_of(options)
    if options.describe:
        return describe(source)
    diagnosis = Diagnosis(
        source,
        methods,
        model_of(options),
        settings,
        options.seeds,
        oracle,
        options.pairs,
        derivatives=not options.labels_only,
    )
    out = options.out or Path(f"{default_out(options.data)}-diagnosis")
    print_notices(source, options)
    with progress(diagnosis.runs, settings.epochs, options) as tick:
        found = diagnose(diagnosis, out, options.resume, ["calmix", "diagnose", *arguments], tick)
    page = write_diagnosis(out)
    if not options.quiet:
        print("\n\n".join([found.verdict.headline, *found.verdict.reasons, " ".join(found.verdict.cautions)]))
    print(f"report: {page}")


COMMAND = Command(
    "diagnose",
    "do wrong labels grow with distance, and what does each method do about it?",
    _run,
    {
        "Mixup and Similarity Kernel Mixup on two half moons": "calmix diagnose two_moons",
        "what mixing does to labels, and no derivatives": (
            "calmix diagnose wine --methods mixup far_mixup --labels-only"
        ),
        "a quick look at handwritten digits": "calmix diagnose digits --train-size 300 --seeds 1 --epochs 5",
    },
    "DATA [--target COLUMN] [options]",
    _add_options,
)
