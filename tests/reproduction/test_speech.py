"""MixupE's spoken words: settings, and two steps on recordings of the published layouts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import calmix
from calmix.errors import DataError
from calmix.methods.mixup_e import Logit
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS
from calmix.train import run
from calmix.train.running import try_step

soundfile = pytest.importorskip("soundfile")

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "speech"]
FSDD = [name for name in NAMES if "fsdd" in name]


def write(path: Path, pitch: float, seed: int, rate: int) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).normal(size=rate // 2)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * np.arange(rate // 2) / rate) + 0.01 * noise, rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As both archives, with 2 digits of 3 speakers in 12 takes, and 3 words of 14 speakers."""
    (tmp_path / "fsdd").mkdir()
    for digit in range(2):
        for number, who in enumerate(("anna", "berta", "carl")):
            for take in range(12):
                write(tmp_path / "fsdd" / f"{digit}_{who}_{take}.wav", 300 + 500 * digit, 100 * number + take, 8000)
    commands = tmp_path / "commands"
    commands.mkdir()
    names = [f"{word}/{speaker:08x}_nohash_0.wav" for word in ("bed", "cat", "go") for speaker in range(14)]
    for number, name in enumerate(names):
        write(commands / name, 300 + 40 * number, number, 16_000)
    write(commands / "_background_noise_" / "pink.wav", 200, 0, 16_000)
    (commands / "validation_list.txt").write_text("\n".join(name for name in names if "/0000000a" in name))
    (commands / "testing_list.txt").write_text("\n".join(name for name in names if "/0000000b" in name))
    return tmp_path


def folder_of(name: str, folder: Path) -> Path:
    return folder / ("fsdd" if name in FSDD else "commands")


@pytest.fixture(autouse=True)
def all_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of 14 speakers are none."""
    monkeypatch.setattr("calmix.reproduction.speech.SHARES", {"smoke": 1.0, "small": 1.0, "paper": 1.0})


@pytest.mark.parametrize("name", NAMES)
def test_every_method_takes_a_step_and_one_has_the_metrics_of_the_claims(name: str, folder: Path):
    of = experiment(name, "smoke", folder_of(name, folder))
    comparison = replace(of.comparison, data=of.comparison.data.whole())
    for recipe in comparison.recipes[: len(comparison.methods)]:
        try_step(recipe)
    [recipe] = [one for one in comparison.recipes if (one.label, one.seed) == ("mixup_e", 1)]
    found = run(replace(recipe, settings=replace(recipe.settings, epochs=1, batch_size=18))).record.metrics  # two steps
    assert all(claim.metric in found[claim.condition] for claim in of.claims)


def test_the_variant_of_mixup_e_is_that_of_its_readme(folder: Path):
    for name in NAMES:
        methods = experiment(name, "paper", folder_of(name, folder)).comparison.methods
        assert methods["mixup_e"] == calmix.mixup_e(eta=0.001, alpha=2.0, slope=Logit(threshold=1.0))
        assert methods["mixup"] == calmix.mixup(2.0)
        assert "auto" in methods


def test_the_rate_falls_after_10_and_20_of_30_epochs(folder: Path):
    settings = experiment("mixup-e/speech-commands", "paper", folder / "commands").comparison.settings
    assert settings.steps is not None
    assert settings.epochs == 30
    factors = [settings.steps.at_share(epoch / 30) for epoch in range(30)]
    assert factors == pytest.approx([1.0] * 10 + [0.1] * 10 + [0.01] * 10)


def test_vgg_11_is_an_experiment_of_its_own(folder: Path):
    for name, weights in (("mixup-e/speech-commands", 4), ("mixup-e/speech-commands-vgg11", 9)):
        network = experiment(name, "paper", folder / "commands").comparison.recipes[0].network()
        assert sum(weight.ndim > 1 for weight in network.parameters()) == weights


def test_absent_data_are_instructions(tmp_path: Path):
    with pytest.raises(DataError, match=r"get github\.com/Jakobovski/free-spoken-digit-dataset.*--data-dir"):
        experiment("mixup-e/fsdd", "smoke", tmp_path)
    with pytest.raises(DataError, match=r"get speech_commands_v0\.02\.tar\.gz.*--data-dir"):
        experiment("mixup-e/speech-commands", "smoke", tmp_path)


@pytest.mark.parametrize("name", FSDD)
def test_real_recordings_are_learnt_from(name: str, real_data: Path):
    of = experiment(name, "paper", real_data / "speech" / "fsdd" / "recordings")
    splits = of.comparison.data.splits(1)
    speakers = name == "mixup-e/fsdd-speakers"
    assert len(splits.test) == (500 if speakers else 300)
    [recipe] = [one for one in of.comparison.recipes if (one.label, one.seed) == ("sk_mixup_e", 1)]
    try_step(recipe)
