"""EXPERIMENTS: the only table of their names. Nothing heavy is imported to list them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCALES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Entry:
    """What a list says of an experiment, and where it is made.

    stands_for: the paper's experiment. data: what must be at hand. minutes: of CPU time on one core, at each of SCALES,
    to plan by: of runs, or estimated from the time of a step. gpu_hours: of `paper` on
    one data-centre GPU, estimated; None where there is no point in a GPU. make: module below `calmix.reproduction`, and
    function in it. options: further arguments of it.
    """

    stands_for: str
    data: str
    minutes: tuple[float, float, float]
    make: tuple[str, str]
    options: Mapping[str, str | int | float] = field(default_factory=dict)
    gpu_hours: float | None = None


def _uci(name: str, rows: int, columns: int, minutes: tuple[float, float, float], **options: Any) -> Entry:
    data = f"{name}.csv, last column target, and {name}.splits.npz"
    stands_for = f"SK Mixup, regression: {name}, {rows:,} rows with their published lists of test rows"
    return Entry(
        stands_for, data, minutes, ("regression", "uci"), {"name": name, "rows": rows, "columns": columns, **options}
    )


def _table(name: str, rows: int, columns: int, classes: int, minutes: tuple[float, float, float]) -> Entry:
    options = {"name": name, "rows": rows, "columns": columns, "classes": classes}
    return Entry(f"MixupE, tables: {name}", f"{name}.csv, last column target", minutes, ("tabular", "table"), options)


def _forecasts(name: str, title: str, file: str, minutes: tuple[float, float, float], gpu_hours: float) -> Entry:
    stands_for = f"SK Mixup, time series: {title}"
    return Entry(stands_for, file, minutes, ("series", "forecasts"), {"name": name}, gpu_hours)


def _speech(
    title: str,
    data: str,
    minutes: tuple[float, float, float],
    make: str,
    gpu_hours: float | None = None,
    **options: bool,
) -> Entry:
    return Entry(f"MixupE, speech: {title}", data, minutes, ("speech", make), options, gpu_hours)


def _graphs(name: str, minutes: tuple[float, float, float]) -> Entry:
    """Labelled graphs."""
    data = f"graphs/TUDataset/{name}/raw"
    return Entry(f"MixupE, graphs: {name}", data, minutes, ("graphs", "graph_classification"), {"name": name})


def _nodes(name: str, minutes: tuple[float, float, float]) -> Entry:
    """One graph whose nodes are labelled."""
    data = f"graphs/Planetoid/{name}/raw"
    return Entry(f"MixupE, nodes of a graph: {name}", data, minutes, ("graphs", "node_classification"), {"name": name})


def _images(
    make: str, stands_for: str, data: str, minutes: tuple[float, float, float], gpu_hours: float, **options: str | int
) -> Entry:
    return Entry(stands_for, data, minutes, ("images", make), options, gpu_hours)


_COMMANDS = "speech_commands_v0.02, unpacked"

_CIFAR10 = "CIFAR-10, parquet files of the hub"
_CIFAR100, _SVHN, _TINY, _IMAGENET = (
    f"{name}, parquet files of the hub or image folders" for name in ("CIFAR-100", "SVHN", "Tiny-ImageNet", "ImageNet")
)
_FASHION = "Fashion-MNIST, four idx files; notMNIST"
_CIFAR10_OOD = f"{_CIFAR10}; 2,000 images of Tiny-ImageNet"

EXPERIMENTS: Mapping[str, Entry] = {
    "sk-mixup/airfoil": Entry(
        "SK Mixup, regression: Airfoil self-noise",
        "airfoil.csv, last column target",
        (1, 25, 25),
        ("regression", "airfoil"),
    ),
    "sk-mixup/yacht": _uci("yacht", 308, 7, (1, 2, 10)),
    "sk-mixup/boston": _uci("bostonHousing", 506, 14, (1, 3, 15)),
    "sk-mixup/energy": _uci("energy", 768, 9, (1, 4, 18)),
    "sk-mixup/concrete": _uci("concrete", 1_030, 9, (1, 6, 30)),
    "sk-mixup/wine": _uci("wine_quality_red", 1_599, 12, (1, 9, 45)),
    "sk-mixup/kin8nm": _uci("kin8nm", 8_192, 9, (1, 19, 95), batch_size=64),
    "sk-mixup/power-plant": _uci("power_plant", 9_568, 5, (1, 22, 110), batch_size=64),
    "sk-mixup/naval": _uci("naval_propulsion_plant", 11_934, 17, (1, 27, 135), batch_size=64),
    "mixup-e/arrhythmia": _table("arrhythmia", 452, 280, 13, (1, 2, 2)),
    "mixup-e/letter": _table("letter", 20_000, 17, 26, (1, 8, 60)),
    "mixup-e/balance_scale": _table("balance_scale", 625, 5, 3, (1, 2, 2)),
    "mixup-e/mfeat_factors": _table("mfeat_factors", 2_000, 217, 10, (1, 7, 7)),
    "mixup-e/mfeat_fourier": _table("mfeat_fourier", 2_000, 77, 10, (1, 7, 7)),
    "mixup-e/mfeat_karhunen": _table("mfeat_karhunen", 2_000, 65, 10, (1, 7, 7)),
    "mixup-e/mfeat_morphological": _table("mfeat_morphological", 2_000, 7, 10, (1, 6, 6)),
    "mixup-e/mfeat_pixel": _table("mfeat_pixel", 2_000, 241, 10, (1, 7, 7)),
    "mixup-e/mfeat_zernike": _table("mfeat_zernike", 2_000, 48, 10, (1, 6, 6)),
    "mixup-e/cmc": _table("cmc", 1_473, 10, 3, (1, 4, 4)),
    "mixup-e/optdigits": _table("optdigits", 5_620, 65, 10, (1, 8, 16)),
    "mixup-e/pendigits": _table("pendigits", 10_992, 17, 10, (1, 8, 30)),
    "mixup-e/iris": _table("iris", 150, 5, 3, (1, 1, 1)),
    "mixup-e/abalone": _table("abalone", 4_177, 9, 28, (1, 8, 11)),
    "sk-mixup/exchange-rate": _forecasts("exchange-rate", "Exchange-Rate", "exchange_rate.txt", (1, 27, 2600), 2),
    "sk-mixup/electricity": _forecasts("electricity", "Electricity", "electricity.txt", (2, 90, 16000), 7),
    "sk-mixup/etth1": _forecasts("etth1", "ETTh1 as a second set", "ETTh1.csv", (1, 35, 6000), 4),
    "mixup-e/fsdd": _speech("spoken digits", "FSDD, its folder recordings", (1, 40, 280), "fsdd", 0.5),
    "mixup-e/fsdd-speakers": _speech(
        "spoken digits of unseen speakers", "FSDD, its folder recordings", (1, 50, 340), "fsdd", 0.6, by_speaker=True
    ),
    "mixup-e/speech-commands": _speech("Google Speech Commands", _COMMANDS, (1, 120, 17000), "speech_commands", 12),
    "mixup-e/speech-commands-vgg11": _speech(
        "Google Speech Commands, VGG-11", _COMMANDS, (1, 150, 160000), "speech_commands", 15, vgg=True
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
    "sk-mixup/cifar10": _images(
        "sk_images",
        "SK Mixup, classification: CIFAR-10, ResNet-34",
        _CIFAR10,
        (3, 210, 3_500_000),
        170,
        name="cifar10",
        network="resnet34",
    ),
    "sk-mixup/cifar10-resnet101": _images(
        "sk_images",
        "SK Mixup, classification: CIFAR-10, ResNet-101",
        _CIFAR10,
        (3, 80, 3_800_000),
        190,
        name="cifar10",
        network="resnet101",
    ),
    "sk-mixup/cifar100": _images(
        "sk_images",
        "SK Mixup, classification: CIFAR-100, ResNet-34",
        _CIFAR100,
        (3, 400, 3_500_000),
        170,
        name="cifar100",
        network="resnet34",
    ),
    "sk-mixup/cifar100-resnet101": _images(
        "sk_images",
        "SK Mixup, classification: CIFAR-100, ResNet-101",
        _CIFAR100,
        (3, 170, 3_800_000),
        190,
        name="cifar100",
        network="resnet101",
    ),
    "sk-mixup/tiny-imagenet": _images(
        "sk_images",
        "SK Mixup, classification: Tiny-ImageNet, ResNet-50",
        _TINY,
        (3, 350, 16_000_000),
        780,
        name="tiny_imagenet",
        network="resnet50",
    ),
    "sk-mixup/tiny-imagenet-resnet101": _images(
        "sk_images",
        "SK Mixup, classification: Tiny-ImageNet, ResNet-101",
        _TINY,
        (3, 160, 15_000_000),
        770,
        name="tiny_imagenet",
        network="resnet101",
    ),
    "sk-mixup/imagenet": _images(
        "sk_images",
        "SK Mixup, classification: ImageNet, ResNet-50",
        _IMAGENET,
        (3, 600, 32_000_000),
        1600,
        name="imagenet",
        network="resnet50",
    ),
    "mixup-e/cifar10": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-10, PreActResNet-18",
        _CIFAR10,
        (2, 150, 3_800_000),
        190,
        name="cifar10",
        network="preact_resnet18",
    ),
    "mixup-e/cifar10-resnet34": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-10, PreActResNet-34",
        _CIFAR10,
        (2, 150, 7_800_000),
        390,
        name="cifar10",
        network="preact_resnet34",
    ),
    "mixup-e/cifar10-resnet50": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-10, PreActResNet-50",
        _CIFAR10,
        (2, 150, 8_800_000),
        440,
        name="cifar10",
        network="preact_resnet50",
    ),
    "mixup-e/cifar10-wide": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-10, WRN-28-10",
        _CIFAR10,
        (2, 150, 35_000_000),
        1800,
        name="cifar10",
        network="wide_resnet",
    ),
    "mixup-e/cifar100": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-100, PreActResNet-50",
        _CIFAR100,
        (2, 260, 8_800_000),
        440,
        name="cifar100",
        network="preact_resnet50",
    ),
    "mixup-e/cifar100-resnet18": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-100, PreActResNet-18",
        _CIFAR100,
        (2, 260, 3_800_000),
        190,
        name="cifar100",
        network="preact_resnet18",
    ),
    "mixup-e/cifar100-resnet34": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-100, PreActResNet-34",
        _CIFAR100,
        (2, 260, 7_800_000),
        390,
        name="cifar100",
        network="preact_resnet34",
    ),
    "mixup-e/cifar100-wide": _images(
        "mixup_e_images",
        "MixupE, classification: CIFAR-100, WRN-28-10",
        _CIFAR100,
        (2, 260, 35_000_000),
        1800,
        name="cifar100",
        network="wide_resnet",
    ),
    "mixup-e/svhn": _images(
        "mixup_e_images",
        "MixupE, classification: SVHN, PreActResNet-18",
        _SVHN,
        (2, 230, 5_500_000),
        280,
        name="svhn",
        network="preact_resnet18",
    ),
    "mixup-e/tiny-imagenet": _images(
        "mixup_e_images",
        "MixupE, classification: Tiny-ImageNet, PreActResNet-18",
        _TINY,
        (2, 230, 30_000_000),
        1500,
        name="tiny_imagenet",
        network="preact_resnet18",
    ),
    "calmix/fashion-mnist-1000": _images(
        "few_images",
        "Ours, for claims of both papers: 1,000 images of Fashion-MNIST",
        _FASHION,
        (2, 65, 180),
        1,
        name="fashion_mnist",
        count=1_000,
    ),
    "calmix/fashion-mnist-5000": _images(
        "few_images",
        "Ours, for claims of both papers: 5,000 images of Fashion-MNIST",
        _FASHION,
        (2, 120, 410),
        2,
        name="fashion_mnist",
        count=5_000,
    ),
    "calmix/fashion-mnist-60000": _images(
        "few_images",
        "Ours, for claims of both papers: all images of Fashion-MNIST",
        _FASHION,
        (2, 235, 855),
        3,
        name="fashion_mnist",
        count=60_000,
    ),
    "calmix/cifar10-2000": _images(
        "few_images",
        "Ours, for claims of both papers: 2,000 images of CIFAR-10",
        _CIFAR10_OOD,
        (2, 135, 450),
        2,
        name="cifar10",
        count=2_000,
    ),
    "calmix/cifar10-5000": _images(
        "few_images",
        "Ours, for claims of both papers: 5,000 images of CIFAR-10",
        _CIFAR10_OOD,
        (2, 142, 480),
        2,
        name="cifar10",
        count=5_000,
    ),
    "mixup-e/mutag": _graphs("MUTAG", (1, 6, 20)),
    "mixup-e/proteins": _graphs("PROTEINS", (1, 60, 200)),
    "mixup-e/nci1": _graphs("NCI1", (1, 190, 650)),
    "mixup-e/imdb-binary": _graphs("IMDB-BINARY", (1, 50, 165)),
    "mixup-e/cora": _nodes("Cora", (1, 8, 8)),
    "mixup-e/citeseer": _nodes("CiteSeer", (1, 12, 12)),
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
