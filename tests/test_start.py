"""How soon the command answers: what a page, a list or a mistyped word needs is loaded, and PyTorch is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from calmix.cli import COMMANDS

PNG = bytes.fromhex(  # of one pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010100000000376ef9240000000a49444154789c636000000002000148afa471"
    "0000000049454e44ae426082"
)
WITHOUT_TORCH = [
    *([name, "--help"] for name in COMMANDS),
    ["--help"],
    ["methods"],
    ["datasets"],
    ["--print-completion", "bash"],
]
PLANNED = """{"command": ["calmix", "compare", "digit"], "versions": {"torch": "0.0"},
 "jobs": [{"job": 1, "method": "erm", "seed": 0, "hash": "0"}]}"""
LONG = ["--series-id", "who", "--series-time", "when"]
REFUSED = [
    (["compair", "digits"], "unknown command 'compair'"),
    (["compare", "digits", "--epocs", "3"], "--epocs"),
    (["evaluate", "x.npz", "--binz", "3"], "--binz"),
    (["compare", "digits", "--epochs", "many"], "epochs"),
    (["compare", "digits", "--epochs", "0"], "epochs must be at least 1"),
    (["train", "digits", "--optimizer", "sdg"], "unknown optimizer 'sdg'"),
    (["train", "digits", "--checkpoint-minutes", "0"], "checkpoint_minutes must be a positive number; got 0"),
    (["compare", "digits", "--logger", "cvs"], "unknown logger 'cvs'; did you mean 'csv'?"),
    (["train", "digits", "--logger", "csv", "csv"], "a logger is named twice in csv, csv"),
    (["compare", "digits", "--quiet", "--verbose"], "--quiet and --verbose exclude each other; give one of them"),
    (["diagnose", "digits", "--quiet", "--verbose"], "--quiet and --verbose exclude each other; give one of them"),
    (["compare", "digit"], "unknown data set 'digit'"),
    (["diagnose", "digit"], "unknown data set 'digit'"),
    (["compare", "digits", "--task", "regresion"], "unknown task 'regresion'"),
    (["compare", "digits", "--methods", "erm", "mixap(alpha=1.0)"], "unknown method 'mixap'; did you mean 'mixup'?"),
    (["train", "digits", "--method", "sometime(mixup, p=0.5)"], "unknown method 'sometime'; did you mean 'sometimes'?"),
    (["diagnose", "digits", "--methods", "mixup(", "erm"], "cannot read 'mixup('"),
    (["compare", "digits", "--set", "mixap.alpha=1"], "unknown method in --set 'mixap'"),
    (["compare", "missing.csv", "--target", "y"], "file not found: missing.csv"),
    (["train", "own.csv", "--target", "knd"], "unknown target column 'knd'; did you mean 'kind'?"),
    (["compare", "own.csv"], "no target column was given for own; name one with --target: 'height', 'kind'."),
    (["diagnose", "own.csv", "--target", "kind", "--drop", "kind"], "'kind' is the target, and cannot be dropped"),
    (["train", "own.csv", "--target", "kind", "--test", "missing.csv"], "file not found: missing.csv"),
    (["train", "own.csv", "--target", "kind", "--test", "./own.csv"], "--test is own.csv, the training file"),
    (["compare", "own.csv", "--target", "kind", "--validation", "few.csv"], "few.csv lacks the column 'kind'"),
    (["compare", "own.csv", "--target", "kind", "--group", "hight"], "unknown group column 'hight'; did you mean"),
    (["diagnose", "own.csv", "--target", "kind", "--time", "kind"], "'kind' is the target, and cannot be the time"),
    (["compare", "missing.npz"], "file not found: missing.npz"),
    (
        ["compare", "own.npz", "--target", "kind"],
        "target is for tables, tables of series and shards of images, and own.npz holds arrays",
    ),
    (
        ["compare", "own.csv", "--target", "kind", "--seconds", "1"],
        "seconds is for audio files, and own.csv holds tables",
    ),
    (["train", "sounds", "--labels", "missing.csv"], "file not found: missing.csv"),
    (["train", "sounds", "--sep", ";"], "sep is for tables and tables of series, and sounds holds audio files"),
    (["train", "empty"], "empty holds no files that a folder of data may hold"),
    (["train", "own.csv", "--target", "kind", "--series-id", "height"], "need three columns"),
    (["train", "own.csv", *LONG, "--target", "kind"], "unknown series id column 'who'; known: height, kind."),
    (["predict", "net", "own.csv", "--labels", "missing.csv"], "file not found: missing.csv"),
    (["compare", "photos", "--image-size", "0"], "image_size must be from 1 to 4096 pixels; got 0"),
    (["train", "photos", "--sep", ";"], "sep is for tables and tables of series, and photos holds folders of images"),
    (["train", "photos"], "1 image cannot be read in photos: a/1.png (it is empty); replace or remove it."),
    (
        ["compare", "own.csv", "--target", "kind", "--image-size", "9"],
        "image_size is for folders of images and shards of images, and own.csv",
    ),
    (["evaluate", "missing.csv"], "file not found: missing.csv"),
    (["evaluate", "own.csv", "--ood", "missing.npz"], "file not found: missing.npz"),
    (["predict", "net", "missing.csv"], "file not found: missing.csv"),
    (["predict", "net", "own.csv", "--out", "./own.csv"], "--out is own.csv, the table that is read"),
    (["report", "missing"], "missing holds no results.json"),
    (["export", "missing", "--onnx"], "folder not found: missing"),
    (["train", "digits", "--all-data", "--select", "best"], "--select best needs validation rows"),
    (["compare", "digits", "--workers", "0"], "workers must be at least 1; got 0"),
    (["compare", "digits", "--run-timeout", "0"], "run_timeout must be a positive number; got 0"),
    (["tune", "digits", "--run-timeout", "-1"], "run_timeout must be a positive number; got -1"),
    (["work", "planned", "--run-timeout", "0"], "run_timeout must be a positive number; got 0"),
    (
        ["compare", "digits", "--scheduler", "head:8786"],
        "the scheduler is 'head:8786'; give its address, such as tcp://",
    ),
    (["tune", "digits", "--scheduler", "tcp://head:8786", "--workers", "2"], "tcp://head:8786 has its own workers"),
    (["compare", "digits", "--plan", "--scheduler", "local"], "calmix work, which needs no --scheduler"),
    (["compare", "digits", "--allow-mixed"], "--allow-mixed is for the workers of a cluster; give --scheduler, too"),
    (["tune", "digits", "--ship-data"], "--ship-data is for the workers of a cluster; give --scheduler, too"),
    (["work", "missing"], "missing holds no jobs.json; make one with `calmix compare DATA --out missing --plan`"),
    (["work", "planned", "--job", "2"], "there is no job 2; the jobs are 1 to 1."),
    (["work", "planned", "--shard", "2/1"], "the shard is '2/1'"),
    (["work", "planned"], "this machine has other versions than the machine of the comparison: torch"),
    (["work", "planned", "--allow-mixed"], "unknown data set 'digit'"),
    (["tune", "digit"], "unknown data set 'digit'"),
    (
        ["tune", "digits", "--budget", "soon"],
        "the budget is 'soon'; give a number of trainings such as 60, or of minut",
    ),
    (["tune", "digits", "--budget", "-3"], "the budget is '-3'"),
    (["tune", "digits", "--methods", "erm", "mixap"], "unknown method 'mixap'; did you mean 'mixup'?"),
    (["tune", "digits", "--search", "tpee"], "unknown search 'tpee'; did you mean 'tpe'?"),
    (["tune", "digits", "--fresh-seeds", "0"], "need a fresh seed or more; got 0"),
    (["train", "digits", "--all-data", "--method", "auto(rate=1)"], "--method auto needs validation rows"),
]

ANSWERS = """
import contextlib, io, json, sys
from calmix.cli import main

for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main(arguments)
        except SystemExit:
            pass
    loaded = [name for name in ("torch", "scipy", "sklearn", "matplotlib", "rich") if name in sys.modules]
    print(json.dumps([said.getvalue(), loaded]))
"""


def answers(commands: list[list[str]], folder: Path) -> list[tuple[str, list[str]]]:
    """What each command says on stderr, and what is loaded after it, all in one new process."""
    (folder / "own.csv").write_text("height,kind\n" + "1.5,a\n2.5,b\n" * 30)
    (folder / "few.csv").write_text("height,size\n" + "1.5,a\n2.5,b\n" * 30)
    (folder / "own.npz").touch()
    (folder / "empty").mkdir()
    (folder / "planned").mkdir()
    (folder / "planned" / "jobs.json").write_text(PLANNED)
    (folder / "sounds" / "yes").mkdir(parents=True)
    (folder / "sounds" / "yes" / "1.wav").touch()
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name / "1.png").write_bytes(PNG)
    (folder / "photos" / "a" / "1.png").write_bytes(b"")
    asked = [sys.executable, "-c", ANSWERS, json.dumps(commands)]
    result = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=folder)
    return [tuple(json.loads(line)) for line in result.stdout.splitlines()]


def test_pages_and_lists_do_not_load_pytorch(tmp_path: Path):
    for command, (said, loaded) in zip(WITHOUT_TORCH, answers(WITHOUT_TORCH, tmp_path), strict=True):
        assert (said, loaded) == ("", []), command


def test_what_is_mistyped_is_refused_before_pytorch_is_loaded(tmp_path: Path):
    found = answers([arguments for arguments, _ in REFUSED], tmp_path)
    for (arguments, message), (said, loaded) in zip(REFUSED, found, strict=True):
        assert message in said, arguments
        assert loaded == [], arguments


@pytest.mark.parametrize(
    "code",
    [
        "from calmix.train import TrainingSettings; TrainingSettings(precision='bf16')",
        "from calmix.data import TASKS, TableFormat; from calmix.data.table.files import read_table",
        "import calmix; calmix.TrainingSettings()",
    ],
)
def test_settings_and_tables_do_not_load_pytorch(code: str):
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("False\n", "")
