"""Common corruptions: each against its formula or somebody else's code, and what all have in common."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import ndimage

from calmix.data import CORRUPTIONS, SEVERITIES, Split, corrupted, digits, wine
from calmix.data.corruptions import motion_blur
from calmix.errors import SettingError, UnknownNameError

BLURS = ("gaussian_blur", "defocus_blur", "motion_blur")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, channels: int = 3, size: int = 32) -> torch.Tensor:
    """Blurred noise, away from black and white."""
    noise = torch.rand(n, channels, size, size, generator=generator(1)).numpy()
    smooth = torch.tensor(ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7)))
    return 0.2 + 0.5 * (smooth - smooth.amin()) / (smooth.amax() - smooth.amin())


def made(name: str, severity: int, pixels: torch.Tensor) -> torch.Tensor:
    return CORRUPTIONS[name](pixels, severity, generator())


# ------------------------------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_images_stay_images(name, channels, size):
    pixels = torch.rand(5, channels, size, size, generator=generator(2))
    pixels[0], pixels[1] = 0, 1
    before = pixels.clone()
    for severity in SEVERITIES:
        image = made(name, severity, pixels)
        assert image.shape == pixels.shape
        assert image.dtype == torch.float32
        assert image.is_contiguous()
        assert image.min() >= 0
        assert image.max() <= 1
        assert torch.equal(image, made(name, severity, pixels))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_takes_the_image_further_away(name):
    pixels = pictures(200)
    far = [(made(name, severity, pixels) - pixels).square().mean().sqrt().item() for severity in SEVERITIES]
    assert far[0] > 0
    if name == "motion_blur":  # severities 3 and 4 differ in a radius that their deviation does not reach
        assert far.pop(3) == pytest.approx(far[2], rel=1e-3)
    assert all(low < high for low, high in pairwise(far)), far


@pytest.mark.parametrize("name", BLURS)
def test_blurs_are_means_of_neighbours(name):
    flat = torch.full((2, 3, 32, 32), 0.3)
    torch.testing.assert_close(made(name, 5, flat), flat)
    pixels = pictures()
    blurred = made(name, 5, pixels)
    assert blurred.amax() <= pixels.amax()
    assert blurred.amin() >= pixels.amin()


# ------------------------------------------------------------------------------------------ each by itself


def test_gaussian_noise_has_its_deviation():
    grey = torch.full((100, 1, 32, 32), 0.5)
    for severity, c in zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True):
        noise = made("gaussian_noise", severity, grey) - grey
        assert noise.std().item() == pytest.approx(c, rel=0.01)
        assert abs(noise.mean()) < 5 * c / 320


def test_shot_noise_counts_photons():
    for severity, c in zip(SEVERITIES, (500, 250, 100, 75, 50), strict=True):
        for light in (0.1, 0.5):
            image = made("shot_noise", severity, torch.full((100, 1, 32, 32), light))
            assert image.mean().item() == pytest.approx(light, rel=0.01)
            assert image.var().item() == pytest.approx(light / c, rel=0.03)  # Poisson: variance is the mean
            torch.testing.assert_close(image * c, (image * c).round())
    assert made("shot_noise", 5, torch.zeros(1, 1, 8, 8)).max() == 0  # no light, no noise


def test_impulse_noise_is_salt_and_pepper():
    grey = torch.full((300, 1, 32, 32), 0.5)
    for severity, c in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True):
        image = made("impulse_noise", severity, grey)
        salt, pepper = (image == 1).float().mean().item(), (image == 0).float().mean().item()
        assert (salt, pepper) == (pytest.approx(c / 2, rel=0.05), pytest.approx(c / 2, rel=0.05))
        assert ((image == 0.5) | (image == 0) | (image == 1)).all()


@pytest.mark.parametrize(("severity", "sigma"), list(zip(SEVERITIES, (0.4, 0.6, 0.7, 0.8, 1.0), strict=True)))
def test_gaussian_blur_is_scipy_s(severity, sigma):
    pixels = pictures()
    expected = ndimage.gaussian_filter(pixels.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    torch.testing.assert_close(made("gaussian_blur", severity, pixels), torch.tensor(expected), atol=1e-5, rtol=0)


DISCS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))


@pytest.mark.parametrize(("severity", "disc"), list(zip(SEVERITIES, DISCS, strict=True)))
def test_defocus_blur_is_a_smoothed_disc_of_the_original_s_size(severity, disc):
    radius, sigma = disc
    steps = np.arange(-8, 9)
    grid = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(float)
    taps = np.exp(-np.array([1.0, 0.0, 1.0]) / (2 * sigma**2))
    kernel = ndimage.correlate(grid / grid.sum(), np.outer(taps, taps) / taps.sum() ** 2)
    assert kernel.sum() == pytest.approx(1)
    pixels = pictures()
    expected = ndimage.correlate(pixels.numpy(), kernel[None, None], mode="mirror")
    torch.testing.assert_close(made("defocus_blur", severity, pixels), torch.tensor(expected), atol=1e-5, rtol=0)


def test_motion_blur_draws_a_point_out_along_a_line():
    point = torch.zeros(200, 1, 41, 41)
    point[:, 0, 20, 20] = 1
    for severity, (radius, sigma) in enumerate([(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)], 1):
        line = motion_blur(point, severity, generator())
        weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
        torch.testing.assert_close(line.sum((1, 2, 3)), torch.ones(200))
        first = torch.full((200,), weights[0] / weights.sum())
        torch.testing.assert_close(line[:, 0, 20, 20], first, rtol=1e-4, atol=0)
        image, _, row, column = line.nonzero(as_tuple=True)
        down, right = row - 20, 20 - column  # light comes from i steps to the right, so it lands to the left
        assert (right >= 0).all()
        assert (down.abs() <= right + 1).all()  # at most 45 degrees off
        assert {1, -1} <= set(down.sign().tolist())
        # all points of an image lie within a pixel of one line through the origin
        angle = torch.stack([torch.atan2(down[image == i].float(), right[image == i].float())[0] for i in (0, 1)])
        assert angle[0] != angle[1]


def test_motion_blur_repeats_the_edge():
    step = torch.zeros(50, 1, 32, 32)
    step[..., 31] = 1
    blurred = motion_blur(step, 5, generator())
    torch.testing.assert_close(blurred[..., 31], torch.ones(50, 1, 32))  # to its right there is nothing else
    assert (blurred[..., 0].abs() < 1e-6).all()
    below = motion_blur(step.mT.contiguous(), 5, generator())
    assert (below[:, :, 0].abs() < 1e-6).all()  # what lies beyond the upper edge is not the lower one


def test_contrast_moves_towards_the_mean_colour():
    pixels = pictures()
    for severity, c in zip(SEVERITIES, (0.75, 0.5, 0.4, 0.3, 0.15), strict=True):
        image = made("contrast", severity, pixels)
        torch.testing.assert_close(image.mean((2, 3)), pixels.mean((2, 3)))
        torch.testing.assert_close(image.std((2, 3)), c * pixels.std((2, 3)))


@pytest.mark.parametrize(("severity", "c"), list(zip(SEVERITIES, (0.05, 0.1, 0.15, 0.2, 0.3), strict=True)))
def test_brightness_is_value_in_hsv(severity, c):
    pixels = torch.rand(4, 3, 16, 16, generator=generator(3))
    pixels[0, :, 0, 0] = 0
    hsv = rgb_to_hsv(pixels.permute(0, 2, 3, 1).numpy())
    hsv[..., 2] = np.clip(hsv[..., 2] + c, 0, 1)
    expected = torch.tensor(hsv_to_rgb(hsv)).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(made("brightness", severity, pixels), expected, atol=1e-5, rtol=0)
    grey = pictures(channels=1)
    torch.testing.assert_close(made("brightness", severity, grey), (grey + c).clamp(max=1))


def test_pixelate_and_jpeg_are_pillow_s():
    pixels = pictures(1)
    image = Image.fromarray((pixels[0].permute(1, 2, 0) * 255).round().byte().numpy())
    small = image.resize((20, 20), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    for name, expected in (("pixelate", small), ("jpeg", Image.open(stream))):
        ours = made(name, 5, pixels)[0].permute(1, 2, 0) * 255
        torch.testing.assert_close(ours, torch.tensor(np.asarray(expected)).float(), atol=1e-3, rtol=0)


def test_pixelated_images_have_fewer_rows():
    pixels = torch.rand(1, 1, 32, 32, generator=generator(4))
    image = made("pixelate", 5, pixels)
    assert (image.diff(dim=2).abs().amax((0, 1, 3)) > 1e-6).sum() + 1 == 20  # int(0.65 * 32)


# ------------------------------------------------------------------------------------------- on a split


def test_a_corrupted_split_is_standardised_as_the_split_is():
    splits = digits()
    about, test = splits.about, splits.test
    shifted = corrupted("brightness", 5, test, about, seed=0)
    torch.testing.assert_close(shifted.x, (test.x + 0.3).clamp(max=1))
    assert torch.equal(shifted.y, test.y)
    scaled = replace(about, pixel_mean=(0.2,), pixel_std=(0.5,))
    other = corrupted("brightness", 5, Split((test.x - 0.2) / 0.5, test.y), scaled, seed=0)
    torch.testing.assert_close(other.x * 0.5 + 0.2, shifted.x)


def test_noise_follows_from_seed_family_and_severity():
    splits = digits()

    def noise(name: str, severity: int, seed: int) -> torch.Tensor:
        return corrupted(name, severity, splits.test, splits.about, seed).x

    first = noise("impulse_noise", 5, 0)
    torch.rand(3)  # the global generator has no say
    assert torch.equal(first, noise("impulse_noise", 5, 0))
    assert not torch.equal(first, noise("impulse_noise", 5, 1))
    peppered = [noise("impulse_noise", severity, 0) != splits.test.x for severity in (4, 5)]
    assert (peppered[0] & ~peppered[1]).any()  # not the same places again


def test_a_bad_call_earns_a_sentence():
    splits = digits()
    with pytest.raises(UnknownNameError, match="unknown family of corruptions 'jpg'; did you mean 'jpeg'"):
        corrupted("jpg", 1, splits.test, splits.about, 0)
    for severity in (0, 6):
        with pytest.raises(SettingError, match=f"severity must be 1, 2, 3, 4 or 5; got {severity}"):
            corrupted("jpeg", severity, splits.test, splits.about, 0)
    table = wine()
    with pytest.raises(SettingError, match="corruptions are for images, and wine is a table; leave --corruptions out"):
        corrupted("jpeg", 1, table.test, table.about, 0)
    with pytest.raises(SettingError, match="1 or 3 channels; got 2"):
        CORRUPTIONS["jpeg"](torch.zeros(1, 2, 8, 8), 1, generator())
