"""Images: both papers' classifications, and small sets of our own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from calmix.core.method import Method, Scheduled
from calmix.data import DataSource, NamedSet, OODSet, Splits
from calmix.data.folders import find_companion, find_folder
from calmix.data.image_files.published import PublishedImages, find_published
from calmix.data.images import DEBIAN
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mit import mit_a
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import Logit, mixup_e
from calmix.methods.one_sided import input_mixup
from calmix.methods.rankmixup import MNDCG, rankmixup
from calmix.methods.regmixup import regmixup
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models import MODELS, ModelFactory, resnet
from calmix.report.sentences import counted
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import Robustness, TrainingSettings

_SMOKE, _SMOKE_BATCH = Size(2, 1, 200), 32
_FEW_HELD_OUT = 100  # rows of each split that is not trained on, at the smallest scale
_MIXUP_E = mixup_e(eta=0.001, alpha=2.0, slope=Logit(threshold=1.0))  # as the authors' README runs it


@dataclass(frozen=True)
class Few:
    """A source whose splits that are not trained on have at most so many rows: for a look at whether all works."""

    source: DataSource
    held_out: int = _FEW_HELD_OUT

    @property
    def train_size(self) -> int | None:
        return self.source.train_size

    def splits(self, seed: int) -> Splits:
        splits = self.source.splits(seed)
        first = slice(self.held_out)
        parts = {part: getattr(splits, part).part(first) for part in ("validation", "calibration", "test")}
        about = replace(splits.about, name=f"{splits.about.name}_few")  # votes of people are of all test rows
        given = splits.given and replace(splits.given, test=splits.given.test[first])
        return replace(splits, **parts, about=about, given=given)

    def whole(self) -> "Few":
        return replace(self, source=self.source.whole())


# ------------------------------------------------------------------------------------- Similarity Kernel Mixup


@dataclass(frozen=True)
class _Published:
    """Settings of the authors' configuration files. steps: of the learning rate, in epochs; () is a cosine.

    on_test: whether their validation and calibration rows are the test rows. tau_max, tau_std: of the kernel. mixed:
    alpha of Mixup, input-only and Manifold Mixup. mit, rank: alpha of MIT and of RankMixup.
    """

    epochs: int
    batch_size: int
    steps: tuple[int, ...]
    on_test: bool
    tau_max: float = 1.0
    tau_std: float = 0.25
    mixed: float = 0.2
    mit: float = 1.0
    rank: float = 2.0

    @property
    def schedule(self) -> str:
        return f"steps(at={[step / self.epochs for step in self.steps]})" if self.steps else "cosine"


SK_SETTINGS: Mapping[tuple[str, str], _Published] = {
    ("cifar10", "resnet34"): _Published(200, 128, (100, 150), True),
    ("cifar10", "resnet101"): _Published(200, 128, (80, 120), False),
    ("cifar100", "resnet34"): _Published(200, 128, (100, 150), True),
    ("cifar100", "resnet101"): _Published(200, 128, (80, 120), False),
    ("tiny_imagenet", "resnet50"): _Published(100, 64, (40, 60), True, 1.0, 1.25, rank=1.0),
    ("tiny_imagenet", "resnet101"): _Published(100, 64, (40, 60), False, 1.0, 1.25, rank=1.0),
    ("imagenet", "resnet50"): _Published(100, 256, (), True, 0.1, 0.25, mixed=0.1, mit=0.1, rank=0.1),
}
_SK_SOURCE = "Bouniot et al., ICLR 2025 (arXiv 2311.01434), and the configuration files of its code."


def sk_images(scale: str, name: str, network: str, data_dir: Path | None = None) -> Experiment:
    """Similarity Kernel Mixup on images: SGD with Nesterov momentum, learning rate 0.1, weight decay 0.0001.

    name, network: a key of SK_SETTINGS, which holds the other settings.
    Source: Bouniot et al., ICLR 2025 (arXiv 2311.01434), and the configuration files of its code.
    """
    published = SK_SETTINGS[name, network]
    seeds = 1 if name == "imagenet" else 5
    size = size_of(scale, _SMOKE, _SMALL[name], Size(seeds, published.epochs))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=_SMOKE_BATCH if scale == "smoke" else published.batch_size,
        schedule=published.schedule,
        learning_rate=0.1,
        weight_decay=1e-4,
        augment="resized_crop" if name == "imagenet" else "auto",
    )
    kernel = published.tau_max, published.tau_std
    methods = with_controls(
        {
            "input_mixup": input_mixup(published.mixed),
            "manifold_mixup": manifold_mixup(published.mixed),
            "mit_a": mit_a(published.mit, margin=0.5),
            "regmixup": regmixup(10.0),
            "rankmixup": rankmixup(published.rank, weight=0.1, ranking=MNDCG()),
            "sk_mixup": sk_mixup(*kernel),
            "mixup_e": _MIXUP_E,
            "sk_mixup_e": sk_mixup_e(*kernel, eta=0.001, slope=Logit(threshold=1.0)),
        },
        mixup(published.mixed),
    )
    judged = (
        "The published code keeps the epoch of the highest accuracy on rows that it also tests on, and fits the "
        "temperature on them. Here the last epoch is kept, and the temperature fitted on a tenth of the training part; "
        "as published, the epoch of the lowest loss on test rows is kept."
        if published.on_test
        else "The published code keeps the epoch of the highest accuracy on a tenth of the training part, on which it "
        "fits the temperature, too; here the last epoch is kept. The test rows choose nothing, there as here."
    )
    return Experiment(
        _comparison(scale, name, network, size, settings, methods, data_dir),
        _SK_SOURCE,
        (
            Claim("sk_mixup", "mixup", "accuracy"),
            Claim("sk_mixup", "erm", "accuracy"),
            Claim("sk_mixup", "mixup", "ece"),
            Claim("sk_mixup", "mixup", "ece", "scaled"),
            Claim("sk_mixup", "mixup", "brier", "scaled"),
            Claim("sk_mixup", "mixup", "nll", "scaled"),
        ),
        (
            judged,
            "The published code moves batch norm's statistics with the clean pass of the kernel; here mixed rows alone "
            "move them, and mixup_idle says what such a pass does by itself.",
            "MixupE is that of its authors' README for CIFAR-100; it, its combination with the kernel, auto and the "
            "controls are not in the paper's experiment, nor are all baselines for every network.",
            *_borders(name),
            *_scaled_down(scale, network, size),
        ),
        judged_on_test=published.on_test,
    )


# ----------------------------------------------------------------------------------------------------- MixupE

WARM_UP, STEPS, EPOCHS = 10, (300, 600), 800  # of the README's run
_MIXUP_E_SOURCE = "Zou et al., UAI 2023 (arXiv 2212.13381), and the run on CIFAR-100 in the README of its code."


def mixup_e_images(scale: str, name: str, network: str, data_dir: Path | None = None) -> Experiment:
    """MixupE on images: alpha = 2, eta = 0.001, version 3 with threshold 1; 800 epochs, batches of 100.

    SGD with Nesterov momentum, weight decay 0.0001; the learning rate rises to 0.1 in 10 epochs and falls by ten after
    300 and 600.
    Source: Zou et al., UAI 2023 (arXiv 2212.13381), and the run on CIFAR-100 in the README of its code.
    """
    size = size_of(scale, _SMOKE, _SMALL[name], Size(5, EPOCHS))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=_SMOKE_BATCH if scale == "smoke" else 100,
        schedule=f"steps(at={[step / EPOCHS for step in STEPS]}, warm_up={WARM_UP / EPOCHS})",
        learning_rate=0.1,
        weight_decay=1e-4,
    )
    tau = 1.0, 1.25 if name == "tiny_imagenet" else 0.25  # as published by Bouniot et al.
    methods = with_controls(
        {
            "manifold_mixup": manifold_mixup(2.0, sites=(None, "layer1", "layer2")),
            "sk_mixup": sk_mixup(*tau),
            "mixup_e": _MIXUP_E,
            "sk_mixup_e": sk_mixup_e(*tau, eta=0.001, slope=Logit(threshold=1.0)),
        },
        mixup(2.0),
    )
    others = (
        ()
        if (name, network) == ("cifar100", "preact_resnet50")
        else ("Settings of this set and network were not at hand: they are those of the README's run on CIFAR-100.",)
    )
    stride = "The published code halves the images of this set in the first convolution; here nothing does."
    return Experiment(
        _comparison(scale, name, network, size, settings, methods, data_dir),
        _MIXUP_E_SOURCE,
        (
            Claim("mixup_e", "erm", "accuracy"),
            Claim("mixup_e", "mixup", "accuracy"),
            Claim("mixup_e", "manifold_mixup", "accuracy"),
        ),
        (
            "The published code trains on the whole training part and reports the highest accuracy on test rows over "
            "all epochs. Here a tenth of that part is for calibration and a fiftieth for validation, and the last "
            "epoch is kept; as published, the epoch of the lowest loss on test rows is kept, and the temperature "
            "fitted on them (the paper has none).",
            *others,
            *((stride,) if name == "tiny_imagenet" else ()),
            "Mixup and Manifold Mixup have alpha = 2, as MixupE has, so that its term alone differs.",
            "The published warm-up rises by steps of an epoch from 0.01 to 0.11; here it rises by batches from 0 to "
            "0.1. Its mean of the inputs is that of the training set, here that of the batch; its clean pass moves "
            "batch norm's statistics, here it does not.",
            *_borders(name),
            *_scaled_down(scale, network, size),
        ),
        judged_on_test=True,
    )


# ------------------------------------------------------------------------------------------------ sets of ours


def few_images(scale: str, name: str, count: int, data_dir: Path | None = None) -> Experiment:
    """So many training images, a small residual network, images of no class and corrupted ones.

    name: `fashion_mnist` or `cifar10`. count: of training images; 60,000 of Fashion-MNIST are the official training
    part, of which 54,000 are trained on. Source: ours, for claims of both papers.
    """
    epochs = {1_000: 30, 2_000: 30, 5_000: 15, 60_000: 3}[count]  # of few images all are then known by heart
    rows = None if count == 60_000 else count
    size = size_of(scale, _SMOKE, Size(5, epochs, rows), Size(5, 4 * epochs, rows))
    settings = TrainingSettings(epochs=size.epochs, batch_size=_SMOKE_BATCH if scale == "smoke" else 64)
    methods = with_controls(
        {
            "input_mixup": input_mixup(),
            "manifold_mixup": manifold_mixup(),
            "regmixup": regmixup(),
            "sk_mixup": sk_mixup(),
            "mixup_e": mixup_e(),
            "sk_mixup_e": sk_mixup_e(),
        }
    )
    ood = "notmnist" if name == "fashion_mnist" else "tiny_imagenet_ood"
    families = _FAMILIES[:1] if scale == "smoke" else _FAMILIES
    comparison = _comparison(scale, name, "resnet", size, settings, methods, data_dir)
    find_companion(ood, "t10k-images-idx3-ubyte*" if ood == "notmnist" else "test-*.parquet", data_dir, _OOD[ood])
    robustness = Robustness((OODSet(ood, data_dir),), families, data_dir)
    trained = "54,000 of them are trained on; 1,000 and 5,000 are for validation and calibration."
    return Experiment(
        replace(comparison, robustness=robustness),
        "Ours, for claims of Bouniot et al., ICLR 2025 (arXiv 2311.01434) and Zou et al., UAI 2023 (arXiv 2212.13381).",
        (
            Claim("sk_mixup", "mixup", "accuracy"),
            Claim("sk_mixup", "mixup", "ece"),
            Claim("sk_mixup", "mixup", "nll"),
            Claim("sk_mixup", "erm", "ece"),
            Claim("sk_mixup", "mixup", "nll", "scaled"),
            Claim("mixup_e", "erm", "accuracy"),
            Claim("mixup_e", "mixup", "accuracy"),
        ),
        (
            "No paper has this experiment: the network, the number of images and the settings are ours, and every "
            "method has its own defaults.",
            *((trained,) if count == 60_000 else ("Validation and calibration rows, 1,000 and 5,000, are extra.",)),
            *_scaled_down(scale, "resnet", size, ours=True),
        ),
    )


# -------------------------------------------------------------------------------------------------------- parts

_FAMILIES = ("gaussian_noise", "defocus_blur", "contrast", "jpeg")  # of corruptions: one of each kind
_SMALL: Mapping[str, Size] = {  # hours on two cores, with a small residual network
    "cifar10": Size(3, 20, 2_000),
    "cifar100": Size(3, 20, 5_000),
    "svhn": Size(3, 20, 2_000),
    "tiny_imagenet": Size(2, 8, 4_000),
    "imagenet": Size(2, 5, 20_000),
}
_GET = "get {what} and name their folder with --data-dir, or put it where CALMIX_DATA says, as {name}"
_NAMED: Mapping[str, tuple[str, str, str]] = {  # a file, what to get, and the name of its folder
    "cifar10": ("train-*.parquet", "the parquet files train-* and test-* of the hub's uoft-cs/cifar10", "cifar10"),
    "fashion_mnist": (
        "train-images-idx3-ubyte*",
        "the four idx files of Fashion-MNIST (Debian's package dataset-fashion-mnist has them)",
        "fashion_mnist",
    ),
}
_OOD: Mapping[str, str] = {
    "notmnist": "get notMNIST as idx files (davidflanagan/notMNIST-to-MNIST) and put them into a folder notmnist "
    "where CALMIX_DATA says, or beside the images",
    "tiny_imagenet_ood": "put 2,000 images of Tiny-ImageNet at 32 x 32 pixels, as a parquet file test-*.parquet with "
    "the columns img and label, into a folder tiny_imagenet_ood where CALMIX_DATA says, or beside the images",
}


def _comparison(
    scale: str,
    name: str,
    network: str,
    size: Size,
    settings: TrainingSettings,
    methods: Mapping[str, Method | Scheduled],
    data_dir: Path | None,
) -> Comparison:
    """Of a network as published at the scale `paper`, and a small one at the others."""
    model: ModelFactory = MODELS[network] if scale == "paper" else resnet
    source = _source(scale, name, size.train_size, data_dir)
    return Comparison(source, methods, model, settings, size.seeds, own_settings=longer(settings))


def _source(scale: str, name: str, train_size: int | None, data_dir: Path | None) -> DataSource:
    """The set, found; raise DataError with what to get where it is not there."""
    smoke = scale == "smoke"
    if name in _NAMED:
        file, what, folder = _NAMED[name]
        more = [DEBIAN] if name == "fashion_mnist" else []
        find_folder(name, file, data_dir, more, _GET.format(what=what, name=folder))
        named = NamedSet(name, train_size, data_dir=data_dir)
        return Few(named) if smoke else named
    side = 32 if smoke or (name, scale) == ("imagenet", "small") else 224 if name == "imagenet" else None
    folder = find_published(name, data_dir)
    return PublishedImages(name, folder, side, few=smoke, train_size=None if smoke else train_size)


def _borders(name: str) -> tuple[str, ...]:
    """How the augmentation differs."""
    if name == "imagenet":
        return (
            "The middle square of each image is scaled to 224 pixels once, and parts of it are cut and enlarged; the "
            "published code cuts them from the whole image.",
        )
    if name == "svhn":
        return ("Images are not augmented; the published code shifts them by up to 2 pixels.",)
    return ("Images are shifted by up to 4 pixels with a reflected border; the published code has a black one.",)


def _scaled_down(scale: str, network: str, size: Size, ours: bool = False) -> tuple[str, ...]:
    if scale == "paper":
        return ()
    rows = "all rows" if size.train_size is None else f"at most {size.train_size:,} rows"
    instead = "" if ours else f", with a small residual network in place of {network}"
    return (f"At the scale {scale}, {counted(size.epochs, 'epoch')} of {rows} to train on{instead}.",)
