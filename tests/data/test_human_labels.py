"""People's votes: for CIFAR-10's test images in their order, or nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calmix.data import Split, Splits, cifar10, digits, load_human_labels
from calmix.errors import DataError


def cifar_like(root: Path, counts: np.ndarray | None) -> Splits:
    (root / "cifar10h").mkdir()
    if counts is not None:
        np.save(root / "cifar10h" / "cifar10h-counts.npy", counts)
    splits = digits()
    test = Split(torch.zeros(20, 3, 4, 4), torch.arange(20) % 10)
    return replace(splits, test=test, about=replace(splits.about, name="cifar10"))


COUNTS = 40 * np.eye(10, dtype=np.uint8)[np.arange(20) % 10] + 1


def test_votes_are_counts_in_the_order_of_the_test_images(tmp_path, monkeypatch):
    splits = cifar_like(tmp_path, COUNTS)
    monkeypatch.delenv("CALMIX_DATA", raising=False)
    assert load_human_labels(splits) is None
    for votes in (load_human_labels(splits, tmp_path), load_human_labels(splits, tmp_path / "cifar10")):
        assert votes is not None
        assert torch.equal(votes, torch.tensor(COUNTS.astype(np.int64)))
    assert load_human_labels(digits(), tmp_path) is None


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (COUNTS[:19], "must hold 20 rows of votes for 10 classes; get it anew, or remove it"),
        (COUNTS * (np.arange(20) > 0)[:, None], "must hold 20 rows of votes for 10 classes"),
        (COUNTS[::-1], "disagrees with the test labels, so its rows have another order"),
    ],
)
def test_votes_of_other_images_are_refused(tmp_path, counts, message):
    with pytest.raises(DataError, match=message):
        load_human_labels(cifar_like(tmp_path, counts), tmp_path)


def test_a_broken_file_is_named(tmp_path):
    splits = cifar_like(tmp_path, None)
    (tmp_path / "cifar10h" / "cifar10h-counts.npy").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"cifar10h-counts\.npy cannot be read"):
        load_human_labels(splits, tmp_path)


def test_real_votes(real_data):
    splits = cifar10(train_size=100, data_dir=real_data / "cifar10")
    votes = load_human_labels(splits, real_data / "cifar10")
    assert votes is not None
    assert votes.shape == (10_000, 10)
    assert (votes.sum(1).min(), votes.sum(1).max()) == (47, 63)
    agree = (votes.argmax(1) == splits.test.y).float().mean()
    assert agree == pytest.approx(0.9921, abs=0.002)  # ties aside
