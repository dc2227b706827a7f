"""The regressions of Similarity Kernel Mixup: published settings, and two epochs on files of their layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import calmix
from calmix.errors import DataError
from calmix.reproduction.experiment import Experiment
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS, SCALES
from calmix.results.scores import Measured
from calmix.train import run

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "regression"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of every table, with 60 rows each."""
    draw = np.random.default_rng(0)
    for name in ["airfoil", *(str(EXPERIMENTS[one].options["name"]) for one in NAMES if EXPERIMENTS[one].options)]:
        x = draw.normal(size=(60, 3))
        rows = np.column_stack([x, x @ [1.0, 2.0, 3.0] + 20])
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="a,b,c,target", comments="")
        np.savez(tmp_path / f"{name}.splits.npz", test_splits=np.array([draw.permutation(60)[:6] for _ in range(20)]))
    return tmp_path


def two_epochs(of: Experiment, label: str) -> Measured:
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == (label, 0)]
    return run(replace(recipe, settings=replace(recipe.settings, epochs=2, dropout_passes=4))).record.metrics


@pytest.mark.parametrize("name", NAMES)
def test_every_regression_trains_and_has_the_metrics_of_its_claims(name: str, folder: Path):
    of = experiment(name, "paper", folder)
    found = two_epochs(of, "sk_mixup")
    assert {claim.metric for claim in of.claims} == {"rmse", "mape", "uce", "ence"}
    assert all(claim.metric in found[claim.condition] for claim in of.claims)


def test_airfoil_is_trained_as_published(folder: Path):
    comparison = experiment("sk-mixup/airfoil", "paper", folder).comparison
    settings = comparison.settings
    assert (settings.epochs, settings.batch_size, settings.peak_rate, settings.weight_decay) == (100, 16, 0.01, 0.0)
    assert (settings.optimizer, settings.schedule, settings.select) == ("adamw", "constant", "best")
    assert (settings.dropout_passes, settings.largest_gradient("regression")) == (50, 0.0)
    assert comparison.methods["sk_mixup"] == calmix.with_whole_set(calmix.sk_mixup(tau_max=1e-4, tau_std=0.5))
    network = comparison.recipes[0].network()
    assert [tuple(weight.shape) for weight in network.parameters() if weight.ndim == 2] == [
        (128, 3),
        (128, 128),
        (1, 128),
    ]
    assert "negative_slope=0.1" in repr(network)
    assert repr(network).count("Dropout(p=0.2") == 2


def test_a_published_table_has_its_twenty_lists(folder: Path):
    assert experiment("sk-mixup/yacht", "paper", folder).comparison.seeds == 20
    assert experiment("sk-mixup/yacht", "small", folder).comparison.seeds == 10


@pytest.mark.parametrize("scale", SCALES)
def test_mixup_that_trains_longer_pays_for_a_clean_pass(scale: str, folder: Path):
    comparison = experiment("sk-mixup/airfoil", scale, folder).comparison
    epochs = {recipe.label: recipe.settings.epochs for recipe in comparison.recipes}
    assert epochs["mixup_longer"] == comparison.settings.epochs + round(comparison.settings.epochs / 3)
    assert epochs["mixup"] == comparison.settings.epochs


def test_absent_data_are_instructions(tmp_path: Path):
    with pytest.raises(DataError, match=r"get airfoil\.csv.*last column named target.*--data-dir"):
        experiment("sk-mixup/airfoil", "smoke", tmp_path)
    (tmp_path / "yacht.csv").write_text("a,target\n1.5,2.5\n")
    with pytest.raises(DataError, match=r"yacht\.splits\.npz, its 20 lists of test rows, beside it"):
        experiment("sk-mixup/yacht", "smoke", tmp_path)


def test_airfoil_runs_on_the_real_table(real_data: Path):
    found = two_epochs(experiment("sk-mixup/airfoil", "smoke", real_data / "tabular" / "regression"), "sk_mixup")
    assert found["scaled"]["ence"] > 0
    assert 0 < found["plain"]["rmse"] < 140  # of sound levels around 125
