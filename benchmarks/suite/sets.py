"""The data sets, and what is trained on them: named before the first run.

`DEVELOPMENT` sets may be looked at as often as one likes; the ideas of `auto` are tried on them. `HELD_BACK` sets are
trained on once, when everything has been decided. Of the tables that share rows (mfeat_*, wine_quality_*, dna and
splice), none of one half has its sibling in the other but mfeat_fourier and mfeat_morphological, which have other
columns than mfeat_karhunen and mfeat_zernike.
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from calmix.data import Split, Splits
from calmix.data.sources import DataSource, NamedSet, TableFile
from calmix.models import ModelFactory, mlp, resnet
from calmix.train import TrainingSettings


def normed(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The built-in perceptron with batch norm after each hidden layer."""
    sizes = [shape[0], 256, 256]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))


@dataclass(frozen=True)
class Smaller:
    """A source as it would be with fewer rows: validation and calibration splits have a sixth of the training rows.

    Else a method that learns from validation rows would have more of them than anyone with so few rows has.
    """

    source: DataSource

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    @lru_cache(maxsize=1)  # noqa: B019 - as sources of the library keep their last splits
    def splits(self, seed: int) -> Splits:
        whole = self.source.splits(seed)
        draw = torch.Generator().manual_seed(seed)
        rows = len(whole.train) // 6

        def fewer(split: Split) -> Split:
            return split.part(torch.randperm(len(split), generator=draw)[:rows])

        return replace(whole, validation=fewer(whole.validation), calibration=fewer(whole.calibration))

    def whole(self) -> "Smaller":
        return replace(self, source=self.source.whole())


@dataclass(frozen=True)
class Set:
    """A data set of the suite. rows: to train on, at most; None: all that the split has."""

    name: str
    rows: int | None
    model: ModelFactory = mlp
    epochs: int = 50

    @property
    def source(self) -> DataSource:
        """Its splits.

        Raises:
            SystemExit: CALMIX_DATA does not name the folder of the tables.
        """
        if self.model is resnet:
            return Smaller(NamedSet(self.name.split()[0], self.rows))
        folder = Path(os.environ.get("CALMIX_DATA", "")) / "tabular" / "classification"
        if not folder.is_dir():
            raise SystemExit(
                f"{self.name} is a table of PMLB, and there is no folder {folder}; give CALMIX_DATA a folder that has "
                f"tabular/classification/{self.name}.csv.gz, with the classes in the column target."
            )
        return Smaller(TableFile(folder / f"{self.name}.csv.gz", "target", "classification", self.rows))

    @property
    def settings(self) -> TrainingSettings:
        return TrainingSettings(epochs=self.epochs, device="cpu")


# every second table with batch norm, in the order of the alphabet
DEVELOPMENT = (
    Set("cmc", 500),
    Set("credit_g", 500, normed),
    Set("dna", 500),
    Set("iris", None, normed),
    Set("krkopt", 2000),
    Set("mfeat_fourier", 500, normed),
    Set("mfeat_morphological", 500),
    Set("optdigits", 500, normed),
    Set("phoneme", 500),
    Set("spambase", 1000, normed),
    Set("splice", 500),
    Set("vehicle", None, normed),
    Set("wdbc", None),
    Set("wine_quality_red", 500, normed),
    Set("wine_quality_white", 1000),
    Set("wine_recognition", None, normed),
    Set("digits", None, resnet, epochs=15),
    Set("fashion_mnist 500", 500, resnet, epochs=40),
)
HELD_BACK = (
    Set("adult", 1000, normed),
    Set("arrhythmia", None),
    Set("balance_scale", None, normed),
    Set("churn", 500),
    Set("connect_4", 2000, normed),
    Set("ionosphere", None),
    Set("letter", 2000, normed),
    Set("magic", 1000),
    Set("mfeat_karhunen", 500, normed),
    Set("mfeat_zernike", 500),
    Set("nursery", 500, normed),
    Set("pendigits", 500),
    Set("pima_diabetes", None, normed),
    Set("shuttle", 500),
    Set("soybean_arff", None, normed),
    Set("waveform_40", 500),
    Set("yeast", None, normed),
    Set("fashion_mnist 2000", 2000, resnet, epochs=20),
    Set("cifar10 1000", 1000, resnet, epochs=30),
)
HALVES = {"development": DEVELOPMENT, "held back": HELD_BACK}
