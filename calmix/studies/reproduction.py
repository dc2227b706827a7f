"""Runs with the published settings of Similarity Kernel Mixup, where they are not the defaults."""

from pathlib import Path

from calmix.data import NamedSet, TableFile
from calmix.methods.sk_mixup import sk_mixup
from calmix.models import mlp
from calmix.train import Recipe, TrainingSettings


def airfoil(table: Path | str, seed: int = 0) -> Recipe:
    """Airfoil self-noise (1,503 rows, regression): tau_max = 0.0001, tau_std = 0.5.

    Source: Bouniot et al., ICLR 2025, in the set-up of C-Mixup's code: batch size, learning rate, epochs.
    Deviation: AdamW for Adam, with a cosine schedule; this library's MLP and its splits.

    table: the path of the data, with the last column named `target`.
    """
    settings = TrainingSettings(epochs=100, batch_size=16, optimizer="adamw", learning_rate=0.01)
    method = sk_mixup(tau_max=1e-4, tau_std=0.5)
    return Recipe(TableFile(Path(table), "target", "regression"), "sk_mixup", method, mlp, settings, seed)


def exchange_rate(data_dir: Path | None = None, seed: int = 0) -> Recipe:
    """Exchange-Rate (8 currencies, 168 days tell the rates 12 days later): tau_max = 5, tau_std = 1.

    Source: Bouniot et al., ICLR 2025, in the set-up of C-Mixup's code: batch size, learning rate, epochs.
    Deviation: AdamW for Adam, with a cosine schedule; an MLP for LSTNet, and a calibration split of its own.
    """
    settings = TrainingSettings(epochs=100, batch_size=128, optimizer="adamw", learning_rate=0.001)
    method = sk_mixup(tau_max=5.0, tau_std=1.0)
    return Recipe(NamedSet("exchange_rate", data_dir=data_dir), "sk_mixup", method, mlp, settings, seed)
