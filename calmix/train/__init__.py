"""Training on Lightning: settings, the loop, predictions."""

from calmix.train.fit import Fitted, fit, predict
from calmix.train.settings import Fit

__all__ = ["Fit", "Fitted", "fit", "predict"]
