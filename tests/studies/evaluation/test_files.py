"""Files of predictions from any framework: what is understood, and what becomes advice."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from calmix.errors import CalmixError
from calmix.predictions import ClassPredictions, MultilabelPredictions, RegressionPredictions
from calmix.studies.evaluation.files import read_given

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 3))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
LABELS = RNG.integers(3, size=40)


def npz(folder: Path, name: str = "test.npz", **arrays: np.ndarray) -> Path:
    np.savez(folder / name, allow_pickle=False, **arrays)
    return folder / name


def classified(path: Path, **options: object) -> ClassPredictions:
    test = read_given(path, **options).test  # pyright: ignore[reportArgumentType]
    assert isinstance(test, ClassPredictions)
    return test


def test_logits_probabilities_and_tables_of_them_say_the_same(tmp_path: Path):
    frame = pd.DataFrame(PROBS, columns=["probs_cat", "probs_dog", "probs_eel"])
    named = frame.assign(label=[("cat", "dog", "eel")[label] for label in LABELS])
    named.to_csv(tmp_path / "a.csv", index=False)
    named.rename(columns=lambda name: name.replace("probs_", "probability_")).to_parquet(tmp_path / "a.parquet")
    frame.assign(labels=LABELS).to_csv(tmp_path / "b.csv.gz", index=False)
    files = [
        npz(tmp_path, "a.npz", logits=LOGITS, labels=LABELS),
        npz(tmp_path, "b.npz", probs=PROBS.astype(np.float32), targets=LABELS),
        npz(tmp_path, "c.npz", probs=PROBS, labels=LABELS.astype(float)),
        npz(
            tmp_path, "d.npz", probs=PROBS, labels=np.array(["u", "v", "w"])[LABELS], classes=np.array(["u", "v", "w"])
        ),
        *(tmp_path / name for name in ("a.csv", "a.parquet", "b.csv.gz")),
    ]
    for path in files:
        test = classified(path)
        assert np.allclose(test.probs, PROBS, atol=1e-6), path
        assert np.array_equal(test.labels, LABELS), path
    assert classified(tmp_path / "a.csv").classes == ("cat", "dog", "eel")
    assert np.allclose(classified(npz(tmp_path, "e.npz", probs=LOGITS, labels=LABELS), logits=True).probs, PROBS)


def test_one_probability_is_that_of_the_second_class(tmp_path: Path):
    labels = LABELS % 2
    for path in (
        npz(tmp_path, probs=PROBS[:, 0], labels=labels),
        npz(tmp_path, "column.npz", probs=PROBS[:, :1], labels=labels),
        npz(tmp_path, "logit.npz", logits=np.log(PROBS[:, 0] / (1 - PROBS[:, 0])), labels=labels),
    ):
        assert np.allclose(classified(path).probs[:, 1], PROBS[:, 0])


def test_a_certain_probability_keeps_its_certainty(tmp_path: Path):
    test = classified(npz(tmp_path, probs=np.array([[0.0, 1.0], [1.0, 0.0]]), labels=np.array([1, 0])))
    assert torch.allclose(test.probs, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double(), rtol=0, atol=1e-300)


def test_several_labels_a_row(tmp_path: Path):
    truth = (PROBS > 0.3).astype(int)
    test = read_given(npz(tmp_path, probs=PROBS, labels=truth)).test
    assert isinstance(test, MultilabelPredictions)
    assert np.allclose(test.probs, PROBS)
    test = read_given(npz(tmp_path, "z.npz", logits=LOGITS, labels=truth)).test
    assert isinstance(test, MultilabelPredictions)
    assert np.allclose(test.probs, 1 / (1 + np.exp(-LOGITS)))


def test_numbers_with_deviations_variances_or_samples(tmp_path: Path):
    mean, std, targets = LOGITS[:, 0], PROBS[:, 1], LOGITS[:, 1]
    pd.DataFrame({"mean": mean, "std": std, "target": targets}).to_csv(tmp_path / "t.csv", index=False)
    for path in (
        npz(tmp_path, mean=mean, std=std, targets=targets),
        npz(tmp_path, "v.npz", mean=mean[:, None], variance=std[:, None] ** 2, targets=targets[:, None]),
        tmp_path / "t.csv",
    ):
        test = read_given(path).test
        assert isinstance(test, RegressionPredictions)
        assert test.std is not None
        assert np.allclose(test.mean, mean)
        assert np.allclose(test.std, std)
        assert np.allclose(test.targets, targets)
    test = read_given(npz(tmp_path, "s.npz", samples=np.stack([mean - 1, mean + 1]), targets=targets)).test
    assert isinstance(test, RegressionPredictions)
    assert test.std is not None
    assert np.allclose(test.mean, mean)
    assert read_given(npz(tmp_path, "p.npz", mean=mean, targets=targets)).test.std is None  # pyright: ignore


def test_one_file_may_hold_all_of_it(tmp_path: Path):
    path = npz(
        tmp_path, logits=LOGITS, probs=PROBS, labels=LABELS, temperature=np.array(1.5),
        human_labels=np.full((40, 3), 7), calibration_logits=LOGITS[:9], calibration_labels=LABELS[:9],
        ood_not_mnist_logits=LOGITS[:5], rows=np.arange(40),
    )  # fmt: skip
    given = read_given(path)
    assert given.notices == ()
    assert isinstance(given.calibration, ClassPredictions)
    assert len(given.calibration) == 9
    assert list(given.ood) == ["not_mnist"]
    assert given.human_labels is not None
    assert given.human_labels.shape == (40, 3)


def test_a_file_of_an_older_calmix_says_the_same(tmp_path: Path):
    counts, letters = RNG.integers(1, 9, (40, 3)), LOGITS[:5]
    same = {"logits": LOGITS, "labels": LABELS}
    new = npz(tmp_path, **same, human_labels=counts, ood_not_mnist_logits=letters)
    old = npz(tmp_path, "old.npz", **same, votes=counts, outside_not_mnist_logits=letters)
    for given in (read_given(new), read_given(old)):
        assert list(given.ood) == ["not_mnist"]
        assert np.array_equal(given.ood["not_mnist"], letters)
        assert given.human_labels is not None
        assert np.array_equal(given.human_labels, counts)


def test_further_files(tmp_path: Path):
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    held = npz(tmp_path, "held.npz", probs=PROBS[::2], labels=LABELS[::2])
    letters = npz(tmp_path, "letters.npz", probs=PROBS[::-1])
    np.save(tmp_path / "people.npy", np.full((40, 3), 2))
    given = read_given(path, held, [letters], tmp_path / "people.npy")
    assert isinstance(given.calibration, ClassPredictions)
    assert len(given.calibration) == 20
    assert given.ood["letters"].shape == (40, 3)
    assert given.human_labels is not None


def test_columns_belong_together_by_name(tmp_path: Path):
    """Ten and more classes named by numbers, in the order of text; human labels and calibration in yet another."""
    k = 12
    rng = np.random.default_rng(1)
    probs, labels = rng.dirichlet(np.ones(k), 50), rng.integers(k, size=50)
    votes = rng.integers(1, 9, (50, k))
    text, back = sorted(map(str, range(k))), [str(j) for j in reversed(range(k))]
    frame = pd.DataFrame({f"probs_{name}": probs[:, int(name)] for name in text})
    frame = frame.assign(label=labels, **{f"human_labels_{name}": votes[:, int(name)] for name in back})
    held = pd.DataFrame({f"probs_{name}": probs[::-1, int(name)] for name in back}).assign(label=labels[::-1])
    frame.to_csv(tmp_path / "test.csv")  # with pandas' index
    held.to_csv(tmp_path / "held.csv", index=False)
    given = read_given(tmp_path / "test.csv", tmp_path / "held.csv")
    assert isinstance(given.test, ClassPredictions)
    assert isinstance(given.calibration, ClassPredictions)
    assert given.human_labels is not None
    place = [int(name) for name in given.test.classes]
    assert np.allclose(given.test.probs, probs[:, place])
    assert [place[label] for label in given.test.labels] == labels.tolist()
    assert np.allclose(given.calibration.probs, probs[::-1][:, place])
    assert [place[label] for label in given.calibration.labels] == labels[::-1].tolist()
    assert np.array_equal(given.human_labels, votes[:, place])
    truth = pd.DataFrame({f"labels_{name}": votes[:, int(name)] % 2 for name in back})
    pd.concat([frame.filter(like="probs"), truth], axis=1).to_csv(tmp_path / "several.csv", index=False)
    several = read_given(tmp_path / "several.csv").test
    assert isinstance(several, MultilabelPredictions)
    assert np.array_equal(several.labels, votes[:, place] % 2)


def test_ood_sets_are_of_the_same_classes_and_have_names_of_their_own(tmp_path: Path):
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    (tmp_path / "more").mkdir()
    one, two = npz(tmp_path, "letters.npz", probs=PROBS[:5]), npz(tmp_path / "more", "letters.npz", probs=PROBS[:5])
    for others, advice in (
        ([one, two], "two OOD sets"),
        ([npz(tmp_path, "k.npz", probs=PROBS[:, 0])], r"shape \(40, 2\), expected \(rows, 3\)"),
    ):
        with pytest.raises(CalmixError, match=advice):
            read_given(path, ood=others)
    numbers = npz(tmp_path, "numbers.npz", mean=LOGITS[:, 0], targets=LOGITS[:, 1])
    with pytest.raises(CalmixError, match="no predictions of one class a row"):
        read_given(numbers, ood=[one])
    with pytest.raises(CalmixError, match="leave it out"):
        read_given(numbers, logits=True)
    with pytest.raises(CalmixError, match="need std"):
        read_given(numbers, npz(tmp_path, "held.npz", mean=LOGITS[:, 1], targets=LOGITS[:, 0]))


BAD = {
    "sums": ({"probs": PROBS * 0.9, "labels": LABELS}, "sums to 0.9 .*--logits"),
    "logits as probabilities": ({"probs": LOGITS, "labels": LABELS}, "run from -.*--logits"),
    "logits within 0 and 1": ({"probs": np.full((40, 3), 0.9), "labels": LABELS}, "sums to 2.7 .*--logits"),
    "NaN": ({"probs": np.where(PROBS > 0.8, np.nan, PROBS), "labels": LABELS}, "NaN or infinity in .* of 40 rows"),
    "infinite logits": ({"logits": np.full((40, 3), np.inf), "labels": LABELS}, "NaN or infinity in 40 of 40 rows"),
    "labels outside": ({"probs": PROBS, "labels": LABELS + 1}, "run from 1 to 3, expected 0 to 2"),
    "labels between": ({"probs": PROBS, "labels": LABELS + 0.5}, "class ids 0, 1"),
    "unknown label": ({"probs": PROBS, "labels": np.array(["u"] * 40)}, "unknown label in test.npz 'u'"),
    "lengths": ({"probs": PROBS, "labels": LABELS[:-1]}, "40 predictions but 39 labels"),
    "no labels": ({"probs": PROBS}, "the true classes are missing; add labels or targets"),
    "no predictions": ({"labels": LABELS}, "the predictions are missing; add logits or probs"),
    "no rows": ({"probs": PROBS[:0], "labels": LABELS[:0]}, "no rows"),
    "unknown array": ({"probs": PROBS, "lables": LABELS}, "lables.*'labels'"),
    "text": ({"probs": PROBS.astype(str), "labels": LABELS}, "expected rows of numbers"),
    "negative variance": (
        {"mean": LABELS * 1.0, "variance": LOGITS[:, 0], "targets": LABELS},
        "variance is -.*expected positive",
    ),
    "zero deviation": ({"mean": LABELS * 1.0, "std": LABELS * 1.0, "targets": LABELS}, "std is 0 in row"),
    "deviation and variance": (
        {"mean": LABELS * 1.0, "std": LABELS + 1.0, "variance": LABELS + 1.0, "targets": LABELS},
        "both std and variance",
    ),
    "lengths of numbers": ({"mean": LABELS * 1.0, "targets": LABELS[:3]}, "40 predictions but 3 targets"),
    "half a label": ({"probs": PROBS, "labels": PROBS}, "0 or 1 each"),
    "one number": ({"probs": np.array(0.5), "labels": LABELS}, "expected rows of numbers"),
    "three dimensions": ({"logits": LOGITS[None], "labels": LABELS}, "expected \\(rows, classes\\)"),
    "too few names": (
        {"probs": PROBS, "labels": LABELS, "classes": np.array(["a", "b"])},
        "2 names in classes, expected 3",
    ),
    "the same names": ({"probs": PROBS, "labels": LABELS, "classes": np.array(["a", "b", "a"])}, "3 different ones"),
    "one pass": ({"samples": LOGITS[:1], "targets": LOGITS[0]}, "two passes or more"),
    "a path for a name": ({"probs": PROBS, "labels": LABELS, "ood_../x_probs": PROBS}, "unknown array"),
    "human labels": ({"probs": PROBS, "labels": LABELS, "human_labels": PROBS[:3]}, "human labels have shape"),
    "other classes": (
        {"probs": PROBS, "labels": LABELS, "calibration_probs": PROBS[:, 0], "calibration_labels": LABELS % 2},
        r"calibration predictions \(2 classes\) are not of the kind of the test predictions \(3 classes\)",
    ),
}


@pytest.mark.parametrize(("arrays", "advice"), BAD.values(), ids=BAD)
def test_what_cannot_be_predictions_becomes_advice(tmp_path: Path, arrays: dict[str, np.ndarray], advice: str):
    path = npz(tmp_path, "test.npz", **arrays)
    with pytest.raises(CalmixError, match=f"(?s){advice}"):
        read_given(path)


@pytest.mark.filterwarnings("ignore:Creating an ndarray")
def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "text.npz").write_text("probs")
    np.savez(tmp_path / "objects.npz", labels=np.array([{}, 1], dtype=object))
    for name, advice in (
        ("none.npz", "file not found"),
        ("text.npz", "save arrays"),
        ("objects.npz", "plain arrays"),
        ("none.csv", "file not found"),
        ("predictions.h5", "unknown type|not found"),
    ):
        with pytest.raises(CalmixError, match=advice):
            read_given(tmp_path / name)


def test_the_test_split_calibrates_nothing(tmp_path: Path):
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    copy = npz(tmp_path, "copy.npz", probs=PROBS, labels=LABELS)
    half = npz(tmp_path, "half.npz", probs=PROBS.astype(np.float16), labels=LABELS)
    for other in (path, copy, half):
        with pytest.raises(CalmixError, match="holds the test predictions themselves"):
            read_given(path, other)
