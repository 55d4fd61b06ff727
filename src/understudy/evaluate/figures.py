"""Metrics of test pictures, added one picture at a time: of one category, or of all together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from understudy.data.records import Record
from understudy.evaluate.pixels import PixelsByKind
from understudy.metrics import Ranking, Weighed, auroc_interval
from understudy.types import Verdict

__all__ = [
    "IMAGE_NAMES",
    "NAMES",
    "PIXEL_NAMES",
    "SPRO_LIMITS",
    "Figures",
    "Numbers",
    "Recognition",
    "SproFigures",
    "Tested",
    "mean_of",
]


IMAGE_NAMES = ("image_auroc", "image_ap", "image_f1max")
PIXEL_NAMES = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")
NAMES = IMAGE_NAMES + PIXEL_NAMES
SPRO_LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)

_LOCO_KINDS = ("logical", "structural")

Numbers = dict[str, float | None]

Recognition = Literal["right", "wrong", "unknown"]
"""How a model recognises a picture's category: the right one, a wrong one, or none that it knows."""


@dataclass(frozen=True)
class Tested:
    """One test picture with its result.

    Attributes:
        record: the picture, with its category and its kind of defect.
        score: image-level anomaly score; larger is more abnormal.
        verdict: PASS, REVIEW or FAIL; ``None`` while the model is not calibrated.
        recognition: how the model recognises the category when nobody names it; ``None`` for a category
            that the model was not trained on.
    """

    record: Record
    score: float
    verdict: Verdict | None
    recognition: Recognition | None


class Figures:
    """Metrics of the pictures that were added. The maps are not kept.

    Args:
        exact: keep every pixel's score, or count scores in bins; see :class:`understudy.metrics.PixelTally`.
        limit: false-positive rate up to which AUPRO goes, in (0, 1].
    """

    def __init__(self, exact: bool, limit: float) -> None:
        self.tested: list[Tested] = []
        self._limit = limit
        self._pixels = PixelsByKind(exact)
        self._n_marked = 0

    def add(self, tested: Tested, pixels: Weighed | None) -> None:
        """Add one picture: its score, and its pixels, which are ``None`` for a defect that nobody marked."""
        self.tested.append(tested)
        if pixels is not None:
            self._pixels.add(tested.record.defect, pixels)
            self._n_marked += not tested.record.is_good

    def numbers(self, left_out: int = 0) -> dict[str, Any]:
        """Compute all metrics and counts, as ``metrics.json`` holds them.

        Args:
            left_out: number of pictures that could not be read.

        Returns:
            Metrics as fractions in [0, 1]. One that cannot be computed is ``None``, and ``missing`` says why.
        """
        image = image_ranking(self.tested)
        values: dict[str, Any] = dict.fromkeys(NAMES)
        values |= zip(IMAGE_NAMES, (image.auroc(), image.average_precision(), image.f1_max()), strict=True)
        error = None
        if pixels := self._pixels.ranking():
            found = (pixels.auroc(), pixels.average_precision(), pixels.f1_max(), pixels.area(self._limit))
            values |= zip(PIXEL_NAMES, found, strict=True)
            bounds = self._pixels.error(pixels, self._limit)
            error = bounds and dict(zip(PIXEL_NAMES, bounds.values(), strict=True))
        interval = None
        if values["image_auroc"] is not None:
            interval = list(auroc_interval(values["image_auroc"], image.n_good, image.n_defect))
        return values | {
            "image_auroc_interval": interval,
            "false_alarm_rate": self._false_alarm_rate(),
            "recognition": self._recognition(),
            "max_error": error,
            "missing": self._missing(values, image, left_out),
            "n_good": image.n_good,
            "n_defect": image.n_defect,
            "n_masks": self._n_marked,
        }

    def _false_alarm_rate(self) -> float | None:
        """Share of the good pictures that FAIL; ``None`` without verdicts or good pictures."""
        verdicts = [t.verdict for t in self.tested if t.record.is_good]
        return verdicts.count("FAIL") / len(verdicts) if verdicts and None not in verdicts else None

    def _recognition(self) -> dict[str, float] | None:
        """Share of each :data:`Recognition` among the pictures of categories that the model knows."""
        known = [t.recognition for t in self.tested if t.recognition]
        return {kind: known.count(kind) / len(known) for kind in get_args(Recognition)} if known else None

    def _missing(self, values: Numbers, image: Ranking, left_out: int) -> dict[str, str]:
        """Name of each metric that is ``None`` -> the reason."""
        if not self.tested:
            reason = "no test pictures"
        elif not image.n_defect:
            reason = "no defective test pictures"
        else:
            reason = "no good test pictures"
        pixel = reason if not image.n_defect else "no defect is marked by a mask"
        if self._n_marked:
            pixel = "no pixel is without defect, or every marked one is ignored"
        unread = f" ({left_out} could not be read)" if left_out else ""
        reasons = dict.fromkeys(IMAGE_NAMES, reason + unread) | dict.fromkeys(PIXEL_NAMES, pixel + unread)
        return {name: reasons[name] for name in NAMES if values[name] is None}

    def by_defect(self) -> dict[str, Numbers]:
        """Kind of defect -> figures of its pictures against all good pictures."""
        good = [t for t in self.tested if t.record.is_good]
        kinds = sorted({t.record.defect for t in self.tested if not t.record.is_good})
        return {k: self._kind(k, good, [t for t in self.tested if t.record.defect == k]) for k in kinds}

    def _kind(self, kind: str, good: list[Tested], bad: list[Tested]) -> Numbers:
        """Figures of one kind: ``recall`` is the share that FAILs, ``flagged`` adds the share in REVIEW."""
        verdicts = [t.verdict for t in bad]
        judged = None not in verdicts
        pixels = self._pixels.ranking(kind)
        return {
            "image_auroc": image_ranking(good + bad).auroc(),
            "pixel_auroc": pixels.auroc() if pixels else None,
            "aupro": pixels.area(self._limit) if pixels else None,
            "recall": verdicts.count("FAIL") / len(bad) if judged else None,
            "flagged": 1 - verdicts.count("PASS") / len(bad) if judged else None,
            "n": len(bad),
        }


class SproFigures:
    """AU-sPRO of the pictures of one category, at the pictures' own resolution.

    Each kind of defect is measured against the good pictures only, as MVTec LOCO's evaluation does.

    Args:
        exact: keep every pixel's score, or count scores in bins; see :class:`understudy.metrics.PixelTally`.
    """

    def __init__(self, exact: bool) -> None:
        self._pixels = PixelsByKind(exact)

    def add(self, kind: str, pixels: Weighed) -> None:
        """Add the pixels of one picture; ``kind`` is its kind of defect, or ``good``."""
        self._pixels.add(kind, pixels)

    def numbers(self) -> dict[str, Any]:
        """Compute AU-sPRO by limit of the false-positive rate and kind, with the largest error of each.

        ``mean`` is the mean of logical and structural anomalies; ``None`` unless both are known.
        """
        ranked = {k.removesuffix("_anomalies"): self._pixels.ranking(k) for k in self._pixels.kinds}
        figures: dict[str, Numbers] = {}
        errors: dict[str, Numbers] = {}
        for limit in SPRO_LIMITS:
            areas: Numbers = {kind: r.area(limit) if r else None for kind, r in ranked.items()}
            logical, structural = (areas.setdefault(kind, None) for kind in _LOCO_KINDS)
            known = logical is not None and structural is not None
            figures[f"{limit:g}"] = areas | {"mean": mean_of((logical, structural)) if known else None}
            bounds = {kind: r and self._pixels.error(r, limit) for kind, r in ranked.items()}
            errors[f"{limit:g}"] = {kind: b["area"] for kind, b in bounds.items() if b}
        return {"au_spro": figures, "au_spro_max_error": errors if any(errors.values()) else None}


def image_ranking(tested: Sequence[Tested]) -> Ranking:
    """Test pictures -> ranking of their image-level scores."""
    return Ranking(
        np.array([t.score for t in tested], dtype=np.float64),
        np.array([not t.record.is_good for t in tested], dtype=bool),
    )


def mean_of(values: Iterable[float | None]) -> float | None:
    """Unweighted mean of the known values; ``None`` if there are none."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
