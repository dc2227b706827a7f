"""Runs measured on more than the test split: images of no class, corruptions, people's labels."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import calmix
from calmix.data import CORRUPTIONS, OOD_SETS, HumanNoise, NamedSet, Noisy, OODSet, Split, Symmetric, corrupted
from calmix.errors import CalmixError, SettingError, ShapeError, UnknownNameError
from calmix.models import mlp
from calmix.results.records import scores_of
from calmix.train import Recipe, Robustness, TrainingSettings, robustness, run
from calmix.train.running import try_step

QUICK = TrainingSettings(epochs=1)
FEW = NamedSet("digits", train_size=100)
RECIPE = Recipe(FEW, "mixup", calmix.mixup(), mlp, QUICK)


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OOD set of the digits' shape: 30 images of noise."""
    pixels = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(OOD_SETS, "blank", lambda data_dir: pixels.clone())


def under(metrics: Mapping[str, object], condition: str) -> list[str]:
    return [path.removeprefix(f"{condition}/") for path in metrics if path.split("/")[0] == condition]


def test_nothing_more_is_judged_unless_asked():
    record, predictions, _ = run(RECIPE)
    assert not [name for name in ("ood", "corruptions", "human_labels") if under(record.metrics, name)]
    assert not [name for name in predictions if name.startswith(("ood", "human"))]


@pytest.mark.usefixtures("blank")
def test_images_of_no_class_are_judged_by_the_run_s_own_logits():
    record, predictions, model = run(replace(RECIPE, robustness=Robustness(ood=(OODSet("blank"),))))
    logits = predictions["ood_blank_logits"]
    assert logits.shape == (30, 10)
    with torch.no_grad():  # digits lie in [0, 1] as they are
        assert np.allclose(logits, model(OOD_SETS["blank"](None)).numpy(), atol=1e-5)

    def confidence(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values).softmax(1).amax(1)

    scores = torch.cat([confidence(predictions["logits"]), confidence(logits)])
    inside = torch.arange(len(scores)) < len(predictions["logits"])
    assert sorted(under(record.metrics, "ood")) == ["blank/energy", "blank/entropy", "blank/max_probability"]
    found = record.metrics["ood/blank/max_probability"]["auroc"]
    assert found == pytest.approx(roc_auc_score(inside, scores), abs=1e-4)
    told = scores_of([record]).value("mixup", 0, "fpr95", "ood/blank/energy")
    assert told == record.metrics["ood/blank/energy"]["fpr95"]


@pytest.mark.parametrize("rows", [robustness.CORRUPTED_ROWS, 17])
def test_corruptions_are_judged_at_each_severity_on_the_first_rows(rows: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(robustness, "CORRUPTED_ROWS", rows)
    asked = Robustness(corruptions=("contrast", "impulse_noise"))
    record, _, model = run(replace(RECIPE, robustness=asked, seed=1))
    families = ("contrast", "impulse_noise")
    expected = [f"{family}/{severity}" for family in families for severity in range(1, 6)]
    assert under(record.metrics, "corruptions") == expected
    splits = FEW.splits(1)
    first = Split(splits.test.x[:rows], splits.test.y[:rows])
    noisy = corrupted("impulse_noise", 4, first, splits.about, seed=1)
    with torch.no_grad():
        right = (model(noisy.x).argmax(1) == noisy.y).double().mean().item()
    assert record.metrics["corruptions/impulse_noise/4"]["accuracy"] == pytest.approx(right)
    assert 0 <= record.metrics["corruptions/contrast/1"]["ece"] <= 1


def test_runs_of_a_seed_see_the_same_corrupted_images(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def spy(*given):  # pyright: ignore
        seen.append(corrupted(*given).x)
        return corrupted(*given)

    monkeypatch.setattr(robustness, "corrupted", spy)
    asked = Robustness(corruptions=("gaussian_noise",))
    for method, seed in ((calmix.erm(), 0), (calmix.mixup(), 0), (calmix.mixup(), 1)):
        run(replace(RECIPE, method=method, seed=seed, robustness=asked))
    assert all(torch.equal(seen[i], seen[5 + i]) for i in range(5))
    assert not torch.equal(seen[0], seen[10])


def test_people_s_labels_are_used_and_kept_where_they_are_known(monkeypatch: pytest.MonkeyPatch):
    people = torch.ones(len(FEW.splits(0).test), 10, dtype=torch.int64)
    monkeypatch.setattr(robustness, "load_human_labels", lambda splits, data_dir: people)
    record, predictions, _ = run(RECIPE)
    assert np.array_equal(predictions["human_labels"], people.numpy())
    distance = (np.abs(predictions["probs"] - 0.1).sum(1) / 2).mean()
    assert record.metrics["human_labels"]["total_variation"] == pytest.approx(distance, abs=1e-6)


# ------------------------------------------------------------------------------------------------ bad input


def test_unknown_names_are_refused_at_once():
    with pytest.raises(UnknownNameError, match="unknown OOD set 'notmist'; did you mean 'notmnist'"):
        OODSet("notmist")
    with pytest.raises(UnknownNameError, match="unknown family of corruptions 'jpg'; did you mean 'jpeg'"):
        Robustness(corruptions=("jpg",))
    assert "jpeg" in CORRUPTIONS


NOTMNIST, JPEG = Robustness(ood=(OODSet("notmnist"),)), Robustness(corruptions=("jpeg",))
MISFITS = [
    (NamedSet("wine"), NOTMNIST, SettingError, "OOD sets are images, and wine is a table"),
    (NamedSet("wine"), JPEG, SettingError, "corruptions are for images, and wine is a table"),
    (NamedSet("diabetes"), JPEG, SettingError, "OOD sets and corruptions are for classes, and diabetes is regression"),
    (FEW, NOTMNIST, CalmixError, "notmnist"),
    (Noisy(FEW, HumanNoise("worse")), Robustness(), SettingError, "known for cifar10 alone"),
    (Noisy(NamedSet("diabetes"), Symmetric(0.1)), Robustness(), SettingError, "diabetes is regression"),
]


@pytest.mark.parametrize(("source", "asked", "error", "message"), MISFITS)
def test_what_does_not_fit_is_told_before_training(source, asked: Robustness, error: type[Exception], message: str):
    recipe = replace(RECIPE, data=source, model=None, robustness=asked)
    with pytest.raises(error, match=message):
        recipe.robustness.check(recipe.splits())


def test_images_of_another_shape_are_told_before_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OOD_SETS, "large", lambda data_dir: torch.zeros(2, 1, 28, 28))
    try_step(RECIPE)
    with pytest.raises(ShapeError, match="large has images of 1 x 28 x 28, and digits of 1 x 8 x 8; give --ood"):
        Robustness(ood=(OODSet("large"),)).check(RECIPE.splits())
