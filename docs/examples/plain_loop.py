"""A plain loop with gradient accumulation, bfloat16 autocast, clipping, and checkpoints from which it goes on.

Data: the 1,797 handwritten digits of scikit-learn. The calmix lines are marked with #.

    python docs/examples/plain_loop.py
"""

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import calmix

PARTS = 2  # batches whose gradients are added up


def train(path: Path, epochs: int) -> tuple[nn.Module, float]:
    """Train for so many epochs, from the checkpoint at `path` on if there is one; return the network and accuracy."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    test, rest = torch.arange(len(x)).split([400, len(x) - 400])
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    training_loss = calmix.TrainingLoss(calmix.sk_mixup(), calmix.Classification(10), seed=0)  #
    kept = {"net": net, "optimizer": optimizer, "training_loss": training_loss}  #
    first = 0
    if path.exists():
        saved = torch.load(path)
        first = saved.pop("epoch")
        for name, state in saved.items():
            kept[name].load_state_dict(state)
    for epoch in range(first, epochs):
        training_loss.epoch = epoch  #
        order = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(epoch))]
        for rows in order.split(64 * PARTS):
            for part in rows.split(64):
                with torch.autocast("cpu", torch.bfloat16):
                    loss = training_loss(net, x[part], y[part])  #
                (loss * len(part) / len(rows)).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        torch.save({"epoch": epoch + 1, **{name: each.state_dict() for name, each in kept.items()}}, path)
    with torch.no_grad():
        right = net(x[test]).argmax(1) == y[test]
    return net, float(right.float().mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "newest.pt")
        train(path, epochs=10)  # as if it were stopped here
        print(f"accuracy on 400 test rows: {train(path, epochs=20)[1]:.3f}")
