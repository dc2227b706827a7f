"""calmix train: one network, kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.checks import asked_methods, check_data, check_loggers, check_output, minutes_of, rank_of_torchrun
from calmix.cli.command import Command
from calmix.cli.groups import add_data, add_method, add_results, add_robustness, add_set, add_training
from calmix.cli.objects import default_out, methods_of, model_of, robustness_of, settings_of, source_of
from calmix.cli.screen import describe, print_notices, progress
from calmix.errors import SettingError

if TYPE_CHECKING:
    from calmix.cli.parser import OptionParser


def _add_options(parser: "OptionParser") -> None:
    add_data(parser)
    method = parser.add_argument_group("method")
    add_method(method, "--method", "how to mix (default: auto; erm for numbers to predict; sk_mixup with --all-data)")
    add_set(method)
    method.add_argument("--seed", type=int, default=0, help="draws the splits, the first weights and the mixes")
    method.add_argument("--all-data", action="store_true", help="train on the validation rows, too, in the end")
    add_training(parser)
    add_robustness(parser)
    add_results(parser, "calmix-runs/DATA-METHOD-seedN", "run")


def _run(arguments: list[str]) -> None:
    from calmix.methods.defaults import TRAINED, trained

    options = COMMAND.parser().parse_args(arguments)
    asked = asked_methods([options.method or TRAINED], options.set)
    settings, minutes = settings_of(options), minutes_of(options)
    own_rank = rank_of_torchrun(settings.devices)
    check_output(options)
    check_loggers(options)
    _check_all_data(options)
    check_data(options)

    from calmix.data import AllData
    from calmix.methods.asked import method_name
    from calmix.studies.comparison.kept import train_along, train_and_keep
    from calmix.train import Recipe
    from calmix.train.recipe import check_seed

    if options.describe:
        return describe(source_of(options), options.seed)
    check_seed(options.seed)
    source = AllData(source_of(options)) if options.all_data else source_of(options)
    if options.method is None:
        splits = source.splits(options.seed)
        asked = asked_methods([trained(splits.about.task == "regression", len(splits.validation) > 0)], options.set)
    methods = methods_of(asked)
    if len(methods) > 1:
        raise SettingError(f"train trains one method; got {options.method!r}: name one, or use calmix compare.")
    [(label, method)] = methods.items()
    given = options.seed, robustness_of(options)
    recipe = Recipe(source, label, method, model_of(options), settings, *given)
    name = f"{Path(options.data).name.split('.')[0]}-{method_name(label)}-seed{recipe.seed}"
    out = options.out or default_out(name)
    if own_rank > 0:
        return train_along(recipe, out, options.resume, minutes)
    print_notices(recipe.data, options, recipe.seed)
    command = ["calmix", "train", *arguments]
    with progress(1, recipe.settings.epochs, options) as tick:
        on_epoch = lambda epoch, model: tick(label, recipe.seed, epoch.number, epoch)  # noqa: E731
        kept = train_and_keep(recipe, out, command, on_epoch, options.resume, minutes, options.logger)
    page = kept.write_report(out)
    if not options.quiet:
        kept.print()
    print(f"report: {page}\nnetwork: {out} (for calmix predict)")


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


COMMAND = Command(
    "train",
    "train one network, and keep its metrics and its weights",
    _run,
    {
        "mixing that sets its own strength, on 1,797 handwritten digits": "calmix train digits",
        "plain Mixup on a small table, with another seed": "calmix train wine --method mixup --epochs 50 --seed 1",
        "a regression, with another optimizer": ("calmix train diabetes --method c_mixup --optimizer adamw"),
    },
    "DATA [--target COLUMN] [options]",
    _add_options,
)
