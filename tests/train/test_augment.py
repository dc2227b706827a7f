"""Augmentation by name: what each way does to a picture is what Pillow does to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

import calmix
from calmix.data import About, NamedSet
from calmix.errors import SettingError
from calmix.train import Recipe, TrainingSettings
from calmix.train.augment import KINDS, RandAugment, augmentation, changed, crop, crop_and_flip, crop_flip
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


def test_an_augmentation_changes_a_run_and_stands_in_its_text():
    def recipe(name: str, data: str = "digits") -> Recipe:
        return Recipe(NamedSet(data, 60), "erm", calmix.erm(), settings=TrainingSettings(epochs=1, augment=name))

    losses = {name: run(recipe(name)).record.history[0].train["loss"] for name in ("auto", "none", "crop")}
    assert losses["auto"] == losses["none"] != losses["crop"]
    assert "augment" not in recipe("auto").text
    assert "augment='crop'" in recipe("crop").text
    with pytest.raises(SettingError, match="is for images"):
        try_step(recipe("crop", "wine"))
