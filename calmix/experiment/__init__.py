"""Runs as values, their records, comparisons and what several seeds say together."""

from calmix.experiment.compare import Comparison, compare, refer
from calmix.experiment.recipe import Recipe, Source
from calmix.experiment.record import Record
from calmix.experiment.run import Finished, run, unfit
from calmix.experiment.shift import Shift
from calmix.experiment.single import train

__all__ = ["Comparison", "Finished", "Recipe", "Record", "Shift", "Source", "compare", "refer", "run", "train", "unfit"]
