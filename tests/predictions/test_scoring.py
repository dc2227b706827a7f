"""Every number of predictions comes from the metric of its name, under the condition of its name."""

import math
from functools import partial

import pytest
import torch

from calmix import metrics, posthoc
from calmix.metrics.tensors import row_slices
from calmix.predictions import (
    CALIBRATORS,
    ClassPredictions,
    MultilabelPredictions,
    RegressionPredictions,
    class_scores,
    multilabel_scores,
    ood_scores,
    regression_scores,
)
from calmix.predictions.scoring import TEMPERATURE

SEEDED = torch.Generator().manual_seed(0)
TRUE = 2 * torch.randn(400, 3, generator=SEEDED, dtype=torch.float64)
LABELS = TRUE.softmax(1).multinomial(1, generator=SEEDED)[:, 0]
TEST, HELD = ClassPredictions(2 * TRUE[:200], LABELS[:200]), ClassPredictions(2 * TRUE[200:], LABELS[200:])


def test_class_scores_are_those_of_the_metrics():
    scores, rows, tables, corrections, temperature = class_scores(TEST, HELD, bins=10)
    assert list(tables) == list(rows)
    assert list(corrections) == list(CALIBRATORS)
    assert list(rows) == ["plain", *CALIBRATORS]
    unequal = metrics.imbalance_metrics(TEST.probs, TEST.labels)
    plain = {**metrics.classification_metrics(TEST.probs, TEST.labels, 10), **unequal}
    assert {name: value for name, value in scores["plain"].items() if name != "mce_rows"} == plain
    low, high = metrics.ece_interval(TEST.probs, TEST.labels, 10)
    for name, correction in corrections.items():
        probs = correction(TEST.logits).softmax(1)
        widths = metrics.reliability(probs, TEST.labels, 10)
        gaps = (widths.claimed - widths.observed).abs()
        assert gaps[widths.count == scores[name]["mce_rows"]].max() == pytest.approx(scores[name]["mce"])
        found = {key: value for key, value in scores[name].items() if key != "mce_rows"}
        assert found == metrics.classification_metrics(probs, TEST.labels, 10)
        assert torch.equal(rows[name].confidence, metrics.score_rows(probs, TEST.labels).confidence)
    held = posthoc.CalibrationLogits(HELD.logits, HELD.labels)
    fitted, (coldest, hottest) = posthoc.fit_temperature(held), posthoc.temperature_interval(held)
    assert scores["intervals/low"] == {"ece": low, "temperature": coldest}
    assert scores["intervals/high"] == {"ece": high, "temperature": hottest}
    assert temperature == fitted.value == pytest.approx(2, rel=0.3)
    sets = posthoc.fit_conformal_sets(held, 0.1)(TEST.probs)
    assert scores["conformal"] == {
        "promised": 0.9,
        "coverage": posthoc.set_coverage(sets, TEST.labels),
        "size": posthoc.set_size(sets),
    }


@pytest.mark.parametrize("are_probs", [False, True])
def test_scores_of_rows_in_pieces_are_those_of_all_rows(monkeypatch: pytest.MonkeyPatch, are_probs: bool):
    test = ClassPredictions(TEST.probs if are_probs else TEST.logits, TEST.labels, are_probs=are_probs)
    outside = TRUE[300:] / 5
    whole, of_outside = class_scores(test, HELD).scores, ood_scores(test, outside)
    small = partial(row_slices, numbers=3 * 7)
    monkeypatch.setattr("calmix.predictions.kinds.row_slices", small)
    monkeypatch.setattr("calmix.metrics.shift.row_slices", small)
    pieces = class_scores(test, HELD).scores
    assert pieces.keys() == whole.keys()
    for condition, metrics_ in whole.items():
        assert pieces[condition] == pytest.approx(metrics_, rel=1e-12), condition
    assert ood_scores(test, outside) == of_outside


def test_the_test_rows_are_read_once(monkeypatch: pytest.MonkeyPatch):
    """Four corrections, conformal sets and all metrics: a pass for each would read a large file many times."""
    reads = []
    pieces = ClassPredictions.pieces
    monkeypatch.setattr(ClassPredictions, "pieces", lambda self: (reads.append(self), pieces(self))[1])
    class_scores(TEST, HELD)
    assert [one is TEST for one in reads] == [True]


def test_only_what_is_asked_for_is_fitted():
    alone, few = class_scores(TEST), class_scores(TEST, HELD, calibrators=TEMPERATURE)
    assert (alone.corrections, alone.temperature) == ({}, None)
    assert "conformal" not in alone.scores
    assert set(alone.scores["intervals/low"]) == {"ece"}
    assert list(few.corrections) == ["scaled"]
    assert "positive" not in alone.scores  # three classes


def test_answers_that_are_about_90_per_cent_sure():
    """Rows of confidence 0.86 and 0.94 count, those of 0.84 and 0.96 do not; three of the four right."""
    confident = torch.tensor([0.84, 0.86, 0.86, 0.94, 0.94, 0.96], dtype=torch.float64)
    probs = torch.stack([confident, 1 - confident], 1)
    found = class_scores(ClassPredictions(probs.log(), torch.tensor([1, 0, 0, 0, 1, 1])), bins=5).scores
    assert found["sure"] == pytest.approx({"claimed": 0.9, "observed": 0.75, "count": 4})
    unsure = ClassPredictions(torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64))
    assert "sure" not in class_scores(unsure, bins=5).scores
    positive = metrics.binary_metrics(probs[:, 1], torch.tensor([1, 0, 0, 0, 1, 1]), 5)
    assert found["positive"] == pytest.approx(positive)


@pytest.mark.parametrize("are_probs", [False, True])
def test_every_class_has_its_recall_and_shares(are_probs: bool):
    test = ClassPredictions(TEST.probs if are_probs else TEST.logits, TEST.labels, are_probs=are_probs)
    known = torch.tensor([1, 2, 3])
    found = class_scores(test, shares=known).scores
    assert found["plain"]["nll_skill"] == pytest.approx(metrics.nll_skill(TEST.probs, TEST.labels, known))
    assert found["plain"]["macro_auroc"] == pytest.approx(metrics.macro_auroc(TEST.probs, TEST.labels))
    answers = TEST.probs.argmax(1)
    for number, recall in enumerate(metrics.class_recalls(TEST.probs, TEST.labels)):
        assert found[f"by_class/{number}"] == pytest.approx(
            {
                "share": (TEST.labels == number).double().mean().item(),
                "answered": (answers == number).double().mean().item(),
                "recall": recall,
            }
        )


def test_truths_that_were_all_but_ruled_out():
    """Two of four rows give the truth 1e-20 and 1e-9: others, which clip at 1e-15, see another NLL."""
    of_truth = torch.tensor([0.5, 0.5, 1e-20, 1e-9], dtype=torch.float64)
    probs = torch.stack([of_truth, 1 - of_truth], 1)
    labels = torch.zeros(4, dtype=torch.int64)
    scores = class_scores(ClassPredictions(probs, labels, are_probs=True), bins=2).scores
    losses = [math.log(2), math.log(2), 20 * math.log(10), 9 * math.log(10)]
    assert scores["near_zero"] == pytest.approx(
        {
            "count": 2,
            "nll_share": sum(losses[2:]) / sum(losses),
            "nll_clipped": (sum(losses) - 5 * math.log(10)) / 4,
        }
    )
    assert scores["plain"]["nll"] == pytest.approx(sum(losses) / 4)
    assert "near_zero" not in class_scores(TEST).scores


def test_a_class_without_rows_has_no_recall():
    found = class_scores(ClassPredictions(TEST.logits[:40], TEST.labels[:40].clamp(max=1)), bins=5).scores
    assert "by_class/1" in found
    assert "by_class/2" not in found


def test_too_many_probabilities_are_not_ranked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.predictions.scoring.MOST_RANKED", 599)
    found = class_scores(TEST).scores["plain"]  # 600 probabilities
    assert {"macro_auroc", "macro_auprc"}.isdisjoint(found)
    assert "balanced_accuracy" in found


def test_ood_scores_know_the_energy_of_logits_only():
    inside, foreign = TRUE[:50], TRUE[50:90] / 5
    test, labels = ClassPredictions(inside, LABELS[:50]), LABELS[:50]
    assert ood_scores(test, foreign) == metrics.shift_metrics(inside, foreign)
    of_probs = ClassPredictions(inside.softmax(1), labels, are_probs=True)
    logs = ClassPredictions(inside.log_softmax(1), labels)
    for one, other in ((logs, foreign), (of_probs, foreign), (test, foreign.log_softmax(1))):
        expected = metrics.shift_metrics(one.logits, other)
        del expected["energy"]
        assert ood_scores(one, other) == expected


def test_multilabel_scores_are_those_of_the_metrics():
    probs, labels = TRUE.sigmoid(), (TRUE > 1).long()
    found = multilabel_scores(MultilabelPredictions(probs, labels), 7)
    assert found.pop("plain") == metrics.multilabel_metrics(probs, labels, 7)
    assert list(found) == ["by_label/0", "by_label/1", "by_label/2"]
    for number, of_label in enumerate(found.values()):
        p, y = probs[:, number], labels[:, number]
        assert of_label["share"] == pytest.approx(y.double().mean().item())
        assert of_label["positive_ece"] == metrics.positive_ece(p, y, 7)
        assert of_label["auroc"] == pytest.approx(1.0)  # labels follow from the probabilities


def test_regression_scores_are_those_of_the_metrics():
    mean, targets, std = TRUE[:, 0], TRUE[:, 1], TRUE[:, 2].exp()
    test, held = (
        RegressionPredictions(mean[rows], targets[rows], std[rows]) for rows in (slice(0, 200), slice(200, 400))
    )
    scores = regression_scores(test, held, bins=8)
    plain = metrics.regression_metrics(test.mean, test.targets)
    assert scores["plain"] == plain | metrics.gaussian_metrics(mean[:200], std[:200], targets[:200], 8)
    calibration = posthoc.CalibrationGaussian(mean[200:], std[200:], targets[200:])
    scaled = posthoc.fit_variance_scaling(calibration)(std[:200])
    assert scores["scaled"] == metrics.gaussian_metrics(mean[:200], scaled, targets[:200], 8)
    low, high = posthoc.fit_conformal_intervals(calibration, 0.1)(mean[:200], std[:200])
    assert scores["conformal"]["coverage"] == posthoc.band_coverage(low, high, targets[:200])
    assert scores["conformal"]["width"] == posthoc.band_width(low, high)
    bare = RegressionPredictions(test.mean, test.targets)
    assert regression_scores(bare, held) == {"plain": plain}
    assert set(regression_scores(test, bare)) == {"plain"}


def test_too_few_rows_for_the_promise_have_no_finite_width():
    test = RegressionPredictions(TRUE[:, 0], TRUE[:, 1], TRUE[:, 2].exp())
    few = RegressionPredictions(TRUE[:5, 1], TRUE[:5, 0], TRUE[:5, 2].exp())
    scores = regression_scores(test, few)
    assert scores["conformal"] == {"promised": 0.9, "coverage": 1.0}
    assert all(math.isfinite(value) for numbers in scores.values() for value in numbers.values())
