"""Which rows a search sees: never the test rows, which stay the same while the others are drawn anew."""

from dataclasses import dataclass, replace

import torch

from calmix.data import DataSource, Noisy
from calmix.data.sources import can_fold, folds_of
from calmix.data.splits import Fold, Split, Splits
from calmix.errors import SettingError
from calmix.rows import Rows

TESTED = 5  # of a set whose rows are all drawn, one in so many is tested, as in the splits of a seed


@dataclass(frozen=True)
class OneTest:
    """A source with the same test rows for every seed.

    Where all rows are drawn, the seeds draw train, validation and calibration splits anew from the rows that are not
    tested. Where splits are given, official, in the order of time, or points are drawn afresh, all splits are those of
    one draw, and seeds differ in initial weights, order and mixes.

    draw: which test rows.

    Raises:
        SettingError: a source that is cut into folds.
    """

    source: DataSource
    draw: int = 0

    def __post_init__(self) -> None:
        if folds_of(self.source):
            raise SettingError("a search has one test split, and the data are cut into folds; give their source.")

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    @property
    def redrawn(self) -> bool:
        """Whether seeds draw the other splits anew."""
        return can_fold(self.source.source if isinstance(self.source, Noisy) else self.source)

    def splits(self, seed: int) -> Splits:
        if isinstance(self.source, Noisy):
            return replace(self.source, source=replace(self, source=self.source.source)).splits(seed)
        if can_fold(self.source):
            return self.source.splits(Fold(0, TESTED, self.draw, inner=seed))
        return self.source.splits(self.draw)

    def whole(self) -> "OneTest":
        return replace(self, source=self.source.whole())


@dataclass(frozen=True)
class Untested:
    """A source without its test rows: those to choose by stand in their place.

    These are the validation and the calibration rows together, or the validation rows alone where rows are not in
    memory. Nothing that trains on these splits can see a test row.
    """

    source: OneTest

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    def splits(self, seed: int) -> Splits:
        splits = self.source.splits(seed)
        return replace(splits, test=_held(splits), given=None)

    def whole(self) -> "Untested":
        return replace(self, source=self.source.whole())


def _held(splits: Splits) -> Split:
    parts = [part for part in (splits.validation, splits.calibration) if len(part)]
    if any(isinstance(part.rows, Rows) for part in parts):
        return parts[0]
    return Split(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
