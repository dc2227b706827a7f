"""What an evaluation says: the published numbers of two stored networks, and what each correction is fitted on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from calmix import metrics, posthoc
from calmix.errors import CalmixError, DataError, SettingError, ShapeError
from calmix.predictions import CALIBRATORS, ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.results.catalogue import METRICS, Column
from calmix.results.scores import Scores
from calmix.studies.evaluation import Evaluation, Given, evaluate
from calmix.studies.evaluation.files import read_given
from calmix.studies.evaluation.study import evaluation_json

SEEDED = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers in every test, whatever ran before it."""
    SEEDED.manual_seed(1)


N, K = 600, 4
TRUE = 2 * torch.randn(N, K, generator=SEEDED, dtype=torch.float64)
LABELS = TRUE.softmax(1).multinomial(1, generator=SEEDED)[:, 0]


def conditions(evaluation: Evaluation) -> set[str]:
    return {condition.split("/")[0] for condition in evaluation.scores.conditions()}


@pytest.mark.parametrize(
    ("name", "accuracy", "ece"), [("cifar10_lenet5", 0.5308, 0.1079), ("cifar10_wrn16_4", 0.9109, 0.0537)]
)
def test_the_stored_networks_have_their_published_numbers(real_data: Path, name: str, accuracy: float, ece: float):
    path, people = real_data / "predictions" / f"{name}.npz", real_data / "cifar10h" / "cifar10h-counts.npy"
    done = evaluate(read_given(path, human_labels=people))
    assert (round(done.value("accuracy"), 4), round(done.value("ece"), 4)) == (accuracy, ece)
    assert done.value("ece", "intervals/low") < done.value("ece") < done.value("ece", "intervals/high")
    assert done.value("cross_entropy", "human_labels") > done.value("nll") - 1  # of the same order
    assert 0 < done.value("total_variation", "human_labels") < 1


def test_every_correction_is_fitted_on_the_calibration_split_alone():
    half = N // 2
    calibration = ClassPredictions(3 * TRUE[:half], LABELS[:half])
    test = ClassPredictions(3 * TRUE[half:], LABELS[half:])
    done = evaluate(test, calibration=calibration)
    again = evaluate(ClassPredictions(test.logits, test.labels.flip(0)), calibration=calibration)
    held = posthoc.CalibrationLogits(calibration.logits, calibration.labels)
    for name, fit in CALIBRATORS.items():
        expected = fit(held)(test.logits)
        corrected = done.corrections[name](test.logits)
        assert torch.allclose(corrected.softmax(1), expected.softmax(1))
        assert torch.equal(corrected, again.corrections[name](test.logits))  # the test labels change nothing
        found = {key: value for key, value in done.measured[name].items() if key != "mce_rows"}
        assert found == metrics.classification_metrics(expected.softmax(1), test.labels)
        assert done.value("nll", name) < done.value("nll")
    assert done.temperature == pytest.approx(3, rel=0.2)
    assert done.value("coverage", "conformal") == pytest.approx(0.9, abs=0.06)


def test_without_a_calibration_split_nothing_is_corrected():
    done = evaluate(ClassPredictions(TRUE, LABELS))
    assert done.corrections == {}
    assert done.temperature is None
    assert not {*CALIBRATORS, "conformal"} & conditions(done)


def test_two_classes_are_also_judged_on_the_second():
    two = ClassPredictions(TRUE[:, :2], (LABELS > 1).long())
    assert evaluate(two).measured["positive"] == metrics.binary_metrics(two.probs[:, 1], two.labels)
    assert "positive" not in conditions(evaluate(ClassPredictions(TRUE, LABELS)))


def test_matrix_scaling_is_left_out_of_many_classes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.studies.evaluation.study.MOST_CLASSES", 3)
    for classes, fitted in ((3, ["scaled", "vector", "matrix", "isotonic"]), (4, ["scaled", "vector", "isotonic"])):
        test, held = (TRUE[rows, :classes] for rows in (slice(0, 50), slice(50, 100)))
        done = evaluate(logits=test, labels=test.argmax(1), calibration=(held, held.argmin(1)))
        assert list(done.corrections) == fitted


def test_ood_sets_and_human_labels():
    done = evaluate(ClassPredictions(TRUE, LABELS), ood={"same": TRUE}, human_labels=TRUE.softmax(1) * 50)
    assert done.value("auroc", "ood/same/max_probability") == pytest.approx(0.5)
    assert done.value("total_variation", "human_labels") == pytest.approx(0, abs=1e-12)
    foreign = evaluate(ClassPredictions(TRUE, LABELS), ood={"x": TRUE[:50] / 3}).scores.under("ood/x")
    expected = metrics.shift_metrics(TRUE, TRUE[:50] / 3)
    assert foreign.measured("predictions", 0) == expected
    assert expected["energy"]["auroc"] > 0.6


def test_probabilities_have_no_energy():
    logits, logs = ClassPredictions(TRUE, LABELS), ClassPredictions(TRUE.log_softmax(1), LABELS)
    scores = ["max_probability", "entropy"]
    for test, more, expected in (
        (logits, 2 * TRUE, [*scores, "energy"]),
        (logs, 2 * TRUE, scores),
        (logits, logs.logits, scores),
    ):
        assert evaluate(test, ood={"more": more}).scores.conditions("ood/more") == expected
    assert evaluate(probs=logits.probs, labels=LABELS, ood={"a": logs.probs}).scores.conditions("ood/a") == scores


def test_several_labels_a_row():
    probs = TRUE.sigmoid()
    truth = (probs > 0.5).double()
    done = evaluate(MultilabelPredictions(probs, truth))
    assert done.task == "multilabel"
    assert done.measured["plain"] == metrics.multilabel_metrics(probs, probs > 0.5)
    labels = [done.measured[f"by_label/{k}"] for k in range(probs.shape[1])]
    errors = [found["positive_ece"] for found in labels]
    assert sum(errors) / len(errors) == pytest.approx(done.value("labelwise_ece"))
    assert [found["share"] for found in labels] == pytest.approx(truth.mean(0).tolist())
    assert all(found["auroc"] == 1 for found in labels)  # every one has a higher probability than every zero


def test_numbers_with_deviations():
    std = torch.rand(N, generator=SEEDED, dtype=torch.float64) + 0.5
    noise = torch.randn(N, generator=SEEDED, dtype=torch.float64)
    test = RegressionPredictions(TRUE[:, 0], TRUE[:, 0] + std * noise, std / 2)
    held = RegressionPredictions(TRUE[:, 1], TRUE[:, 1] + std * noise.flip(0), std / 2)
    done = evaluate(test, calibration=held)
    assert done.task == "regression"
    assert done.value("nll", "scaled") < done.value("nll")
    assert done.value("coverage", "conformal") == pytest.approx(0.9, abs=0.05)
    assert "nll" not in evaluate(RegressionPredictions(test.mean, test.targets)).measured["plain"]
    few = RegressionPredictions(held.mean[:5], held.targets[:5], std[:5])
    assert evaluate(test, calibration=few).measured["conformal"] == {
        "promised": 0.9,
        "coverage": 1.0,
    }  # no finite width


def test_fewer_rows_than_bins_is_an_error():
    few = ClassPredictions(TRUE[:14], LABELS[:14])
    with pytest.raises(DataError, match="14 rows cannot fill 15 bins"):
        evaluate(few)
    assert evaluate(few, bins=14).bins == 14
    with pytest.raises(SettingError, match="bins must be at least 1"):
        evaluate(few, bins=0)


def test_a_stored_run_of_a_comparison_can_be_evaluated(tmp_path: Path):
    arrays = {
        "logits": TRUE.float().numpy(), "probs": TRUE.softmax(1).float().numpy(), "labels": LABELS.numpy(),
        "temperature": np.array(1.5), "calibration_logits": TRUE.flip(0).float().numpy(),
        "calibration_labels": LABELS.flip(0).numpy(), "ood_letters_logits": TRUE[:9].numpy(),
        "human_labels": np.ones((N, K)),
    }  # fmt: skip
    np.savez(tmp_path / "run.npz", allow_pickle=False, **arrays)
    done = evaluate(read_given(tmp_path / "run.npz"))
    assert set(done.corrections) == set(CALIBRATORS)
    assert list(done.given.ood) == ["letters"]
    assert {"ood", "human_labels"} <= conditions(done)


# ------------------------------------------------------------------------------------------ arrays and tensors


def test_arrays_tensors_and_lists_say_what_predictions_say():
    probs, expected = TRUE.softmax(1), evaluate(ClassPredictions(TRUE.log_softmax(1), LABELS)).measured["plain"]
    read_only = probs.numpy().copy()
    read_only.flags.writeable = False
    for found in (
        evaluate(probs=probs, labels=LABELS),
        evaluate(probs=read_only, labels=LABELS.numpy().astype(np.uint8)),
        evaluate(probs=pd.DataFrame(probs.numpy()), labels=pd.Series(LABELS.numpy())),
        evaluate(probs=probs.tolist(), labels=[float(label) for label in LABELS]),
        evaluate(logits=TRUE.numpy(), labels=LABELS),
        evaluate(logits=TRUE.clone().requires_grad_(), labels=LABELS[:, None]),
        evaluate(logits=TRUE, labels=LABELS.to(torch.bfloat16)),
        evaluate(ClassPredictions(TRUE.clone().requires_grad_(), LABELS)),
    ):
        assert found.measured["plain"] == pytest.approx(expected, rel=1e-9)


def test_one_column_is_the_second_of_two_classes():
    p, labels = TRUE[:, 0].sigmoid(), (TRUE[:, 1] > 0).long()
    both = evaluate(probs=torch.stack([1 - p, p], 1), labels=labels).measured["positive"]
    for found in (
        evaluate(probs=p, labels=labels),
        evaluate(probs=p[:, None], labels=labels),
        evaluate(logits=TRUE[:, 0], labels=labels == 1),
    ):
        assert found.measured["positive"] == pytest.approx(both)


def test_what_goes_with_arrays_is_given_as_they_are():
    test, held = slice(0, N // 2), slice(N // 2, N)
    people = TRUE[test].softmax(1)
    ours = evaluate(
        logits=TRUE[test], labels=LABELS[test], calibration=(TRUE[held], LABELS[held]), ood={"x": TRUE[held]},
        human_labels=people.numpy(),
    )  # fmt: skip
    calibration = ClassPredictions(TRUE[held], LABELS[held])
    same = evaluate(Given(ClassPredictions(TRUE[test], LABELS[test]), calibration, {"x": TRUE[held]}, people))
    assert ours.measured == same.measured
    assert ours.temperature == same.temperature
    std = TRUE[:, 2].exp()
    numbers = evaluate(
        mean=TRUE[test, 0],
        std=std[test],
        targets=TRUE[test, 1],
        calibration=(TRUE[held, 0], std[held], TRUE[held, 1]),
    )
    other = RegressionPredictions(TRUE[held, 0], TRUE[held, 1], std[held])
    again = evaluate(RegressionPredictions(TRUE[test, 0], TRUE[test, 1], std[test]), calibration=other)
    assert numbers.measured == again.measured
    several = evaluate(logits=TRUE, labels=np.eye(K)[LABELS])
    assert several.measured == evaluate(MultilabelPredictions(TRUE.sigmoid(), torch.eye(K)[LABELS])).measured


CLASSES: dict[str, Any] = {"logits": TRUE, "labels": LABELS}
NUMBERS: dict[str, Any] = {"mean": TRUE[:, 0], "targets": TRUE[:, 1]}
READY = {"predictions": ClassPredictions(TRUE, LABELS)}
WRONG: dict[str, tuple[dict[str, Any], type[CalmixError], str]] = {
    "nothing": ({}, SettingError, "give one of predictions, probs, logits and mean; got none"),
    "two": ({**CLASSES, "probs": TRUE}, SettingError, "got probs and logits"),
    "two kinds": ({**CLASSES, **NUMBERS}, SettingError, "got logits and mean"),
    "no labels": ({"logits": TRUE}, SettingError, "logits needs labels.*add labels="),
    "no targets": ({"mean": TRUE[:, 0]}, SettingError, "mean needs targets"),
    "std of classes": ({**CLASSES, "std": TRUE}, SettingError, "std would be ignored beside logits"),
    "labels of numbers": ({**NUMBERS, "labels": LABELS}, SettingError, "labels would be ignored beside mean"),
    "labels twice": ({**READY, "labels": LABELS}, SettingError, "labels would be ignored beside ClassPredictions"),
    "no names": ({"predictions": TRUE.numpy()}, SettingError, "got ndarray: give arrays by name"),
    "a list to correct": ({**CLASSES, "calibration": [TRUE, LABELS]}, SettingError, "a tuple of arrays; got list"),
    "ood without a name": ({**CLASSES, "ood": TRUE}, SettingError, "predictions by name.*got Tensor"),
    "beside all": (
        {"predictions": Given(READY["predictions"]), "ood": {"x": TRUE}},
        SettingError,
        "ood would be ignored beside Given",
    ),
    "arrays to correct": ({**READY, "calibration": (TRUE, LABELS)}, SettingError, "must be ClassPredictions"),
    "three arrays": ({**CLASSES, "calibration": (TRUE, LABELS, LABELS)}, SettingError, r"2 arrays, \(logits, labels\)"),
    "no deviations": ({**NUMBERS, "calibration": (TRUE[:9, 0], TRUE[:9, 1])}, DataError, "need std"),
    "the same rows": ({**CLASSES, "calibration": (TRUE, LABELS)}, DataError, "the test predictions themselves"),
    "another kind": (
        {**CLASSES, "calibration": RegressionPredictions(TRUE[:, 0], TRUE[:, 1])},
        DataError,
        r"\(numbers\) are not of the kind of the test predictions \(4 classes\)",
    ),
    "labels to correct": (
        {"logits": TRUE, "labels": TRUE > 0, "calibration": (TRUE, TRUE > 0)},
        SettingError,
        "leave the calibration split out",
    ),
    "ood of numbers": ({**NUMBERS, "ood": {"x": TRUE}}, SettingError, "for predictions of one class a row"),
    "people of numbers": ({**NUMBERS, "human_labels": TRUE}, SettingError, "for predictions of one class a row"),
    "a path": ({**CLASSES, "ood": {"a/b": TRUE}}, SettingError, "'a/b' needs a name of letters"),
    "other classes": ({**CLASSES, "ood": {"x": TRUE[:, :3]}}, ShapeError, r"\(600, 3\), expected \(rows, 4\)"),
    "other people": ({**CLASSES, "human_labels": TRUE[:9]}, ShapeError, r"shape \(9, 4\), expected \(600, 4\)"),
    "logits as probs": ({"probs": TRUE, "labels": LABELS}, DataError, "pass them as logits"),
    "half a class": ({"logits": TRUE, "labels": LABELS + 0.5}, DataError, "class ids 0, 1"),
    "text": ({"logits": TRUE.numpy().astype(str), "labels": LABELS}, DataError, "expected rows of numbers"),
    "too many labels": ({"logits": TRUE, "labels": LABELS[:9]}, ShapeError, "600 predictions but 9 labels"),
}


@pytest.mark.parametrize(("arguments", "error", "advice"), WRONG.values(), ids=WRONG)
def test_arguments_that_do_not_fit_are_errors(arguments: dict[str, Any], error: type[CalmixError], advice: str):
    with pytest.raises(error, match=f"(?s){advice}"):
        evaluate(**arguments)


# ----------------------------------------------------------------------------------------- what comes back


def test_the_table_holds_every_number_of_the_predictions_and_their_corrections():
    half = N // 2
    done = evaluate(logits=TRUE[:half], labels=LABELS[:half], calibration=(TRUE[half:], LABELS[half:]))
    table, conditions = done.table(), ["plain", "scaled", "vector", "matrix", "isotonic"]
    assert list(table.columns) == ["As given", "Temperature", "Vector scaling", "Matrix scaling", "Isotonic regression"]
    for heading, condition in zip(table.columns, conditions, strict=True):
        shown = {Column(METRICS[key]).label: METRICS[key].scale * v for key, v in done.measured[condition].items()}
        assert table[heading].dropna().to_dict() == shown
    two = evaluate(logits=TRUE[:, :2], labels=LABELS // 2, calibration=(TRUE[:50, 2:], LABELS[:50] // 2)).table()
    auroc = metrics.auroc(TRUE[:, :2].softmax(1)[:, 1], LABELS // 2 == 1)
    assert two.loc["AUROC, %", "As given"] == 100 * auroc
    assert np.isnan(two.loc["AUROC, %", "Temperature"])  # said of the predictions as given only


def test_the_scores_are_tidy():
    done = evaluate(logits=TRUE, labels=LABELS)
    assert isinstance(done.scores, Scores)
    assert (done.scores.methods, done.scores.seeds) == (["predictions"], [0])
    assert done.scores.values("predictions", "ece") == [done.value("ece")]


def test_json_holds_every_number():
    done = evaluate(logits=TRUE, labels=LABELS, calibration=(TRUE.flip(0), LABELS.flip(0)), ood={"x.y": TRUE})
    found: Any = evaluation_json(done)
    assert {name: found[name] for name in ("task", "classes", "rows", "bins", "temperature")} == {
        "task": "classification", "classes": K, "rows": N, "bins": 15, "temperature": done.temperature
    }  # fmt: skip
    assert found["ece"] == done.value("ece")
    assert found["vector"]["nll"] == done.value("nll", "vector")
    assert found["ood"]["x.y"]["energy"]["fpr95"] == done.value("fpr95", "ood/x.y/energy")
    assert found["intervals"]["low"]["ece"] == done.value("ece", "intervals/low")


def test_a_notebook_shows_the_verdict_and_the_table():
    done = evaluate(logits=TRUE, labels=LABELS, ood={"x": TRUE})
    shown = done._repr_html_()
    assert done.verdict.headline in shown
    assert f"{100 * done.value('accuracy'):.1f}" in shown
    assert "A row of x has a lower confidence than a test row in 50 of 100 pairs." in str(done.verdict)


def test_it_prints_and_writes_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    done = evaluate(logits=TRUE, labels=LABELS)
    done.print()
    assert done.verdict.headline in capsys.readouterr().out
    assert done.write_report(str(tmp_path / "out")).read_text(encoding="utf-8").startswith("<!")
