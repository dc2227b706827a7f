"""Corrections and guarantees fitted on the calibration split, after training."""

from calmix.posthoc.calibration import CalibrationGaussian, CalibrationLogits
from calmix.posthoc.conformal import (
    AdaptiveSets,
    ConformalIntervals,
    LeastAmbiguousSets,
    band_coverage,
    band_width,
    fit_adaptive_sets,
    fit_conformal_intervals,
    fit_conformal_sets,
    set_coverage,
    set_size,
)
from calmix.posthoc.isotonic import Isotonic, fit_isotonic
from calmix.posthoc.linear import MatrixScaling, VectorScaling, fit_matrix_scaling, fit_vector_scaling
from calmix.posthoc.temperature import Temperature, fit_temperature, temperature_interval
from calmix.posthoc.variance import VarianceScaling, fit_variance_scaling

__all__ = [
    "AdaptiveSets",
    "CalibrationGaussian",
    "CalibrationLogits",
    "ConformalIntervals",
    "Isotonic",
    "LeastAmbiguousSets",
    "MatrixScaling",
    "Temperature",
    "VarianceScaling",
    "VectorScaling",
    "band_coverage",
    "band_width",
    "fit_adaptive_sets",
    "fit_conformal_intervals",
    "fit_conformal_sets",
    "fit_isotonic",
    "fit_matrix_scaling",
    "fit_temperature",
    "fit_variance_scaling",
    "fit_vector_scaling",
    "set_coverage",
    "set_size",
    "temperature_interval",
]
