"""Columns that tell the target all but perfectly, each alone: often the target under another name.

n rows, K classes
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.data.splits import RowIds
from calmix.data.table.columns import Taken, floats, is_number

MOST_ROWS = 10_000  # that are looked at
FEWEST_ROWS, FEWEST_OF_A_CLASS = 30, 5  # with fewer, a column may tell them apart by chance
BALANCED, RANKS = 0.99, 0.999  # balanced accuracy on rows held out; rank correlation, or explained share of variance


def leaks(columns: Sequence[Taken], goal: NDArray[Any]) -> list[str]:
    """Names of columns that alone predict the target all but perfectly, judged on all rows, or MOST_ROWS drawn of them.

    No network learns from what is found: test rows are judged, too, so that every seed names the same columns, and a
    column that tells a rare class is found although a split has few rows of it.

    Of classes: a small tree (of text: the most frequent class of a level) is right in BALANCED of the rows of a class
    that it has not seen, on average over classes. Of numbers: |rank correlation| is RANKS, or the means of levels that
    come several times explain as much of the variance. goal: (n,) class ids, or numbers.
    """
    rows = np.random.default_rng(0).permutation(len(goal))[:MOST_ROWS]  # rows may come in order of the target
    if goal.dtype.kind == "i":
        counts = np.bincount(goal[rows])
        rows = rows[counts[goal[rows]] >= FEWEST_OF_A_CLASS]
    y = goal[rows]
    if len(rows) < FEWEST_ROWS or len(np.unique(y)) < 2:
        return []
    tells = _tells_class if goal.dtype.kind == "i" else _tells_number
    return [column.name for column in columns if tells(*_codes(column, rows), y)]


def _codes(column: Taken, rows: RowIds) -> tuple[NDArray[np.float64], bool]:
    """(n,) numbers, NaN where missing, or the levels of text by number; and whether they have an order."""
    values = column.values
    if isinstance(values, np.ndarray):
        return values[rows], True
    if is_number(values):
        return floats(values.iloc[rows]), True
    return pd.factorize(values.iloc[rows], use_na_sentinel=False)[0].astype(float), False


def _tells_class(values: NDArray[np.float64], ordered: bool, y: NDArray) -> bool:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    classes = len(np.unique(y))
    values = np.where(np.isnan(values), np.nanmin(values, initial=0.0) - 1, values)
    levels, codes = np.unique(values, return_inverse=True)
    if len(levels) <= len(y) / 2:  # what is wrong on rows that it has seen is wrong on others
        if balanced_accuracy_score(y, _frequent(codes, y)[codes]) < BALANCED - 0.01:
            return False
    elif not ordered or (np.diff(y[np.argsort(values)]) != 0).sum() > 4 * classes + 0.05 * len(y):
        return False  # a tree of few leaves is right only where classes change seldom
    said = np.empty_like(y)
    for known, unseen in StratifiedKFold(min(5, np.bincount(y)[np.unique(y)].min())).split(values, y):
        if ordered:
            tree = DecisionTreeClassifier(max_leaf_nodes=4 * classes, random_state=0)
            said[unseen] = tree.fit(values[known, None], y[known]).predict(values[unseen, None])
        else:
            said[unseen] = _frequent(codes[known], y[known], len(levels))[codes[unseen]]
    return bool(balanced_accuracy_score(y, said) >= BALANCED)


def _frequent(codes: NDArray, y: NDArray, levels: int = 0) -> NDArray:
    """The most frequent class of each level."""
    table = np.zeros((max(levels, codes.max() + 1), y.max() + 1))
    np.add.at(table, (codes, y), 1)
    return table.argmax(1)


def _tells_number(values: NDArray[np.float64], ordered: bool, y: NDArray) -> bool:
    from scipy.stats import rankdata

    there = ~np.isnan(values)
    if there.sum() < max(FEWEST_ROWS, 0.9 * len(y)):
        return False
    values, y = values[there], y[there]
    levels, codes = np.unique(values, return_inverse=True)
    if len(levels) < 2 or len(np.unique(y)) < 2:
        return False
    if ordered and abs(np.corrcoef(rankdata(values), rankdata(y))[0, 1]) >= RANKS:
        return True
    if len(levels) > len(y) / 5:
        return False
    means = np.bincount(codes, y) / np.bincount(codes)
    return bool(np.var(y - means[codes]) <= (1 - RANKS) * np.var(y))
