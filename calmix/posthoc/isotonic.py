"""Isotonic regression: each class's probability becomes any non-decreasing function of itself.

    n  rows
    K  classes

Source: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calmix.errors import ShapeError
from calmix.posthoc.calibration import CalibrationLogits, required


@dataclass(frozen=True, eq=False)
class Isotonic:
    """log of the rescaled probabilities: a piecewise linear curve for each class, then a sum of one for each row.

    What comes out is a logarithm of probabilities, so that `softmax` gives them, as after every other correction. The
    order of classes may change. Applying it needs no scikit-learn.

    >>> halves = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    >>> Isotonic((halves, halves))(torch.tensor([[9.0, 0.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """

    knots: tuple[
        tuple[np.ndarray, np.ndarray], ...
    ]  # K pairs: probabilities, ascending, and what they become, positive

    def __call__(self, logits: Tensor) -> Tensor:
        if logits.ndim != 2 or logits.shape[1] != len(self.knots):
            raise ShapeError(
                f"logits has shape {tuple(logits.shape)}, expected (n, {len(self.knots)}); "
                "pass logits of the classes that the calibration split had."
            )
        probs = logits.detach().cpu().double().softmax(1).numpy()  # (n, K)
        curves = (np.interp(column, *knots) for column, knots in zip(probs.T, self.knots, strict=True))
        log = torch.from_numpy(np.stack(list(curves), 1)).log()  # (n, K)
        return log.log_softmax(1).to(logits)


def fit_isotonic(calibration: CalibrationLogits) -> Isotonic:
    """For each class, scikit-learn's isotonic regression of "is the label" on its probability (one versus rest).

    Isotonic regression gives a class the probability 0 wherever it was never seen, for which a single surprise costs
    an infinite log-likelihood. Here the least is 1 / (n K): all such classes of a row together take at most 1 / n, one
    row's worth. Otherwise as in scikit-learn's `CalibratedClassifierCV(method="isotonic")`. Wants a
    thousand rows and more; on fewer it overfits.

    Raises:
        SettingError: `calibration` is not CalibrationLogits.

    >>> logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    >>> isotonic = fit_isotonic(CalibrationLogits(logits, torch.tensor([0, 1, 1, 0])))
    >>> isotonic(logits).softmax(1)[0]  # says 0.95, is right half the time
    tensor([0.5000, 0.5000])
    """
    from sklearn.isotonic import IsotonicRegression

    calibration = required(calibration, CalibrationLogits)
    probs, labels = calibration.logits.softmax(1).numpy(), calibration.labels.numpy()
    least = 1 / probs.size
    knots = []
    for k, column in enumerate(probs.T):
        curve = IsotonicRegression(y_min=0, y_max=1).fit(column, labels == k)
        knots.append((curve.X_thresholds_, curve.y_thresholds_.clip(least)))
    return Isotonic(tuple(knots))
