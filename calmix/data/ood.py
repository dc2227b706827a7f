"""Images of none of the classes: what a network should be unsure about.

n images of C channels, H x W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from calmix.data.folders import find_companion
from calmix.data.images import floats, read_idx_images, read_shards
from calmix.data.splits import Splits
from calmix.errors import SettingError, ShapeError, UnknownNameError

ADVICE = "set CALMIX_DATA to the folder that holds {name}/, or leave --ood {name} out"


def notmnist(data_dir: Path | None = None) -> Tensor:
    """10,000 letters A to J of many fonts, (n, 1, 28, 28) in [0, 1]: outside Fashion-MNIST (idx files in a folder).

    Source: Bulatov, notMNIST, 2011. Looked for in $CALMIX_DATA/notmnist, and in or beside data_dir.

    Raises DataError if the file is missing or broken.
    """
    stem = "t10k-images-idx3-ubyte"
    return floats(read_idx_images(_folder("notmnist", f"{stem}*", data_dir), stem))


def tiny_imagenet_ood(data_dir: Path | None = None) -> Tensor:
    """2,000 photographs of Tiny-ImageNet at 32 x 32, (n, 3, 32, 32) in [0, 1]: outside CIFAR-10 (parquet files).

    Source: Le and Yang, Tiny ImageNet, 2015. Looked for in $CALMIX_DATA/tiny_imagenet_ood, and in or beside data_dir.
    Some of its 200 classes are animals and vehicles, too, so no detector is perfect.

    Raises DataError if the files are missing or broken.
    """
    return floats(read_shards(_folder("tiny_imagenet_ood", "test-*.parquet", data_dir), "test"))


@dataclass(frozen=True)
class OODSet:
    """A set of OOD_SETS, by its name. data_dir: the folder that the data came from, if one was given.

    Raises:
        UnknownNameError: no such set.
    """

    name: str
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.name not in OOD_SETS:
            raise UnknownNameError("OOD set", self.name, OOD_SETS)

    def images(self, splits: Splits) -> Tensor:
        """The images, standardised as the pixels of `splits` are (n, C, H, W)."""
        return load_ood(self.name, splits, self.data_dir)


OOD_SETS: dict[str, Callable[[Path | None], Tensor]] = {"notmnist": notmnist, "tiny_imagenet_ood": tiny_imagenet_ood}


def load_ood(name: str, splits: Splits, data_dir: Path | None = None) -> Tensor:
    """The OOD set `name`, standardised as the pixels of `splits` are; (n, C, H, W).

    data_dir is the folder that `splits` came from, if one was given: sets beside it are found.

    Raises:
        UnknownNameError: no such set.
        SettingError: the data are not images.
        ShapeError: their images have another shape.
        DataError: files that are missing or broken.
    """
    if name not in OOD_SETS:
        raise UnknownNameError("OOD set", name, OOD_SETS)
    about = splits.about
    if about.kind != "image":
        raise SettingError(f"OOD sets are images, and {about.name} is a {about.kind}; leave --ood out.")
    if not about.pixel_mean:
        raise SettingError(f"OOD sets have pixels from 0 to 1; rescale those of {about.name}.")
    pixels = OOD_SETS[name](data_dir)
    shape, expected = pixels.shape[1:], splits.train.shape
    if shape != expected:
        raise ShapeError(
            f"{name} has images of {_size(shape)}, and {about.name} of {_size(expected)}; "
            "give --ood a set of the same shape, or leave it out."
        )
    mean, std = (torch.tensor(values)[:, None, None] for values in (about.pixel_mean, about.pixel_std))
    return pixels.sub_(mean).div_(std)


def _folder(name: str, pattern: str, data_dir: Path | None) -> Path:
    return find_companion(name, pattern, data_dir, ADVICE.format(name=name))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
