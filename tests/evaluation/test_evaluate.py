"""What an evaluation says: the published numbers of two stored networks, and what each correction is fitted on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calmix import metrics, posthoc
from calmix.errors import DataError
from calmix.evaluation import CALIBRATORS, Classified, Estimated, Given, Multilabelled, evaluate, read_given

SEEDED = torch.Generator().manual_seed(0)
N, K = 600, 4
TRUE = 2 * torch.randn(N, K, generator=SEEDED, dtype=torch.float64)
LABELS = TRUE.softmax(1).multinomial(1, generator=SEEDED)[:, 0]


@pytest.mark.parametrize(
    ("name", "accuracy", "ece"), [("cifar10_lenet5", 0.5308, 0.1079), ("cifar10_wrn16_4", 0.9109, 0.0537)]
)
def test_the_stored_networks_have_their_published_numbers(real_data: Path, name: str, accuracy: float, ece: float):
    path, votes = real_data / "predictions" / f"{name}.npz", real_data / "cifar10h" / "cifar10h-counts.npy"
    numbers = evaluate(read_given(path, votes=votes)).metrics
    assert (round(numbers["accuracy"], 4), round(numbers["ece"], 4)) == (accuracy, ece)
    low, high = numbers["intervals"]["ece"]
    assert low < numbers["ece"] < high
    assert numbers["votes"]["cross_entropy"] > numbers["nll"] - 1  # of the same order
    assert 0 < numbers["votes"]["total_variation"] < 1


def test_every_correction_is_fitted_on_the_calibration_split_alone():
    half = N // 2
    calibration = Classified(3 * TRUE[:half], LABELS[:half])
    test = Classified(3 * TRUE[half:], LABELS[half:])
    done = evaluate(Given(test, calibration))
    again = evaluate(Given(Classified(test.logits, test.labels.flip(0)), calibration))
    held = posthoc.CalibrationLogits(calibration.logits, calibration.labels)
    for name, fit in CALIBRATORS.items():
        expected = fit(held)(test.logits)
        assert torch.allclose(done.corrected[name].softmax(1), expected.softmax(1))
        assert torch.equal(done.corrected[name], again.corrected[name])  # the test labels change nothing
        assert done.metrics[name] == metrics.classification_metrics(expected.softmax(1), test.labels)
        assert done.metrics[name]["nll"] < done.metrics["nll"]
    assert done.metrics["temperature"] == pytest.approx(3, rel=0.2)
    assert done.metrics["conformal"]["coverage"] == pytest.approx(0.9, abs=0.06)


def test_without_a_calibration_split_nothing_is_corrected():
    done = evaluate(Given(Classified(TRUE, LABELS)))
    assert done.corrected == {}
    assert not {*CALIBRATORS, "temperature", "conformal"} & set(done.metrics)


def test_two_classes_are_also_judged_on_the_second():
    two = Classified(TRUE[:, :2], (LABELS > 1).long())
    assert evaluate(Given(two)).metrics["positive"] == metrics.binary_metrics(two.probs[:, 1], two.labels)
    assert "positive" not in evaluate(Given(Classified(TRUE, LABELS))).metrics


def test_outside_rows_and_votes():
    numbers = evaluate(Given(Classified(TRUE, LABELS), outside={"same": TRUE}, votes=TRUE.softmax(1) * 50)).metrics
    assert numbers["ood"]["same"]["max_probability"]["auroc"] == pytest.approx(0.5)
    assert numbers["votes"]["total_variation"] == pytest.approx(0, abs=1e-12)


def test_probabilities_have_no_energy():
    logits, logs = Classified(TRUE, LABELS), Classified(TRUE.log_softmax(1), LABELS)
    scores = ["max_probability", "entropy"]
    assert list(evaluate(Given(logits, outside={"more": 2 * TRUE})).metrics["ood"]["more"]) == [*scores, "energy"]
    assert list(evaluate(Given(logs, outside={"more": 2 * TRUE})).metrics["ood"]["more"]) == scores
    assert list(evaluate(Given(logits, outside={"more": logs.logits})).metrics["ood"]["more"]) == scores


def test_several_labels_a_row():
    probs = TRUE.sigmoid()
    numbers = evaluate(Given(Multilabelled(probs, (probs > 0.5).double()))).metrics
    assert numbers["task"] == "multilabel"
    assert numbers["rows"] == N


def test_numbers_with_deviations():
    std = torch.rand(N, generator=SEEDED, dtype=torch.float64) + 0.5
    noise = torch.randn(N, generator=SEEDED, dtype=torch.float64)
    test = Estimated(TRUE[:, 0], TRUE[:, 0] + std * noise, std / 2)
    held = Estimated(TRUE[:, 1], TRUE[:, 1] + std * noise.flip(0), std / 2)
    numbers = evaluate(Given(test, held)).metrics
    assert numbers["scaled"]["nll"] < numbers["nll"]
    assert numbers["conformal"]["coverage"] == pytest.approx(0.9, abs=0.05)
    assert "nll" not in evaluate(Given(Estimated(test.mean, test.targets))).metrics
    few = Estimated(held.mean[:5], held.targets[:5], std[:5])
    assert evaluate(Given(test, few)).metrics["conformal"] == {"promised": 0.9, "coverage": 1.0, "width": None}


def test_fewer_rows_than_bins_is_an_error():
    with pytest.raises(DataError, match="14 rows cannot fill 15 bins"):
        evaluate(Given(Classified(TRUE[:14], LABELS[:14])))
    assert evaluate(Given(Classified(TRUE[:14], LABELS[:14])), bins=14).metrics["bins"] == 14


def test_a_stored_run_of_a_comparison_can_be_evaluated(tmp_path: Path):
    arrays = {
        "logits": TRUE.float().numpy(), "probs": TRUE.softmax(1).float().numpy(), "labels": LABELS.numpy(),
        "temperature": np.array(1.5), "calibration_logits": TRUE.flip(0).float().numpy(),
        "calibration_labels": LABELS.flip(0).numpy(), "outside_letters_logits": TRUE[:9].numpy(),
    }  # fmt: skip
    np.savez(tmp_path / "run.npz", allow_pickle=False, **arrays)
    done = evaluate(read_given(tmp_path / "run.npz"))
    assert set(done.corrected) == set(CALIBRATORS)
    assert list(done.metrics["ood"]) == ["letters"]
