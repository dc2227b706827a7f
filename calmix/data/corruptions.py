"""Corrupted images: the common corruptions of Hendrycks and Dietterich (ICLR 2019), as made for CIFAR-10-C.

n images of C channels (1 or 3), H x W pixels in [0, 1]; k taps of a filter.

Each family is a function of pixels, a severity from 1 to 5, and a generator: made on the whole batch, deterministic
from the generator's state, and of the images' own size (where the original says 32, ours says H and W). Severities are
the original's for 32 x 32 images. Deviations: pixels stay real numbers where the original rounds down to bytes (except
pixelate and jpeg, which Pillow makes of bytes).
"""

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from calmix.data.splits import About, Split
from calmix.errors import SettingError, UnknownNameError

CORRUPTED_ROWS = 2_000  # test rows that runs are measured on: an accuracy of them is known to one point
SEVERITIES = (1, 2, 3, 4, 5)
FEW = 256  # images at a time, which a processor's cache holds


# -------------------------------------------------------------------------------------------------- noise


def gaussian_noise(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """clip(x + N(0, c^2)), c = 0.04, 0.06, 0.08, 0.09, 0.10."""
    c = _level(severity, 0.04, 0.06, 0.08, 0.09, 0.10)
    return (pixels + c * torch.randn(pixels.shape, generator=generator)).clamp_(0, 1)


def shot_noise(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """clip(Poisson(c x) / c), with c = 500, 250, 100, 75, 50 photons for white."""
    c = _level(severity, 500, 250, 100, 75, 50)
    return torch.poisson(pixels * c, generator).div_(c).clamp_(0, 1)


def impulse_noise(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Salt and pepper: a share c = 0.01, 0.02, 0.03, 0.05, 0.07 of the values becomes 0 or 1, half each."""
    c = _level(severity, 0.01, 0.02, 0.03, 0.05, 0.07)
    u = torch.rand(pixels.shape, generator=generator)
    return pixels.masked_fill(u < c, 1.0).masked_fill_(u < c / 2, 0.0)


# -------------------------------------------------------------------------------------------------- blurs


def gaussian_blur(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A Gaussian filter of standard deviation 0.4, 0.6, 0.7, 0.8, 1 pixels, cut at 4 deviations; the edge repeated."""
    sigma = _level(severity, 0.4, 0.6, 0.7, 0.8, 1.0)
    row = _gaussian(sigma, round(4 * sigma))
    return _filtered(_filtered(pixels, row[None], "replicate"), row[:, None], "replicate")


def defocus_blur(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A disc of radius 0.3, 0.4, 0.5, 1, 1.5 pixels, smoothed by a 3 x 3 Gaussian; the border reflected."""
    radius = _level(severity, 0.3, 0.4, 0.5, 1.0, 1.5)
    sigma = _level(severity, 0.4, 0.5, 0.6, 0.2, 0.1)
    steps = torch.arange(-2.0, 3.0)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).float()  # (5, 5)
    row = _gaussian(sigma, 1)
    smooth = F.conv2d((disc / disc.sum())[None, None], torch.outer(row, row)[None, None], padding=1)
    return _filtered(pixels, smooth[0, 0], "reflect")


def motion_blur(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A half Gaussian along a line of random direction, up to 45 degrees off the horizontal; the edge repeated.

    Radius 6, 6, 6, 8, 9 and deviation 1, 1.5, 2, 2, 2.5 pixels; as ImageMagick's motion blur, which the original
    calls: the tap i, of weight exp(-i^2 / (2 sigma^2)), is the pixel nearest to i steps along the line. So severities 3
    and 4 are as good as the same, there as here.
    """
    radius, sigma = _level(severity, 6, 6, 6, 8, 9), _level(severity, 1.0, 1.5, 2.0, 2.0, 2.5)
    taps = torch.arange(2.0 * radius + 1)  # (k,)
    weights = torch.softmax(-(taps**2) / (2 * sigma**2), 0)
    angle = (torch.rand(len(pixels), generator=generator) - 0.5) * (math.pi / 2)  # (n,)
    down = torch.ceil(taps * angle.sin()[:, None] - 0.5).long()  # (n, k)
    right = torch.ceil(taps * angle.cos()[:, None] - 0.5).long()
    height, width = pixels.shape[2:]
    flat = pixels.flatten(2)  # (n, C, H W)
    blurred = torch.zeros_like(flat)
    for i, weight in enumerate(weights.tolist()):
        rows = (torch.arange(height) + down[:, i, None]).clamp_(0, height - 1)  # (n, H)
        columns = (torch.arange(width) + right[:, i, None]).clamp_(0, width - 1)  # (n, W)
        places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)  # (n, H W)
        blurred.add_(flat.gather(2, places[:, None].expand_as(flat)), alpha=weight)
    return blurred.view_as(pixels).clamp_(0, 1)


# ------------------------------------------------------------------------------------------ light and files


def contrast(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Towards each image's mean colour m: clip(m + c (x - m)), c = 0.75, 0.5, 0.4, 0.3, 0.15."""
    mean = pixels.mean((2, 3), keepdim=True)
    return torch.lerp(mean, pixels, _level(severity, 0.75, 0.5, 0.4, 0.3, 0.15)).clamp_(0, 1)


def brightness(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """The value V = max over channels raised to min(V + c, 1), hue and saturation kept; c = 0.05, 0.1, 0.15, 0.2, 0.3.

    In HSV that is x V' / V; black, which has no hue, becomes grey.
    """
    value = pixels.amax(1, keepdim=True)
    raised = (value + _level(severity, 0.05, 0.1, 0.15, 0.2, 0.3)).clamp(max=1)
    return torch.where(value > 0, pixels * (raised / value.clamp(min=1e-12)), raised).clamp_(0, 1)


def pixelate(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Made 0.95, 0.9, 0.85, 0.75, 0.65 times as large and back, by Pillow's box filter."""
    from PIL.Image import Image, Resampling

    scale = _level(severity, 0.95, 0.9, 0.85, 0.75, 0.65)

    def shrink(image: Image) -> Image:
        small = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        return image.resize(small, Resampling.BOX).resize(image.size, Resampling.BOX)

    return _by_pillow(pixels, shrink)


def jpeg(pixels: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Written as JPEG of quality 80, 65, 58, 50, 40 and read, by Pillow."""
    from PIL.Image import Image
    from PIL.Image import open as open_image

    quality = int(_level(severity, 80, 65, 58, 50, 40))

    def compress(image: Image) -> Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return open_image(stream)

    return _by_pillow(pixels, compress)


Corruption = Callable[[Tensor, int, torch.Generator], Tensor]

CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "gaussian_blur": gaussian_blur,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "contrast": contrast,
    "brightness": brightness,
    "pixelate": pixelate,
    "jpeg": jpeg,
}


def corrupted(name: str, severity: int, split: Split, about: About, seed: int) -> Split:
    """A split of images, corrupted before standardisation; which noise they get follows from the arguments alone.

    Raises:
        UnknownNameError: no such family.
        SettingError: the data are not images, or a severity outside 1 .. 5.

    >>> from calmix.data import digits
    >>> splits = digits()
    >>> corrupted("impulse_noise", 5, splits.test, splits.about, seed=0).x.shape
    torch.Size([359, 1, 8, 8])
    """
    if name not in CORRUPTIONS:
        raise UnknownNameError("family of corruptions", name, CORRUPTIONS)
    if about.kind != "image":
        raise SettingError(f"corruptions are for images, and {about.name} is a {about.kind}; leave --corruptions out.")
    if not about.pixel_mean:
        raise SettingError(f"corruptions need pixels from 0 to 1; rescale those of {about.name}.")
    mean, std = (torch.tensor(values)[:, None, None] for values in (about.pixel_mean, about.pixel_std))
    stream = np.random.SeedSequence([seed, list(CORRUPTIONS).index(name), severity]).generate_state(1)
    generator = torch.Generator().manual_seed(int(stream[0]))
    changed = torch.empty(len(split), *split.shape)
    for start in range(0, len(split), FEW):
        pixels = split.rows[start : start + FEW].mul(std).add_(mean).clamp_(0, 1)
        changed[start : start + FEW] = CORRUPTIONS[name](pixels, severity, generator)
    return replace(split, rows=changed.sub_(mean).div_(std))


def _level(severity: int, *levels: float) -> float:
    if severity not in SEVERITIES:
        raise SettingError(f"severity must be 1, 2, 3, 4 or 5; got {severity}.")
    return levels[severity - 1]


def _gaussian(sigma: float, reach: int) -> Tensor:
    """(2 reach + 1,), summing to one."""
    return torch.softmax(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2), 0)


def _filtered(pixels: Tensor, kernel: Tensor, border: str) -> Tensor:
    """Each channel by itself, as a sum of shifted images (conv2d is slower for few channels); kernel has odd sides."""
    height, width = pixels.shape[2:]
    up, left = (side // 2 for side in kernel.shape)
    padded = F.pad(pixels, (left, left, up, up), mode=border)
    filtered = torch.zeros_like(pixels)
    for i, j in kernel.nonzero().tolist():
        filtered += kernel[i, j] * padded[:, :, i : i + height, j : j + width]
    return filtered.clamp_(0, 1)


def _by_pillow(pixels: Tensor, change: Callable) -> Tensor:
    """Each image through a function of a Pillow image, grey or colour."""
    from PIL import Image

    levels = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)  # (n, H, W, C)
    if levels.shape[3] not in (1, 3):
        raise SettingError(f"images must be grey or colour, 1 or 3 channels; got {levels.shape[3]}.")
    rows = levels.squeeze(3).numpy()
    made = np.stack([np.asarray(change(Image.fromarray(row))) for row in rows])
    return torch.from_numpy(made).view_as(levels).permute(0, 3, 1, 2).float().div_(255).contiguous()
