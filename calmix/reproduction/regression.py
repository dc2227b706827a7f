"""Regression on tables: Similarity Kernel Mixup in the set-up of C-Mixup's code."""

from pathlib import Path

from calmix.data import DataSource, TableFile
from calmix.data.folders import find_folder
from calmix.data.official import ListedSplits, PublishedTable, read_lists
from calmix.errors import DataError
from calmix.methods.c_mixup import c_mixup
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.methods.wrappers import with_whole_set
from calmix.models.perceptron import dropout_mlp
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

_PAPER = "Bouniot et al., ICLR 2025 (arXiv 2311.01434), in the set-up of C-Mixup's code (arXiv 2210.05775)."
_CLAIMS = (
    Claim("sk_mixup", "erm", "rmse"),
    Claim("sk_mixup", "mixup", "rmse"),
    Claim("sk_mixup", "c_mixup", "rmse"),
    Claim("sk_mixup", "erm", "mape"),
    Claim("sk_mixup", "mixup", "mape"),
    Claim("sk_mixup", "erm", "uce", "scaled"),
    Claim("sk_mixup", "mixup", "uce", "scaled"),
    Claim("sk_mixup", "erm", "ence", "scaled"),
    Claim("sk_mixup", "mixup", "ence", "scaled"),
)
_UNITS = "Columns and targets are trained on in standard deviations; the published code has shares of their ranges."
_HELD = "A tenth of the rows is held out to scale deviations by; the published code has no such rows."
_OWN = "Mixup's alpha, C-Mixup's bandwidth and MixupE's eta are this library's defaults."
_LISTS = 20  # of test rows, published for each UCI table
_ADVICE = (
    "get {file}, a CSV table with the value to predict in a last column named target{beside}, and name its folder with "
    "--data-dir"
)


def airfoil(scale: str, data_dir: Path | None = None) -> Experiment:
    """Airfoil self-noise (1,503 rows): tau_max = 0.0001, tau_std = 0.5; a perceptron with dropout, 100 epochs."""
    advice = _ADVICE.format(file="airfoil.csv", beside="")
    path = PublishedTable("airfoil", 1_503, 6).find("tabular/regression", data_dir, advice)
    data = TableFile(path, "target", "regression")
    size = size_of(scale, smoke=Size(2, 5), small=Size(10, 100), paper=Size(10, 100))
    return Experiment(_comparison(data, size, 16, 1e-4, 0.5), _PAPER, _CLAIMS, (_UNITS, _HELD, _OWN))


def uci(
    scale: str, data_dir: Path | None = None, *, name: str, rows: int, columns: int, batch_size: int = 16
) -> Experiment:
    """A UCI table with its published lists of test rows: the network and tau of Airfoil."""
    advice = _ADVICE.format(
        file=f"{name}.csv", beside=f", and {name}.splits.npz, its {_LISTS} lists of test rows, beside it"
    )
    path = PublishedTable(name, rows, columns).find("tabular/regression", data_dir, advice)
    tests = find_folder("tabular/regression", f"{name}.splits.npz", path.parent, [], advice) / f"{name}.splits.npz"
    size = size_of(scale, smoke=Size(2, 3, 200), small=Size(10, 40), paper=Size(_LISTS, 100))
    if (found := len(read_lists(tests))) < size.seeds:
        raise DataError(f"{tests} has {found} of the {_LISTS} published lists of test rows; get the file anew.")
    data = ListedSplits(path, tests, "target", "regression", size.train_size)
    deviations = (
        "The paper has no results on this table: network, training, and tau are those of Airfoil.",
        "Test rows are those of the published lists; validation and calibration rows are drawn from the others.",
        _UNITS,
        _OWN,
    )
    comparison = _comparison(data, size, batch_size, 1e-4, 0.5)
    return Experiment(comparison, f"{_PAPER} Lists of test rows: Gal and Ghahramani, 2016.", _CLAIMS, deviations)


def _comparison(data: DataSource, size: Size, batch_size: int, tau_max: float, tau_std: float) -> Comparison:
    """Adam at a rate of 0.01, the best epoch by validation loss, 50 passes with dropout."""
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=batch_size,
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.0,  # which makes it Adam
        schedule="constant",
        select="best",
        dropout_passes=50,
        max_grad_norm=0.0,
    )
    methods = {
        "manifold_mixup": manifold_mixup(),
        "c_mixup": c_mixup(),
        "sk_mixup": with_whole_set(sk_mixup(tau_max, tau_std)),
        "mixup_e": mixup_e(),
        "sk_mixup_e": sk_mixup_e(tau_max=tau_max, tau_std=tau_std),
    }
    compared = with_controls(methods, with_whole_set(mixup()), classes=False)
    return Comparison(data, compared, dropout_mlp, settings, size.seeds, own_settings=longer(settings))
