"""What a trained model said of rows whose truth is known, and every number of it."""

from calmix.predictions.kinds import (
    ClassPredictions,
    MultilabelPredictions,
    Predictions,
    RegressionPredictions,
    class_logits,
    logits_of,
)
from calmix.predictions.scoring import CALIBRATORS, class_scores, multilabel_scores, ood_scores, regression_scores

__all__ = [
    "CALIBRATORS",
    "ClassPredictions",
    "MultilabelPredictions",
    "Predictions",
    "RegressionPredictions",
    "class_logits",
    "class_scores",
    "logits_of",
    "multilabel_scores",
    "ood_scores",
    "regression_scores",
]
