"""Augmentation of a batch of images, by name: drawn and made on the batch, where it lies.

n images of C channels (1 or 3), H x W pixels
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.data import About
from calmix.errors import SettingError

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def augmentation(name: str, about: About) -> Augmentation | None:
    """What the setting `augment` comes to on a data set; None: images stay as they are.

    Raises:
        SettingError: data that are no images, or none that it can be made of.
    """
    if name == "auto":
        return crop_and_flip if about.natural else None
    if name == "none":
        return None
    if about.kind != "image":
        raise SettingError(f"augment {name!r} is for images, and {about.name} is a {about.kind}; leave it out.")
    if name == "crop":
        return crop
    if name == "crop_flip":
        return crop_flip
    if name == "resized_crop":
        return resized_crop
    if not about.pixel_mean:
        raise SettingError(f"augment {name!r} needs pixels from 0 to 1; rescale those of {about.name}.")
    if len(about.pixel_mean) not in (1, 3):
        raise SettingError(f"augment {name!r} is for 1 or 3 channels; {about.name} has {len(about.pixel_mean)}.")
    return RandAugment(about.pixel_mean, about.pixel_std)


def crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its shorter side each way (4 pixels of 32); the border is reflected."""
    return _shifted(x, generator, min(x.shape[2:]) // 8, flips=False)


def crop_flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """As `crop`, and flipped or not."""
    return crop_and_flip(x, generator, min(x.shape[2:]) // 8)


_AREA, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a part of the image: its share, and its width over its height


def resized_crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """A part of each image (n, C, H, W) at random, as large as the image again, and flipped or not.

    The part has a share of 0.08 to 1 of the image, and a width over its height of 3/4 to 4/3, evenly on a logarithmic
    scale; it is enlarged bilinearly.
    Source: Szegedy et al., Going Deeper with Convolutions, CVPR 2015 (arXiv 1409.4842), section 6.
    Deviation: a side that would be longer than the image's is cut to it; others draw again.
    """
    n, _, height, width = x.shape
    drawn = torch.rand(5, n, generator=generator, device=x.device)
    area = _AREA[0] + (_AREA[1] - _AREA[0]) * drawn[0]
    ratio = _RATIO[0] * (_RATIO[1] / _RATIO[0]) ** drawn[1]
    wide, high = (area * ratio * height / width).sqrt(), (area / ratio * width / height).sqrt()
    wide, high = wide.clamp(max=1), high.clamp(max=1)  # shares of the sides
    across, down = (
        (1 - wide) * (2 * drawn[2] - 1),
        (1 - high) * (2 * drawn[3] - 1),
    )  # its middle, in halves of the sides
    zero, mirrored = torch.zeros_like(wide), torch.where(drawn[4] < 0.5, -wide, wide)
    rows = torch.stack([mirrored, zero, across], 1), torch.stack([zero, high, down], 1)
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), "bilinear", "border", align_corners=False)


def crop_and_flip(x: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Each image (n, C, H, W) shifted by up to `padding` pixels each way (the border reflected) and flipped or not."""
    return _shifted(x, generator, padding, flips=True)


def _shifted(x: Tensor, generator: torch.Generator, padding: int, flips: bool) -> Tensor:
    n, _, height, width = x.shape
    device = x.device
    padded = F.pad(x, (padding,) * 4, mode="reflect")
    shift = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator, device=device)
    rows = shift[0] + torch.arange(height, device=device)  # (n, H)
    columns = torch.arange(width, device=device)
    if flips:
        flip = torch.rand(n, 1, generator=generator, device=device) < 0.5
        columns = torch.where(flip, columns.flip(0), columns)
    columns = shift[1] + columns  # (n, W)
    image = torch.arange(n, device=device)
    # advanced indices around the channel slice put channels last; move them back
    return padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


# ------------------------------------------------------------------------------------------------ RandAugment

KINDS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "contrast", "color", "sharpness", "posterize", "solarize", "autocontrast",
)  # fmt: skip
_ANGLE, _SHEAR, _SHIFT = math.radians(9), 0.09, 0.3 * 150 / 331  # radians; slopes; shares of a side
_ENHANCED, _LEVELS, _BRIGHT = 0.27, 128, 0.7  # by how much; levels that are left; what is brighter is inverted


class RandAugment:
    """RandAugment on a batch: each image is changed twice, each time in one of 13 ways, to either side at random.

    Source: Cubuk et al., RandAugment, NeurIPS 2020 (arXiv 1909.13719), with N = 2 and the strengths of magnitude 9 of
    30. Deviations: no equalisation of histograms; what comes in from outside the image is its border, reflected. mean,
    std: x * std + mean lies in [0, 1], channel by channel.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean: tuple[float, ...] = mean
        self.std: tuple[float, ...] = std

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = (x.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        pixels = (x * std + mean).clamp(0, 1)
        flip = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
        pixels = torch.where(flip, pixels.flip(3), pixels)
        for _ in range(2):
            kinds = torch.randint(len(KINDS), (len(x),), generator=generator, device=x.device)
            signs = 2.0 * torch.randint(2, (len(x),), generator=generator, device=x.device) - 1
            pixels = changed(pixels, kinds, signs)
        return (pixels - mean) / std


def changed(pixels: Tensor, kinds: Tensor, signs: Tensor) -> Tensor:
    """Each image (n, C, H, W) in [0, 1] changed in the way KINDS[kinds[i]], to the side signs[i]: 1 or -1."""

    def is_kind(name: str) -> Tensor:
        return (kinds == KINDS.index(name)).view(-1, 1, 1, 1)

    grey = _grey(pixels)
    bases = {
        "brightness": torch.zeros_like(pixels),
        "contrast": grey.mean((2, 3), keepdim=True).expand_as(pixels),
        "color": grey.expand_as(pixels),
        "sharpness": _smooth(pixels),
    }
    factor = (1 + _ENHANCED * signs).view(-1, 1, 1, 1)
    low, high = (edge(edge(pixels, 3, True), 2, True) for edge in (torch.amin, torch.amax))
    found = _moved(pixels, kinds, signs)
    for name, base in bases.items():
        found = torch.where(is_kind(name), base + factor * (pixels - base), found)
    found = torch.where(is_kind("posterize"), (pixels * 255 // (256 // _LEVELS)) * (256 // _LEVELS) / 255, found)
    found = torch.where(is_kind("solarize") & (pixels >= _BRIGHT), 1 - pixels, found)
    stretched = torch.where(high > low, (pixels - low) / (high - low).clamp(min=1e-6), pixels)
    return torch.where(is_kind("autocontrast"), stretched, found).clamp(0, 1)


def _moved(pixels: Tensor, kinds: Tensor, signs: Tensor) -> Tensor:
    """Rotated, sheared or shifted images; others as they are."""
    height, width = pixels.shape[2:]
    angle, shear_x, shear_y, shift_x, shift_y = (
        size * signs * (kinds == KINDS.index(name))
        for name, size in zip(KINDS[1:6], (_ANGLE, _SHEAR, _SHEAR, 2 * _SHIFT, 2 * _SHIFT), strict=True)
    )
    cos, sin = angle.cos(), angle.sin()
    # where each pixel comes from, in halves of the sides; angles and slopes are those of square pixels
    rows = (
        torch.stack([cos, -sin * height / width + shear_x * height / width, shift_x], 1),
        torch.stack([sin * width / height + shear_y * width / height, cos, shift_y], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    still = (kinds == 0) | (kinds > 5)
    moved = F.grid_sample(pixels, grid, "bilinear", "reflection", align_corners=False)
    return torch.where(still.view(-1, 1, 1, 1), pixels, moved)


def _grey(pixels: Tensor) -> Tensor:
    """(n, 1, H, W), as ITU-R 601 weighs red, green and blue."""
    if pixels.shape[1] == 1:
        return pixels
    weights = pixels.new_tensor((0.299, 0.587, 0.114)).view(-1, 1, 1)
    return (weights * pixels).sum(1, keepdim=True)


def _smooth(pixels: Tensor) -> Tensor:
    """By a 3 x 3 filter of ones with a 5 in its middle, over 13; the border stays."""
    channels, height, width = pixels.shape[1:]
    if min(height, width) < 3:
        return pixels
    kernel = pixels.new_ones(channels, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    inner = F.conv2d(pixels, kernel / 13, groups=channels)
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = inner
    return smooth
