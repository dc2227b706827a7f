"""What a user asks of data by name, answered before anything is loaded that takes its time."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from calmix.data.splits import TASKS, listed
from calmix.errors import DataError, SettingError, UnknownNameError


def path_of(data: str, sets: Collection[str]) -> Path | None:
    """The path of a table that a text stands for; None where it is the name of one of the sets.

    Raises UnknownNameError for a word that is neither.

    >>> path_of("digits", ["digits"]), path_of("own.csv", ["digits"])
    (None, PosixPath('own.csv'))
    """
    if data in sets:
        return None
    path = Path(data).expanduser()
    if not path.suffix and len(path.parts) == 1:
        raise UnknownNameError("data set", data, [*sets, "path/to/table.csv"])
    return path


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


def check_ready(path: Path, ready: Mapping[str, Path]) -> None:
    """Raise SettingError where the file of a ready-made part is that of another part. path: of the training file."""
    known = {path.resolve(): "the training file"}
    for part, file in ready.items():
        other = known.setdefault(file.resolve(), f"the file of the {part} split")
        if other != f"the file of the {part} split":
            raise SettingError(f"--{part} is {file}, {other}; give a file of other rows.")


def check_columns(name: str, columns: Collection[str], needed: Sequence[str]) -> None:
    """Raise DataError where a ready-made part lacks a column. name: of its file."""
    if lacking := [column for column in needed if column not in columns]:
        raise DataError(f"{name} lacks the column {lacking[0]!r}, which the training file has; add it.")
