"""Columns become numbers, with what the train split knows.

n rows, d encoded columns
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.data.splits import RowIds
from calmix.data.table.columns import Column, floats, is_number
from calmix.errors import DataError

BLOCK = 2**22  # numbers that are encoded together


def encoded(columns: Mapping[str, Column], parts: Sequence[RowIds]) -> tuple[list[NDArray], tuple[str, ...]]:
    """The columns of each part, (len(rows), d) float32, encoded with the statistics of the first part, and their names.

    A few columns are encoded at a time, so that nothing of the size of the table is made in float64.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train = parts[0]  # nothing can be learned from a column that is empty there
    known = {name: column for name, column in columns.items() if pd.Series(column).iloc[train].notna().any()}
    if not known:
        raise DataError("every cell of the train split is missing; fill some, or raise train_size.")
    numbers = [name for name, column in known.items() if isinstance(column, np.ndarray) or is_number(column)]
    texts = [name for name in known if name not in numbers]
    scale = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    width = max(1, BLOCK // sum(map(len, parts)))
    blocks = [(scale, numbers[start : start + width]) for start in range(0, len(numbers), width)]
    blocks += [(one_hot, [name]) for name in texts]

    named: list[tuple[str, str]] = []  # kind and name of each encoded column
    encoded: list[list[NDArray[np.float32]]] = [[] for _ in parts]  # by part and encoded column
    for encoder, chosen in blocks:
        block = pd.DataFrame({name: _cells(known[name]) for name in chosen})
        names: Any = encoder.fit(block.iloc[train]).get_feature_names_out()
        kinds = ["number"] * len(chosen) + ["indicator"] * (len(names) - len(chosen))
        named += zip(kinds if encoder is scale else ["text"] * len(names), map(str, names), strict=True)
        for part, rows in zip(encoded, parts, strict=True):
            part.extend(np.asarray(encoder.transform(block.iloc[rows])).T.astype(np.float32))
    order = sorted(range(len(named)), key=lambda place: ("number", "indicator", "text").index(named[place][0]))
    xs = []
    while encoded:  # each part's columns go as they are joined
        part = encoded.pop(0)
        xs.append(np.stack([part[place] for place in order], 1))
    return xs, tuple(named[place][1] for place in order)


def _cells(column: Column) -> NDArray[np.float64] | pd.Series:
    """float64, or text, with NaN where missing."""
    if isinstance(column, np.ndarray):
        return column
    if is_number(column):
        return floats(column)
    return column.astype(object).map(str, na_action="ignore").where(column.notna(), np.nan)
