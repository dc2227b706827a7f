"""One run: what is measured, from which split, and what runs of a seed share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, log_loss, r2_score
from torch import nn

import calmix
from calmix.data import Arrays, NamedSet, Noisy, Symmetric, TableFile
from calmix.errors import SettingError, ShapeError
from calmix.metrics import ece_interval
from calmix.posthoc import CalibrationLogits, fit_temperature
from calmix.results.files import NamedArrays
from calmix.results.records import Epoch, Record
from calmix.train import Recipe, TrainingSettings, run
from calmix.train.running import misfits, try_step

QUICK = TrainingSettings(epochs=2)
RECIPE = Recipe(NamedSet("wine"), "mixup", calmix.mixup(), settings=QUICK)


@pytest.fixture(scope="module")
def wine() -> tuple[Record, NamedArrays, nn.Module]:
    """The run of RECIPE."""
    return run(RECIPE)


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return fit_temperature(CalibrationLogits(torch.tensor(logits).double(), torch.tensor(labels))).value


def test_metrics_are_those_of_the_stored_predictions(wine: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = wine
    plain, scaled = record.metrics["plain"], record.metrics["scaled"]
    labels, probs = predictions["labels"], predictions["probs"].astype(float)
    assert plain["accuracy"] == pytest.approx(accuracy_score(labels, probs.argmax(1)))
    assert plain["nll"] == pytest.approx(log_loss(labels, probs / probs.sum(1, keepdims=True)), rel=1e-4)
    assert len(labels) == len(RECIPE.splits().test)
    cooled = torch.tensor(predictions["logits"] / record.temperature).softmax(1).double()
    assert scaled["nll"] == pytest.approx(log_loss(labels, cooled / cooled.sum(1, keepdim=True)), rel=1e-4)
    assert scaled["accuracy"] == plain["accuracy"]
    low, high = ece_interval(torch.tensor(probs), torch.tensor(labels), 15)
    assert record.metrics["intervals/low"]["ece"] == pytest.approx(low, abs=1e-4)
    assert record.metrics["intervals/high"]["ece"] == pytest.approx(high, abs=1e-4)


def test_validation_and_training_rows_are_measured_beside_the_test_rows(wine: tuple[Record, NamedArrays, nn.Module]):
    record, _, model = wine
    splits = RECIPE.splits()
    with torch.no_grad():
        for name, split in (("validation", splits.validation), ("training", splits.train)):
            logits, labels = model(split.x).double(), split.y
            found = record.metrics[name]
            assert found["accuracy"] == pytest.approx(accuracy_score(labels, logits.argmax(1)))
            assert found["nll"] == pytest.approx(log_loss(labels, logits.softmax(1)), rel=1e-4)
        cooled = (model(splits.validation.x).double() / record.temperature).softmax(1)
    assert record.metrics["validation/scaled"]["nll"] == pytest.approx(log_loss(splits.validation.y, cooled), rel=1e-4)


def test_the_skill_is_over_the_frequencies_of_the_training_rows(wine: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = wine
    shares = np.bincount(RECIPE.splits().train.y) / len(RECIPE.splits().train)
    said = np.tile(shares, (len(predictions["labels"]), 1))
    expected = 1 - record.metrics["plain"]["nll"] / log_loss(predictions["labels"], said)
    assert record.metrics["plain"]["nll_skill"] == pytest.approx(expected)


def test_regression_is_validated_in_the_unit_of_the_target():
    recipe = Recipe(NamedSet("diabetes"), "erm", calmix.erm(), settings=QUICK)
    record, _, model = run(recipe)
    splits = recipe.splits()
    with torch.no_grad():
        errors = (model(splits.validation.x) - splits.validation.y).double() * splits.about.target_std
    assert record.metrics["validation"]["rmse"] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-4)
    assert set(record.metrics) == {"plain", "validation", "training"}


@pytest.mark.parametrize("option", [{"class_weight": "balanced"}, {"sampler": "balanced"}])
@pytest.mark.parametrize("method", [calmix.erm(), calmix.mixup(), calmix.sk_mixup(), calmix.mixup_e()])
def test_balanced_classes_find_the_rare_one(method: Any, option: dict[str, str]):
    """Fifty rows to one: without, every row is said to be of the frequent class; with, most rare ones are found."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(1500) % 50 == 0).long()
    x = torch.randn(1500, 4, generator=generator)
    x[:, 0] += 2 * y

    def recall(**settings: Any) -> float:
        recipe = Recipe(Arrays(x, y), "tried", method, settings=TrainingSettings(epochs=3, **settings))
        return run(recipe).record.metrics["by_class/1"]["recall"]

    assert recall() < 0.2
    assert recall(**option) > 0.5


def test_the_predictions_are_those_of_the_network(wine: tuple[Record, NamedArrays, nn.Module]):
    _, predictions, model = wine
    splits = RECIPE.splits()
    with torch.no_grad():
        assert np.allclose(model(splits.test.x).numpy(), predictions["logits"], atol=1e-5)
        assert np.allclose(model(splits.calibration.x).numpy(), predictions["calibration_logits"], atol=1e-5)


def test_the_temperature_comes_from_the_calibration_split_and_nothing_else(wine: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = wine
    calibration = temperature(predictions["calibration_logits"], predictions["calibration_labels"])
    test = temperature(predictions["logits"], predictions["labels"])
    assert record.temperature == pytest.approx(calibration, rel=1e-3)
    assert record.temperature != pytest.approx(test, rel=1e-3)
    assert predictions["temperature"] == pytest.approx(record.temperature)
    assert np.array_equal(predictions["calibration_labels"], RECIPE.splits().calibration.y.numpy())


def test_the_record_tells_how_it_came_about(wine: tuple[Record, NamedArrays, nn.Module]):
    record, _, _ = wine
    assert (record.method, record.seed, record.epoch, record.run) == ("mixup", 0, 2, "mixup-seed0")
    assert eval(record.repr, dict(vars(calmix.parts))) == RECIPE.method
    assert record.recipe == RECIPE.text
    assert [epoch.number for epoch in record.history] == [1, 2]
    assert record.train_loss == record.history[1].train["loss"]
    assert record.train_seconds > 0


def test_runs_of_a_seed_share_splits_and_initial_weights_and_seeds_do_not():
    other_method = replace(RECIPE, method=calmix.sk_mixup_e(), label="sk_mixup_e")
    weights = [recipe.network().state_dict() for recipe in (RECIPE, other_method)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other_seed = replace(RECIPE, seed=1)
    assert not torch.equal(other_seed.network().state_dict()["head.weight"], weights[0]["head.weight"])
    test, same, other = (recipe.splits().test.x for recipe in (RECIPE, other_method, other_seed))
    assert torch.equal(test, same)
    assert not torch.equal(test, other)


def test_the_same_recipe_gives_the_same_run(wine: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = run(RECIPE)
    assert record.metrics == wine[0].metrics
    assert np.array_equal(predictions["logits"], wine[1]["logits"])


@pytest.fixture(scope="module")
def binary() -> tuple[Record, NamedArrays, nn.Module]:
    return run(Recipe(NamedSet("breast_cancer", task="binary"), "erm", calmix.erm(), settings=QUICK))


def test_a_binary_run_is_judged_as_two_classes(binary: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = binary
    assert predictions["probs"].shape[1] == 2
    assert record.metrics["plain"]["accuracy"] > 0.9
    assert record.metrics["positive"]["auroc"] > 0.9


def test_answers_about_ninety_per_cent_sure_are_counted(binary: tuple[Record, NamedArrays, nn.Module]):
    record, predictions, _ = binary
    probs = torch.tensor(predictions["logits"]).double().softmax(1).numpy()
    confidence = probs.max(1)
    about = (confidence >= 0.85) & (confidence <= 0.95)
    sure = record.metrics["sure"]
    assert sure["count"] == about.sum() > 0
    assert sure["claimed"] == pytest.approx(confidence[about].mean(), abs=1e-6)
    assert sure["observed"] == pytest.approx((probs.argmax(1) == predictions["labels"])[about].mean())


def test_a_regression_run_is_judged_in_the_original_unit():
    recipe = Recipe(NamedSet("diabetes"), "mixup", calmix.mixup(), settings=TrainingSettings(epochs=20))
    record, predictions, _ = run(recipe)
    assert sorted(record.metrics) == ["plain", "training", "validation"]
    assert sorted(record.metrics["plain"]) == ["mae", "mape", "r2", "rmse"]
    assert record.temperature is None
    assert predictions["targets"].mean() == pytest.approx(152, abs=20)  # the disease's progress, 25 to 346
    assert record.metrics["plain"]["r2"] == pytest.approx(r2_score(predictions["targets"], predictions["mean"]))
    found: Any = spearmanr(predictions["targets"].ravel(), predictions["mean"].ravel())
    assert found.statistic > 0.3


def test_a_run_is_also_judged_with_batch_norm_re_estimated(wine: tuple[Record, NamedArrays, nn.Module]):
    data, settings = NamedSet("digits", train_size=200), TrainingSettings(epochs=1)
    mixed = run(Recipe(data, "mixup", calmix.mixup(), settings=settings)).record.metrics
    refreshed = run(
        Recipe(data, "mixup", calmix.mixup(), settings=replace(settings, refresh_batch_norm=True))
    ).record.metrics
    for name in ("accuracy", "ece", "nll"):
        assert mixed["refreshed"][name] == pytest.approx(refreshed["plain"][name], abs=1e-6)
        assert mixed["refreshed/scaled"][name] == pytest.approx(refreshed["scaled"][name], abs=1e-6)
    assert mixed["refreshed"]["nll"] < mixed["plain"]["nll"]  # a few steps leave the statistics where they began
    assert not [condition for condition in refreshed if condition.startswith("refreshed")]
    assert not [condition for condition in wine[0].metrics if condition.startswith("refreshed")]  # no batch norm


def test_wrong_labels_are_learned_and_not_judged_by(wine: tuple[Record, NamedArrays, nn.Module]):
    noisy = replace(RECIPE, data=Noisy(NamedSet("wine"), Symmetric(0.4)))
    clean, wrong = RECIPE.splits(), noisy.splits()
    assert (clean.train.y != wrong.train.y).sum() == round(0.4 * len(clean.train))
    record, predictions, _ = run(noisy)
    assert np.array_equal(predictions["labels"], clean.test.y.numpy())
    assert np.array_equal(predictions["calibration_labels"], clean.calibration.y.numpy())
    assert record.metrics != wine[0].metrics


def test_a_run_is_of_the_data_as_they_were_when_it_began(tmp_path: Path):
    """Else a run on the old rows would be taken for one on the new ones."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["x,y", *(f"{i % 7},{'ab'[i % 2]}" for i in range(40))]))
    recipe = Recipe(TableFile(path, "y"), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    text = recipe.text

    def write_over(epoch: Epoch, model: nn.Module) -> None:
        path.write_text(path.read_text() + "\n3,a")

    assert run(recipe, write_over).record.recipe == text
    assert recipe.text != text


def test_a_step_is_tried_without_a_trace():
    before = torch.get_rng_state()
    try_step(RECIPE)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ShapeError, match="cutmix pastes boxes"):
        try_step(replace(RECIPE, method=calmix.cutmix()))


class OnceOnly(nn.Module):
    """It has no second derivative, as torch's fused attention has none."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(shape[0], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x[None, None]
        return self.head(torch.nn.functional.scaled_dot_product_attention(rows, rows, rows)[0, 0])


def test_a_method_that_a_network_cannot_take_is_named_before_anything_trains():
    recipe = replace(RECIPE, model=OnceOnly)
    try_step(recipe)
    jacobian = replace(recipe, label="mine", method=calmix.mixup_e(slope=calmix.parts.Jacobian()))
    with pytest.raises(
        SettingError, match="mine cannot train the network OnceOnly: RuntimeError: derivative for aten::"
    ):
        try_step(jacobian)
    assert list(misfits([recipe, jacobian])) == ["mine"]


def test_a_network_that_fits_no_data_is_no_misfit_of_methods():
    with pytest.raises(ShapeError, match=r"the network <lambda> returns \(2, 7\) for 2 rows"):
        misfits([replace(RECIPE, model=lambda shape: nn.Linear(shape[0], 7))])


def test_misfits_are_told_with_their_reasons():
    diabetes = replace(RECIPE, data=NamedSet("diabetes"))
    methods = {"erm": calmix.erm(), "cutmix": calmix.cutmix(), "rankmixup": calmix.rankmixup()}
    methods["auto"] = calmix.auto()
    found = misfits(replace(diabetes, label=label, method=method) for label, method in methods.items())
    assert list(found) == ["cutmix", "rankmixup", "auto"]
    assert found["auto"].startswith("auto follows the confidence of classes, and the task Regression")
    assert found["rankmixup"].startswith("rankmixup ranks the confidences of classes")
