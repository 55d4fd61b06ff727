"""Exact metrics of the field: every distinct score is a threshold. ``docs/metrics.md`` defines each."""

from understudy.metrics.overlap import (
    AUPRO_LIMIT,
    Channel,
    Weighed,
    au_spro,
    aupro,
    by_channel,
    by_picture,
    by_region,
    rank_regions,
)
from understudy.metrics.ranking import Ranking, auroc_interval
from understudy.metrics.tally import BINS, EXACT_PIXELS, PixelTally, largest_error

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
