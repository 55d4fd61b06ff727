"""The field's metrics, exact: every distinct score is a threshold."""

from understudy.metrics.aupro import aupro
from understudy.metrics.ranking import Ranking

__all__ = ["Ranking", "aupro"]
