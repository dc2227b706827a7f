"""Rows in a file are those in memory."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calmix.data import About
from calmix.data.splits import IN_MEMORY, Split
from calmix.data.stored import StoredRows
from calmix.data.whole import Whole
from calmix.errors import DataError, SettingError
from calmix.rows import Rows

N = 90
LABELS = np.arange(N) % 3
ABOUT = About("made", "classification", "image", ("a", "b", "c"), (), False, "a test")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    return write(tmp_path_factory.mktemp("rows") / "rows.bin", np.random.default_rng(0).integers(0, 256, (N, 2, 4, 5)))


def write(path: Path, raw: np.ndarray) -> StoredRows:
    path.write_bytes(raw.astype(np.uint8).tobytes())
    return StoredRows(path, raw.shape[1:], "uint8", np.arange(len(raw)))


def test_places_slices_and_parts_are_those_of_a_tensor(stored: StoredRows):
    raw = np.frombuffer(stored.file.read_bytes(), np.uint8).reshape(N, 2, 4, 5)
    whole = torch.from_numpy(raw / np.float32(255))
    assert isinstance(stored, Rows)
    assert stored.shape == whole.shape
    places = torch.tensor([5, 5, 89, 0, -1])
    for some in (places, slice(None), slice(3, 60, 7), slice(4), torch.arange(N) % 2 == 0):
        assert torch.allclose(stored[some], whole[some])
        assert torch.allclose(stored.part(some)[:], whole[some])
    for one in (0, 7, -1):
        assert torch.allclose(stored[one], whole[one])
    assert torch.equal(pickle.loads(pickle.dumps(stored.part(places)))[:], stored[places])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), dtype=st.sampled_from(["uint8", "float16", "float32"]))
def test_splits_of_stored_rows_are_those_of_a_tensor(tmp_path_factory: pytest.TempPathFactory, seed: int, dtype: str):
    raw = np.random.default_rng(seed).integers(0, 256, (N, 3, 2, 5)).astype(dtype)
    raw[:, 1] = 7
    path = tmp_path_factory.mktemp("rows") / "rows.bin"
    path.write_bytes(raw.tobytes())
    stored = StoredRows(path, raw.shape[1:], dtype, np.arange(N))  # pyright: ignore[reportArgumentType]
    x = torch.from_numpy(raw.astype(np.float32)) / (255 if dtype == "uint8" else 1)
    ours, theirs = (Whole(rows, LABELS, ABOUT).splits(seed, train_size=40) for rows in (stored, x))
    for part in ("train", "validation", "calibration", "test"):
        assert torch.allclose(getattr(ours, part).x, getattr(theirs, part).x, atol=1e-5)
        assert torch.equal(getattr(ours, part).y, getattr(theirs, part).y)
    if dtype == "uint8":
        assert ours.about.pixel_mean == pytest.approx(theirs.about.pixel_mean)
        assert ours.about.pixel_std == pytest.approx(theirs.about.pixel_std)
    mean, std = ours.train.x.mean((0, 2, 3)), ours.train.x.std((0, 2, 3), correction=0)
    assert torch.allclose(mean, torch.zeros(3), atol=1e-4)
    assert torch.allclose(std, torch.tensor([1.0, 0.0, 1.0]), atol=1e-3)


def test_parts_that_are_given_stay_and_the_others_are_drawn(stored: StoredRows):
    test, validation = np.arange(80, 90), np.arange(70, 80)
    whole = Whole(stored, LABELS, ABOUT, {"test": test})
    splits = whole.splits(3)
    assert splits.given is not None
    assert splits.given.tested.tolist() == test.tolist()
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration)] == [60, 10, 10]
    assert torch.equal(splits.test.x, whole.splits(0).test.x * 0 + splits.test.x)
    splits = Whole(stored, LABELS, ABOUT, {"test": test, "validation": validation}).splits(3)
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration)] == [60, 10, 10]
    mean, std = (torch.tensor(values)[:, None, None] for values in (splits.about.pixel_mean, splits.about.pixel_std))
    assert torch.allclose(splits.validation.x * std + mean, stored[torch.from_numpy(validation)], atol=1e-5)
    from calmix.data.splits import Fold

    with pytest.raises(SettingError, match="has a test split of its own"):
        whole.splits(Fold(0, 5))


def test_rows_that_would_fill_the_memory_are_not_read_whole(stored: StoredRows):
    side = 2**14
    many = StoredRows(stored.file, (1, side, side), "uint8", np.arange(2))
    assert many.size > IN_MEMORY
    split = Split(many, torch.arange(2))
    assert split.part(slice(1)).shape == (1, side, side)
    with pytest.raises(DataError, match=r"2 rows of 2.1 GB would have to be in memory all at once"):
        _ = split.x


def test_a_file_that_became_shorter_is_named(tmp_path: Path):
    stored = write(tmp_path / "rows.bin", np.zeros((4, 1, 2, 2)))
    stored.file.write_bytes(b"\0" * 10)
    assert stored[:2].shape == (2, 1, 2, 2)
    with pytest.raises(DataError, match="shorter than it was; delete it"):
        _ = stored[:]
