"""Categories of many levels become what the target is, on average, in the training rows of a level.

n rows, K classes
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FOLDS = 5
PRIOR_ROWS = 10  # as many rows of the overall mean are added to each level


class LevelMeans:
    """The mean of the target by level, (sum + PRIOR_ROWS * overall mean) / (rows + PRIOR_ROWS), standardised.

    Of classes it is the share of the second one, or of each where there are more than two. A training row is encoded
    by the other folds alone, so that its own target does not tell on it (cross-fitting; Micci-Barreca, 2001, has no
    folds). A level that is not in the training rows has the overall mean; missing cells are a level of their own.
    """

    def fit_transform(self, column: pd.Series, goal: NDArray[Any]) -> NDArray[np.float64]:
        """column (n,) of the training rows, in random order; goal (n,) class ids, or numbers."""
        targets = np.asarray(goal, np.float64)[:, None]
        self.classes: list[int] = []
        if goal.dtype.kind == "i":
            self.classes = np.unique(goal)[1 if len(np.unique(goal)) == 2 else 0 :].tolist()
            targets = (goal[:, None] == np.array(self.classes)).astype(np.float64)
        codes, levels = pd.factorize(column.to_numpy(object), use_na_sentinel=False)
        self.levels: NDArray[Any] = np.asarray(levels, object)
        fold = np.arange(len(codes)) % FOLDS
        encoded = np.empty_like(targets)
        for k in range(FOLDS):
            others = fold != k
            encoded[~others] = self._means(codes[others], targets[others])[codes[~others]]
        self.means: NDArray[np.float64] = self._means(codes, targets)
        self.overall: NDArray[np.float64] = targets.mean(0)
        self.shift: NDArray[np.float64] = encoded.mean(0)
        self.scale: NDArray[np.float64] = np.where(encoded.std(0) > 0, encoded.std(0), 1.0)
        return (encoded - self.shift) / self.scale

    def transform(self, column: pd.Series) -> NDArray[np.float64]:
        codes = pd.Index(self.levels).get_indexer(pd.Index(column.to_numpy(object)))
        means = np.vstack([self.means, self.overall])  # -1, an unknown level, is the last
        return (means[codes] - self.shift) / self.scale

    def names(self, column: str) -> list[str]:
        return [f"{column}_mean_{k}" for k in self.classes] if len(self.classes) > 1 else [f"{column}_mean"]

    def _means(self, codes: NDArray, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """(levels, targets)"""
        rows = np.bincount(codes, minlength=len(self.levels))[:, None]
        overall = targets.mean(0) if len(targets) else np.zeros(targets.shape[1])
        sums = np.stack([np.bincount(codes, column, len(self.levels)) for column in targets.T], 1)
        return (sums + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS)
