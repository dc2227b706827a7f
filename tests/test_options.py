"""The page of each command: groups, a line an option, its default in words, and examples that run."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import calmix
from calmix.cli import COMMANDS, checks, main, objects
from calmix.methods.defaults import COMPARED, TRAINED, TUNED
from calmix.studies.comparison.defaults import DEFAULT_FOLDS, DEFAULT_SEEDS, FEW_TEST_ROWS
from calmix.studies.diagnosis.oracle import OracleSettings
from calmix.train import TrainingSettings

EXAMPLES = [line for command in COMMANDS.values() for line in command.examples.values()]


def page(name: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def entries(page: str) -> dict[str, str]:
    """What each option does, by its name: the words from the third column on."""
    found: dict[str, str] = {}
    name = ""
    for line in page.partition("\nexamples:")[0].splitlines():
        if started := re.match(r"  (-h, --help|--[a-z-]+|[A-Z]+)(?: \S+)*?(?:  +(.*))?$", line):
            name = started[1]
            assert name not in found, f"{name} stands twice"
            found[name] = started[2] or ""
        elif line.startswith(" " * 10):
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    lines = page(name, width, monkeypatch, capsys).splitlines()
    assert [line for line in lines if len(line) > width - 2] == []


@pytest.mark.parametrize("name", ["compare", "work", "train", "tune", "evaluate", "diagnose", "report"])
def test_every_option_has_one_line_and_says_its_default(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    wide, narrow = (page(name, width, monkeypatch, capsys) for width in (120, 80))
    found = entries(wide)
    assert entries(narrow) == found  # nothing is cut
    parser = COMMANDS[name].parser()
    for action in parser._actions:
        if not action.option_strings or action.help == "==SUPPRESS==":
            continue
        option = ", ".join(action.option_strings)
        text = found[option]
        assert len(text) <= 120 - 2 - 28, f"{option} takes more than a line"
        assert text[0].islower() or text[:3] in (".np", "CPU") or text[0].isdigit(), option
        assert not re.search(r"type:|None|null|==|`|\[\]", text), text
        if action.nargs != 0 and option not in ("--print-config",):
            assert len(re.findall("default", text)) == 1, f"{option} does not say its default"


def test_options_stand_in_groups(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    titles = re.findall(r"^(\S.*):$", page("compare", 120, monkeypatch, capsys), re.MULTILINE)
    assert titles == [
        "data", "a table of your own", "a folder of images of your own", "recordings of your own",
        "series of your own, a row a step",
        "comparison", "training", "further measurements of images", "output", "general",
        "examples",
    ]  # fmt: skip


def test_defaults_in_words_are_the_defaults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    found = entries(page("compare", 120, monkeypatch, capsys))
    for setting in fields(TrainingSettings):
        text = found["--" + setting.name.replace("_", "-")]
        if setting.type is not bool and setting.default is not None:
            assert text.endswith(f"(default: {setting.default})")
    rates = [TrainingSettings(optimizer=name).peak_rate for name in ("sgd", "adamw")]
    assert f"(default: {rates[0]} for sgd, {rates[1]} for adamw)" in found["--learning-rate"]
    norms = [TrainingSettings().largest_gradient(task) for task in ("regression", "classification")]
    assert "(default: {:g} for regressions, else {:g})".format(*norms) in found["--max-grad-norm"]
    assert f"(default: {' '.join(COMPARED)})" in found["--methods"]
    assert f"(default: {DEFAULT_SEEDS} seeds, or {DEFAULT_FOLDS} folds twice" in found["--seeds"]
    assert f"for under {FEW_TEST_ROWS} test rows" in found["--folds"]
    diagnosis = entries(page("diagnose", 120, monkeypatch, capsys))
    assert f"(default: {OracleSettings.rows:,})" in diagnosis["--oracle-rows"]
    options = COMMANDS["diagnose"].parser().parse_args(["digits"])
    assert OracleSettings(options.oracle_rows, options.oracle_epochs) == OracleSettings()


def test_every_page_ends_in_three_examples_or_more(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name, command in COMMANDS.items():
        examples = page(name, 80, monkeypatch, capsys).partition("\nexamples:\n")[2].splitlines()
        assert [line.removeprefix("  ") for line in examples[1::2]] == list(command.examples.values())
        assert all(line.startswith("  # ") for line in examples[::2])
        assert len(command.examples) >= 3
        assert any(shlex.split(line)[1] == name for line in command.examples.values())


def files(folder: Path) -> None:
    """The user's files in the examples."""
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 24, 300).round(2)
    frame = pd.DataFrame({"hour": hours, "late": np.where(hours > 17, "yes", "no")})
    frame[:200].to_csv(folder / "flights.csv", index=False)
    frame[200:].to_csv(folder / "tomorrow.csv", index=False)
    for place in ("photos/cat", "photos/dog", "new_images"):
        (folder / place).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / place / f"{number}.png")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["compare", "digits", "--workers", "two"],
            "--workers must be a whole number; got 'two'. (see: calmix compare",
        ),
        (["compare", "digits", "--run-timeout", "nan"], "--run-timeout must be a number; got 'nan'. (see"),
        (["work", "jobs", "--job", "1", "b c"], "--job must be a whole number; got 'b c'. (see: calmix work"),
        (["compare", "digits", "--seeds", ""], "--seeds must be a whole number; got ''. (see"),
    ],
)
def test_a_value_of_another_kind_is_said_in_words(given: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"calmix: {said}")


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_can_be_read(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Everything but the runs, of which `test_every_example_runs` is the slow test."""
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    program, name, *rest = shlex.split(line)
    assert program == "calmix"
    if rest:
        options = COMMANDS[name].parser().parse_args(rest)
        if name in ("compare", "diagnose", "train", "tune"):
            default = TUNED if name == "tune" else COMPARED
            texts = [options.method or TRAINED] if name == "train" else options.methods or default
            assert objects.methods_of(checks.asked_methods(texts, [] if name == "tune" else options.set))
            checks.check_data(options)
            assert objects.settings_of(options).epochs >= 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the order in which they stand, in one folder."""
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in EXAMPLES:
        main(shlex.split(line)[1:])


def test_methods_are_completed_and_all_of_them_where_they_are_compared():
    known = {name: COMMANDS[name].parser()._option_string_actions["--methods"].known for name in ("compare", "tune")}  # pyright: ignore
    assert known == {"compare": ("ALL", *calmix.METHODS), "tune": tuple(calmix.METHODS)}
