"""A network's ONNX file says what the network says, for any number of rows, in onnxruntime alone."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.cli import main
from calmix.data.sources import Frame
from calmix.data.table.new_rows import TableEncoding
from calmix.errors import SettingError
from calmix.models import build, read_model
from calmix.studies.comparison.kept import train_and_keep
from calmix.train import Recipe, TrainingSettings
from calmix.train import onnx_file as module
from calmix.train.onnx_file import export_onnx
from calmix.train.saved import Predictor, Saved, load

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


def predictor(network: nn.Module, shape: tuple[int, ...], outputs: int, task: str, **facts: Any) -> Predictor:
    classes = {"classification": tuple(map(str, range(outputs))), "binary": ("no", "yes"), "regression": ()}[task]
    temperature = None if task == "regression" else 0.3
    saved = Saved(
        "0", "own", shape, outputs, task, "table", classes, 0.0, 1.0, temperature, None, "", ""  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return Predictor(replace(saved, **facts), network.eval(), torch.zeros(3))


def run_file(path: Path, rows: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"rows": rows.numpy()})[0]


NETS = {"mlp": (5,), "vit(depth=1,width=24)": (3, 8, 8), "lstm(width=8)": (7, 3)}
SLOW = {"resnet18(width=8)": (1, 8, 8), "gru(width=8,depth=2)": (7, 3)}


@pytest.mark.parametrize("name", [*NETS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_probabilities_are_those_of_pytorch_for_any_number_of_rows(name: str, tmp_path: Path):
    torch.manual_seed(0)
    shape = (NETS | SLOW)[name]
    net = build(read_model(name), shape, 4)
    ours = predictor(net, shape, 4, "classification")
    export_onnx(ours, tmp_path / "net.onnx")
    for count in (1, 3, 40):
        rows = 2 * torch.randn(count, *shape)
        with torch.no_grad():
            expected = (net(rows) / 0.3).softmax(1)
        assert np.allclose(run_file(tmp_path / "net.onnx", rows), expected.numpy(), atol=1e-5)


def test_one_logit_becomes_two_probabilities_and_values_have_their_unit(tmp_path: Path):
    linear, rows = nn.Linear(2, 1), torch.randn(9, 2)
    export_onnx(predictor(linear, (2,), 1, "binary"), tmp_path / "binary.onnx")
    with torch.no_grad():
        yes = torch.sigmoid(linear(rows) / 0.3)[:, 0]
    said = run_file(tmp_path / "binary.onnx", rows)
    assert said.shape == (9, 2)
    assert np.allclose(said[:, 1], yes.numpy(), atol=1e-6)
    pair = nn.Linear(2, 2)
    scales = {"target_mean": (5.0, -700.0), "target_std": (2.0, 30.0)}
    export_onnx(predictor(pair, (2,), 2, "regression", **scales), tmp_path / "values.onnx")
    with torch.no_grad():
        values = pair(rows) * torch.tensor([2.0, 30.0]) + torch.tensor([5.0, -700.0])
    assert np.allclose(run_file(tmp_path / "values.onnx", rows), values.numpy(), rtol=1e-5)


def test_a_file_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = predictor(nn.Linear(2, 3), (2,), 3, "classification")
    whole = module._Whole.forward
    monkeypatch.setattr(module._Whole, "forward", lambda self, rows: whole(self, rows) * 1.001)
    with pytest.raises(SettingError, match=r"differ by 0.001 of the largest number for 1 rows, and 0.0001 is allowed"):
        export_onnx(ours, tmp_path / "net.onnx")
    monkeypatch.setattr(module._Whole, "forward", lambda self, rows: whole(self, rows) * 1.00003)
    export_onnx(ours, tmp_path / "net.onnx")


class ByValue(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * (2 if input.sum() > 0 else 1)


class ByCount(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.bias.expand(len(input), -1)


def test_networks_that_are_no_fixed_graph_are_refused(tmp_path: Path):
    with pytest.raises(SettingError, match=r"own cannot be exported to ONNX .*fixed graph of torch's functions"):
        export_onnx(predictor(ByValue(2, 3), (2,), 3, "classification"), tmp_path / "net.onnx")
    with pytest.raises(SettingError, match=r"for one number of rows alone; take x.shape\[0\] in its forward"):
        export_onnx(predictor(ByCount(2, 3), (2,), 3, "classification"), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_lacking_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(
        SettingError, match=r"an export needs onnxscript; install it with: pip install 'calmix\[onnx\]'"
    ):
        module.check_installed()


NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.head = nn.Linear(features, classes)

    def forward(self, x):
        return {"logits": self.head(x)}


def net(shape, num_classes):
    return Net(shape[0], num_classes)
"""
ALONE = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
facts = session.get_modelmeta().custom_metadata_map
rows = np.array(json.loads(sys.argv[2]), np.float32)
found = session.run(None, {"rows": rows})[0]
assert "torch" not in sys.modules
print(json.dumps([facts, found.tolist(), [each.name for each in session.get_outputs()]]))
"""


def test_from_the_command_to_a_program_without_pytorch(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "town": rng.choice(["Oslo", "Lima"], 200)})
    frame["late"] = np.where(frame.x + rng.normal(size=200) > 0, "yes", "no")
    (tmp_path / "nets.py").write_text(NET)
    frame.to_csv(tmp_path / "late.csv", index=False)
    own = ["--model", f"{tmp_path / 'nets.py'}:net", "--output", "logits"]
    folder = tmp_path / "late"
    main(["train", str(tmp_path / "late.csv"), "--target", "late", *own, "--epochs", "2", "--out", str(folder)])
    main(["export", str(folder), "--onnx", *own])
    assert "(ONNX, opset 18; within 0.0001 of PyTorch on random rows)" in capsys.readouterr().out
    network = load(folder, calmix.models.with_output(read_model(own[1]), "logits"))
    rows = network.encoding(frame[:5]).x[:]
    command = [sys.executable, "-c", ALONE, str(folder / "model.onnx"), json.dumps(rows.tolist())]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    facts, found, names = said
    assert names == ["probabilities"]
    assert np.allclose(found, network.predict_proba(frame[:5]), atol=1e-6)
    assert json.loads(facts["classes"]) == ["no", "yes"]
    assert json.loads(facts["features"]) == ["x", "town_Lima", "town_Oslo"]
    assert math.isclose(json.loads(facts["temperature"]), network.saved.temperature or 0)
    assert facts["calmix"] == calmix.__version__


def test_features_are_those_that_the_network_sees(tmp_path: Path):
    frame = pd.DataFrame({"a": np.arange(60.0), "b": ["u", "v", "w"] * 20, "y": ["n", "y"] * 30})
    recipe = Recipe(Frame(frame, "y"), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    train_and_keep(recipe, tmp_path / "net")
    encoding = load(tmp_path / "net").saved.encoding
    assert isinstance(encoding, TableEncoding)
    assert tuple(encoding.feature_names) == recipe.splits().about.features


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["nets"], "no format was given; name one: --onnx"),
        (["nets", "--onnx"], "folder not found: nets"),
        (["nets", "--onnx", "--out", "net.pt"], "give a file that ends in .onnx"),
    ],
)
def test_what_is_refused(arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["export", *arguments])
    assert stopped.value.code == 2
    assert advice in capsys.readouterr().err
