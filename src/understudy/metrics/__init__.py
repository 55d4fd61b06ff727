"""The field's metrics, exact: every distinct score is a threshold. ``docs/metrics.md`` defines each."""

from understudy.metrics.binned import BINS, largest_error
from understudy.metrics.interval import auroc_interval
from understudy.metrics.overlap import AUPRO_LIMIT, au_spro, aupro, rank_regions
from understudy.metrics.ranking import Ranking
from understudy.metrics.tally import EXACT_PIXELS, PixelTally
from understudy.metrics.weighing import Channel, Weighed, by_channel, by_picture, by_region

__all__ = [
    "AUPRO_LIMIT",
    "BINS",
    "EXACT_PIXELS",
    "Channel",
    "PixelTally",
    "Ranking",
    "Weighed",
    "au_spro",
    "aupro",
    "auroc_interval",
    "by_channel",
    "by_picture",
    "by_region",
    "largest_error",
    "rank_regions",
]
