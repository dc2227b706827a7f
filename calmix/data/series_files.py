"""Series of one's own as splits: .ts files, and long tables.

n series of t steps and d columns
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from calmix.data.array_parts import array_of
from calmix.data.array_rows import scaled
from calmix.data.asked import SERIES
from calmix.data.folders import digest_of_files, last_change
from calmix.data.goals import check_finite, class_texts, goal_of
from calmix.data.new_rows import NewRows
from calmix.data.series_tables import LongColumns, columns_of, read_long
from calmix.data.series_text import read_ts
from calmix.data.splits import About, RowIds
from calmix.data.table.format import DETECTED, TableFormat
from calmix.data.whole import Whole, WholeSource
from calmix.errors import DataError, SettingError
from calmix.reading import visible


@dataclass(frozen=True, repr=False)
class SeriesFile(WholeSource):
    """Series (t, d) of a .ts file; or of a folder with NAME_TRAIN.ts and NAME_TEST.ts, of which the second is the test.

    Series of different lengths are made alike, see `alike`.
    """

    path: Path
    task: str | None = None
    train_size: int | None = None

    @property
    def foldable(self) -> bool:
        """Whether no test part is given."""
        return not self.path.is_dir()

    @property
    def _changed(self) -> int:
        return last_change([self.path])

    @property
    def _whole(self) -> Whole:
        return _whole_of_ts(self.path, self.task, self._changed)


@dataclass(frozen=True, repr=False)
class SeriesTable(WholeSource):
    """Series (t, d) of a long table: a row a step; columns of the series' id, of the time, and of the target.

    The target is one of a series. Other columns are numbers, and are learned from, but those in drop.
    """

    path: Path
    target: str
    series_id: str
    series_time: str
    task: str | None = None
    train_size: int | None = None
    drop: tuple[str, ...] = ()
    format: TableFormat = DETECTED

    @property
    def _changed(self) -> int:
        return last_change([self.path])

    @property
    def _whole(self) -> Whole:
        columns = columns_of(self.path, self.format, self.target, self.series_id, self.series_time, self.drop)
        return _whole_of_table(self.path, self.format, columns, self.task, self._changed)


@lru_cache(maxsize=1)
def _whole_of_ts(path: Path, task: str | None, changed: int) -> Whole:
    files = _ts_files(path)
    parts = {part: read_ts(files[part]) for part in ("test", "train") if part in files}  # test rows come first
    series = [one for read in parts.values() for one in read.series]
    labels = [read.labels for read in parts.values() if read.labels is not None]
    if len(labels) < len(parts):
        raise DataError(f"{path} holds series without classes or targets (@classLabel false); give some that have.")
    tests = len(parts["test"].series) if "test" in parts else 0
    tested = files.get("test", path)
    given = {"test": np.arange(tests)} if tests else {}
    lines = parts["test"].lines if tests else parts["train"].lines
    numbers = np.concatenate([lines, lines[-1] + 1 + np.arange(len(series) - len(lines))])
    note = f"Lines are those of {visible(tested.name)}, counted from 1."
    name = path.resolve().name.removesuffix(".ts")
    about = _about(name, str(path), digest_of_files(files.values()), ())
    return _whole(series, np.concatenate(labels), task, about, given, (numbers, "line", note))


@lru_cache(maxsize=1)
def _whole_of_table(path: Path, format: TableFormat, columns: LongColumns, task: str | None, changed: int) -> Whole:
    read = read_long(path, format, columns)
    assert read.labels is not None, "columns_of refuses a table without the target"
    about = _about(path.name.split(".")[0], str(path), digest_of_files([path]), read.notices)
    note = f"Rows are series, counted from 1 as they first appear in {visible(path.name)}."
    counted = np.arange(1, len(read.names) + 1), "row", note
    return _whole(read.series, read.labels, task, about, {}, counted, columns)


def _about(name: str, source: str, digest: str, notices: tuple[str, ...]) -> About:
    return About(name, "", "series", (), (), False, source, notices=notices, digest=digest)


def _whole(
    series: Sequence[NDArray[np.float64]],
    labels: NDArray[Any],
    task: str | None,
    about: About,
    given: Mapping[str, RowIds],
    counted: tuple[RowIds, str, str],
    columns: LongColumns | None = None,
) -> Whole:
    """counted: numbers, unit and note of `GivenRows`."""
    widths = {one.shape[1] for one in series}
    if len(widths) > 1:
        raise DataError(f"{about.source} holds series of {sorted(widths)} columns; give series of the same columns.")
    goal = goal_of(labels, task, f"the target of {about.source}")
    lengths = [len(one) for one in series]
    steps = math.ceil(np.quantile(lengths, 0.95))
    regression = goal.task == "regression"
    told = [f"{len(series):,} series of {steps} steps and {series[0].shape[1]} columns."]
    if len(set(lengths)) > 1:
        longer, shorter = (sum(map(compare, lengths)) for compare in (steps.__lt__, steps.__gt__))
        told = [
            f"{len(series):,} series of {min(lengths)} to {max(lengths)} steps become {steps} steps: {longer} are cut "
            f"to their last ones, and {shorter} begin with their first values repeated."
        ]
    x = torch.from_numpy(alike(series, steps))
    check_finite(x.numpy(), about.source, "series")
    numbers, unit, note = counted
    return Whole(
        x=x,
        y=goal.y,
        about=replace(
            about,
            task=goal.task,
            classes=goal.classes,
            targets=goal.y.shape[1] if regression else 1,
            notices=(*about.notices, *told),
        ),
        given=given,
        numbers=numbers,
        unit=unit,
        note=note,
        encoding=lambda mean, std: SeriesEncoding(steps, mean, std, regression, columns),
    )


def alike(series: Sequence[NDArray[Any]], steps: int) -> NDArray[np.float32]:
    """(n, steps, d): the last steps of longer series; shorter ones have their first value before them, again and again.

    So the last step of all is a real one, which recurrent networks answer after.

    >>> alike([np.array([[1.0], [2.0]]), np.array([[1.0], [2.0], [3.0], [4.0]])], 3)[..., 0].tolist()
    [[1.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    with np.errstate(over="ignore"):
        return np.stack(
            [np.pad(one[-steps:], ((max(steps - len(one), 0), 0), (0, 0)), mode="edge") for one in series]
        ).astype(np.float32)


def _ts_files(path: Path) -> dict[str, Path]:
    """The files by part: "train", and "test" where a folder holds both."""
    if not path.exists():
        raise DataError(f"file not found: {path}; give a .ts file, or a folder of NAME_TRAIN.ts and NAME_TEST.ts.")
    if not path.is_dir():
        return {"train": path}
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SERIES)
    found = {part: [file for file in files if file.stem.upper().endswith(part.upper())] for part in ("train", "test")}
    if any(len(chosen) != 1 for chosen in found.values()):
        raise DataError(f"{path} should hold one file NAME_TRAIN.ts and one NAME_TEST.ts; or give one file.")
    return {part: chosen[0] for part, chosen in found.items()}


@dataclass(frozen=True)
class SeriesEncoding:
    """How further series become rows: as those of training did. columns: of a long table; None: of .ts files."""

    steps: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    regression: bool
    columns: LongColumns | None

    def __call__(self, rows: Any) -> NewRows:
        """Of an array (n, t, d), or a list of arrays (t, d) of any lengths.

        Raises:
            DataError: other columns than in training, or something else than finite numbers.
        """
        series = [array_of(one) for one in rows]
        for place, one in enumerate(series):
            if one.ndim != 2 or one.shape[1] != len(self.mean) or not len(one) or one.dtype.kind not in "biuf":
                raise DataError(
                    f"series {place} (counted from 0) has shape {one.shape} of {one.dtype}; expected numbers (steps, "
                    f"{len(self.mean)}), as in training."
                )
        if not series:
            raise DataError("there are no series; give one or more.")
        x = alike(series, self.steps)
        check_finite(x, "x", "series")
        lengths = {len(one) for one in series} - {self.steps}
        told = [f"some series are not of {self.steps} steps, as those of training, and are made so."] if lengths else []
        return NewRows(scaled(torch.from_numpy(x), self.mean, self.std), notices=told)

    def read(self, path: Path, format: TableFormat) -> NewRows:
        """The series of a .ts file; or of a table that has the columns of the training table."""
        if self.columns is None:
            if format != DETECTED:
                raise SettingError(f"{format!r} is for tables, and {path} is none: leave it out.")
            files = _ts_files(path)
            read = read_ts(files.get("test", path))
            told = ["the test part is predicted, and no other."] if "test" in files else []
            return self._told(self(read.series), read.labels, told)
        read = read_long(path, format, self.columns)
        return replace(self._told(self(read.series), read.labels, read.notices), names={self.columns.id: read.names})

    def check(self, shape: Sequence[int]) -> None:
        if tuple(shape) != (self.steps, len(self.mean)) or len(self.std) != len(self.mean):
            raise ValueError("the encoding of the series does not fit the network")

    def _told(self, rows: NewRows, labels: NDArray[Any] | None, told: Sequence[str]) -> NewRows:
        truth = labels
        if labels is not None:
            truth = goal_of(labels, "regression", "the target").y[:, 0] if self.regression else class_texts(labels)
        return replace(rows, truth=truth, notices=(*told, *rows.notices))
