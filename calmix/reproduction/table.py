"""EXPERIMENTS: the only table of their names. Nothing heavy is imported to list them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCALES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Entry:
    """What a list says of an experiment, and where it is made.

    stands_for: the paper's experiment. data: what must be at hand. minutes: of CPU time on one core, at each of SCALES,
    as measured or, above a day, estimated. gpu_hours: of `paper` on one data-centre GPU, estimated; None where there is
    no point in a GPU. make: module below `calmix.reproduction`, and function in it. options: further arguments of it.
    """

    stands_for: str
    data: str
    minutes: tuple[float, float, float]
    make: tuple[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    gpu_hours: float | None = None


_CIFAR10 = "CIFAR-10, parquet files of the hub"
_CIFAR100, _SVHN, _TINY, _IMAGENET = (
    f"{name}, parquet files of the hub or image folders" for name in ("CIFAR-100", "SVHN", "Tiny-ImageNet", "ImageNet")
)
EXPERIMENTS: Mapping[str, Entry] = {
    "sk-mixup/airfoil": Entry(
        "SK Mixup, regression: Airfoil self-noise",
        "airfoil.csv, last column target",
        (1, 20, 20),
        ("regression", "airfoil"),
    ),
    "sk-mixup/two-moons": Entry(
        "SK Mixup, made data: two moons",
        "none",
        (0.6, 30, 30),
        ("toys", "toy"),
        {"name": "two_moons"},
    ),
    "sk-mixup/circles": Entry(
        "SK Mixup, made data: circles",
        "none",
        (0.6, 30, 30),
        ("toys", "toy"),
        {"name": "circles"},
    ),
    **{
        f"sk-mixup/{name}": Entry(
            f"SK Mixup, classification: {stands_for}",
            data,
            minutes,
            ("images", "sk_images"),
            {"name": data_set, "network": network},
            gpu_hours,
        )
        for name, stands_for, data, data_set, network, minutes, gpu_hours in (
            ("cifar10", "CIFAR-10, ResNet-34", _CIFAR10, "cifar10", "resnet34", (1, 1, 1), 1),
            ("cifar10-resnet101", "CIFAR-10, ResNet-101", _CIFAR10, "cifar10", "resnet101", (1, 1, 1), 1),
            ("cifar100", "CIFAR-100, ResNet-34", _CIFAR100, "cifar100", "resnet34", (1, 1, 1), 1),
            ("cifar100-resnet101", "CIFAR-100, ResNet-101", _CIFAR100, "cifar100", "resnet101", (1, 1, 1), 1),
            ("tiny-imagenet", "Tiny-ImageNet, ResNet-50", _TINY, "tiny_imagenet", "resnet50", (1, 1, 1), 1),
            ("tiny-imagenet-resnet101", "Tiny-ImageNet, ResNet-101", _TINY, "tiny_imagenet", "resnet101", (1, 1, 1), 1),
            ("imagenet", "ImageNet, ResNet-50", _IMAGENET, "imagenet", "resnet50", (1, 1, 1), 1),
        )
    },
}


def lasting(minutes: float) -> str:
    """A time in words.

    >>> lasting(0.5), lasting(45), lasting(90), lasting(6000)
    ('1 minute', '45 minutes', '1.5 hours', '4 days')
    """
    count, unit = (minutes, "minute") if minutes < 60 else (minutes / 60, "hour")
    count, unit = (count / 24, "day") if unit == "hour" and count >= 48 else (count, unit)
    rounded = round(count, 1) if unit == "hour" and count < 10 else max(1, round(count))
    return f"{rounded:g} {unit}{'' if rounded == 1 else 's'}"
