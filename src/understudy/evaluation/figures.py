"""Test pictures, one at a time -> the figures of a category, or of all categories together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.data.records import Record
from understudy.metrics import (
    AUPRO_LIMIT,
    Channel,
    PixelTally,
    Ranking,
    auroc_interval,
    by_channel,
    by_region,
)
from understudy.runtime.images import Mask
from understudy.types import Verdict

__all__ = [
    "IMAGE_NAMES",
    "NAMES",
    "PIXEL_NAMES",
    "SPRO_LIMITS",
    "Figures",
    "Numbers",
    "SproFigures",
    "Tested",
]

IMAGE_NAMES = ("image_auroc", "image_ap", "image_f1max")
PIXEL_NAMES = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")
NAMES = IMAGE_NAMES + PIXEL_NAMES
SPRO_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Tested:
    """One test picture with its result.

    Attributes:
        record: what is known of it.
        score: image-level anomaly score.
        verdict: ``None`` while the model is not calibrated.
    """

    record: Record
    score: float
    verdict: Verdict | None


class Figures:
    """Metrics of the pictures that were added; the maps themselves are not kept.

    Args:
        exact: see :class:`understudy.metrics.PixelTally`.
    """

    def __init__(self, exact: bool) -> None:
        self.tested: list[Tested] = []
        self._pixels = PixelTally(exact)
        self._n_marked = 0
        self._n_unmarked = 0

    def add(self, tested: Tested, anomaly_map: NDArray[np.float32], mask: Mask | None) -> None:
        """Add one picture.

        Args:
            tested: its score.
            anomaly_map: (h, w).
            mask: (h, w) of all its defects; ``None`` where nobody marked them.
        """
        self.tested.append(tested)
        if mask is None:
            self._n_unmarked += 1
            return
        self._pixels.update(by_region(anomaly_map, mask))
        self._n_marked += not tested.record.is_good

    def numbers(self) -> dict[str, Any]:
        """All metrics, ``None`` where one cannot be told, and why; the counts."""
        image = image_ranking(self.tested)
        values: dict[str, Any] = dict.fromkeys(NAMES)
        values |= zip(IMAGE_NAMES, (image.auroc(), image.average_precision(), image.f1_max()), strict=True)
        error = None
        if self._n_marked:
            pixels = self._pixels.compute()
            found = (pixels.auroc(), pixels.average_precision(), pixels.f1_max(), pixels.area(AUPRO_LIMIT))
            values |= zip(PIXEL_NAMES, found, strict=True)
            bounds = self._pixels.error(pixels, AUPRO_LIMIT)
            error = bounds and dict(zip(PIXEL_NAMES, bounds.values(), strict=True))
        interval = None
        if values["image_auroc"] is not None:
            interval = list(auroc_interval(values["image_auroc"], image.n_good, image.n_defect))
        return values | {
            "image_auroc_interval": interval,
            "max_error": error,
            "missing": self._missing(values, image),
            "n_good": image.n_good,
            "n_defect": image.n_defect,
            "n_masks": self._n_marked,
        }

    def _missing(self, values: Numbers, image: Ranking) -> dict[str, str]:
        """Why a figure is ``None``."""
        if not self.tested:
            reason = "no test pictures"
        elif not image.n_defect:
            reason = "no defective test pictures"
        elif not image.n_good:
            reason = "no good test pictures"
        else:
            reason = ""
        pixel = reason if not image.n_defect else "no defect is marked by a mask"
        if self._n_marked:
            pixel = "no pixel is without defect"
        reasons = dict.fromkeys(IMAGE_NAMES, reason) | dict.fromkeys(PIXEL_NAMES, pixel)
        return {name: reasons[name] for name in NAMES if values[name] is None}

    def by_defect(self) -> dict[str, Numbers]:
        """Each kind of defect against all good pictures: AUROC, recall, share flagged, number."""
        good = [t for t in self.tested if t.record.is_good]
        kinds = sorted({t.record.defect for t in self.tested if not t.record.is_good})
        return {k: _kind(good, [t for t in self.tested if t.record.defect == k]) for k in kinds}


class SproFigures:
    """AU-sPRO of the pictures of one category that were added, at their own resolution.

    Each kind of defect is taken with the good pictures alone, as MVTec LOCO's evaluation does.

    Args:
        kinds: of defects, such as ``logical_anomalies``.
        exact: see :class:`understudy.metrics.PixelTally`.
    """

    def __init__(self, kinds: Sequence[str], exact: bool) -> None:
        self._tallies = {kind: PixelTally(exact) for kind in kinds}
        self._seen: set[str] = set()

    def add(self, record: Record, anomaly_map: NDArray[np.float32], defects: Sequence[Channel]) -> None:
        """Add one picture: its (H, W) map and its defects of the same size."""
        weighed = by_channel(anomaly_map, defects)
        for kind in self._tallies if record.is_good else [record.defect]:
            self._tallies[kind].update(weighed)
            self._seen.add(kind)

    def numbers(self) -> dict[str, Numbers]:
        """Under every limit of the false-positive rate: each kind's figure, and the mean if all have one."""
        ranked = {k: tally.compute() if k in self._seen else None for k, tally in self._tallies.items()}
        values: dict[str, Numbers] = {}
        for limit in SPRO_LIMITS:
            own = {k.removesuffix("_anomalies"): r and r.area(limit) for k, r in ranked.items()}
            known = [v for v in own.values() if v is not None]
            values[f"{limit:g}"] = own | {
                "mean": float(np.mean(known)) if known and len(known) == len(own) else None
            }
        return values


def image_ranking(tested: Sequence[Tested]) -> Ranking:
    """Of whole pictures."""
    return Ranking(
        np.array([t.score for t in tested], dtype=np.float64),
        np.array([not t.record.is_good for t in tested], dtype=bool),
    )


def _kind(good: list[Tested], bad: list[Tested]) -> Numbers:
    verdicts = [t.verdict for t in bad]
    calibrated = None not in verdicts
    return {
        "image_auroc": image_ranking(good + bad).auroc(),
        "recall": verdicts.count("FAIL") / len(bad) if calibrated else None,
        "flagged": 1 - verdicts.count("PASS") / len(bad) if calibrated else None,
        "n": len(bad),
    }
