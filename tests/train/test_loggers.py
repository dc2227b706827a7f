"""What loggers write of a run: each epoch once, wherever the run was stopped; and no number depends on them."""

import csv
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import calmix
from calmix.cli import COMMANDS, main
from calmix.data import NamedSet
from calmix.errors import SettingError, UnknownNameError
from calmix.results.records import Epoch
from calmix.train import Checkpoints, Loggers, Recipe, Trained, TrainingSettings, train
from calmix.train.loggers import LOGGERS, check_loggers

SETTINGS = TrainingSettings(epochs=4, batch_size=22, device="cpu")  # 5 steps an epoch on wine
RECIPE = Recipe(NamedSet("wine"), "sk_mixup(tau_max=0.5)", calmix.sk_mixup(tau_max=0.5), settings=SETTINGS, seed=3)
FOLDER = "sk_mixup-tau_max-0.5-seed3"
ALWAYS = 1e-9  # minutes: after every step


class Stopping(Exception):
    """What ends a training in these tests."""


def stop_after(number: int):
    def stop(epoch: Epoch, model: nn.Module) -> None:
        if epoch.number == number:
            raise Stopping

    return stop


def table(path: Path) -> list[dict[str, float]]:
    """The numbers of a CSV file, by column; a column without a number in a row is not in it."""
    with (path / "metrics.csv").open(newline="") as file:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def curves(path: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard reads: numbers by tag and step. No step may stand twice."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(path), purge_orphaned_data=False)
    found.Reload()
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    assert all(len({one.step for one in ones}) == len(ones) for ones in scalars.values())
    return {tag: {one.step: one.value for one in ones} for tag, ones in scalars.items()}


def same(one: Trained, other: Trained) -> bool:
    first, second = one.model.state_dict(), other.model.state_dict()
    return one.history == other.history and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def undisturbed() -> Trained:
    return train(RECIPE)


def installed(*names: str) -> Loggers:
    if "tensorboard" in names:
        pytest.importorskip("tensorboard")
    return Loggers(Path(), names)


@pytest.mark.parametrize("names", [("csv",), ("tensorboard",), ("csv", "tensorboard")])
def test_a_run_is_the_same_with_and_without(names: tuple[str, ...], tmp_path: Path, undisturbed: Trained):
    assert same(train(RECIPE, loggers=replace(installed(*names), folder=tmp_path)), undisturbed)


def expected(history: tuple[Epoch, ...]) -> list[dict[str, float]]:
    """Without the time."""
    return [
        {
            "step": epoch.number,
            **{f"train/{name}": value for name, value in epoch.train.items()},
            **{f"validation/{name}": value for name, value in epoch.validation.items()},
            # the cosine of the epoch's last step: the first of all is step 0
            "learning_rate": 0.05 * (1 + math.cos(math.pi * (5 * epoch.number - 1) / 20)),
        }
        for epoch in history
    ]


def check_table(folder: Path, history: tuple[Epoch, ...]) -> None:
    rows = table(folder / "logs" / FOLDER)
    for row in rows:
        assert 0 < row.pop("seconds_waited") < 1
    assert rows == [pytest.approx(row, abs=1e-12) for row in expected(history)]


def test_csv_holds_each_epoch_and_the_recipe(tmp_path: Path, undisturbed: Trained):
    train(RECIPE, loggers=Loggers(tmp_path, ("csv",)))
    check_table(tmp_path, undisturbed.history)
    facts = yaml.safe_load((tmp_path / "logs" / FOLDER / "hparams.yaml").read_text())
    assert {name: facts[name] for name in ("data", "method", "model", "seed", "epochs", "learning_rate")} == {
        "data": "wine", "method": RECIPE.label, "model": "mlp", "seed": 3, "epochs": 4, "learning_rate": 0.1,
    }  # fmt: skip
    assert eval(facts["method_in_full"], dict(vars(calmix.parts))) == RECIPE.method
    assert sorted(path.name for path in (tmp_path / "logs").rglob("*")) == ["hparams.yaml", "metrics.csv", FOLDER]


def test_an_epoch_is_in_the_file_as_soon_as_it_has_ended(tmp_path: Path):
    counts = []
    train(
        RECIPE,
        lambda epoch, model: counts.append(len(table(tmp_path / "logs" / FOLDER))),
        loggers=Loggers(tmp_path, ("csv",)),
    )
    assert counts == [1, 2, 3, 4]


def test_tensorboard_holds_each_epoch_and_the_recipe_with_its_last_numbers(tmp_path: Path, undisturbed: Trained):
    train(RECIPE, loggers=replace(installed("tensorboard"), folder=tmp_path))
    found = curves(tmp_path / "logs" / FOLDER)
    for row in expected(undisturbed.history):
        for name in row.keys() - {"step"}:
            assert found[name][int(row["step"])] == pytest.approx(row[name], rel=1e-6, abs=1e-7), name
    assert found["last/validation/loss"] == {4: found["validation/loss"][4]}
    assert len(found["seconds_waited"]) == 4

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore

    events = EventAccumulator(str(tmp_path / "logs" / FOLDER))
    events.Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    facts = HParamsPluginData.FromString(content).session_start_info.hparams
    assert events.PluginTagToContent(metadata.PLUGIN_NAME)
    assert (facts["method"].string_value, facts["epochs"].number_value) == (RECIPE.label, 4)


def test_the_seconds_of_epochs_add_up_and_are_not_part_of_the_curve(undisturbed: Trained):
    waited = [epoch.waited for epoch in undisturbed.history]
    assert sum(waited) == pytest.approx(undisturbed.waited)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert replace(undisturbed.history[0], waited=9.0, learning_rate=9.0) == undisturbed.history[0]


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_run_that_goes_on_has_each_epoch_once(epoch: int, tmp_path: Path, undisturbed: Trained):
    """Stopped after an epoch was logged and before it stood in a checkpoint, which is trained again."""
    checkpoints, loggers = Checkpoints(tmp_path, ALWAYS), replace(installed("csv", "tensorboard"), folder=tmp_path)
    with pytest.raises(Stopping):
        train(RECIPE, stop_after(epoch), checkpoints, loggers)
    assert [row["step"] for row in table(tmp_path / "logs" / FOLDER)] == list(range(1, epoch + 1))
    stopped = curves(tmp_path / "logs" / FOLDER)
    assert list(stopped["train/loss"]) == list(range(1, epoch + 1))
    assert not any(tag.startswith("last/") for tag in stopped)
    left = checkpoints.read(RECIPE)
    assert left is not None
    assert (left.epoch, left.batch) == (epoch - 1, 4)
    assert same(train(RECIPE, checkpoints=checkpoints, loggers=loggers), undisturbed)
    check_table(tmp_path, undisturbed.history)
    found = curves(tmp_path / "logs" / FOLDER)
    assert list(found["train/loss"]) == [1, 2, 3, 4]
    assert found["train/loss"][1] == pytest.approx(undisturbed.history[0].train["loss"])


def test_a_run_that_goes_on_after_its_last_epoch_or_was_not_logged_before(tmp_path: Path, undisturbed: Trained):
    checkpoints = Checkpoints(tmp_path, ALWAYS)
    train(RECIPE, checkpoints=checkpoints)  # its file stays until it is removed
    assert not (tmp_path / "logs").exists()
    assert same(train(RECIPE, checkpoints=checkpoints, loggers=Loggers(tmp_path, ("csv",))), undisturbed)
    check_table(tmp_path, undisturbed.history)


def test_tensorboard_tells_when_each_epoch_ended_also_of_a_run_that_goes_on(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    checkpoints, loggers = Checkpoints(tmp_path, ALWAYS), Loggers(tmp_path, ("tensorboard",))
    begin = time.time()
    with pytest.raises(Stopping):
        train(RECIPE, stop_after(3), checkpoints, loggers)
    left = checkpoints.read(RECIPE)
    assert left is not None
    first, second = left.states["module"]["_extra_state"]["history"]
    assert begin < first["ended"] <= second["ended"] < time.time()
    first["ended"] = 1000.0  # as if that were long ago
    checkpoints.write(RECIPE, left)
    train(RECIPE, checkpoints=checkpoints, loggers=loggers)
    found = accumulator.EventAccumulator(str(tmp_path / "logs" / FOLDER))
    found.Reload()
    for tag in ("train/loss", "validation/loss", "learning_rate"):
        times = [one.wall_time for one in found.Scalars(tag)]
        assert times[:2] == [1000.0, second["ended"]]
        assert second["ended"] < times[2] <= times[3]


def test_a_run_that_begins_takes_the_place_of_another(tmp_path: Path, undisturbed: Trained):
    """Of its own logger's files; what else stands there stays, and nobody is warned."""
    loggers, folder = replace(installed("csv", "tensorboard"), folder=tmp_path), tmp_path / "logs" / FOLDER
    with pytest.raises(Stopping):
        train(replace(RECIPE, method=calmix.erm()), stop_after(2), loggers=loggers)
    (folder / "notes.txt").write_text("mine")
    train(RECIPE, loggers=Loggers(tmp_path, ("csv",)))
    assert list(curves(folder)["train/loss"]) == [1, 2]
    train(RECIPE, loggers=loggers)
    check_table(tmp_path, undisturbed.history)
    assert list(curves(folder)["train/loss"]) == [1, 2, 3, 4]
    assert "sk_mixup" in (folder / "hparams.yaml").read_text()
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", LOGGERS)
def test_a_log_that_cannot_be_written_ends_with_a_warning_and_the_run_does_not(
    name: str, tmp_path: Path, undisturbed: Trained
):
    loggers = replace(installed(name), folder=tmp_path)
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match=f"the log in .*{FOLDER} ends here: .*") as warned:
        assert same(train(RECIPE, loggers=loggers), undisturbed)
    assert len(warned) == 1


# ------------------------------------------------------------------------------------------------- what is refused


def test_names_are_known_and_given_once():
    with pytest.raises(UnknownNameError, match="unknown logger 'tensorbord'; did you mean 'tensorboard'"):
        Loggers(Path(), ("tensorbord",))
    with pytest.raises(SettingError, match="a logger is named twice in csv, csv; name each one once"):
        Loggers(Path(), ("csv", "csv"))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    found: set[str] = set()
    monkeypatch.setattr("calmix.train.loggers.find_spec", lambda name: name if name in found else None)
    check_loggers(["csv"])
    with pytest.raises(SettingError, match=r"'tensorboard' needs tensorboard; .* pip install 'calmix\[tensorboard\]'"):
        check_loggers(["csv", "tensorboard"])
    found.add("tensorboardX")  # which writes the same files
    check_loggers(["tensorboard"])


def test_a_comparison_in_memory_has_no_place_for_logs():
    with pytest.raises(SettingError, match="loggers write in a folder; give out, too"):
        calmix.compare(data=NamedSet("wine"), loggers=["csv"])


# ------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_command_logs_every_run(workers: str, tmp_path: Path):
    """In processes, too."""
    few = ["compare", "wine", "--methods", "erm", "mixup", "--seeds", "1", "--epochs", "2", "--workers", workers]
    main([*few, "--quiet", "--out", str(tmp_path), "--logger", "csv"])
    for label in ("erm", "mixup"):
        assert [row["step"] for row in table(tmp_path / "logs" / f"{label}-seed0")] == [1, 2]


def test_the_command_logs_one_run_and_keeps_what_was_logged(tmp_path: Path):
    """`--resume` on a finished run trains and writes nothing."""
    few = ["train", "wine", "--method", "sk_mixup", "--epochs", "2", "--quiet", "--out", str(tmp_path)]
    main([*few, "--logger", "csv"])
    log = tmp_path / "logs" / "sk_mixup-seed0" / "metrics.csv"
    before = log.read_bytes(), log.stat().st_mtime_ns
    main([*few, "--resume", "--logger", "csv"])
    assert (log.read_bytes(), log.stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", ["compare", "train"])
def test_nothing_is_logged_unless_asked(name: str):
    assert COMMANDS[name].parser().parse_args(["wine"]).logger == []
