"""Where the user finds the test rows again, and which of their values are unusual.

N rows of a data set, n of them test rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calmix.reading import visible

Kind = Literal["number", "date", "category"]
RARE = 0.1  # of the rows; what more rows have is not unusual
_LONGEST = 30  # characters of a name or a text that are shown


@dataclass(frozen=True)
class Unusual:
    """A value of a row that few rows have.

    side: 1 where it is larger than most, -1 where it is smaller, 0 for a category or an empty cell. share: of the rows,
    that hold something smaller (or larger) than it; that hold the same, where the side is 0.
    """

    column: str
    value: str  # empty where the cell is
    kind: Kind
    side: Literal[-1, 0, 1]
    share: float


@dataclass(frozen=True, eq=False)
class Field:
    """A column, row by row: numbers, dates as seconds since 1970, or categories; NaN or None where a cell is empty."""

    name: str
    kind: Kind
    values: Any  # (N or more,), an array or a pandas Series


@dataclass(frozen=True, eq=False)
class GivenRows:
    """The rows of a data set as the user counts them.

    numbers: (N,) of all rows, ascending. test: (n,) the places of the test rows among them. unit: what is counted, in
    the singular. note: a sentence that says from where. fields: the columns that
    are learned from, of tables; of these rows and, after them, of others of the same data. names: (N,) of the rows,
    where they have some.
    """

    numbers: NDArray[np.int64]
    test: NDArray[np.int64]
    unit: str
    note: str
    fields: Sequence[Field] = ()
    names: Sequence[str] = ()

    @property
    def tested(self) -> NDArray[np.int64]:
        """(n,): the numbers of the test rows."""
        return self.numbers[self.test]

    def of_test(self) -> "GivenRows":
        """The test rows alone, without their fields: as much as a run needs to number its predictions."""
        return replace(self, numbers=self.tested, test=np.arange(len(self.test)), fields=(), names=())

    def names_of(self, numbers: Sequence[int]) -> list[str]:
        """What the rows with these numbers are called; empty where they have no names."""
        places: list[int] = np.searchsorted(self.numbers, np.asarray(numbers)).tolist()
        return [visible(self.names[place]) if self.names else "" for place in places]

    def unusual(self, numbers: Sequence[int], most: int = 3) -> list[list[Unusual]]:
        """Of the rows with these numbers, the values that the fewest rows have, at most `most` of each.

        A number is as rare as twice the share of rows that are as far out on its side; a category as the share of rows
        whose category is as rare or rarer; an empty cell as the share of empty ones. What is as rare as another comes
        later where it lies nearer to the median, in median absolute deviations.
        """
        places = np.searchsorted(self.numbers, numbers)
        found: list[list[tuple[float, float, Unusual]]] = [[] for _ in numbers]
        for field in self.fields:
            judge = _categories if field.kind == "category" else _numbers
            for row, judged in zip(found, judge(field, places), strict=True):
                row.append(judged)
        return [
            [one for rarity, _, one in sorted(row, key=lambda judged: judged[:2]) if rarity <= RARE][:most]
            for row in found
        ]


_Judged = tuple[float, float, Unusual]  # how rare, minus how far out, what is said of it


def _numbers(field: Field, places: NDArray[np.int64]) -> list[_Judged]:
    values = _floats(field.values)
    known = np.sort(values[~np.isnan(values)])
    empty = (len(values) - len(known)) / len(values)
    median = np.median(known) if len(known) else 0.0
    unit = np.median(np.abs(known - median)) if len(known) else 0.0

    def judged(place: int) -> _Judged:
        value = values[place]
        if np.isnan(value):
            return empty, 0.0, _unusual(field, "", 0, empty)
        smaller = int(np.searchsorted(known, value, "left"))
        larger = len(known) - int(np.searchsorted(known, value, "right"))
        side, inner = (1, smaller) if smaller >= larger else (-1, larger)
        far = abs(value - median) / (unit or 1.0)
        text = date_text(value) if field.kind == "date" else _number(field.values, place)
        return 2 * (len(known) - inner) / len(known), -float(far), _unusual(field, text, side, inner / len(known))

    return [judged(place) for place in places.tolist()]


def _categories(field: Field, places: NDArray[np.int64]) -> list[_Judged]:
    import pandas as pd

    codes, levels = pd.factorize(field.values)  # -1 where empty
    counts = np.bincount(codes[codes >= 0], minlength=1)
    empty = (codes < 0).mean().item()

    def judged(place: int) -> _Judged:
        code = codes[place]
        if code < 0:
            return empty, 0.0, _unusual(field, "", 0, empty)
        rarer = counts[counts <= counts[code]].sum() / len(codes)
        return rarer.item(), 0.0, _unusual(field, str(levels[code]), 0, counts[code].item() / len(codes))

    return [judged(place) for place in places.tolist()]


def _unusual(field: Field, value: str, side: Literal[-1, 0, 1], share: float) -> Unusual:
    return Unusual(_short(field.name), _short(value), field.kind, side, share)


def _floats(values: Any) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return values.astype(np.float64)
    return values.to_numpy(np.float64, na_value=np.nan)


def _number(values: Any, place: int) -> str:
    """As it is written in its own precision, unless that is long."""
    value = values[place] if isinstance(values, np.ndarray) else values.iloc[place]
    text = str(value).removesuffix(".0")
    return text if len(text) <= 10 else f"{float(value):.6g}"


def date_text(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s")).removesuffix("T00:00:00").replace("T", " ")


def _short(text: str) -> str:
    text = visible(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
