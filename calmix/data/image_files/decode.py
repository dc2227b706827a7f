"""One image file as an array of bytes, by Pillow.

C channels, H x W pixels, S the side of a square
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calmix.reading import reason_of

if TYPE_CHECKING:
    from PIL import Image

Source: TypeAlias = "Path | bytes | Image.Image"

_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I")
_DRAFT = 2  # a JPEG is read at no fewer pixels than so many times those that are wanted
_TURNED = (5, 6, 7, 8)  # EXIF orientations that lie on their side
_ORIENTATION = 0x0112


class Look(NamedTuple):
    """What the head of a file says, after its orientation."""

    size: tuple[int, int]  # (H, W)
    grey: bool


def look(source: Source) -> Look:
    """Raise ValueError with the reason where it is no image."""
    with _opened(source) as image:
        turned = image.getexif().get(_ORIENTATION) in _TURNED
        height, width = image.size if turned else image.size[::-1]
        return Look((height, width), image.mode in _GREY)


def pixels(source: Source, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(C, H, W): the first frame, upright, in grey (C = 1) or colour (C = 3).

    The largest rectangle of the shape H : W in its middle, scaled with antialiasing. What is transparent becomes
    white; 16 bits become 8. Raise ValueError with the reason where it cannot be read.
    """
    from PIL import ImageOps
    from PIL.Image import Resampling

    channels, height, width = shape
    with _opened(source) as image:
        try:
            scale = min(image.height / max(height, width), image.width / max(height, width)) / _DRAFT
            if scale > 1:
                image.draft("L" if channels == 1 else "RGB", (int(image.width / scale), int(image.height / scale)))
            image.load()
            plain = _plain(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
        except Exception as error:  # whatever a decoder raises of damaged bytes
            raise ValueError(reason_of(error)) from None
    if plain.size != (width, height):
        factor = min(plain.width / width, plain.height / height)
        left, top = (plain.width - factor * width) / 2, (plain.height - factor * height) / 2
        box = (left, top, left + factor * width, top + factor * height)
        plain = plain.resize((width, height), Resampling.BILINEAR, box=box, reducing_gap=3.0)
    array = np.asarray(plain)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _opened(source: Source) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, Image.Image):
        return source.copy()
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        empty = len(source) == 0 if isinstance(source, bytes) else source.stat().st_size == 0
        raise ValueError("it is empty" if empty else "it is no image that Pillow knows") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"it has more than {most} million pixels; scale it down") from None
    except Exception as error:
        raise ValueError(reason_of(error)) from None


def _plain(image: "Image.Image", mode: str) -> "Image.Image":
    """Of mode L or RGB."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        wide: Any = np.asarray(image)
        image = Image.fromarray((np.clip(wide, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floating numbers; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)
