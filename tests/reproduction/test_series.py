"""The forecasts of Similarity Kernel Mixup: published settings, and two steps on files of their layout."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import calmix
from calmix.errors import DataError
from calmix.models.series import lstnet
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS, SCALES
from calmix.train import run
from calmix.train.running import try_step

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "series"]
CHANNELS = {"sk-mixup/exchange-rate": 8, "sk-mixup/electricity": 321, "sk-mixup/etth1": 7}
STEPS = 1930  # with which a tenth is a window of 168 and a horizon of 24, and one more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three files, as they are published but for their length."""
    draw = np.random.default_rng(0)
    for name, columns in (("exchange_rate.txt", 8), ("electricity.txt", 321)):
        np.savetxt(tmp_path / name, draw.uniform(1, 2, (STEPS, columns)), delimiter=",", fmt="%.3f")
    lines = [f"2016-07-01 00:00:00,{','.join(f'{one:.3f}' for one in row)}" for row in draw.normal(size=(STEPS, 7))]
    (tmp_path / "ETTh1.csv").write_text("\n".join(["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", *lines]))
    return tmp_path


def test_the_experiments_are_three():
    assert set(NAMES) == set(CHANNELS)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_takes_a_step_and_one_has_the_metrics_of_the_claims(name: str, folder: Path):
    of = experiment(name, "smoke", folder)
    for recipe in of.comparison.recipes[: len(of.comparison.methods)]:
        small = replace(recipe.settings, batch_size=8)
        try_step(replace(recipe, settings=small))
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == ("sk_mixup", 1)]
    short = replace(recipe.settings, epochs=1, batch_size=64)
    done = run(replace(recipe, settings=short))  # two steps
    assert done.predictions["mean"].shape[1] == CHANNELS[name]
    assert {claim.metric for claim in of.claims} == {"rmse", "uce", "ence"}
    assert all(claim.metric in done.record.metrics[claim.condition] for claim in of.claims)


def test_exchange_rate_is_trained_as_published(folder: Path):
    comparison = experiment("sk-mixup/exchange-rate", "paper", folder).comparison
    settings = comparison.settings
    assert (settings.epochs, settings.batch_size, settings.peak_rate, settings.weight_decay) == (100, 128, 0.001, 0.0)
    assert (settings.optimizer, settings.schedule, settings.select) == ("adamw", "constant", "best")
    assert (settings.dropout_passes, settings.largest_gradient("regression")) == (50, 0.0)
    assert comparison.methods["sk_mixup"] == calmix.with_whole_set(calmix.sk_mixup(tau_max=5.0, tau_std=1.0))
    assert comparison.methods["c_mixup"] == calmix.c_mixup(bandwidth=0.05, alpha=1.5)
    assert comparison.data.train_size is None
    splits = comparison.data.splits(0)
    assert splits.train.x.abs().amax((0, 1)) == pytest.approx(torch.ones(8), abs=0.01)  # shares of the largest
    network = comparison.recipes[0].network()
    shapes = {tuple(weight.shape) for name, weight in network.named_parameters() if "weight_ih" not in name}
    assert (100, 8, 6) in shapes  # a window of six, 100 filters
    assert (8, 100 + 24 * 5) in shapes  # the head on 100 units and 24 phases of five
    assert (24,) in shapes  # the autoregression


def test_smaller_scales_say_how_they_differ(folder: Path):
    for scale in SCALES:
        of = experiment("sk-mixup/etth1", scale, folder)
        narrower = [text for text in of.deviations if "At this scale" in text]
        assert len(narrower) == (scale != "paper")
        model = of.comparison.model
        assert (model is lstnet) == (scale == "paper")
        assert scale == "paper" or (
            isinstance(model, partial) and f"a width of {model.keywords['width']}" in narrower[0]
        )


@pytest.mark.parametrize(
    ("name", "home"), [("etth1", "zhouhaoyi/ETDataset"), ("electricity", "laiguokun/multivariate")]
)
def test_absent_data_are_instructions(name: str, home: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"get .* from github.com/{home}.*--data-dir"):
        experiment(f"sk-mixup/{name}", "smoke", tmp_path)


@pytest.mark.parametrize("name", ["sk-mixup/exchange-rate", "sk-mixup/etth1"])
def test_real_files_are_forecast(name: str, real_data: Path):
    of = experiment(name, "paper", real_data / "timeseries")
    assert of.comparison.data.splits(0).about.notices == ()
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == ("sk_mixup_e", 0)]
    try_step(recipe)
