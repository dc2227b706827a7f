"""Spoken words: MixupE with LeNet and VGG-11 on log-mel spectrograms."""

from functools import partial
from pathlib import Path

from calmix.data import DataSource
from calmix.data.folders import find_folder
from calmix.data.spoken import TESTING, SpeechCommands, SpokenDigits
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import Logit, mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models import ModelFactory
from calmix.models.convolutional import lenet, vgg11
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

ETA, ALPHA, SLOPE = 0.001, 2.0, Logit(threshold=1.0)  # of MixupE, as its authors' README has them
SHARES = {"smoke": 0.01, "small": 0.05, "paper": 1.0}  # of the speakers of Google Speech Commands
_CLAIMS = (
    Claim("mixup_e", "erm", "accuracy"),
    Claim("mixup_e", "mixup", "accuracy"),
    Claim("sk_mixup", "erm", "ece"),
    Claim("sk_mixup", "mixup", "ece"),
    Claim("sk_mixup", "mixup", "ece", "scaled"),
)
_SOURCE = (
    "Zou et al., UAI 2023 (arXiv 2212.13381), its experiments on speech, in the set-up of Mixup's on Google Speech "
    "Commands (Zhang et al., ICLR 2018, arXiv 1710.09412); Similarity Kernel Mixup has none on speech."
)
_DEVIATIONS = (
    "The paper's settings on speech could not be obtained: eta, alpha and threshold are those of its README on "
    "CIFAR-100, and Mixup has the same alpha.",
    "Sounds are log-mel spectrograms of 25 ms windows every 10 ms; Mixup's code has spectrograms of 20 ms windows.",
    "Convolutions of LeNet are padded; VGG-11 ends in a mean and one linear layer.",
    "There is no warm-up of the learning rate and no patience: the epoch of the lowest validation loss is kept.",
)
_NARROWER = {
    "smoke": "At this scale the network is narrower, and a batch has 20 rows.",
    "small": "At this scale the network is narrower.",
}
_FSDD = "FSDD is not among the paper's data; it stands for Google Speech Commands, and is at hand."


def fsdd(scale: str, data_dir: Path | None = None, *, by_speaker: bool = False) -> Experiment:
    """Spoken digits (3,000 recordings): takes 0 to 4 are tested, or one of six speakers a seed. LeNet, 30 epochs."""
    advice = (
        "get github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0), and name its folder recordings with "
        "--data-dir"
    )
    folder = find_folder("speech/fsdd/recordings", "*.wav", data_dir, [], advice)
    smoke = Size(6, 1, 60) if by_speaker else Size(2, 4, 300)
    rounds = Size(6, 30) if by_speaker else Size(5, 30)
    paper = Size(12, 30) if by_speaker else Size(10, 30)
    size = size_of(scale, smoke, rounds, paper)
    model = lenet if scale == "paper" else _narrow_lenet(scale)
    narrower = () if scale == "paper" else (_NARROWER[scale],)
    return _experiment(scale, SpokenDigits(folder, by_speaker, size.train_size), model, size, (_FSDD, *narrower))


def speech_commands(scale: str, data_dir: Path | None = None, *, vgg: bool = False) -> Experiment:
    """Google Speech Commands with its official lists: LeNet, or with vgg VGG-11, 30 epochs.

    At the scale `smoke` of a hundredth of its speakers, at `small` of a twentieth.
    """
    advice = (
        "get speech_commands_v0.02.tar.gz (CC BY 4.0) from download.tensorflow.org/data, unpack it, and name its "
        "folder with --data-dir"
    )
    folder = find_folder("speech/speech_commands", TESTING, data_dir, [], advice)
    size = size_of(scale, smoke=Size(2, 1), small=Size(5, 15), paper=Size(5, 30))
    share = SHARES[scale]
    model = vgg11 if vgg else lenet
    if scale != "paper":
        model = partial(vgg11, width=8) if vgg else partial(lenet, hidden=200)
    narrower = () if scale == "paper" else (_NARROWER[scale], f"At this scale {share:.0%} of the speakers are heard.")
    return _experiment(scale, SpeechCommands(folder, share), model, size, narrower)


def _narrow_lenet(scale: str) -> ModelFactory:
    return partial(lenet, width=6, hidden=50) if scale == "smoke" else partial(lenet, width=10, hidden=200)


def _experiment(
    scale: str, data: DataSource, model: ModelFactory, size: Size, deviations: tuple[str, ...]
) -> Experiment:
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=100 if scale != "smoke" else 20,
        optimizer="adamw",
        learning_rate=0.003,
        weight_decay=0.0,
        schedule="steps(at=[0.3333, 0.6666])",  # of 30 epochs after 10 and 20
        select="best",
    )
    methods = {
        "sk_mixup": sk_mixup(),
        "mixup_e": mixup_e(ETA, ALPHA, SLOPE),
        "sk_mixup_e": sk_mixup_e(eta=ETA, slope=SLOPE),
    }
    return Experiment(
        Comparison(
            data, with_controls(methods, mixup(ALPHA)), model, settings, size.seeds, own_settings=longer(settings)
        ),
        _SOURCE,
        _CLAIMS,
        (*_DEVIATIONS, *deviations),
    )
