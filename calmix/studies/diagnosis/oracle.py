"""An oracle for mixed rows: a network trained, without mixing, on rows of the same set that the training split lacks.

OUT/oracle/seed0.pt  its weights, and the text of the recipe that made them

n training rows, N rows that the oracle learnt, m rows asked about, K classes, d entries of an embedding
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.core.embeddings import capture_embeddings
from calmix.data import DataSource, Fixed, Split, Splits, cut_train
from calmix.errors import DataError, SettingError
from calmix.methods.erm import erm
from calmix.models import ModelFactory
from calmix.predictions import class_logits
from calmix.reading import AGAIN, reading
from calmix.studies.diagnosis.conditions import ORACLES
from calmix.train import Recipe, TrainingSettings, train
from calmix.train.batches import Batches
from calmix.train.weights import write_tensors

_SEEN = 100_000  # rows that the oracle's training goes through, where its epochs are not given
_EPOCHS = (5, 100)
_ROWS = 1024  # at a time
_OWN_WEIGHTS = 1_000_000  # added to the seed, so that no method's network starts where the oracle did


@dataclass(frozen=True)
class OracleSettings:
    """How the oracle is trained.

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

    def training(self, rows: int, device: str = TrainingSettings.device) -> TrainingSettings:
        """The training on that many rows."""
        least, most = _EPOCHS
        epochs = self.epochs or min(max(_SEEN // rows, least), most)
        return TrainingSettings(epochs=epochs, batch_size=min(128, max(8, rows // 8)), device=device)


class Parts(NamedTuple):
    """A source as the diagnosis sees it: the rows of the oracle and those of the methods, encoded alike."""

    splits: Splits  # as the methods train on them
    rows: Tensor  # the training split's inputs (n, ...), encoded as the oracle knows them
    others: Split  # what the training split lacks: the rest of its part, validation and calibration
    test: Split  # what neither has seen


def parts_of(source: DataSource, seed: int, most: int) -> Parts:
    """The splits of a seed and, of the rows that the training split lacks, at most `most`, stratified.

    Without a training size the rest is the validation and calibration splits alone. The rows of the rest are encoded
    (standardised, for one) by what the whole training part knows, and so are `rows`.
    """
    whole = source.whole().splits(seed)
    labels = whole.train.y.numpy()
    everything = np.arange(len(labels))
    kept = cut_train(everything, labels, source.train_size)
    rest = np.setdiff1d(everything, kept)
    x = torch.cat([whole.train.x[rest], whole.validation.x, whole.calibration.x])
    y = torch.cat([whole.train.y[rest], whole.validation.y, whole.calibration.y])
    some = cut_train(np.arange(len(y)), y.numpy(), min(most, len(y)))
    splits = source.splits(seed)
    assert len(splits.train) == len(kept), "whole() and splits() must hold the training rows in the same order"
    return Parts(splits, whole.train.x[kept], Split(x[some], y[some]), whole.test)


@dataclass(frozen=True, eq=False)
class Oracle:
    """Two opinions on rows encoded as `Parts.rows`: that of a network, and that of the learnt rows nearest by."""

    model: nn.Module
    known: Tensor  # (N, d), the embeddings of the rows it learnt
    labels: Tensor  # (N,)
    classes: int
    neighbours: int

    def __call__(self, x: Tensor) -> Tensor:
        """Probabilities (m, 2, K), in the order of ORACLES."""
        logits, embedding = _look(self.model, x)
        votes = neighbour_votes(embedding, self.known, self.labels, self.classes, min(self.neighbours, len(self.known)))
        return torch.stack((logits.softmax(1), votes), 1)

    def embedding(self, x: Tensor) -> Tensor:
        """The rows' embeddings (n, d)."""
        return torch.cat([_look(self.model, rows)[1] for rows in x.split(_ROWS)])

    def accuracy(self, test: Split) -> Mapping[str, float]:
        """The share of rows on which each opinion is right."""
        answers = torch.cat([self(x) for x, _, _ in Batches(test, _ROWS)]).argmax(2)  # (n, 2)
        return dict(zip(ORACLES, (answers == test.y[:, None]).double().mean(0).tolist(), strict=True))


def train_oracle(
    parts: Parts,
    seed: int,
    settings: OracleSettings,
    model: ModelFactory | None = None,
    kept: Path | None = None,
    on_epoch: Callable[[int], object] = lambda epoch: None,
    device: str = TrainingSettings.device,
) -> Oracle:
    """Train the oracle of a seed without mixing, so that it knows of mixed rows only what plain rows tell.

    kept: a file that keeps its weights; they are taken from there if the same recipe made them.
    """
    others = parts.others
    source = Fixed(replace(parts.splits, train=others, validation=others, train_weights=None))
    training = settings.training(len(others), device)
    recipe = Recipe(source, "oracle", erm(), model, training, seed, weights_seed=seed + _OWN_WEIGHTS)
    network = recipe.network().eval()
    if _load(network, kept, recipe.text):
        on_epoch(training.epochs)
    else:
        network = train(recipe, lambda epoch, _: on_epoch(epoch.number)).model
        if kept is not None:
            write_tensors(kept, {"made": recipe.text, "state_dict": network.state_dict()})
    known = torch.cat([_look(network, x)[1] for x, _, _ in Batches(others, _ROWS)])
    return Oracle(network, known, others.y, len(parts.splits.about.classes), settings.neighbours)


def neighbour_votes(rows: Tensor, known: Tensor, labels: Tensor, classes: int, k: int = 20) -> Tensor:
    """The share of each class among the k known rows nearest to each row: (m, d), (N, d), (N,) -> (m, K).

    Every neighbour has one vote, as in scikit-learn's KNeighborsClassifier with uniform weights.

    Raises:
        SettingError: k that is not between 1 and N.

    >>> known = torch.tensor([[0.0], [1.0], [5.0]])
    >>> neighbour_votes(torch.tensor([[0.4]]), known, torch.tensor([0, 1, 1]), classes=2, k=2)
    tensor([[0.5000, 0.5000]])
    """
    if not 1 <= k <= len(known):
        raise SettingError(f"the number of neighbours must be between 1 and the {len(known)} known rows; got {k}.")
    centre = known.mean(0)  # far from the origin, rounding would blur the distances
    known, rows = known - centre, rows - centre
    squared = known.square().sum(1) - 2 * rows @ known.T  # (m, N), but for |row|^2, which changes no order
    nearest = squared.topk(k, largest=False).indices  # (m, k)
    return F.one_hot(labels[nearest], classes).to(rows.dtype).mean(1)


@torch.no_grad()
def _look(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (m, K) and embeddings (m, d)."""
    with capture_embeddings(model, None) as capture:
        logits = capture.model(x)
        embedding = capture.embedding(logits)
    return class_logits(logits), embedding


def _load(network: nn.Module, path: Path | None, made: str) -> bool:
    """Take the weights in the file, if they are there, whole, and of the same recipe; whether they were taken.

    Whatever else lies there is no reason to stop: the oracle is trained again.
    """
    if path is None or not path.exists():
        return False
    try:
        with reading(path, AGAIN):
            stored = torch.load(path, weights_only=True)
            if stored["made"] == made:
                network.load_state_dict(stored["state_dict"])
                return True
    except DataError:
        pass
    return False
