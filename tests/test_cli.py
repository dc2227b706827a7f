"""The command as a user meets it: what it prints, writes and refuses."""

import gzip
import inspect
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import calmix
from calmix import METHODS
from calmix.cli import COMMANDS, main
from calmix.data import CORRUPTIONS, DATASETS, NamedSet, Noisy, OODSet, Symmetric, TableFile, TableFormat
from calmix.engines import Orders, Processes
from calmix.engines.engine import Finished
from calmix.errors import CalmixError
from calmix.models import MODELS
from calmix.report import page as pages
from calmix.results.records import Failure
from calmix.studies.comparison import kept, study
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.goals import tested as rows_tested
from calmix.studies.comparison.study import Comparison
from calmix.train import Recipe, Robustness, TrainingSettings

QUICK = ["--epochs", "1", "--seeds", "2", "--workers", "1", "--methods", "erm", "sk_mixup"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A small table of one's own: numbers, words, missing cells, an identifier."""
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "height": rng.normal(170, 10, n),
            "colour": np.array(["red", "green", None])[rng.integers(0, 3, n)],
            "kind": rng.choice(["a", "b", "c"], n),
        }
    )
    frame.loc[::7, "height"] = np.nan
    path = tmp_path / "own.csv"
    frame.to_csv(path, index=False)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence of a command that must end with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    *_, sentence, end = output.err.split("\n")
    assert end == ""
    assert sentence.startswith("calmix: ")
    assert "Traceback" not in output.err
    return sentence


# --------------------------------------------------------------------------------------------- what it does


def test_compare_own_data_from_file_to_report(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    main(["compare", str(table), "--target", "kind", "--out", str(out), *QUICK])
    printed = capsys.readouterr()
    assert "sk_mixup" in printed.out
    assert str(out / "report.html") in printed.out
    assert "'id'" in printed.err  # the identifier is named and left out
    results = json.loads((out / "results.json").read_text())
    assert results["task"] == "classification"
    assert results["command"][:2] == ["calmix", "compare"]
    assert [column["taken_for"] for column in results["data"]["columns"]] == [
        "identifier",
        "number",
        "category",
        "target",
    ]
    assert "numbers the rows" in printed.err
    assert "numbers the rows" in (out / "report.html").read_text()
    assert len(results["runs"]) == 4
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", ["compare", "train", "diagnose"])
def test_describe_prints_the_columns_and_trains_nothing(
    command: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    main([command, str(table), "--target", "kind", "--drop", "height", "--describe", "--out", str(out)])
    printed = capsys.readouterr()
    for text in ("identifier", "numbers the rows", "one-hot", "left out as asked", "4 columns become 2 features."):
        assert text in printed.out
    assert printed.err == ""
    assert not out.exists()
    assert "--describe is for tables, and digits has no columns" in refused([command, "digits", "--describe"], capsys)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their figures, where a test is of something else: they take most of a command's time."""
    monkeypatch.setattr(
        pages, "_drawn", lambda *given: {"name": "x", "uri": "", "alt": "", "width": "1", "height": "1", "looks": ""}
    )


@pytest.mark.usefixtures("no_figures")
def test_quiet_says_where_results_are_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    main(
        ["compare", "wine", "--methods", "erm", "mixup", "--seeds", "1", "--epochs", "1", "--quiet", "--out", str(out)]
    )
    printed = capsys.readouterr()
    assert printed.out == f"report: {out / 'report.html'}\n"
    assert printed.err == ""
    main(["report", str(out)])
    assert "Minus plain Mixup (mixup), seed by seed" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_resume_repeats_nothing_and_report_draws_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["compare", "wine", "--out", str(tmp_path), *QUICK]
    main(arguments)
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert "already holds a comparison; add --resume" in refused(arguments, discard(capsys))
    others = ["compare", "wine", "--methods", "mixup", "--out", str(tmp_path)]
    assert "already holds a comparison; add --resume" in refused(others, capsys)
    main([*arguments, "--resume"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == runs
    (tmp_path / "report.html").unlink()
    capsys.readouterr()
    main(["report", str(tmp_path), "--reference", "sk_mixup"])
    assert "worse than sk_mixup" in capsys.readouterr().out
    main(["report", str(tmp_path)])
    assert "worse than sk_mixup" in capsys.readouterr().out  # it stays until another is given
    assert "From sk_mixup" in (tmp_path / "report.html").read_text()
    assert "unknown method to refer to 'mixap'" in refused(["report", str(tmp_path), "--reference", "mixap"], capsys)
    assert "--out is where ranks" in refused(["report", str(tmp_path), "--out", str(tmp_path / "new")], capsys)


def test_a_run_that_failed_shows_in_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    carry_out = Processes.carry_out

    def all_but_one(self: Processes, recipes: Sequence[Recipe], orders: Orders) -> Iterator[Finished | Failure]:
        yield Failure(recipes[-1].label, recipes[-1].seed, "it ran out of memory.")
        yield from carry_out(self, recipes[:-1], orders)

    monkeypatch.setattr(Processes, "carry_out", all_but_one)
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "wine", "--out", str(tmp_path), *QUICK])
    assert stopped.value.code == 1
    output = capsys.readouterr()
    assert "Missing: sk_mixup with seed 1: it ran out of memory." in output.out
    assert "calmix: 1 run is missing; --resume tries those that failed again." in output.err
    monkeypatch.undo()
    main(["compare", "wine", "--out", str(tmp_path), *QUICK, "--resume"])
    assert "Missing" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["train"], ["compare", "--workers", "1"]])
def test_a_command_that_is_told_to_end_says_so_and_fails(command: list[str], tmp_path: Path):
    """Lightning alone would end it with exit code 0, as if the work were done."""
    code = "import sys; from calmix.cli import main; main(sys.argv[1:])"
    arguments = [command[0], "digits", *command[1:], "--epochs", "1000", "--out", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        while not (tmp_path / "out").exists():  # it is made when the training begins
            assert running.poll() is None
            time.sleep(0.1)
        time.sleep(2)
        running.terminate()
        said = running.stderr.read().decode()
    assert running.returncode == 143
    assert "calmix: stopped by SIGTERM; what was done is kept" in said
    assert "Traceback" not in said
    left = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left <= {".safetensors"}  # where the training had begun, the checkpoint that it goes on from


@pytest.mark.usefixtures("no_figures")
def test_report_ranks_methods_over_several_comparisons(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folders = [str(tmp_path / data) for data in ("wine", "iris")]
    for data, folder in zip(("wine", "breast_cancer"), folders, strict=True):
        main(["compare", data, "--out", folder, *QUICK])
        printed = capsys.readouterr().out  # two epochs and two seeds show nothing
        assert "No difference could be told" in printed or "only where you cannot" in printed or "Take plain" in printed
    out = tmp_path / "ranks"
    main(["report", *folders, "--out", str(out)])
    assert "Over 2 data sets no method is ahead beyond chance." in capsys.readouterr().out
    assert (out / "report.html").exists()
    assert json.loads((out / "ranks.json").read_text())["methods"] == ["erm", "sk_mixup"]
    assert "--reference is for the report of one folder" in refused(["report", *folders, "--reference", "erm"], capsys)
    assert "two or more different folders" in refused(["report", folders[0], folders[0]], capsys)


def discard(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    capsys.readouterr()
    return capsys


@pytest.mark.usefixtures("no_figures")
def test_options_reach_the_methods(tmp_path: Path):
    methods = ["mixup", "sk_mixup(tau_max=0.3, space=Inputs())"]
    options = [
        "--set",
        "mixup.alpha=0.4",
        "--set",
        "sk_mixup.tau_std=0.7",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--workers",
        "1",
    ]
    main(["compare", "wine", "--out", str(tmp_path), "--methods", *methods, *options])
    results = json.loads((tmp_path / "results.json").read_text())
    first, second = results["runs"]
    assert "Beta(alpha=0.4" in first["repr"]
    assert [row["method"] for row in results["summary"]] == methods
    assert "tau_max=0.3, tau_std=0.7" in second["repr"]
    assert "space=Inputs()" in second["repr"]


def test_no_option_makes_the_name_of_a_method_untrue(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    short = ["--epochs", "1", "--seeds", "1", "--workers", "1", "--out", str(tmp_path / "out")]
    said = refused(["compare", "diabetes", "--set", "sk_mixup.tau_max=0.5", *short], capsys)  # a default method
    assert "sk_mixup(tau_max=0.0001, tau_std=0.5) says tau_max itself; name the method with the tau_max" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_config_file_gives_the_same_options(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text("epochs: 1\nseeds: 1\nworkers: 1\nmethods: [erm, mixup]\n")
    main(["compare", "wine", "--config", str(config), "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["method"] for run in results["runs"]] == ["erm", "mixup"]
    assert results["settings"]["epochs"] == 1


@pytest.mark.usefixtures("no_figures")
def test_few_test_rows_are_tested_in_folds_unless_seeds_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--epochs", "1", "--workers", "1", "--methods", "erm", "mixup", "--train-size", "20"]
    main(["compare", "wine", "--out", str(tmp_path / "default"), *options, "--batch-size", "20"])
    printed = capsys.readouterr()
    assert "every row is tested, in 10 folds; --seeds 5 takes seeds instead" in printed.err
    assert "calmix: wine, 2 × 5 folds" in printed.out
    results = json.loads((tmp_path / "default" / "results.json").read_text())
    assert (results["data"]["folds"], len(results["runs"])) == (5, 20)
    page = (tmp_path / "default" / "report.html").read_text()
    assert "corrected for rows that folds share (Nadeau and Bengio, 2003)" in page
    assert "every row is tested once a round" in page
    for given in (["--seeds", "1"], ["--folds", "2", "--repeats", "1"]):
        main(["compare", "wine", "--out", str(tmp_path / given[0]), *options, *given])
        assert "every row is tested, in" not in capsys.readouterr().err
    assert json.loads((tmp_path / "--seeds" / "results.json").read_text())["data"]["folds"] == 0
    resumed = ["compare", "wine", "--out", str(tmp_path / "--folds"), *options, "--folds", "2", "--repeats", "2"]
    main([*resumed, "--resume"])  # a further repeat
    runs = json.loads((tmp_path / "--folds" / "results.json").read_text())["runs"]
    assert [run["seed"] for run in runs] == [0, 0, 1, 1, 2, 2, 3, 3]
    capsys.readouterr()
    assert "with other settings" in refused([*resumed[:-4], "--seeds", "2", "--resume"], capsys)


NETS = """
from torch import nn

class Two(nn.Module):
    def __init__(self, inputs, outputs, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU())
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        features = self.body(x)
        return {"features": features, "logits": self.head(features)}

def two(shape, outputs, width: int = 8):
    return Two(shape[0], outputs, width)
"""


@pytest.mark.usefixtures("no_figures")
def test_a_network_of_one_s_own_in_processes_and_on_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Processes find it by its path; a changed file is another network."""
    (tmp_path / "mine").mkdir()
    nets = tmp_path / "mine" / "nets.py"
    nets.write_text(NETS)
    monkeypatch.chdir(tmp_path)
    options = [
        "--model",
        "mine/nets.py:two(width=4)",
        "--epochs",
        "1",
        "--train-size",
        "30",
        "--methods",
        "erm",
        "sk_mixup",
    ]
    command = ["compare", "wine", *options, "--seeds", "1", "--workers", "2", "--out", "out"]
    assert "returns dict with 'features' (2, 4), 'logits' (2, 3)" in refused(command, capsys)
    command += ["--output", "logits"]
    main(command)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["model"], len(results["runs"]), results["failures"]) == (
        "nets.py:two(width=4), output logits", 2, [],
    )  # fmt: skip
    main([*command, "--resume"])
    nets.write_text(NETS + "# another thought\n")
    assert "other settings, data or code" in refused([*command, "--resume"], discard(capsys))
    main(["train", "wine", *options[:-3], "--method", "mixup", "--output", "logits", "--out", "kept"])
    names = NamedSet("wine").splits(0).about.features
    pd.DataFrame(np.zeros((178, 13)), columns=list(names)).to_csv("new.csv", index=False)
    command = ["predict", "kept", "new.csv"]
    assert "nets.py:two(width=4), output logits, which is none of calmix's own" in refused(command, discard(capsys))
    main([*command, *options[:2], "--output", "logits"])
    assert len(pd.read_csv("new-predictions.csv")) == 178


@pytest.mark.usefixtures("no_figures")
def test_a_trained_network_predicts_new_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of a table with semicolons and decimal commas, new rows in a plain one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300).round(3)
    frame = pd.DataFrame({"x": x, "town": rng.choice(["Oslo", "Lima"], 300), "y": np.where(x > 0, "up", "down")})
    frame[:200].to_csv(tmp_path / "old.csv", sep=";", decimal=",", index=False)
    frame[200:].assign(town="Rome").to_csv(tmp_path / "new.csv", index=False)
    out = str(tmp_path / "net")
    main(["train", str(tmp_path / "old.csv"), "--target", "y", "--epochs", "20", "--method", "erm", "--out", out])
    capsys.readouterr()
    main(["predict", out, str(tmp_path / "new.csv"), "--out", str(tmp_path / "said.csv"), "--alpha", "0.2"])
    said = capsys.readouterr()
    assert f"predictions: {tmp_path / 'said.csv'}" in said.out
    assert "column 'town': 100 of 100 rows have values that no training row had" in said.err
    found = pd.read_csv(tmp_path / "said.csv")
    assert list(found.columns) == ["probs_down", "probs_up", "answer", "set", "label"]
    assert (found.answer == frame.y[200:].to_numpy()).mean() > 0.9
    main(["evaluate", str(tmp_path / "said.csv"), "--out", str(tmp_path / "judged")])
    main(["predict", out, str(tmp_path / "new.csv"), "--out", str(tmp_path / "said.parquet"), "--alpha", "0.2"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "said.parquet"), found, check_dtype=False)
    capsys.readouterr()
    for arguments, expected in (
        (["--out", str(tmp_path / "said.xlsx")], "give a file that ends in .csv or .parquet"),
        (["--alpha", "2"], "alpha is 2.0, expected a share of misses"),
    ):
        assert expected in refused(["predict", out, str(tmp_path / "new.csv"), *arguments], capsys)
    assert "holds no model.json" in refused(["predict", str(tmp_path), str(tmp_path / "new.csv")], capsys)
    (tmp_path / "lacks.csv").write_text("town\nOslo\n")
    assert "lacks columns that the network was trained on: 'x'" in refused(
        ["predict", out, str(tmp_path / "lacks.csv")], capsys
    )
    assert not (tmp_path / "lacks-predictions.csv").exists()


@pytest.mark.usefixtures("no_figures")
def test_train_leaves_weights_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["train", "wine", "--method", "mixup_e", "--epochs", "2", "--seed", "3", "--out", str(tmp_path)])
    assert f"network: {tmp_path} (for calmix predict)" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["runs"][0]["seed"] == 3
    arguments = ["train", "wine", "--method", "mixup_e", "--epochs", "2", "--out", str(tmp_path)]
    assert "already holds a comparison; add --resume to go on, or give another --out" in refused(arguments, capsys)


@pytest.mark.usefixtures("no_figures")
def test_regression_is_inferred_and_reported_in_its_own_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=90), "y": rng.normal(size=90)}).to_parquet(tmp_path / "own.parquet")
    main(["compare", str(tmp_path / "own.parquet"), "--target", "y", "--out", str(tmp_path / "out"), *QUICK])
    assert "RMSE" in capsys.readouterr().out
    run = json.loads((tmp_path / "out" / "results.json").read_text())["runs"][0]
    assert set(run["metrics"]) == {"rmse", "mae", "mape", "r2", "validation", "training"}
    one = ["train", str(tmp_path / "own.parquet"), "--target", "y", "--epochs", "1", "--out", str(tmp_path / "one")]
    main(one)
    assert json.loads((tmp_path / "one" / "results.json").read_text())["runs"][0]["method"] == "erm"


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Honest probabilities for 60 rows of three classes, as a table."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 60)
    frame = pd.DataFrame(probs, columns=["probs_cat", "probs_dog", "probs_eel"])
    frame["label"] = [rng.choice(["cat", "dog", "eel"], p=row / row.sum()) for row in probs]
    path = tmp_path / "mine.csv"
    frame.to_csv(path, index=False)
    return path


def test_predictions_alone_are_evaluated(predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    held, out = tmp_path / "held.csv", tmp_path / "out"
    pd.read_csv(predictions).iloc[::-1].to_csv(held, index=False)
    main(["evaluate", str(predictions), "--calibration", str(held), "--ood", str(held), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "of 100 answers are right" in printed
    assert "Smooth ECE" in printed
    numbers = json.loads((out / "metrics.json").read_text())
    assert {"accuracy", "nll", "brier", "ece", "scaled", "temperature", "conformal"} <= set(numbers)
    assert numbers["ood"]["held"]["entropy"]["auroc"] == pytest.approx(0.5)
    assert f"report: {out / 'report.html'}" in printed
    assert "calmix evaluate" in (out / "report.html").read_text()


def test_lists_name_everything(capsys: pytest.CaptureFixture[str]):
    main(["methods"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)
    main(["models"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:-1] == list(MODELS)
    main(["datasets"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:-1] == list(DATASETS)


@pytest.mark.parametrize(("kind", "table"), [("methods", METHODS), ("models", MODELS)])
def test_what_has_a_name_is_shown_in_full(kind: str, table: Mapping[str, Any], capsys: pytest.CaptureFixture[str]):
    for name, made in table.items():
        main([kind, name])
        header, _, text = capsys.readouterr().out.partition("\n\n")
        known = {one.name: one.default for one in inspect.signature(made).parameters.values()}
        options = {option: default for option, default in known.items() if default is not inspect.Parameter.empty}
        if options:
            shown = eval(header.replace(f"{name}(", "dict("), vars(calmix) | vars(calmix.parts))
            assert shown == options
        assert (inspect.getdoc(made) or "").endswith(text.strip())


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints that ends with exit code 0."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_every_setting(capsys: pytest.CaptureFixture[str]):
    text = printed(["--help"], capsys)
    assert all(f"  {name} " in text and command.summary in text for name, command in COMMANDS.items())
    text = printed(["compare", "--help"], capsys)
    options = ["--" + field.name.replace("_", "-") for field in fields(TrainingSettings)]
    options += [
        "--target",
        "--train-size",
        "--keep",
        "--data-dir",
        "--label-noise",
        "--ood",
        "--corruptions",
        "--seeds",
    ]
    options += ["--methods", "--set", "--reference", "--resume", "--workers", "--out", "--config", "--model"]
    options += ["--output"]
    assert [option for option in options if option not in text] == []
    assert "passes over the training split (default: 30)" in text  # its meaning comes from the docstring


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["methods"], ["models"], ["datasets"], []])
def test_what_needs_no_network_loads_none(arguments: list[str]):
    code = (
        f"import sys\nfrom calmix.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'lightning', 'jsonargparse') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("data", "rows", "left_out"),
    [
        ("two_moons", 60, {"cutmix": "cutmix pastes boxes"}),
        (
            "diabetes",
            60,
            {"cutmix": "cutmix pastes boxes", "rankmixup": "rankmixup ranks", "auto": "auto follows the confidence of"},
        ),
    ],
)
def test_all_methods_are_those_that_the_data_allow(
    data: str,
    rows: int,
    left_out: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """Everything but the training of them."""
    asked = asked_to_compare(monkeypatch, data, "--methods", "ALL", "--train-size", str(rows))
    said = capsys.readouterr().err
    assert said.count("left out") == len(left_out)
    for method, reason in left_out.items():
        assert f"{method} is left out: {reason}" in said
    assert set(asked.methods) == set(METHODS) - set(left_out)


class Seen(CalmixError):
    pass


def asked_to_compare(monkeypatch: pytest.MonkeyPatch, *options: str) -> Comparison:
    """The comparison that `calmix compare` makes of options."""
    found = []

    def stop(comparison: Comparison, *rest: object) -> None:
        found.append(comparison)
        raise Seen("seen")

    monkeypatch.setattr(study, "carry_out_comparison", stop)
    with pytest.raises(SystemExit):
        main(["compare", *options])
    return found[0]


def asked_to_train(monkeypatch: pytest.MonkeyPatch, *options: str) -> Recipe:
    """The recipe that `calmix train digits` makes of options."""
    found = []

    def stop(recipe: Recipe, *rest: object) -> None:
        found.append(recipe)
        raise Seen("seen")

    monkeypatch.setattr(kept, "train_and_keep", stop)
    with pytest.raises(SystemExit):
        main(["train", "digits", "--method", "mixup", *options])
    return found[0]


def test_options_become_objects(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    plain = asked_to_train(monkeypatch)
    assert plain == Recipe(NamedSet("digits"), "mixup", METHODS["mixup"]())
    recipe = asked_to_train(monkeypatch, "--ood", "notmnist", "--corruptions", "jpeg", "contrast")
    assert recipe.robustness == Robustness((OODSet("notmnist"),), ("jpeg", "contrast"))
    for everything in ([], ["ALL"], ["ALL", "jpeg"]):
        found = asked_to_train(monkeypatch, "--corruptions", *everything)
        assert found.robustness.corruptions == tuple(CORRUPTIONS)
    assert asked_to_train(monkeypatch, "--label-noise", "symmetric:0.4").data == Noisy(
        NamedSet("digits"), Symmetric(0.4)
    )
    assert "40.0 % of the training labels are wrong" in capsys.readouterr().err
    options = ["--epochs", "7", "--select", "best", "--refresh-batch-norm", "--learning-rate", "0.3", "--seed", "4"]
    found = asked_to_train(monkeypatch, *options)
    assert found.settings == TrainingSettings(epochs=7, select="best", refresh_batch_norm=True, learning_rate=0.3)
    assert found.seed == 4


def test_the_installed_command_answers():
    result = subprocess.run(
        [sys.executable, "-m", "calmix.cli", "--version"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert result.stdout.startswith("calmix ")


# ------------------------------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "digitz"], "unknown data set 'digitz'; did you mean 'digits'"),
        (["methods", "sk_mixap"], "unknown method 'sk_mixap'; did you mean 'sk_mixup'"),
        (["models", "resnet19"], "unknown model 'resnet19'; did you mean 'resnet"),
        (["compare", "digits", "--methods", "sk_mixap"], "unknown method 'sk_mixap'; did you mean 'sk_mixup'"),
        (["compare", "digits", "--methods", "mixup(alfa=2)"], "unknown option of mixup 'alfa'; did you mean 'alpha'"),
        (["compare", "digits", "--methods", "mixup(alpha=0)"], "alpha must be a positive number; got 0"),
        (["compare", "digits", "--methods", "sk_mixup(tau_std=-1)"], "tau_std must be a positive number; got -1"),
        (["compare", "digits", "--methods", "mixup", "mixup"], "'mixup' is named twice"),
        (["compare", "digits", "--set", "mixup.alpha"], "cannot read --set 'mixup.alpha'"),
        (["compare", "digits", "--set", "mixap.alpha=1"], "unknown method in --set 'mixap'; did you mean 'mixup'"),
        (["compare", "digits", "--model", "resnett"], "unknown model 'resnett'; did you mean 'resnet'"),
        (["compare", "wine", "--model", "resnet"], "use 'mlp'"),
        (["compare", "wine", "--model", "nets.py:wide"], "there is no file nets.py in the folder"),
        (["compare", "wine", "--output", "logits"], "--output chooses from what a network of your own returns"),
        (
            ["train", "wine", "--model", "torch.nn:Linear(in_features=9)"],
            "Linear(in_features=9) needs out_features; for rows of the",
        ),
        (["diagnose", "wine", "--model", "mlp(width=0)"], "width must be at least 1; got 0"),
        (
            ["train", "wine", "--model", "torch.nn:Linear(in_features=13, out_features=2)"],
            "returns (2, 2) for 2 rows; (2, 3) is needed",
        ),
        (
            ["compare", "wine", "--methods", "ALL", "--model", "torch.nn:Linear(in_features=9, out_features=3)"],
            "cannot run rows of the shape (13,): RuntimeError: mat1 and mat2",
        ),
        (["compare", "digits", "--epochs", "0"], "epochs must be at least 1; got 0"),
        (["compare", "digits", "--epochs", "many"], "epochs"),
        (["compare", "digits", "--seeds", "0"], "seeds must be at least 1; got 0"),
        (["compare", "digits", "--seeds", "2", "--folds", "5"], "seeds and folds exclude each other; give seeds, or"),
        (["compare", "digits", "--seeds", "2", "--repeats", "5"], "seeds and folds exclude each other; give seeds, or"),
        (["compare", "digits", "--folds", "1"], "folds must be at least 2; got 1"),
        (["compare", "digits", "--folds", "2000"], "1797 rows cannot be cut into 2000 folds"),
        (["compare", "two_moons", "--folds", "5"], "two_moons has splits that are given, or points that are drawn"),
        (["compare", "digits", "--train-size", "99999"], "99999"),
        (["compare", "digits", "--train-size", "0"], "train_size"),
        (["compare", "digits", "--device", "tpu"], "unknown device 'tpu'"),
        (["compare", "digits", "--optimizer", "sdg"], "unknown optimizer 'sdg'; did you mean 'sgd'"),
        (["compare", "digits", "--target", "x"], "target"),
        (["compare", "digits", "--epoch", "3", "--sneeds", "1"], "sneeds"),
        (["compare"], "data"),
        (["comparr", "digits"], "unknown command 'comparr'; did you mean 'compare'"),
        (["methods", "--verbose"], "--verbose"),
        ([], "no command was given; name one: compare, work, train,"),
        (["compare", "digits", "--reference", "sk"], "unknown method to refer to 'sk'"),
        (["train", "wine", "--seed", "-1"], "seed must be at least 0; got -1"),
        (["report", "no/such/folder"], "no/such/folder"),
        (["compare", "digits", "--batch-norm", "mix"], "unknown batch_norm 'mix'; did you mean 'mixed'"),
        (["compare", "wine", "--methods", "erm", "cutmix"], "images (C, H, W); got rows of the shape (13,): use mixup"),
        (["train", "wine", "--method", "manifold_mixup(sites=('neck',))"], "no module 'neck'; its modules are: body,"),
        (["compare", "diabetes", "--methods", "rankmixup"], "rankmixup ranks the confidences of classes"),
        (
            ["compare", "digits", "--methods", "mixup_e(share=2.0)"],
            "share must be a number above 0 and at most 1; got 2",
        ),
        (["compare", "digits", "--methods", "mixup_e(eta=-1.0)"], "eta must be at least 0; got -1.0"),
        (["compare", "no/such/table.csv", "--target", "y"], "no/such/table.csv"),
    ],
)
def test_bad_options_are_one_sentence_and_write_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--calibration", "{file}"], "holds the test predictions themselves"),
        (["--bins", "61"], "60 rows cannot fill 61 bins"),
        (["--bins", "0"], "bins"),
        (["--human-labels", "{file}"], "mine.csv"),
        (["--votes", "{file}"], "votes"),
        (["--ood", "none.npz"], "file not found"),
    ],
)
def test_bad_evaluations_are_one_sentence_and_write_nothing(
    arguments: list[str], advice: str, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    given = [argument.format(file=predictions) for argument in arguments]
    assert advice in refused(["evaluate", str(predictions), *given, "--out", str(out)], capsys)
    assert not out.exists()


def test_an_evaluation_does_not_write_over_a_comparison(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "results.json").write_text("{}")
    assert "already holds" in refused(["evaluate", str(predictions), "--out", str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["wine", "--corruptions"], "corruptions are for images, and wine is a table; leave --corruptions out."),
        (["digits", "--ood", "notmist"], "unknown OOD set 'notmist'; did you mean 'notmnist'?"),
        (["digits", "--corruptions", "jpg"], "unknown family of corruptions 'jpg'; did you mean 'jpeg'?"),
        (["digits", "--label-noise", "0.4"], "cannot read the label noise '0.4'; write symmetric:RATE"),
        (["digits", "--label-noise", "human:worse"], "human label noise is known for cifar10 alone, not for digits"),
        (["digits", "--label-noise", "symmetric:40"], "the rate of label noise must be above 0 and below 1; got 40.0."),
    ],
)
@pytest.mark.parametrize("command", [["compare", "--methods", "mixup"], ["train", "--method", "mixup"]])
def test_what_else_is_asked_for_is_refused_in_one_sentence(
    command: list[str], options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    name, *rest = command
    sentence = refused([name, *options, *rest, "--epochs", "1", "--out", str(tmp_path / "out")], capsys)
    assert message in sentence
    assert not (tmp_path / "out").exists()


def csv(text: str) -> bytes:
    return text.encode()


ROWS = "".join(f"{i % 7},{i * 0.37 % 1},{'ab'[i % 2]}\n" for i in range(60))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty"),
        ("binary.csv", bytes(range(256)) * 20, "binary.csv"),
        ("cut.csv.gz", gzip.compress(csv("x,z,y\n" + ROWS))[:-40], "cut.csv.gz"),
        ("not.parquet", b"PAR1 is not enough", "not.parquet"),
        ("header.csv", csv("x,z,y\n"), "no rows"),
        ("absent.csv", csv("x,z,w\n" + ROWS), "unknown"),
        ("twice.csv", csv("x,x,y\n" + ROWS), "'x'"),
        ("one_class.csv", csv("x,z,y\n" + "1,2,a\n3,4,a\n" * 20), "'y' is a in every row"),
        ("lonely.csv", csv("x,z,y\n" + ROWS + "1,0.5,c\n"), "'c'"),
        ("nothing_left.csv", csv("x,z,y\n" + "1,2,a\n1,2,b\n" * 20), "column"),
    ],
)
def test_bad_files_are_one_sentence_and_write_nothing(
    name: str, content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "out"
    sentence = refused(["compare", str(tmp_path / name), "--target", "y", "--out", str(out), *QUICK], capsys)
    assert message in sentence
    assert not out.exists()


def test_a_target_that_was_not_given_is_asked_for_with_the_columns(table: Path, capsys: pytest.CaptureFixture[str]):
    sentence = refused(["compare", str(table)], capsys)
    assert all(column in sentence for column in ("--target", "height", "colour", "kind"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("in the way")
    sentence = refused(["compare", "wine", "--out", str(tmp_path / "file" / "out"), *QUICK], capsys)
    assert "cannot write to" in sentence


# ------------------------------------------------------------------------------- what is wrong with files and streams


def test_kept_columns_reach_the_source(table: Path, monkeypatch: pytest.MonkeyPatch):
    found = asked_to_compare(
        monkeypatch, str(table), "--target", "kind", "--keep", "id", "colour", "--seeds", "2", "--methods", "erm"
    )
    assert found.data == TableFile(table, "kind", keep=("id", "colour"))


def test_parts_and_roles_reach_the_source(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    test = tmp_path / "test.csv"
    pd.read_csv(table)[:40].assign(id=lambda frame: frame.id + 500, height=1.5).to_csv(test, index=False)
    options = ["--target", "kind", "--seeds", "2", "--methods", "erm"]
    found = asked_to_compare(monkeypatch, str(table), *options, "--test", str(test), "--group", "id")
    assert found.data == TableFile(table, "kind", test=test, group="id")
    found = asked_to_compare(monkeypatch, str(table), *options, "--validation", str(test), "--weight", "id")
    assert found.data == TableFile(table, "kind", validation=test, weight="id")
    found = asked_to_compare(monkeypatch, str(table), *options, "--time", "id")
    assert found.data == TableFile(table, "kind", time="id")


@pytest.mark.parametrize("role", ["group", "time"])
def test_a_table_that_is_split_otherwise_goes_from_file_to_report_and_back(
    role: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, frame = tmp_path / "out", pd.read_csv(table)
    frame.assign(visit=np.arange(120) // 4).to_csv(table, index=False)
    command = ["compare", str(table), "--target", "kind", f"--{role}", "visit", "--out", str(out), *QUICK]
    main(command)
    said = {"group": "splits are by 'visit': all rows of a group", "time": "splits are in the order of 'visit'"}[role]
    printed = capsys.readouterr()
    assert said in printed.err
    assert said in (out / "report.html").read_text().replace("&#39;", "'")
    results = json.loads((out / "results.json").read_text())
    assert {column["name"]: column["taken_for"] for column in results["data"]["columns"]}["visit"] == role
    main([*command, "--resume"])  # nothing is trained again
    assert [record["train_seconds"] for record in json.loads((out / "results.json").read_text())["runs"]] == [
        record["train_seconds"] for record in results["runs"]
    ]
    main(["report", str(out)])


def test_folds_of_groups_test_every_row_and_folds_of_ready_parts_are_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    frame = pd.read_csv(table).assign(visit=np.arange(120) // 7)
    frame.to_csv(table, index=False)
    options = ["--target", "kind", "--folds", "4", "--methods", "erm", "--epochs", "1", "--workers", "1"]
    main(["compare", str(table), *options, "--repeats", "1", "--group", "visit", "--out", str(tmp_path / "out")])
    tested: list[int] = []
    for seed in range(4):
        with np.load(tmp_path / "out" / "predictions" / f"erm-seed{seed}.npz") as stored:
            tested += stored["rows"].tolist()
    assert sorted(tested) == list(range(2, 122))
    assert rows_tested(read_comparison(tmp_path / "out").results) == 120
    capsys.readouterr()
    frame[:40].assign(height=1.5).to_csv(tmp_path / "test.csv", index=False)
    sentence = refused(["compare", str(table), *options, "--test", str(tmp_path / "test.csv")], capsys)
    assert "--test give splits that are ready-made, and folds draw them all; give seeds instead" in sentence


def test_a_ready_made_test_split_is_described_and_new_rows_need_no_role(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    test, out = tmp_path / "test.csv", tmp_path / "out"
    frame = pd.read_csv(table)
    frame.assign(height=frame.height + 1).drop(columns="id").to_csv(test, index=False)
    options = [str(table), "--target", "kind", "--test", str(test), "--weight", "id"]
    main(["compare", *options, "--describe"])
    printed = capsys.readouterr().out
    assert "the test split is test.csv (120 rows), whatever the seed." in printed
    assert re.search(r"id +weight +120 +weight of rows +not learned from", printed)
    main(["train", *options, "--method", "erm", "--epochs", "1", "--out", str(out)])
    main(["predict", str(out), str(test), "--out", str(tmp_path / "said.csv")])
    assert len(pd.read_csv(tmp_path / "said.csv")) == 120


@pytest.mark.parametrize(
    "sep", [";", "|", ",", "tab", "\\t", "space", " ", "/", ":", "#", "~", "-", "&", "*", "!", "%", "@"]
)
def test_any_separator_reaches_the_source(sep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mark = {"tab": "\t", "\\t": "\t", "space": " "}.get(sep, sep)
    rows = "".join(f"{i * 7 % 13}{mark}{i % 10}{mark}{'uv'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.txt").write_text(f"x{mark}z{mark}y\n" + rows)
    options = (str(tmp_path / "t.txt"), "--target", "y", f"--sep={sep}", "--seeds", "2", "--methods", "erm")
    found = asked_to_compare(monkeypatch, *options)
    assert found.data == TableFile(tmp_path / "t.txt", "y", format=TableFormat(sep=mark))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--decimal", ","], TableFormat(decimal=",")),
        (["--decimal", "."], TableFormat(decimal=".")),
        (["--thousands", "'"], TableFormat(thousands="'")),
        (["--thousands", "."], TableFormat(thousands=".")),
        (["--thousands", ","], TableFormat(thousands=",")),
        (["--thousands", "space", "--encoding", "cp1252"], TableFormat(thousands=" ", encoding="cp1252")),
        (["--header"], TableFormat(header=True)),
    ],
)
def test_how_a_table_is_written_reaches_the_source(
    options: list[str], expected: TableFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = tmp_path / "t.csv"
    table.write_text("x,kind\n" + "".join(f"{i * 7 % 13},{'uv'[i % 2]}\n" for i in range(40)))
    found = asked_to_compare(monkeypatch, str(table), "--target", "kind", "--methods", "erm", "--seeds", "2", *options)
    assert found.data == TableFile(table, "kind", format=expected)


def test_columns_without_a_header_have_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "t.data").write_text("".join(f"{i * 7 % 13};0,{i % 10};{'uv'[i % 2]}\n" for i in range(60)))
    given = ["train", str(tmp_path / "t.data"), "--epochs", "1", "--out", str(tmp_path / "out")]
    assert "say --no-header to name the columns column1" in refused([*given, "--target", "column3"], capsys)
    main([*given, "--target", "column3", "--no-header"])
    assert "t.data was read with ';' between cells, decimal commas." in capsys.readouterr().err
    said = json.loads((tmp_path / "out" / "results.json").read_text())["runs"][0]["recipe"]
    assert "format=TableFormat(header=False)" in said


def test_how_a_table_is_written_is_refused_elsewhere(table: Path, capsys: pytest.CaptureFixture[str]):
    assert "is for tables and tables of series" in refused(["compare", "wine", "--sep", ";"], capsys)
    assert "exclude each other" in refused(["compare", str(table), "--header", "--no-header"], capsys)
    assert "give one such as utf-8" in refused(["compare", str(table), "--encoding", "nope"], capsys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"epochs: caf\xe9", "cannot be read .*codec can't decode"),
        (b"epochs: &a [*a]", "the entry epochs.0 is list"),
        (b"&a {epochs: *a}", "the entry epochs is dict"),
        (b"methods: {erm: 1}", "the entry methods is dict, expected a list"),
        (b"methods: [erm, [mixup]]", r"the entry methods.1 is list"),
        (b"seeds: null", "the entry seeds is None"),
        (b"learning_rate: .nan", "the entry learning_rate is nan"),
        (b"- 1", "it is list, expected a mapping"),
        (b"epochs: 2020-01-01", "the entry epochs is date"),
        (b"[" * 3000, "cannot be read"),
    ],
)
def test_a_config_file_of_another_shape_is_named(
    content: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "c.yaml").write_bytes(content)
    arguments = ["compare", "wine", "--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out")]
    assert re.search(rf"c\.yaml.*{reason}", refused(arguments, capsys))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--learning-rate=1e39", "--learning-rate=1e-40", "--weight-decay=1e39"])
def test_rates_beyond_float32_are_refused_before_a_folder_is_made(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["train", "wine", option, "--epochs", "1", "--out", str(tmp_path / "out")]
    assert "must lie between 1e-30 and 1e+30" in refused(arguments, capsys)
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_trained(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    own = table.rename(tmp_path / "caf\udce9.csv")
    assert "is not UTF-8 text; rename" in refused(["train", str(own), "--target", "kind"], capsys)


def limited(command: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command in a shell, after another one, such as a limit."""
    line = f"{command}; exec {shlex.join([sys.executable, '-m', 'calmix.cli', *arguments])}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, **options)


def test_a_closed_or_full_stdout_is_no_traceback(tmp_path: Path):
    closed = limited("exec >&-", "datasets")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = limited("exec > /dev/full", "datasets")
    assert (full.returncode, full.stderr) == (2, "calmix: stdout: No space left on device.\n")


def test_too_little_memory_to_load_anything_is_said(tmp_path: Path):
    found = limited("ulimit -v 400000", "compare", "wine", "--out", str(tmp_path / "out"))
    assert found.returncode == 2
    assert found.stderr.startswith("calmix: the limit of 409 MB of memory is too low for PyTorch; allow 1200 MB")


def test_figures_need_no_backend_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    main(["datasets"])
    assert os.environ["MPLBACKEND"] == "agg"


def test_a_fault_of_calmix_is_told_from_bad_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def fail(arguments: list[str]) -> None:
        raise KeyError("secret")

    monkeypatch.setitem(COMMANDS, "methods", replace(COMMANDS["methods"], run=fail))
    with pytest.raises(SystemExit) as stopped:
        main(["methods"])
    assert stopped.value.code == 70
    assert "a fault of calmix, please report it (KeyError: 'secret')" in capsys.readouterr().err
    monkeypatch.setenv("CALMIX_TRACEBACK", "1")
    with pytest.raises(KeyError, match="secret"):
        main(["methods"])


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "wine", "--method", "erm", "--epochs", "1", "--train-size", "20"],
        ["diagnose", "two_moons", "--methods", "mixup", "--seeds", "1", "--epochs", "1", "--train-size", "20",
         "--pairs", "40", "--oracle-rows", "40", "--oracle-epochs", "1", "--labels-only"],
    ],
    ids=["train", "diagnose"],
)  # fmt: skip
def test_a_full_disk_leaves_one_sentence_and_nothing_half_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A limit on the size of files stands in for it: the same error, of the same call."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        sentence = refused([*arguments, "--out", str(tmp_path / "out")], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in sentence
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------- tune


def test_tune_begins_with_plain_training_where_values_are_predicted(tmp_path: Path):
    search = ["--budget", "16", "--epochs", "1", "--fresh-seeds", "1", "--workers", "1", "--quiet"]
    main(["tune", "diabetes", *search, "--out", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "tuning.json").read_text())["trials"][0]["family"] == "erm"


def test_tune_ends_with_a_command_that_trains_the_winner(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    data = [str(table), "--target", "kind", "--drop", "id", "--batch-size", "16"]
    search = ["--methods", "mixup", "erm", "--budget", "8", "--epochs", "2", "--fresh-seeds", "1", "--workers", "1"]
    main(["tune", *data, *search, "--out", str(out)])
    printed = capsys.readouterr()
    assert f"report: {out / 'report.html'}" in printed.out
    [line] = [line for line in printed.out.splitlines() if line.startswith("  calmix train ")]
    words = shlex.split(line)
    assert words[2:9] == [str(table), "--target", "kind", "--drop", "id", "--batch-size", "16"]
    found = json.loads((out / "tuning.json").read_text())
    winner = next(trial for trial in found["trials"] if f"{trial['family']} {trial['number']}" == found["winner"])
    main([*words[1:], "--out", str(tmp_path / "network"), "--quiet"])
    stored = json.loads((tmp_path / "network" / "results.json").read_text())
    for name in ("epochs", "batch_size", "weight_decay"):
        assert stored["settings"][name] == winner["settings"][name]
    assert stored["runs"][0]["method"] == winner["text"]
    page = (out / "report.html").read_text()
    assert "calmix tune" in page
    main(["tune", *data, *search, "--out", str(out), "--resume", "--quiet"])
    assert capsys.readouterr().out.endswith(f"report: {out / 'report.html'}\n")
    (out / "report.html").unlink()
    main(["report", str(out)])
    assert capsys.readouterr().out == printed.out
    assert without_command((out / "report.html").read_text()) == without_command(page)
    assert "this is a search: leave it out" in refused(["report", str(out), "--reference", "erm"], capsys)
    (out / "tuning.json").unlink()
    said = refused(["report", str(out)], capsys)
    assert said.rstrip().endswith(f"--workers 1 --out {out} --quiet --resume")
    assert "holds a search that has not ended. Of 8 plain trainings to search with" in said


def without_command(page: str) -> str:
    """A page without the line of the command that wrote it."""
    return "".join(line for line in page.splitlines() if "calmix tune" not in line)


def test_tune_refuses_what_it_cannot_search(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    quick = ["tune", "wine", "--epochs", "1", "--quiet", "--out", str(tmp_path / "out")]
    assert "budget of 5 trainings is too small" in refused([*quick, "--budget", "5"], capsys)
    assert "mixup_idle has nothing to tune" in refused([*quick, "--methods", "mixup_idle"], capsys)
    assert "cutmix pastes boxes into images" in refused([*quick, "--methods", "cutmix"], capsys)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("{}")
    assert "already holds a comparison" in refused([*quick, "--budget", "20"], capsys)
