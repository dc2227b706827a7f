"""A data set as four parts, and the drawing of those parts.

n rows, K classes, S parts. Row indices are int64 arrays into the whole table (or the official training part).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calmix.column_use import ColumnUse
from calmix.data.given_rows import GivenRows
from calmix.data.new_rows import RowEncoding
from calmix.errors import DataError, SettingError
from calmix.reading import visible
from calmix.rows import Rows

if TYPE_CHECKING:  # a table's file is read without PyTorch
    from torch import Tensor

RowIds = NDArray[np.int64]

TASKS = ("classification", "binary", "regression")
PARTS = ("train", "validation", "calibration", "test")
SHARES = (6, 1, 1, 2)  # tenths of the rows for train, validation, calibration, test, where no test set is official
SAME_TEST = "every seed tests the same rows: intervals speak of the training, and not of other test rows."
IN_MEMORY = 2**30  # bytes: rows that take more stay where they are, and are read a batch at a time


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set."""

    rows: "Tensor | Rows"  # (n, d) float32 for tables; (n, C, H, W) float32 for images; (n, t, d) float32 for series
    y: "Tensor"  # (n,) int64 class ids; (n, 1) or (n, targets) float32 standardised targets for regression

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        return tuple(self.rows.shape[1:])

    @property
    def x(self) -> "Tensor":
        """All rows as one tensor. Rows that are not in memory are read; take `rows[places]` where some are enough.

        Raises:
            DataError: they are larger than `IN_MEMORY`.
        """
        if not isinstance(self.rows, Rows):
            return self.rows
        size = 4 * math.prod(self.rows.shape)
        if size > IN_MEMORY:
            raise DataError(
                f"{len(self)} rows of {size / 1e9:.1f} GB would have to be in memory all at once; take fewer "
                "(--train-size), or smaller ones (--image-size)."
            )
        return self.rows[:]

    def part(self, places: "Tensor | slice") -> "Split":
        """Some of the rows; of those that are not in memory, none is read."""
        rows = self.rows.part(places) if isinstance(self.rows, Rows) else self.rows[places]
        return Split(rows, self.y[places])


@dataclass(frozen=True)
class About:
    """What a report says of the data. Control characters in its texts become escapes, as no figure can show them."""

    name: str
    task: str  # one of TASKS
    kind: str  # "table" | "image" | "series" | "audio" | "graph"
    classes: tuple[str, ...]  # names in the order of the class ids; () for regression
    features: tuple[str, ...]  # columns after encoding; () for images
    natural: bool  # natural images: random crop and flip make sense
    source: str  # one line, where it comes from
    targets: int = 1  # regression: values a row
    # regression: y * target_std + target_mean is in the original unit; of several targets a number each
    target_mean: float | tuple[float, ...] = 0.0
    target_std: float | tuple[float, ...] = 1.0
    notices: tuple[str, ...] = ()  # what the user should be told, in full sentences
    pixel_mean: tuple[float, ...] = ()  # images: x * pixel_std + pixel_mean, channel by channel, lies in [0, 1]
    pixel_std: tuple[float, ...] = ()
    digest: str = ""  # of the files' content, where the set is read from files
    columns: tuple[ColumnUse, ...] = ()  # tables of one's own: what became of each column, in the table's order
    folds: int = 0  # into how many folds the rows were cut; 0: every seed draws its own splits

    def __post_init__(self) -> None:
        for field_name, value in vars(self).items():
            if isinstance(value, str):
                object.__setattr__(self, field_name, visible(value))
            elif isinstance(value, tuple) and any(isinstance(part, str) for part in value):
                object.__setattr__(self, field_name, tuple(map(visible, value)))


@dataclass(frozen=True)
class Splits:
    """A data set, ready for training: fit on train, choose on validation, calibrate on calibration, judge on test."""

    train: Split
    validation: Split
    calibration: Split
    test: Split
    about: About
    train_rows: RowIds | None = field(default=None, compare=False)  # train's places in an official training part
    encoding: RowEncoding | None = field(default=None, compare=False)  # None: new rows cannot be made from files
    train_weights: "Tensor | None" = field(default=None, compare=False)  # (n,) how often each row is drawn; None: alike
    given: GivenRows | None = field(default=None, compare=False)  # where test rows are found; None: nowhere


@dataclass(frozen=True)
class Fold:
    """Which rows are tested: those of one of `of` folds into which the rows are cut, in the cut of number `repeat`.

    inner: how often the other splits have been drawn anew from the other folds, for the same test rows.

    >>> parts = [draw_parts(None, 10, Fold(number, of=5)) for number in range(5)]
    >>> sorted(row for *_, test in parts for row in test.tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    number: int
    of: int
    repeat: int = 0
    inner: int = 0

    @property
    def of_others(self) -> np.random.Generator:
        """What draws the other splits."""
        return np.random.default_rng([FOLDS, self.repeat, self.number, self.inner])  # numpy ignores a last 0


@dataclass(frozen=True)
class Joined:
    """The draw of a seed, with the validation rows among those to train on: nothing is left to validate on.

    >>> [len(rows) for rows in draw_parts(None, 100, Joined(0))]
    [70, 0, 10, 20]
    """

    seed: int

    def of(self, parts: "Sequence[RowIds]") -> list[RowIds]:
        """The parts of the seed's own draw, joined."""
        train, validation, *others = parts
        return [np.concatenate([train, validation]), validation[:0], *others]


Draw = int | Fold | Joined  # how the rows of a set are drawn into splits: by a seed, or by folds


def draw_parts(labels: RowIds | None, n: int, draw: Draw, shares: Sequence[int] = SHARES) -> list[RowIds]:
    """The rows of train, validation, calibration and test, of n in all; stratified by labels (n,) where given.

    Of a seed: `split_sizes`. Of a fold: it is the test split, and the other folds are drawn into the others, 6 : 1 : 1.
    shares: of a seed, those of the parts that are drawn, where others are given.

    Raises DataError where a part would be empty.
    """
    if isinstance(draw, Joined):
        return draw.of(draw_parts(labels, n, draw.seed, shares))
    if not isinstance(draw, Fold):
        return split_rows(labels, split_sizes(n, shares), np.random.default_rng(draw))
    if n // draw.of < 1 or n - n // draw.of - 1 < len(SHARES):
        raise DataError(f"{n} rows cannot be cut into {draw.of} folds; give more rows or fewer folds.")
    sizes = [n // draw.of + (number < n % draw.of) for number in range(draw.of)]
    folds = split_rows(labels, sizes, np.random.default_rng([FOLDS, draw.repeat]))
    others = np.concatenate([rows for number, rows in enumerate(folds) if number != draw.number])
    own = None if labels is None else labels[others]
    parts = split_rows(own, split_sizes(len(others), SHARES[:3]), draw.of_others)
    return [*(others[rows] for rows in parts), folds[draw.number]]


FOLDS = 0xF01D  # streams of their own, so that no fold repeats the draw of a seed


def split_sizes(n: int, shares: Sequence[int] = SHARES) -> tuple[int, ...]:
    """Rows of train, validation, calibration and test, of n in all: .6, .1, .1, .2 by largest remainder.

    shares: other shares, of these or of other parts.

    Raises DataError where a part would be empty.

    >>> split_sizes(178)
    (107, 18, 18, 35)
    """
    whole, remainder = np.divmod(n * np.array(shares), sum(shares))
    whole[np.argsort(-remainder, kind="stable")[: n - whole.sum()]] += 1
    if not whole.all():
        raise DataError(f"{n} rows cannot fill the train, validation, calibration and test splits; give 10 or more.")
    return tuple(whole.tolist())


def split_rows(labels: RowIds | None, sizes: Sequence[int], rng: np.random.Generator) -> list[RowIds]:
    """Disjoint random parts of exactly these sizes, which must sum to n; stratified by labels (n,) where given.

    A class's rows in a part differ from the class's proportion by at most one row. With a part that takes half of the
    rows or more, every class of two rows or more is in that part.

    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    >>> [np.bincount(labels[rows]).tolist() for rows in split_rows(labels, (6, 3), np.random.default_rng(0))]
    [[4, 2], [2, 1]]
    """
    if labels is None:
        labels = np.zeros(sum(sizes), np.int64)
    assert len(labels) == sum(sizes)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    table = _allot(np.bincount(labels), np.array(sizes))
    part = np.repeat(np.tile(np.arange(len(sizes)), len(table)), table.ravel())  # (n,) the part of each of by_class
    return [rng.permutation(by_class[part == s]) for s in range(len(sizes))]


def _allot(counts: NDArray, sizes: NDArray) -> NDArray:
    """The (K, S) table of counts[k] * sizes[s] / n, each entry rounded down or one up, with exact row and column sums.

    What rounding down leaves is a 0/1 table with given margins. Serving, class by class, the parts that lack most
    finds it whenever it exists (Gale and Ryser), and it does: the fractions themselves have those margins.
    """
    table = np.outer(counts, sizes) // sizes.sum()
    for k, missing in enumerate(counts - table.sum(1)):
        lacking = sizes - table.sum(0)
        table[k, np.argsort(-lacking, kind="stable")[:missing]] += 1
    return table


def cut_train(train: RowIds, labels: RowIds | None, train_size: int | None) -> RowIds:
    """The first train_size rows of train in a stratified order, or all where train_size is None.

    After one row of each class, the j-th row (j = 0, 1, ...) of a class of c rows comes at (j + 1/2) / c: Webster's
    apportionment. So every size is exact and holds every class, and smaller train sets are parts of larger ones.

    Raises SettingError if train_size < 1, DataError if it exceeds len(train) or is below the number of classes.
    """
    if train_size is None:
        return train
    if train_size < 1:
        raise SettingError(f"train_size is {train_size}; give 1 or more.")
    if train_size > len(train):
        raise DataError(f"train_size is {train_size}, but there are {len(train)} rows to train on; give at most that.")
    y = np.zeros(len(train), np.int64) if labels is None else labels[train]
    _, y, counts = np.unique(y, return_inverse=True, return_counts=True)
    if train_size < len(counts):
        raise DataError(
            f"train_size is {train_size}, but there are {len(counts)} classes; give one row for each or more."
        )
    by_class = np.argsort(y, kind="stable")
    rank = np.empty_like(y)
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.where(rank == 0, 0.0, (rank + 0.5) / counts[y])
    return train[np.argsort(place, kind="stable")[:train_size]]


def check_classes(
    labels: RowIds, classes: Sequence[str], remedy: str = "merge it with another or remove it", parts: int = len(SHARES)
) -> list[str]:
    """Notices on classes with fewer rows than the splits that are drawn; DataError if a class has a single row."""
    counts = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    single = [name for name, count in counts.items() if count == 1]
    if single:
        has = f"class {single[0]!r} has 1 row" if len(single) == 1 else f"classes {listed(single)} have 1 row each"
        raise DataError(f"{has}; a class needs rows to train and to test on: {remedy}.")
    drawn = {2: "two", 3: "three", 4: "four"}[parts]
    return [
        f"class {name!r} has {count} rows, fewer than the {drawn} splits, so some split lacks it."
        for name, count in counts.items()
        if count < parts
    ]


def listed(names: Iterable[str], at_most: int = 10) -> str:
    """The names, quoted, for a message that stays one sentence.

    >>> listed("abc", at_most=2)
    "'a', 'b' and 1 more"
    """
    names = [repr(name) for name in names]
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
