"""Data sets as four splits: one function a data set, and `load` for a name or a path."""

from typing import TYPE_CHECKING

from calmix.listing import loads_when_used

if TYPE_CHECKING:
    from calmix.data.bundled import breast_cancer, diabetes, wine
    from calmix.data.corruptions import CORRUPTIONS, SEVERITIES, corrupted
    from calmix.data.human_labels import load_human_labels
    from calmix.data.image_files.source import ImageFolder
    from calmix.data.images import cifar10, digits, fashion_mnist
    from calmix.data.noise import HumanNoise, LabelNoise, Symmetric, read_label_noise
    from calmix.data.ood import OOD_SETS, OODSet, load_ood, notmnist, tiny_imagenet_ood
    from calmix.data.registry import DATASETS
    from calmix.data.series import electricity, etth1, exchange_rate, exchange_rate_max
    from calmix.data.sources import (
        AllData,
        Arrays,
        DataSource,
        Fixed,
        Folds,
        Frame,
        NamedSet,
        Noisy,
        TableFile,
        as_source,
        load,
        read_source,
    )
    from calmix.data.splits import TASKS, About, Split, Splits, cut_train, split_rows, split_sizes
    from calmix.data.table.format import TableFormat
    from calmix.data.toys import circles, two_moons
else:
    __getattr__ = loads_when_used(__name__)

__all__ = [
    "CORRUPTIONS",
    "DATASETS",
    "OOD_SETS",
    "SEVERITIES",
    "TASKS",
    "About",
    "AllData",
    "Arrays",
    "DataSource",
    "Fixed",
    "Folds",
    "Frame",
    "HumanNoise",
    "ImageFolder",
    "LabelNoise",
    "NamedSet",
    "Noisy",
    "OODSet",
    "Split",
    "Splits",
    "Symmetric",
    "TableFile",
    "TableFormat",
    "as_source",
    "breast_cancer",
    "cifar10",
    "circles",
    "corrupted",
    "cut_train",
    "diabetes",
    "digits",
    "electricity",
    "etth1",
    "exchange_rate",
    "exchange_rate_max",
    "fashion_mnist",
    "load",
    "load_human_labels",
    "load_ood",
    "notmnist",
    "read_label_noise",
    "read_source",
    "split_rows",
    "split_sizes",
    "tiny_imagenet_ood",
    "two_moons",
    "wine",
]
