"""The regressions of Similarity Kernel Mixup: published settings, and two epochs on files of their layout."""

import shutil
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of every table, with its rows and columns, and of 20 lists with a tenth of them."""
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("tables")
    airfoil: dict[str, str | int | float] = {"name": "airfoil", "rows": 1503, "columns": 6}
    for of in [airfoil, *(EXPERIMENTS[one].options for one in NAMES if EXPERIMENTS[one].options)]:
        rows, columns = int(of["rows"]), int(of["columns"])
        x = draw.normal(size=(rows, columns - 1))
        header = ",".join([*(f"x{number}" for number in range(columns - 1)), "target"])
        table = np.column_stack([x, x.sum(1) + 20])
        np.savetxt(folder / f"{of['name']}.csv", table, delimiter=",", header=header, comments="", fmt="%.4f")
        tests = np.array([draw.permutation(rows)[: rows // 10] for _ in range(20)])
        np.savez(folder / f"{of['name']}.splits.npz", test_splits=tests)
    return folder


def two_epochs(of: Experiment, label: str) -> Measured:
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == (label, 0)]
    return run(replace(recipe, settings=replace(recipe.settings, epochs=2, dropout_passes=4))).record.metrics


@pytest.mark.parametrize("name", NAMES)
def test_every_regression_trains_and_has_the_metrics_of_its_claims(name: str, folder: Path):
    of = experiment(name, "smoke", folder)
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
        (128, 5),
        (128, 128),
        (1, 128),
    ]
    assert "negative_slope=0.1" in repr(network)
    assert repr(network).count("Dropout(p=0.2") == 2


def test_a_published_table_has_its_twenty_lists(folder: Path):
    assert experiment("sk-mixup/yacht", "paper", folder).comparison.seeds == 20
    assert experiment("sk-mixup/yacht", "small", folder).comparison.seeds == 10


@pytest.mark.parametrize("scale", SCALES)
def test_mixup_that_trains_longer_has_twice_the_epochs(scale: str, folder: Path):
    comparison = experiment("sk-mixup/airfoil", scale, folder).comparison
    epochs = {recipe.label: recipe.settings.epochs for recipe in comparison.recipes}
    assert epochs["mixup_longer"] == 2 * comparison.settings.epochs
    assert epochs["mixup"] == comparison.settings.epochs


def test_absent_data_are_instructions(folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"get airfoil\.csv.*last column named target.*--data-dir"):
        experiment("sk-mixup/airfoil", "smoke", tmp_path)
    shutil.copy(folder / "yacht.csv", tmp_path)
    with pytest.raises(DataError, match=r"yacht\.splits\.npz, its 20 lists of test rows, beside it"):
        experiment("sk-mixup/yacht", "smoke", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_real_tables_have_the_rows_and_columns(name: str, real_data: Path):
    assert experiment(name, "smoke", real_data).comparison.data.splits(0).about.task == "regression"


def test_airfoil_runs_on_the_real_table(real_data: Path):
    found = two_epochs(experiment("sk-mixup/airfoil", "smoke", real_data / "tabular" / "regression"), "sk_mixup")
    assert found["scaled"]["ence"] > 0
    assert 0 < found["plain"]["rmse"] < 140  # of sound levels around 125
