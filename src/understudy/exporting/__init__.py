"""From a trained model to a graph that needs no torch: what ``understudy export`` does."""

from understudy.exporting.job import export

__all__ = ["export"]
