"""Classification on tables: MixupE's data sets with a perceptron of two hidden layers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from calmix.data import Frame, TableFile
from calmix.data.official import PublishedTable
from calmix.errors import DataError
from calmix.methods.manifold_mixup import manifold_mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models import mlp
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

_CLAIMS = (
    Claim("mixup_e", "erm", "accuracy"),
    Claim("mixup_e", "mixup", "accuracy"),
    Claim("sk_mixup", "erm", "accuracy"),
    Claim("sk_mixup", "mixup", "accuracy"),
    Claim("sk_mixup", "erm", "ece"),
    Claim("sk_mixup", "mixup", "ece"),
    Claim("sk_mixup", "mixup", "ece", "scaled"),
)


def table(scale: str, data_dir: Path | None = None, *, name: str, rows: int, columns: int, classes: int) -> Experiment:
    """A UCI table: two hidden layers of 256, SGD, 50 epochs; at the scale `small` at most 2,000 rows to train on."""
    advice = (
        f"get {name} as CSV, with the classes in a last column named target (PMLB has it), and name its folder with "
        "--data-dir"
    )
    path = PublishedTable(name, rows, columns, classes).find("tabular/classification", data_dir, advice)
    size = size_of(scale, smoke=Size(2, 3, 300), small=Size(10, 50, 2000), paper=Size(10, 50))
    whole = ages(path) if name == "abalone" else TableFile(path, "target", "classification")
    fewer = size.train_size is not None and len(whole.splits(0).train) > size.train_size
    data = replace(whole, train_size=size.train_size) if fewer else whole
    methods = {
        "manifold_mixup": manifold_mixup(),
        "sk_mixup": sk_mixup(),
        "mixup_e": mixup_e(),
        "sk_mixup_e": sk_mixup_e(),
    }
    settings = TrainingSettings(epochs=size.epochs)
    return Experiment(
        Comparison(data, with_controls(methods), mlp, settings, size.seeds, own_settings=longer(settings)),
        "Zou et al., UAI 2023 (arXiv 2212.13381), its experiments on tables; Similarity Kernel Mixup has none.",
        _CLAIMS,
        (
            "The paper's widths, rates and splits on tables could not be obtained: network and training are this "
            "library's defaults, and so are alpha, eta and tau.",
            "Each seed draws its own splits: 60 % to train on, 10 % to validate, 10 % to calibrate and 20 % to test.",
            *(("Ages are in the three classes that are usual for this set.",) if name == "abalone" else ()),
        ),
    )


def ages(path: Path) -> Frame:
    """Abalone, its rings in the three classes of its documentation: 1 to 8, 9 and 10, and 11 to 29.

    Of the 28 numbers of rings, five are of a single animal, which cannot be both trained and tested on.

    Raises:
        DataError: other targets than whole numbers from 1 to 29.
    """
    from calmix.data.table.files import read_table

    frame = read_table(path).frame
    rings = np.array(pd.to_numeric(frame["target"], errors="coerce"), np.float64)
    if not np.isin(rings, np.arange(1, 30)).all():
        raise DataError(f"{path}: the column target must hold rings, whole numbers from 1 to 29; get the file anew.")
    classes = np.select([rings <= 8, rings <= 10], ["1 to 8", "9 and 10"], "11 to 29")
    return Frame(frame.assign(target=classes), "target", "classification", name="abalone")
