"""What a search sees of the data."""

import numpy as np
import pandas as pd
import pytest
import torch

from calmix.data import Folds, Frame, NamedSet, Noisy, Symmetric
from calmix.data.sources import Arrays, Fixed
from calmix.data.splits import Fold, Splits, draw_parts
from calmix.data.table.drawing import parts_by_group
from calmix.errors import SettingError
from calmix.studies.tuning.rows import OneTest, Untested

NUMBERED = Arrays(torch.arange(200.0).view(-1, 1), torch.arange(200) % 2)


def ids(splits: Splits, part: str) -> set[int]:
    """The rows of a part; standardised values are turned back by their ranks over all parts."""
    every = torch.cat([getattr(splits, name).x for name in ("train", "validation", "calibration", "test")]).flatten()
    order = every.sort().values
    return set(torch.searchsorted(order, getattr(splits, part).x.flatten().contiguous()).tolist())


def test_the_test_rows_stay_and_the_others_are_drawn_anew():
    source = OneTest(NUMBERED, draw=3)
    assert source.redrawn
    first, second = source.splits(0), source.splits(1)
    assert ids(first, "test") == ids(second, "test")
    assert len(first.test) == 40
    for part in ("train", "validation", "calibration"):
        assert ids(first, part) != ids(second, part)
        assert not ids(second, part) & ids(first, "test")
    assert ids(OneTest(NUMBERED, draw=4).splits(0), "test") != ids(first, "test")


def test_an_inner_draw_of_zero_is_the_fold_as_it_always_was():
    labels = np.arange(60) % 3
    for fold in (Fold(1, 5), Fold(4, 5, repeat=2)):
        parts = draw_parts(labels, 60, fold)
        others = np.random.default_rng([0xF01D, fold.repeat, fold.number])
        assert fold.of_others.random() == others.random()
        assert (draw_parts(labels, 60, Fold(fold.number, 5, fold.repeat, inner=0))[0] == parts[0]).all()
        assert (draw_parts(labels, 60, Fold(fold.number, 5, fold.repeat, inner=1))[3] == parts[3]).all()
        assert set(draw_parts(labels, 60, Fold(fold.number, 5, fold.repeat, inner=1))[0]) != set(parts[0])
    groups = np.arange(60) // 3
    one, other = (parts_by_group(None, groups, Fold(0, 5, inner=inner)) for inner in (0, 1))
    assert set(one[3]) == set(other[3])
    assert set(one[0]) != set(other[0])


def test_groups_stay_together_in_every_draw():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=150), "who": np.arange(150) // 5, "y": rng.choice(["a", "b"], 150)})
    source = OneTest(Frame(frame, "y", group="who"))
    for seed in (0, 1):
        given = source.splits(seed).given
        assert given is not None
        assert len(set((given.tested // 5).tolist())) * 5 == len(given.tested)


def test_a_search_sees_the_rows_to_choose_by_in_place_of_the_test_rows():
    source = OneTest(NUMBERED)
    seen, whole = Untested(source).splits(2), source.splits(2)
    held = ids(whole, "validation") | ids(whole, "calibration")
    assert len(seen.test) == len(held) == 40
    assert torch.equal(seen.test.x, torch.cat([whole.validation.x, whole.calibration.x]))
    assert torch.equal(seen.test.y, torch.cat([whole.validation.y, whole.calibration.y]))
    assert torch.equal(seen.train.x, whole.train.x)
    assert seen.given is None


def test_splits_that_are_given_are_the_same_in_every_seed():
    fixed = OneTest(Fixed(NUMBERED.splits(0)))
    assert not fixed.redrawn
    assert torch.equal(fixed.splits(0).train.x, fixed.splits(4).train.x)
    moons = OneTest(NamedSet("two_moons", train_size=50), draw=1)  # drawn afresh
    assert torch.equal(moons.splits(0).test.x, moons.splits(4).test.x)
    assert not torch.equal(moons.splits(0).test.x, OneTest(NamedSet("two_moons", train_size=50)).splits(0).test.x)


def test_wrong_labels_stand_in_training_rows_alone():
    clean, noisy = OneTest(NamedSet("wine")), OneTest(Noisy(NamedSet("wine"), Symmetric(0.4)))
    assert noisy.redrawn
    of_clean, of_noisy = clean.splits(1), noisy.splits(1)
    assert torch.equal(of_clean.test.y, of_noisy.test.y)
    assert not torch.equal(of_clean.train.y, of_noisy.train.y)


def test_folds_are_refused():
    with pytest.raises(SettingError, match="cut into folds; give their source"):
        OneTest(Folds(NamedSet("wine"), 5))
