"""Weights of rows: how often a row is trained on, in every method alike."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

import calmix
from calmix.data import Fixed, Frame, Split, Splits, load
from calmix.errors import SettingError, ShapeError
from calmix.methods.c_mixup import TargetNeighbours
from calmix.methods.table import METHODS
from calmix.methods.wrappers import with_whole_set
from calmix.parts import TrainingSet, WholeSet
from calmix.studies.comparison.study import Comparison
from calmix.train import Recipe, TrainingSettings, train
from calmix.train.batches import Batches, evenly_drawn
from calmix.train.recipe import weighted_task
from calmix.train.running import run

FEW = TrainingSettings(epochs=2)


@given(st.lists(st.sampled_from([0.0, 0.1, 1.0, 2.5, 7.0]), min_size=1, max_size=60), st.integers(0, 5))
def test_a_row_comes_as_often_as_its_weight_says_up_to_one(weights: list[float], seed: int):
    if not any(weights):
        return
    expected = len(weights) * np.array(weights) / sum(weights)
    counts = np.bincount(
        evenly_drawn(torch.tensor(weights), torch.Generator().manual_seed(seed)), minlength=len(weights)
    )
    assert counts.sum() == len(weights)
    assert (np.abs(counts - expected) < 1 + 1e-9).all()
    assert (counts[expected == 0] == 0).all()


def test_over_epochs_rows_come_in_proportion_and_in_another_order():
    weights = torch.tensor([0.3, 1.0, 0.0, 2.2, 0.5, 1.0])
    batches = Batches(Split(torch.zeros(6, 1), torch.arange(6)), 4, 7, weights, evenly=True)
    epochs = [torch.cat([index for _, _, index in batches]) for _ in range(4000)]
    shares = torch.cat(epochs).bincount(minlength=6) / 24_000
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.005)
    first = torch.stack(epochs)[:, 0].bincount(minlength=6) / 4000  # whatever the place in the epoch
    np.testing.assert_allclose(first, weights / weights.sum(), atol=0.03)


def test_every_epoch_of_a_training_draws_rows_evenly():
    """Weights that sum to n and are whole numbers say how often each row comes, to the row."""
    weights, seen = torch.tensor([2.0, 0.0, 1.0, 1.0, 3.0, 0.0, 0.0, 1.0]).repeat(13)[:104], []

    class Seeing(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(input[:, 0].detach().clone())
            return super().forward(input)

    splits = load("wine")
    x = splits.train.x[:104].clone()
    x[:, 0] = torch.arange(104)
    splits = replace(splits, train=Split(x, splits.train.y[:104]), train_weights=weights)
    train(Recipe(Fixed(splits), "erm", calmix.erm(), lambda shape, outputs: Seeing(shape[0], outputs), FEW))
    counts = torch.cat(seen).long().bincount(minlength=104)
    assert torch.equal(counts, FEW.epochs * weights.long())


def with_nothing_in_half(splits: Splits) -> Splits:
    """Of every other training row the weight is 0, and its inputs are NaN."""
    weights = (torch.arange(len(splits.train)) % 2).double()
    x = torch.where(weights[:, None] > 0, splits.train.x, torch.nan)
    return replace(splits, train=Split(x, splits.train.y), train_weights=weights)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "cutmix"])  # which is for images
def test_no_method_trains_on_a_row_of_weight_0(name: str):
    splits = with_nothing_in_half(load("wine" if name != "c_mixup" else "diabetes"))
    trained = train(Recipe(Fixed(splits), name, METHODS[name](), settings=FEW))
    assert all(torch.isfinite(weights).all() for weights in trained.model.parameters())


@pytest.mark.parametrize("method", [with_whole_set(calmix.mixup()), calmix.c_mixup()])
def test_partners_from_the_whole_set_have_weights_too(method: calmix.parts.Method):
    splits = with_nothing_in_half(load("diabetes"))
    trained = train(Recipe(Fixed(splits), "m", method, settings=FEW))
    assert all(torch.isfinite(weights).all() for weights in trained.model.parameters())
    with pytest.raises(SettingError, match="not finite"):
        train(Recipe(Fixed(replace(splits, train_weights=None)), "m", method, settings=FEW))


def test_partners_are_drawn_in_proportion_to_their_weights():
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0, 4.0, 0.0])
    step = calmix.erm().step(
        nn.Linear(1, 1),
        calmix.Regression(),
        calmix.parts.Batch(torch.zeros(4000, 1), torch.zeros(4000), None),
        training_set=TrainingSet((torch.zeros(6, 1), torch.arange(6.0)), weights),
    )
    _, _, others = WholeSet()(step, torch.Generator().manual_seed(0))
    assert others is not None
    shares = others.y.long().bincount(minlength=6) / 4000
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)
    _, _, near = TargetNeighbours(2.0)(step, torch.Generator().manual_seed(0))
    assert near is not None
    kernel = weights * torch.exp(-torch.arange(6.0).square() / 8)
    np.testing.assert_allclose(near.y.long().bincount(minlength=6) / 4000, kernel / kernel.sum(), atol=0.03)


def test_weights_that_are_none_of_the_training_set_are_refused():
    data, erm, task = (torch.zeros(3, 1), torch.zeros(3)), calmix.erm(), calmix.Regression()
    with pytest.raises(SettingError, match="no data were given; give data, too"):
        calmix.TrainingLoss(erm, task, data_weights=torch.ones(3))
    with pytest.raises(ShapeError, match=r"one for each of the 3 rows; got \(2,\)"):
        calmix.TrainingLoss(erm, task, data=data, data_weights=torch.ones(2))
    for bad in ([1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, torch.inf, 1.0]):
        with pytest.raises(SettingError, match="finite numbers of at least 0, and not all 0"):
            calmix.TrainingLoss(erm, task, data=data, data_weights=torch.tensor(bad))


def test_balanced_class_weights_count_the_weights_of_rows():
    """As scikit-learn's of rows that are repeated as often as their weight says."""
    splits, weights = load("wine"), torch.arange(107) % 4
    task = weighted_task(replace(splits, train_weights=weights.double()), TrainingSettings(class_weight="balanced"))
    assert isinstance(task, calmix.Classification)
    y = splits.train.y.repeat_interleave(weights).numpy()
    assert task.weight == pytest.approx(compute_class_weight("balanced", classes=np.unique(y), y=y).tolist())


def test_two_ways_to_draw_rows_are_refused():
    splits = replace(load("wine"), train_weights=torch.arange(107.0))
    balanced = TrainingSettings(sampler="balanced")
    with pytest.raises(SettingError, match="weights of rows and --sampler balanced both say how often rows are drawn"):
        Comparison(Fixed(splits), {"erm": calmix.erm()}, settings=balanced, seeds=1).check()


@pytest.mark.parametrize("name", ["erm", "mixup", "sk_mixup"])
def test_rows_of_wrong_labels_do_no_harm_where_their_weight_is_0(name: str):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2))
    right = rng.random(900) < 0.35
    y = np.where((x[:, 0] > 0) == right, "yes", "no")
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "sure": right.astype(float), "y": y})
    test = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300), "sure": 1.0})
    test["y"] = np.where(test.a > 0, "yes", "no")
    settings = TrainingSettings(epochs=6)

    def accuracy(**options: Any) -> float:
        source = Frame(frame, "y", test=test, drop=() if options else ("sure",), **options)
        return run(Recipe(source, name, METHODS[name](), settings=settings)).record.metrics["plain"]["accuracy"]

    assert accuracy(weight="sure") > 0.9
    assert accuracy() < 0.6


def test_ready_splits_of_other_weights_are_other_data():
    splits = load("wine")
    texts = {repr(Fixed(replace(splits, train_weights=w))) for w in (None, torch.ones(107), torch.arange(107.0))}
    assert len(texts) == 3
    assert repr(Fixed(splits)) in texts
