"""Categories of many levels become what the target is, on average, in the training rows of a level.

n rows, K classes
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS = 5
PRIOR_ROWS = 10  # as many rows of the overall mean are added to each level


@dataclass(frozen=True)
class LevelMeans:
    """The mean of the target by level, (sum + PRIOR_ROWS * overall mean) / (rows + PRIOR_ROWS), standardised.

    Of classes it is the share of the second one, or of each where there are more than two. A level that is not in the
    training rows has the overall mean; missing cells, None, are a level of their own.
    """

    column: str
    levels: tuple[str | None, ...]
    means: tuple[tuple[float, ...], ...]  # a level: of each feature
    overall: tuple[float, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    classes: tuple[int, ...] = ()  # that the features are shares of; () where a number is regressed

    @property
    def names(self) -> tuple[str, ...]:
        if len(self.classes) > 1:
            return tuple(f"{self.column}_mean_{k}" for k in self.classes)
        return (f"{self.column}_mean",)

    def __call__(self, cells: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) text, None where missing -> (n, d)"""
        codes = pd.Index(self.levels, dtype=object).get_indexer(pd.Index(cells, dtype=object))
        means = np.array([*self.means, self.overall])  # -1, an unknown level, is the last
        return (means[codes] - self.shift) / self.scale


def fit_level_means(column: str, cells: NDArray[Any], goal: NDArray[Any]) -> tuple[LevelMeans, NDArray[np.float64]]:
    """The encoder, and the features (n, d) of the training rows, which are in random order.

    A training row is encoded by the other folds alone, so that its own target does not tell on it (cross-fitting;
    Micci-Barreca, 2001, has no folds). cells: (n,) text, None where missing. goal: (n,) class ids, or numbers.
    """
    targets, classes = np.asarray(goal, np.float64)[:, None], []
    if goal.dtype.kind == "i":
        classes = np.unique(goal)[1 if len(np.unique(goal)) == 2 else 0 :].tolist()
        targets = (goal[:, None] == np.array(classes)).astype(np.float64)
    codes, levels = pd.factorize(cells, use_na_sentinel=False)
    fold = np.arange(len(codes)) % FOLDS
    x = np.empty_like(targets)
    for k in range(FOLDS):
        others = fold != k
        x[~others] = _means(codes[others], targets[others], len(levels))[codes[~others]]
    shift, scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
    means = _means(codes, targets, len(levels))
    names = tuple(None if pd.isna(level) else str(level) for level in levels)
    of_levels = tuple(map(tuple, means.tolist()))
    overall, of_shift, of_scale = (tuple(values.tolist()) for values in (targets.mean(0), shift, scale))
    encoder = LevelMeans(column, names, of_levels, overall, of_shift, of_scale, tuple(classes))
    return encoder, (x - shift) / scale


def _means(codes: NDArray[np.intp], targets: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """(levels, d)"""
    rows = np.bincount(codes, minlength=levels)[:, None]
    overall = targets.mean(0) if len(targets) else np.zeros(targets.shape[1])
    sums = np.stack([np.bincount(codes, column, levels) for column in targets.T], 1)
    return (sums + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS)
