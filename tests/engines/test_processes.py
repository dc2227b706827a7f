"""Runs one after the other, and several at a time: the same numbers, the same errors, the same news."""

import os
from multiprocessing import active_children

import numpy as np
import pytest

import calmix
from calmix.data import NamedSet
from calmix.engines import carry_out, default_workers
from calmix.errors import SettingError
from calmix.models import MLP
from calmix.results.files import NamedArrays
from calmix.results.records import Record
from calmix.train import Recipe, TrainingSettings

QUICK = TrainingSettings(epochs=2)
METHODS = {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}
RECIPES = [
    Recipe(NamedSet("wine"), label, method, settings=QUICK, seed=seed)
    for seed in (0, 1)
    for label, method in METHODS.items()
]
ALL_NEWS = [(recipe.label, recipe.seed, epoch) for recipe in RECIPES for epoch in (1, 2)]

Finished = dict[tuple[str, int], tuple[Record, NamedArrays]]
News = list[tuple[str, int, int]]


def carried_out(recipes: list[Recipe], workers: int) -> tuple[Finished, News]:
    news: News = []
    found = carry_out(recipes, workers, lambda *said: news.append(said))
    return {(record.method, record.seed): (record, predictions) for record, predictions in found}, news


@pytest.fixture(scope="module")
def in_turn() -> tuple[Finished, News]:
    return carried_out(RECIPES, 1)


@pytest.fixture(scope="module")
def at_a_time() -> tuple[Finished, News]:
    return carried_out(RECIPES, 2)


def test_workers_give_what_one_after_the_other_gives(in_turn: tuple[Finished, News], at_a_time: tuple[Finished, News]):
    ours, theirs = at_a_time[0], in_turn[0]
    assert set(ours) == set(theirs) == {(recipe.label, recipe.seed) for recipe in RECIPES}
    for run, (record, predictions) in ours.items():
        assert record.metrics["plain"]["nll"] == pytest.approx(theirs[run][0].metrics["plain"]["nll"], rel=1e-3)
        assert record.recipe == theirs[run][0].recipe
        assert np.array_equal(predictions["labels"], theirs[run][1]["labels"])
        np.testing.assert_allclose(predictions["logits"], theirs[run][1]["logits"], rtol=1e-3, atol=1e-3)


def test_one_after_the_other_keeps_the_order_and_tells_every_epoch(in_turn: tuple[Finished, News]):
    finished, news = in_turn
    assert list(finished) == [(recipe.label, recipe.seed) for recipe in RECIPES]
    assert news == ALL_NEWS


def test_workers_tell_of_every_run_until_its_last_epoch(at_a_time: tuple[Finished, News]):
    news = at_a_time[1]
    assert set(news) <= set(ALL_NEWS)
    last = {(label, seed): epoch for label, seed, epoch in news if epoch == 2}
    assert set(last) == {(recipe.label, recipe.seed) for recipe in RECIPES}


def test_runs_are_carried_out_as_they_are_asked_for():
    """Nothing is trained before the first result is taken, and no second run before the second."""
    news: News = []
    runs = carry_out(RECIPES, 1, lambda *said: news.append(said))
    assert news == []
    next(runs)
    assert news == ALL_NEWS[:2]
    runs.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert news == ALL_NEWS[:2]


def test_an_error_in_a_worker_arrives_as_itself_and_ends_the_others():
    settings = TrainingSettings(epochs=30, learning_rate=1e6)
    diverging = [Recipe(NamedSet("diabetes"), "erm", calmix.erm(), settings=settings, seed=seed) for seed in (0, 1)]
    before = set(active_children())
    with pytest.raises(SettingError, match=r"diverged in epoch \d+ .* lower the learning rate"):
        list(carry_out(diverging, 2, lambda *news: None))
    assert not [child for child in active_children() if child not in before and child.is_alive()]


def test_what_cannot_be_sent_to_a_worker_is_advice():
    anonymous = Recipe(NamedSet("wine"), "erm", calmix.erm(), lambda outputs: MLP(13, outputs), QUICK)
    with pytest.raises(SettingError, match=r"cannot be sent .* define the model's factory at the top of a module"):
        next(carry_out([anonymous], 2, lambda *news: None))
    [(record, _)] = carry_out([anonymous], 1, lambda *news: None)
    assert record.epoch == 2


def test_there_are_no_more_workers_than_runs_or_cores_and_one_on_a_gpu():
    assert default_workers(1, "cpu") == 1
    assert 1 <= default_workers(100, "cpu") <= min(8, os.cpu_count() or 1)
    assert default_workers(100, "cuda") == 1
