"""Comparisons: paired, resumable, whole or absent; from Python with objects, in memory or in a folder."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import calmix
from calmix.data import (
    OOD_SETS,
    Arrays,
    Fixed,
    Folds,
    HumanNoise,
    NamedSet,
    Noisy,
    OODSet,
    Splits,
    Symmetric,
    TableFile,
    load,
)
from calmix.engines import Processes
from calmix.errors import DataError, SettingError, ShapeError, UnknownNameError
from calmix.models import dropout_mlp, mlp, resnet
from calmix.results.files import slug, write_whole
from calmix.results.machines import Machine
from calmix.results.records import Epoch, read_record, write_record
from calmix.results.statistics import interval, paired_difference
from calmix.results.store import read_results
from calmix.studies.comparison.compared import Compared, read_comparison
from calmix.studies.comparison.kept import train_and_keep
from calmix.studies.comparison.study import Comparison, carry_out_comparison, plan
from calmix.train import Checkpoints, Recipe, Robustness, TrainingSettings, run
from calmix.train.checkpoints import Unfinished
from calmix.train.recipe import machine_of

QUICK = TrainingSettings(epochs=2)
METHODS = {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}
COMPARISON = Comparison(NamedSet("wine"), METHODS, settings=QUICK, seeds=2)
RUNS = [("erm", 0), ("sk_mixup", 0), ("erm", 1), ("sk_mixup", 1)]  # in the order in which they are carried out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COMPARISON, finished, which tests must leave as it is."""
    out = tmp_path_factory.mktemp("compared")
    carry_out_comparison(COMPARISON, out, engine=Processes(1), command=["calmix", "compare", "wine"])
    return out


def stored(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def measured(compared: Compared) -> dict[tuple[str, int], object]:
    return {(record.method, record.seed): record.metrics for record in compared.results.records}


def test_folds_are_the_default_of_small_tables_alone():
    wine, rows = NamedSet("wine"), torch.randn(1000, 3)
    assert plan(wine) == (Folds(wine, 5), 10)
    assert plan(wine, seeds=3) == (wine, 3)
    assert plan(wine, folds=3, repeats=1) == (Folds(wine, 3), 3)
    assert plan(wine, repeats=4) == (Folds(wine, 5), 20)
    assert plan(Noisy(wine, Symmetric(0.2))) == (Noisy(Folds(wine, 5), Symmetric(0.2)), 10)
    large, small = (Arrays(rows[:n], torch.arange(n) % 2) for n in (1000, 990))  # 200 and 198 to test
    assert plan(large) == (large, 5)
    assert plan(small) == (Folds(small, 5), 10)
    for other in (NamedSet("digits"), NamedSet("two_moons"), Fixed(wine.splits(0))):
        assert plan(other) == (other, 5)
    assert plan(Folds(wine, 4)) == (Folds(wine, 4), 8)
    with pytest.raises(SettingError, match="cut into 4 folds, and 5 were asked for"):
        plan(Folds(wine, 4), folds=5)
    with pytest.raises(SettingError, match="repeats must be at least 1; got 0"):
        plan(wine, folds=4, repeats=0)
    with pytest.raises(SettingError, match="seeds must be a multiple of the 5 folds; got 7"):
        Comparison(Folds(wine, 5), METHODS, seeds=7)


# -------------------------------------------------------------------------------------------- in a folder


def test_a_comparison_writes_what_it_promises(folder: Path):
    results = stored(folder)
    assert {"data", "task", "model", "settings", "environment", "command", "runs", "summary"} <= set(results)
    assert results["command"] == ["calmix", "compare", "wine"]
    assert [(run["method"], run["seed"]) for run in results["runs"]] == RUNS
    for entry in results["runs"]:
        assert {"accuracy", "nll", "brier", "ece", "adaptive_ece", "scaled"} <= set(entry["metrics"])
        assert eval(entry["repr"], dict(vars(calmix.parts))) == METHODS[entry["method"]]
        name = f"{slug(entry['method'])}-seed{entry['seed']}"
        assert json.loads((folder / "runs" / f"{name}.json").read_text()) == entry
        assert np.load(folder / "predictions" / f"{name}.npz")["probs"].shape[1] == 3
    assert not [path for path in folder.rglob(".*") if path.is_file()]  # no temporary file left


def test_the_table_of_runs_has_each_number_once(folder: Path):
    lines = (folder / "results.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("method,seed,accuracy,nll,brier,ece")
    columns = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    run = stored(folder)["runs"][0]
    assert float(columns["smooth_ece"]) == run["metrics"]["smooth_ece"]
    assert float(columns["scaled_aurc"]) == run["metrics"]["scaled"]["aurc"]
    assert float(columns["cost"]) == run["relative_cost"] == 1
    assert len(columns) == len(lines[0].split(","))


def test_the_summary_is_the_mean_over_seeds_with_its_interval(folder: Path):
    results = stored(folder)
    for row in results["summary"]:
        ece = [run["metrics"]["scaled"]["ece"] for run in results["runs"] if run["method"] == row["method"]]
        low, high = stats.t.interval(0.95, 1, np.mean(ece), stats.sem(ece))
        assert (row["seeds"], row["metrics"]["scaled_ece"]["count"]) == (2, 2)
        assert row["metrics"]["scaled_ece"]["mean"] == pytest.approx(np.mean(ece))
        assert (row["metrics"]["scaled_ece"]["low"], row["metrics"]["scaled_ece"]["high"]) == pytest.approx((low, high))
    assert results["summary"][0]["metrics"]["cost"]["mean"] == 1


def test_what_is_read_again_is_what_was_found(folder: Path):
    found = read_comparison(folder)
    assert found.results.reference == "erm"
    assert [(record.method, record.seed) for record in found.results.records] == RUNS
    ece = {(run["method"], run["seed"]): run["metrics"]["ece"] for run in stored(folder)["runs"]}
    differences = [ece["sk_mixup", seed] - ece["erm", seed] for seed in (0, 1)]
    low, high = stats.t.interval(0.95, 1, np.mean(differences), stats.sem(differences))
    difference = found.scores.difference("sk_mixup", "erm", "ece")
    assert (difference.mean, difference.low, difference.high) == pytest.approx((np.mean(differences), low, high))


class Stopped(BaseException):
    pass


def test_a_stopped_comparison_goes_on_where_it_was(folder: Path, tmp_path: Path):
    def stop_in_the_third_run(label: str, seed: int, *news: object) -> None:
        if (label, seed) == ("erm", 1):
            raise Stopped

    with pytest.raises(Stopped):
        carry_out_comparison(COMPARISON, tmp_path, engine=Processes(1), tick=stop_in_the_third_run)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "predictions").iterdir()}
    assert sorted(path.name for path in finished) == ["erm-seed0.npz", "sk_mixup-seed0.npz"]
    assert not (tmp_path / "results.json").exists()
    resumed = carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1))
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    assert measured(resumed) == measured(read_comparison(folder))


def test_a_stopped_run_goes_on_and_leaves_no_checkpoint(folder: Path, tmp_path: Path):
    def stop_in_the_third_run(label: str, seed: int, epochs: int, entry: object) -> None:
        if (label, seed) == ("erm", 1):
            raise Stopped

    def carried_out(**options: Any) -> Compared:
        return carry_out_comparison(COMPARISON, tmp_path, engine=Processes(1), checkpoint_minutes=1e-9, **options)

    with pytest.raises(Stopped):
        carried_out(tick=stop_in_the_third_run)
    checkpoint = tmp_path / "checkpoints" / "erm-seed1.safetensors"
    assert list((tmp_path / "checkpoints").iterdir()) == [checkpoint]
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(DataError, match="already holds a run that was stopped; add --resume to go on"):
        carried_out()
    other = replace(COMPARISON, settings=replace(COMPARISON.settings, learning_rate=0.01))
    with pytest.raises(DataError, match="holds 'erm' with other settings, data or code"):
        carry_out_comparison(other, tmp_path, resume=True, engine=Processes(1))
    assert measured(carried_out(resume=True)) == measured(read_comparison(folder))
    assert not checkpoint.parent.exists()


def test_the_checkpoint_of_a_finished_run_is_swept(tmp_path: Path):
    """Where the command was killed between the record and its removal."""
    carry_out_comparison(COMPARISON, tmp_path, engine=Processes(1))
    recipe = COMPARISON.recipes[0]
    Checkpoints(tmp_path).write(recipe, Unfinished(recipe.text, 1, 0, 1.0, {}))
    carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1))
    assert not (tmp_path / "checkpoints").exists()


def test_moved_data_are_the_same_data(tmp_path: Path):
    """By the digest of their content, wherever they lie; other content under the same path is refused."""

    def compared(table: Path) -> list[int]:
        told: list[int] = []
        comparison = replace(COMPARISON, data=TableFile(table, "y"), seeds=1)
        carry_out_comparison(
            comparison, tmp_path / "out", resume=True, engine=Processes(1), tick=lambda *said: told.append(said[2])
        )
        return told

    first, second = tmp_path / "t.csv", tmp_path / "its new place" / "t.csv"
    frame = pd.DataFrame({"a": [0.1 * k for k in range(60)], "y": ["no", "yes"] * 30})
    frame.to_csv(first, index=False)
    assert compared(first) == [1, 2, 1, 2]
    second.parent.mkdir()
    first.rename(second)
    assert compared(second) == [2, 2]  # both runs are there
    frame.assign(a=frame.a + 1).to_csv(second, index=False)
    with pytest.raises(DataError, match="with other settings, data or code"):
        compared(second)


def test_what_is_resumed_is_told_as_done(folder: Path):
    """So that a progress bar starts where the comparison was."""
    news = []
    found = carry_out_comparison(
        COMPARISON, folder, resume=True, engine=Processes(1), tick=lambda *said: news.append(said)
    )
    assert news == [(label, seed, 2, None) for label, seed in RUNS]
    assert measured(found) == measured(read_comparison(folder))


def test_runs_at_a_time_give_what_one_after_the_other_gives(folder: Path, tmp_path: Path):
    found = carry_out_comparison(COMPARISON, tmp_path, engine=Processes(2))
    in_turn = read_comparison(folder)
    assert [(record.method, record.seed) for record in found.results.records] == RUNS
    for label in METHODS:
        assert found.scores.values(label, "nll") == pytest.approx(in_turn.scores.values(label, "nll"), rel=1e-3)


def test_finished_runs_are_not_overwritten_and_other_settings_not_mixed_in(folder: Path):
    before = (folder / "results.json").stat().st_mtime_ns
    with pytest.raises(DataError, match=r"already holds a comparison; add --resume to go on, or give another --out"):
        carry_out_comparison(COMPARISON, folder, engine=Processes(1))
    for other in (
        replace(COMPARISON, settings=TrainingSettings(epochs=3)),
        replace(COMPARISON, methods={"sk_mixup": calmix.sk_mixup(tau_max=0.3)}),
        replace(COMPARISON, model=mlp),
        replace(COMPARISON, data=NamedSet("wine", train_size=90)),
    ):
        with pytest.raises(DataError, match=r"holds '(erm|sk_mixup)' with other settings"):
            carry_out_comparison(other, folder, resume=True, engine=Processes(1))
    assert (folder / "results.json").stat().st_mtime_ns == before


BLANK = Robustness(ood=(OODSet("notmnist"),))
BAD = [
    (replace(COMPARISON, data=NamedSet("no_such_set")), UnknownNameError, "no_such_set"),
    (replace(COMPARISON, model=resnet), SettingError, "use 'mlp'"),
    (replace(COMPARISON, data=NamedSet("wine", train_size=10_000)), calmix.CalmixError, "10,?000"),
    (replace(COMPARISON, methods={"cutmix": calmix.cutmix()}), ShapeError, "cutmix pastes boxes"),
    (replace(COMPARISON, robustness=BLANK), SettingError, "OOD sets are images, and wine is a table"),
    (replace(COMPARISON, robustness=Robustness(corruptions=("jpeg",))), SettingError, "and wine is a table"),
    (replace(COMPARISON, data=Noisy(NamedSet("digits"), HumanNoise("worse"))), SettingError, "known for cifar10 alone"),
    (replace(COMPARISON, data=Noisy(NamedSet("diabetes"), Symmetric(0.1))), SettingError, "diabetes is regression"),
]


@pytest.mark.parametrize(("comparison", "error", "message"), BAD)
def test_bad_input_writes_nothing(comparison: Comparison, error: type[Exception], message: str, tmp_path: Path):
    recipe = replace(comparison.recipes[0], label="x")
    with pytest.raises(error, match=message):
        carry_out_comparison(comparison, tmp_path / "new", engine=Processes(1))
    with pytest.raises(error, match=message):
        train_and_keep(recipe, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_numbers_and_labels_are_refused_at_once(tmp_path: Path):
    with pytest.raises(SettingError, match="workers must be at least 1; got 0"):
        carry_out_comparison(COMPARISON, tmp_path / "new", engine=Processes(0))
    with pytest.raises(SettingError, match="seeds must be at least 1; got 0"):
        replace(COMPARISON, seeds=0)
    with pytest.raises(SettingError, match="methods must be a dict of methods by label, at least one"):
        replace(COMPARISON, methods={})
    with pytest.raises(SettingError, match="two methods have the same name in files"):
        replace(COMPARISON, methods={"mixup(alpha=1)": calmix.mixup(), "mixup alpha 1": calmix.mixup()})
    with pytest.raises(SettingError, match=r"'mixup' must be a label and its method.*got <function"):
        replace(COMPARISON, methods={"mixup": calmix.mixup})
    with pytest.raises(UnknownNameError, match="unknown method to refer to 'sk_mixap'; did you mean 'sk_mixup'"):
        replace(COMPARISON, reference="sk_mixap")
    assert not (tmp_path / "new").exists()


def test_methods_that_do_not_fit_can_be_left_out():
    methods = {"erm": calmix.erm(), "cutmix": calmix.cutmix(), "rankmixup": calmix.rankmixup()}
    comparison, reasons = Comparison(NamedSet("diabetes"), methods, settings=QUICK, seeds=1).without_misfits()
    assert list(comparison.methods) == ["erm"]
    assert list(reasons) == ["cutmix", "rankmixup"]


def test_a_comparison_and_a_single_run_are_judged_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pixels = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(OOD_SETS, "blank", lambda data_dir: pixels.clone())
    data, asked = NamedSet("digits", train_size=100), Robustness(ood=(OODSet("blank"),), corruptions=("jpeg",))
    settings = TrainingSettings(epochs=1)
    comparison = Comparison(data, {"mixup": calmix.mixup()}, mlp, settings, seeds=1, robustness=asked)
    together = carry_out_comparison(comparison, tmp_path / "comparison", engine=Processes(1))
    recipe = Recipe(data, "mixup", calmix.mixup(), mlp, settings, robustness=asked)
    alone = train_and_keep(recipe, tmp_path / "single")
    assert measured(together) == measured(alone)
    assert together.results.records[0].recipe == alone.results.records[0].recipe
    arrays = np.load(tmp_path / "comparison" / "predictions" / "mixup-seed0.npz")
    assert arrays["ood_blank_logits"].shape == (30, 10)
    with pytest.raises(DataError, match="with other settings"):
        carry_out_comparison(
            replace(comparison, robustness=Robustness()), tmp_path / "comparison", resume=True, engine=Processes(1)
        )


def test_files_are_whole_or_absent(tmp_path: Path):
    def fail(file) -> None:  # pyright: ignore
        file.write(b"half")
        raise OSError("disk full")

    (tmp_path / "old.json").write_text("old")
    for name in ("old.json", "new.json"):
        with pytest.raises(DataError, match=f"cannot write .*{name}: disk full"):
            write_whole(tmp_path / name, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"
    assert read_record(tmp_path, "mixup", 0) is None


def test_a_run_that_is_not_whole_is_carried_out_again(folder: Path, tmp_path: Path):
    """With the same numbers, and nothing else is carried out."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "predictions" / "erm-seed0.npz").unlink()
    damaged = tmp_path / "predictions" / "sk_mixup-seed0.npz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (tmp_path / "runs" / "erm-seed1.json").write_text("{")
    told: list[tuple[str, int, int, Epoch | None]] = []
    found = carry_out_comparison(COMPARISON, tmp_path, True, Processes(1), tick=lambda *news: told.append(news))
    assert {(label, seed) for label, seed, epoch, _ in told if epoch == 1} == {*RUNS} - {("sk_mixup", 1)}
    assert measured(found) == measured(read_comparison(folder))
    found.page()  # reads all predictions


def test_a_comparison_goes_on_with_the_same_data_and_code_alone(tmp_path: Path):
    rows = load("wine").test
    table = pd.DataFrame(rows.x.numpy(), columns=[f"x{i}" for i in range(13)]).assign(y=rows.y.numpy().astype(str))
    table.to_csv(tmp_path / "a.csv", index=False)
    comparison = replace(COMPARISON, data=TableFile(tmp_path / "a.csv", "y"), seeds=1)
    carry_out_comparison(comparison, tmp_path / "out", engine=Processes(1))
    table.iloc[::-1].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="holds 'erm' with other settings, data or code"):
        carry_out_comparison(comparison, tmp_path / "out", resume=True, engine=Processes(1))
    table.to_csv(tmp_path / "a.csv", index=False)
    assert carry_out_comparison(comparison, tmp_path / "out", resume=True, engine=Processes(1)).results.seeds == 1


def test_a_folder_that_another_command_writes_to_is_left_alone(tmp_path: Path):
    hold = (
        "import sys, time; from pathlib import Path; from calmix.results.files import hold_folder\n"
        "with hold_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DataError, match="another command is writing to"):
            carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1))
        other.kill()
    assert not (tmp_path / "runs").exists()


def test_the_cost_is_measured_once_a_method(folder: Path):
    costs = {(run["method"], run["seed"]): run["relative_cost"] for run in stored(folder)["runs"]}
    assert [run for run, cost in costs.items() if cost is not None] == [("erm", 0), ("sk_mixup", 0)]


def test_a_cost_of_another_kind_of_machine_is_measured_again(folder: Path, tmp_path: Path):
    """Else one method's would be of a GPU, and another's of this processor; where it is not known, it stays."""
    out = tmp_path / "out"
    shutil.copytree(folder, out)

    def write(**machines: Machine | None) -> None:
        for label, machine in machines.items():
            record = read_record(out, label, 0)
            assert record is not None
            write_record(out, replace(record, relative_cost=77.0, cost_machine=machine))

    here = machine_of(TrainingSettings())
    write(erm=replace(here, name="another"), sk_mixup=None)
    results = carry_out_comparison(COMPARISON, out, resume=True, engine=Processes(1)).results
    costs = {(one.method, one.seed): (one.relative_cost, one.cost_machine) for one in results.records}
    assert costs["erm", 0] == (1.0, here)
    assert costs["sk_mixup", 0] == (77.0, None)
    write(sk_mixup=replace(here, torch="0.1"))  # of the same kind
    again = carry_out_comparison(COMPARISON, out, resume=True, engine=Processes(1)).results
    assert 77.0 in [one.relative_cost for one in again.records]


def test_a_cost_that_no_longer_counts_is_taken_away(folder: Path, tmp_path: Path):
    """Or the mean of a method's costs would be of two machines."""
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    last = read_record(out, "sk_mixup", 1)
    assert last is not None
    other = replace(machine_of(TrainingSettings()), name="another")
    write_record(out, replace(last, relative_cost=77.0, cost_machine=other))
    carry_out_comparison(COMPARISON, out, resume=True, engine=Processes(1))
    last = read_record(out, "sk_mixup", 1)
    assert last is not None
    assert (last.relative_cost, last.cost_machine) == (None, None)


def test_a_run_says_where_it_was_carried_out(folder: Path):
    here = asdict(machine_of(TrainingSettings()))
    assert [run["machine"] for run in stored(folder)["runs"]] == [here] * len(stored(folder)["runs"])
    assert set(here) == {"device", "name", "threads", "calmix", "torch", "python"}


# ---------------------------------------------------------------------------------------- with runs that fail


class Fails(nn.Module):
    """Fails with seed 1 in its sixth forward, which only a method with two forwards a step reaches."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 4), nn.Linear(4, outputs))
        self.seed, self.forwards = torch.initial_seed(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += self.training
        if self.seed == 1 and self.forwards == 6:
            raise RuntimeError("as it was told")
        return self.layers(x)


def fails(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Fails(shape[0], outputs)


def test_what_a_failed_run_leaves_out_is_told_everywhere(tmp_path: Path):
    comparison = replace(COMPARISON, model=fails, seeds=3)
    found = carry_out_comparison(comparison, tmp_path, engine=Processes(1))
    [failure] = found.results.failures
    assert (failure.method, failure.seed) == ("sk_mixup", 1)
    assert failure.reason.startswith("RuntimeError: as it was told")
    assert (found.results.seeds, found.scores.seeds_of("erm"), found.scores.seeds_of("sk_mixup")) == (2, [0, 2], [0, 2])
    assert found.scores.difference("sk_mixup", "erm", "ece").count == 2
    assert len(pd.read_csv(tmp_path / "results.csv")) == 5  # every finished run
    said = "1 of 6 runs failed (sk_mixup); methods are compared on the 2 seeds that all of them finished."
    assert said in " ".join(found.verdict.cautions)
    again = read_comparison(tmp_path)
    assert again.results.failures == found.results.failures
    page = again.write_report(tmp_path).read_text()
    assert "Missing: sk_mixup with seed 1: RuntimeError: as it was told" in page
    whole = carry_out_comparison(replace(comparison, model=fails), tmp_path, resume=True, engine=Processes(1))
    assert len(whole.results.failures) == 1  # it is tried again


def test_where_no_seed_is_whole_there_is_nothing_to_compare(tmp_path: Path):
    settings = TrainingSettings(epochs=9, learning_rate=1e20)
    with pytest.raises(DataError, match=r"2 of 2 runs failed, .* erm with seed 0: training diverged in epoch \d"):
        carry_out_comparison(
            Comparison(NamedSet("diabetes"), METHODS, None, settings, 1), tmp_path, engine=Processes(1)
        )
    assert list(tmp_path.rglob("*.*")) == []


# --------------------------------------------------------------------------------------------- from Python

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(120, 4, generator=GENERATOR)
Y = (X[:, 0] + 0.3 * torch.randn(120, generator=GENERATOR) > 0).long()
PAIR = {"erm": calmix.erm(), "mixup": calmix.mixup()}


def compared(data: object = (X, Y), **given: object) -> Compared:
    return calmix.compare(data=data, **{"methods": PAIR, "seeds": 2, "settings": QUICK, **given})  # pyright: ignore


class Rows(torch.utils.data.Dataset):
    """A map-style data set of (x, y, something else)."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> tuple[Tensor, int, str]:
        return X[row], int(Y[row]), "more"


FRAME = pd.DataFrame(X.numpy(), columns=list("abcd")).assign(kind=np.where(Y.numpy() == 1, "yes", "no"))


def test_the_same_rows_give_the_same_numbers_however_they_are_held():
    tensors = measured(compared())
    assert tensors == measured(compared((X.numpy(), Y.numpy())))
    assert tensors == measured(compared(TensorDataset(X, Y)))
    assert tensors == measured(compared(Rows()))


def test_a_table_and_finished_splits_are_compared():
    frame = compared(FRAME, target="kind")
    assert (frame.results.facts.data.classes, frame.results.facts.data.features) == (("no", "yes"), tuple("abcd"))
    splits: Splits = load("wine")
    fixed = compared(splits)
    assert fixed.results.facts.data.name == "wine"
    labels = [fixed.predictions_of(record)["labels"] for record in fixed.results.records]
    assert all(np.array_equal(one, splits.test.y.numpy()) for one in labels)  # whatever the seed


def test_values_are_regressed():
    found = compared((X, X[:, 0] * 10 + 3))
    assert found.results.regression
    assert found.table().columns.tolist() == ["RMSE", "MAE", "R²", "Cost, × plain training"]


def test_the_same_numbers_in_memory_and_in_a_folder(tmp_path: Path):
    inside, outside = compared(), compared(out=tmp_path / "out")
    read = read_comparison(tmp_path / "out")
    assert measured(inside) == measured(outside) == measured(read)
    assert (inside.table().drop(columns="Cost, × plain training")).equals(
        outside.table().drop(columns="Cost, × plain training")
    )
    assert outside.table().equals(read.table())
    record = inside.results.records[3]
    assert np.array_equal(inside.predictions_of(record)["probs"], read.predictions_of(record)["probs"])
    again = compared(out=tmp_path / "out", resume=True)
    assert again.table().equals(read.table())


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert compared(seeds=1).scores.seeds == [0]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def in_memory() -> Compared:
    return compared()


def test_scores_are_a_tidy_table_and_the_means_are_theirs(in_memory: Compared):
    frame = in_memory.scores.frame
    assert frame.columns.tolist() == ["method", "seed", "condition", "metric", "value"]
    own = frame[(frame["condition"] == "plain") & (frame["metric"] == "ece")]
    table = in_memory.table()
    assert table.index.tolist() == ["erm", "mixup"]
    for method in PAIR:
        mean = own[own["method"] == method]["value"].mean()
        assert table.loc[method, "ECE, %"] == pytest.approx(100 * mean)


def test_a_notebook_shows_the_verdict_and_the_table(in_memory: Compared):
    shown = in_memory._repr_html_()
    assert in_memory.verdict.headline in shown
    assert f"{in_memory.table().loc['mixup', 'Accuracy, %']:.1f}" in shown
    assert "<table" in shown
    assert str(in_memory.verdict).startswith(in_memory.verdict.headline)


def test_names_do_not_become_markup_in_a_notebook():
    found = compared(methods={"<b>mine</b>": calmix.mixup(), "erm": calmix.erm()}, seeds=1)
    assert "<b>mine" not in found._repr_html_()
    assert "&lt;b&gt;mine" in found._repr_html_()


def test_a_report_is_written_where_one_asks_for_it(in_memory: Compared, tmp_path: Path):
    page = in_memory.write_report(tmp_path / "new")
    assert page == tmp_path / "new" / "report.html"
    assert in_memory.verdict.headline in page.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert (tmp_path / "new" / "figures" / "accuracy-ece.csv").exists()


def test_any_callable_that_makes_a_network_is_a_factory():
    made = []

    def own(outputs: int) -> nn.Module:
        made.append(nn.Linear(4, outputs))
        return made[-1]

    assert compared(model=own).results.facts.model == "own"
    assert len({id(network) for network in made}) == len(made) > 4  # a new one for each run
    anonymous = compared(model=lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    assert anonymous.results.facts.model == "<lambda>"
    assert " at 0x" not in anonymous.results.records[0].recipe


def test_runs_of_a_seed_share_splits_and_methods_differ_in_training_alone():
    found = compared(methods={"one": calmix.mixup(), "same": calmix.mixup(), "erm": calmix.erm()})
    one, same = (found.results.of_method(label) for label in ("one", "same"))
    assert [record.metrics for record in one] == [record.metrics for record in same]
    assert found.scores.difference("one", "same", "nll").mean == 0
    labels = {(r.method, r.seed): found.predictions_of(r)["labels"].tolist() for r in found.results.records}
    assert labels["one", 0] == labels["erm", 0] != labels["one", 1]


@pytest.mark.parametrize("y", [Y[:60], X[:60, 0]])
def test_without_methods_it_is_those_that_are_recommended_for_the_task(y: torch.Tensor):
    found = calmix.compare(data=(X[:60], y), seeds=1, settings=TrainingSettings(epochs=1))
    kernel = "(tau_max=0.0001, tau_std=0.5)" if y.is_floating_point() else ""
    papers = ["erm", "mixup", f"sk_mixup{kernel}", "mixup_e", f"sk_mixup_e{kernel}"]
    assert found.results.methods == (papers if y.is_floating_point() else [*papers, "auto"])
    assert found.results.reference == "mixup"


def test_auto_is_no_default_where_no_rows_are_held_back_to_validate_with():
    splits = Arrays(X, Y).splits(0)
    without = replace(splits, validation=splits.validation.part(slice(0)))
    found = calmix.compare(data=without, seeds=1, settings=TrainingSettings(epochs=1))
    assert found.results.methods == ["erm", "mixup", "sk_mixup", "mixup_e", "sk_mixup_e"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": None}, "compare needs data="),
        ({"data": FRAME}, "a DataFrame needs target="),
        ({"target": "kind"}, "target= is for a DataFrame; got tuple"),
        ({"data": "digits"}, "data must be Splits, a source, .* got str"),
        ({"model": nn.Linear(4, 2)}, "model must be a factory, .* got Linear"),
        ({"model": lambda width: nn.Linear(4, width)}, "needs width; for rows .* a factory is given shape, outputs"),
        ({"model": lambda: 3}, "made int, not an nn.Module"),
        ({"data": (X, Y[:-1])}, "as many"),
        ({"data": (X, 2 * Y)}, "class ids must be 0 .. K - 1"),
        ({"resume": True}, "resume goes on in a folder; give out, too"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"checkpoint_minutes": 0.0, "out": "new"}, "checkpoint_minutes must be a positive number; got 0"),
        ({"run_timeout": 0.0}, "run_timeout must be a positive number; got 0"),
        ({"loggers": ("cvs",), "out": "new"}, "unknown logger 'cvs'"),
        ({"workers": 2, "model": lambda: nn.Linear(4, 2)}, "cannot be sent to them"),
        ({"reference": "sk_mixup"}, "unknown method to refer to 'sk_mixup'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(given: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(calmix.CalmixError, match=message):
        compared(**given)


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


def of_width(width: int) -> "object":
    return lambda shape, outputs: nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, outputs))


def test_another_network_is_not_taken_for_the_stored_one(tmp_path: Path):
    """Also where the two functions have the same name and the same code."""
    compared(model=of_width(1), seeds=1, out=tmp_path)
    assert compared(model=of_width(1), seeds=1, out=tmp_path, resume=True).results.seeds == 1
    with pytest.raises(DataError, match="holds 'erm' with other settings"):
        compared(model=of_width(20), seeds=1, out=tmp_path, resume=True)


SCRIPT = """
import sys
import calmix
from torch import nn

def network(shape, outputs):
    return nn.Linear(shape[0], outputs)

if __name__ == "__main__":
    methods = {"erm": calmix.erm(), "mixup": calmix.mixup()}
    options = {"seeds": 1, "settings": calmix.TrainingSettings(epochs=1), "out": "out", "workers": 2}
    source = calmix.data.NamedSet("wine")
    calmix.compare(network, source, methods, **options)
    print(calmix.compare(network, source, methods, **options, resume=True).results.methods)
"""


def test_a_script_with_workers_is_resumed(tmp_path: Path):
    """Its factory has another module's name in the workers."""
    (tmp_path / "script.py").write_text(SCRIPT)
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['erm', 'mixup']"


NOWHERE = """
import calmix
from torch import nn
def network(shape, outputs):
    return nn.Linear(shape[0], outputs)
calmix.compare(network, calmix.data.NamedSet("wine"), {"erm": calmix.erm()}, seeds=2, workers=2)
"""


def test_a_factory_that_workers_cannot_find_is_advice():
    """That of a console or a notebook, which is in no module."""
    found = subprocess.run([sys.executable, "-c", NOWHERE], capture_output=True, text=True, check=False)
    assert "the model's factory must stand in a module" in found.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "methods",
    [{"erm": calmix.mixup()}, {"baseline": calmix.erm(), "mixup": calmix.mixup()}, [calmix.erm()], {1: calmix.erm()}],
)
def test_labels_that_would_mislead_are_refused(methods: object):
    with pytest.raises(
        SettingError, match=r"label plain training, calmix.erm\(\), 'erm'|methods must be|must be a label"
    ):
        compared(methods=methods)


def test_regression_is_not_measured_on_corrupted_images():
    x, y = torch.rand(40, 1, 8, 8), torch.rand(40)
    with pytest.raises(SettingError, match="OOD sets and corruptions are for classes, and data is regression"):
        compared((x, y), robustness=Robustness(corruptions=("contrast",)))


@pytest.mark.parametrize(("name", "kind"), [("diagnosis.json", "a diagnosis"), ("metrics.json", "an evaluation")])
def test_results_of_another_kind_are_not_resumed(name: str, kind: str, tmp_path: Path):
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=f"holds {kind}; give another --out"):
        carry_out_comparison(COMPARISON, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


# ---------------------------------------------------------------------------- labels with settings of their own

LONGER = Comparison(
    Arrays(X, Y),
    {"erm": calmix.erm(), "mixup": calmix.mixup(), "mixup_longer": calmix.mixup()},
    mlp,
    QUICK,
    2,
    own_settings={"mixup_longer": replace(QUICK, epochs=5)},
)


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("longer")
    carry_out_comparison(LONGER, out)
    return out


def test_runs_of_a_label_have_the_epochs_that_were_asked_for(longer: Path):
    found = read_results(longer)
    epochs = {(run.method, run.seed): [epoch.number for epoch in run.history] for run in found.records}
    for seed in (0, 1):
        assert epochs["erm", seed] == epochs["mixup", seed] == [*range(1, QUICK.epochs + 1)]
        assert epochs["mixup_longer", seed] == [1, 2, 3, 4, 5]
    assert read_comparison(longer).write_report(longer).is_file()


def test_a_longer_run_is_that_of_its_epochs_alone(longer: Path):
    recipe = Recipe(Arrays(X, Y), "mixup_longer", calmix.mixup(), mlp, replace(QUICK, epochs=5), seed=1)
    (record,) = (run for run in read_results(longer).of_method("mixup_longer") if run.seed == 1)
    assert record.recipe == recipe.text
    assert record.metrics == run(recipe).record.metrics


def test_runs_of_other_epochs_are_resumed_and_told_as_done(longer: Path):
    before = {path: path.stat().st_mtime_ns for path in (longer / "runs").iterdir()}
    told: list[tuple[str, int, int]] = []
    carry_out_comparison(
        LONGER, longer, resume=True, tick=lambda label, seed, count, _: told.append((label, seed, count))
    )
    assert {path: path.stat().st_mtime_ns for path in (longer / "runs").iterdir()} == before
    done = {"erm": QUICK.epochs, "mixup": QUICK.epochs, "mixup_longer": 5}
    assert sorted(told) == sorted((label, seed, count) for label, count in done.items() for seed in (0, 1))
    with pytest.raises(DataError, match="'mixup_longer' with other settings"):
        carry_out_comparison(
            replace(LONGER, own_settings={"mixup_longer": replace(QUICK, epochs=6)}), longer, resume=True
        )


def test_settings_of_a_label_that_is_not_compared_are_refused():
    with pytest.raises(UnknownNameError, match="unknown label 'mixup_long'; did you mean 'mixup_longer'"):
        replace(LONGER, own_settings={"mixup_long": QUICK})


def test_labels_of_other_rates_are_read_again_and_told_apart(tmp_path: Path):
    methods = {"erm": calmix.erm(), "mixup": calmix.mixup()}
    slow = replace(QUICK, learning_rate=1e-6, weight_decay=0.0, average="ema")
    asked = Comparison(Arrays(X, Y), methods, mlp, QUICK, 1, own_settings={"mixup": slow})
    made = carry_out_comparison(asked, tmp_path)
    found = {run.method: run for run in read_results(tmp_path).records}
    for label, settings in (("erm", QUICK), ("mixup", slow)):
        assert found[label].recipe == Recipe(Arrays(X, Y), label, methods[label], mlp, settings, 0).text
    assert read_comparison(tmp_path).table().equals(made.table())


def test_a_method_that_does_not_fit_takes_its_settings_along():
    methods = {"erm": calmix.erm(), "cutmix": calmix.cutmix()}
    longer = {"cutmix": replace(QUICK, epochs=3), "erm": replace(QUICK, epochs=4)}
    asked = Comparison(NamedSet("diabetes"), methods, settings=QUICK, seeds=1, own_settings=longer)
    comparison, _ = asked.without_misfits()
    assert comparison.own_settings == {"erm": replace(QUICK, epochs=4)}


def test_the_table_of_passes_with_dropout_says_how_honest_their_spread_is():
    settings = TrainingSettings(epochs=2, device="cpu", dropout_passes=4)
    found = calmix.compare(dropout_mlp, NamedSet("diabetes"), {"erm": calmix.erm()}, seeds=2, settings=settings)
    shown = found.table().loc["erm"]
    assert list(shown.index) == [
        "RMSE",
        "MAE",
        "R²",
        "ENCE, %",
        "ENCE after variance scaling, %",
        "Cost, × plain training",
    ]
    means = found.scores.interval("erm", "ence", "scaled").mean
    assert shown["ENCE after variance scaling, %"] == pytest.approx(100 * means)
