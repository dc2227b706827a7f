"""Lightning: a module of one's own, with two lines of calmix, and the callback that serves `auto`.

Data: the 1,797 handwritten digits of scikit-learn. The calmix lines are marked with #.

    python docs/examples/lightning_module.py
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import calmix
from calmix.integrations.lightning import CalmixCallback  #

EPOCHS = 12


class Digits(LightningModule):
    def __init__(self, method: calmix.parts.Method) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
        self.training_loss = calmix.TrainingLoss(method, calmix.Classification(10), seed=0, epochs=EPOCHS)  #

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.training_loss(self.net, x, y)  #

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val/loss", self.training_loss(self.net, x, y))  # the plain loss; auto reads its rows
        self.log("val/accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main() -> dict[str, float]:
    """Train by `auto`; return what was logged last."""
    images, labels = load_digits(return_X_y=True)
    rows = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels))
    test, training = torch.utils.data.random_split(rows, [400, len(rows) - 400], torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[CalmixCallback(refresh="net")],  #
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Digits(calmix.auto()),  #
        DataLoader(training, batch_size=64, shuffle=True),
        DataLoader(test, batch_size=200),
    )
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:15} {value:.3f}")
