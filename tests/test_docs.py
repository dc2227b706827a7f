"""The Python in the documents runs as it stands there."""

import inspect
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import calmix
from calmix.cli import COMMANDS, checks, main, objects
from calmix.errors import CalmixError
from calmix.methods.spaces import SPACES, Between
from calmix.models import MODELS, build, read_model, with_output

ROOT = Path(__file__).parents[1]


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_s_loop_and_composition_run():
    model = nn.Linear(4, 10)
    names: dict[str, Any] = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "dataset": [(torch.randn(4), k % 10) for k in range(40)],
        "loader": [(torch.randn(8, 4), torch.randint(10, (8,)))] * 3,
    }
    before = model.weight.detach().clone()
    for code in blocks("README.md"):
        exec(code, names)
    assert list(names["found"].table().index) == ["erm", "mixup", "sk_mixup"]
    assert str(names["found"].verdict).startswith(("Take ", "No difference could be told "))
    assert not torch.equal(model.weight, before)
    assert torch.isfinite(names["loss"])
    assert isinstance(names["method"], calmix.parts.Method)


def test_every_kind_of_batch_has_an_example_that_runs():
    names: dict[str, Any] = {"__name__": "batches"}
    sections = (ROOT / "docs/batches.md").read_text(encoding="utf-8").split("\n## ")
    for section in sections:
        (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        names.pop("loss", None)
        exec(code, names)
        assert "loss" not in names or torch.isfinite(names["loss"]), section
    assert len(sections) == 1 + 15


def test_the_experiment_as_a_value_can_be_edited():
    names: dict[str, Any] = {}
    (code,) = blocks("docs/reproduction.md")
    exec(code, names)
    assert list(names["comparison"].methods) == ["erm", "mixup"]


def test_the_evaluation_of_predictions_runs():
    names: dict[str, Any] = {"__name__": "evaluation"}
    for code in blocks("docs/evaluation.md"):
        exec(code, names)
    assert 0 < names["evaluation"].value("ece") < 1
    assert set(names["evaluation"].corrections) == {"scaled", "vector", "matrix", "isotonic"}
    assert names["numbers"].task == "regression"
    assert names["sets"].shape == (100, 3)


def test_the_training_with_checkpoints_runs_and_its_commands_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (code,) = blocks("docs/long_runs.md")
    exec(code, names)
    assert len(names["trained"].history) == 5
    text = (ROOT / "docs/long_runs.md").read_text(encoding="utf-8")
    commands = re.findall(r"^calmix (compare|train) (.*)$", text, re.MULTILINE)
    assert len(commands) == 8
    for name, options in commands:
        assert objects.settings_of(COMMANDS[name].parser().parse_args(shlex.split(options))).epochs >= 20


def test_the_search_of_the_document_runs_and_its_ranges_are_those_that_are_searched():
    names: dict[str, Any] = {"__name__": "tune"}
    for code in blocks("docs/tune.md"):
        exec(code, names)
    assert names["recipe"].settings.epochs <= 2
    assert names["weak"].method({"strength": 0.07}) == calmix.mixup(alpha=0.07)
    text = (ROOT / "docs/tune.md").read_text(encoding="utf-8")
    for line in re.findall(r"^calmix (tune .*)$", text, re.MULTILINE):
        assert COMMANDS["tune"].parser().parse_args(shlex.split(line)[1:]).data in ("wine", "phoneme.csv.gz")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    for option, ends in rows.items():
        ranges = {space[option] for space in SPACES.values() if option in space}
        if option != "per_row":
            low, high = (float(end.split()[0]) for end in ends.split(" | "))
            assert Between(low, high) in ranges


def test_the_loop_of_auto_runs_and_its_commands_can_be_read(capsys: pytest.CaptureFixture[str]):
    names: dict[str, Any] = {}
    (code,) = blocks("docs/auto.md")
    exec(code, names)
    assert float(capsys.readouterr().out) > 2  # of noise: it learns by heart, and mixes more
    assert names["training_loss"].strength is None  # plain training ends the run
    text = (ROOT / "docs/auto.md").read_text(encoding="utf-8")
    commands = re.findall(r"^calmix (compare|train) (.*)$", text, re.MULTILINE)
    assert len(commands) == 6
    for name, written in commands:
        options = COMMANDS[name].parser().parse_args(shlex.split(written))
        methods = options.methods if name == "compare" else [options.method]
        assert any(method.controlled for method in objects.methods_of(checks.asked_methods(methods, [])).values())


def test_the_loop_of_several_devices_runs_and_its_commands_can_be_read(tmp_path: Path):
    (code,) = blocks("docs/devices.md")
    store = f"file://{tmp_path / 'store'}"
    names: dict[str, Any] = {"init_method": store, "rank": 0, "world_size": 1}
    exec(code, names)
    assert 0 <= names["accuracy"] <= 1
    assert not torch.distributed.is_initialized()
    text = (ROOT / "docs/devices.md").read_text(encoding="utf-8")
    commands = re.findall(r"calmix train (.*)$", text, re.MULTILINE)
    assert len(commands) == 5
    for options in commands:
        assert objects.settings_of(COMMANDS["train"].parser().parse_args(shlex.split(options))).devices in (2, 8)


def test_the_ways_of_clusters_are_what_their_document_says(tmp_path: Path):
    """The files for SLURM and ssh are run, with a calmix that writes down what it is asked for."""
    text = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
    slurm = ROOT / "docs/clusters/slurm.sh"
    assert f"```sh\n{slurm.read_text()}```" in text
    plan, work, report, *dask = re.findall(r"^calmix (.*)$", text, re.MULTILINE)
    addresses = [COMMANDS[line.split()[0]].parser().parse_args(line.split()[1:]).scheduler for line in dask]
    assert addresses == ["tcp://head:8786", "local", "tcp://head:8786"]
    assert COMMANDS["compare"].parser().parse_args(shlex.split(plan)[1:]).plan
    assert [line.split() for line in (work, report)] == [["work", "grid"], ["report", "grid"]]
    for name, content in {"calmix": 'echo "$@" >> asked', "ssh": 'echo "$1" >> hosts; exec sh -c "$2"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{content}\n")
        (tmp_path / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "20"}
    slurm_s = ["bash", slurm, "my grid"], {**given, "SLURM_CPUS_PER_TASK": "4"}
    for command, variables in (slurm_s, (["sh", ROOT / "docs/clusters/ssh.sh", "my grid", "one", "two"], given)):
        subprocess.run(command, cwd=tmp_path, env=variables, check=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["work my grid --shard 3/20 --workers 4", "work my grid", "work my grid", "report my grid"]
    assert sorted((tmp_path / "hosts").read_text().split()) == ["one", "two"]
    kubernetes = yaml.safe_load((ROOT / "docs/clusters/kubernetes.yaml").read_text())["spec"]
    [container] = kubernetes["template"]["spec"]["containers"]
    assert f'--shard "$((JOB_COMPLETION_INDEX + 1))/{kubernetes["completions"]}"' in container["command"][2]
    (code,) = blocks("docs/clusters.md")
    pool = 'ProcessPoolExecutor(2, get_context("spawn"))'  # see tests/engines/test_elsewhere.py
    names: dict[str, Any] = {"__name__": "__main__", "ThreadPoolExecutor": ThreadPoolExecutor}
    assert pool in code
    exec(code.replace(pool, "ThreadPoolExecutor(1)"), names)
    assert names["found"].results.seeds == 2


def test_loaders_are_compared():
    names: dict[str, Any] = {"__name__": "loaders"}
    (code,) = blocks("docs/loaders.md")
    exec(code, names)
    assert names["found"].results.facts.data.sizes["test"] == 100


def test_an_exported_network_runs_as_the_document_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from calmix.train.onnx_file import export_onnx

    monkeypatch.chdir(tmp_path)
    in_python, elsewhere = blocks("docs/predict.md")
    names: dict[str, Any] = {"__name__": "predict"}
    exec(in_python, names)
    export_onnx(names["network"], tmp_path / "late.onnx")
    exec(elsewhere, names)
    assert names["features"] == ["x", "town_Lima", "town_Oslo"]
    assert names["probabilities"].shape == (2, 2)


def test_what_is_printed_of_columns_is_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("docs/columns.md")
    exec(code, {})
    text = (ROOT / "docs/columns.md").read_text(encoding="utf-8")
    command = re.findall(r"`calmix (.*?)` prints", text)[0]
    main(command.split())
    printed = [line.rstrip() for line in capsys.readouterr().out.strip("\n").split("\n")]
    assert "\n".join(printed) in text


def test_what_is_said_of_splits_is_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("docs/splits.md")
    exec(code, {})
    text = (ROOT / "docs/splits.md").read_text(encoding="utf-8")
    found = re.findall(r"```\n(calmix .*?)\n```\n\n```\n(.*?)\n```", text, re.DOTALL)
    assert len(found) == 4
    for command, said in found:
        main(command.split()[1:])
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in said.split("\n") if line not in printed] == [], (command, printed)


def test_the_contributor_s_example_is_a_method():
    names: dict[str, Any] = {"__name__": "sharp_mixup"}
    (code,) = blocks("CONTRIBUTING.md")
    exec(code, names)
    training_loss = calmix.TrainingLoss(names["sharp_mixup"](), calmix.Classification(3))
    training_loss(nn.Linear(4, 3), torch.randn(64, 4), torch.randint(3, (64,))).backward()
    mix = training_loss.mix
    assert mix is not None
    assert ((mix.lam_y - 0.5) * (mix.lam_x - 0.5) >= 0).all()
    assert (torch.abs(mix.lam_y - 0.5) >= torch.abs(mix.lam_x - 0.5)).all()


def test_the_examples_of_own_data_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    in_python, lists = blocks("docs/own_data.md")
    names: dict[str, Any] = {}
    exec(in_python, names)
    assert len(names["splits"].test) == 40
    assert set(names["answers"]) <= {"0", "1"}
    recordings = tmp_path / "fsdd" / "recordings"
    recordings.mkdir(parents=True)
    for digit, speaker, take in ((7, "jackson", 4), (7, "theo", 5), (0, "theo", 12)):
        (recordings / f"{digit}_{speaker}_{take}.wav").touch()
    exec(lists, {})
    assert (tmp_path / "official.csv").read_text().splitlines() == [
        "file,label,split", "0_theo_12.wav,0,train", "7_jackson_4.wav,7,test", "7_theo_5.wav,7,train",
    ]  # fmt: skip
    assert (tmp_path / "speakers.csv").read_text().splitlines()[1] == "0_theo_12.wav,0,theo"


def test_links_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = document.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            if link.startswith("http"):
                continue
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), f"{document.name}: {link}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
                assert anchor in slugs, f"{document.name}: {link}"


def test_the_networks_of_the_document_are_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own, in_python, _ = blocks("docs/networks.md")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(own)
    assert build(read_model("nets.py:small_vit(width=8)"), (1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    text = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    for options, message in (("(patch=3)", "patch must divide 8"), ("(patches=2)", "unknown option")):
        with pytest.raises(CalmixError, match=message) as raised:
            build(read_model(f"nets.py:small_vit{options}"), (1, 8, 8), 10)
        assert f"calmix: {raised.value}\n" in text
    names: dict[str, Any] = {}
    exec(own, names)
    exec(in_python, names)
    assert len(names["found"].table()) == 6


def test_the_transformer_of_the_document_is_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    hugging = blocks("docs/networks.md")[2]
    (tmp_path / "hugging.py").write_text(hugging)
    net = build(with_output(read_model("hugging.py:tiny_vit"), "logits"), (1, 8, 8), 10)
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_every_network_is_in_its_document_with_its_options():
    text = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| name \|.*?\n\n", text, re.DOTALL)
    rows = [line.split(" | ") for line in table.splitlines()[2:] if line]
    listed = {name: row[-1].strip(" |`") for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert list(listed) == list(MODELS)
    for name, factory in MODELS.items():
        parameters = list(inspect.signature(factory).parameters.values())[2:]
        assert listed[name] == ", ".join(f"{each.name}={each.default}" for each in parameters)


def test_the_folder_of_images_of_the_document_is_compared_trained_predicted_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALMIX_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for folder, each in (("photos", 12), ("new_images", 10)):
        for k, name in enumerate(("cat", "dog")):
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(80 * k, 80 * k + 175, (40, 30, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / name / f"{number}.jpg")
    text = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```\n(calmix.*?)```", text, re.DOTALL)
    for line in commands.splitlines():
        main([*line.split()[1:], *(["--model", "mlp"] if line.split()[1] in ("compare", "train") else [])])
    names: dict[str, Any] = {}
    (code,) = blocks("docs/images.md")
    exec(code.replace("compare(\n", "compare(\n    calmix.models.mlp,\n"), names)
    assert names["probs"].shape == (20, 2)
    said = pd.read_csv("said.csv")
    assert list(said.columns) == ["file", "probs_cat", "probs_dog", "answer", "set", "label"]
    assert np.allclose(said[["probs_cat", "probs_dog"]], names["probs"])
