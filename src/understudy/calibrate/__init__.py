"""Good pictures that the training has not seen -> thresholds with a promise: ``understudy calibrate``."""

from understudy.calibrate.job import calibrate

__all__ = ["calibrate"]
