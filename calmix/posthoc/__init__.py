"""Corrections fitted on the calibration split, after training."""

from calmix.posthoc.temperature import Temperature, fit_temperature

__all__ = ["Temperature", "fit_temperature"]
