"""Files of predictions from any framework: what is understood, and what becomes advice."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from calmix.errors import CalmixError
from calmix.evaluation import Classified, Estimated, Multilabelled, read_given

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 3))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
LABELS = RNG.integers(3, size=40)


def npz(folder: Path, name: str = "test.npz", **arrays: np.ndarray) -> Path:
    np.savez(folder / name, allow_pickle=False, **arrays)
    return folder / name


def classified(path: Path, **options: object) -> Classified:
    test = read_given(path, **options).test  # pyright: ignore[reportArgumentType]
    assert isinstance(test, Classified)
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
    assert isinstance(test, Multilabelled)
    assert np.allclose(test.probs, PROBS)
    test = read_given(npz(tmp_path, "z.npz", logits=LOGITS, labels=truth)).test
    assert isinstance(test, Multilabelled)
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
        assert isinstance(test, Estimated)
        assert test.std is not None
        assert np.allclose(test.mean, mean)
        assert np.allclose(test.std, std)
        assert np.allclose(test.targets, targets)
    test = read_given(npz(tmp_path, "s.npz", samples=np.stack([mean - 1, mean + 1]), targets=targets)).test
    assert isinstance(test, Estimated)
    assert test.std is not None
    assert np.allclose(test.mean, mean)
    assert read_given(npz(tmp_path, "p.npz", mean=mean, targets=targets)).test.std is None  # pyright: ignore


def test_one_file_may_hold_all_of_it(tmp_path: Path):
    path = npz(
        tmp_path, logits=LOGITS, probs=PROBS, labels=LABELS, temperature=np.array(1.5), votes=np.full((40, 3), 7),
        calibration_logits=LOGITS[:9], calibration_labels=LABELS[:9], outside_not_mnist_logits=LOGITS[:5],
    )  # fmt: skip
    given = read_given(path)
    assert isinstance(given.calibration, Classified)
    assert len(given.calibration) == 9
    assert list(given.outside) == ["not_mnist"]
    assert given.votes is not None
    assert given.votes.shape == (40, 3)


def test_further_files(tmp_path: Path):
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    held = npz(tmp_path, "held.npz", probs=PROBS[::2], labels=LABELS[::2])
    letters = npz(tmp_path, "letters.npz", probs=PROBS[::-1])
    np.save(tmp_path / "votes.npy", np.full((40, 3), 2))
    given = read_given(path, held, {"letters": letters}, tmp_path / "votes.npy")
    assert isinstance(given.calibration, Classified)
    assert len(given.calibration) == 20
    assert given.outside["letters"].shape == (40, 3)
    assert given.votes is not None


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
    "no labels": ({"probs": PROBS}, "holds probs, but not the true classes; add labels or targets"),
    "no predictions": ({"labels": LABELS}, "not the predictions; add logits or probs"),
    "no rows": ({"probs": PROBS[:0], "labels": LABELS[:0]}, "no rows"),
    "unknown array": ({"probs": PROBS, "lables": LABELS}, "unknown array or column in test.npz 'lables'.*'labels'"),
    "text": ({"probs": PROBS.astype(str), "labels": LABELS}, "expected numbers"),
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
    "votes": ({"probs": PROBS, "labels": LABELS, "votes": PROBS[:3]}, "votes have shape"),
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
        ("text.npz", "cannot be read"),
        ("objects.npz", "cannot be read"),
        ("none.csv", "file not found"),
        ("predictions.h5", "unknown type|not found"),
    ):
        with pytest.raises(CalmixError, match=advice):
            read_given(tmp_path / name)


def test_the_test_split_calibrates_nothing(tmp_path: Path):
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    copy = npz(tmp_path, "copy.npz", probs=PROBS, labels=LABELS)
    for other in (path, copy):
        with pytest.raises(CalmixError, match="holds the test predictions themselves"):
            read_given(path, other)
