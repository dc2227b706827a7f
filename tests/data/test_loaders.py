"""Torch's data sets and loaders, and Lightning's modules: in memory, read a batch at a time, augmented."""

import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

import calmix
from calmix.data import Arrays, Splits, as_source
from calmix.data import loaders as module
from calmix.data.dataset_rows import DatasetRows
from calmix.engines import Processes
from calmix.errors import CalmixError, DataError, SettingError, ShapeError, UnknownNameError
from calmix.methods.table import METHODS
from calmix.rows import Rows
from calmix.train import Recipe, TrainingSettings, run
from calmix.train.batches import Batches
from calmix.train.cost import cost_of

N = 120
Y = torch.arange(N) % 3
RNG = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (N, 3, 6, 5), dtype=torch.uint8, generator=RNG)
VECTORS = 5 + 3 * torch.randn(N, 4, generator=RNG) + Y[:, None]
SERIES = torch.randn(N, 7, 2, generator=RNG) * torch.tensor([1.0, 9.0])
PARTS = ("train", "validation", "calibration", "test")


class Listing(Dataset):
    """As those of torchvision: rows on demand, targets and classes listed. It counts its readings."""

    classes = ("cat", "dog", "eel")

    def __init__(self, x: Tensor = VECTORS, shift: int = 0) -> None:
        self.x, self.shift, self.targets, self.read = x, shift, Y[: len(x)].tolist(), 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        self.read += 1
        return self.x[i], (self.targets[i] + self.shift) % 3


class Shaky(Listing):
    """With noise from every generator that augmentation draws from."""

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x, y = super().__getitem__(i)
        return x + torch.rand(1) + random.random() + float(np.random.rand()), y  # noqa: NPY002


class Module(LightningDataModule):
    def __init__(self, train: Any = None, workers: int = 0) -> None:
        super().__init__()
        self.train, self.workers, self.calls = train or Listing(), workers, []

    def prepare_data(self) -> None:
        self.calls.append("prepare")

    def setup(self, stage: str) -> None:
        self.calls.append(stage)

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, batch_size=7, shuffle=True, num_workers=self.workers)

    def val_dataloader(self) -> Any:
        return [DataLoader(Listing(VECTORS[:30]))]

    def test_dataloader(self) -> Any:
        return DataLoader(Listing(VECTORS[:45]))


class Untested(LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader(Listing())


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 0)


def parts(splits: Splits) -> list[Any]:
    return [getattr(splits, name) for name in PARTS]


def rows_of(source: Any) -> DatasetRows:
    assert isinstance(source, Arrays)
    assert isinstance(source.x, DatasetRows)
    return source.x


# ------------------------------------------------------------------------------------------ larger than memory


@pytest.mark.parametrize("x", [IMAGES, VECTORS, SERIES, IMAGES / 255], ids=["bytes", "vectors", "series", "images"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_set_that_does_not_fit_into_memory_gives_the_same_splits(x: Tensor, workers: int, streamed: None):
    ours = as_source(DataLoader(TensorDataset(x, Y), num_workers=workers)).splits(1)
    theirs = as_source((x, Y)).splits(1)
    for our, their in zip(parts(ours), parts(theirs), strict=True):
        assert isinstance(our.rows, Rows)
        assert our.rows.loaders == workers
        assert torch.allclose(our.x, their.x, atol=1e-5)
        assert torch.equal(our.y, their.y)
        for batch, same in zip(Batches(our, 10, seed=3), Batches(their, 10, seed=3), strict=True):
            assert all(torch.allclose(mine, other, atol=1e-5) for mine, other in zip(batch, same, strict=True))
    assert ours.about.classes == theirs.about.classes
    assert ours.about.pixel_mean == pytest.approx(theirs.about.pixel_mean, abs=1e-6)
    assert ours.about.kind == theirs.about.kind


def test_a_constant_column_that_does_not_fit_into_memory_is_zero(streamed: None):
    x = torch.cat([VECTORS, torch.full((N, 1), 0.1)], 1)
    train = as_source(TensorDataset(x, Y)).splits(0).train.x
    assert train[:, 4].abs().max() < 1e-5
    assert train[:, :4].std(0, correction=0).sub(1).abs().max() < 1e-4


def test_a_set_that_fits_is_read_once():
    dataset = Listing()
    source = as_source(dataset)
    assert isinstance(source, Arrays)
    assert isinstance(source.x, Tensor)
    assert dataset.read <= N + 3 * 32 + 1  # some are looked at first
    assert len(source.splits(0).train) == len(source.splits(1).train)
    assert dataset.read <= N + 3 * 32 + 1
    assert source.splits(0).about.classes == ("cat", "dog", "eel")


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(d, range(N)), lambda d: ConcatDataset([d])])
def test_listed_targets_spare_a_reading_of_all_rows(wrap: Any, streamed: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_loaders", lambda: 0)
    dataset = Listing(VECTORS.repeat(100, 1))
    dataset.targets = Y.repeat(100).tolist()
    source = as_source(wrap(dataset))
    assert isinstance(source, Arrays)
    assert torch.equal(source.y[:N], Y)
    assert dataset.read < 1000


def test_listed_targets_that_are_not_those_of_the_rows_are_not_believed(streamed: None):
    source = as_source(DataLoader(Listing(shift=1)))
    assert isinstance(source, Arrays)
    assert torch.equal(source.y, (Y + 1) % 3)


def test_what_is_wrong_with_a_row_is_said_when_it_is_met(streamed: None):
    x = VECTORS.clone()
    x[71] = torch.nan
    source = as_source(DataLoader(TensorDataset(x, Y)))
    with pytest.raises(DataError, match="row 71 of the data set holds NaN"):
        _ = [part.x for part in parts(source.splits(0))]
    with pytest.raises(ShapeError, match=r"dtype torch.int64; convert measurements with x.float\(\)"):
        as_source(TensorDataset(VECTORS.long(), Y))
    ragged = [(VECTORS[0], 0)] * 50 + [(VECTORS[0, :2], 1)] + [(VECTORS[0], 0)] * 50
    with pytest.raises((DataError, ShapeError), match=r"cannot be stacked|shape"):
        rows_of(as_source(ragged))[:]


def test_two_sets_are_told_apart(streamed: None):
    def text(x: Tensor, y: Tensor = Y) -> str:
        return repr(as_source(DataLoader(TensorDataset(x, y))))

    assert text(VECTORS) == text(VECTORS.clone())
    assert len({text(VECTORS), text(VECTORS + 1), text(VECTORS, Y.flip(0)), text(VECTORS[:, :3])}) == 4


@pytest.mark.parametrize("name", ["erm", "c_mixup", "remembered", "k_mixup"])
def test_methods_train_the_same_networks_on_streamed_rows(name: str, monkeypatch: pytest.MonkeyPatch):
    y = VECTORS.sum(1, keepdim=True) if name == "c_mixup" else Y
    method = calmix.sk_mixup(remember=True) if name == "remembered" else METHODS[name]()
    settings = TrainingSettings(epochs=2, batch_size=16, learning_rate=0.01)
    dataset = TensorDataset(VECTORS, y)
    records = []
    for room in (2**30, 0):
        monkeypatch.setattr(module, "IN_MEMORY", room)
        recipe = Recipe(as_source(DataLoader(dataset, num_workers=0 if room else 2)), name, method, settings=settings)
        assert isinstance(recipe.splits().train.rows, Tensor) == bool(room)
        records.append(run(recipe))
        assert room or cost_of(recipe) > 0
    (memory, seen), (stream, also_seen) = ((one.record, one.predictions) for one in records)
    key = "mean" if name == "c_mixup" else "logits"
    assert np.allclose(seen[key], also_seen[key], atol=1e-3)
    assert memory.history[-1].train["loss"] == pytest.approx(stream.history[-1].train["loss"], abs=1e-3)


def test_a_set_that_cannot_be_sent_to_workers_is_named(streamed: None):
    class Local(Listing):
        pass

    source = as_source(DataLoader(Local()))
    recipe = Recipe(source, "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    with pytest.raises(SettingError, match=r"cannot be sent to them.*a data set, at the top of a module"):
        next(iter(Processes(2).carry_out([recipe, replace(recipe, seed=1)])))
    rows = rows_of(as_source(DataLoader(Listing())))
    assert torch.equal(pickle.loads(pickle.dumps(rows))[3:9], rows[3:9])


# ------------------------------------------------------------------------------------------------------ loaders


def test_of_a_loader_rows_are_kept_and_batches_are_not():
    plain = as_source((VECTORS, Y)).splits(2)
    for loader in (
        DataLoader(TensorDataset(VECTORS, Y), batch_size=7, shuffle=True, drop_last=True),
        DataLoader(TensorDataset(VECTORS, Y), batch_size=None),
        DataLoader(TensorDataset(VECTORS, Y), sampler=SubsetRandomSampler(range(N))),
    ):
        for ours, theirs in zip(parts(as_source(loader).splits(2)), parts(plain), strict=True):
            assert torch.equal(ours.x, theirs.x)


def test_a_loader_s_subset_and_its_collating_are_kept():
    source = as_source(DataLoader(Listing(), sampler=SubsetRandomSampler(range(30, 60))))
    assert isinstance(source, Arrays)
    assert torch.equal(source.x[:], VECTORS[30:60])

    def doubled(rows: list[Any]) -> Any:
        return 2 * torch.stack([row["x"] for row in rows]), torch.tensor([row["y"] for row in rows]), "more"

    dicts = [{"x": x, "y": int(y)} for x, y in zip(VECTORS, Y, strict=True)]
    loader = DataLoader(dicts, collate_fn=doubled)  # pyright: ignore[reportArgumentType]
    source = as_source(loader)
    assert isinstance(source, Arrays)
    assert torch.equal(source.x[:], 2 * VECTORS)


def test_loaders_that_draw_rows_in_their_own_way_are_refused():
    dataset = TensorDataset(VECTORS, Y)
    for loader, name in (
        (DataLoader(dataset, sampler=WeightedRandomSampler([1.0] * N, N)), "WeightedRandomSampler"),
        (DataLoader(dataset, batch_sampler=Uneven(SequentialSampler(dataset), 5, False)), "Uneven"),
    ):
        with pytest.raises(SettingError, match=f"draws its rows by {name}.*pass loader.dataset"):
            as_source(loader)


class Uneven(BatchSampler):
    pass


class Flow(IterableDataset):
    def __init__(self, endless: bool = False) -> None:
        self.endless = endless

    def __iter__(self) -> Iterator[Any]:
        yield from zip(VECTORS, Y, strict=True)
        while self.endless:
            yield VECTORS[0], Y[0]


@pytest.mark.parametrize("data", [Flow(), DataLoader(Flow(), batch_size=7), DataLoader(Flow(), batch_size=None)])
def test_an_iterable_set_is_read_once(data: Any):
    for ours, theirs in zip(parts(as_source(data).splits(0)), parts(as_source((VECTORS, Y)).splits(0)), strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)


def test_an_iterable_set_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "IN_MEMORY", 50_000)
    with pytest.raises(DataError, match="or never ends; give a map-style data set"):
        as_source(DataLoader(Flow(endless=True), batch_size=8))


# ------------------------------------------------------------------------------------------------ several parts


def loader(rows: slice, dataset: type[Listing] = Listing) -> Any:
    part = dataset(VECTORS[rows])
    part.targets = Y[rows].tolist()
    return DataLoader(part, batch_size=4)


@pytest.mark.parametrize("room", [2**30, 0], ids=["memory", "streamed"])
def test_parts_that_are_given_are_kept(room: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "IN_MEMORY", room)
    train, validation, test = loader(slice(70)), loader(slice(70, 90)), loader(slice(90, N))
    pair = (VECTORS[90:], Y[90:])
    kinds = {
        "dict": {"train": train, "val": validation, "test": test},
        "order": {"test": pair, "validation": validation.dataset, "train": train},
        "three": (train, validation, test),
    }
    for seed, data in enumerate(kinds.values()):
        source = as_source(data)
        splits = source.splits(seed)
        assert [len(part) for part in parts(splits)] == [60, 20, 10, 30]
        assert torch.equal(splits.test.x.argsort(0), VECTORS[90:].argsort(0))
        assert torch.equal(splits.test.y, Y[90:])
        assert torch.equal(splits.validation.y, Y[70:90])
        assert splits.train.x.mean().abs() < 1e-5
        with pytest.raises(CalmixError, match="folds"):
            calmix.compare(data=source, folds=3)
    drawn = as_source((train, test)).splits(0)
    assert len(drawn.test) == 30
    assert sum(len(part) for part in parts(drawn)[:3]) == 70


def test_parts_that_do_not_fit_are_named():
    train = loader(slice(90))
    with pytest.raises(UnknownNameError, match="unknown part of the data 'tets'; did you mean 'test'"):
        as_source({"train": train, "tets": train})
    with pytest.raises(SettingError, match="a part is missing: train"):
        as_source({"test": train})
    with pytest.raises(SettingError, match="validation rows are given twice"):
        as_source({"train": train, "val": train, "validation": train})
    with pytest.raises(DataError, match=r"other shapes.*\(4,\).*\(3,\)"):
        as_source((train, TensorDataset(VECTORS[:, :3], Y)))
    with pytest.raises(DataError, match="3 rows and 2 targets"):
        as_source((train, (VECTORS[:3], Y[:2])))


def test_a_module_is_set_up_and_its_loaders_are_the_parts():
    data = Module()
    splits = as_source(data).splits(0)
    assert data.calls == ["prepare", "fit", "test"]
    assert [len(part) for part in parts(splits)] == [103, 30, 17, 45]
    assert torch.equal(splits.test.y, Y[:45])
    untested = as_source(Untested()).splits(0)
    assert [len(part) for part in parts(untested)] == [72, 12, 12, 24]
    data.train_dataloader = lambda: {"a": 1}
    with pytest.raises(SettingError, match=r"train_dataloader\(\) of Module gives dict; give one loader"):
        as_source(data)

    class Empty(LightningDataModule):
        pass

    with pytest.raises(SettingError, match="Empty has no train_dataloader"):
        as_source(Empty())


def test_a_module_is_compared():
    found = calmix.compare(
        data=Module(),
        methods={"erm": calmix.erm(), "mixup": calmix.mixup()},
        seeds=1,
        settings=TrainingSettings(epochs=1),
    )
    assert found.results.facts.data.sizes == {"train": 103, "validation": 30, "calibration": 17, "test": 45}


# -------------------------------------------------------------------------------------------------- augmentation


def shaky(workers: int = 0) -> Any:
    return as_source(Module(Shaky(), workers=workers))


def test_augmented_rows_are_read_anew_in_every_epoch_and_alike_in_every_process():
    epochs = []
    for workers in (0, 2):
        splits = shaky(workers).splits(0)
        assert isinstance(splits.train.rows, Rows)
        batches = Batches(splits.train, 10, seed=5)
        epochs.append([torch.cat([x - VECTORS[index] for x, _, index in batches]) for _ in range(2)])
    assert torch.equal(epochs[0][0], epochs[1][0])
    assert torch.equal(epochs[0][1], epochs[1][1])
    drawn = torch.cat(epochs[0])[:, 0].double()  # the noise of each row in each epoch
    assert len((1e4 * drawn).round().unique()) > 0.95 * len(drawn)


def test_generators_outside_are_as_they_were():
    splits = shaky().splits(0)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    _ = splits.train.x
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]  # noqa: NPY002


def test_no_augmented_row_is_calibrated_on_and_none_is_standardised():
    source = shaky()
    splits = source.splits(0)
    assert [len(part) for part in parts(splits)] == [N, 15, 15, 45]
    held = torch.cat([splits.validation.x, splits.calibration.x])
    assert torch.equal(held.sum(1).sort().values, VECTORS[:30].sum(1).sort().values)
    assert not torch.equal(splits.calibration.x, source.splits(1).calibration.x)
    assert torch.equal(splits.test.x, VECTORS[:45])
    assert any("half of the validation rows" in notice for notice in splits.about.notices)
    assert torch.equal(splits.calibration.y.bincount(), torch.tensor([5, 5, 5]))


def test_augmented_rows_that_would_be_judged_on_are_refused():
    with pytest.raises(DataError, match="validation and test rows would be drawn from them"):
        as_source(Shaky())
    with pytest.raises(DataError, match="rows of the test data differ from one reading to the next"):
        as_source({"train": Shaky(), "val": Listing(), "test": Shaky()})
    halves = random_split(Shaky(), [0.5, 0.5])
    with pytest.raises(DataError, match="rows of the validation data differ"):
        as_source({"train": halves[0], "val": halves[1], "test": Listing()})
