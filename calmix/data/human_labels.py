"""What people see in a picture: the distribution that a calibrated network's probabilities should be near.

n test images, K classes.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calmix.data.folders import find_companion
from calmix.data.splits import Splits
from calmix.errors import DataError
from calmix.reading import read_array


def load_human_labels(splits: Splits, data_dir: Path | None = None) -> Tensor | None:
    """How often people chose each class for each test image, (n, K) int64; None where nobody was asked.

    Known for CIFAR-10 (about 51 votes an image), where $CALMIX_DATA/cifar10h, or cifar10h in or beside data_dir, holds
    cifar10h-counts.npy.
    Source: Peterson et al., Human uncertainty makes classification more robust, ICCV 2019 (CIFAR-10H).

    Raises DataError if the file is broken, or of other images than the test split.

    >>> from calmix.data import digits
    >>> load_human_labels(digits()) is None
    True
    """
    if splits.about.name != "cifar10":
        return None
    try:
        path = find_companion("cifar10h", "cifar10h-counts.npy", data_dir, "") / "cifar10h-counts.npy"
    except DataError:
        return None
    counts = read_array(path, "get the file anew, or remove it")
    shape = (len(splits.test), len(splits.about.classes))
    if counts.dtype.kind not in "iuf" or counts.shape != shape or not counts.min() >= 0 or counts.sum(1).min() == 0:
        raise DataError(f"{path} must hold {shape[0]} rows of votes for {shape[1]} classes; get it anew, or remove it.")
    if (counts.argmax(1) == splits.test.y.numpy()).mean() < 0.9:
        raise DataError(f"{path} disagrees with the test labels, so its rows have another order; get it anew.")
    return torch.from_numpy(counts.astype(np.int64))
