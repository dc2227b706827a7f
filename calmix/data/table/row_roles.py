"""What the columns of a table say of its rows: their groups, their times, their weights; and the splits that follow.

n rows that have a target
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.data.given_rows import date_text
from calmix.data.splits import PARTS, SAME_TEST, SHARES, Draw, Fold, Joined, RowIds, draw_parts
from calmix.data.table.drawing import parts_by_group, parts_by_time
from calmix.data.table.given import ReadyPart, TableRows, check_groups, check_times
from calmix.data.table.role_columns import Moments, groups_of, moments_of, weights_of
from calmix.data.table.roles import Role, Roles
from calmix.errors import DataError, SettingError


@dataclass(frozen=True, eq=False)
class RowRoles:
    """groups: (n,) texts. times: (n,). weights: (n,), at least 0. None: no column says so."""

    roles: Roles
    rows: TableRows
    groups: NDArray[np.object_] | None = None
    times: Moments | None = None
    weights: NDArray[np.float64] | None = None

    def draw(self, labels: RowIds | None, n: int, draw: Draw, drawn: Sequence[str]) -> list[RowIds]:
        """The rows of the splits `drawn`, names of PARTS, in their order; see `draw_parts`.

        Raises:
            SettingError: validation rows that are to be trained on, and are none of these.
        """
        if isinstance(draw, Joined):
            if "validation" not in drawn:
                raise SettingError(
                    "--all-data trains on the validation rows, too, and --validation is a file of its own: leave one"
                    " out."
                )
            return draw.of(self.draw(labels, n, draw.seed, drawn))
        shares = tuple(share for part, share in zip(PARTS, SHARES, strict=True) if part in drawn)
        if self.groups is not None:
            _, ids = np.unique(self.groups.astype(str), return_inverse=True)
            return parts_by_group(labels, ids, draw, shares)
        if self.times is not None:
            assert not isinstance(draw, Fold), "sources refuse it"
            return parts_by_time(self.times.values, draw, shares)
        return draw_parts(labels, n, draw, shares)

    def of_train(self, train: RowIds) -> NDArray[np.float64] | None:
        """The weights of the rows to train on; None where they are all alike."""
        if self.weights is None:
            return None
        weights = self.weights[train]
        if not weights.any():
            raise DataError(f"all rows to train on have the weight 0 in {self.roles.weight!r}; give some more than 0.")
        return None if (weights == weights[0]).all() else weights

    def notices(self, parts: Mapping[str, RowIds], ready: Mapping[str, ReadyPart]) -> list[str]:
        """How rows are split and weighed, in sentences.

        Raises:
            DataError: a ready-made part has rows of a group that stands elsewhere, or of a time before it.
        """
        return [*self._by_group(parts, ready), *self._by_time(parts, ready), *self._weighed(parts["train"])]

    def _by_group(self, parts: Mapping[str, RowIds], ready: Mapping[str, ReadyPart]) -> list[str]:
        if self.groups is None or self.roles.group is None:
            return []
        check_groups(self.groups, self.roles.group, ready, self.rows)
        counts = {part: len(set(self.groups[rows].tolist())) for part, rows in parts.items()}
        said = ", ".join(f"{part} {count}" for part, count in counts.items())
        notice = f"splits are by {self.roles.group!r}: all rows of a group stand in one split (groups: {said})."
        if len(set(self.groups.tolist())) == len(self.groups):
            notice = f"every row has its own {self.roles.group!r}, so that splits are drawn row by row."
        return [notice]

    def _by_time(self, parts: Mapping[str, RowIds], ready: Mapping[str, ReadyPart]) -> list[str]:
        if self.times is None or self.roles.time is None:
            return []
        others = {part: self.times.of_rows(rows) for part, rows in parts.items() if part != "train"}
        others |= {part: one.times for part, one in ready.items() if one.times is not None}
        train = self.times.of_rows(parts["train"])
        check_times(train, self.roles.time, [(part, others[part]) for part in PARTS[1:]])
        text = date_text if self.times.dated else "{:g}".format
        ends, begins = text(train.values.max()), text(others["test"].values.min())
        return [
            f"splits are in the order of {self.roles.time!r}, whatever the seed: rows to train on end at {ends}, the "
            f"test split begins at {begins}.",
            *([] if "test" in ready else [SAME_TEST]),
        ]

    def _weighed(self, train: RowIds) -> list[str]:
        if self.weights is None:
            return []
        weights = self.of_train(train)
        if weights is None:
            return [f"all rows to train on have the same weight in {self.roles.weight!r}, which changes nothing."]
        alone = int((weights > 0).sum())
        zeros = f"; {len(weights) - alone} of weight 0 are not trained on" if alone < len(weights) else ""
        worth = weights.sum() ** 2 / (weights**2).sum()
        return [
            f"rows to train on are drawn in proportion to {self.roles.weight!r}: {len(weights):,} rows, worth about "
            f"{worth:,.0f} of equal weight{zeros}. Metrics count every row once."
        ]


def read_roles(columns: Mapping[Role, pd.Series], roles: Roles, places: RowIds, rows: TableRows) -> RowRoles:
    """Of the rows at `places`, those that have a target. columns: by role."""
    readers = {"group": groups_of, "time": moments_of, "weight": weights_of}
    names = {"group": "groups", "time": "times", "weight": "weights"}

    def where(place: int) -> str:
        return rows.where(int(places[place]))

    found = {
        names[role]: readers[role](roles.named[role], column.iloc[places], where) for role, column in columns.items()
    }
    return RowRoles(roles, rows, **found)
