"""The examples run and show what they say, the document's code runs, and skorch's loop is the plain one."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import calmix
from calmix.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/scikit_learn.md").read_text(encoding="utf-8")


def run(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/examples" / name), run_name="__main__")


def test_a_search_in_a_pipeline(capsys: pytest.CaptureFixture[str]):
    found = run("sklearn_pipeline.py")
    assert len(found["y_test"]) == 143
    assert found["accuracy"] > 0.95
    assert found["nll"] < 0.13
    assert found["error"] < 0.05
    assert capsys.readouterr().out.count("\n") == 2


def test_numbers_are_predicted_better_with_mixing():
    scores = run("sklearn_diabetes.py")["scores"]
    assert scores["c_mixup"] > 0.4 > scores["erm"] + 0.05


def test_skorch_trains_with_mixing():
    pytest.importorskip("skorch")
    found = run("skorch_digits.py")
    assert found["accuracy"] > 0.95
    assert found["nll"] < 0.25
    losses = found["net"].history[:, "valid_loss"]
    assert losses[-1] < losses[0] / 2


def plain(x: torch.Tensor, y: torch.Tensor, epochs: int) -> nn.Module:
    network = linear()
    training_loss = calmix.TrainingLoss(calmix.mixup(), calmix.Classification(3))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(epochs):
        for rows, labels in zip(x.split(20), y.split(20), strict=True):
            optimizer.zero_grad()
            training_loss(network, rows, labels).backward()
            optimizer.step()
    return network


def linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(4, 3)


def test_a_fit_of_skorch_is_the_plain_loop():
    pytest.importorskip("skorch")
    (code,) = [block for block in blocks() if "class MixupNet" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(3, size=50)
    net = names["MixupNet"](
        linear(),
        criterion=calmix.TrainingLoss,
        criterion__method=calmix.mixup(),
        criterion__task=calmix.Classification(3),
        train_split=None,
        lr=0.1,
        batch_size=20,
        max_epochs=3,
        verbose=0,
    ).fit(x, y)
    expected = plain(torch.tensor(x), torch.tensor(y), 3)
    for one, other in zip(net.module_.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    loss = nn.functional.cross_entropy(expected(torch.tensor(x)), torch.tensor(y)).item()
    assert net.get_loss(net.forward(x), torch.tensor(y)).item() == pytest.approx(loss, rel=1e-5)
    assert names["net"].get_params()["criterion__method"] == calmix.sk_mixup()


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_code_and_the_command_of_the_document_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for code in blocks():
        if "MixupNet" not in code:
            exec(code, {})
    accuracy = float(capsys.readouterr().out.split()[0])
    assert accuracy > 0.95
    (command,) = re.findall(r"^calmix (evaluate .*)$", DOCUMENT, re.MULTILINE)
    main(command.split())
    assert "CRPS" in capsys.readouterr().out
    named = set(re.findall(r"^python (docs/examples/\S+)$", DOCUMENT, re.MULTILINE))
    assert named == {f"docs/examples/{name}.py" for name in ("sklearn_pipeline", "sklearn_diabetes", "skorch_digits")}


# ------------------------------------------------------------------------------------------ other people's predictions


def evaluated(code: str, **names: Any) -> Any:
    """What the table of the document says to do with another library's arrays."""
    (call,) = [found for found in re.findall(r"`(calmix\.evaluate\(.*\))` \|", DOCUMENT) if code in found]
    return eval(call, {"calmix": calmix, **names})


def test_members_of_a_torch_uncertainty_ensemble_are_averaged():
    generator = torch.Generator().manual_seed(0)
    members = 3 * torch.randn(2, 50, 3, generator=generator)  # of two estimators
    labels = torch.randint(3, (50,), generator=generator)
    found = evaluated("softmax", M=2, logits=torch.cat(list(members)), labels=labels)
    probs = (members[0].softmax(1) + members[1].softmax(1)) / 2
    assert found.value("nll") == pytest.approx(calmix.metrics.nll(probs, labels))
    (line,) = re.findall(r"`(mean, std = .*?)`", DOCUMENT)
    names: dict[str, Any] = {"calmix": calmix, "M": 2, "values": torch.cat(list(members))}
    exec(line, names)
    assert torch.allclose(names["mean"], members.mean(0).double())
    assert torch.allclose(names["std"], members.double().std(0, correction=0))


def test_arrays_of_netcal_are_read():
    rng = np.random.default_rng(0)
    confidences = rng.dirichlet(np.ones(4), 100)
    truth = rng.integers(4, size=100)
    found = evaluated("confidences", confidences=confidences, ground_truth=truth)
    assert found.value("ece") == pytest.approx(calmix.metrics.ece(confidences, truth))
    second = evaluated("confidences", confidences=confidences[:, 0], ground_truth=truth % 2)
    assert second.value("accuracy") == ((confidences[:, 0] > 0.5) == truth % 2).mean()
    mean, stddev = rng.normal(size=(100, 1)), np.ones((100, 1))
    numbers = evaluated("std=stddev", mean=mean, stddev=stddev, targets=mean + 1)
    assert numbers.value("rmse") == pytest.approx(1)


def test_arrays_of_uncertainty_toolbox_are_read():
    theirs = pytest.importorskip("uncertainty_toolbox")
    rng = np.random.default_rng(0)
    y_pred, y_std = rng.normal(size=200), 0.5 + rng.random(200)
    y_true = y_pred + y_std * rng.normal(size=200)
    found = evaluated("y_std", y_pred=y_pred, y_std=y_std, y_true=y_true)
    expected = theirs.get_all_metrics(y_pred, y_std, y_true, verbose=False)
    assert found.value("rmse") == pytest.approx(expected["accuracy"]["rmse"])
    assert found.value("crps") == pytest.approx(expected["scoring_rule"]["crps"])
    assert found.value("nll") == pytest.approx(expected["scoring_rule"]["nll"])
