"""A final network is trained on validation rows, too, and on no row that it is calibrated or judged on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import calmix
from calmix.cli import main
from calmix.data import AllData, Arrays, DataSource, Fixed, Frame, NamedSet, Splits, TableFile, as_source
from calmix.data import loaders as loading
from calmix.errors import SettingError
from calmix.rows import Rows
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.kept import train_and_keep
from calmix.train import Recipe, TrainingSettings, run
from calmix.train.training import train

N = 100
X = torch.arange(N).float()[:, None] + torch.tensor([0.0, 0.5])
Y = torch.arange(N) % 2
FRAME = pd.DataFrame({"x": np.random.default_rng(0).normal(size=N), "y": np.where(np.arange(N) % 2, "u", "v")})
LAST = {"validation": np.arange(60, 80), "test": np.arange(80, N)}
SOURCES: dict[str, DataSource] = {
    "arrays": Arrays(X, Y),
    "parts": Arrays(X, Y, given=LAST),
    "frame": Frame(FRAME, "y"),
    "digits": NamedSet("digits"),
    "moons": NamedSet("two_moons"),
    "fixed": Fixed(NamedSet("wine").splits(0)),
}


def places(splits: Splits, part: str) -> list[float]:
    return sorted(getattr(splits, part).x.flatten(1).double().sum(1).tolist())


@pytest.mark.parametrize("name", SOURCES)
def test_train_and_validation_rows_are_joined_and_the_others_stay(name: str):
    plain, final = SOURCES[name].splits(3), AllData(SOURCES[name]).splits(3)
    assert len(final.train) == len(plain.train) + len(plain.validation)
    assert len(final.validation) == 0
    for part in ("calibration", "test"):
        ours, theirs = getattr(final, part), getattr(plain, part)
        assert torch.equal(ours.y, theirs.y)
        assert np.array_equal(ours.x.flatten(1)[:, 0].argsort(), theirs.x.flatten(1)[:, 0].argsort())
    assert torch.equal(final.train.y, torch.cat([plain.train.y, plain.validation.y]))
    assert final.train.shape == plain.train.shape


def test_what_standardises_and_encodes_is_fitted_on_all_rows_to_train_on():
    for source in (SOURCES["arrays"], SOURCES["parts"], SOURCES["frame"]):
        mean, plain = (each.splits(0).train.x[:, 0].mean().abs().item() for each in (AllData(source), source))
        assert max(mean, plain) < 1e-5
    wild = FRAME.assign(town=[f"t{k}" for k in range(N // 4) for _ in range(4)])  # 25 levels, of four rows each
    plain, final = (each.splits(0).about.features for each in (Frame(wild, "y"), AllData(Frame(wild, "y"))))
    assert set(plain) < set(final)


def test_rows_that_are_not_in_memory_are_joined(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "IN_MEMORY", 0)
    source: Any = as_source({"train": (X[:80], Y[:80]), "test": (X[80:], Y[80:])})
    splits = AllData(source).splits(0)
    assert isinstance(splits.train.rows, Rows)
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration, splits.test)] == [70, 0, 10, 20]
    assert torch.equal(splits.test.y, Y[80:])
    result = run(Recipe(AllData(source), "erm", calmix.erm(), settings=TrainingSettings(epochs=1)))
    assert not any(epoch.validation for epoch in result.record.history)
    with pytest.raises(SettingError, match="not in memory cannot be joined"):
        AllData(Fixed(source.splits(0))).splits(0)


def test_the_recipe_tells_it_and_the_best_epoch_cannot_be_chosen():
    recipe = Recipe(AllData(NamedSet("wine")), "erm", calmix.erm(), settings=TrainingSettings(epochs=1, select="best"))
    assert "data=AllData(source=NamedSet(name='wine'" in recipe.text
    assert repr(AllData(NamedSet("wine", 20)).whole()) == repr(AllData(NamedSet("wine")))
    with pytest.raises(SettingError, match=r"all validation rows are trained on; keep the last"):
        train(recipe)


@pytest.mark.parametrize("target", ["y", "x"])
def test_a_final_network_from_the_command(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    FRAME.assign(z=FRAME.x % 7).to_csv(tmp_path / "own.csv", index=False)
    out = tmp_path / "final"
    given = ["train", str(tmp_path / "own.csv"), "--target", target, "--method", "mixup", "--epochs", "2"]
    main([*given, "--learning-rate", "0.01", "--all-data", "--out", str(out)])
    main(["report", str(out), "--quiet"])
    card, page = ((out / name).read_text() for name in ("README.md", "report.html"))
    assert "Rows: 70 train, 10 calibration, 20 test. It was trained on the validation rows, too" in card
    assert "Learning curves" not in page
    [record] = read_comparison(out).results.records
    assert f"data=AllData(source={TableFile(tmp_path / 'own.csv', target)!r})" in record.recipe
    assert "validation" not in record.metrics
    assert calmix.load(out).predict(FRAME.assign(z=1)[:3]).shape == (3,)


def test_a_network_that_is_not_final_says_nothing_of_it(tmp_path: Path):
    kept = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    train_and_keep(kept, tmp_path / "net")
    assert "trained on the validation rows" not in (tmp_path / "net" / "README.md").read_text()


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--select", "best"], "--select best needs validation rows, by whose loss it chooses"),
        (["--train-size", "50"], "--train-size leaves out rows"),
        (["--label-noise", "symmetric:0.1"], "--label-noise makes labels wrong"),
    ],
)
def test_what_contradicts_it_is_refused(option: list[str], reason: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "wine", "--all-data", *option])
    assert stopped.value.code == 2
    assert f"--all-data trains on the validation rows, too, and {reason}" in capsys.readouterr().err


def test_without_validation_rows_the_kernel_takes_the_place_of_auto(tmp_path: Path):
    main(["train", "wine", "--all-data", "--epochs", "1", "--out", str(tmp_path / "net"), "--quiet"])
    [record] = read_comparison(tmp_path / "net").results.records
    assert record.method == "sk_mixup"
