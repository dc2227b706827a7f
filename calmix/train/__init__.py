"""Training on Lightning: settings, the loop, predictions."""

from calmix.train.fit import Fitted, fit, predict
from calmix.train.settings import TrainingSettings

__all__ = ["Fitted", "TrainingSettings", "fit", "predict"]
