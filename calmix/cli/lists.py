"""calmix methods, calmix models and calmix datasets: what has a name."""

import argparse
from typing import Any

from calmix.cli.command import Command, PlainParser
from calmix.errors import UnknownNameError
from calmix.listing import first_lines, in_full, names_in

_METHOD_NAMES, _MODEL_NAMES = ("method", "methods.table", "METHODS"), ("model", "models.table", "MODELS")


def _methods_list(arguments: list[str]) -> None:
    _all_or_one(METHODS, arguments, *_METHOD_NAMES)


def _models_list(arguments: list[str]) -> None:
    own = "or a function of your own that returns a network, such as path/to/nets.py:wide or package.module:wide"
    _all_or_one(MODELS, arguments, *_MODEL_NAMES, own)


def _datasets_list(arguments: list[str]) -> None:
    _parser(DATASETS).parse_args(arguments)
    own = "or the path of your own table (with --target COLUMN), arrays (.npz, ...), series (.ts), or folder of images"
    _print_list("data.registry", "DATASETS", f"{own} or recordings")


def _all_or_one(command: Command, arguments: list[str], kind: str, module: str, table: str, more: str = "") -> None:
    """A line for each name, and `more`; or all that is said of the name that was given."""
    parser = _parser(command)
    _add_name(parser, kind, module, table)
    name = parser.parse_args(arguments).name
    if name is None:
        _print_list(module, table, more)
    elif name in (names := names_in(module, table)):
        print(in_full(module, name))
    else:
        raise UnknownNameError(kind, name, names)


def _add_name(parser: Any, kind: str, module: str, table: str) -> None:
    action = parser.add_argument("name", nargs="?", metavar="NAME", help=f"show this {kind} in full, with its options")
    action.known = names_in(module, table)


def _parser(command: Command) -> PlainParser:
    form = argparse.RawDescriptionHelpFormatter
    return PlainParser(
        prog=f"calmix {command.name}",
        description=command.summary,
        epilog=command.epilog,
        formatter_class=form,
        allow_abbrev=False,
    )


def _print_list(module: str, table: str, more: str) -> None:
    lines = first_lines(module, table)
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")
    if more:
        print(more)


METHODS = Command(
    "methods",
    "list the methods",
    _methods_list,
    {
        "every method, in a line": "calmix methods",
        "one of them in full, with its options": "calmix methods sk_mixup",
        "try every method that the data allow": "calmix compare wine --methods ALL --epochs 2 --out all",
        "one method, with an option of its own": "calmix train wine --method 'sk_mixup(tau_max=0.3)' --out own",
    },
    add_options=lambda parser: _add_name(parser, *_METHOD_NAMES),
)

MODELS = Command(
    "models",
    "list the networks that have names",
    _models_list,
    {
        "every network, in a line": "calmix models",
        "one of them in full, with its options": "calmix models resnet18",
        "a narrow ResNet": "calmix train digits --model 'resnet18(width=8)' --out small",
        "a wider perceptron": "calmix train wine --model 'mlp(width=512)' --epochs 20 --out wider",
    },
    add_options=lambda parser: _add_name(parser, *_MODEL_NAMES),
)

DATASETS = Command(
    "datasets",
    "list the data sets",
    _datasets_list,
    {
        "every data set, in a line": "calmix datasets",
        "train on one": "calmix train breast_cancer",
        "train on a part of one": "calmix train breast_cancer --train-size 50 --out few",
    },
)
