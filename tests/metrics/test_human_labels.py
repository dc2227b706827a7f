import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics import human_label_cross_entropy, human_label_metrics, human_label_total_variation, nll

Draw = Callable[..., tuple[Tensor, Tensor]]


def test_scipy_agrees(predictions: Draw):
    probs, _ = predictions(20, 4)
    human_labels = torch.randint(1, 30, (20, 4), generator=torch.Generator().manual_seed(0))
    shares = (human_labels / human_labels.sum(1, keepdim=True)).double()
    measured = human_label_metrics(probs, human_labels)
    assert measured["entropy"] == pytest.approx(scipy.stats.entropy(shares, axis=1).mean(), rel=1e-6)
    assert measured["kl"] == pytest.approx(scipy.stats.entropy(shares, probs, axis=1).mean(), rel=1e-6)
    assert measured["total_variation"] == pytest.approx((shares - probs).abs().sum(1).mean().item() / 2, rel=1e-6)
    assert human_label_cross_entropy(probs, human_labels) == measured["cross_entropy"]
    assert human_label_total_variation(probs, human_labels) == measured["total_variation"]


def test_one_vote_a_row_is_a_label(predictions: Draw):
    probs, labels = predictions(50, 4)
    measured = human_label_metrics(probs, torch.nn.functional.one_hot(labels, 4))
    assert measured["cross_entropy"] == measured["kl"] == pytest.approx(nll(probs, labels))
    assert measured["entropy"] == measured["certain_total_variation"] == 0
    assert measured["total_variation"] == pytest.approx(1 - probs.gather(1, labels[:, None]).mean().item())


def test_who_says_what_people_say_is_at_no_distance(predictions: Draw):
    probs, _ = predictions(50, 4)
    measured = human_label_metrics(probs, 51 * probs)  # counts or shares, it is the same
    assert measured["kl"] == pytest.approx(0, abs=1e-12)
    assert measured["total_variation"] == pytest.approx(0, abs=1e-12)
    assert measured["certain_total_variation"] == pytest.approx(1 - probs.max(1).values.mean().item())
    for other in (probs.flip(1), torch.full_like(probs, 0.25)):
        assert human_label_cross_entropy(other, probs) > human_label_cross_entropy(probs, probs)


def test_distances_by_hand():
    measured = human_label_metrics(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0, 3, 1]]))
    assert measured["total_variation"] == pytest.approx(0.5)
    assert measured["cross_entropy"] == pytest.approx(0.75 * math.log(2) + 0.25 * -math.log(2**-1022))  # clipped
    assert measured["certain_total_variation"] == 0.25


def test_the_floor_of_a_sample_of_votes(predictions: Draw):
    probs, _ = predictions(4000, 4)
    human_labels = torch.distributions.Multinomial(51, probs, validate_args=False).sample()
    floor = (2 * probs * (1 - probs) / (math.pi * 51)).sqrt().sum(1).mean().item() / 2
    assert human_label_total_variation(probs, human_labels) == pytest.approx(floor, rel=0.05)


def test_real_networks_and_real_people(real: tuple[np.ndarray, np.ndarray, float, float], real_data: Path):
    probs, labels, known_accuracy, _ = real
    human_labels = np.load(real_data / "cifar10h" / "cifar10h-counts.npy")
    assert (human_labels.argmax(1) == labels).mean() > 0.99  # the order of the rows is the same
    measured = human_label_metrics(probs, human_labels)
    assert measured["kl"] > 0
    # the weak network is further from people than the bare label is, the strong one hardly nearer
    assert 1 - known_accuracy < measured["total_variation"] + 0.05
    assert measured["certain_total_variation"] < measured["total_variation"]


def test_advice():
    probs, human_labels = torch.full((2, 2), 0.5), torch.ones(2, 2)
    with pytest.raises(ShapeError, match=r"probs has shape \(2, 2\) and human_labels \(2, 3\)"):
        human_label_metrics(probs, torch.ones(2, 3))
    with pytest.raises(ShapeError, match=r"probs has shape \(2,\), expected \(n, K\)"):
        human_label_metrics(probs[0], human_labels[0])
    with pytest.raises(ShapeError, match="no rows"):
        human_label_metrics(probs[:0], human_labels[:0])
    with pytest.raises(DataError, match=r"row 0 is off by 1; of logits"):
        human_label_metrics(2 * probs, human_labels)
    for bad in (-1.0, torch.nan, torch.inf):
        with pytest.raises(DataError, match="human_labels hold a negative number, NaN, infinity or a row of zeros"):
            human_label_metrics(probs, torch.tensor([[1.0, 1.0], [bad, 2.0]]))
    with pytest.raises(DataError, match="a row of zeros"):
        human_label_metrics(probs, torch.tensor([[1, 1], [0, 0]]))
