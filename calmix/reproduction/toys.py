"""Two classes in the plane: Similarity Kernel Mixup where one can see what it does."""

from functools import partial
from pathlib import Path

from calmix.data import NamedSet
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models.perceptron import mlp
from calmix.reproduction.experiment import Claim, Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings


def toy(scale: str, name: str, data_dir: Path | None = None) -> Experiment:
    """300 points of two interleaved or nested classes; a perceptron of two hidden layers of 20.

    name: `two_moons` or `circles`. Points are drawn anew for every seed, so nothing is read from files.

    Source: Bouniot et al., ICLR 2025 (arXiv 2311.01434), its drawings of made data.
    Raises SettingError, once splits are drawn, where data_dir is given.

    >>> toy("smoke", "circles").comparison.recipes[0].network().head
    Linear(in_features=20, out_features=2, bias=True)
    """
    size = size_of(scale, smoke=Size(2, 20), small=Size(10, 200), paper=Size(10, 200))
    settings = TrainingSettings(
        epochs=size.epochs,
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.0,
        schedule="constant",
    )
    methods = with_controls({"sk_mixup": sk_mixup(), "mixup_e": mixup_e(), "sk_mixup_e": sk_mixup_e()})
    data = NamedSet(name, data_dir=data_dir)
    network = partial(mlp, width=20)
    comparison = Comparison(data, methods, network, settings, size.seeds, epochs=longer(size.epochs))
    return Experiment(
        comparison,
        "Bouniot et al., ICLR 2025 (arXiv 2311.01434), its drawings of made data.",
        (
            Claim("sk_mixup", "mixup", "accuracy"),
            Claim("sk_mixup", "mixup", "ece"),
            Claim("sk_mixup", "mixup", "nll"),
        ),
        (
            "The paper draws decision surfaces of these data and has no table of them, so the claims are what it says "
            "of classification in general. "
            f'The surfaces: calmix diagnose {name} --model "mlp(width=20)" --methods erm mixup sk_mixup '
            f"--labels-only --epochs {size.epochs} --optimizer adamw --learning-rate 0.01 --weight-decay 0 "
            f"--schedule constant --seeds {size.seeds}.",
            "How many points there are, their scatter, the optimizer and the number of epochs are ours.",
            "This network has no batch norm, so that mixup_idle is plain Mixup, run for run.",
        ),
    )
