"""Hugging Face Accelerate: gradient accumulation, bfloat16, clipping, and checkpoints that hold the training loss.

Data: the 1,797 handwritten digits of scikit-learn. The calmix lines are marked with #.

    python docs/examples/accelerate_loop.py
"""

import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import calmix


def train(folder: Path, epochs: int, resume: bool = False, precision: str = "bf16") -> tuple[nn.Module, float]:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=2)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(x[400:], y[400:]), batch_size=64)
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader)
    training_loss = calmix.TrainingLoss(calmix.sk_mixup(), calmix.Classification(10), seed=0)  #
    accelerator.register_for_checkpointing(training_loss)  #
    first = 0
    if resume:
        accelerator.load_state(str(folder))
        first = training_loss.epoch + 1
    for epoch in range(first, epochs):
        training_loss.epoch = epoch  #
        for rows, targets in loader:
            with accelerator.accumulate(net):
                accelerator.backward(training_loss(net, rows, targets))  #
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        accelerator.save_state(str(folder))
    net = accelerator.unwrap_model(net, keep_fp32_wrapper=False)
    with torch.no_grad():
        right = net(x[:400]).argmax(1) == y[:400]
    return net, float(right.float().mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), epochs=10)  # as if it were stopped here
        print(f"accuracy on 400 test rows: {train(Path(folder), epochs=20, resume=True)[1]:.3f}")
