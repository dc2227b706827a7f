"""Columns that say something of a table's rows, and are not what is learned from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from calmix.data.splits import listed
from calmix.errors import SettingError, UnknownNameError

Role = Literal["group", "time", "weight"]


@dataclass(frozen=True)
class Roles:
    """The columns by which rows are split or weighed; None: none.

    group: rows of one value never stand in two splits. time: a date or number; rows are split in its order. weight: how
    often a training row is drawn.
    """

    group: str | None = None
    time: str | None = None
    weight: str | None = None

    @property
    def named(self) -> dict[Role, str]:
        """The columns that are given, by their role."""
        given: dict[Role, str | None] = {"group": self.group, "time": self.time, "weight": self.weight}
        return {role: name for role, name in given.items() if name is not None}

    @property
    def splitting(self) -> list[str]:
        """The columns that say in which split a row stands."""
        return [name for role, name in self.named.items() if role != "weight"]


NO_ROLES = Roles()


def check_roles(
    roles: Roles, columns: Sequence[str], target: str, keep: Collection[str], drop: Collection[str]
) -> None:
    """Raise where a column cannot have its role.

    Raises:
        UnknownNameError: no such column.
        SettingError: a column with two roles, groups together with time, or an option that would be ignored.
    """
    for role, name in roles.named.items():
        if name not in columns:
            raise UnknownNameError(f"{role} column", name, columns)
        if name == target:
            raise SettingError(f"{name!r} is the target, and cannot be the {role} column, too; name another column.")
        if name in drop:
            raise SettingError(f"{name!r} is the {role} column, which is not learned from; leave it out of --drop.")
        if name in keep and role != "time":
            raise SettingError(f"{name!r} is the {role} column, and cannot be learned from; leave it out of --keep.")
    if roles.group is not None and roles.time is not None:
        raise SettingError(
            "rows of one group lie at different times, so splits cannot follow both --group and --time; give one of "
            "them, or ready-made parts with --test and --validation."
        )
    twice = [name for name in set(roles.named.values()) if list(roles.named.values()).count(name) > 1]
    if twice:
        raise SettingError(f"{listed(twice)} cannot be two of group, time and weight; name a column for each.")
