"""Predictions of any model, judged: every metric, corrections that were fitted on other rows, and what it all means."""

from calmix.studies.evaluation.given import Given
from calmix.studies.evaluation.study import Evaluation, evaluate

__all__ = ["Evaluation", "Given", "evaluate"]
