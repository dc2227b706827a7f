"""Columns become numbers, with what the train split knows.

n rows, d encoded columns
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.column_use import DATE_PARTS, ONE_HOT, TARGET_ENCODING
from calmix.data.splits import RowIds
from calmix.data.table.columns import MAX_LEVELS, Column, Taken, date_parts, floats, is_number
from calmix.data.table.levels import LevelMeans
from calmix.errors import DataError

BLOCK = 2**22  # numbers that are encoded together


@dataclass(frozen=True, eq=False)
class Encoded:
    """xs: a part each, (len(rows), d) float32. names: of the d columns. features: how many each column gave."""

    xs: list[NDArray[np.float32]]
    names: tuple[str, ...]
    features: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _Block:
    """Columns that one encoder takes together. kind: in which order they stand."""

    kind: str
    encoder: Any
    cells: Mapping[str, NDArray[np.float64] | pd.Series]
    of: str = ""  # the column that they are of, where these are parts of one


def encoded(columns: Sequence[Taken], parts: Sequence[RowIds], goal: NDArray[Any]) -> Encoded:
    """The columns of each part, encoded with the statistics of the first part.

    A few columns are encoded at a time, so that nothing of the size of the table is made in float64. goal: (n,) class
    ids, or numbers to regress; only those of the first part are looked at.
    """
    train = parts[0]  # nothing can be learned from a column that is empty there
    known = [column for column in columns if pd.Series(column.values).iloc[train].notna().any()]
    if not known:
        raise DataError("every cell of the train split is missing; fill some, or raise train_size.")

    named: list[tuple[str, str]] = []  # kind and name of each encoded column
    features: Counter[str] = Counter()
    encoded: list[list[NDArray[np.float32]]] = [[] for _ in parts]  # by part and encoded column
    for block in _blocks(known, train, goal, max(1, BLOCK // sum(map(len, parts)))):
        frame = pd.DataFrame(block.cells)
        if isinstance(block.encoder, LevelMeans):
            [frame] = (frame[name] for name in block.cells)
        fitted = block.encoder.fit_transform(frame.iloc[train], goal[train])
        if isinstance(block.encoder, LevelMeans):
            names = block.encoder.names(block.of)
        else:
            names = list(map(str, block.encoder.get_feature_names_out()))
        for place, name in enumerate(names):
            extra = block.kind == "number" and place >= len(block.cells)
            named.append(("indicator" if extra else block.kind, name))
            features[block.of or name.removeprefix("missingindicator_" if extra else "")] += 1
        for part, rows in zip(encoded, parts, strict=True):
            x = fitted if rows is train else block.encoder.transform(frame.iloc[rows])
            part.extend(np.asarray(x).T.astype(np.float32))
    order = sorted(range(len(named)), key=lambda place: ("number", "date", "indicator", "text").index(named[place][0]))
    xs = []
    while encoded:  # each part's columns go as they are joined
        part = encoded.pop(0)
        xs.append(np.stack([part[place] for place in order], 1))
    return Encoded(xs, tuple(named[place][1] for place in order), features)


def _blocks(columns: Sequence[Taken], train: RowIds, goal: NDArray, width: int) -> Iterator[_Block]:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def scale(**options: Any) -> Any:
        return make_pipeline(SimpleImputer(strategy="median", **options), StandardScaler())

    classes = len(np.unique(goal[train])) if goal.dtype.kind == "i" else 0
    numbers = [column for column in columns if isinstance(column.values, np.ndarray) or is_number(column.values)]
    for start in range(0, len(numbers), width):
        chosen = numbers[start : start + width]
        yield _Block("number", scale(add_indicator=True), {column.name: _cells(column.values) for column in chosen})
    for column in columns:
        if column.use.used_as == DATE_PARTS and isinstance(column.values, np.ndarray):
            parts = {f"{column.name}_{name}": part for name, part in date_parts(column.values).items()}
            if parts:
                yield _Block("date", scale(keep_empty_features=True), parts, column.name)
    for column in columns:
        if column in numbers:
            continue
        if column.use.used_as == TARGET_ENCODING and classes <= MAX_LEVELS:
            encoder: Any = LevelMeans()
        else:  # of classes so many that their shares made more features than this
            most: Any = {} if column.use.used_as == ONE_HOT else {"max_categories": MAX_LEVELS}
            unknown = "infrequent_if_exist" if most else "ignore"
            one_hot = OneHotEncoder(handle_unknown=unknown, sparse_output=False, **most)
            encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot)
        yield _Block("text", encoder, {column.name: _cells(column.values)}, column.name)


def _cells(column: Column) -> NDArray[np.float64] | pd.Series:
    """float64, or text, with NaN where missing."""
    if isinstance(column, np.ndarray):
        return column
    if is_number(column):
        return floats(column)
    return column.astype(object).map(str, na_action="ignore").where(column.notna(), np.nan)
