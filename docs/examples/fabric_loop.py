"""Lightning Fabric: gradient accumulation, bfloat16, clipping, and checkpoints that hold the training loss.

Data: the 1,797 handwritten digits of scikit-learn. The calmix lines are marked with #.

    python docs/examples/fabric_loop.py
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from sklearn.datasets import load_digits
from torch import nn

import calmix

PARTS = 2  # batches whose gradients are added up


def train(path: Path, epochs: int, precision: Any = "bf16-mixed") -> tuple[nn.Module, float]:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model, optimizer = fabric.setup(net, torch.optim.AdamW(net.parameters(), lr=3e-3))
    training_loss = calmix.TrainingLoss(calmix.sk_mixup(), calmix.Classification(10), seed=0)  #
    state = {"model": model, "optimizer": optimizer, "training_loss": training_loss, "epochs": 0}  #
    if path.exists():
        fabric.load(path, state)
    for epoch in range(state["epochs"], epochs):
        training_loss.epoch = epoch  #
        for rows in torch.arange(400, len(x)).split(64 * PARTS):
            parts = rows.split(64)
            for number, part in enumerate(parts, start=1):
                with fabric.no_backward_sync(model, enabled=number < len(parts)):
                    fabric.backward(training_loss(model, x[part], y[part]) / len(parts))  #
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            optimizer.zero_grad()
        state["epochs"] = epoch + 1
        fabric.save(path, state)
    with torch.no_grad():
        right = net(x[:400]).argmax(1) == y[:400]
    return net, float(right.float().mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "newest.ckpt")
        train(path, epochs=10)  # as if it were stopped here
        print(f"accuracy on 400 test rows: {train(path, epochs=20)[1]:.3f}")
