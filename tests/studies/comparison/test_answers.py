"""What figures show of a run is what its stored predictions say."""

import numpy as np
import torch

from calmix.metrics import score_rows
from calmix.studies.comparison.answers import answers_of

RNG = np.random.default_rng(0)
LOGITS, LABELS = 3 * RNG.normal(size=(80, 3)), RNG.integers(0, 3, 80)
PROBS = torch.from_numpy(LOGITS).softmax(1).numpy()


def test_answers_before_and_after_the_runs_own_temperature_and_of_rows_of_no_class():
    foreign = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -np.log(0.5)]])
    stored = {"logits": LOGITS, "probs": PROBS, "labels": LABELS, "temperature": np.array(2.5)}
    answers = answers_of({**stored, "ood_not_mnist_logits": foreign})
    scaled = torch.from_numpy(LOGITS / 2.5).softmax(1)
    for found, probs in ((answers.before, PROBS), (answers.after, scaled)):
        expected = score_rows(probs, LABELS)
        assert torch.equal(found.confidence, expected.confidence)
        assert torch.equal(found.correct, expected.correct)
    assert list(answers.foreign) == ["not_mnist"]
    torch.testing.assert_close(answers.foreign["not_mnist"].tolist(), [1 / 3, 1 / 2])
