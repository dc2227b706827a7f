"""Whether the chosen settings replace the default: a rule that is said before the test rows are seen.

S  fresh seeds
n  test rows
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from calmix.results.files import NamedArrays


@dataclass(frozen=True)
class Gain:
    """What the chosen settings gain on the default: mean loss of the default minus that of the chosen, on test rows.

    seeds: (S,) the gain of each fresh seed. error: one standard error of the mean, see `gain_of`.
    """

    mean: float
    error: float
    seeds: tuple[float, ...]

    @property
    def pays(self) -> bool:
        """Whether the chosen settings replace the default: they gain more than one standard error."""
        return self.mean > self.error


def gain_of(default: NDArray[np.float64], chosen: NDArray[np.float64]) -> Gain:
    """The gain, from the losses (S, n) of the same test rows in every seed.

    The standard error is sqrt(v_s / S + v_r / n), with v_s the variance of the gain over seeds and v_r that over rows
    of their mean over seeds: other trainings and other test rows would show other gains. What a single seed or row
    cannot tell is left out; it is infinite where nothing is known.

    >>> gain = gain_of(np.array([[1.0, 1.0], [1.2, 1.2]]), np.array([[0.9, 0.9], [1.0, 1.0]]))
    >>> round(gain.mean, 3), round(gain.error, 3), gain.pays
    (0.15, 0.05, True)
    """
    gains = default - chosen  # (S, n)
    seeds, rows = gains.mean(1), gains.mean(0)
    variances = [float(means.var(ddof=1)) / len(means) for means in (seeds, rows) if len(means) > 1]
    return Gain(float(gains.mean()), sqrt(sum(variances)) if variances else inf, tuple(seeds.tolist()))


def row_losses(predictions: NamedArrays) -> NDArray[np.float64]:
    """(n,): the NLL of each test row after temperature scaling; of values the mean squared error of the row."""
    if "logits" not in predictions:
        off = predictions["mean"].astype(np.float64) - predictions["targets"]
        return (off**2).reshape(len(off), -1).mean(1)
    logits = predictions["logits"].astype(np.float64) / float(predictions["temperature"])
    logits = logits - logits.max(1, keepdims=True)
    of_label = np.take_along_axis(logits, predictions["labels"][:, None].astype(np.int64), 1)[:, 0]
    return np.log(np.exp(logits).sum(1)) - of_label
