"""Strings become objects here, and nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calmix.cli.groups import WRITTEN_AS
from calmix.errors import SettingError

if TYPE_CHECKING:
    from calmix.core.method import Method, Scheduled
    from calmix.data import DataSource, TableFormat
    from calmix.engines import Engine
    from calmix.models import ModelFactory
    from calmix.train import Robustness, TrainingSettings

RUNS = Path("calmix-runs")


def source_of(options: Any) -> "DataSource":
    from calmix.data import Noisy, read_label_noise, read_source
    from calmix.data.asked import OPTIONS, WRITTEN

    given = {name: options[name] for name in ("task", "train_size", *OPTIONS) if name not in ("format", *WRITTEN)}
    source = read_source(options.data, **given, format=format_of(options))
    return Noisy(source, read_label_noise(options.label_noise), options.data_dir) if options.label_noise else source


def format_of(options: Any) -> "TableFormat":
    from calmix.data import TableFormat

    if options.header and options.no_header:
        raise SettingError("--header and --no-header exclude each other; give one of them.")
    header = True if options.header else False if options.no_header else None
    return TableFormat(**{name: options[name] for name in WRITTEN_AS}, header=header)


def engine_of(options: Any) -> "Engine":
    from calmix.engines import Cluster, Processes

    if options.scheduler is None:
        return Processes(options.workers)
    return Cluster(options.scheduler, options.workers, options.allow_mixed, options.ship_data)


def model_of(options: Any) -> "ModelFactory | None":
    from calmix.models import read_model, with_output

    output = options.output
    if options.model is None:
        if output is not None:
            raise SettingError("--output chooses from what a network of your own returns; give --model, too.")
        return None
    model = read_model(options.model)
    return model if output is None else with_output(model, int(output) if output.isdecimal() else output)


def settings_of(options: Any) -> "TrainingSettings":
    from dataclasses import fields

    from calmix.train import TrainingSettings

    return TrainingSettings(**{field.name: options[field.name] for field in fields(TrainingSettings)})


def robustness_of(options: Any) -> "Robustness":
    from calmix.data import CORRUPTIONS, OODSet
    from calmix.train import Robustness

    families = options.corruptions  # None where the option is not there, [] where it is bare
    everything = families is not None and (not families or "ALL" in families)
    ood = tuple(OODSet(name, options.data_dir) for name in options.ood)
    return Robustness(ood, tuple(CORRUPTIONS if everything else families or ()), options.data_dir)


def methods_of(asked: Mapping[str, Mapping[str, str]]) -> "dict[str, Method | Scheduled]":
    """Methods by label: the text that names them."""
    from calmix.methods.read import read_method

    return {text: read_method(text, options) for text, options in asked.items()}


def default_out(data: str) -> Path:
    return RUNS / Path(data).name.split(".")[0]
