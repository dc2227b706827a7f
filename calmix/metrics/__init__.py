"""Plain tensors in, numbers out."""

from calmix.metrics.bins import Bins, equal_mass, equal_width
from calmix.metrics.classification import (
    accuracy,
    adaptive_ece,
    brier,
    classification_metrics,
    ece,
    nll,
    reliability,
)
from calmix.metrics.regression import mae, r2, regression_metrics, rmse

__all__ = [
    "Bins",
    "accuracy",
    "adaptive_ece",
    "brier",
    "classification_metrics",
    "ece",
    "equal_mass",
    "equal_width",
    "mae",
    "nll",
    "r2",
    "regression_metrics",
    "reliability",
    "rmse",
]
