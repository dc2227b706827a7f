"""One trained network is kept: its weights without code, and the folder that a comparison of one run would leave."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import calmix
from calmix.data import NamedSet
from calmix.errors import DataError, SettingError
from calmix.models import MLP
from calmix.results.records import Epoch, Record
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.kept import train_and_keep
from calmix.train import Recipe, TrainingSettings, run
from calmix.train.saved import load

RECIPE = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), settings=TrainingSettings(epochs=2))


def test_a_trained_network_is_kept_without_pickled_code(tmp_path: Path):
    kept = train_and_keep(RECIPE, tmp_path, ["calmix", "train", "wine"])
    record, predictions, _ = run(RECIPE)
    saved = load(tmp_path).saved
    assert saved.temperature == pytest.approx(record.temperature)
    assert (saved.recipe, saved.classes) == (RECIPE.text, RECIPE.splits().about.classes)
    logits = load(tmp_path).network(RECIPE.splits().test.x)
    assert np.allclose(logits.detach().numpy(), predictions["logits"], atol=1e-5)
    read = read_comparison(tmp_path)
    assert read.results.records == kept.results.records
    assert read.results.records[0].metrics == record.metrics
    assert list(read.results.facts.command) == ["calmix", "train", "wine"]
    assert read.verdict.headline == "One method: nothing to compare it with."
    with pytest.raises(DataError, match=r"already holds a comparison; add --resume to go on, or give another --out"):
        train_and_keep(RECIPE, tmp_path)


def test_a_regression_has_no_temperature(tmp_path: Path):
    recipe = Recipe(NamedSet("diabetes"), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    train_and_keep(recipe, tmp_path)
    saved = load(tmp_path).saved
    assert (saved.temperature, saved.outputs, saved.classes) == (None, 1, ())
    assert load(tmp_path).network(recipe.splits().test.x).shape == (len(recipe.splits().test), 1)


def test_each_epoch_is_told_and_a_stopped_training_keeps_no_run(tmp_path: Path):
    told = []

    def stop(epoch: Epoch, model: nn.Module) -> None:
        told.append(epoch.number)
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_keep(RECIPE, tmp_path, on_epoch=stop)
    assert told == [1, 2]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert isinstance(train_and_keep(RECIPE, tmp_path).results.records[0].temperature, float)


class Stopping(BaseException):
    pass


def test_a_stopped_training_goes_on_and_a_finished_one_stays(tmp_path: Path):
    def stop(epoch: Epoch, model: nn.Module) -> None:
        raise Stopping

    def kept(recipe: Recipe = RECIPE, **options: Any) -> Record:
        [record] = train_and_keep(recipe, tmp_path, checkpoint_minutes=1e-9, **options).results.records
        return replace(record, train_seconds=0.0, relative_cost=None, cost_machine=None)

    with pytest.raises(Stopping):
        kept(on_epoch=stop)
    checkpoint = tmp_path / "checkpoints" / "mixup-seed0.safetensors"
    assert checkpoint.exists()
    with pytest.raises(DataError, match="already holds a run that was stopped; add --resume to go on"):
        kept()
    for other in (replace(RECIPE, label="other"), replace(RECIPE, method=calmix.mixup(alpha=3.0))):
        with pytest.raises(DataError, match=f"holds '{other.label}' with other settings, data or code"):
            kept(other, resume=True)
    record = kept(resume=True)
    assert record == replace(run(RECIPE).record, train_seconds=0.0)
    assert not checkpoint.parent.exists()
    written = (tmp_path / "model.safetensors").stat().st_mtime_ns
    assert kept(resume=True) == record
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == written
    for other in (replace(RECIPE, label="other"), replace(RECIPE, method=calmix.mixup(alpha=3.0))):
        with pytest.raises(DataError, match=f"holds '{other.label}' with other settings, data or code"):
            kept(other, resume=True)


class Scaled(nn.Linear):
    """A layer whose state is more than its weights: of its factory's kind."""

    def __init__(self, outputs: int, state: Any) -> None:
        super().__init__(13, outputs)
        self.state = state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


def test_a_state_of_tensors_is_kept_and_another_is_refused_before_training(tmp_path: Path):
    settings = TrainingSettings(epochs=1)
    recipe = Recipe(NamedSet("wine"), "erm", calmix.erm(), lambda outputs: Scaled(outputs, {"scale": 2.0}), settings)
    with pytest.raises(SettingError, match="kept as tensors, and '_extra_state' of its state is dict; let get_extra"):
        train_and_keep(recipe, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(run(recipe).record.history) == 1  # it can be trained and compared
    train_and_keep(replace(recipe, model=lambda outputs: Scaled(outputs, torch.tensor(2.0))), tmp_path)
    network = load(tmp_path, lambda outputs: Scaled(outputs, torch.tensor(0.0))).network
    assert isinstance(network, Scaled)
    assert network.state == 2.0


def test_a_network_of_one_s_own_is_kept_under_its_name(tmp_path: Path):
    def narrow(outputs: int) -> nn.Module:
        return MLP(13, outputs, width=8)

    recipe = Recipe(NamedSet("wine"), "erm", calmix.erm(), narrow, TrainingSettings(epochs=1))
    train_and_keep(recipe, tmp_path)
    assert load(tmp_path, narrow).saved.model == "narrow"


def test_the_card_says_what_the_network_is_and_how_good(tmp_path: Path):
    kept = train_and_keep(RECIPE, tmp_path)
    card = (tmp_path / "README.md").read_text()
    [record] = kept.results.records
    assert card.startswith("# A network that predicts `target` of wine\n")
    assert f"| {100 * record.metrics['plain']['accuracy']:.1f} |" in card
    assert "Rows: 107 train, 18 validation, 18 calibration, 35 test. It sees 13 features." in card
    assert f"The temperature, {record.temperature:.3g}, and sets were fitted on the 18 calibration rows." in card
    assert "The classes are `class_0`, `class_1`, `class_2`." in card
