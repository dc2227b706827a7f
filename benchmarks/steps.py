"""What a training step of every method costs, in units of a plain training step."""

from dataclasses import asdict
from typing import Any

import torch

from benchmarks.timing import Call, Result, absent, compare, devices
from calmix import METHODS, CalmixError, Classification, TrainingLoss
from calmix.methods.read import read_method
from calmix.models import build, default_model

PLAIN = "plain training"
VARIANTS = (
    "mixup(per_row=True)",
    "mixup(alpha=0.5, per_row=True)",  # as auto draws once it has moved
    "sk_mixup(remember=True)",
    "mixup_e(share=0.25)",
    "sk_mixup_e(share=0.25, remember=True)",
)
SHAPES = ((1, 28, 28), (3, 32, 32), (13,))  # (C, H, W) of one image; the columns of a table
CLASSES = 10
BATCH, TABLE_BATCH = 128, 64  # rows of a step
ROWS = 1024  # rows of the training set, for methods that look beyond the batch
SECONDS = 2.0  # a method and shape


def step_costs() -> list[dict[str, Any]]:
    """A record a device and shape: its results, a method each, in units of plain training.

    Forward, backward and optimiser step of the small residual network, or of the table's perceptron, count, in float32;
    loading does not. Each method takes turns with plain training alone, so that a slow neighbour does not stand between
    the two.
    """
    return [
        {"device": device, "shape": shape, "results": [asdict(_cost(text, shape, device)) for text in _texts()]}
        for device in devices()
        for shape in SHAPES
    ]


def _texts() -> list[str]:
    """Every method by name, each followed by its variants."""
    known = [[name, *(text for text in VARIANTS if text.startswith(f"{name}("))] for name in METHODS]
    return [text for texts in known for text in texts]


def _cost(text: str, shape: tuple[int, ...], device: str) -> Result:
    try:
        calls = {PLAIN: _step("erm", shape, device), text: _step(text, shape, device)}
    except CalmixError as error:
        return absent(text, error)
    return compare(calls, device, SECONDS, settle=False)[1]


def _step(text: str, shape: tuple[int, ...], device: str) -> Call:
    """One training step of the method that `text` describes."""
    torch.manual_seed(0)
    data = torch.randn(ROWS, *shape, device=device), torch.randint(CLASSES, (ROWS,), device=device)
    rows = BATCH if len(shape) == 3 else TABLE_BATCH
    x, y, index = data[0][:rows], data[1][:rows], torch.arange(rows, device=device)
    model = build(default_model(shape), shape, CLASSES).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    loss = TrainingLoss(read_method(text), Classification(CLASSES), data=data)

    def step() -> None:
        optimizer.zero_grad()
        loss(model, x, y, index).backward()
        optimizer.step()

    return step
