"""Which methods rank higher over several data sets.

k  methods that all comparisons share
N  data sets
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calmix.errors import DataError, SettingError
from calmix.report.sentences import joined
from calmix.results.catalogue import ACCURACY, ECE, MAE, NLL, RMSE, SCALED_ECE, Column
from calmix.results.scores import column_name
from calmix.results.statistics import Ranks, rank
from calmix.results.store import Results, is_control, read_results

CLASSIFICATION = (ACCURACY, ECE, SCALED_ECE, NLL)  # what is ranked, the most important first
REGRESSION = (RMSE, MAE)


@dataclass(frozen=True)
class RankedSet:
    """One of the data sets: its name in tables, and what a report says of its comparison."""

    name: str
    data: str  # the name of the data; several comparisons may be of the same
    facts: str


@dataclass(frozen=True, eq=False)
class Ranking:
    """Several comparisons, the methods that all of them have, and their ranks in each metric."""

    sets: tuple[RankedSet, ...]  # N
    methods: tuple[str, ...]  # k
    ranks: dict[Column, Ranks]  # the most important metric first
    left_out: tuple[str, ...] = ()  # controls, and methods that some comparison lacks

    @property
    def repeated(self) -> list[str]:
        """Data that several comparisons share."""
        names = [one.data for one in self.sets]
        return sorted({name for name in names if names.count(name) > 1})


def read_ranking(folders: Sequence[Path]) -> Ranking:
    """The comparisons in `folders`, ranked by their means over seeds.

    Raises:
        DataError: a folder holds no comparison, or the comparisons pose different tasks or share too few methods.
        SettingError: fewer than two folders, or one given twice.
    """
    places = [folder.resolve() for folder in folders]
    if len(places) < 2 or len(set(places)) < len(places):
        raise SettingError(f"ranks need two or more different folders; got {', '.join(map(str, folders))}.")
    comparisons = [read_results(folder) for folder in folders]
    regressions = [str(folder) for folder, one in zip(folders, comparisons, strict=True) if one.regression]
    if 0 < len(regressions) < len(folders):
        raise DataError(f"regression cannot be ranked with classification; rank apart: {', '.join(regressions)}.")
    everyone = list(dict.fromkeys(method for one in comparisons for method in one.methods))
    shared = [m for m in everyone if not is_control(m) and all(m in one.methods for one in comparisons)]
    if len(shared) < 2:
        have = joined(shared) or "none"
        raise DataError(f"ranks need two methods or more that all comparisons have; these share {have}.")
    sets = [
        RankedSet(name, one.facts.data.name, f"{one.facts.data.name}, {one.facts.model}, {_source(one)}")
        for name, one in zip(_names(folders, comparisons), comparisons, strict=True)
    ]
    ranks = {}
    for column in REGRESSION if regressions else CLASSIFICATION:
        means = [
            [one.scores.interval(method, column.key, column.condition).mean for method in shared] for one in comparisons
        ]
        better = 1 if column.better == 1 else -1
        ranks[column] = rank(np.array(means), better, shared, [one.name for one in sets])
    left_out = tuple(method for method in everyone if method not in shared)
    return Ranking(tuple(sets), tuple(shared), ranks, left_out)


def key_of(column: Column) -> str:
    """What a metric is called in files: `ece`, `scaled_ece`."""
    return column_name(column.condition, column.key)


def ranking_json(ranking: Ranking) -> dict[str, object]:
    """All ranks, for programs."""
    return {
        "methods": ranking.methods,
        "left_out": ranking.left_out,
        "sets": [one.name for one in ranking.sets],
        "ranks": {
            key_of(column): {
                "scores": ranks.scores.tolist(),
                "ranks": ranks.ranks.tolist(),
                "mean": ranks.mean.tolist(),
                "p": ranks.p,
                "critical_difference": ranks.critical,
                "not_told_apart": [[ranking.methods[i] for i in group] for group in ranks.groups],
            }
            for column, ranks in ranking.ranks.items()
        },
    }


def _source(results: Results) -> str:
    return f"{results.seeds} seeds: {results.facts.data.source}"


def _names(folders: Sequence[Path], comparisons: Sequence[Results]) -> list[str]:
    """The names of the data; where two are the same, with their folders."""
    names = [results.facts.data.name for results in comparisons]
    tails = [folder.resolve().name for folder in folders]
    shown = [f"{n} ({tail})" if names.count(n) > 1 else n for n, tail in zip(names, tails, strict=True)]
    return [f"{n} ({folder})" if shown.count(n) > 1 else n for n, folder in zip(shown, folders, strict=True)]
