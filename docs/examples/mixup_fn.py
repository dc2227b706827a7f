"""Mixing before the forward, as scripts for timm and torchvision do it, with soft targets for a cross-entropy.

Data: the 1,797 handwritten digits of scikit-learn. The calmix lines are marked with #.

    python docs/examples/mixup_fn.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import calmix
from calmix.integrations.timm import MixupFn  #


def main(in_the_loader: bool) -> float:
    """Train with mixing in the loop, or in the loader's collate_fn; return the accuracy on 400 test rows."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    mixup_fn = MixupFn(calmix.cutmix(), num_classes=10)  #
    loader = DataLoader(
        TensorDataset(x[400:], y[400:]),
        batch_size=64,
        shuffle=True,
        collate_fn=mixup_fn.collate_fn if in_the_loader else None,  #
    )
    for _ in range(8):
        for rows, target in loader:
            if not in_the_loader:
                rows, target = mixup_fn(rows, target)  #
            optimizer.zero_grad()
            criterion(net(rows), target).backward()
            optimizer.step()
    with torch.no_grad():
        return float((net(x[:400]).argmax(1) == y[:400]).float().mean())


if __name__ == "__main__":
    print(f"accuracy: mixed in the loop {main(False):.3f}, in the loader {main(True):.3f}")
