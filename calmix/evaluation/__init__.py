"""From predictions, of any framework, to every number and its corrections."""

from calmix.evaluation.evaluate import CALIBRATORS, Evaluation, evaluate, judge_classes
from calmix.evaluation.predictions import Classified, Estimated, Multilabelled, Predictions
from calmix.evaluation.read import Given, read_given

__all__ = [
    "CALIBRATORS",
    "Classified",
    "Estimated",
    "Evaluation",
    "Given",
    "Multilabelled",
    "Predictions",
    "evaluate",
    "judge_classes",
    "read_given",
]
