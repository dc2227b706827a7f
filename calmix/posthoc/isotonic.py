"""Isotonic regression: each class's probability is mapped by a non-decreasing function.

    n  rows
    K  classes

Source: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002.
Deviation: the curves are averaged with the probabilities as they were, for small calibration splits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calmix.errors import SettingError, ShapeError
from calmix.posthoc.calibration import CalibrationLogits, folds_of, required

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Isotonic:
    """log((1 - share) p + share q): q is p after a piecewise linear function for each class, normalised in each row.

    `softmax` of the result gives the probabilities, as after every other correction. The order of classes may change.
    Applying it needs no scikit-learn.

    >>> halves = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    >>> Isotonic((halves, halves))(torch.tensor([[9.0, 0.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """

    knots: tuple[tuple[np.ndarray, np.ndarray], ...]  # K pairs: ascending probabilities, and their positive values
    share: float = 1.0  # of the curves; the rest is the probability as it was

    def __call__(self, logits: Tensor) -> Tensor:
        if logits.ndim != 2 or logits.shape[1] != len(self.knots):
            raise ShapeError(
                f"logits has shape {tuple(logits.shape)}, expected (n, {len(self.knots)}); "
                "pass logits of the classes that the calibration split had."
            )
        probs = logits.detach().cpu().double().softmax(1).numpy()  # (n, K)
        curves = np.stack([np.interp(column, *knots) for column, knots in zip(probs.T, self.knots, strict=True)], 1)
        mixed = (1 - self.share) * probs + self.share * curves / curves.sum(1, keepdims=True)  # (n, K)
        return torch.from_numpy(mixed).clamp(min=torch.finfo(torch.float64).tiny).log().to(logits)


def fit_isotonic(calibration: CalibrationLogits, share: float | None = None) -> Isotonic:
    """For each class, scikit-learn's isotonic regression of "is the label" on its probability (one versus rest).

    As in scikit-learn's `CalibratedClassifierCV(method="isotonic")`, with two deviations. Isotonic regression gives a
    class the probability 0 where it never occurred, and a single row of that class then has an infinite negative
    log-likelihood; here the smallest value is 1 / (n K). And on few rows the curves are mostly chance: so they
    are averaged with the probabilities as they were. Their share is its mean given the calibration rows, each predicted
    by curves of the other folds, if all shares were equally probable beforehand: with many rows near 1 where the curves
    are right, and near 0 where they are not.

    Args:
        calibration: the calibration split.
        share: of the curves, in [0, 1]; None finds it, 1 is scikit-learn's.

    Raises:
        SettingError: `calibration` is not CalibrationLogits, or `share` is not in [0, 1].

    >>> logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    >>> isotonic = fit_isotonic(CalibrationLogits(logits, torch.tensor([0, 1, 1, 0])), share=1)
    >>> isotonic(logits).softmax(1)[0]  # they were 0.95 and 0.05; half of the rows are right
    tensor([0.5000, 0.5000])
    """
    calibration = required(calibration, CalibrationLogits)
    if share is not None and not 0 <= share <= 1:
        raise SettingError(f"share is {share}, expected a number in [0, 1], or None to find it.")
    return Isotonic(_curves(calibration), _mean_share(calibration) if share is None else share)


def _curves(calibration: CalibrationLogits) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The knots of each class."""
    from sklearn.isotonic import IsotonicRegression

    probs, labels = calibration.logits.softmax(1).numpy(), calibration.labels.numpy()
    least = 1 / probs.size
    fitted = [IsotonicRegression(y_min=0, y_max=1).fit(column, labels == k) for k, column in enumerate(probs.T)]
    return tuple((curve.X_thresholds_, curve.y_thresholds_.clip(least)) for curve in fitted)


def _mean_share(calibration: CalibrationLogits) -> float:
    """The integral of s L(s) over that of L(s), s from 0 to 1, L(s) = prod_i ((1 - s) p_i + s q_i): p_i the probability
    of row i's label as it was, q_i by the curves of the folds without it."""
    as_it_was, by_curves = [], []
    for rest, left_out in folds_of(calibration, FOLDS):
        pair = left_out.logits, Isotonic(_curves(rest))(left_out.logits)
        for found, logits in zip((as_it_was, by_curves), pair, strict=True):
            found.append(logits.softmax(1).gather(1, left_out.labels[:, None])[:, 0])
    if not as_it_was:
        return 0.5
    p, q = torch.cat(as_it_was), torch.cat(by_curves)  # (n,)
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    log_likelihood = torch.stack([((1 - s) * p + s * q).clamp(min=tiny).log().sum() for s in share])
    return (log_likelihood.softmax(0) * share).sum().item()
