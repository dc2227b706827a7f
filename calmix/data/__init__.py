"""Data sets as four splits: one function a data set, and `load` for a name or a path."""

from calmix.data.bundled import breast_cancer, diabetes, wine
from calmix.data.images import cifar10, digits, fashion_mnist
from calmix.data.registry import DATASETS, load
from calmix.data.series import exchange_rate
from calmix.data.splits import TASKS, About, Split, Splits, cut_train, split_rows, split_sizes

__all__ = [
    "DATASETS",
    "TASKS",
    "About",
    "Split",
    "Splits",
    "breast_cancer",
    "cifar10",
    "cut_train",
    "diabetes",
    "digits",
    "exchange_rate",
    "fashion_mnist",
    "load",
    "split_rows",
    "split_sizes",
    "wine",
]
