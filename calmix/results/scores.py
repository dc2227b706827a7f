"""Everything that was measured, as one tidy table: method, seed, condition, metric, value.

A condition says of which network, on which rows. It is a path: `plain` is the network as trained on the test split;
`scaled` the same after temperature scaling; `corruptions/jpeg/3` the same on corrupted rows; `refreshed/scaled` after
batch norm was re-estimated, then scaled. One network's measurements are a mapping from conditions to metrics to values,
`{"plain": {"accuracy": 0.9, ...}, "scaled": {...}}`; `Scores` holds those of many runs.

S  seeds
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calmix.errors import DataError
from calmix.reading import typed
from calmix.results.statistics import Difference, Interval, difference, interval, paired_difference, widened

PLAIN = "plain"
_DEEPEST = 8  # parts of a condition
LARGEST = sys.float_info.max
COLUMNS = ("method", "seed", "condition", "metric", "value")

Seeds = NDArray[np.int64]  # (S,)
Values = NDArray[np.float64]  # (S,)
Measured = Mapping[str, Mapping[str, float]]  # condition -> metric -> value, of one network


class Score(NamedTuple):
    """A row of the table."""

    method: str
    seed: int
    condition: str
    metric: str
    value: float


@dataclass(frozen=True, eq=False)
class Scores:
    """A tidy table of scores, with methods that select rows and summarise them.

    overlap: test rows over training rows where runs are folds of the same rows, see `calmix.results.statistics`.

    >>> scores = Scores.of([("erm", 0, {"plain": {"ece": 0.2}, "scaled": {"ece": 0.1}}), ("mixup", 0, {})])
    >>> scores.values("erm", "ece"), scores.values("erm", "ece", "scaled")
    ([0.2], [0.1])
    """

    frame: pd.DataFrame  # of COLUMNS
    overlap: float = 0.0

    @staticmethod
    def of(runs: Iterable[tuple[str, int, Measured]], overlap: float = 0.0) -> "Scores":
        """The scores of runs, each a method, a seed and what was measured."""
        columns: tuple[list[object], ...] = tuple([] for _ in COLUMNS)
        for method, seed, measured in runs:  # column by column: of a large comparison there are a million rows
            for condition, metrics in measured.items():
                same = ([method], [seed], [condition])
                of_one = (*(value * len(metrics) for value in same), metrics, metrics.values())
                for column, values in zip(columns, of_one, strict=True):
                    column.extend(values)
        return Scores(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))).astype({"value": float}), overlap)

    @staticmethod
    def from_rows(rows: Iterable[Score]) -> "Scores":
        columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
        return Scores(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))))

    @property
    def methods(self) -> list[str]:
        """In the order in which they were measured."""
        return list(self._seeds)

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self._runs})

    def conditions(self, under: str = "") -> list[str]:
        """All conditions, or those beneath one, without its name.

        >>> scores = Scores.of([("erm", 0, {"corruptions/fog/1": {"ece": 0.2}, "corruptions/fog/2": {"ece": 0.3}})])
        >>> scores.conditions("corruptions"), scores.conditions("corruptions/fog")
        (['fog/1', 'fog/2'], ['1', '2'])
        """
        found = self.frame["condition"].drop_duplicates().tolist()
        return [path.removeprefix(f"{under}/") for path in found if path.startswith(f"{under}/")] if under else found

    def metrics(self, condition: str = PLAIN) -> list[str]:
        """The metrics that were measured under a condition."""
        return self.frame.loc[self.frame["condition"] == condition, "metric"].drop_duplicates().tolist()

    def has(self, metric: str, condition: str = PLAIN) -> bool:
        """Whether every run has this score."""
        found = self._columns.get((condition, metric))
        return found is not None and not np.isnan(found).any()

    def values(self, method: str, metric: str, condition: str = PLAIN) -> list[float]:
        """One number a seed (S,), in the order of the seeds; empty where there is no such score."""
        return self._known(method, metric, condition)[1].tolist()

    def value(self, method: str, seed: int, metric: str, condition: str = PLAIN) -> float | None:
        """One number; None where there is none."""
        seeds, values = self._known(method, metric, condition)
        return next(iter(values[seeds == seed].tolist()), None)

    def measured(self, method: str, seed: int) -> dict[str, dict[str, float]]:
        """All that was measured of one run, as `of` takes it."""
        found: dict[str, dict[str, float]] = {}
        for condition, metric in self._columns:
            if (value := self.value(method, seed, metric, condition)) is not None:
                found.setdefault(condition, {})[metric] = value
        return found

    def seeds_of(self, method: str) -> list[int]:
        return self._seeds[method].tolist() if method in self._seeds else []

    def interval(self, method: str, metric: str, condition: str = PLAIN, scale: float = 1.0) -> Interval:
        """The mean over seeds with its 95 % interval, times `scale`. DataError where there is no such score."""
        _, values = self._known(method, metric, condition)
        if not len(values):
            raise DataError(f"there is no {metric} of {method!r} under {condition!r}.")
        return interval(scale * values, overlap=self.overlap)

    @property
    def comparisons(self) -> int:
        """With how many others each method is compared."""
        return max(len(self.methods) - 1, 1)

    @property
    def level(self) -> float:
        """Of the interval of a difference: 95 %, widened so that all differences from one method hold together."""
        return widened(self.comparisons)

    def difference(self, method: str, other: str, metric: str, condition: str = PLAIN) -> Interval:
        """`method` minus `other`, seed by seed where both have the score, with its interval of `level`.

        Whatever is said of two methods, by a mark, a table or a sentence, is said of this interval.
        """
        return paired_difference(*self._pairs(method, other, metric, condition), self.level, self.overlap)

    def by_seed(self, method: str, other: str, metric: str, condition: str = PLAIN) -> dict[int, float]:
        """`method` minus `other` by seed, of those where both have the score."""
        seeds, values, others = self._shared(method, other, metric, condition)
        return dict(zip(seeds.tolist(), (values - others).tolist(), strict=True))

    def evidence(self, method: str, other: str, metric: str, condition: str = PLAIN) -> Difference:
        """`method` minus `other`, seed by seed, as every test sees it."""
        return difference(*self._pairs(method, other, metric, condition), self.comparisons, self.overlap)

    def of_method(self, method: str) -> "Scores":
        return Scores(self.frame.loc[self.frame["method"] == method], self.overlap)

    def under(self, condition: str) -> "Scores":
        """The scores beneath a condition, whose conditions are the rest of the path; its own are PLAIN."""
        path = self.frame["condition"]
        inside = self.frame.loc[(path == condition) | path.str.startswith(f"{condition}/")]
        rest = [one.removeprefix(condition).removeprefix("/") or PLAIN for one in inside["condition"]]
        return Scores(inside.assign(condition=rest), self.overlap)

    def wide(self, first: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
        """A row a run, a column a score, empty where a run has none.

        first: pairs (condition, metric) to begin with. Columns are named `ece`, `scaled_ece`, `corruptions_jpeg_3_ece`.
        """
        pairs = [*(pair for pair in first if pair in self._columns), *(p for p in self._columns if p not in first)]
        columns = {column_name(*pair): self._columns[pair] for pair in pairs}
        named = {"method": [method for method, _ in self._runs], "seed": [seed for _, seed in self._runs]}
        return pd.DataFrame({**named, **columns})

    def _pairs(self, method: str, other: str, metric: str, condition: str) -> tuple[Values, Values]:
        seeds, values, others = self._shared(method, other, metric, condition)
        if not len(seeds):
            raise DataError(f"{method!r} and {other!r} have no {metric} under {condition!r} for the same seeds.")
        return values, others

    def _shared(self, method: str, other: str, metric: str, condition: str) -> tuple[Seeds, Values, Values]:
        """Seeds with a score of both methods, and the scores of both."""
        seeds, values = self._known(method, metric, condition)
        other_seeds, others = self._known(other, metric, condition)
        if np.array_equal(seeds, other_seeds):
            return seeds, values, others
        both, mine, theirs = np.intersect1d(seeds, other_seeds, assume_unique=True, return_indices=True)
        return both, values[mine], others[theirs]

    def _known(self, method: str, metric: str, condition: str) -> tuple[Seeds, Values]:
        """The seeds of a method that have a score, in order, and their scores."""
        column = self._columns.get((condition, metric))
        if column is None or method not in self._seeds:
            return np.array([], int), np.array([])
        seeds, values = self._seeds[method], column[self._places[method]]
        known = ~np.isnan(values)
        return (seeds, values) if known.all() else (seeds[known], values[known])

    @cached_property
    def _numbered_runs(self) -> tuple[NDArray[np.int64], list[Any]]:
        return _numbered(self.frame, ["method", "seed"])

    @property
    def _runs(self) -> list[tuple[str, int]]:
        return self._numbered_runs[1]

    @cached_property
    def _places(self) -> dict[str, NDArray[np.int64]]:
        """The runs of each method, as places, in the order of their seeds."""
        found: dict[str, list[int]] = {}
        for place, (method, _) in enumerate(self._runs):
            found.setdefault(method, []).append(place)
        return {method: np.array(sorted(places, key=lambda p: self._runs[p][1])) for method, places in found.items()}

    @cached_property
    def _seeds(self) -> dict[str, Seeds]:
        return {method: np.array([self._runs[p][1] for p in places]) for method, places in self._places.items()}

    @cached_property
    def _columns(self) -> dict[tuple[str, str], Values]:
        """(condition, metric) -> a number a run, in the order of `_runs`; NaN where there is none."""
        run_of, runs = self._numbered_runs
        column_of, columns = _numbered(self.frame, ["condition", "metric"])
        table = np.full((len(columns), len(runs)), np.nan)
        table[column_of, run_of] = self.frame["value"]
        return dict(zip(columns, table, strict=True))


def _numbered(frame: pd.DataFrame, names: list[str]) -> tuple[NDArray[np.int64], list[Any]]:
    """Of each row the number of its group, by what stands in these columns; and the groups, in order of appearance."""
    numbers = frame.groupby(names, sort=False).ngroup().to_numpy()
    _, first = np.unique(numbers, return_index=True)
    return numbers, list(zip(*(frame[name].iloc[first].tolist() for name in names), strict=True))


def column_name(condition: str, metric: str) -> str:
    return metric if condition == PLAIN else f"{condition.replace('/', '_')}_{metric}"


# -------------------------------------------------------------------------------------- as people read it in JSON


def nested(measured: Measured) -> dict[str, object]:
    """The same as JSON has it: metrics of the plain network on top, other conditions as objects inside.

    >>> nested({"plain": {"ece": 0.2}, "ood/notmnist": {"auroc": 0.9}})
    {'ece': 0.2, 'ood': {'notmnist': {'auroc': 0.9}}}
    """
    result: dict[str, object] = {}
    for condition, metrics in measured.items():
        inner: dict[str, object] = result
        for part in () if condition == PLAIN else condition.split("/"):
            place = inner.setdefault(part, {})
            assert isinstance(place, dict)
            inner = place
        inner.update(metrics)
    return result


def flat(raw: object, path: str = "") -> dict[str, dict[str, float]]:
    """`nested`, backwards. What is no number is left out. Raise DataError where one is not finite, or lies too deep.

    A list of two numbers holds the ends of an interval, as calmix 0.1.0 wrote them.

    >>> flat({"ece": 0.2, "ood": {"notmnist": {"auroc": 0.9}}})
    {'plain': {'ece': 0.2}, 'ood/notmnist': {'auroc': 0.9}}
    >>> flat({"intervals": {"ece": [0.1, 0.3]}})
    {'intervals/low': {'ece': 0.1}, 'intervals/high': {'ece': 0.3}}
    """
    if not isinstance(raw, Mapping):
        raise DataError(f"expected metrics by name; got {type(raw).__name__}.")
    if path.count("/") > _DEEPEST:
        raise DataError(f"metrics lie more than {_DEEPEST} levels deep.")
    found: dict[str, dict[str, float]] = {}
    own: dict[str, float] = {}
    for name, value in raw.items():
        if type(value) in (float, int):  # most are; of a large comparison there are a million
            own[name] = float(value) if -LARGEST <= value <= LARGEST else typed(float, value)
        elif isinstance(value, Mapping):
            found |= flat(value, f"{path}{name}/")
        elif isinstance(value, list) and len(value) == 2:
            for end, number in zip(("low", "high"), value, strict=True):
                found.setdefault(f"{path}{end}", {})[name] = typed(float, number)
    return {path.removesuffix("/") or PLAIN: own, **found} if own else found
