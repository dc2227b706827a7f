"""Names of data sets, and the one entry point for a name or a path."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from calmix.data.bundled import breast_cancer, diabetes, wine
from calmix.data.images import cifar10, digits, fashion_mnist
from calmix.data.series import exchange_rate
from calmix.data.splits import TASKS, Splits
from calmix.data.toys import circles, two_moons
from calmix.errors import DataError, SettingError, UnknownNameError

DATASETS: dict[str, Callable[..., Splits]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "diabetes": diabetes,
    "two_moons": two_moons,
    "circles": circles,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "exchange_rate": exchange_rate,
}


def load(
    data: str,
    *,
    seed: int = 0,
    train_size: int | None = None,
    target: str | None = None,
    task: str | None = None,
    data_dir: Path | None = None,
    keep: Sequence[str] = (),
) -> Splits:
    """The four splits of a named data set, or of a table in a .csv, .csv.gz or .parquet file.

    Args:
        data: a name in DATASETS, or the path of a table.
        seed: draws the splits; the same seed gives the same splits.
        train_size: rows to train on; all that the split has where None.
        target: the column to predict, of a table.
        task: "classification", "binary" or "regression"; inferred where None.
        data_dir: the folder of an image set's files.
        keep: columns of a table to use although they look like identifiers, dates or free text.

    Raises:
        UnknownNameError: no such data set, task or column.
        SettingError: an option that the data set does not take, or train_size < 1.
        DataError: files or rows that cannot be used; the message says why and what to do.

    >>> splits = load("wine", seed=1, train_size=50)
    >>> len(splits.train), len(splits.test), splits.about.task
    (50, 35, 'classification')
    """
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    if data in DATASETS:
        if target is not None or keep:
            raise SettingError(
                f"target and keep are for tables of your own; {data} has its columns set: leave them out."
            )
        return _named(data, seed, train_size, task, data_dir)
    if data_dir is not None:
        raise SettingError(
            f"data_dir is for sets that have names and files; {data!r} is not one of them: leave it out."
        )
    path = Path(data).expanduser()
    if not path.suffix and len(path.parts) == 1:
        raise UnknownNameError("data set", data, [*DATASETS, "path/to/table.csv"])
    from calmix.data.table import read_table, table_splits  # pandas takes its time

    name = path.name.removesuffix(".gz").removesuffix(path.suffix)
    return table_splits(
        read_table(path), target, name=name, source=str(path), task=task, seed=seed, train_size=train_size, keep=keep
    )


def _named(name: str, seed: int, train_size: int | None, task: str | None, data_dir: Path | None) -> Splits:
    make = DATASETS[name]
    folder = {} if data_dir is None else {"data_dir": data_dir}
    if folder and "data_dir" not in inspect.signature(make).parameters:
        raise SettingError(f"data_dir was given, but {name} is embedded and reads no folder: leave it out.")
    splits = make(seed=seed, train_size=train_size, **folder)
    about = splits.about
    if task in (None, about.task):
        return splits
    if task == "binary" and len(about.classes) == 2:
        return replace(splits, about=replace(about, task="binary"))
    kind = f"{about.task} with {len(about.classes)} classes" if about.classes else about.task
    raise DataError(f"task {task!r} was asked for, but {name} is {kind}; leave the task out.")
