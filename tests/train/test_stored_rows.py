"""A network is trained on rows in a file as it is on the same rows in memory, bit for bit."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.core.method import Method
from calmix.core.training_set import TrainingSet
from calmix.data import About, Split, Splits, whole
from calmix.data.stored import StoredRows
from calmix.data.whole import Whole
from calmix.rows import Rows
from calmix.train import Recipe, TrainingSettings, module, run
from calmix.train.augment import augmentation
from calmix.train.batches import Batches, fits_on
from calmix.train.training import train

ABOUT = About("made", "classification", "image", ("a", "b", "c"), (), False, "a test")
N = 150


@dataclass(frozen=True)
class Made:
    """Images in a file."""

    path: Path
    loaders: int = 0
    train_size = None

    def splits(self, seed: int) -> Splits:
        rows = StoredRows(self.path, (1, 6, 6), "uint8", np.arange(N), loaders=self.loaders)
        return Whole(rows, np.arange(N) % 3, ABOUT).splits(seed)

    def whole(self) -> "Made":
        return self


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rows") / "rows.bin"
    made.write_bytes(np.random.default_rng(0).integers(0, 256, (N, 36)).astype(np.uint8).tobytes())
    return made


def with_dropout(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.ReLU(), nn.Dropout(0.3), nn.Linear(20, outputs))


METHODS = {
    "mixup": calmix.mixup(),
    "sk_mixup(remember=True)": calmix.sk_mixup(remember=True),
    "with_whole_set(mixup)": calmix.with_whole_set(calmix.mixup()),
}


@pytest.mark.parametrize("label", METHODS)
@pytest.mark.parametrize("loaders", [0, 2])
def test_the_weights_are_those_of_rows_in_memory(path: Path, label: str, loaders: int, monkeypatch: pytest.MonkeyPatch):
    settings = TrainingSettings(epochs=2, batch_size=16)
    recipe = Recipe(Made(path, loaders), label, METHODS[label], with_dropout, settings)
    near = train(recipe)
    monkeypatch.setattr(whole, "IN_MEMORY", 0)
    far = train(recipe)
    assert not isinstance(near.splits.train.rows, Rows)
    assert isinstance(far.splits.train.rows, Rows)
    assert far.history == near.history
    for ours, theirs in zip(far.model.parameters(), near.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["crop_flip", "resized_crop", "auto", "randaugment"])
@pytest.mark.parametrize("loaders", [0, 2])
def test_augmented_batches_are_those_of_rows_in_memory(
    path: Path, name: str, loaders: int, monkeypatch: pytest.MonkeyPatch
):
    """The same statistics, and from the same state of the generator the same batches, bit for bit."""
    near = Made(path, loaders).splits(0)
    monkeypatch.setattr(whole, "IN_MEMORY", 0)
    far = Made(path, loaders).splits(0)
    assert isinstance(far.train.rows, Rows)
    assert not isinstance(near.train.rows, Rows)
    assert (far.about.pixel_mean, far.about.pixel_std) == (near.about.pixel_mean, near.about.pixel_std)
    change = augmentation(name, replace(near.about, natural=True))
    assert change is not None
    made = []
    for splits in (near, far):
        generator = torch.Generator().manual_seed(7)
        made.append([(change(x, generator), y, i) for x, y, i in Batches(splits.train, 16, seed=3)])
    assert len(made[0]) == len(made[1]) > 1
    for ours, theirs in zip(*made, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert not torch.equal(made[0][0][0], near.train.x[made[0][0][2]])  # it was augmented


def test_rows_stay_on_a_gpu_where_they_take_a_tenth_of_what_is_free(path: Path, monkeypatch: pytest.MonkeyPatch):
    split, gpu = Split(torch.zeros(5, 7), torch.zeros(5)), torch.device("cuda", 1)
    free = {gpu: 10 * 5 * 7 * 4}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 10**9))
    assert fits_on(gpu, split)
    assert not fits_on(torch.device("cpu"), split)
    free[gpu] -= 1
    assert not fits_on(gpu, split)
    monkeypatch.setattr(whole, "IN_MEMORY", 0)
    free[gpu] = 2**40
    assert not fits_on(gpu, Made(path).splits(0).train)  # they are read from a file


@pytest.mark.parametrize("weights", [None, torch.arange(20.0)])
def test_batches_of_rows_that_stay_on_a_device_are_on_it_and_the_same(weights: Tensor | None):
    split = Split(torch.rand(20, 3), torch.arange(20))
    kept, moved, plain = (Batches(split, 8, 3, weights) for _ in range(3))
    kept.keep_on(torch.device("cpu"))
    moved.keep_on(torch.device("meta"))
    for _ in range(2):  # epochs
        for ours, away, theirs in zip(kept, moved, plain, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
            assert [one.shape for one in away] == [one.shape for one in theirs]
            assert {one.device.type for one in away} == {"meta"}
    assert moved.state_dict(0)["generator"].equal(plain.state_dict(0)["generator"])
    assert split.x.device.type == split.y.device.type == "cpu"


@pytest.mark.parametrize(("method", "kept"), [(calmix.mixup(), [90, 15]), (calmix.auto(), [90, 15, 15, 90])])
def test_a_training_keeps_its_rows_and_those_it_validates_on(
    path: Path, method: Method, kept: list[int], monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []

    def keep_on(self: Batches, device: torch.device) -> None:
        assert device == torch.device("cpu")  # of the network
        seen.append(len(self.split))

    monkeypatch.setattr(module, "fits_on", lambda device, split: True)
    monkeypatch.setattr(Batches, "keep_on", keep_on)
    train(Recipe(Made(path), "it", method, with_dropout, TrainingSettings(epochs=1)))
    assert seen == kept


def test_a_run_on_rows_in_a_file_measures_the_same_and_says_how_long_it_waited(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = Recipe(Made(path), "mixup", calmix.mixup(), with_dropout, TrainingSettings(epochs=2))
    near = run(recipe)
    monkeypatch.setattr(whole, "IN_MEMORY", 0)
    far = run(recipe)
    assert far.record.metrics == near.record.metrics
    assert 0 < (far.record.waited_seconds or 0) < far.record.train_seconds
    np.testing.assert_array_equal(far.predictions["logits"], near.predictions["logits"])


def test_rows_that_are_fetched_are_those_at_the_places(path: Path):
    rows = Made(path).splits(0).train.x
    stored = StoredRows(path, (1, 6, 6), "uint8", np.arange(N))
    places = torch.tensor([3, 99, 3, 0])
    batch = TrainingSet((stored, torch.arange(N))).fetch(places)
    assert torch.equal(batch.x, stored[:][places])
    assert batch.y.tolist() == places.tolist()
    assert rows.shape[1:] == batch.x.shape[1:]
