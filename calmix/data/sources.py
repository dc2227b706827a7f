"""Where splits come from: a value that gives the four splits of any seed.

A source is passed around instead of a data set's name; its repr tells whether two runs saw the same data.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from calmix.data.dataset_rows import DatasetRows, measured
from calmix.data.given_rows import Field, GivenRows
from calmix.data.image_files.source import ImageFolder
from calmix.data.loaders import parts_of, read_parts
from calmix.data.noise import LabelNoise
from calmix.data.registry import DATASETS, FOLDABLE, named_splits, path_splits
from calmix.data.series_files import SeriesFile, SeriesTable
from calmix.data.splits import About, Draw, Fold, Joined, RowIds, Split, Splits, listed, split_rows, split_sizes
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
        if isinstance(seed, Joined) and not self.foldable:  # train and validation rows of an official part
            return _joined(self.splits(seed.seed))
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

    def __post_init__(self) -> None:
        for name in ("path", "test", "validation"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(given))

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


@dataclass(frozen=True)
class AllData:
    """A source whose validation rows are trained on, too: for a final network, when all settings have been chosen.

    Test and calibration rows are those of the source, so what is said of the network stays true. What encodes and
    standardises is fitted on all rows to train on; on the source's own train rows where its splits are given or
    official. The validation split is empty.

    >>> [len(part) for part in vars(AllData(NamedSet("wine")).splits(0)).values() if isinstance(part, Split)]
    [125, 0, 18, 35]
    """

    source: DataSource

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    @_keep_last
    def splits(self, seed: int) -> Splits:
        if hasattr(self.source, "foldable"):  # its rows are drawn
            return self.source.splits(Joined(seed))  # pyright: ignore[reportArgumentType]
        return _joined(self.source.splits(seed))

    def whole(self) -> "AllData":
        return replace(self, source=self.source.whole())


def _joined(splits: Splits) -> Splits:
    """With the validation rows among those to train on."""
    parts = splits.train, splits.validation
    if not all(isinstance(part.rows, Tensor) for part in parts):
        raise SettingError("rows that are not in memory cannot be joined; give their source, and not the splits.")
    train = Split(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
    return replace(splits, train=train, validation=splits.validation.part(slice(0)), train_rows=None)


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

    x may be rows of data sets that are not in memory. Their mean and deviation are those of 2,000 training rows. Rows
    that change from one reading to the next are taken as they are. given: the rows of parts that are not drawn,
    "validation" or "test". Rows to calibrate on are drawn from those to train on; from those to validate on where the
    former change, as a temperature is for rows as they will be met.

    Raises:
        ShapeError, DataError: rows that are not numbers, NaN or infinity, or numbers of rows that differ.
    """

    x: Tensor | DatasetRows
    y: Tensor
    train_size: int | None = None
    classes: tuple[str, ...] = ()
    name: str = "data"
    given: Mapping[str, RowIds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = tuple(self.x.shape)
        if len(shape) < 2 or shape[0] != len(self.y):
            raise ShapeError(
                f"x has shape {shape} and y {tuple(self.y.shape)}; expected rows (n, ...) and as many targets."
            )
        if isinstance(self.x, Tensor):
            object.__setattr__(self, "x", measured(self.x))
        if not self.y.is_floating_point() and self.y.ndim != 1:
            raise ShapeError(f"y of class ids must have shape (n,); got {tuple(self.y.shape)}.")
        if not ((isinstance(self.x, DatasetRows) or self.x.isfinite().all()) and self.y.isfinite().all()):
            raise DataError("x or y holds NaN or infinity; drop or impute these rows.")

    @property
    def foldable(self) -> bool:
        """Whether no part is given."""
        return not self.given

    @_keep_last
    def splits(self, seed: Draw) -> Splits:
        regression = self.y.is_floating_point()
        labels = self.y.long().numpy()
        rank, x = len(self.x.shape), self.x
        unit = "image" if rank == 4 else "row"
        features = tuple(f"x{column}" for column in range(x.shape[1])) if rank == 2 else ()
        changing = isinstance(x, DatasetRows) and x.changing
        plain = isinstance(x, Tensor) and not self.given
        about = About(
            name=self.name,
            task="regression" if regression else "classification",
            kind={2: "table", 3: "series", 4: "image"}.get(rank, "table"),
            classes=() if regression else self._classes(labels),
            features=features,
            natural=False,
            source=f"arrays of {len(self.y)} rows" if plain else f"data sets of {len(self.y)} rows",
            targets=self.y[0].numel() if regression else 1,
            notices=(_CHANGING,) if changing else (),
        )
        whole = Whole(
            x=x.float() if isinstance(x, Tensor) else x,
            y=self.y.double().view(len(self.y), -1).numpy() if regression else labels,
            about=about,
            given=_with_calibration(self.given, None if regression else labels, seed) if changing else self.given,
            unit=unit,
            note=f"{unit.capitalize()}s are counted from 0, {_ARRAYS if plain else _DATASETS}.",
            fields=[
                Field(name, "number", x[:, column].numpy())
                for column, name in enumerate(features)
                if isinstance(x, Tensor)
            ],
            encoding=(
                lambda mean, std: ArrayEncoding("as given", tuple(x.shape[1:]), is_unit(x), mean, std, regression)
            )
            if isinstance(x, Tensor)
            else None,
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
        parts = f", given={ {name: len(rows) for name, rows in self.given.items()} }" if self.given else ""
        return f"Arrays({self._hash}, train_size={self.train_size!r}{parts})"

    @cached_property
    def _hash(self) -> str:
        """Rows that are not in memory are told by a few of them, and those that change by their targets alone."""
        if isinstance(self.x, Tensor):
            return _fingerprint([self.x, self.y], str(self.classes))
        few = torch.arange(0, len(self.y), 1 + len(self.y) // 32)
        x = [] if self.x.changing else [self.x[few]]
        return _fingerprint([self.y, *x], f"{self.classes} {self.x.shape}")


_ARRAYS, _DATASETS = "as in the arrays that were given", "through the data sets that were given, one after the other"
_CHANGING = (
    "rows to train on differ from one reading to the next, by random augmentation: they are read anew in every epoch, "
    "no row is standardised, and half of the validation rows are calibrated on instead."
)


def _with_calibration(given: Mapping[str, RowIds], labels: RowIds | None, draw: Draw) -> Mapping[str, RowIds]:
    """The given parts, half of the validation rows being those to calibrate on."""
    assert not isinstance(draw, Fold), "parts are given"
    rows, rng = given["validation"], np.random.default_rng(draw.seed if isinstance(draw, Joined) else draw)
    halves = split_rows(None if labels is None else labels[rows], split_sizes(len(rows), (1, 1)), rng)
    validation, calibration = (rows[half] for half in halves)
    return {**given, "validation": validation, "calibration": calibration}


def as_source(data: Any, target: str | None = None) -> DataSource:
    """What users have at hand as a source.

    data: a source; `Splits`; a DataFrame, with the column to predict as `target`; a pair (x, y) of tensors or arrays; a
    torch data set of rows (x, y); a `DataLoader`; a `LightningDataModule`; or a dict or tuple of several parts, such as
    {"train": loader, "validation": loader, "test": loader} or (train, test).

    Of a loader the data set, the `collate_fn` and `num_workers` are kept; batches and their order are calmix's. Rows of
    at most 1 GiB are read once; more are read a batch at a time. So are rows to train on that are augmented at random:
    the other parts must then be given, and not be augmented.

    Raises:
        SettingError: none of these, or a target that would be ignored or is missing.
        DataError: rows that cannot be read.

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
    parts = parts_of(data)
    if parts is not None:
        read = read_parts(parts)
        return Arrays(read.x, read.y, classes=read.classes, given=read.given)
    raise SettingError(
        "data must be Splits, a source, a DataFrame with target=, a pair (x, y) of tensors or arrays, a data set of "
        "rows (x, y), a DataLoader, a LightningDataModule, or a dict of train and test parts; got "
        f"{type(data).__name__}."
    )


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
