"""Tables as benchmarks publish them: of so many rows, perhaps with lists of test rows beside them."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.data.folders import digest_of_files, find_file
from calmix.data.sources import Frame
from calmix.data.splits import Splits
from calmix.errors import DataError, SettingError

LISTS = "test_splits"  # the array of a file of lists


@dataclass(frozen=True)
class PublishedTable:
    """A table in NAME.csv, perhaps gzipped, of numbers, some of which may be missing. The last column is called target.

    rows, columns: how many it has, the target counted. classes: how many, with any names; None: the target is a number.

    >>> PublishedTable("iris", 150, 5, classes=3).find("tables", Path("nowhere"), "get it")
    Traceback (most recent call last):
    calmix.errors.DataError: tables: no file iris.csv or iris.csv.gz found (looked in nowhere, nowhere/tables); get it.
    """

    name: str
    rows: int
    columns: int
    classes: int | None = None

    def find(self, folder: str, data_dir: Path | None, advice: str) -> Path:
        """Its file, see `find_file`. Raise DataError where that is absent or another table."""
        from calmix.data.table.files import read_table
        from calmix.data.table.format import TableFormat

        path = find_file(folder, f"{self.name}.csv", data_dir, advice)
        if (differs := self._differs(read_table(path, TableFormat(header=True)).frame)) is not None:
            raise DataError(f"{path} {differs}; get the file anew, or compare methods on it with calmix compare.")
        return path

    def _differs(self, frame: pd.DataFrame) -> str | None:
        """In what a table is another one."""
        if frame.shape != (self.rows, self.columns):
            rows, columns = frame.shape
            return f"has {rows:,} rows of {columns} columns, and {self.name} {self.rows:,} of {self.columns}"
        if frame.columns[-1] != "target":
            return f"must have a last column named target, which is {frame.columns[-1]!r}"
        for name, column in frame.items():
            given, number = column.notna(), np.isfinite(np.array(pd.to_numeric(column, errors="coerce"), np.float64))
            fits = (given if self.classes else number) if name == "target" else number | ~given
            for row in np.flatnonzero(~fits)[:1]:
                cell = repr(str(column.iloc[row])) if given.iloc[row] else "nothing"
                return f"holds {cell} for {str(name)!r} of row {row + 1}"
        found = len(frame["target"].unique())
        if self.classes not in (None, found):
            return f"has {found} different targets, and {self.name} {self.classes}"
        return None


@dataclass(frozen=True)
class ListedSplits:
    """A table, and lists of its test rows: seed s tests list s; the other splits are drawn from the remaining rows.

    path: a table file. lists: a .npz file whose array `test_splits` (S, at most n) holds row numbers from 0, a list a
    line, filled up with -1. Other fields are those of `calmix.data.load`.

    Raises:
        DataError: a file that cannot be read, or row numbers that the table does not have, or has twice in a list.
        SettingError: a seed beyond the lists.
    """

    path: Path
    lists: Path
    target: str = "target"
    task: str | None = None
    train_size: int | None = None

    def splits(self, seed: int) -> Splits:
        return _splits(self, seed, tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in self._files))

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.path, self.lists

    def whole(self) -> "ListedSplits":
        return ListedSplits(self.path, self.lists, self.target, self.task)


@lru_cache(maxsize=1)
def _splits(source: ListedSplits, seed: int, modified: tuple[int, ...]) -> Splits:
    from calmix.data.table.files import read_table

    frame, lists = read_table(source.path).frame, read_lists(source.lists)
    if seed >= len(lists):
        raise SettingError(f"{source.lists} holds {len(lists)} lists of test rows: take at most {len(lists)} seeds.")
    for number, rows in enumerate(lists):  # all, so that no later seed fails
        if not 0 < len(rows) < len(frame) or rows.max() >= len(frame) or len(set(rows.tolist())) < len(rows):
            raise DataError(
                f"{source.lists}: list {number} must hold different rows of the {len(frame)} in {source.path.name}, "
                "and not all; get both files from the same place."
            )
    rows = lists[seed]
    tested = np.isin(np.arange(len(frame)), rows)
    name = source.path.name.removesuffix(".gz").removesuffix(".csv")
    options = {"task": source.task, "train_size": source.train_size, "name": name}
    splits = Frame(frame[~tested], source.target, test=frame[tested], **options).splits(seed)
    about = replace(splits.about, source=str(source.path), digest=digest_of_files(source._files))
    return replace(splits, about=about)


def read_lists(path: Path) -> list[NDArray[np.int64]]:
    """The lists of a file, see `ListedSplits`. Raise DataError where they cannot be read."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            lists = file[LISTS]
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        raise DataError(f"{path} holds no array {LISTS!r} of row numbers; get the file anew.") from None
    if lists.ndim != 2 or lists.dtype.kind not in "iu" or lists.size == 0 or lists.min() < -1:
        raise DataError(f"{path}: {LISTS} must hold whole row numbers (lists, rows), filled up with -1.")
    return [one[one >= 0].astype(np.int64) for one in lists]
