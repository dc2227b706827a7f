"""What a user asks of data by name or path, answered before anything is loaded that takes its time."""

from collections.abc import Collection, Sequence
from pathlib import Path

from calmix.data.splits import TASKS, listed
from calmix.data.table.format import DETECTED, TableFormat
from calmix.errors import DataError, SettingError, UnknownNameError


def path_of(data: str, sets: Collection[str]) -> Path | None:
    """The path of a table or folder that a text stands for; None where it is the name of one of the sets.

    Raises UnknownNameError for a word that is neither, and no file or folder that is there.

    >>> path_of("digits", ["digits"]), path_of("own.csv", ["digits"])
    (None, PosixPath('own.csv'))
    """
    if data in sets:
        return None
    path = Path(data).expanduser()
    if not path.suffix and len(path.parts) == 1 and not path.exists():
        raise UnknownNameError("data set", data, [*sets, "path/to/table.csv"])
    return path


TABLE, IMAGES, HUB = "table", "images", "hub"


def kind_of(path: Path) -> str:
    """What a path holds: a table, a folder of images, or one of shards with images as the hub has them.

    >>> kind_of(Path("own.csv"))
    'table'
    """
    if not path.is_dir():
        return TABLE
    names = [*path.glob("*"), *path.glob("*/*")]
    return HUB if any(one.suffix in (".parquet", ".arrow") for one in names) else IMAGES


def check_options(
    data: str, path: Path | None, keep: Sequence[str], drop: Sequence[str], format: TableFormat, image_size: int | None
) -> None:
    """Raise SettingError for options of tables where the data are images, and the other way round."""
    images = path is not None and kind_of(path) != TABLE
    if images and (keep or drop or format != DETECTED):
        raise SettingError(
            f"{data} holds images, and keep, drop and how a file is written are for tables: leave them out."
        )
    if image_size is not None and not images:
        raise SettingError(f"image_size is for folders of images, and {data} is none: leave it out.")


def check_task(task: str | None) -> None:
    """Raise UnknownNameError unless the task is one of TASKS, or None."""
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, TASKS)


def target_of(columns: Sequence[str], target: str | None, drop: Collection[str], name: str) -> str:
    """The column to predict, of the columns of the table `name`.

    Raises:
        DataError: no target. UnknownNameError: no such column. SettingError: a target that is to be left out, too.
    """
    if target is None:
        raise DataError(f"no target column was given for {name}; name one with --target: {listed(columns)}.")
    if target not in columns:
        raise UnknownNameError("target column", target, columns)
    if target in drop:
        raise SettingError(f"{target!r} is the target, and cannot be dropped; leave it out of --drop.")
    return target
