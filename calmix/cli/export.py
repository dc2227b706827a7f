"""calmix export: a trained network as an ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING

from calmix.cli.command import Command
from calmix.cli.groups import add_model
from calmix.cli.objects import model_of
from calmix.errors import DataError, SettingError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    given = parser.add_argument_group("network")
    given.add_argument("network", type=Path, metavar="DIR", help="the folder that calmix train left")
    add_model(given, "as trained, if it is calmix's")
    results = parser.add_argument_group("output")
    results.add_argument("--onnx", action="store_true", help="write an ONNX file, checked against PyTorch")
    results.add_argument("--out", type=Path, metavar="FILE", help=".onnx file (default: DIR/model.onnx)")


def _run(arguments: list[str]) -> None:
    options = COMMAND.parser().parse_args(arguments)
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
    export_onnx(load(options.network, model_of(options)), out)
    print(f"network: {out} (ONNX, opset {OPSET}; within {TOLERANCE:g} of PyTorch on random rows)")


COMMAND = Command(
    "export",
    "a trained network as an ONNX file, for programs without PyTorch",
    _run,
    {
        "a network": "calmix train wine --method mixup --epochs 20 --out wine-net",
        "wine-net/model.onnx, from rows to calibrated probabilities": "calmix export wine-net --onnx",
        "the same, in another file": "calmix export wine-net --onnx --out wine.onnx",
    },
    "DIR --onnx [options]",
    _add_options,
)
