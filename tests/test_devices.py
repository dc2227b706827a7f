"""The command on two devices, started by itself and by torchrun."""

import subprocess
import sys
from pathlib import Path

import pytest

from calmix.cli import main
from calmix.results.records import Record, read_record
from tests.processes import needs_ranks

TRAIN = ["train", "wine", "--method", "sk_mixup", "--epochs", "3", "--batch-size", "32", "--device", "cpu"]


def record_of(out: Path) -> Record:
    record = read_record(out, "sk_mixup", 0)
    assert record is not None
    return record


@needs_ranks
def test_two_devices_leave_what_one_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "two"
    main([*TRAIN, "--devices", "2", "--out", str(out), "--quiet"])
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"report: {out / 'report.html'}", f"network: {out} (for calmix predict)"]
    assert captured.err == ""
    record = record_of(out)
    assert "devices=2" in record.recipe
    assert len(record.history) == 3
    assert record.metrics["plain"]["accuracy"] > 0.5
    assert (out / "model.safetensors").exists()
    before = (out / "results.json").read_bytes()
    main([*TRAIN, "--devices", "2", "--out", str(out), "--quiet", "--resume"])  # trains nothing
    assert (out / "results.json").read_bytes() == before


def torchrun(*command: str, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return subprocess.run([*start, *command], capture_output=True, text=True, check=False)


@needs_ranks
@pytest.mark.slow
def test_torchrun_gives_the_same_run(tmp_path: Path):
    main([*TRAIN, "--devices", "2", "--out", str(tmp_path / "own"), "--quiet"])
    done = torchrun("-m", "calmix.cli", *TRAIN, "--devices", "2", "--out", str(tmp_path / "torchrun"), "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2  # of rank 0 alone
    own, other = (record_of(tmp_path / name) for name in ("own", "torchrun"))
    assert own.metrics == other.metrics
    assert [epoch.train for epoch in own.history] == [epoch.train for epoch in other.history]


# rank 1 is lost in the second epoch, and, when all were started anew, rank 0 in the third
KILLED = """
import os, signal, sys
from calmix.cli import main
from calmix.train.module import Module
rank, start = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
train = Module.training_step
def training_step(module, batch, batch_idx):
    if (rank, start, module.current_epoch) in (("1", "0", 1), ("0", "1", 2)) and batch_idx == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(module, batch, batch_idx)
Module.training_step = training_step
main(sys.argv[1:])
"""


@needs_ranks
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lost_rank_is_replaced_and_the_run_ends_as_one_that_was_left_alone(tmp_path: Path):
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    two = [*TRAIN, "--devices", "2", "--quiet"]
    main([*two, "--out", str(tmp_path / "calm")])
    resumed = ["--out", str(tmp_path / "torn"), "--resume", "--checkpoint-minutes", "1e-9"]  # after every step
    done = torchrun(str(tmp_path / "killed.py"), *two, *resumed, restarts=2)  # no failure more than the two kills
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("exitcode: -9") == 2
    assert not any(
        word in done.stderr for word in ("Traceback", "terminate called", "a fault of calmix", "connectFull")
    )
    calm, torn = (record_of(tmp_path / name) for name in ("calm", "torn"))
    assert torn.metrics == calm.metrics
    assert [epoch.train for epoch in torn.history] == [epoch.train for epoch in calm.history]
    assert [epoch.validation for epoch in torn.history] == [epoch.validation for epoch in calm.history]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("calm", "torn")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("command", ["train", "compare"])
def test_torchrun_s_processes_must_be_the_devices(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        main([command, "wine", "--devices", "2", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    expected = {
        "train": "torchrun started 3 processes: give --devices 3, or let torchrun start 2",
        "compare": "torchrun is for calmix train; calmix compare starts the processes of --devices itself",
    }
    assert expected[command] in said
    assert not (tmp_path / "out").exists()
