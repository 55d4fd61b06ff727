"""From a trained model to a graph that needs no torch: what ``understudy export`` does."""

from understudy.export.job import export

__all__ = ["export"]
