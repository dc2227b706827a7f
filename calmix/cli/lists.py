"""calmix methods, calmix models and calmix datasets: what has a name."""

import argparse
from collections.abc import Mapping

from calmix.cli.command import Command, PlainParser
from calmix.listing import first_lines


def _methods_list(arguments: list[str]) -> None:
    _no_options(METHODS, arguments)
    _print_list(first_lines("methods.table", "METHODS"))


def _models_list(arguments: list[str]) -> None:
    _no_options(MODELS, arguments)
    _print_list(first_lines("models.table", "MODELS"))
    print("or a function of your own that returns a network, such as path/to/nets.py:wide or package.module:wide")


def _datasets_list(arguments: list[str]) -> None:
    _no_options(DATASETS, arguments)
    _print_list(first_lines("data.registry", "DATASETS"))
    print(
        "or the path of your own table (with --target COLUMN), arrays (.npz, ...), series (.ts), or folder of images "
        "or recordings"
    )


def _no_options(command: Command, arguments: list[str]) -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = PlainParser(
        prog=f"calmix {command.name}",
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


METHODS = Command(
    "methods",
    "list the methods",
    _methods_list,
    {
        "every method, in a line": "calmix methods",
        "try every method that the data allow": "calmix compare wine --methods ALL --epochs 2 --out all",
        "one method, with an option of its own": "calmix train wine --method 'sk_mixup(tau_max=0.3)' --out own",
    },
)

MODELS = Command(
    "models",
    "list the networks that have names",
    _models_list,
    {
        "every network, in a line": "calmix models",
        "a narrow ResNet": "calmix train digits --model 'resnet18(width=8)' --out small",
        "a wider perceptron": "calmix train wine --model 'mlp(width=512)' --epochs 20 --out wider",
    },
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
