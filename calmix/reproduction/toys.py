"""Two classes in the plane: Similarity Kernel Mixup where one can see what it does."""

from functools import partial
from pathlib import Path

from calmix.core.space import Inputs
from calmix.data import NamedSet
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models.perceptron import mlp
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings


def toy(scale: str, name: str, data_dir: Path | None = None) -> Experiment:
    """70 points to train on, of two interleaved or nested classes; a perceptron of two hidden layers of 20.

    name: `two_moons` or `circles`. Points are drawn anew for every seed, so nothing is read from files.

    Source: Bouniot et al., ICLR 2025 (arXiv 2311.01434), and the scripts that draw its figures of made data.
    Raises SettingError, once splits are drawn, where data_dir is given.

    >>> toy("smoke", "circles").comparison.recipes[0].network().head
    Linear(in_features=20, out_features=2, bias=True)
    """
    size = size_of(scale, smoke=Size(2, 150, 70), small=Size(10, 5_000, 70), paper=Size(10, 5_000, 70))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=128,  # more than there are: each epoch is a step
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.0,
        schedule="constant",
    )
    kernel = {"tau_max": 5.0, "tau_std": 0.2, "space": Inputs()}
    methods = with_controls(
        {"sk_mixup": sk_mixup(**kernel), "mixup_e": mixup_e(alpha=5.0), "sk_mixup_e": sk_mixup_e(**kernel)},
        mixup(alpha=5.0),
    )
    data = NamedSet(name, size.train_size, data_dir=data_dir)
    network = partial(mlp, width=20)
    comparison = Comparison(data, methods, network, settings, size.seeds, own_settings=longer(settings))
    return Experiment(
        comparison,
        "Bouniot et al., ICLR 2025 (arXiv 2311.01434), and the scripts that draw its figures of made data.",
        (
            Claim("sk_mixup", "mixup", "accuracy"),
            Claim("sk_mixup", "mixup", "ece"),
            Claim("sk_mixup", "mixup", "nll"),
        ),
        (
            "The paper draws decision surfaces of these data and has no table of them, so the claims are what it says "
            "of classification in general. "
            f"The surfaces: calmix diagnose {name} --train-size {size.train_size} "
            '--model "mlp(width=20)" --methods erm mixup sk_mixup --set mixup.alpha=5 sk_mixup.tau_max=5 '
            f"sk_mixup.tau_std=0.2 --labels-only --epochs {size.epochs} --batch-size 128 --optimizer adamw "
            f"--learning-rate 0.001 --weight-decay 0 --schedule constant --seeds {size.seeds}; there the kernel "
            "measures distance between penultimate features.",
            "The kernel takes squared distances between inputs, as it does everywhere; the scripts take their roots.",
            "The network has the two hidden layers of 20 that the scripts name; their code builds the first alone.",
            "Points scatter by 0.2 and 0.13 (the scripts: 0.15 and 0.1), are standardised, and are drawn for every "
            "seed with 500 to calibrate on and 2,000 to test on (the scripts: one draw, 30 to test on).",
            "MixupE, its settings here, and auto are ours. This network has no batch norm, so mixup_idle is plain "
            "Mixup, run for run.",
        ),
    )
