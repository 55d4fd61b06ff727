"""Good pictures that a model has not seen -> thresholds with a promise: what ``understudy calibrate`` does."""

from understudy.calibrate.job import calibrate

__all__ = ["calibrate"]
