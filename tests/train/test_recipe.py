"""A recipe is the run: its text tells runs apart, and is the same in every process."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import calmix
from calmix.data import Arrays, DataSource, Fixed, Frame, NamedSet, Noisy, Split, Symmetric, load
from calmix.errors import SettingError
from calmix.models import MLP, mlp, smooth_mlp
from calmix.train import Recipe, Robustness, TrainingSettings
from calmix.train.recipe import facts_of, outputs_of, sampling_weights, task_of, weighted_task

RECIPE = Recipe(NamedSet("digits", train_size=100), "mixup", calmix.mixup())
X = torch.arange(120.0).reshape(40, 3)
Y = torch.arange(40) % 2
FRAME = pd.DataFrame({"a": [i % 7 for i in range(40)], "b": [0, 1] * 20})


def wide(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return MLP(3, outputs, width=64)


OTHERS = [
    replace(RECIPE, data=NamedSet("digits", train_size=101)),
    replace(RECIPE, data=NamedSet("digits")),
    replace(RECIPE, data=Noisy(RECIPE.data, Symmetric(0.1))),
    replace(RECIPE, data=Noisy(RECIPE.data, Symmetric(0.2))),
    replace(RECIPE, data=Arrays(X, Y)),
    replace(RECIPE, data=Arrays(X + 1e-3, Y)),
    replace(RECIPE, data=Arrays(X, 1 - Y)),
    replace(RECIPE, data=Frame(FRAME, "b")),
    replace(RECIPE, data=Frame(FRAME.assign(a=FRAME["a"] + 1), "b")),
    replace(RECIPE, data=Fixed(load("wine"))),
    replace(RECIPE, data=Fixed(load("wine", seed=1))),
    replace(RECIPE, label="plain Mixup"),
    replace(RECIPE, method=calmix.mixup(alpha=0.3)),
    replace(RECIPE, model=mlp),
    replace(RECIPE, model=smooth_mlp),
    replace(RECIPE, model=partial(wide, outputs=3)),
    replace(RECIPE, model=partial(wide, outputs=4)),
    replace(RECIPE, settings=TrainingSettings(epochs=31)),
    replace(RECIPE, seed=1),
    replace(RECIPE, robustness=Robustness(corruptions=("jpeg",))),
    replace(RECIPE, weights_seed=5),
]


def test_runs_that_differ_have_different_texts():
    texts = [recipe.text for recipe in (RECIPE, *OTHERS)]
    assert len(set(texts)) == len(texts)


def test_the_text_says_to_what_norm_gradients_are_clipped():
    """And nothing where they are not, as of runs before calmix could."""

    def text(data: str, largest: float | None) -> str:
        return Recipe(NamedSet(data), "erm", calmix.erm(), settings=TrainingSettings(max_grad_norm=largest)).text

    assert text("diabetes", None) == text("diabetes", 1.0) != text("diabetes", 2.0)
    assert "threads=1, max_grad_norm=1.0)" in text("diabetes", None)
    assert text("wine", None) == text("wine", 0.0) != text("wine", 1.0)
    assert "max_grad_norm" not in text("wine", None) + text("diabetes", 0.0)


def made_anew() -> Recipe:
    """Equal to another one, and of other objects."""
    data = Noisy(Arrays(X.clone(), Y.clone()), Symmetric(0.2))
    return Recipe(data, "mixup", calmix.mixup(), partial(wide, outputs=3), TrainingSettings(epochs=2), weights_seed=1)


def test_equal_recipes_have_the_same_text():
    assert made_anew().text == made_anew().text
    assert pickle.loads(pickle.dumps(replace(made_anew(), model=mlp))).text == replace(made_anew(), model=mlp).text


SOURCES = """
    NamedSet("digits", train_size=100), Fixed(load("wine")),
    Arrays(torch.arange(120.).reshape(40, 3), torch.arange(40) % 2),
    Frame(pd.DataFrame({"a": [i % 7 for i in range(40)], "b": [0, 1] * 20}), "b"),
"""


def test_the_text_is_the_same_in_another_process():
    """Whose memory addresses and hashes of strings differ."""
    code = f"""
import torch, calmix, pandas as pd
from calmix.data import *
from calmix.models import mlp
from calmix.train import Recipe
for source in ({SOURCES.strip()}):
    print(Recipe(source, "sk_mixup", calmix.sk_mixup(), mlp, seed=2).text)
"""
    here = [Recipe(source, "sk_mixup", calmix.sk_mixup(), mlp, seed=2).text for source in eval(f"({SOURCES.strip()})")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert there.stdout.splitlines() == here
    assert len(set(here)) == 4
    assert not [text for text in here if " at 0x" in text]


def test_initial_weights_follow_the_seed_unless_they_have_one_of_their_own():
    def weights(recipe: Recipe) -> torch.Tensor:
        return recipe.network().get_parameter("head.weight")

    first, second = replace(RECIPE, model=mlp), replace(RECIPE, model=mlp, seed=1)
    assert torch.equal(weights(first), weights(first))
    assert not torch.equal(weights(first), weights(second))
    assert torch.equal(weights(first), weights(replace(second, weights_seed=0)))
    assert not torch.equal(first.splits().train.y, replace(second, weights_seed=0).splits().train.y)


def test_making_a_network_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    RECIPE.network()
    assert torch.equal(before, torch.get_rng_state())


def test_a_network_has_as_many_outputs_as_the_task_needs():
    for data, outputs, task in (
        (NamedSet("wine"), 3, calmix.Classification(3)),
        (NamedSet("breast_cancer", task="binary"), 1, calmix.Binary()),
        (NamedSet("breast_cancer"), 2, calmix.Classification(2)),
        (NamedSet("diabetes"), 1, calmix.Regression()),
        (Arrays(X, X[:, :2]), 2, calmix.Regression(2)),
    ):
        recipe = Recipe(data, "erm", calmix.erm())
        about = recipe.splits().about
        assert (outputs_of(about), task_of(about)) == (outputs, task)
        assert recipe.network()(recipe.splits().test.x).shape[1] == outputs


def test_balanced_class_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    splits = NamedSet("wine").splits(0)
    y = splits.train.y.numpy()
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    task = weighted_task(splits, TrainingSettings(class_weight="balanced"))
    assert isinstance(task, calmix.Classification)
    assert task.weight == pytest.approx(tuple(expected))
    assert weighted_task(splits, TrainingSettings()) == calmix.Classification(3)


def test_a_balanced_sampler_gives_every_class_the_same_weight():
    splits = NamedSet("wine").splits(0)
    weights = sampling_weights(splits, TrainingSettings(sampler="balanced"))
    assert weights is not None
    assert splits.train.y.bincount(weights).tolist() == pytest.approx([1, 1, 1])
    assert sampling_weights(splits, TrainingSettings()) is None


@pytest.mark.parametrize("settings", [TrainingSettings(class_weight="balanced"), TrainingSettings(sampler="balanced")])
@pytest.mark.parametrize("source", [NamedSet("diabetes"), NamedSet("breast_cancer", task="binary")])
def test_class_weights_are_for_classes(source: DataSource, settings: TrainingSettings):
    with pytest.raises(SettingError, match="are for classes"):
        weighted_task(source.splits(0), settings)


def test_the_text_of_older_runs_stays_theirs():
    """Else `--resume` would refuse folders of earlier versions."""
    assert "class_weight" not in repr(TrainingSettings())
    weighted = TrainingSettings(class_weight="balanced", epochs=3)
    assert eval(repr(weighted)) == weighted
    assert replace(RECIPE, settings=weighted).text != replace(RECIPE, settings=TrainingSettings(epochs=3)).text


def test_facts_are_those_of_the_run():
    facts = facts_of(replace(RECIPE, settings=TrainingSettings(epochs=3)), ("calmix", "compare"))
    assert (facts.data.name, facts.data.kind, tuple(facts.data.shape)) == ("digits", "image", (1, 8, 8))
    splits = RECIPE.splits()
    assert facts.data.sizes == {
        "train": 100,
        "validation": len(splits.validation),
        "calibration": len(splits.calibration),
        "test": len(splits.test),
    }
    assert (facts.task, facts.model, facts.command) == ("classification", "resnet", ("calmix", "compare"))
    assert (facts.settings["epochs"], facts.settings["learning_rate"]) == (3, 0.1)  # what None came to
    assert facts.environment["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert not facts.regression
    assert list(facts.data.class_rows) == splits.train.y.bincount().tolist()
    values = facts_of(Recipe(NamedSet("diabetes"), "erm", calmix.erm()))
    assert values.data.class_rows == ()
    assert (values.settings["max_grad_norm"], facts.settings["max_grad_norm"]) == (1.0, 0.0)


@pytest.mark.parametrize("source", [NamedSet("wine"), Fixed(load("wine"))])
def test_a_split_has_the_rows_of_the_source(source: DataSource):
    splits = Recipe(source, "erm", calmix.erm(), seed=3).splits()
    expected: Split = source.splits(3).test
    assert torch.equal(splits.test.x, expected.x)


def test_a_negative_seed_is_refused():
    with pytest.raises(SettingError, match="seed must be at least 0; got -1"):
        replace(RECIPE, seed=-1)
