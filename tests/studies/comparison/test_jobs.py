"""A comparison in parts: planned as a list, worked off by several processes, gathered; the same as in one piece."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calmix
from calmix.cli import main
from calmix.data import NamedSet
from calmix.engines import Processes
from calmix.errors import DataError, SettingError
from calmix.report import page as pages
from calmix.results import jobs as listed
from calmix.results.files import Claims, hold_folder
from calmix.results.jobs import Job, Jobs, read_jobs, same_run
from calmix.results.records import Failure, read_failure, write_failure
from calmix.studies.comparison.jobs import gather, plan_jobs, work
from calmix.studies.comparison.runs import Ended
from calmix.studies.comparison.study import Comparison, carry_out_comparison
from calmix.studies.comparison.tables import summary_table
from calmix.train import Recipe, TrainingSettings
from calmix.train.recipe import texts

METHODS = {"erm": calmix.erm(), "sk_mixup": calmix.sk_mixup()}
COMPARISON = Comparison(NamedSet("wine"), METHODS, settings=TrainingSettings(epochs=2), seeds=2)
ASKED = ["wine", "--methods", "erm", "sk_mixup", "--seeds", "2", "--epochs", "2", "--workers", "1"]
TIMES = ("train_seconds", "waited_seconds", "relative_cost", "cost_machine")


def test_of_paths_only_the_folders_of_data_do_not_count():
    made = "Recipe(data=Folds(TableFile(path={!r}, test={!r}), 5) 5eb6, label='erm', robustness=Robustness(ood={!r}))"
    paths = [Path("/old/a.csv"), Path("/old/b.csv"), Path("/old/images")]
    moved = [Path("other/place/a.csv"), Path("b.csv"), paths[2]]
    text = made.format(*paths)
    assert same_run(text, made.format(*moved))
    for others in ([Path("/old/c.csv"), *paths[1:]], [paths[1], paths[0], paths[2]], [*paths[:2], Path("/new/images")]):
        assert not same_run(text, made.format(*others))
    assert not same_run(text, text.replace("5eb6", "6eb5"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their figures, which take most of a command's time."""
    monkeypatch.setattr(
        pages, "_drawn", lambda *given: {"name": "x", "uri": "", "alt": "", "width": "1", "height": "1", "looks": ""}
    )


@pytest.fixture(scope="module")
def in_one_piece(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole")
    carry_out_comparison(COMPARISON, out, engine=Processes(1))
    return records(out)


def records(out: Path) -> dict[str, Any]:
    """What does not depend on the clock: records, and the content of predictions."""
    found: dict[str, Any] = {}
    for path in sorted((out / "runs").iterdir()):
        record = json.loads(path.read_text())
        found[path.name] = {name: value for name, value in record.items() if name not in TIMES}
    for path in sorted((out / "predictions").iterdir()):
        with np.load(path) as arrays:
            found[path.name] = {name: arrays[name].tobytes() for name in arrays}
    return found


def planned(out: Path, comparison: Comparison = COMPARISON) -> Jobs:
    return plan_jobs(comparison, out, False, ["calmix", "compare", *ASKED])


def worked(out: Path, jobs: Jobs, *numbers: int) -> Ended:
    return work(COMPARISON, jobs, jobs.chosen(list(numbers), None), out, Processes(1))


def named(ended: Ended) -> tuple[list[str], list[str], list[str], list[str]]:
    lists = ended.here, ended.before, ended.elsewhere, ended.failures
    here, before, elsewhere, failures = ([f"{one.method} {one.seed}" for one in runs] for runs in lists)
    return here, before, elsewhere, failures


def test_parts_end_in_what_one_piece_ends_in(tmp_path: Path, in_one_piece: dict[str, Any]):
    jobs = planned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.json"]
    lines = (tmp_path / "jobs.json").read_text().splitlines()
    assert [json.loads(line.strip(" ,"))["job"] for line in lines if '"hash"' in line] == [1, 2, 3, 4]
    assert read_jobs(tmp_path) == jobs
    assert named(worked(tmp_path, jobs, 2)) == (["sk_mixup 0"], [], [], [])
    assert named(worked(tmp_path, jobs, 4, 2, 3)) == (["sk_mixup 1", "erm 1"], ["sk_mixup 0"], [], [])
    assert named(worked(tmp_path, jobs, 1))[0] == ["erm 0"]
    assert records(tmp_path) == in_one_piece
    found = carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1))
    assert records(tmp_path) == in_one_piece
    assert (found.results.failures, found.results.seeds) == ((), 2)


def test_a_finished_run_is_not_carried_out_again(tmp_path: Path):
    jobs = planned(tmp_path)
    worked(tmp_path, jobs, 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert named(worked(tmp_path, jobs, 1)) == ([], ["erm 0"], [], [])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_a_run_that_another_process_carries_out_is_left_to_it(tmp_path: Path):
    jobs = planned(tmp_path)
    others = Claims(tmp_path)
    assert others.take("erm-seed0")
    assert named(worked(tmp_path, jobs, 1, 2)) == (["sk_mixup 0"], [], ["erm 0"], [])
    found = gather(COMPARISON, jobs, tmp_path)
    reasons = {(one.method, one.seed): one.reason for one in found.results.failures}
    assert "another command is carrying it out" in reasons["erm", 0]
    assert f"it has not been carried out; calmix work {tmp_path} --job 4 does so" in reasons["sk_mixup", 1]
    again = carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1))
    assert [(one.method, one.seed) for one in again.results.failures] == [("erm", 0)]
    others.release_all()
    assert carry_out_comparison(COMPARISON, tmp_path, resume=True, engine=Processes(1)).results.failures == ()
    assert list(tmp_path.rglob("*.lock")) == []


def test_what_a_living_worker_is_writing_is_not_swept(tmp_path: Path):
    """But what a killed one left is, as its claim has ended with it."""
    (tmp_path / "runs").mkdir()
    half_written = tmp_path / "runs" / ".calmix-0.tmp"
    half_written.touch()
    (tmp_path / "runs" / ".mixup-seed0.lock").touch()  # of a process that was killed
    others = Claims(tmp_path)
    assert others.take("erm-seed0")
    with hold_folder(tmp_path):
        assert half_written.exists()
    others.release("erm-seed0")
    with hold_folder(tmp_path):
        assert list((tmp_path / "runs").iterdir()) == []


def test_nothing_is_trained_where_jobs_are_gathered(tmp_path: Path):
    jobs = planned(tmp_path)
    with pytest.raises(DataError, match="4 of 4 runs failed, so there is nothing to compare"):
        gather(COMPARISON, jobs, tmp_path)
    worked(tmp_path, jobs, 1, 2, 3)
    found = gather(COMPARISON, jobs, tmp_path)
    assert [(one.method, one.seed) for one in found.results.failures] == [("sk_mixup", 1)]
    assert found.results.seeds == 1
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_the_reason_of_a_job_that_failed_is_kept_until_it_succeeds(tmp_path: Path):
    wild = replace(COMPARISON, data=NamedSet("diabetes"), settings=TrainingSettings(epochs=9, learning_rate=1e20))
    jobs = planned(tmp_path, wild)
    [failure] = work(wild, jobs, jobs.jobs[:1], tmp_path, Processes(1)).failures
    assert "training diverged" in failure.reason
    assert read_failure(tmp_path, "erm", 0) == failure
    assert read_failure(tmp_path, "sk_mixup", 0) is None
    with pytest.raises(DataError, match="erm with seed 0: training diverged"):
        gather(wild, jobs, tmp_path)
    shutil.rmtree(tmp_path)
    jobs = planned(tmp_path)
    write_failure(tmp_path, failure)
    worked(tmp_path, jobs, 1)
    assert read_failure(tmp_path, "erm", 0) is None


def test_another_run_than_the_one_planned_is_refused(tmp_path: Path):
    jobs = planned(tmp_path)
    other = replace(COMPARISON, settings=replace(COMPARISON.settings, batch_size=32))
    with pytest.raises(DataError, match="erm with seed 0 is another run here than the one in"):
        work(other, jobs, jobs.jobs, tmp_path, Processes(1))
    for wrong in (replace(COMPARISON, seeds=3), replace(COMPARISON, methods={"erm": calmix.erm()})):
        with pytest.raises(DataError, match="lists other runs than its command makes here"):
            work(wrong, jobs, jobs.jobs, tmp_path, Processes(1))
    assert not (tmp_path / "runs").exists()


def test_a_plan_does_not_overwrite_runs_and_waits_for_no_command(tmp_path: Path):
    jobs = planned(tmp_path)
    worked(tmp_path, jobs, 1)
    with pytest.raises(DataError, match="already holds finished runs; add --resume"):
        planned(tmp_path)
    assert plan_jobs(COMPARISON, tmp_path, True, jobs.command) == jobs


@pytest.mark.parametrize(
    ("numbers", "shard", "message"),
    [
        ([0], None, "there is no job 0; the jobs are 1 to 5"),
        ([6], None, "there is no job 6; the jobs are 1 to 5"),
        ([1], "1/2", "--job and --shard exclude each other"),
        (None, "0/2", "the shard is '0/2'; give one such as 3/20"),
        (None, "3/2", "the shard is '3/2'"),
        (None, "1", "the shard is '1'"),
        (None, "a/b", "the shard is 'a/b'"),
    ],
)
def test_jobs_that_do_not_exist_are_refused(numbers: list[int] | None, shard: str | None, message: str):
    jobs = Jobs((), {}, tuple(Job(number, "erm", number, "") for number in range(1, 6)))
    with pytest.raises(SettingError, match=message):
        jobs.chosen(numbers, shard)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_shards_are_all_jobs_once(count: int):
    jobs = Jobs((), {}, tuple(Job(number, "erm", number, "") for number in range(1, 6)))
    shards = [jobs.chosen(None, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(job.job for shard in shards for job in shard) == [1, 2, 3, 4, 5]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert jobs.chosen(None, None) == list(jobs.jobs)


@pytest.mark.usefixtures("no_figures")
def test_the_command_plans_works_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_one_piece: dict[str, Any]
):
    out = str(tmp_path / "my grid")
    main(["compare", *ASKED, "--out", out, "--plan"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"in the end: calmix report '{out}'",
        f"plan: {out}/jobs.json",
    ]
    main(["work", out, "--shard", "2/2"])
    main(["work", out, "--job", "1", "2", "--quiet"])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"runs in {out}: 2 carried out, 0 finished before, 0 left to others",
        f"runs in {out}: 1 carried out, 1 finished before, 0 left to others",
    ]
    with pytest.raises(SystemExit) as stopped:
        main(["report", out])
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    missing = f"Missing: erm with seed 1: it has not been carried out; calmix work '{out}' --job 3 does so."
    assert missing in " ".join(printed.out.split())
    assert f"calmix: 1 run is missing; calmix work '{out}' carries out what is left." in printed.err
    main(["work", out])
    main(["report", out, "--reference", "sk_mixup"])
    assert records(tmp_path / "my grid") == in_one_piece
    results = json.loads((tmp_path / "my grid" / "results.json").read_text())
    assert (results["failures"], len(results["runs"]), results["reference"]) == ([], 4, "sk_mixup")
    main(["report", out])  # from results.json alone
    main(["compare", *ASKED, "--out", out, "--resume"])
    assert records(tmp_path / "my grid") == in_one_piece


def test_gathering_takes_stored_runs_by_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else a network would be made for each of them; but other runs are refused as ever."""
    jobs = planned(tmp_path)
    worked(tmp_path, jobs, 1, 2, 3, 4)
    made: list[tuple[str, int]] = []
    real = Recipe.network
    monkeypatch.setattr(Recipe, "network", lambda recipe: made.append((recipe.label, recipe.seed)) or real(recipe))
    gather(COMPARISON, jobs, tmp_path)
    assert ("erm", 1) not in made
    assert ("sk_mixup", 1) not in made
    assert not list(tmp_path.glob("failures/*"))
    path = tmp_path / "runs" / "erm-seed1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "recipe": record["recipe"] + " "}))
    with pytest.raises(DataError, match="holds 'erm' with other settings, data or code"):
        gather(COMPARISON, jobs, tmp_path)


def test_jobs_are_not_gathered_with_other_code_or_data(tmp_path: Path):
    jobs = planned(tmp_path)
    worked(tmp_path, jobs, 1, 2)
    other = replace(COMPARISON, settings=TrainingSettings(epochs=3))
    with pytest.raises(DataError, match=r"erm with seed 0 is another run here than the one in .*jobs\.json"):
        gather(other, jobs, tmp_path)


def test_the_list_of_jobs_makes_one_network_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []
    real = Recipe.network
    monkeypatch.setattr(Recipe, "network", lambda one: made.append(one.seed) or real(one))
    assert list(texts(COMPARISON.recipes)) == [recipe.text for recipe in COMPARISON.recipes]
    assert made == [0, 1, 0, 0, 1, 1]
    others = [replace(COMPARISON.recipes[0], weights_seed=seed) for seed in (None, 5)]
    assert list(texts(others)) == [recipe.text for recipe in others]


def test_very_many_missing_runs_are_counted(tmp_path: Path):
    jobs = planned(tmp_path)
    worked(tmp_path, jobs, 1, 2)
    results = gather(COMPARISON, jobs, tmp_path).results
    assert len(results.failures) == 2
    assert not list(tmp_path.glob("failures/*"))  # nothing was carried out, so nothing failed
    many = replace(results, failures=[Failure("erm", seed, "so") for seed in range(1, 100_000)])
    notes = [note for note in summary_table(many).notes if note.startswith("Missing")]
    assert notes[:2] == ["Missing: erm with seed 1: so", "Missing: erm with seed 2: so"]
    assert notes[10:] == ["Missing: 99,989 more; results.json names all of them (failures)."]
    few = replace(results, failures=many.failures[:10])
    assert len([note for note in summary_table(few).notes if note.startswith("Missing")]) == 10


def test_all_that_fit_are_planned_and_worked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "grid")
    main(["compare", "diabetes", "--methods", "ALL", "--seeds", "1", "--epochs", "1", "--out", out, "--plan"])
    jobs = read_jobs(Path(out))
    assert jobs is not None
    assert 2 < len(jobs.methods) < len(calmix.METHODS)
    main(["work", out, "--job", "1"])
    assert "1 carried out" in capsys.readouterr().out


def test_other_versions_are_refused_unless_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    planned(tmp_path)
    for name in ("calmix", "torch", "python"):
        with monkeypatch.context() as patch:
            patch.setattr(listed, "versions", lambda name=name: {**versions, name: "0.0"})
            with pytest.raises(SystemExit) as stopped:
                main(["work", str(tmp_path), "--job", "1"])
            assert stopped.value.code == 2
            assert f"this machine has other versions than the machine of the comparison: {name} 0.0 for" in (
                capsys.readouterr().err
            )
            assert not (tmp_path / "runs").exists()
    monkeypatch.setattr(listed, "versions", lambda: {**versions, "torch": "0.0"})
    main(["work", str(tmp_path), "--job", "1", "--allow-mixed"])
    assert (tmp_path / "runs" / "erm-seed0.json").exists()


versions = listed.versions()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"command": [], "versions": {}, "jobs": []}', "it holds no comparison"),
        ('{"command": ["calmix", "compare"], "versions": {}, "jobs": [{"job": 1, "method": "erm"}]}', "is missing"),
        (
            '{"command": ["calmix", "compare"], "versions": {}, "jobs": '
            '[{"job": 2, "method": "erm", "seed": 0, "hash": ""}]}',
            "jobs are missing",
        ),
    ],
)
def test_a_damaged_list_is_named(tmp_path: Path, content: str, message: str):
    (tmp_path / "jobs.json").write_text(content)
    with pytest.raises(DataError, match=rf"jobs.json .*{message}.*; plan it again"):
        read_jobs(tmp_path)


RUN = "import sys; from calmix.cli import main; main(sys.argv[1:])"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGKILL")
def test_a_worker_that_is_killed_costs_no_run_and_frees_its_claim(tmp_path: Path):
    """The next one goes on from the checkpoint, to the record of a run that was left alone."""
    main(["compare", "wine", "--methods", "erm", "--seeds", "1", "--epochs", "150", "--batch-size", "8", "--plan",
          "--checkpoint-minutes", "0.001", "--out", str(tmp_path / "torn"), "--quiet"])  # fmt: skip
    shutil.copytree(tmp_path / "torn", tmp_path / "calm")
    command = [sys.executable, "-c", RUN, "work", str(tmp_path / "torn"), "--quiet"]
    checkpoint = tmp_path / "torn" / "checkpoints" / "erm-seed0.safetensors"
    with subprocess.Popen(command) as worker:
        while not checkpoint.exists():
            assert worker.poll() is None
            time.sleep(0.02)
        assert Claims(tmp_path / "torn").elsewhere("erm-seed0")
        os.kill(worker.pid, signal.SIGKILL)
    assert checkpoint.exists()
    assert not Claims(tmp_path / "torn").elsewhere("erm-seed0")
    for folder in ("torn", "calm"):
        main(["work", str(tmp_path / folder), "--quiet"])
    assert records(tmp_path / "torn") == records(tmp_path / "calm")
    assert not checkpoint.exists()
