"""Experiments on images: published settings, folders as users get them, and files that are absent or damaged."""

import gzip
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from calmix.data import NamedSet, images
from calmix.data.image_files import published
from calmix.data.image_files.published import PUBLISHED, PublishedImages, PublishedSet, find_published
from calmix.data.stored import StoredRows
from calmix.errors import DataError, UnknownNameError
from calmix.methods.mixup_e import Logit, mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.models import resnet
from calmix.models.preact import preact_resnet50, wide_resnet
from calmix.models.resnets import resnet34, resnet50, resnet101
from calmix.reproduction.experiment import LONGER, Experiment
from calmix.reproduction.images import Few
from calmix.reproduction.named import experiment
from calmix.reproduction.table import EXPERIMENTS, SCALES
from calmix.train.running import run, try_step

NAMES = [name for name, entry in EXPERIMENTS.items() if entry.make[0] == "images"]
ROWS, TESTS = 120, 20


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("CALMIX_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("CALMIX_DATA", raising=False)
    monkeypatch.setattr(images, "HELD_OUT", (10, 20))
    monkeypatch.setattr(images, "DEBIAN", Path("/nowhere"))
    monkeypatch.setattr("calmix.reproduction.images.DEBIAN", Path("/nowhere"))


def picture(number: int, side: int = 32, grey: bool = False) -> bytes:
    """A picture whose mean colour is its number."""
    pixels = np.random.default_rng(number).integers(0, 8, (side, side) if grey else (side, side, 3))
    stream = io.BytesIO()
    Image.fromarray((pixels + number % 240).astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


def shard(path: Path, first: int, rows: int, classes: int, image: str, side: int = 32, label: str = "label") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = [{"bytes": picture(first + row, side), "path": None} for row in range(rows)]
    pd.DataFrame({image: column, label: np.arange(rows) % classes}).to_parquet(path)


def of_the_hub(root: Path) -> Path:
    """All sets in the layouts of the hub, tiny."""
    shard(root / "cifar10/train-00000-of-00001.parquet", 0, ROWS, 10, "img")
    shard(root / "cifar10/test-00000-of-00001.parquet", 130, TESTS, 10, "img")
    for part, first, rows in (("train", 0, ROWS), ("test", 130, TESTS)):
        path = root / f"cifar100/cifar100/{part}-00000-of-00001.parquet"
        shard(path, first, rows, 10, "img", label="fine_label")
        pd.read_parquet(path).assign(coarse_label=np.arange(rows) % 2).to_parquet(path)
        shard(root / f"svhn/cropped_digits/{part}-00000-of-00001.parquet", first, rows, 10, "image")
    for folder, side, part in (("tiny_imagenet", 64, "valid"), ("imagenet", 40, "validation")):
        shard(root / f"{folder}/data/train-00000-of-00002.parquet", 0, 60, 10, "image", side)
        shard(root / f"{folder}/data/train-00001-of-00002.parquet", 60, 60, 10, "image", side)
        shard(root / f"{folder}/data/{part}-00000-of-00001.parquet", 130, TESTS, 10, "image", side)
    unknown = root / "imagenet/data/test-00000-of-00001.parquet"
    shard(unknown, 0, 3, 10, "image", 40)
    pd.read_parquet(unknown).assign(label=-1).to_parquet(unknown)
    shard(root / "tiny_imagenet_ood/test-00000-of-00001.parquet", 0, 15, 10, "img")
    for folder, parts in (("fashion_mnist", (("train", ROWS), ("t10k", TESTS))), ("notmnist", (("t10k", 15),))):
        (root / folder).mkdir()
        for part, rows in parts:
            pixels = np.random.default_rng(rows).integers(0, 256, (rows, 28, 28))
            idx(root / folder / f"{part}-images-idx3-ubyte.gz", pixels)
            idx(root / folder / f"{part}-labels-idx1-ubyte.gz", np.arange(rows) % 10)
    return root


def idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_the_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiments at the scale smoke train on few enough rows for the sets made here."""
    import calmix.reproduction.images as made

    monkeypatch.setattr(made, "_SMOKE", replace(made._SMOKE, train_size=60))


# ---------------------------------------------------------------------------------------------------- settings


def at_paper(name: str, hub: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("CALMIX_DATA", str(hub))
    return experiment(name, "paper")


def test_schedules_fall_at_the_published_epochs(hub: Path, monkeypatch: pytest.MonkeyPatch):
    expected = {
        "sk-mixup/cifar10": (200, [100, 150], 0),
        "sk-mixup/cifar10-resnet101": (200, [80, 120], 0),
        "sk-mixup/cifar100": (200, [100, 150], 0),
        "sk-mixup/cifar100-resnet101": (200, [80, 120], 0),
        "sk-mixup/tiny-imagenet": (100, [40, 60], 0),
        "sk-mixup/tiny-imagenet-resnet101": (100, [40, 60], 0),
        **dict.fromkeys((name for name in NAMES if name.startswith("mixup-e/")), (800, [300, 600], 10)),
    }
    for name, (epochs, steps, warm_up) in expected.items():
        settings = at_paper(name, hub, monkeypatch).comparison.settings
        assert settings.steps is not None
        assert settings.epochs == epochs
        assert [at * epochs for at in settings.steps.at] == pytest.approx(steps)
        assert settings.steps.warm_up * epochs == pytest.approx(warm_up)
        assert settings.steps.factor == 0.1
    assert at_paper("sk-mixup/imagenet", hub, monkeypatch).comparison.settings.schedule == "cosine"
    assert set(expected) | {"sk-mixup/imagenet"} == {name for name in NAMES if not name.startswith("calmix/")}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("calmix/")])
def test_the_optimizer_is_the_published_one(name: str, hub: Path, monkeypatch: pytest.MonkeyPatch):
    settings = at_paper(name, hub, monkeypatch).comparison.settings
    assert (settings.optimizer, settings.peak_rate, settings.weight_decay) == ("sgd", 0.1, 1e-4)
    batch = {"sk-mixup/tiny-imagenet": 64, "sk-mixup/tiny-imagenet-resnet101": 64, "sk-mixup/imagenet": 256}
    assert settings.batch_size == batch.get(name, 100 if name.startswith("mixup-e") else 128)
    assert (settings.select, settings.batch_norm, settings.class_weight) == ("last", "mixed", "none")


def test_kernels_and_baselines_have_the_published_strengths(hub: Path, monkeypatch: pytest.MonkeyPatch):
    tau = {"cifar10": (1.0, 0.25), "cifar100": (1.0, 0.25), "tiny-imagenet": (1.0, 1.25), "imagenet": (0.1, 0.25)}
    rank = {"cifar10": 2.0, "cifar100": 2.0, "tiny-imagenet": 1.0, "imagenet": 0.1}
    for name, strengths in tau.items():
        methods = at_paper(f"sk-mixup/{name}", hub, monkeypatch).comparison.methods
        assert methods["sk_mixup"] == sk_mixup(*strengths)
        alpha, mit = (0.1, 0.1) if name == "imagenet" else (0.2, 1.0)
        texts = {label: repr(method) for label, method in methods.items()}
        for label in ("mixup", "input_mixup", "manifold_mixup", "mixup_idle", LONGER):
            assert f"Beta(alpha={alpha}," in texts[label]
        assert f"Apart(alpha={mit}, margin=0.5" in texts["mit_a"]
        assert "Beta(alpha=10.0," in texts["regmixup"]
        assert f"Beta(alpha={rank[name]}," in texts["rankmixup"]
        assert "weight=0.1, ranking=MNDCG()" in texts["rankmixup"]


def test_mixup_e_is_that_of_the_readme(hub: Path, monkeypatch: pytest.MonkeyPatch):
    comparison = at_paper("mixup-e/cifar100", hub, monkeypatch).comparison
    assert comparison.methods["mixup_e"] == mixup_e(eta=0.001, alpha=2.0, slope=Logit(threshold=1.0))
    assert comparison.model is preact_resnet50


def test_networks_are_the_published_ones(hub: Path, monkeypatch: pytest.MonkeyPatch):
    networks = {
        "sk-mixup/cifar10": resnet34,
        "sk-mixup/cifar10-resnet101": resnet101,
        "sk-mixup/tiny-imagenet": resnet50,
        "sk-mixup/imagenet": resnet50,
        "mixup-e/cifar10-wide": wide_resnet,
    }
    for name, network in networks.items():
        assert at_paper(name, hub, monkeypatch).comparison.model is network


def test_what_looks_at_test_rows_runs_both_protocols(hub: Path, monkeypatch: pytest.MonkeyPatch):
    """By the authors' configuration files: ResNet-101 has a tenth of the training part for both choices."""
    for name in NAMES:
        honest = name.startswith("calmix/") or name.endswith("resnet101")
        asked = at_paper(name, hub, monkeypatch)
        assert asked.judged_on_test != honest
        assert ("on rows that it also tests on" in asked.deviations[0]) == (
            name.startswith("sk-mixup/") and asked.judged_on_test
        )
        if asked.judged_on_test:
            assert asked.as_published().settings.select == "best"


# ---------------------------------------------------------------------------------------- data as users get them


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_builds_and_takes_its_steps(name: str, hub: Path, monkeypatch: pytest.MonkeyPatch, tiny: None):
    monkeypatch.setenv("CALMIX_DATA", str(hub))
    comparison = experiment(name, "smoke").comparison
    for recipe in comparison.recipes[: len(comparison.methods)]:
        try_step(replace(recipe, settings=replace(recipe.settings, batch_size=8)))
    splits = comparison.data.splits(0)
    assert len(splits.test) == TESTS
    comparison.robustness.check(splits)


@pytest.mark.parametrize("name", ["sk-mixup/cifar10", "sk-mixup/tiny-imagenet", "mixup-e/svhn"])
def test_two_steps_are_trained_and_judged_by_both_protocols(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch, tiny: None
):
    monkeypatch.setenv("CALMIX_DATA", str(hub))
    asked = experiment(name, "smoke")
    for comparison in (asked.comparison, asked.as_published()):
        [recipe] = [one for one in comparison.recipes if (one.label, one.seed) == ("sk_mixup", 0)]
        found = run(replace(recipe, settings=replace(recipe.settings, batch_size=64)))
        assert set(found.record.metrics) >= {"plain", "scaled"}


@pytest.mark.parametrize("scale", SCALES)
def test_the_scales_differ_in_network_and_rows_alone(scale: str, hub: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALMIX_DATA", str(hub))
    for name in NAMES:
        asked = experiment(name, scale)
        assert any(f"At the scale {scale}" in one for one in asked.deviations) == (scale != "paper")
        named = EXPERIMENTS[name].options["name"] in ("cifar10", "fashion_mnist")
        assert isinstance(asked.comparison.data, Few) == (named and scale == "smoke")
        assert (asked.comparison.model is resnet) == (scale != "paper" or name.startswith("calmix/"))


def test_parts_are_the_official_ones(hub: Path, monkeypatch: pytest.MonkeyPatch):
    """Train, validation and calibration 44 : 1 : 5 of the training part, test images in their order."""
    small = replace(PUBLISHED["tiny_imagenet"], rows=(ROWS, TESTS), classes=10)
    monkeypatch.setattr(published, "PUBLISHED", {"tiny_imagenet": small})
    splits = PublishedImages("tiny_imagenet", find_published("tiny_imagenet", hub)).splits(0)
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration)] == [106, 2, 12]
    assert splits.about.natural
    assert not any("test images are drawn" in one for one in splits.about.notices)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.about.pixel_mean, splits.about.pixel_std))
    colour = ((splits.test.x * std + mean) * 255).mean((1, 2, 3)) - 3.5
    np.testing.assert_allclose(colour, 130 + np.arange(TESTS), atol=0.2)


def test_folders_of_images_do_as_well_as_shards(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch):
    """The same splits: folders in the order of shards that are sorted by class, with the rows for validation free."""
    known = PublishedSet("Made", (40, 10), 2, False, "it", "fine_label")
    monkeypatch.setattr(published, "PUBLISHED", {"cifar100": known})
    for part, first, rows in (("train", 0, 30), ("val", 30, 10), ("test", 40, 10)):
        for row in range(rows):
            path = tmp_path / f"cifar100/{part}/{'ab'[row * 2 // rows]}/{row:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(first + row))
    splits = PublishedImages("cifar100", find_published("cifar100", tmp_path)).splits(0)
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration, splits.test)] == [35, 1, 4, 10]
    assert splits.test.y.tolist() == [0] * 5 + [1] * 5
    assert splits.about.classes == ("a", "b")
    assert not splits.about.natural


def test_few_are_decoded_where_few_are_asked_for(hub: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published, "FEW", (3, 11, 1))
    folder = find_published("imagenet", hub)
    few = PublishedImages("imagenet", folder, 16, few=True)
    rows = few._whole.x
    assert isinstance(rows, StoredRows)
    assert rows.shape == (36, 3, 16, 16)
    assert few._whole.given["test"].tolist() == [33, 34, 35]
    splits = few.splits(0)
    assert (splits.about.name, splits.about.classes) == ("imagenet_few", ("0", "1", "2"))
    assert splits.test.y.tolist() == [0, 1, 2]
    pixels = (rows[:] * 255).mean((1, 2, 3)) - 3.5  # the numbers of the pictures
    expected = [*(10 * row + k for row in range(11) for k in range(3)), 130, 131, 132]
    np.testing.assert_allclose(pixels, expected, atol=0.3)


def test_a_few_rows_are_the_first_ones(hub: Path):
    shards = PublishedImages("svhn", find_published("svhn", hub), few=True)
    few, whole = Few(shards, held_out=5).splits(1), shards.splits(1)
    assert torch.equal(few.test.x, whole.test.x[:5])
    assert torch.equal(few.train.x, whole.train.x)
    assert few.given is not None
    assert whole.given is not None
    assert few.given.test.tolist() == whole.given.test[:5].tolist()
    assert few.about.name == f"{whole.about.name}_few"


# ------------------------------------------------------------------------------------ absent and damaged files


@pytest.mark.parametrize("name", NAMES)
def test_what_is_absent_is_said_with_what_to_get(name: str, tmp_path: Path):
    with pytest.raises(DataError, match=r"(?s)looked in .*[Gg]et .*--data-dir"):
        experiment(name, "smoke", tmp_path)
    with pytest.raises(DataError, match=r"(CALMIX_DATA is not set|nowhere).*[Gg]et "):
        experiment(name, "smoke")


def test_what_stands_beside_the_images_is_asked_for_too(hub: Path, tmp_path: Path):
    shutil.copytree(hub / "fashion_mnist", tmp_path / "fashion_mnist")
    with pytest.raises(DataError, match=r"notmnist: no file .*put them into a folder notmnist"):
        experiment("calmix/fashion-mnist-1000", "smoke", tmp_path / "fashion_mnist")


@pytest.mark.parametrize("rows", [7, None])
def test_other_numbers_of_images_are_refused_but_for_a_look(hub: Path, rows: int | None):
    folder = find_published("cifar100", hub)
    expected = (
        f"holds {ROWS} training and {TESTS} test images of 10 classes, and CIFAR-100 has 50,000 training and 10,000 "
        "test images of 100 classes; get the parquet files"
    )
    with pytest.raises(DataError, match=re.escape(expected)):
        PublishedImages("cifar100", folder, train_size=rows).splits(0)


def test_a_set_without_its_test_part_is_refused(hub: Path, tmp_path: Path):
    shard(tmp_path / "svhn/train-00000-of-00001.parquet", 0, 30, 3, "image")
    with pytest.raises(DataError, match="holds no test part of SVHN; get the parquet files"):
        PublishedImages("svhn", tmp_path / "svhn", few=True).splits(0)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_shard_that_is_cut_short_is_named(part: str, hub: Path, tmp_path: Path):
    for name in ("train", "test"):
        shard(tmp_path / f"{name}-00000-of-00001.parquet", 0, 30, 3, "image")
    path = tmp_path / f"{part}-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{path.name} cannot be read"):
        PublishedImages("svhn", tmp_path, few=True).splits(0)


def test_a_shard_of_cifar10_that_is_cut_short_is_named(hub: Path, tmp_path: Path):
    for path in (hub / "cifar10").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"-00000-of-00001.parquet cannot be read"):
        experiment("sk-mixup/cifar10", "smoke", tmp_path).comparison.data.splits(0)


@pytest.mark.parametrize("cut", ["of the archive", "of what it holds"])
def test_an_idx_file_that_is_cut_short_is_named(cut: str, hub: Path, tmp_path: Path):
    for path in (hub / "fashion_mnist").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50] if cut == "of the archive" else gzip.compress(gzip.decompress(whole)[:-50]))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be read"):
        Few(NamedSet("fashion_mnist", data_dir=tmp_path)).splits(0)


def test_an_unknown_set_is_refused(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="cifar1000"):
        find_published("cifar1000", tmp_path)
    with pytest.raises(UnknownNameError, match="cifar1000"):
        PublishedImages("cifar1000", tmp_path)


# ------------------------------------------------------------------------------------------------- real data


def test_cifar10_is_read_by_both_ways_alike(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    """The named set and a folder of shards hold the same pixels and labels, image by image."""
    monkeypatch.undo()
    folder = real_data / "cifar10"
    if not folder.is_dir():
        pytest.skip(f"no cifar10 in {real_data}")
    found = published.found_in(folder, None, published.times(folder))
    assert (len(found.labels), len(found.given["test"])) == (60_000, 10_000)
    few = found.at(found.given["test"][[3, 500, 9_999]])
    shown = [np.asarray(Image.open(io.BytesIO(one))) for one in few.read() if isinstance(one, bytes)]
    whole = images.read_shards(folder, "test")
    for pixels, place in zip(shown, (3, 500, 9_999), strict=True):
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), whole[place])
