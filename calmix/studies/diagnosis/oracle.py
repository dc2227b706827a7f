"""An oracle for mixed rows: a network trained, without mixing, on rows of the same set that the training split lacks.

n training rows, N rows that the oracle learnt, m rows asked about, K classes, d entries of an embedding
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from calmix.core.embeddings import capture_embeddings
from calmix.data import Split, Splits, cut_train
from calmix.diagnose import neighbour_votes
from calmix.errors import SettingError
from calmix.evaluation.predictions import class_logits
from calmix.experiment.recipe import Recipe, Source, task_of
from calmix.experiment.record import write_whole
from calmix.experiment.run import initial_model
from calmix.methods.erm import erm
from calmix.train import TrainingSettings, fit
from calmix.train.batches import Batches

ORACLES = ("network", "neighbours")
_SEEN = 100_000  # rows that the oracle's training goes through, where its epochs are not given
_EPOCHS = (5, 100)
_ROWS = 1024  # at a time


@dataclass(frozen=True)
class OracleSettings:
    """How the oracle comes about.

    rows: at most this many rows to learn from. epochs: over them; None goes through about 100,000 rows, in 5 to 100
    epochs. neighbours: how many of the learnt rows vote, by distance in the network's embedding.
    """

    rows: int = 20_000
    epochs: int | None = None
    neighbours: int = 20

    def __post_init__(self) -> None:
        for name, value in (("rows", self.rows), ("epochs", self.epochs), ("neighbours", self.neighbours)):
            if value is not None and value < 1:
                raise SettingError(f"the oracle's {name} must be at least 1; got {value}.")

    def fit(self, rows: int, device: str = TrainingSettings.device) -> TrainingSettings:
        """The training on that many rows."""
        least, most = _EPOCHS
        epochs = self.epochs or min(max(_SEEN // rows, least), most)
        return TrainingSettings(epochs=epochs, batch_size=min(128, max(8, rows // 8)), device=device)


class Parts(NamedTuple):
    """A source as the diagnosis sees it, all of it encoded alike."""

    splits: Splits  # as the methods train on them
    rows: Tensor  # the training split's inputs (n, ...), encoded as the oracle knows them
    others: Split  # what the training split lacks: the rest of its part, validation and calibration
    test: Split  # what neither has seen


def parts_of(source: Source, seed: int, most: int) -> Parts:
    """The splits of a seed and, of the rows that the training split lacks, at most `most`, stratified.

    Without a training size the rest is the validation and calibration splits alone. The rows of the rest are encoded
    (standardised, for one) by what the whole training part knows, and so are `rows`.
    """
    whole = replace(source, train_size=None, label_noise=None).splits(seed)
    labels = whole.train.y.numpy()
    everything = np.arange(len(labels))
    kept = cut_train(everything, labels, source.train_size)
    rest = np.setdiff1d(everything, kept)
    x = torch.cat([whole.train.x[rest], whole.validation.x, whole.calibration.x])
    y = torch.cat([whole.train.y[rest], whole.validation.y, whole.calibration.y])
    some = cut_train(np.arange(len(y)), y.numpy(), min(most, len(y)))
    rows, test = whole.train.x[kept], whole.test
    splits = source.splits(seed)
    assert source.label_noise is not None or torch.equal(splits.train.y, whole.train.y[kept])
    return Parts(splits, rows, Split(x[some], y[some]), test)


@dataclass(frozen=True, eq=False)
class Oracle:
    """Two opinions on rows encoded as `Parts.rows`: a network's, and that of what it learnt nearest by.

    known (N, d): the embeddings of the rows it learnt; labels (N,).
    accuracy: of each opinion on the test split, which the oracle has not seen.
    """

    model: nn.Module
    known: Tensor
    labels: Tensor
    classes: int
    neighbours: int
    accuracy: dict[str, float]

    def __call__(self, x: Tensor) -> Tensor:
        """Probabilities (m, 2, K), in the order of ORACLES."""
        logits, embedding = _look(self.model, x)
        k = min(self.neighbours, len(self.known))
        votes = neighbour_votes(embedding, self.known, self.labels, self.classes, k)
        return torch.stack((logits.softmax(1), votes), 1)

    def embedding(self, x: Tensor) -> Tensor:
        """The rows' embeddings (n, d)."""
        return torch.cat([_look(self.model, rows)[1] for rows in x.split(_ROWS)])


def train_oracle(
    source: Source,
    seed: int,
    parts: Parts,
    settings: OracleSettings,
    model: str | None = None,
    kept: Path | None = None,
    on_epoch: Callable[[int], object] = lambda epoch: None,
    device: str = TrainingSettings.device,
) -> Oracle:
    """Train the oracle of a seed without mixing, so that it knows nothing of what lies between rows but what rows tell.

    kept: a file where its weights are kept, and taken from if they were made by the same recipe.
    """
    others = parts.others
    recipe = Recipe(source, "oracle", erm(), model, settings.fit(len(others), device), seed)
    # weights of its own: none of the methods' networks starts where the oracle did
    network = initial_model(replace(recipe, seed=seed + 1_000_000), parts.splits)
    made = f"{recipe!r} on {len(others)} rows"
    state = None if kept is None else _stored(kept, made)
    if state is None:
        splits = replace(parts.splits, train=others, validation=others)
        fit(network, splits, recipe.method, task_of(parts.splits.about), recipe.fit, seed, on_epoch)
        if kept is not None:
            stored = {"made": made, "state_dict": network.state_dict()}
            write_whole(kept, lambda file: torch.save(stored, file))
    else:
        network.load_state_dict(state)
        on_epoch(recipe.fit.epochs)
    network.cpu().eval()
    known = torch.cat([_look(network, x)[1] for x, _, _ in Batches(others, _ROWS)])
    oracle = Oracle(network, known, others.y, len(parts.splits.about.classes), settings.neighbours, {})
    answers = torch.cat([oracle(x) for x, _, _ in Batches(parts.test, _ROWS)]).argmax(2)  # (n, 2)
    right = (answers == parts.test.y[:, None]).double().mean(0).tolist()
    oracle.accuracy.update(zip(ORACLES, right, strict=True))
    return oracle


@torch.no_grad()
def _look(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (m, K) and embeddings (m, d)."""
    with capture_embeddings(model, None) as capture:
        logits = capture.model(x)
        embedding = capture.embedding(logits)
    return class_logits(logits), embedding


def _stored(path: Path, made: str) -> dict[str, Tensor] | None:
    """The weights in the file, where they are those of this recipe."""
    if not path.exists():
        return None
    stored = torch.load(path, weights_only=True)
    return stored["state_dict"] if stored.get("made") == made else None
