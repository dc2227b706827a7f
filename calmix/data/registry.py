"""DATASETS: the only table of names of data sets; and their splits, by name or by path."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from calmix.data.asked import check_ready, check_task, target_of
from calmix.data.bundled import breast_cancer, diabetes, wine
from calmix.data.folders import digest_of_files
from calmix.data.images import cifar10, digits, fashion_mnist
from calmix.data.series import electricity, etth1, exchange_rate, exchange_rate_max
from calmix.data.splits import Draw, Splits
from calmix.data.table.format import DETECTED, TableFormat
from calmix.data.table.roles import NO_ROLES, Roles
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
    "exchange_rate_max": exchange_rate_max,
    "etth1": etth1,
    "electricity": electricity,
}

FOLDABLE = ("digits", "breast_cancer", "wine", "diabetes")  # whose splits are all drawn from the same rows


def path_splits(
    path: Path,
    target: str | None,
    seed: Draw,
    train_size: int | None,
    task: str | None,
    keep: Sequence[str],
    drop: Sequence[str] = (),
    format: TableFormat = DETECTED,
    roles: Roles = NO_ROLES,
    ready: Mapping[str, Path] | None = None,
) -> Splits:
    """The splits of a table in a file. ready: the files of ready-made splits, by name of PARTS."""
    from calmix.data.table.files import read_table  # pandas takes its time
    from calmix.data.table.frames import table_splits
    from calmix.data.table.given import TableRows

    check_task(task)
    check_ready(path, ready or {})
    name = path.name.removesuffix(".gz").removesuffix(path.suffix)
    files = {"train": path, **(ready or {})}
    tables = {part: read_table(file, format) for part, file in files.items()}
    rows = {
        part: TableRows(table.frame, str(files[part].name), table.numbers, table.unit) for part, table in tables.items()
    }
    options = {"task": task, "seed": seed, "train_size": train_size, "keep": keep, "drop": drop, "roles": roles}
    training = rows.pop("train")
    target_of(list(training.frame), target, drop, name, tables["train"].sheets)
    splits = table_splits(training.frame, target, name=name, source=str(path), **options, rows=training, ready=rows)
    notices = (*(notice for table in tables.values() for notice in table.notices), *splits.about.notices)
    about = replace(splits.about, digest=digest_of_files(files.values()), notices=notices)
    return replace(splits, about=about)


def named_splits(name: str, seed: Draw, train_size: int | None, task: str | None, data_dir: Path | None) -> Splits:
    """The splits of a set in DATASETS."""
    check_task(task)
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
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
