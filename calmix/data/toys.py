"""Two classes in the plane, drawn afresh for every seed: what a decision surface can be looked at with.

n points of 2 coordinates. Held-out points cost nothing here, so there are many of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from calmix.data.splits import About, Split, Splits, cut_train

SIZES = (300, 500, 500, 2_000)  # points of train, validation, calibration, test
MOONS_NOISE = 0.2  # standard deviation of the scatter, where a moon's radius is 1
CIRCLES_NOISE = 0.13  # where the outer circle's radius is 1 and the inner's 1/2


def two_moons(seed: int = 0, train_size: int | None = None) -> Splits:
    """300 points of two interleaved half-circles, 2 coordinates, 2 classes (drawn by scikit-learn).

    Scatter 0.2: the best possible classifier is right on about 97 points in 100. Both coordinates are standardised by
    the train split.

    >>> splits = two_moons(train_size=100)
    >>> splits.train.x.shape, splits.about.classes
    (torch.Size([100, 2]), ('upper', 'lower'))
    """
    from sklearn.datasets import make_moons

    draw = partial(make_moons, noise=MOONS_NOISE)
    return _drawn("two_moons", draw, ("upper", "lower"), seed, train_size)


def circles(seed: int = 0, train_size: int | None = None) -> Splits:
    """300 points of a circle inside another, 2 coordinates, 2 classes (drawn by scikit-learn).

    Radii 1 and 1/2, scatter 0.13: the best possible classifier is right on about 97 points in 100. Both coordinates are
    standardised by the train split.

    >>> circles().about.classes
    ('outer', 'inner')
    """
    from sklearn.datasets import make_circles

    draw = partial(make_circles, noise=CIRCLES_NOISE, factor=0.5)
    return _drawn("circles", draw, ("outer", "inner"), seed, train_size)


def _drawn(
    name: str,
    draw: Callable[..., Any],  # of scikit-learn: points (n, 2) and ids (n,)
    classes: tuple[str, ...],
    seed: int,
    train_size: int | None,
) -> Splits:
    """Each split from a stream of its own, half of each class, so that train_size leaves the others alone."""
    states = np.random.SeedSequence(seed).generate_state(len(SIZES)).tolist()
    parts = [draw(n, random_state=state) for n, state in zip(SIZES, states, strict=True)]
    points, ids = parts[0]
    kept = cut_train(np.arange(len(ids)), ids, train_size)
    parts[0] = points[kept], ids[kept]
    mean, std = parts[0][0].mean(0), parts[0][0].std(0)
    std[std == 0] = 1
    splits = (
        Split(torch.tensor((points - mean) / std, dtype=torch.float32), torch.tensor(ids.astype(np.int64)))
        for points, ids in parts
    )
    about = About(
        name, "classification", "table", classes, ("x1", "x2"), False, f"scikit-learn, make_{name.removeprefix('two_')}"
    )
    return Splits(*splits, about=about)
