"""Reproductions with searched hyper-parameters: equal budgets, and no look at a test row."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

import calmix
from calmix.data import Arrays, DataSource, Folds
from calmix.errors import DataError, SettingError
from calmix.methods.mixup_idle import mixup_idle
from calmix.methods.wrappers import scheduled
from calmix.models import mlp
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, longer, with_controls
from calmix.reproduction.reproduced import Reproduced, carry_out
from calmix.reproduction.searched import SEARCH, _with_controls, searched
from calmix.reproduction.stated import Chosen, read_stated
from calmix.reproduction.table import Entry
from calmix.results.records import read_record
from calmix.studies.comparison.study import Comparison
from calmix.studies.tuning.rows import OneTest
from calmix.studies.tuning.trials import Trial
from calmix.train import TrainingSettings

GENERATOR = torch.Generator().manual_seed(0)
X = torch.arange(200.0)[:, None] % 97 + torch.randn(200, 3, generator=GENERATOR)  # no row is there twice
Y = (X[:, 0] > 48).long()
SETTINGS = TrainingSettings(epochs=2, device="cpu")
METHODS_ = with_controls({"sk_mixup": calmix.sk_mixup(tau_max=0.5)})
COMPARISON = Comparison(Arrays(X, Y), METHODS_, mlp, SETTINGS, 2, own_settings=longer(SETTINGS))
ASKED = Experiment(COMPARISON, "Somebody, 2024.", (Claim("sk_mixup", "erm", "accuracy"),), ("Made.",), True)
ENTRY = Entry("A made paper: a made table", "nothing", (1, 1, 1), ("made", "made"))
BUDGET = 30


@dataclass(frozen=True)
class Found:
    """What a search chose, and the reproduction with it."""

    comparison: Comparison
    chosen: dict[str, Chosen]
    reproduced: Reproduced


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searched")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    reproduced = carry_out("made/table", "small", ENTRY, ASKED, folder, budget=BUDGET)
    reproduced.write(folder)
    experiment, search = searched(ASKED, BUDGET, folder, resume=True)
    assert search == reproduced.stated.search
    return Found(experiment.comparison, {one.method: one for one in search.chosen}, reproduced)


def runs_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "runs").glob("*.json")]


def rows_tested(source: DataSource, seed: int) -> list[int]:
    given = source.splits(seed).given
    assert given is not None
    return given.tested.tolist()


def test_no_part_of_the_search_sees_a_test_row(found: Found, folder: Path):
    source = found.comparison.data
    assert source == OneTest(COMPARISON.data)  # what searches without its test rows
    seeds = {run["seed"] for run in runs_of(folder / SEARCH)}
    assert min(seeds) == COMPARISON.seeds  # none that is compared later
    rows = rows_tested(source, 0)
    assert len(set(rows)) == 40
    assert all(rows_tested(source, seed) == rows for seed in (1, *seeds))
    drawn = [source.splits(seed).train.x for seed in (0, 1)]
    assert not torch.equal(*drawn)


def test_every_method_has_an_equal_budget_and_its_published_options_first(found: Found, folder: Path):
    tried = {run["method"]: run for run in runs_of(folder / SEARCH)}
    assert {label.rpartition(" ")[0] for label in tried} == {"erm", "mixup", "sk_mixup"}
    assert tried["sk_mixup 0"]["repr"] == repr(calmix.sk_mixup(tau_max=0.5))
    counts = {label: one.trials for label, one in found.chosen.items()}
    for label, count in counts.items():
        assert count == sum(name.rpartition(" ")[0] == label for name in tried)
    assert counts["erm"] >= counts["mixup"] >= counts["sk_mixup"] >= 2  # who costs more has fewer trials


def test_the_compared_methods_are_those_that_were_chosen(found: Found):
    compared, chosen = found.comparison, found.chosen
    for label, one in chosen.items():
        settings = compared.settings_of(label)
        assert (settings.peak_rate, settings.weight_decay, settings.epochs, settings.weights) == (
            one.learning_rate,
            one.weight_decay,
            one.epochs,
            one.weights,
        )
    mixed = dict(chosen["mixup"].options)
    until = float(mixed.pop("until", 1.0))
    own: dict[str, Any] = mixed
    for label, made in (("mixup", calmix.mixup(**own)), ("mixup_idle", mixup_idle(**own))):
        assert compared.methods[label] == (scheduled(made, until) if until < 1 else made)
        assert compared.settings_of(label) == compared.settings_of("mixup")
    assert compared.methods["mixup_longer"] == compared.methods["mixup"]
    assert compared.settings_of("mixup_longer").epochs == 2 * chosen["mixup"].epochs
    assert compared.methods["auto"] == METHODS_["auto"]
    assert compared.settings_of("auto") == replace(
        compared.settings_of("erm"), average="none", refresh_batch_norm=False
    )


def test_controls_follow_a_schedule_and_auto_has_no_averaged_weights():
    averaged = replace(SETTINGS, epochs=6, learning_rate=0.03, average="ema")
    bests = {
        "erm": Trial("erm", 1, {}, "erm", averaged, 1.0),
        "mixup": Trial("mixup", 2, {"alpha": 0.3, "until": 0.5}, "mixup", replace(SETTINGS, epochs=9), 1.0),
    }
    made = {"mixup": scheduled(calmix.mixup(alpha=0.3), 0.5)}
    found = _with_controls(COMPARISON, made, bests)
    assert found.methods["mixup_idle"] == scheduled(mixup_idle(alpha=0.3), 0.5)
    assert found.methods["mixup_longer"] == found.methods["mixup"] == made["mixup"]
    epochs = {label: found.settings_of(label).epochs for label in found.methods}
    assert epochs == {"erm": 6, "mixup": 9, "sk_mixup": 2, "auto": 6, "mixup_idle": 9, "mixup_longer": 18}
    assert found.settings_of("erm") == averaged
    assert found.settings_of("auto") == replace(averaged, average="none")


def test_the_best_weights_of_the_best_trial_of_those_with_most_seeds_were_chosen(found: Found, folder: Path):
    judged: dict[str, list[dict[str, float]]] = {}
    for run in runs_of(folder / SEARCH):
        record = read_record(folder / SEARCH, run["method"], run["seed"])
        assert record is not None
        nlls = {name: entry["nll"] for name, entry in record.metrics.items() if name.endswith("/scaled")}
        judged.setdefault(run["method"], []).append(nlls)
    for label, one in found.chosen.items():
        own = {name: runs for name, runs in judged.items() if name.rpartition(" ")[0] == label}
        most = max(map(len, own.values()))
        assert one.seeds == most
        goals = [fmean(run[of] for run in runs) for runs in own.values() if len(runs) == most for of in runs[0]]
        assert one.goal == pytest.approx(min(goals), abs=1e-12)


def test_averaged_weights_are_compared_where_they_were_better(tmp_path: Path):
    noisy = torch.where(torch.rand(200, generator=torch.Generator().manual_seed(1)) < 0.3, 1 - Y, Y)
    jumping = replace(SETTINGS, epochs=20, batch_size=8, learning_rate=0.5, schedule="constant")
    plain = Comparison(Arrays(X, noisy), {"erm": METHODS_["erm"]}, mlp, jumping, 1)
    found, search = searched(Experiment(plain, "Somebody.", ()), 4, tmp_path)
    [one] = search.chosen
    assert one.weights in ("ema", "swa")
    assert found.comparison.settings_of("erm").weights == one.weights


def test_the_page_says_what_was_chosen(found: Found, folder: Path):
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("What was chosen", "A budget of 30 plain trainings", "were searched with 30 plain trainings"):
        assert text in page
    assert found.reproduced.published is None  # a search by test rows is nobody's protocol
    with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
        assert {line["protocol"] for line in csv.DictReader(file)} == {"searched"}


def test_it_goes_on_where_it_was(found: Found, folder: Path):
    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.glob("**/runs/*.json")}

    before = written()
    again = carry_out("made/table", "small", ENTRY, ASKED, folder, resume=True, budget=BUDGET)
    assert written() == before
    assert again.claims().equals(found.reproduced.claims())
    assert again.stated == found.reproduced.stated == read_stated(folder)


def test_a_source_in_folds_is_searched_whole(tmp_path: Path):
    methods = {label: METHODS_[label] for label in ("erm", "mixup")}
    source = Arrays(X, Y)
    folds = replace(COMPARISON, methods=methods, data=Folds(source, 2), own_settings={})
    found, _ = searched(Experiment(folds, "Somebody.", ()), 10, tmp_path)
    assert found.comparison.data == OneTest(source)


def test_a_folder_with_other_results_is_refused_before_the_search(found: Found, folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="already holds a comparison; add --resume to go on, or give another --out"):
        searched(ASKED, BUDGET, folder)
    published = tmp_path / "published"
    (published / "runs").mkdir(parents=True)
    (published / "runs" / "erm-seed0.json").write_text("{}")
    with pytest.raises(DataError, match="holds runs with published settings; give another --out for searched ones"):
        searched(ASKED, BUDGET, published, resume=True)
    (tmp_path / "diagnosis.json").write_text("{}")
    with pytest.raises(DataError, match="holds a diagnosis; give another --out"):
        searched(ASKED, BUDGET, tmp_path, resume=True)
    assert not (published / SEARCH).exists()


@pytest.mark.parametrize("budget", [0.0, -3.0, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number(budget: float, tmp_path: Path):
    with pytest.raises(SettingError, match="budget must be"):
        searched(ASKED, budget, tmp_path)


def test_too_small_a_budget_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(SettingError, match="a budget of 3 trainings is too small to tune 3 methods"):
        carry_out("made/table", "small", ENTRY, ASKED, tmp_path / "out", budget=3)
    assert not (tmp_path / "out").exists()
