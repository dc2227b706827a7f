"""What became of a column of a table: one value, which the screen, the page and the files of a run show."""

from dataclasses import dataclass
from typing import Literal

from calmix.reading import visible

NUMBER, DATE_PARTS, ONE_HOT, TARGET_ENCODING = "number", "date parts", "one-hot", "target encoding"
TakenFor = Literal["number", "category", "date", "text", "identifier", "constant", "target", "group", "time", "weight"]


@dataclass(frozen=True)
class ColumnUse:
    """What a column of a table is taken for, and what becomes of it."""

    name: str
    taken_for: TakenFor
    missing: int = 0  # cells, of all rows
    levels: int = 0  # distinct values, of all rows
    used_as: str = (
        ""  # NUMBER, DATE_PARTS, ONE_HOT, TARGET_ENCODING, the task of a target, what a role is; "" where left out
    )
    features: int = 0  # how many numbers a network sees of it
    note: str = ""  # why it is left out, or what was done to its cells

    def __post_init__(self) -> None:
        for field_name in ("name", "used_as", "note"):
            object.__setattr__(self, field_name, visible(getattr(self, field_name)))
