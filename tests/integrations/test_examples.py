"""The examples of docs/examples train on real data, and what they say of themselves is true."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import calmix

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning", "ignore:.*isinstance.treespec.*"
)


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps one state a process, and the examples ask for several precisions."""
    yield
    if importlib.util.find_spec("accelerate") is not None:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


def plain(epochs: int) -> nn.Module:
    """What the examples of Accelerate and Fabric do, in full precision, without either."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    training_loss = calmix.TrainingLoss(calmix.sk_mixup(), calmix.Classification(10), seed=0)
    for _ in range(epochs):
        for rows in torch.arange(400, len(x)).split(128):
            for part in rows.split(64):
                (training_loss(net, x[part], y[part]) / 2).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return net


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_plain_loop_learns_and_goes_on_where_it_was_stopped(tmp_path: Path):
    train = example("plain_loop").train
    whole, accuracy = train(tmp_path / "whole.pt", 10)
    train(tmp_path / "parts.pt", 4)
    again, _ = train(tmp_path / "parts.pt", 10)
    assert accuracy > 0.85
    assert same(whole, again)


def test_accelerate_gives_what_a_plain_loop_gives_and_goes_on_where_it_was_stopped(tmp_path: Path):
    pytest.importorskip("accelerate")
    train = example("accelerate_loop").train
    whole, _ = train(tmp_path / "whole", 4, precision="no")
    train(tmp_path / "parts", 2, precision="no")
    again, _ = train(tmp_path / "parts", 4, resume=True, precision="no")
    assert same(whole, plain(4))
    assert same(whole, again)


def test_accelerate_learns_in_bfloat16(tmp_path: Path):
    pytest.importorskip("accelerate")
    assert example("accelerate_loop").train(tmp_path, 10)[1] > 0.85


def test_fabric_gives_what_a_plain_loop_gives_and_goes_on_where_it_was_stopped(tmp_path: Path):
    train = example("fabric_loop").train
    whole, _ = train(tmp_path / "whole", 4, "32-true")
    train(tmp_path / "parts", 2, "32-true")
    again, _ = train(tmp_path / "parts", 4, "32-true")
    assert same(whole, plain(4))
    assert same(whole, again)


def test_fabric_learns_in_bfloat16(tmp_path: Path):
    assert example("fabric_loop").train(tmp_path / "newest", 10)[1] > 0.85


def test_the_lightning_module_learns_and_auto_follows_its_validation_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    logged = example("lightning_module").main()
    assert logged["val/accuracy"] > 0.95
    assert 0 < logged["train/strength"] < 0.5  # the digits are easy: it mixes less than at first
    assert logged["train/clean"] > 0  # plain training ends the run


METHODS = {"sk_mixup": calmix.sk_mixup(), "mixup_e": calmix.mixup_e(), "auto": calmix.auto()}
QUICK = {("transformers_images", "auto"), ("transformers_text", "sk_mixup")}
LEAST = {"transformers_images": 0.7, "transformers_text": 0.65}  # by chance 0.1 and 0.33


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(name, method, marks=() if (name, method) in QUICK else pytest.mark.slow)
        for name in LEAST
        for method in METHODS
    ],
)
def test_transformers_learn_by_each_method(name: str, method: str):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    assert example(name).main(METHODS[method])["eval_accuracy"] > LEAST[name]


def test_the_u_net_learns_the_digit_of_each_pixel():
    for method in (calmix.mixup(), calmix.cutmix()):
        accuracy, _ = example("segmentation").main(method, epochs=3)
        assert accuracy > 0.4  # by chance 0.1


def test_mixing_before_the_forward_learns():
    main = example("mixup_fn").main
    in_the_loop, in_the_loader = main(False), main(True)
    assert in_the_loop == in_the_loader > 0.85
