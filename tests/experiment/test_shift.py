"""Runs judged on more than the test split: outside images, corruptions, people's votes; and trained on wrong labels."""

from dataclasses import replace
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import calmix
from calmix.cli import main
from calmix.data import CORRUPTIONS, OOD_SETS, HumanNoise, Symmetric, corrupted
from calmix.errors import CalmixError, DataError, SettingError, ShapeError, UnknownNameError
from calmix.experiment import Comparison, Recipe, Shift, Source, compare, run, train
from calmix.experiment import shift as shifts
from calmix.train import TrainingSettings

QUICK = TrainingSettings(epochs=1)
FEW = Source("digits", train_size=100)
RECIPE = Recipe(FEW, "mixup", calmix.mixup(), model="mlp", fit=QUICK)


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outside set of the digits' shape: 30 images of noise."""
    pixels = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(OOD_SETS, "blank", lambda data_dir: pixels.clone())


def test_nothing_more_is_judged_unless_asked():
    record, predictions, _ = run(RECIPE)
    assert not {"ood", "corruptions", "votes"} & set(record.metrics)
    assert not [name for name in predictions if name.startswith("outside")]


@pytest.mark.usefixtures("blank")
def test_outside_images_are_judged_by_the_run_s_own_logits():
    record, predictions, model = run(replace(RECIPE, shift=Shift(outside=("blank",))))
    logits = predictions["outside_blank_logits"]
    assert logits.shape == (30, 10)
    with torch.no_grad():
        assert np.allclose(
            logits, model(OOD_SETS["blank"](None)).numpy(), atol=1e-5
        )  # digits lie in [0, 1] as they are

    def confidence(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values).softmax(1).amax(1)

    scores = torch.cat([confidence(predictions["logits"]), confidence(logits)])
    inside = torch.arange(len(scores)) < len(predictions["logits"])
    found = record.metrics["ood"]["blank"]
    assert sorted(found) == ["energy", "entropy", "max_probability"]
    assert found["max_probability"]["auroc"] == pytest.approx(roc_auc_score(inside, scores), abs=1e-4)
    assert record.value("ood.blank.energy.fpr95") == found["energy"]["fpr95"]


def test_corruptions_are_judged_at_each_severity():
    record, _, model = run(replace(RECIPE, shift=Shift(corruptions=("contrast", "impulse_noise")), seed=1))
    assert {name: list(levels) for name, levels in record.metrics["corruptions"].items()} == {
        "contrast": ["1", "2", "3", "4", "5"],
        "impulse_noise": ["1", "2", "3", "4", "5"],
    }
    splits = FEW.splits(1)
    noisy = corrupted("impulse_noise", 4, splits.test, splits.about, seed=1)
    with torch.no_grad():
        right = (model(noisy.x).argmax(1) == noisy.y).double().mean().item()
    assert record.value("corruptions.impulse_noise.4.accuracy") == pytest.approx(right)
    assert 0 <= record.value("corruptions.contrast.1.ece") <= 1


def test_runs_of_a_seed_see_the_same_corrupted_images(monkeypatch):
    seen = []
    original = shifts.corrupted

    def spy(*given):
        seen.append(original(*given).x)
        return original(*given)

    monkeypatch.setattr(shifts, "corrupted", spy)
    for method, seed in ((calmix.erm(), 0), (calmix.mixup(), 0), (calmix.mixup(), 1)):
        run(replace(RECIPE, method=method, seed=seed, shift=Shift(corruptions=("gaussian_noise",))))
    assert all(torch.equal(seen[i], seen[5 + i]) for i in range(5))
    assert not torch.equal(seen[0], seen[10])


def test_votes_are_judged_and_kept_where_they_are_known(monkeypatch):
    votes = torch.ones(len(FEW.splits(0).test), 10, dtype=torch.int64)
    monkeypatch.setattr(shifts, "load_human_labels", lambda splits, data_dir: votes)
    record, predictions, _ = run(RECIPE)
    assert np.array_equal(predictions["votes"], votes.numpy())
    distance = (np.abs(predictions["probs"] - 0.1).sum(1) / 2).mean()
    assert record.value("votes.total_variation") == pytest.approx(distance, abs=1e-6)


@pytest.mark.usefixtures("blank")
def test_a_comparison_and_a_single_run_are_judged_alike(tmp_path: Path):
    shift = Shift(("blank",), ("jpeg",))
    comparison = Comparison(FEW, {"mixup": calmix.mixup()}, "mlp", QUICK, seeds=1, shift=shift)
    together = compare(comparison, tmp_path / "comparison", workers=1)["runs"][0]
    alone = train(replace(RECIPE, shift=shift), tmp_path / "single")["runs"][0]
    assert together["metrics"] == alone["metrics"]
    assert together["recipe"] == alone["recipe"]
    stored = np.load(tmp_path / "comparison" / "predictions" / "mixup-seed0.npz")
    assert stored["outside_blank_logits"].shape == (30, 10)
    with pytest.raises(DataError, match="with other settings"):
        compare(replace(comparison, shift=Shift()), tmp_path / "comparison", resume=True, workers=1)


def test_wrong_labels_are_learned_and_not_judged_by():
    noisy = replace(FEW, label_noise=Symmetric(0.4))
    clean, wrong = FEW.splits(0), noisy.splits(0)
    assert (clean.train.y != wrong.train.y).sum() == 40
    assert torch.equal(clean.test.y, wrong.test.y)
    record, predictions, _ = run(replace(RECIPE, source=noisy))
    assert np.array_equal(predictions["labels"], clean.test.y.numpy())
    assert record.metrics != run(RECIPE).record.metrics


def test_a_recipe_s_repr_makes_it_with_noise_and_shift():
    recipe = replace(
        RECIPE, source=replace(FEW, label_noise=HumanNoise("worse"), data_dir=Path("x")), shift=Shift(("notmnist",))
    )
    ours = {thing.__name__: thing for thing in (Recipe, Source, TrainingSettings, Shift, HumanNoise, PosixPath)}
    assert eval(repr(recipe), {**vars(calmix.parts), **ours}) == recipe


# ------------------------------------------------------------------------------------------------ bad input


def test_unknown_names_are_refused_at_once():
    with pytest.raises(UnknownNameError, match="unknown outside set 'notmist'; did you mean 'notmnist'"):
        Shift(outside=("notmist",))
    with pytest.raises(UnknownNameError, match="unknown family of corruptions 'jpg'; did you mean 'jpeg'"):
        Shift(corruptions=("jpg",))


@pytest.mark.parametrize(
    ("source", "shift", "error", "message"),
    [
        (Source("wine"), Shift(("notmnist",)), SettingError, "outside sets are images, and wine is a table"),
        (Source("wine"), Shift((), ("jpeg",)), SettingError, "corruptions are for images, and wine is a table"),
        (Source("diabetes"), Shift((), ("jpeg",)), SettingError, "corruptions are for images, and diabetes"),
        (FEW, Shift(("notmnist",)), CalmixError, "notmnist"),
        (replace(FEW, label_noise=HumanNoise("worse")), Shift(), SettingError, "known for cifar10 alone"),
        (Source("diabetes", label_noise=Symmetric(0.1)), Shift(), SettingError, "diabetes is regression"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, source, shift, error, message):
    recipe = replace(RECIPE, source=source, model=None, shift=shift)
    comparison = Comparison(source, {"mixup": calmix.mixup()}, fit=QUICK, seeds=1, shift=shift)
    for out, begin in (("a", lambda out: compare(comparison, out, workers=1)), ("b", lambda out: train(recipe, out))):
        with pytest.raises(error, match=message):
            begin(tmp_path / out)
    assert not list(tmp_path.iterdir())


def test_outside_images_of_another_shape(monkeypatch, tmp_path):
    monkeypatch.setitem(OOD_SETS, "large", lambda data_dir: torch.zeros(2, 1, 28, 28))
    with pytest.raises(ShapeError, match="large has images of 1 x 28 x 28, and digits of 1 x 8 x 8; give --ood"):
        train(replace(RECIPE, shift=Shift(("large",))), tmp_path / "x")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------- the command


def asked_for(monkeypatch: pytest.MonkeyPatch, *options: str) -> Recipe:
    """The recipe that `calmix train digits` makes of options."""

    class Seen(CalmixError):
        pass

    found = []

    def stop(recipe, *rest):
        found.append(recipe)
        raise Seen("seen")

    monkeypatch.setattr("calmix.experiment.train", stop)
    with pytest.raises(SystemExit):
        main(["train", "digits", "--method", "mixup", *options])
    return found[0]


def test_the_command_s_options(monkeypatch, capsys):
    assert asked_for(monkeypatch).shift == Shift()
    assert asked_for(monkeypatch).source.label_noise is None
    recipe = asked_for(monkeypatch, "--ood", "notmnist", "--corruptions", "jpeg", "contrast")
    assert recipe.shift == Shift(("notmnist",), ("jpeg", "contrast"))
    for everything in ([], ["ALL"], ["ALL", "jpeg"]):
        assert asked_for(monkeypatch, "--corruptions", *everything).shift.corruptions == tuple(CORRUPTIONS)
    assert asked_for(monkeypatch, "--label-noise", "symmetric:0.4").source.label_noise == Symmetric(0.4)
    assert "40.0 % of the training labels are wrong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["wine", "--corruptions"], "corruptions are for images, and wine is a table; leave --corruptions out."),
        (["digits", "--ood", "notmist"], "unknown outside set 'notmist'; did you mean 'notmnist'?"),
        (["digits", "--corruptions", "jpg"], "unknown family of corruptions 'jpg'; did you mean 'jpeg'?"),
        (["digits", "--label-noise", "0.4"], "cannot read the label noise '0.4'; write symmetric:RATE"),
        (["digits", "--label-noise", "human:worse"], "human label noise is known for cifar10 alone, not for digits"),
        (["digits", "--label-noise", "symmetric:40"], "the rate of label noise must be above 0 and below 1; got 40.0."),
    ],
)
@pytest.mark.parametrize("command", [["compare", "--methods", "mixup"], ["train", "--method", "mixup"]])
def test_the_command_refuses_in_one_sentence(tmp_path, capsys, command, options, message):
    name, *rest = command
    with pytest.raises(SystemExit) as stopped:
        main([name, *options, *rest, "--epochs", "1", "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("calmix: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()
