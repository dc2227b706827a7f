"""Isotonic regression: each class's probability is mapped by a non-decreasing function.

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
    """Maps each class's probability by a piecewise linear function, normalises each row, and returns the logarithm.

    `softmax` of the result gives the probabilities, as after every other correction. The order of classes may change.
    Applying it needs no scikit-learn.

    >>> halves = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    >>> Isotonic((halves, halves))(torch.tensor([[9.0, 0.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """

    knots: tuple[tuple[np.ndarray, np.ndarray], ...]  # K pairs: ascending probabilities, and their positive values

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

    As in scikit-learn's `CalibratedClassifierCV(method="isotonic")`, with one deviation: isotonic regression gives a
    class the probability 0 where it never occurred, and a single row of that class then has an infinite negative
    log-likelihood; here the smallest value is 1 / (n K). Use a thousand rows or more; on fewer it overfits.

    Raises:
        SettingError: `calibration` is not CalibrationLogits.

    >>> logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    >>> isotonic = fit_isotonic(CalibrationLogits(logits, torch.tensor([0, 1, 1, 0])))
    >>> isotonic(logits).softmax(1)[0]  # they were 0.95 and 0.05; half of the rows are right
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
