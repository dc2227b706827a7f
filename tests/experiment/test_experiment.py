"""Runs, records, comparisons: paired, resumable, whole or absent."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, log_loss, r2_score

import calmix
from calmix.errors import DataError, SettingError
from calmix.experiment import Comparison, Recipe, Shift, Source, compare, run, train
from calmix.experiment.record import read, slug, write_whole
from calmix.experiment.run import initial_model
from calmix.experiment.statistics import interval, paired_difference
from calmix.train import TrainingSettings

QUICK = TrainingSettings(epochs=2)
RECIPE = Recipe(Source("wine"), "mixup", calmix.mixup(), fit=QUICK)
COMPARISON = Comparison(Source("wine"), {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}, fit=QUICK, seeds=2)


# --------------------------------------------------------------------------------------------- one run


def test_metrics_are_those_of_the_stored_predictions():
    record, predictions, _ = run(RECIPE)
    labels, probs = predictions["labels"], predictions["probs"].astype(float)
    assert record.metrics["accuracy"] == pytest.approx(accuracy_score(labels, probs.argmax(1)))
    assert record.metrics["nll"] == pytest.approx(log_loss(labels, probs / probs.sum(1, keepdims=True)), rel=1e-4)
    assert len(labels) == len(RECIPE.source.splits(0).test)
    scaled = torch.tensor(predictions["logits"] / record.temperature).softmax(1).double()
    assert record.metrics["scaled"]["nll"] == pytest.approx(
        log_loss(labels, scaled / scaled.sum(1, keepdim=True)), rel=1e-4
    )
    assert record.metrics["scaled"]["accuracy"] == record.metrics["accuracy"]


def test_the_temperature_comes_from_the_calibration_split_and_nothing_else():
    record, predictions, _ = run(RECIPE)
    calibration = calmix_temperature(predictions["calibration_logits"], predictions["calibration_labels"])
    test = calmix_temperature(predictions["logits"], predictions["labels"])
    assert record.temperature == pytest.approx(calibration, rel=1e-3)
    assert record.temperature != pytest.approx(test, rel=1e-3)
    assert np.array_equal(predictions["calibration_labels"], RECIPE.source.splits(0).calibration.y.numpy())


def calmix_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    from calmix.posthoc import CalibrationLogits, fit_temperature

    return fit_temperature(CalibrationLogits(torch.tensor(logits).double(), torch.tensor(labels))).value


def test_runs_of_a_seed_share_splits_and_initial_weights_and_seeds_do_not():
    other_method = replace(RECIPE, method=calmix.sk_mixup_e(), label="sk_mixup_e")
    weights = [initial_model(r, r.source.splits(r.seed)).state_dict() for r in (RECIPE, other_method)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other_seed = replace(RECIPE, seed=1)
    first = initial_model(other_seed, other_seed.source.splits(1)).state_dict()
    assert not torch.equal(first["head.weight"], weights[0]["head.weight"])
    assert not torch.equal(RECIPE.source.splits(0).test.y, RECIPE.source.splits(1).test.y)


def test_a_binary_run_is_judged_as_two_classes():
    record, predictions, _ = run(Recipe(Source("breast_cancer", task="binary"), "erm", calmix.erm(), fit=QUICK))
    assert predictions["probs"].shape[1] == 2
    assert record.metrics["accuracy"] > 0.9


def test_a_regression_run_is_judged_in_the_original_unit():
    record, predictions, _ = run(Recipe(Source("diabetes"), "mixup", calmix.mixup(), fit=TrainingSettings(epochs=20)))
    assert sorted(record.metrics) == ["mae", "mape", "r2", "rmse"]
    assert record.temperature is None
    assert predictions["targets"].mean() == pytest.approx(152, abs=20)  # the disease's progress, 25 to 346
    assert record.metrics["r2"] == pytest.approx(r2_score(predictions["targets"], predictions["mean"]))


def test_plain_training_costs_one_and_two_passes_cost_more():
    fashion_like = Recipe(Source("digits"), "mixup_e", calmix.mixup_e(), fit=TrainingSettings(epochs=1))
    assert run(replace(fashion_like, method=calmix.erm())).record.relative_cost == 1.0
    assert run(fashion_like).record.relative_cost > 1.2


def test_the_recipe_s_repr_makes_it():
    from pathlib import PosixPath

    names = {
        **vars(calmix.parts),
        "Recipe": Recipe,
        "Source": Source,
        "TrainingSettings": TrainingSettings,
        "Shift": Shift,
        "PosixPath": PosixPath,
    }
    assert eval(repr(RECIPE), names) == RECIPE


def test_a_trained_network_is_kept_without_pickled_code(tmp_path: Path):
    train(RECIPE, tmp_path)
    checkpoint = torch.load(tmp_path / "model.pt", weights_only=True)
    model = calmix_model(checkpoint)
    _, predictions, _ = run(RECIPE)
    logits = model(RECIPE.source.splits(0).test.x)
    assert np.allclose(logits.detach().numpy(), predictions["logits"], atol=1e-5)
    with pytest.raises(DataError, match=r"already holds finished runs; give another --out"):
        train(RECIPE, tmp_path)


def calmix_model(checkpoint: dict) -> torch.nn.Module:
    from calmix.models import make_model

    model = make_model(checkpoint["model"], tuple(checkpoint["shape"]), checkpoint["outputs"])
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


# -------------------------------------------------------------------------------------------- comparisons


def test_a_comparison_writes_what_it_promises(tmp_path: Path):
    results = compare(COMPARISON, tmp_path, workers=1, command=["calmix", "compare", "wine"])
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert {"data", "task", "environment", "runs", "summary"} <= set(results)
    assert [(r["method"], r["seed"]) for r in results["runs"]] == [
        ("erm", 0),
        ("sk_mixup", 0),
        ("erm", 1),
        ("sk_mixup", 1),
    ]
    for entry in results["runs"]:
        assert {"accuracy", "nll", "brier", "ece", "adaptive_ece", "scaled"} <= set(entry["metrics"])
        assert eval(entry["repr"], dict(vars(calmix.parts))) == COMPARISON.methods[entry["method"]]
        assert np.load(tmp_path / "predictions" / f"{slug(entry['method'], entry['seed'])}.npz")["probs"].shape[1] == 3
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("method,seed,accuracy,nll,brier,ece")
    columns = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    stored = results["runs"][0]["metrics"]
    assert float(columns["smooth_ece"]) == stored["smooth_ece"]
    assert float(columns["scaled_aurc"]) == stored["scaled"]["aurc"]
    assert len(columns) == len(lines[0].split(","))  # each number once
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]  # no temporary file left


def test_the_summary_is_the_mean_and_the_paired_difference_over_seeds(tmp_path: Path):
    results = compare(COMPARISON, tmp_path, workers=1)
    ece = {(r["method"], r["seed"]): r["metrics"]["ece"] for r in results["runs"]}
    row = next(row for row in results["summary"] if row["method"] == "sk_mixup")
    assert row["metrics"]["ece"]["mean"] == pytest.approx((ece["sk_mixup", 0] + ece["sk_mixup", 1]) / 2)
    differences = [ece["sk_mixup", seed] - ece["erm", seed] for seed in (0, 1)]
    low, high = stats.t.interval(0.95, 1, np.mean(differences), stats.sem(differences))
    assert row["reference"] == "erm"
    assert row["differences"]["erm"]["ece"]["t"]["low"] == pytest.approx(low)
    assert row["differences"]["erm"]["ece"]["t"]["high"] == pytest.approx(high)


class Stopped(Exception):
    pass


def test_a_stopped_comparison_goes_on_where_it_was(tmp_path: Path):
    def stop_in_the_third_run(label: str, seed: int, epoch: int) -> None:
        if (label, seed) == ("erm", 1):
            raise Stopped

    with pytest.raises(Stopped):
        compare(COMPARISON, tmp_path / "stopped", workers=1, tick=stop_in_the_third_run)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "stopped" / "runs").iterdir()}
    assert sorted(path.name for path in finished) == ["erm-seed0.json", "sk_mixup-seed0.json"]
    resumed = compare(COMPARISON, tmp_path / "stopped", resume=True, workers=1)
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    whole = compare(COMPARISON, tmp_path / "whole", workers=1)
    for ours, theirs in zip(resumed["runs"], whole["runs"], strict=True):
        assert ours["metrics"] == theirs["metrics"]


def test_runs_at_a_time_give_what_one_after_the_other_gives(tmp_path: Path):
    seen = set()
    at_a_time = compare(COMPARISON, tmp_path / "two", workers=2, tick=lambda *news: seen.add(news))
    in_turn = compare(COMPARISON, tmp_path / "one", workers=1)
    for ours, theirs in zip(at_a_time["runs"], in_turn["runs"], strict=True):
        assert ours["metrics"]["nll"] == pytest.approx(theirs["metrics"]["nll"], rel=1e-3)
    assert {("erm", 0, 1), ("sk_mixup", 1, 2)} <= seen


def test_finished_runs_are_not_overwritten_and_other_settings_not_mixed_in(tmp_path: Path):
    compare(COMPARISON, tmp_path, workers=1)
    with pytest.raises(DataError, match=r"already holds finished runs; add --resume"):
        compare(COMPARISON, tmp_path, workers=1)
    with pytest.raises(DataError, match=r"holds 'erm' with other settings"):
        compare(replace(COMPARISON, fit=TrainingSettings(epochs=3)), tmp_path, resume=True, workers=1)


def test_bad_input_writes_nothing(tmp_path: Path):
    out = tmp_path / "new"
    for comparison in (
        replace(COMPARISON, source=Source("no_such_set")),
        replace(COMPARISON, model="resnet"),
        replace(COMPARISON, source=Source("wine", train_size=10_000)),
        replace(COMPARISON, methods={"mixup(alpha=1)": calmix.mixup(), "mixup alpha 1": calmix.mixup()}),
    ):
        with pytest.raises(calmix.CalmixError):
            compare(comparison, out, workers=1)
    with pytest.raises(SettingError, match="workers must be at least 1; got 0"):
        compare(COMPARISON, out, workers=0)
    with pytest.raises(SettingError, match="seeds must be at least 1; got 0"):
        replace(COMPARISON, seeds=0)
    with pytest.raises(SettingError, match="no methods"):
        replace(COMPARISON, methods={})
    assert not out.exists()


def test_a_run_is_also_judged_with_batch_norm_re_estimated():
    source, fit = Source("digits", train_size=200), TrainingSettings(epochs=1)
    mixed, _, _ = run(Recipe(source, "mixup", calmix.mixup(), fit=fit))
    refreshed, _, _ = run(Recipe(source, "mixup", calmix.mixup(), fit=replace(fit, refresh_batch_norm=True)))
    for name in ("accuracy", "ece", "nll"):
        assert mixed.value(f"refreshed.{name}") == pytest.approx(refreshed.value(name), abs=1e-6)
    assert mixed.value("refreshed.nll") < mixed.value("nll")  # a few steps leave the statistics where they began
    assert not refreshed.has("refreshed.nll")
    assert not run(RECIPE).record.has("refreshed.nll")  # no batch norm


def test_an_error_in_a_worker_arrives_as_itself(tmp_path: Path):
    diverging = Comparison(
        Source("diabetes"), {"erm": calmix.erm()}, fit=TrainingSettings(epochs=30, learning_rate=1e6), seeds=2
    )
    with pytest.raises(SettingError, match="diverged"):
        compare(diverging, tmp_path, workers=2)


def test_files_are_whole_or_absent(tmp_path: Path):
    def fail(file) -> None:
        file.write(b"half")
        raise OSError("disk full")

    (tmp_path / "old.json").write_text("old")
    for name in ("old.json", "new.json"):
        with pytest.raises(OSError, match="disk full"):
            write_whole(tmp_path / name, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"
    assert read(tmp_path, "mixup", 0) is None


# ------------------------------------------------------------------------------------------- statistics


def test_the_interval_is_student_s():
    values = [0.8, 0.83, 0.79, 0.85]
    ours = interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert ours.half_width == pytest.approx((high - low) / 2)
    assert interval([0.5]).low == interval([0.5]).high == 0.5


def test_a_paired_difference_is_blind_to_what_seeds_share():
    shared = np.random.default_rng(0).normal(size=8) * 100
    difference = paired_difference(list(shared + 1), list(shared))
    assert difference.mean == pytest.approx(1)
    assert math.isclose(difference.half_width, 0, abs_tol=1e-9)
