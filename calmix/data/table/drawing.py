"""Which rows are in which split, where that is not drawn row by row: by groups, or in the order of time.

n rows, G groups, K classes, S parts
"""

import numpy as np
from numpy.typing import NDArray

from calmix.data.splits import FOLDS, SHARES, Fold, RowIds, split_sizes
from calmix.errors import DataError

_TRIES, _STEPS = 32, 20_000  # orders of groups that are tried, and groups that are dealt in all of them, at most


def parts_by_group(
    labels: RowIds | None, groups: RowIds, draw: int | Fold, shares: tuple[int, ...] = SHARES
) -> list[RowIds]:
    """As `draw_parts`, with all rows of a group in one part; sizes and classes are near their shares.

    labels: (n,) class ids. groups: (n,) ids 0 .. G - 1. Raises DataError where there are fewer groups than parts.
    """
    if not isinstance(draw, Fold):
        return split_groups(labels, groups, split_sizes(len(groups), shares), np.random.default_rng(draw))
    rng = np.random.default_rng([FOLDS, draw.repeat])
    folds = split_groups(labels, groups, (1,) * draw.of, rng)
    others = np.concatenate([rows for number, rows in enumerate(folds) if number != draw.number])
    inner = np.unique(groups[others], return_inverse=True)[1]
    sizes = split_sizes(len(others), shares[:-1])
    parts = split_groups(None if labels is None else labels[others], inner, sizes, draw.of_others)
    return [*(others[rows] for rows in parts), folds[draw.number]]


def split_groups(
    labels: RowIds | None, groups: RowIds, shares: tuple[int, ...], rng: np.random.Generator
) -> list[RowIds]:
    """Disjoint parts of whole groups, in about these shares of the rows of each class; none is empty.

    Groups are dealt in random order, each to the part p that lacks its classes most: the p of the largest
    sum_k c_k (wanted_pk - dealt_pk) / n_k^2, where c_k and n_k count rows of class k in the group and in all. Of
    several orders the one is taken whose parts are nearest to what is wanted, in squares of shares of the classes. So a
    group may come to any part that it fits in. (scikit-learn's StratifiedGroupKFold has parts of one size alone, and
    deals the groups of the most unequal classes first.)

    >>> groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    >>> [sorted(set(groups[rows].tolist())) for rows in split_groups(None, groups, (3, 1), np.random.default_rng(0))]
    [[1, 2, 3], [0]]
    """
    labels = np.zeros(len(groups), np.int64) if labels is None else labels
    count = int(groups.max()) + 1
    if count < len(shares):
        raise DataError(
            f"{count} groups cannot be split into {len(shares)} parts, as rows of one group stay together; give a "
            "column of more groups, or ready-made parts with --test and --validation."
        )
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(groups))[:-1])  # rows by group
    rows_of = np.bincount(labels).astype(float)  # (K,)
    wanted = np.outer(shares, rows_of) / sum(shares)  # (S, K)
    scale = np.where(rows_of > 0, rows_of, 1.0)
    best, least = np.zeros(count, np.int64), np.inf
    for _ in range(max(1, min(_TRIES, _STEPS // count))):
        dealt, lacking = _dealt([labels[rows] for rows in members], wanted / scale**2, scale**2, rng)
        off = float(((lacking / scale) ** 2).sum())
        if off < least:
            best, least = dealt, off
    return [rng.permutation(np.flatnonzero(best[groups] == part)) for part in range(len(shares))]


def _dealt(
    members: list[RowIds], wanted: NDArray[np.float64], squares: NDArray[np.float64], rng: np.random.Generator
) -> tuple[RowIds, NDArray[np.float64]]:
    """The part of each group (G,), and how many rows of each class every part lacks (S, K).

    members: the classes of each group's rows. wanted: rows over `squares`, which are those of the classes' sizes.
    """
    lacking, part_of = wanted.copy(), np.zeros(len(members), np.int64)
    empty = set(range(len(wanted)))
    for left, group in zip(range(len(members), 0, -1), rng.permutation(len(members)).tolist(), strict=True):
        need = lacking[:, members[group]].sum(1)  # (S,)
        if left <= len(empty):  # each of the others fills one
            need[[part for part in range(len(need)) if part not in empty]] = -np.inf
        part = int(need.argmax())
        part_of[group] = part
        empty.discard(part)
        np.subtract.at(lacking[part], members[group], 1 / squares[members[group]])
    return part_of, lacking * squares


def parts_by_time(moments: NDArray[np.float64], draw: int, shares: tuple[int, ...] = SHARES) -> list[RowIds]:
    """Parts that follow one another in time, in about these shares; rows of one moment stay together.

    moments: (n,), numbers or seconds. Each border is moved to the nearest change of the moment. The draw only shuffles
    the first part. Raises DataError where there are fewer moments than parts.

    >>> [rows.tolist() for rows in parts_by_time(np.array([3.0, 1, 1, 2, 2, 2, 3, 4]), 0, (6, 1, 1))][1:]
    [[0, 6], [7]]
    """
    order = np.argsort(moments, kind="stable")
    changes = np.flatnonzero(np.diff(moments[order])) + 1  # where a part may begin
    if len(changes) + 1 < len(shares):
        raise DataError(
            f"{len(changes) + 1} different times cannot be split into {len(shares)} parts, as rows of one time stay "
            "together; give a column of more times, or ready-made parts with --test and --validation."
        )
    begins: list[int] = []  # places in `changes`
    for number, ideal in enumerate(np.cumsum(split_sizes(len(moments), shares))[:-1].tolist(), start=1):
        first = begins[-1] + 1 if begins else 0
        last = len(changes) - (len(shares) - 1 - number)
        begins.append(first + int(np.abs(changes[first:last] - ideal).argmin()))
    train, *others = np.split(order, changes[begins])
    return [np.random.default_rng(draw).permutation(train), *others]
