"""Wrong labels in the training split, and only there: what was learned is judged by the true ones.

n training rows, K classes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from calmix.data.folders import digest_of_files, find_companion
from calmix.data.splits import Split, Splits
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.reading import check_arrays, read_arrays

HUMAN = {
    "aggre": "aggre_label",  # what most of three annotators said: 9 % wrong
    "random1": "random_label1",  # what one annotator said: 17 to 18 % wrong
    "random2": "random_label2",
    "random3": "random_label3",
    "worse": "worse_label",  # a wrong one of three, where there is any: 40 % wrong
}


@dataclass(frozen=True)
class Symmetric:
    """round(rate * n) training rows, drawn at random, get one of the K - 1 other classes, each as likely.

    So `rate` is the share of wrong labels. (Some papers draw among all K classes, which leaves rate / K of them right.)

    >>> from calmix.data import wine
    >>> noisy, clean = Symmetric(0.4)(wine()), wine()
    >>> round(0.4 * len(clean.train)), (noisy.train.y != clean.train.y).sum().item()
    (43, 43)
    """

    rate: float  # above 0, below 1

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise SettingError(f"the rate of label noise must be above 0 and below 1; got {self.rate}.")

    def __call__(self, splits: Splits, seed: int = 0, data_dir: Path | None = None) -> Splits:
        """The splits with noisy training labels. Raises SettingError for regression."""
        about, y = splits.about, splits.train.y.numpy()
        if about.task == "regression":
            raise SettingError(f"label noise is for classes, and {about.name} is regression; leave it out.")
        rng = np.random.default_rng([seed, 0x6E])  # a stream of its own: splits are drawn from `seed` alone
        wrong = rng.permutation(len(y))[: round(self.rate * len(y))]
        noisy = y.copy()
        noisy[wrong] = (y[wrong] + rng.integers(1, len(about.classes), len(wrong))) % len(about.classes)
        return _with_labels(splits, noisy)


@dataclass(frozen=True)
class HumanNoise:
    """The labels that people gave CIFAR-10's training images when asked once more (cifar10h/cifar10n.npz).

    kind: `aggre` (9 % wrong), `random1`, `random2`, `random3` (18 %) or `worse` (40 %).
    Source: Wei et al., Learning with Noisy Labels Revisited, ICLR 2022 (CIFAR-10N).
    """

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in HUMAN:
            raise UnknownNameError("kind of human label noise", self.kind, HUMAN)

    def __call__(self, splits: Splits, seed: int = 0, data_dir: Path | None = None) -> Splits:
        """The splits with the training labels that people gave; the seed changes nothing.

        Raises:
            SettingError: the data are not CIFAR-10.
            DataError: the file is missing or broken, or its images are in another order.
        """
        rows = splits.train_rows
        if splits.about.name != "cifar10" or rows is None:
            raise SettingError(
                f"human label noise is known for cifar10 alone, not for {splits.about.name}; "
                "give --label-noise symmetric:RATE."
            )
        path, clean, noisy = _read_human(self.kind, data_dir)
        if len(clean) <= rows.max() or not np.array_equal(clean[rows], splits.train.y.numpy()):
            raise DataError("cifar10n.npz lists other images than the training part; get both in the official order.")
        noisy_splits = _with_labels(splits, noisy[rows])
        digest = f"{splits.about.digest} {digest_of_files([path])}"
        return replace(noisy_splits, about=replace(noisy_splits.about, digest=digest))


LabelNoise = Symmetric | HumanNoise


def read_label_noise(text: str) -> LabelNoise:
    """A label noise from text: `symmetric:RATE` or `human:KIND`.

    Raises SettingError or UnknownNameError.

    >>> read_label_noise("symmetric:0.4"), read_label_noise("human:worse")
    (Symmetric(rate=0.4), HumanNoise(kind='worse'))
    """
    name, _, value = text.strip().partition(":")
    if name == "human" and value:
        return HumanNoise(value)
    try:
        if name == "symmetric":
            return Symmetric(float(value))
    except SettingError:
        raise
    except ValueError:
        pass
    raise SettingError(
        f"cannot read the label noise {text!r}; write symmetric:RATE, e.g. symmetric:0.4, "
        f"or human:KIND with one of {', '.join(HUMAN)}."
    )


def _read_human(kind: str, data_dir: Path | None) -> tuple[Path, NDArray[np.int64], NDArray[np.int64]]:
    """The file, and its official training labels and the noisy ones, (50000,) each."""
    advice = "set CALMIX_DATA to the folder that holds cifar10h/, or give --label-noise symmetric:RATE"
    path = find_companion("cifar10h", "cifar10n.npz", data_dir, advice) / "cifar10n.npz"
    arrays = read_arrays(path, "get the file anew")
    shapes = {"clean_label": "K: n", HUMAN[kind]: "K: n"}
    check_arrays(path, arrays, shapes, "get the file anew", K=10)
    clean, noisy = (arrays[name].astype(np.int64) for name in shapes)
    return path, clean, noisy


def _with_labels(splits: Splits, labels: NDArray[np.int64]) -> Splits:
    share = (labels != splits.train.y.numpy()).mean()
    notice = f"{100 * share:.1f} % of the training labels are wrong, as asked; the other splits are clean."
    about = replace(splits.about, notices=(*splits.about.notices, notice))
    return replace(splits, train=Split(splits.train.rows, torch.from_numpy(labels)), about=about)
