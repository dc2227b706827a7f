"""An experiment by its name."""

from importlib import import_module
from pathlib import Path

from calmix.errors import UnknownNameError
from calmix.reproduction.experiment import Experiment
from calmix.reproduction.table import EXPERIMENTS, SCALES


def experiment(name: str, scale: str = "small", data_dir: Path | None = None) -> Experiment:
    """An experiment of EXPERIMENTS at a scale.

    data_dir: the folder of its data; None: the usual places, see `calmix.data`.

    Raises:
        UnknownNameError: no such experiment or scale. DataError: its data are not there; it says where to get them.
    """
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    entry = EXPERIMENTS[name]
    module, function = entry.make
    make = getattr(import_module(f"calmix.reproduction.{module}"), function)
    return make(scale=scale, data_dir=data_dir, **entry.options)
