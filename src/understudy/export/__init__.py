"""Write a trained model as a graph that runs without torch: what ``understudy export`` does."""

from understudy.export.job import export

__all__ = ["export"]
