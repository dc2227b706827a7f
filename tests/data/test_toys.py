"""Toy sets: balanced, standardised, redrawn for each seed, and as hard as they say."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier

from calmix.data import circles, load, two_moons
from calmix.errors import DataError


@pytest.mark.parametrize("make", [two_moons, circles])
def test_sizes_and_balance(make):
    splits = make(seed=2)
    parts = (splits.train, splits.validation, splits.calibration, splits.test)
    assert [len(part) for part in parts] == [300, 500, 500, 2_000]
    for part in parts:
        assert part.x.dtype == torch.float32
        assert part.y.dtype == torch.int64
        assert part.y.bincount().tolist() == [len(part) // 2] * 2
    assert (splits.about.kind, splits.about.task, splits.about.features) == ("table", "classification", ("x1", "x2"))
    assert splits.about.name == make.__name__
    torch.testing.assert_close(splits.train.x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(splits.train.x.std(0, correction=0), torch.ones(2))


@pytest.mark.parametrize("make", [two_moons, circles])
def test_a_seed_is_a_draw_of_all_splits(make):
    first, again, other = make(seed=0), make(seed=0), make(seed=1)
    for part in ("train", "validation", "calibration", "test"):
        assert torch.equal(getattr(first, part).x, getattr(again, part).x)
        assert not torch.equal(getattr(first, part).x, getattr(other, part).x)
    points = torch.cat([first.validation.x, first.calibration.x, first.test.x])
    assert len(points.unique(dim=0)) == len(points)  # no split repeats another's draw


def test_the_train_size_cuts_the_training_split_alone():
    whole, cut = two_moons(), two_moons(train_size=50)
    assert cut.train.y.bincount().tolist() == [25, 25]
    assert torch.equal(cut.test.y, whole.test.y)
    shift, scale = torch.linalg.lstsq(  # standardised by another train split: the same points, moved and scaled
        torch.stack([torch.ones(2_000), whole.test.x[:, 0]], 1), cut.test.x[:, :1]
    ).solution.flatten()
    torch.testing.assert_close(shift + scale * whole.test.x[:, 0], cut.test.x[:, 0], atol=1e-4, rtol=0)
    with pytest.raises(DataError, match="train_size is 301, but there are 300 rows"):
        two_moons(train_size=301)


def test_the_classes_are_where_their_names_say():
    moons, rings = two_moons(), circles()
    assert moons.about.classes == ("upper", "lower")
    height = [moons.test.x[moons.test.y == k][:, 1].mean() for k in (0, 1)]
    assert height[0] > height[1]
    radius = [rings.test.x[rings.test.y == rings.about.classes.index(name)].norm(dim=1).mean() for name in
              ("inner", "outer")]  # fmt: skip
    assert radius[0] < radius[1]


def test_the_best_classifier_is_right_on_97_in_100():
    points, ids = make_moons(20_000, noise=0.2, random_state=0)
    neighbours = KNeighborsClassifier(101).fit(points, ids)
    assert neighbours.score(*make_moons(5_000, noise=0.2, random_state=1)) == pytest.approx(0.97, abs=0.008)
    right = []
    for seed in range(5):
        test = circles(seed).test
        radius = test.x.norm(dim=1)
        right.append(max(((radius < cut) == (test.y == 1)).float().mean().item() for cut in np.linspace(1, 1.6, 61)))
    assert np.mean(right) == pytest.approx(0.97, abs=0.008)


def test_they_are_known_by_name():
    assert torch.equal(load("circles", seed=3).train.x, circles(3).train.x)
    assert load("two_moons", task="binary").about.task == "binary"
