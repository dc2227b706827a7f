"""Runs with the published settings of Similarity Kernel Mixup, where they are not the defaults.

As in the authors' code, partners come from the whole training set, and the epoch of the lowest validation loss is kept.
Deviations of both runs: AdamW with a cosine schedule for Adam; no dropout, and so no MC dropout in the test; a
calibration split; the last batch of an epoch is not dropped.
"""

from pathlib import Path

from calmix.data import NamedSet, TableFile
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.wrappers import with_whole_set
from calmix.models import mlp
from calmix.train import Recipe, TrainingSettings


def airfoil(table: Path | str, seed: int = 0) -> Recipe:
    """Airfoil self-noise (1,503 rows, regression): tau_max = 0.0001, tau_std = 0.5.

    Source: Bouniot et al., ICLR 2025, in the set-up of C-Mixup's code: batch size, learning rate, epochs.
    Deviation: this library's MLP, its splits, and its scales: measurements and targets in standard deviations, where
    the authors' are shares of their range and raw values.

    table: the path of the data, with the last column named `target`.
    """
    settings = TrainingSettings(epochs=100, batch_size=16, optimizer="adamw", learning_rate=0.01, select="best")
    method = with_whole_set(sk_mixup(tau_max=1e-4, tau_std=0.5))
    return Recipe(TableFile(Path(table), "target", "regression"), "sk_mixup", method, mlp, settings, seed)


def exchange_rate(data_dir: Path | None = None, seed: int = 0) -> Recipe:
    """Exchange-Rate (8 currencies, 168 days tell the rates 12 days later): tau_max = 5, tau_std = 1.

    Source: Bouniot et al., ICLR 2025, in the set-up of C-Mixup's code: rates as shares of their currency's largest,
    batch size, learning rate, epochs.
    Deviation: an MLP for LSTNet; the largest rate is that of the train split; the loss is that of the shares, the
    authors' that of the rates.
    """
    settings = TrainingSettings(epochs=100, batch_size=128, optimizer="adamw", learning_rate=0.001, select="best")
    method = with_whole_set(sk_mixup(tau_max=5.0, tau_std=1.0))
    return Recipe(NamedSet("exchange_rate_max", data_dir=data_dir), "sk_mixup", method, mlp, settings, seed)
