"""Where splits come from: a value that gives the four splits of any seed.

A source is passed around instead of a data set's name; its repr tells whether two runs saw the same data.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeGuard, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calmix.column_use import TARGET_ENCODING
from calmix.data.array_files import ArrayFile
from calmix.data.array_rows import ArrayEncoding, is_unit
from calmix.data.asked import SERIES_COLUMNS, Kind, check_long, check_options, check_task, kind_of, path_of
from calmix.data.audio import AudioFolder
from calmix.data.image_files.source import ImageFolder
from calmix.data.noise import LabelNoise
from calmix.data.registry import DATASETS, FOLDABLE, named_splits, path_splits
from calmix.data.rows import Field, GivenRows
from calmix.data.series_files import SeriesFile, SeriesTable
from calmix.data.splits import About, Draw, Fold, Splits, listed
from calmix.data.table.format import DETECTED, TableFormat
from calmix.data.table.roles import Roles
from calmix.data.whole import Whole
from calmix.errors import DataError, SettingError, ShapeError
from calmix.reprs import shown

_keep_last = lru_cache(maxsize=1)  # the last splits of each kind of source stay in memory


class DataSource(Protocol):
    """The splits of any seed. Sources are hashable, picklable, and their repr names the data."""

    @property
    def train_size(self) -> int | None:
        """How many rows there are to train on; None: all that the splits have."""
        ...

    def splits(self, seed: int) -> Splits: ...

    def whole(self) -> "DataSource":
        """The same data with all rows to train on, and their labels as they are."""
        ...


@dataclass(frozen=True)
class NamedSet:
    """A data set of `DATASETS`, by its name; see `calmix.data.load`."""

    name: str
    train_size: int | None = None
    task: str | None = None
    data_dir: Path | None = None

    @property
    def foldable(self) -> bool:
        """Whether no split of the set is given, so that it can be cut into folds."""
        return self.name in FOLDABLE

    @_keep_last
    def splits(self, seed: Draw) -> Splits:
        return named_splits(self.name, seed, self.train_size, self.task, self.data_dir)

    def whole(self) -> "NamedSet":
        return replace(self, train_size=None)


@dataclass(frozen=True)
class TableFile:
    """A table in a file, or in three; see `calmix.data.load`."""

    path: Path
    target: str | None = None
    task: str | None = None
    train_size: int | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    format: TableFormat = DETECTED
    test: Path | None = None
    validation: Path | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None

    def __repr__(self) -> str:
        """Without what came after 0.1.0 where it is not used, so that texts of runs stay as they were."""
        return shown(self, unless_default={"drop", "format", "test", "validation", "group", "time", "weight"})

    @property
    def foldable(self) -> bool:
        return not self.unfoldable

    @property
    def unfoldable(self) -> str:
        """Why the rows cannot be cut into folds, and what to do; nothing where they can be."""
        return _unfoldable(self)

    def splits(self, seed: Draw) -> Splits:
        files = self.path, *self._ready.values()
        return self._splits(seed, tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files))

    @property
    def _ready(self) -> dict[str, Path]:
        given = {"validation": self.validation, "test": self.test}
        return {part: path for part, path in given.items() if path is not None}

    @_keep_last
    def _splits(self, seed: Draw, modified: tuple[int, ...]) -> Splits:
        options = self.train_size, self.task, self.keep, self.drop, self.format
        roles = Roles(self.group, self.time, self.weight)
        return path_splits(self.path, self.target, seed, *options, roles, self._ready)

    def whole(self) -> "TableFile":
        return replace(self, train_size=None)


class Foldable(DataSource, Protocol):
    """A source whose rows can be cut into folds, unless `foldable` is False: some of its splits are given then."""

    @property
    def foldable(self) -> bool: ...

    def splits(self, seed: Draw) -> Splits: ...


@dataclass(frozen=True)
class Folds:
    """A source in repeated cross-validation: the splits of seed s test fold s % folds of the rows' cut s // folds.

    So every row is tested once in seeds 0 .. folds - 1, once more in the next ones, and so on. Train, validation and
    calibration splits come from the other folds, 6 : 1 : 1. All is stratified by class.

    Raises:
        SettingError: fewer than two folds, or a source with a test split of its own, or of one that is fixed.

    >>> source = Folds(NamedSet("wine"), 5)
    >>> [len(source.splits(seed).test) for seed in range(5)]
    [36, 36, 36, 35, 35]
    """

    source: Foldable
    folds: int

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise SettingError(f"folds must be at least 2; got {self.folds}.")
        if not can_fold(self.source):
            name = getattr(self.source, "name", "") or type(self.source).__name__
            raise SettingError(
                getattr(self.source, "unfoldable", "")
                or f"{name} has splits that are given, or points that are drawn afresh, and no rows to cut into folds; "
                "give seeds instead."
            )

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    @_keep_last
    def splits(self, seed: int) -> Splits:
        splits = self.source.splits(Fold(seed % self.folds, self.folds, seed // self.folds))
        return replace(splits, about=replace(splits.about, folds=self.folds))

    def whole(self) -> "Folds":
        return replace(self, source=self.source.whole())


def can_fold(source: object) -> TypeGuard[Foldable]:
    """Whether `Folds` takes the source."""
    return getattr(source, "foldable", False) is True


def in_folds(source: DataSource, folds: int) -> DataSource:
    """The source in cross-validation, where labels are made wrong, too. SettingError where it cannot be."""
    if isinstance(source, Noisy):
        return replace(source, source=in_folds(source.source, folds))
    return Folds(source, folds)  # pyright: ignore[reportArgumentType]  # it checks


def folds_of(source: DataSource) -> int:
    """How many folds the source has; 0 where every seed draws its own splits."""
    inner = source.source if isinstance(source, Noisy) else source
    return inner.folds if isinstance(inner, Folds) else 0


@dataclass(frozen=True)
class Noisy:
    """A source some of whose training labels are made wrong, e.g. by `Symmetric(0.4)`."""

    source: DataSource
    noise: LabelNoise
    data_dir: Path | None = None  # where human labels are

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    @_keep_last
    def splits(self, seed: int) -> Splits:
        splits = self.source.splits(seed)
        told = [column.name for column in splits.about.columns if column.used_as == TARGET_ENCODING]
        if told:
            raise DataError(
                f"columns {listed(told)} are encoded by labels, which label noise would change too late; leave "
                "them out with --drop."
            )
        return self.noise(splits, seed, self.data_dir)

    def whole(self) -> DataSource:
        return self.source.whole()


@dataclass(frozen=True, eq=False, repr=False)
class Fixed:
    """The same splits for every seed. known_as: what they are called in a run's text; None: by their content."""

    given: Splits
    known_as: str | None = None
    train_size = None

    def splits(self, seed: int) -> Splits:
        return self.given

    def whole(self) -> "Fixed":
        return self

    def __repr__(self) -> str:
        return self.known_as or f"Fixed({self.given.about.name!r}, {self._hash})"

    @cached_property
    def _hash(self) -> str:
        parts = (self.given.train, self.given.validation, self.given.calibration, self.given.test)
        weights = [] if self.given.train_weights is None else [self.given.train_weights]
        return _fingerprint(
            [*(tensor for part in parts for tensor in (part.x, part.y)), *weights], repr(self.given.about)
        )


@dataclass(frozen=True, eq=False, repr=False)
class Frame:
    """A pandas DataFrame and the column to predict, split anew for every seed and encoded as a table file is.

    test, validation: DataFrames of ready-made splits. Other fields are those of `calmix.data.load`.
    """

    frame: Any
    target: str
    task: str | None = None
    train_size: int | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    name: str = "data"
    test: Any = None
    validation: Any = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None

    @property
    def foldable(self) -> bool:
        return not self.unfoldable

    @property
    def unfoldable(self) -> str:
        """Why the rows cannot be cut into folds, and what to do; nothing where they can be."""
        return _unfoldable(self)

    @property
    def _ready(self) -> dict[str, Any]:
        given = {"validation": self.validation, "test": self.test}
        return {part: frame for part, frame in given.items() if frame is not None}

    @_keep_last
    def splits(self, seed: Draw) -> Splits:
        from calmix.data.table.frames import table_splits
        from calmix.data.table.given import TableRows

        chosen = {"keep": self.keep, "drop": self.drop, "roles": Roles(self.group, self.time, self.weight)}
        options = {"task": self.task, "seed": seed, "train_size": self.train_size, **chosen}
        ready = {
            part: TableRows(frame, f"the {part} frame", np.arange(len(frame))) for part, frame in self._ready.items()
        }
        return table_splits(self.frame, self.target, name=self.name, source="a DataFrame", **options, ready=ready)

    def whole(self) -> "Frame":
        return replace(self, train_size=None)

    def __repr__(self) -> str:
        options = [repr(one) for one in (self.target, self.task, self.train_size, self.keep, self.drop)]
        options += [f"{part}={_digest_of_frame(frame)}" for part, frame in self._ready.items()]
        options += [f"{role}={name!r}" for role, name in Roles(self.group, self.time, self.weight).named.items()]
        return f"Frame({self._hash}, {', '.join(options)})"

    @cached_property
    def _hash(self) -> str:
        return _digest_of_frame(self.frame)


def _digest_of_frame(frame: Any) -> str:
    from pandas.util import hash_pandas_object

    hash_rows: Any = hash_pandas_object
    return f"{frame.shape} {_digest([hash_rows(frame, index=False).to_numpy()], str(frame.dtypes.to_dict()))}"


def _unfoldable(source: TableFile | Frame) -> str:
    """Why a table cannot be cut into folds, and what to do; nothing where it can be."""
    ready = [f"--{part}" for part in ("test", "validation") if getattr(source, part) is not None]
    if ready:
        return f"{' and '.join(ready)} give splits that are ready-made, and folds draw them all; give seeds instead."
    if source.time is not None:
        return "splits in the order of time are the same in every fold; give seeds, or --group in place of --time."
    return ""


@dataclass(frozen=True, eq=False, repr=False)
class Arrays:
    """Rows x (n, ...) and targets y (n,), or (n, d) for regression, split anew for every seed.

    y of integers are class ids 0 .. K - 1, y of floating numbers are values to regress. x is standardised by what the
    train split knows: vectors column by column, images (C, H, W) channel by channel; series (t, d) column by column.
    Images of 8-bit integers are divided by 255. Values to regress are standardised column by column.

    Raises:
        ShapeError, DataError: rows that are not numbers, NaN or infinity, or numbers of rows that differ.
    """

    x: Tensor
    y: Tensor
    train_size: int | None = None
    classes: tuple[str, ...] = ()
    name: str = "data"
    foldable = True

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or len(self.x) != len(self.y):
            raise ShapeError(
                f"x has shape {tuple(self.x.shape)} and y {tuple(self.y.shape)}; expected rows (n, ...) and as many "
                "targets."
            )
        if self.x.dtype == torch.uint8 and self.x.ndim == 4:
            object.__setattr__(self, "x", self.x / 255)
        if not self.x.is_floating_point():
            raise ShapeError(
                f"x has dtype {self.x.dtype}; convert measurements with x.float(). (Images are (n, C, H, W), of 8-bit "
                "integers or of floating numbers from 0 to 1.)"
            )
        if not self.y.is_floating_point() and self.y.ndim != 1:
            raise ShapeError(f"y of class ids must have shape (n,); got {tuple(self.y.shape)}.")
        if not (self.x.isfinite().all() and self.y.isfinite().all()):
            raise DataError("x or y holds NaN or infinity; drop or impute these rows.")

    @_keep_last
    def splits(self, seed: Draw) -> Splits:
        regression = self.y.is_floating_point()
        labels = self.y.long().numpy()
        unit = "image" if self.x.ndim == 4 else "row"
        about = About(
            name=self.name,
            task="regression" if regression else "classification",
            kind={2: "table", 3: "series", 4: "image"}.get(self.x.ndim, "table"),
            classes=() if regression else self._classes(labels),
            features=tuple(f"x{column}" for column in range(self.x.shape[1])) if self.x.ndim == 2 else (),
            natural=False,
            source=f"arrays of {len(self.y)} rows",
            targets=self.y[0].numel() if regression else 1,
        )
        whole = Whole(
            x=self.x.float(),
            y=self.y.double().view(len(self.y), -1).numpy() if regression else labels,
            about=about,
            unit=unit,
            note=f"{unit.capitalize()}s are counted from 0, as in the arrays that were given.",
            fields=[Field(name, "number", self.x[:, column].numpy()) for column, name in enumerate(about.features)],
            encoding=lambda mean, std: ArrayEncoding(
                "as given", tuple(self.x.shape[1:]), is_unit(self.x), mean, std, regression
            ),
        )
        return whole.splits(seed, self.train_size)

    def whole(self) -> "Arrays":
        return replace(self, train_size=None)

    def _classes(self, labels: NDArray) -> tuple[str, ...]:
        count = int(labels.max()) + 1
        if labels.min() < 0 or len(set(labels.tolist())) < count:
            raise DataError(f"class ids must be 0 .. K - 1, each at least once; got {labels.min()} .. {count - 1}.")
        if self.classes and len(self.classes) != count:
            raise SettingError(f"{len(self.classes)} names for {count} classes; give one for each.")
        return self.classes or tuple(map(str, range(count)))

    def __repr__(self) -> str:
        return f"Arrays({self._hash}, train_size={self.train_size!r})"

    @cached_property
    def _hash(self) -> str:
        return _fingerprint([self.x, self.y], str(self.classes))


def as_source(data: Any, target: str | None = None) -> DataSource:
    """What users have at hand as a source.

    data: a source; `Splits`; a DataFrame, with the column to predict as `target`; a pair (x, y) of tensors or arrays;
    or a map-style torch data set of rows (x, y), which is read into memory once.

    Raises:
        SettingError: none of these, or a target that would be ignored or is missing.

    >>> as_source((torch.randn(40, 3), torch.arange(40) % 2)).splits(0).about.classes
    ('0', '1')
    """
    is_frame = type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns")
    if is_frame and target is None:
        raise SettingError("a DataFrame needs target=, the column to predict.")
    if not is_frame and target is not None:
        raise SettingError(f"target= is for a DataFrame; got {type(data).__name__}: leave target out.")
    if is_frame:
        return Frame(data, str(target))
    if hasattr(data, "splits") and hasattr(data, "whole"):
        return data
    if isinstance(data, Splits):
        tests = np.arange(len(data.test))
        unit = "image" if data.about.kind == "image" else "row"
        note = f"{unit.capitalize()}s are counted from 0, as in the test split."
        return Fixed(data if data.given else replace(data, given=GivenRows(tests, tests, unit, note)))
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        return Arrays(_tensor(data[0], "x"), _tensor(data[1], "y"))
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, str | bytes | dict | tuple):
        rows = [data[i] for i in range(len(data))]
        if rows and all(isinstance(row, tuple | list) and len(row) >= 2 for row in rows):
            return Arrays(*_stacked(rows))
    raise SettingError(
        "data must be Splits, a source, a DataFrame with target=, a pair (x, y) of tensors or arrays, or a data set of "
        f"rows (x, y); got {type(data).__name__}."
    )


def _stacked(rows: Sequence[Sequence[Any]]) -> tuple[Tensor, Tensor]:
    """x and y of the rows of a data set; further entries of a row are left out."""
    from torch.utils.data import default_collate

    try:
        x, y = default_collate([(row[0], row[1]) for row in rows])
    except (RuntimeError, TypeError) as error:
        raise DataError(f"the rows of the data set cannot be stacked ({error}); give tensors of one shape.") from None
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise DataError("the rows of the data set hold something else than numbers; give tensors (x, y).")
    return x, y


def _tensor(values: Any, name: str) -> Tensor:
    """A copy of an array or tensor, on the CPU and without a graph."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    try:
        return torch.from_numpy(np.array(values))
    except TypeError:
        raise DataError(
            f"{name} holds {np.asarray(values).dtype}, and not numbers; number the classes 0 .. K - 1, or pass a "
            "DataFrame with target=."
        ) from None


class DataOptions(TypedDict, total=False):
    """What may be said of data. `OPTIONS` of `calmix.data.asked` has which kinds of data each is for.

    train_size: rows to train on; all that the split has where None. Fewer are drawn stratified by class.
    task: "classification", "binary" or "regression"; inferred where None.
    data_dir: the folder of a named set's files.
    target: the column to predict, of a table.
    keep: columns of a table to use although they look like identifiers or free text.
    drop: columns of a table to leave out.
    format: how the table is written, e.g. `TableFormat(sep=";")`, where the file does not show it.
    test: a table of the same columns: the test split of every seed. The other splits are drawn from `data`, with the
        shares that they have among themselves (6 : 1 : 1).
    validation: a table of the same columns: the validation split; the calibration split is drawn from `data`.
    group: a column of a table; rows of one value stand in one split. It is not learned from.
    time: a column of dates or numbers; rows to train on come before those of validation, calibration and test, in
        this order, whatever the seed. It is learned from only where it is in keep.
    weight: a column of numbers of at least 0: how often a row to train on is drawn, in proportion; metrics count every
        row once. It is not learned from.
    image_size: the side in pixels that images are scaled to.
    labels: a table of the columns file and label, where the folders of recordings are not their classes.
    seconds: how much of each recording is heard.
    series_id: the column of a table whose value names the series that a row is a step of.
    series_time: the column of the time within a series.
    """

    train_size: int | None
    task: str | None
    data_dir: Path | None
    target: str | None
    keep: Sequence[str]
    drop: Sequence[str]
    format: TableFormat
    test: Path | None
    validation: Path | None
    group: str | None
    time: str | None
    weight: str | None
    image_size: int | None
    labels: Path | None
    seconds: float | None
    series_id: str | None
    series_time: str | None


_SOURCES: dict[Kind, Callable[..., Foldable]] = {
    "named": NamedSet,
    "table": TableFile,
    "arrays": ArrayFile,
    "images": ImageFolder,
    "hub": ImageFolder,
    "audio": AudioFolder,
    "series": SeriesFile,
    "long": SeriesTable,
}


def read_source(data: str, **options: Unpack[DataOptions]) -> Foldable:
    """The source that a text stands for.

    Args:
        data: A data set (see `calmix datasets`), or the path of data of one's own: a table (.csv, .xlsx, .parquet and
            others), series (.ts), arrays (.npz, .pt, .safetensors, or a folder of .npy files), or a folder of images or
            recordings (.wav, .flac, .ogg).
        options: See `DataOptions`.

    Raises:
        UnknownNameError: no such data set or task. SettingError: an option that would be ignored.
    """
    check_task(options.get("task"))
    given: dict[str, Any] = {name: value for name, value in options.items() if value not in (None, (), [], DETECTED)}
    given |= {name: tuple(given[name]) for name in ("keep", "drop") if name in given}  # sources are hashable
    path = path_of(data, DATASETS)
    kind = "named" if path is None else kind_of(path, in_series=not given.keys().isdisjoint(SERIES_COLUMNS))
    check_options(kind, data, given)
    if kind == "long":
        check_long(data, *(given.get(name) for name in ("target", *SERIES_COLUMNS)))
    return _SOURCES[kind](path or data, **given)


def load(data: str, *, seed: int = 0, **options: Unpack[DataOptions]) -> Splits:
    """The four splits of a named data set, or of data of one's own: tables, images, arrays, series, recordings.

    Args:
        data: a name in DATASETS, or the path of a file or folder; see `read_source`.
        seed: draws the splits; the same seed gives the same splits.
        options: what else may be said, such as target="price" of a table; see `DataOptions`.

    Raises:
        UnknownNameError: no such data set, task or column.
        SettingError: an option that the data set does not take, or train_size < 1.
        DataError: files or rows that cannot be used; the message says why and what to do.

    >>> splits = load("wine", seed=1, train_size=50)
    >>> len(splits.train), len(splits.test), splits.about.task
    (50, 35, 'classification')
    """
    return read_source(data, **options).splits(seed)


def _fingerprint(tensors: Sequence[Tensor], text: str) -> str:
    return f"rows={[len(tensor) for tensor in tensors]}, sha256={_digest([t.numpy() for t in tensors], text)!r}"


def _digest(arrays: Sequence[NDArray], text: str) -> str:
    """Of the numbers, their kinds and shapes, and of what else the text says."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
