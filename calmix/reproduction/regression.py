"""Regression on tables: Similarity Kernel Mixup in the set-up of C-Mixup's code."""

from pathlib import Path

from calmix.data import TableFile
from calmix.data.folders import find_folder
from calmix.methods.c_mixup import c_mixup
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.methods.wrappers import with_whole_set
from calmix.models.perceptron import dropout_mlp
from calmix.reproduction.experiment import Claim, Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

_PASSES = 50  # with dropout, of each row


def airfoil(scale: str, data_dir: Path | None = None) -> Experiment:
    """Airfoil self-noise (1,503 rows): tau_max = 0.0001, tau_std = 0.5; a perceptron with dropout, 100 epochs.

    Source: Bouniot et al., ICLR 2025 (arXiv 2311.01434), in the set-up of C-Mixup's code (arXiv 2210.05775).
    """
    folder = find_folder("tabular/regression", "airfoil.csv*", data_dir, [], _ADVICE.format(name="airfoil"))
    size = size_of(scale, smoke=Size(2, 5), small=Size(10, 100), paper=Size(10, 100))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=16,
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.0,
        schedule="constant",
        select="best",
        dropout_passes=_PASSES,
    )
    methods = with_controls(
        {
            "manifold_mixup": manifold_mixup(),
            "c_mixup": c_mixup(),
            "sk_mixup": with_whole_set(sk_mixup(tau_max=1e-4, tau_std=0.5)),
            "mixup_e": mixup_e(),
            "sk_mixup_e": sk_mixup_e(tau_max=1e-4, tau_std=0.5),
        },
        with_whole_set(mixup()),
        classes=False,
    )
    data = TableFile(next(folder.glob("airfoil.csv*")), "target", "regression")
    comparison = Comparison(data, methods, dropout_mlp, settings, size.seeds, epochs=longer(size.epochs))
    return Experiment(
        comparison,
        "Bouniot et al., ICLR 2025 (arXiv 2311.01434), in the set-up of C-Mixup's code (arXiv 2210.05775).",
        (
            Claim("sk_mixup", "erm", "rmse"),
            Claim("sk_mixup", "mixup", "rmse"),
            Claim("sk_mixup", "erm", "uce"),
            Claim("sk_mixup", "mixup", "uce"),
            Claim("sk_mixup", "mixup", "ence"),
        ),
        (
            "Targets are in standard deviations while they are trained on; the published code has shares of the range.",
            "There is a calibration split of a tenth, which the published code does not have.",
            "The last batch of an epoch is not dropped.",
        ),
        judged_on_test=False,
    )


_ADVICE = (
    "get {name} as CSV, with the value to predict in a last column named target, from the UCI repository or PMLB, and "
    "name its folder with --data-dir"
)
