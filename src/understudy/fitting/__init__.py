"""From a folder of good pictures to a saved, calibrated model: what ``understudy fit`` does."""

from understudy.fitting.job import fit

__all__ = ["fit"]
