"""Forecasts of time series: Similarity Kernel Mixup with LSTNet, in the set-up of C-Mixup's code."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calmix.data import NamedSet
from calmix.data.series import ELECTRICITY, ETTH1, EXCHANGE_RATE, Recorded
from calmix.methods.c_mixup import c_mixup
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.methods.wrappers import with_whole_set
from calmix.models.series import lstnet
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

TAU_MAX, TAU_STD = 5.0, 1.0  # published for Exchange-Rate
_CLAIMS = (
    Claim("sk_mixup", "erm", "rmse"),
    Claim("sk_mixup", "mixup", "rmse"),
    Claim("sk_mixup", "c_mixup", "rmse"),
    Claim("sk_mixup", "erm", "uce", "scaled"),
    Claim("sk_mixup", "mixup", "uce", "scaled"),
    Claim("sk_mixup", "erm", "ence", "scaled"),
    Claim("sk_mixup", "mixup", "ence", "scaled"),
)
_DEVIATIONS = (
    "Splits follow one another in time: 60 % to train on, 10 % to validate on, 10 % to scale deviations by, and 20 % "
    "to test on; the published code validates on 20 %, and has no rows to scale deviations by.",
    "The loss is that of the units trained on; the published code has the loss in the units of the file.",
    "The last batch of an epoch is not dropped.",
)


@dataclass(frozen=True)
class _Set:
    """A series and what is published of it. bandwidth: C-Mixup's. found: further deviations."""

    name: str  # in DATASETS
    file: Recorded
    bandwidth: float
    small: Size
    deviations: tuple[str, ...]


_SETS = {
    "exchange-rate": _Set(
        "exchange_rate_max",
        EXCHANGE_RATE,
        0.05,
        Size(5, 20, 1000),
        ("Rates are shares of their currency's largest in the train split; in the published code of all days.",),
    ),
    "electricity": _Set(
        "electricity",
        ELECTRICITY,
        0.5,
        Size(5, 10, 1000),
        (
            "Loads are shares of the customer's largest in the train split; in the published code of all hours.",
            "The published tau of Electricity was not at hand: it is that of Exchange-Rate.",
        ),
    ),
    "etth1": _Set(
        "etth1",
        ETTH1,
        1.0,
        Size(5, 20, 1000),
        (
            "The paper has no results on ETTh1: network, training and tau are those of Exchange-Rate.",
            "Measurements are in standard deviations, as some are negative.",
        ),
    ),
}


def forecasts(scale: str, data_dir: Path | None = None, *, name: str) -> Experiment:
    """A series of which 168 steps tell one that follows: LSTNet, 100 epochs, the best by validation, 50 passes.

    At the scales below `paper` the network is narrower, and there are fewer windows, passes, and rows of a batch.
    """
    one = _SETS[name]
    one.file.find(data_dir)
    size = size_of(scale, smoke=Size(2, 2, 128), small=one.small, paper=Size(10, 100))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=128 if scale == "paper" else 32,
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.0,
        schedule="constant",
        select="best",
        dropout_passes={"smoke": 2, "small": 10, "paper": 50}[scale],
        max_grad_norm=0.0,
    )
    methods = {
        "manifold_mixup": manifold_mixup(),
        "c_mixup": c_mixup(one.bandwidth, alpha=1.5),
        "sk_mixup": with_whole_set(sk_mixup(TAU_MAX, TAU_STD)),
        "mixup_e": mixup_e(),
        "sk_mixup_e": sk_mixup_e(TAU_MAX, TAU_STD),
    }
    width = {"smoke": 8, "small": 32}.get(scale)
    model = lstnet if width is None else partial(lstnet, width=width)
    data = NamedSet(one.name, size.train_size, data_dir=data_dir)
    every = with_controls(methods, with_whole_set(mixup()), classes=False)
    narrower = () if width is None else (f"At this scale LSTNet has a width of {width}, not 100, and batches 32 rows.",)
    return Experiment(
        Comparison(data, every, model, settings, size.seeds, own_settings=longer(settings)),
        "Bouniot et al., ICLR 2025 (arXiv 2311.01434), in the set-up of C-Mixup's code (arXiv 2210.05775); LSTNet: Lai "
        "et al., SIGIR 2018 (arXiv 1703.07015).",
        _CLAIMS,
        (*one.deviations, *_DEVIATIONS, *narrower),
    )
