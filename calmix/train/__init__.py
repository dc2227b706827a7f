"""One network: settings, recipe, training, and what is measured of it. `train(recipe)` is the only training loop."""

from typing import TYPE_CHECKING

from calmix.listing import loads_when_used

if TYPE_CHECKING:
    from calmix.train.checkpoints import Checkpoints
    from calmix.train.loggers import Loggers
    from calmix.train.predicting import predict
    from calmix.train.recipe import Recipe
    from calmix.train.robustness import Robustness
    from calmix.train.running import FinishedRun, run
    from calmix.train.settings import TrainingSettings
    from calmix.train.training import Trained, train
else:
    __getattr__ = loads_when_used(__name__)

__all__ = [
    "Checkpoints",
    "FinishedRun",
    "Loggers",
    "Recipe",
    "Robustness",
    "Trained",
    "TrainingSettings",
    "predict",
    "run",
    "train",
]
