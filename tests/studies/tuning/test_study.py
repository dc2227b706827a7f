"""A search from data to what to take, and what it must never do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from calmix import CalmixError, TrainingSettings, erm, mixup, sk_mixup
from calmix.data import NamedSet, Split, Splits, TableFile
from calmix.engines import Processes
from calmix.errors import DataError, SettingError
from calmix.methods.read import read_method
from calmix.methods.spaces import Between
from calmix.posthoc import CalibrationLogits
from calmix.posthoc.temperature import cross_fitted_nll
from calmix.results.records import Record, read_record
from calmix.studies.tuning import study
from calmix.studies.tuning.begun import refuse_unfinished
from calmix.studies.tuning.families import Family
from calmix.studies.tuning.outcome import CHOSEN, DEFAULT, PLAIN, python_lines
from calmix.studies.tuning.rows import OneTest, Untested
from calmix.studies.tuning.tuned import Tuned
from calmix.train import Recipe, run, train
from tests.studies.tuning.conftest import Tuner


def without_times(tuned: Tuned) -> list[object]:
    return [replace(trial, runs=tuple(replace(run, seconds=0.0) for run in trial.runs)) for trial in tuned.trials]


def test_it_ends_in_a_choice_and_its_test(tuned: Tuned):
    assert tuned.default.text == "mixup"  # the first
    assert tuned.default == tuned.trials[0].as_given
    assert set(tuned.outcome.finals) <= {DEFAULT, CHOSEN, PLAIN}
    for records in tuned.outcome.finals.values():
        assert [record.seed for record in records] == [5, 6]  # which no search uses
    assert {run.seed for trial in tuned.trials for run in trial.runs} <= set(range(5))
    if tuned.gain is None:
        assert tuned.winner == tuned.default == tuned.chosen
    else:
        assert tuned.winner == (tuned.chosen if tuned.gain.pays else tuned.default)
    table = tuned.table()
    assert table["stage"].tolist().count("search") == sum(len(trial.runs) for trial in tuned.trials)
    assert list(table.columns[-5:]) == ["scaled_nll", "nll", "accuracy", "cost", "train_seconds"]


def test_a_trial_is_judged_on_the_rows_to_choose_by(tuned: Tuned, splits: Splits):
    """Somebody who trains the same network by hand finds the same numbers."""
    trial = tuned.trials[1]
    held = torch.cat([splits.validation.x, splits.calibration.x])
    labels = torch.cat([splits.validation.y, splits.calibration.y])
    [first, *_] = trial.runs
    assert [one.average for one in first.also] == ["ema", "swa"]
    for found, average in ((first, "none"), *((one, one.average) for one in first.also)):
        settings = replace(trial.settings, average=average)
        recipe = Recipe(OneTest(tuned.data.source), trial.label, read_method(trial.text), None, settings, seed=0)
        network = train(recipe).model
        with torch.no_grad():
            logits = network(held)
        assert found.beside[0] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
        assert found.beside[1] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
        assert found.goal == pytest.approx(cross_fitted_nll(CalibrationLogits(logits, labels)), rel=1e-5)


def test_the_last_trainings_keep_the_weights_that_were_chosen(tuned: Tuned):
    for name, records in tuned.outcome.finals.items():
        trial = tuned.outcome.named[name]
        assert repr(trial.settings) in records[0].recipe
        assert "also" not in records[0].recipe
    assert tuned.default.settings.weights == "trained"


def test_networks_with_batch_norm_have_their_statistics_refreshed(tuned_by: Tuner, tmp_path: Path):
    found = tuned_by(model=normed, methods=[mixup], budget=4, fresh=1, out=tmp_path)
    for trial in found.trials:
        weights = [(one.average, one.refresh_batch_norm) for one in trial.runs[0].also]
        assert weights == [("none", True), ("ema", False), ("ema", True), ("swa", False)]
        kept = trial.settled.settings
        assert trial.goal(1) == min([trial.runs[0].goal, *(one.goal for one in trial.runs[0].also)]) or trial.runs[1:]
        assert kept.weights in ("trained", "trained refreshed", "ema", "ema refreshed", "swa")


def normed(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def test_test_rows_change_nothing_that_is_chosen(tuned: Tuned, tuned_by: Tuner, splits: Splits):
    generator = torch.Generator().manual_seed(0)
    wrong = Split(torch.randn(splits.test.x.shape, generator=generator), splits.test.y.flip(0))
    other = tuned_by(replace(splits, test=wrong))
    assert without_times(other) == without_times(tuned)
    assert other.chosen.text == tuned.chosen.text
    key = tuned.outcome.columns[0]
    values = [found.outcome.tested.values(DEFAULT, key.key, key.condition) for found in (tuned, other)]
    assert values[0] != values[1]  # they are what is tested


def test_no_training_of_a_search_holds_a_test_row(tuned_by: Tuner, splits: Splits, monkeypatch: pytest.MonkeyPatch):
    marked = replace(splits, test=Split(torch.full_like(splits.test.x, 123.0), splits.test.y))
    seen: list[tuple[str, bool]] = []

    def spying(recipe: Recipe, *given: Any) -> Any:
        parts = [value for value in vars(recipe.splits()).values() if isinstance(value, Split)]
        seen.append((recipe.label, any((part.x == 123.0).any() for part in parts)))
        return run(recipe, *given)

    monkeypatch.setattr("calmix.engines.attempt.run", spying)
    tuned_by(marked)
    opened = [holds for _, holds in seen]
    assert opened == sorted(opened)  # once tested rows are seen, the search is over
    assert {label for label, holds in seen if holds} <= {DEFAULT, CHOSEN, PLAIN}
    assert opened[-1]


# -------------------------------------------------------------------------------------------------- resuming


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 12])
def test_a_search_that_was_killed_ends_in_the_same_trials(
    after: int, tuned: Tuned, tuned_by: Tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    finished, real = 0, Processes.carry_out

    def dying(*given: Any) -> Any:
        nonlocal finished
        for ended in real(*given):
            if finished == after:
                raise Killed
            finished += 1
            yield ended

    monkeypatch.setattr(Processes, "carry_out", dying)
    with pytest.raises(Killed):
        tuned_by(out=tmp_path / "out")
    with pytest.raises(DataError, match="already holds finished runs; add --resume"):
        tuned_by(out=tmp_path / "out")
    done = {1: "1 of mixup, 0 of erm", 12: "6 of mixup, 6 of erm"}[after]
    said = rf"Of 14 plain trainings to search with, these trainings are done: {done}\. .*out=.*, resume=True\)"
    with pytest.raises(DataError, match=said):
        refuse_unfinished(tmp_path / "out")
    finished = -1000
    again = tuned_by(out=tmp_path / "out", resume=True)
    assert without_times(again) == without_times(tuned)
    assert again.chosen.text == tuned.chosen.text
    assert again.gain == tuned.gain
    count = sum(len(trial.runs) for trial in again.trials) + sum(map(len, again.outcome.finals.values()))
    assert finished == -1000 + count - after  # what was done is not done again
    finished = -1000
    assert without_times(tuned_by(out=tmp_path / "out", resume=True)) == without_times(tuned)
    assert finished == -1000


def test_what_was_learnt_is_learnt_again_after_a_stop(tuned_by: Tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("optuna")
    options: dict[str, Any] = {
        "methods": [mixup], "budget": 18, "search": "tpe", "settings": TrainingSettings(epochs=1), "fresh": 1,
    }  # fmt: skip
    whole = tuned_by(**options)
    assert len(whole.trials) > 9  # some are proposed
    real, left = Processes.carry_out, 10

    def dying(*given: Any) -> Any:
        nonlocal left
        for ended in real(*given):
            left -= 1
            if left < 0:
                raise Killed
            yield ended

    monkeypatch.setattr(Processes, "carry_out", dying)
    with pytest.raises(Killed):
        tuned_by(out=tmp_path / "out", **options)
    left = 1000
    again = tuned_by(out=tmp_path / "out", resume=True, **options)
    assert without_times(again) == without_times(whole)


def test_a_folder_of_another_search_is_refused(tuned_by: Tuner, tmp_path: Path):
    tuned_by(out=tmp_path / "out", budget=8, fresh=1)
    with pytest.raises(DataError, match="with other settings, data or code"):
        tuned_by(out=tmp_path / "out", budget=8, fresh=1, resume=True, settings=TrainingSettings(epochs=3))
    with pytest.raises(DataError, match="already holds a search"):
        tuned_by(out=tmp_path / "out")
    with pytest.raises(DataError, match=r"a budget of 8 trainings, which has looked at its test rows; .*--seed"):
        tuned_by(out=tmp_path / "out", budget=14, fresh=1, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("{}")
    with pytest.raises(DataError, match="holds a comparison; give another --out"):
        tuned_by(out=tmp_path / "other", resume=True)


# ---------------------------------------------------------------------------------------------------- files


def test_files_hold_what_was_found(tuned: Tuned, tuned_by: Tuner, tmp_path: Path):
    stored = tuned_by(out=tmp_path)
    found = json.loads((tmp_path / "tuning.json").read_text())
    assert found["winner"] == stored.winner.label == tuned.winner.label
    assert found["goal"] == "scaled_nll"
    assert [trial["text"] for trial in found["trials"]] == [trial.text for trial in tuned.trials]
    assert found["costs"] == {"mixup": 1.0, "erm": 1.0}
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == len(stored.table())
    assert table["scaled_nll"].tolist() == pytest.approx(stored.table()["scaled_nll"].tolist())
    record = read_record(tmp_path, "mixup 1", 0)
    assert record is not None
    kinds = {"validation", "validation/ema", "validation/swa"}  # nothing is called a test that is none
    assert set(record.metrics) == kinds | {f"{kind}/scaled" for kind in kinds}
    assert record.temperature is None
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        f"{name}-seed{seed}.npz" for name in stored.outcome.finals for seed in (5, 6)
    }
    assert not (tmp_path / "checkpoints").exists()


def test_minutes_become_trainings_once(tuned_by: Tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measured: list[float] = []

    def seconds(tuning: object) -> float:
        measured.append(10.0)
        return 10.0

    monkeypatch.setattr(study, "_seconds_of_plain", seconds)
    options: dict[str, Any] = {"budget": None, "minutes": 3.0, "fresh": 1, "out": tmp_path, "workers": 1}
    first = tuned_by(**options)
    assert first.outcome.plan.budget == 15  # 180 s of 10 s each, less three last trainings
    assert tuned_by(**options, resume=True).outcome.plan.budget == 15
    assert len(measured) == 1
    with pytest.raises(SettingError, match=r"a plain training takes 10.0 s here, and 1.5 minutes are too few"):
        tuned_by(**{**options, "minutes": 1.5, "out": None})
    with pytest.raises(SettingError, match="in trainings, or in minutes"):
        tuned_by(minutes=3.0)
    with pytest.raises(SettingError, match="minutes must be a positive number"):
        tuned_by(**{**options, "minutes": 0, "out": None})


def test_a_plain_training_is_measured(splits: Splits):
    [family] = study.families_of([mixup], False)
    tuning = study.Tuning(OneTest(study.as_source(splits)), (family,), settings=TrainingSettings(epochs=1))
    assert 0 < study._seconds_of_plain(tuning) < 60


def test_progress_ends_below_what_was_announced(splits: Splits):
    """In epochs of plain trainings, whatever a method's steps cost."""
    families = study.families_of([sk_mixup, erm], False)
    given = TrainingSettings(epochs=4)
    tuning = study.Tuning(OneTest(study.as_source(splits)), families, settings=given, budget=13, fresh=1)
    done: dict[tuple[str, int], int] = {}

    def tick(label: str, seed: int, epochs: int, entry: object) -> None:
        assert epochs >= done.get((label, seed), 0)
        done[label, seed] = epochs

    found = study.carry_out_tuning(tuning, None, engine=Processes(1), tick=tick)
    spent = sum(trial.spent for trial in found.trials)
    last = sum(found.outcome.named[name].cost for name in found.outcome.finals)
    assert sum(done.values()) == pytest.approx(4 * (spent + last), abs=len(done))
    assert sum(done.values()) <= 4 * tuning.trainings


# -------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 7}, "a budget of 7 trainings is too small to tune 2 methods: mixup, erm. Give 8 or more"),
        ({"fresh": 0}, "need a fresh seed or more; got 0"),
        ({"search": "random"}, "unknown search 'random'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"resume": True}, "resume goes on in a folder; give out, too"),
    ],
)
def test_what_cannot_be_searched_is_refused(options: dict[str, Any], said: str, tuned_by: Tuner):
    with pytest.raises(CalmixError, match=said):
        tuned_by(**options)


def test_without_optuna_long_searches_say_what_to_install(tuned_by: Tuner, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.studies.tuning.points.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'calmix\[tune\]'; or search without: --search quasi-random"):
        tuned_by(search="tpe", budget=200)
    tuned_by(search="tpe", budget=8, fresh=1)  # of few trials nothing is learnt


def test_a_default_that_cannot_be_trained_is_an_error(tuned_by: Tuner):
    with pytest.raises(DataError, match="mixup cannot be trained with the settings that were given: "):
        tuned_by(settings=TrainingSettings(epochs=2, learning_rate=1e12), budget=8)


# --------------------------------------------------------------------------------------------- what it ends in


def test_the_winner_s_recipe_and_python_lines_train_it(tuned: Tuned):
    recipe = tuned.recipe(seed=3)
    assert recipe.settings == tuned.winner.settings
    assert recipe.method == read_method(tuned.winner.text)
    assert recipe.data is tuned.data.source
    assert list(tuned.python) == python_lines(tuned.data.source, None, tuned.winner)
    names: dict[str, Any] = {}
    exec("\n".join(python_lines(NamedSet("wine"), None, tuned.winner)), names)
    with torch.no_grad():
        shape = names["network"](torch.zeros(2, 13)).shape
    assert shape == (2, 3)


def test_the_python_lines_read_a_file(tmp_path: Path, tuned: Tuned, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "kind": ["a", "b", "c"] * 20}).to_csv(
        "own.csv", index=False
    )
    names: dict[str, Any] = {}
    exec("\n".join(python_lines(TableFile(Path("own.csv"), "kind"), None, tuned.default)), names)
    with torch.no_grad():
        assert names["network"](torch.zeros(2, 1)).shape == (2, 3)


def test_without_methods_plain_training_is_to_be_beaten_where_values_are_predicted(tuned_by: Tuner):
    x = np.random.default_rng(0).normal(size=(90, 3))
    found = tuned_by((x, x[:, 0]), methods=None, budget=16, fresh=1)
    assert found.default.text == "erm"
    assert {trial.family for trial in found.trials} == {"erm", "mixup", "sk_mixup"}


def test_regression_is_chosen_by_rmse(tuned_by: Tuner, tmp_path: Path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    found = tuned_by((x, x[:, 0] * 50 + rng.normal(size=150)), methods=[sk_mixup, erm], budget=12, fresh=2)
    assert found.trials[1].options["tau_max"] != 0
    assert 5 < found.default.goal() < 100  # in the unit of the targets, whose deviation is 50
    assert [column.key for column in found.outcome.columns] == ["rmse", "mae", "r2"]
    said = str(found.verdict)
    assert "RMSE:" in said
    assert found.write_report(tmp_path).exists()
    assert not isinstance(found.data, Untested)


def test_a_family_of_one_s_own_is_searched(tuned_by: Tuner):
    def never(strength: float = 0.2) -> Any:
        return mixup(alpha=strength)

    own = Family("never", never, {"strength": Between(0.1, 0.4)})
    found = tuned_by(methods=[own, erm], fresh=1)
    tried = [trial.options for trial in found.trials if trial.family == "never"]
    assert tried[0] == {}
    assert all(0.1 <= float(options["strength"]) <= 0.4 for options in tried[1:])
    assert isinstance(found.recipe().splits().train.x, Tensor)


def test_a_record_says_what_its_rows_were():
    record = Record("mixup 1", "", 0, {"plain": {"nll": 9.0}, "scaled": {"nll": 1.0}}, 2.0, 1.0, None, 1, (), "")
    logits, labels = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    record = replace(record, metrics={**record.metrics, "also/ema": {"nll": 8.0}, "refreshed": {"nll": 7.0}})
    found = study.judged(record, {"logits": logits.numpy(), "labels": labels.numpy(), "also/ema": 3 * logits.numpy()})
    assert found.metrics == {
        "validation": {"nll": 9.0},
        "validation/scaled": {"nll": pytest.approx(cross_fitted_nll(CalibrationLogits(logits, labels)))},
        "validation/ema": {"nll": 8.0},
        "validation/ema/scaled": {"nll": pytest.approx(cross_fitted_nll(CalibrationLogits(3 * logits, labels)))},
    }
    found = study.judged(record, {"mean": np.zeros(3)})
    assert found.metrics == {"validation": {"nll": 9.0}, "validation/ema": {"nll": 8.0}}
