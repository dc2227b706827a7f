"""Predictions as values: what is a probability, and which numbers are refused."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from calmix.errors import DataError, ShapeError
from calmix.metrics.tensors import row_slices
from calmix.predictions import (
    ClassPredictions,
    MultilabelPredictions,
    RegressionPredictions,
    class_logits,
    logits_of,
)

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
LABELS = torch.tensor([0, 2])


@pytest.fixture
def two_rows_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calmix.predictions.kinds.row_slices", partial(row_slices, numbers=6))


@pytest.mark.usefixtures("two_rows_a_piece")
@pytest.mark.parametrize("are_probs", [False, True])
def test_predictions_stay_as_given_and_are_read_a_few_rows_at_a_time(are_probs: bool):
    logits, labels = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3
    outputs = logits.softmax(1) if are_probs else logits
    test = ClassPredictions(outputs, labels, are_probs=are_probs)
    assert test.outputs is outputs
    pieces, of_labels = zip(*test.pieces(), strict=True)
    assert [tuple(piece.shape) for piece in pieces] == [(2, 3), (2, 3), (2, 3), (1, 3)]
    expected = outputs.double().log() if are_probs else outputs.double()
    assert torch.equal(torch.cat(pieces), expected)
    assert torch.equal(test.logits.double(), expected)
    assert torch.equal(torch.cat(of_labels), labels)


@pytest.mark.usefixtures("two_rows_a_piece")
def test_a_fault_in_a_later_piece_is_found_and_named():
    probs, labels = torch.full((7, 2), 0.5), torch.zeros(7, dtype=torch.int64)
    for value, advice in ((0.4, "row 5 sums to 0.9"), (float("nan"), "first in row 5"), (-1.0, "run from -1 to 0.5")):
        bad = probs.clone()
        bad[5, 0] = value
        with pytest.raises(DataError, match=advice):
            ClassPredictions(bad, labels, are_probs=True)


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=6))
def test_logits_of_probabilities_are_theirs(weights: list[float]):
    probs = torch.tensor([weights], dtype=torch.float64)
    probs = probs / probs.sum()
    assert torch.allclose(logits_of(probs).softmax(1), probs)
    assert torch.allclose(logits_of(probs).logsumexp(1), torch.zeros(1, dtype=torch.float64), atol=1e-9)


def test_a_certain_probability_keeps_its_certainty():
    certain = torch.tensor([[0.0, 1.0]])
    assert logits_of(certain).isfinite().all()
    assert torch.equal(logits_of(certain).softmax(1).float(), certain)


def test_a_single_logit_is_that_of_the_second_class():
    z = torch.tensor([[-1.0], [0.5]])
    assert torch.allclose(class_logits(z).softmax(1)[:, 1:], z.sigmoid())
    assert class_logits(LOGITS) is LOGITS


def test_probabilities_are_the_softmax_in_double():
    test = ClassPredictions(LOGITS, LABELS)
    assert test.probs.dtype == torch.float64
    assert torch.allclose(test.probs, LOGITS.double().softmax(1))
    assert len(test) == len(LABELS)


@pytest.mark.parametrize(
    ("probs", "advice"),
    [
        ([[0.5, 0.6]], r"row 0 sums to 1.1 \(1 of 1 rows .*--logits"),
        ([[0.5, 0.5], [0.5, 0.4]], r"row 1 sums to 0.9 \(1 of 2 rows"),
        ([[-0.5, 1.5]], "run from -0.5 to 1.5, expected 0 to 1"),
        ([[float("nan"), 1.0]], "NaN or infinity in 1 of 1 rows, first in row 0"),
    ],
)
def test_what_is_no_probability_is_refused(probs: list[list[float]], advice: str):
    with pytest.raises(DataError, match=f"(?s){advice}"):
        logits_of(torch.tensor(probs))


BAD_CLASSES: list[tuple[Tensor, Tensor, type[Exception], str]] = [
    (LOGITS[0], LABELS, ShapeError, r"shape \(3,\), expected \(rows, classes\)"),
    (LOGITS[:, :1], LABELS, ShapeError, "expected"),
    (LOGITS, LABELS[:1], ShapeError, "2 predictions but 1 labels"),
    (LOGITS[:0], LABELS[:0], ShapeError, "no rows"),
    (LOGITS, torch.tensor([0, 3]), DataError, "run from 0 to 3, expected 0 to 2"),
    (LOGITS, torch.tensor([-1, 0]), DataError, "run from -1 to 0, expected 0 to 2"),
    (LOGITS / 0, LABELS, DataError, "NaN or infinity in 2 of 2 rows, first in row 0"),
]


@pytest.mark.parametrize(("logits", "labels", "error", "advice"), BAD_CLASSES)
def test_what_cannot_be_class_predictions(logits: Tensor, labels: Tensor, error: type[Exception], advice: str):
    with pytest.raises(error, match=advice):
        ClassPredictions(logits, labels)


def test_what_cannot_be_predictions_of_several_labels():
    probs = torch.rand(4, 3)
    MultilabelPredictions(probs, (probs > 0.5).long())
    with pytest.raises(ShapeError, match=r"\(4, 3\) and labels \(4, 2\)"):
        MultilabelPredictions(probs, probs[:, :2])
    with pytest.raises(DataError, match="0 or 1 each"):
        MultilabelPredictions(probs, torch.full((4, 3), 2))
    with pytest.raises(DataError, match="NaN or infinity in 1 of 4 rows, first in row 2"):
        MultilabelPredictions(probs.index_fill(0, torch.tensor([2]), float("nan")), torch.ones(4, 3))


def test_what_cannot_be_predictions_of_numbers():
    mean = torch.randn(4)
    RegressionPredictions(mean, mean, torch.ones(4))
    RegressionPredictions(mean[:, None], mean[:, None])
    with pytest.raises(ShapeError, match=r"mean has shape \(4, 1, 1\)"):
        RegressionPredictions(mean[:, None, None], mean)
    with pytest.raises(ShapeError, match="4 predictions but 3 targets"):
        RegressionPredictions(mean, mean[:3])
    with pytest.raises(ShapeError, match=r"targets has shape \(4, 1\) and mean \(4,\)"):
        RegressionPredictions(mean, mean[:, None])
    with pytest.raises(DataError, match="std is 0 in row 1, expected positive"):
        RegressionPredictions(mean, mean, torch.tensor([1.0, 0.0, 1.0, 1.0]))
    for place in range(3):
        values = [mean, mean, torch.ones(4)]
        values[place] = torch.tensor([1.0, 1.0, 1.0, float("inf")])
        with pytest.raises(DataError, match="NaN or infinity in 1 of 4 rows, first in row 3"):
            RegressionPredictions(*values)
