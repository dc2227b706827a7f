"""Augmentation by name: what each way does to a picture is what Pillow does to it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

import calmix
from calmix.data import About, NamedSet
from calmix.errors import SettingError
from calmix.train import Recipe, TrainingSettings
from calmix.train.augment import (
    KINDS,
    RandAugment,
    augmentation,
    changed,
    crop,
    crop_and_flip,
    crop_flip,
    resized_crop,
)
from calmix.train.running import run, try_step
from calmix.train.settings import AUGMENT

RNG = np.random.default_rng(0)
SOFT = Image.fromarray(RNG.integers(20, 220, (6, 8, 3), np.uint8)).resize((40, 30), Image.Resampling.BICUBIC)
SHARP = Image.fromarray(RNG.integers(60, 200, (30, 40, 3), np.uint8))
NATURAL = About("made", "classification", "image", ("a", "b"), (), True, "a test", pixel_mean=(0.5,), pixel_std=(0.25,))
PLAIN = replace(NATURAL, natural=False)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def by(kind: str, sign: int = 1, pixels: torch.Tensor | None = None) -> torch.Tensor:
    pixels = tensor(SOFT) if pixels is None else pixels
    return changed(pixels, torch.tensor([KINDS.index(kind)]), torch.tensor([float(sign)]))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("kind", ["brightness", "contrast", "color", "sharpness"])
def test_light_and_colour_are_changed_as_pillow_does(kind: str, sign: int):
    enhance = getattr(ImageEnhance, kind.capitalize())
    expected = tensor(enhance(SHARP).enhance(1 + 0.27 * sign))
    assert (by(kind, sign, tensor(SHARP)) - expected).abs().max() < 2.5 / 255
    assert (expected - tensor(SHARP)).abs().max() > 4 / 255


def test_levels_are_changed_as_pillow_does():
    assert (by("posterize") - tensor(ImageOps.posterize(SOFT, 7))).abs().max() < 1e-6
    solarized = tensor(ImageOps.solarize(SOFT, 179))
    assert (by("solarize") - solarized).abs().max() < 1e-6
    assert (by("autocontrast") - tensor(ImageOps.autocontrast(SOFT))).abs().max() < 1.5 / 255
    assert torch.equal(by("identity"), tensor(SOFT))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("kind", "matrix"),
    [
        ("shear_x", lambda s: (1, 0.09 * s, -0.09 * s * 15, 0, 1, 0)),
        ("shear_y", lambda s: (1, 0, 0, 0.09 * s, 1, -0.09 * s * 20)),
        ("translate_x", lambda s: (1, 0, s * 40 * 45 / 331, 0, 1, 0)),
        ("translate_y", lambda s: (1, 0, 0, 0, 1, s * 30 * 45 / 331)),
    ],
)
def test_shears_and_shifts_are_those_of_pillow(kind: str, matrix, sign: int):
    moved = SOFT.transform(SOFT.size, Image.Transform.AFFINE, matrix(sign), Image.Resampling.BILINEAR)
    inner = (slice(None), slice(None), slice(6, 24), slice(8, 32))  # what comes from outside is another matter
    assert (by(kind, sign)[inner] - tensor(moved)[inner]).abs().max() < 3 / 255
    assert (tensor(moved)[inner] - tensor(SOFT)[inner]).abs().max() > 10 / 255


def test_a_rotation_turns_square_pixels_by_nine_degrees():
    turned = SOFT.rotate(-9, Image.Resampling.BILINEAR)
    inner = (slice(None), slice(None), slice(6, 24), slice(8, 32))
    errors = [(by("rotate", sign)[inner] - tensor(turned)[inner]).abs().max() for sign in (-1, 1)]
    assert min(errors) < 4 / 255 < max(errors)


def test_what_a_batch_becomes_follows_from_the_generator_and_differs_by_image():
    augment = RandAugment((0.5,) * 3, (0.25,) * 3)
    x = ((tensor(SOFT) - 0.5) / 0.25).expand(64, -1, -1, -1)
    first, again, other = (augment(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(image.flatten().tolist()) for image in first}) > 40
    pixels = first * 0.25 + 0.5
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5


def test_randaugment_changes_pixels_whatever_they_are_standardised_by():
    mean, std = (0.2, 0.5, 0.6), (0.1, 0.3, 0.4)
    middle, spread = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    pixels = tensor(SOFT).expand(100, -1, -1, -1)
    plain = RandAugment((0.0,) * 3, (1.0,) * 3)(pixels, torch.Generator().manual_seed(3))
    standardised = RandAugment(mean, std)((pixels - middle) / spread, torch.Generator().manual_seed(3))
    difference = (standardised * spread + middle - plain).abs()  # larger where rounding moves a pixel over an edge
    assert difference.mean() < 1e-4


def test_names_stand_for_augmentations():
    assert augmentation("auto", NATURAL) is crop_and_flip
    assert augmentation("auto", PLAIN) is None
    assert augmentation("none", NATURAL) is None
    assert (augmentation("crop", PLAIN), augmentation("crop_flip", PLAIN)) == (crop, crop_flip)
    assert augmentation("resized_crop", PLAIN) is resized_crop
    assert isinstance(augmentation("randaugment", PLAIN), RandAugment)
    for name in AUGMENT[2:]:
        with pytest.raises(SettingError, match="is for images, and made is a table"):
            augmentation(name, replace(PLAIN, kind="table"))
    with pytest.raises(SettingError, match="needs pixels from 0 to 1"):
        augmentation("randaugment", replace(PLAIN, pixel_mean=()))
    with pytest.raises(SettingError, match="1 or 3 channels; made has 2"):
        augmentation("randaugment", replace(PLAIN, pixel_mean=(0.1, 0.2)))


def test_of_32_pixels_a_crop_shifts_by_up_to_four():
    x = torch.arange(32.0 * 32).view(1, 1, 32, 32).expand(200, -1, -1, -1)
    middle = crop(x, torch.Generator().manual_seed(0))[:, 0, 16, 16] - x[0, 0, 16, 16]
    rows, columns = (middle / 32).round(), middle - 32 * (middle / 32).round()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (-4, 4, -4, 4)
    generators = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert torch.equal(crop_flip(x, generators[0]), crop_and_flip(x, generators[1]))


def corners(height: int, width: int, count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Of cropped images whose pixels tell where they lie: the first and last column and row, in shares of the sides."""
    across = ((torch.arange(width) + 0.5) / width).expand(1, height, width)
    down = ((torch.arange(height) + 0.5) / height)[:, None].expand(1, height, width)
    x = torch.cat([across, down])[None].expand(count, -1, -1, -1)
    found = resized_crop(x, torch.Generator().manual_seed(0))
    return found[:, 0, height // 2][:, [0, -1]], found[:, 1, :, width // 2][:, [0, -1]]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
def test_a_resized_crop_has_the_shares_and_shapes_that_were_drawn(height: int, width: int):
    columns, rows = corners(height, width)
    wide, high = (ends.diff(dim=1)[:, 0].abs() for ends in (columns, rows))
    # pixels stand in the middle of a part's columns, so that the outermost two are a column less than it apart
    wide, high = wide * width / (width - 1), high * height / (height - 1)
    area = wide * high
    few = area < 0.4  # in which no side is cut
    assert few.float().mean() == pytest.approx((0.4 - 0.08) / 0.92, abs=0.03)
    assert area[few].mean() == pytest.approx(0.24, abs=0.01)
    assert area.min() == pytest.approx(0.08, abs=0.01)
    ratio = (wide * width / (high * height))[few].log()
    assert (ratio.min(), ratio.max()) == (
        pytest.approx(math.log(3 / 4), abs=0.03),
        pytest.approx(math.log(4 / 3), abs=0.03),
    )
    assert ratio.mean() == pytest.approx(0, abs=0.02)  # as often wide as high
    flipped = columns[:, 0] > columns[:, 1]
    assert flipped.float().mean() == pytest.approx(0.5, abs=0.03)
    assert (rows[:, 0] < rows[:, 1]).all()  # never upside down
    middle = (rows.mean(1) - 0.5) / (1 - high).clamp(min=1e-3)  # evenly over where it fits
    assert middle[few].abs().max() == pytest.approx(0.5, abs=0.03)
    assert middle[few].var() == pytest.approx(1 / 12, abs=0.01)


def test_a_crop_of_the_whole_image_is_the_image(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calmix.train.augment._AREA", (1.0, 1.0))
    monkeypatch.setattr("calmix.train.augment._RATIO", (1.0, 1.0))
    x = torch.randn(40, 3, 9, 9)
    found = resized_crop(x, torch.Generator().manual_seed(0))
    same = [torch.allclose(new, old, atol=1e-5) for new, old in zip(found, x, strict=True)]
    mirrored = [torch.allclose(new, old.flip(2), atol=1e-5) for new, old in zip(found, x, strict=True)]
    assert all(one != other for one, other in zip(same, mirrored, strict=True))
    assert 5 < sum(same) < 35


def test_an_augmentation_changes_a_run_and_stands_in_its_text():
    def recipe(name: str, data: str = "digits") -> Recipe:
        return Recipe(NamedSet(data, 60), "erm", calmix.erm(), settings=TrainingSettings(epochs=1, augment=name))

    losses = {name: run(recipe(name)).record.history[0].train["loss"] for name in ("auto", "none", "crop")}
    assert losses["auto"] == losses["none"] != losses["crop"]
    assert "augment" not in recipe("auto").text
    assert "augment='crop'" in recipe("crop").text
    with pytest.raises(SettingError, match="is for images"):
        try_step(recipe("crop", "wine"))
