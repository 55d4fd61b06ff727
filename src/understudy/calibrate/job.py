"""Held-out good pictures -> thresholds with a promise: what ``understudy calibrate`` does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from understudy.calibrate.conformal import (
    conformal_threshold,
    good_pictures_needed,
    promise,
    smallest_rate,
)
from understudy.data.layouts import describe, open_pictures
from understudy.data.records import Record
from understudy.errors import InputError, PictureError
from understudy.progress import Progress, Reporter, reporting
from understudy.runtime.decision import Calibration, Limits, Thresholds, distances_to
from understudy.runtime.images import read_bytes
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import SeenPictures, write_calibration
from understudy.runtime.regions import highest_threshold_with_region
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import digest_of

__all__ = [
    "HeldOut",
    "Rates",
    "calibrate",
    "calibrate_fresh",
    "calibrate_on",
    "calibration_from",
    "thresholds_from",
    "unseen_pictures",
]


REVIEW_FACTOR = 5  # the REVIEW band ends at this multiple of the false-alarm rate unless asked otherwise
MIN_AREA = 16  # pixels of the map: smaller regions are no defect unless asked otherwise


@dataclass(frozen=True)
class HeldOut:
    """What a model says of one good picture that it was not trained on.

    Attributes:
        category: by the model's name; ``None`` for a product that it does not know.
        score: image-level anomaly score.
        distance: from the category's prototype; from the nearest for an unknown product.
        level: of its map, up to which a region of the least area survives; see
            :func:`understudy.runtime.regions.highest_threshold_with_region`.
    """

    category: str | None
    score: float
    distance: float
    level: float


@dataclass(frozen=True)
class Rates:
    """Promised shares of good pictures, at most.

    Attributes:
        false_alarm: that FAIL, or whose mask is not empty.
        review: that are no PASS by their score; five times the former by default, 0.5 at most.
        unknown: that are taken for an unknown product where the category is not said; as
            ``false_alarm`` by default.
    """

    false_alarm: float
    review: float | None = None
    unknown: float | None = None

    def __post_init__(self) -> None:
        for rate in (self.false_alarm, self.review, self.unknown):
            if rate is not None and not 0 < rate < 1:
                raise InputError(
                    f"a rate lies between 0 and 1, got {rate:g}; 0.01 is one picture in a hundred"
                )


def thresholds_from(
    scores: Sequence[float], false_alarm_rate: float, review_rate: float | None = None
) -> Thresholds:
    """Both thresholds from one set of held-out good scores.

    Args:
        scores: of good pictures that no training has seen.
        false_alarm_rate: promised share of good pictures that FAIL, at most.
        review_rate: promised share that is no PASS; five times the former by default, 0.5 at most.

    Raises:
        InputError: see :func:`understudy.calibrate.conformal.conformal_threshold`; or the review rate is the
            smaller one.
    """
    if review_rate is None:
        review_rate = max(false_alarm_rate, min(REVIEW_FACTOR * false_alarm_rate, 0.5))
    if review_rate < false_alarm_rate:
        raise InputError(
            f"the review rate {review_rate:g} must not be below the false-alarm rate {false_alarm_rate:g}"
        )
    return Thresholds(
        fail_above=conformal_threshold(scores, false_alarm_rate),
        review_above=conformal_threshold(scores, review_rate),
        false_alarm_rate=false_alarm_rate,
        review_rate=review_rate,
        n_good=len(scores),
    )


def calibration_from(found: Sequence[HeldOut], rates: Rates, min_area: int = MIN_AREA) -> Calibration:
    """Thresholds and limits for all, and of every category with pictures enough to promise a rate by itself.

    Raises:
        InputError: see :func:`thresholds_from`.
    """
    thresholds = thresholds_from([each.score for each in found], rates.false_alarm, rates.review)
    unknown = rates.false_alarm if rates.unknown is None else rates.unknown
    return Calibration(
        thresholds=thresholds,
        categories={
            category: thresholds_from([each.score for each in own], rates.false_alarm, rates.review)
            for category, own in _enough(found, rates.false_alarm).items()
        },
        masks=_limits(found, rates.false_alarm, lambda each: each.level),
        min_area=min_area,
        distances=_limits(found, unknown, lambda each: each.distance),
        promise=promise(thresholds.n_good, rates.false_alarm),
    )


def _limits(found: Sequence[HeldOut], rate: float, figure: Callable[[HeldOut], float]) -> Limits:
    return Limits(
        rate=rate,
        overall=conformal_threshold([figure(each) for each in found], rate),
        categories={
            category: conformal_threshold([figure(each) for each in own], rate)
            for category, own in _enough(found, rate).items()
        },
    )


def _enough(found: Sequence[HeldOut], rate: float) -> dict[str, list[HeldOut]]:
    """Pictures of each category that has enough of them to promise a rate."""
    return {c: own for c, own in _by_category(found).items() if len(own) >= good_pictures_needed(rate)}


def _by_category(found: Sequence[HeldOut]) -> dict[str, list[HeldOut]]:
    """Pictures of each category that the model knows, in order of their names."""
    names = sorted({each.category for each in found if each.category is not None})
    return {name: [each for each in found if each.category == name] for name in names}


def calibrate(
    inspector: Inspector,
    data: str | Path,
    *,
    false_alarm_rate: float = 0.01,
    review_rate: float | None = None,
    unknown_rate: float | None = None,
    min_area: int = MIN_AREA,
    progress: Progress = True,
) -> Calibration:
    """Set thresholds, for all and per category, from good pictures that the model has never seen.

    They hold in the model at once, and replace the ``calibration.json`` in its folder.

    Args:
        inspector: the model, trained or exported.
        data: Folder or list of pictures. Of several categories those that the model knows are taken. Test pictures
            never are.
        false_alarm_rate: Share of good pictures that may FAIL, at most, in (0, 1).
        review_rate: Share of good pictures that may not PASS, at most; 5 times the false-alarm rate by default.
        unknown_rate: Share of good pictures that may be taken for an unknown product; as the false-alarm rate by
            default.
        min_area: Least area of a marked defect, in pixels of the anomaly map.
        progress: see :data:`understudy.progress.Progress`.

    Raises:
        InputError: the data cannot be used, there are too few pictures, or a rate or the area is out of range.
    """
    with reporting(progress) as reporter:
        known = open_pictures(Path(data)).keep_known(inspector.categories)
        reporter.say(describe(known))
        unseen = unseen_pictures(inspector.seen, known.train() + known.validation())
        rates = Rates(false_alarm_rate, review_rate, unknown_rate)
        return calibrate_on(inspector, unseen, rates, reporter, min_area)


def calibrate_fresh(
    inspector: Inspector, held_out: Sequence[Record], asked_rate: float, reporter: Reporter
) -> Calibration | None:
    """Calibrate a fresh model at the asked rate, or at the smallest that its held-out pictures allow."""
    unseen = unseen_pictures(inspector.seen, held_out)
    if not unseen:
        return None
    rate = max(asked_rate, smallest_rate(len(unseen)))
    if rate > asked_rate:
        reporter.say(
            f"a false-alarm rate of {asked_rate:g} was asked for; {len(unseen)} held-out pictures can "
            f"promise {rate:.3g} at best: hold out more, or calibrate with further good pictures"
        )
    return calibrate_on(inspector, unseen, Rates(rate), reporter)


def unseen_pictures(pictures: SeenPictures, records: Sequence[Record]) -> list[Record]:
    """Those pictures whose content the training has not seen, under whatever name."""
    seen = {*pictures.trained, *pictures.validation}
    return [record for record in records if digest_of(read_bytes(record.path)) not in seen]


def calibrate_on(
    inspector: Inspector,
    unseen: Sequence[Record],
    rates: Rates,
    reporter: Reporter,
    min_area: int = MIN_AREA,
) -> Calibration:
    """Score good pictures that the model has not seen; what they set holds at once, and is written down."""
    if len(unseen) < good_pictures_needed(rates.false_alarm):  # say so before the work, not after
        conformal_threshold([0.0] * len(unseen), rates.false_alarm)
    found: list[HeldOut] = []
    named = [inspector.match_category(record.category) for record in unseen]
    scorer = replace(inspector.scorer, calibration=None)  # an earlier one must not decide anything
    for category, result in zip(named, scorer.score([r.path for r in unseen], categories=named), strict=True):
        if isinstance(result, PictureError):
            raise result
        _refuse_no_number(result)
        pixels = result.anomaly_map.size
        if not 1 <= min_area <= pixels:
            raise InputError(
                f"the least area of a defect lies between 1 and the map's {pixels} pixels, got {min_area}, "
                f"for {result.path}; choose another --min-area, or leave that picture out"
            )
        away = distances_to(result.embedding, inspector.scorer.prototypes)
        distance = min(away.values()) if category is None else away[category]
        level = highest_threshold_with_region(result.anomaly_map, min_area)
        found.append(HeldOut(category, result.score, distance, level))
        reporter.advance("calibrate", len(found), len(unseen), "")
    _refuse_constant([each.score for each in found])
    calibration = calibration_from(found, rates, min_area)
    write_calibration(inspector.folder, inspector.manifest, calibration)
    inspector.calibration = calibration
    counts = Counter(each.category for each in found)
    _report(calibration, {c: counts[c] for c in inspector.categories}, reporter)
    return calibration


def _refuse_no_number(found: Scored) -> None:
    """A score or an embedding that is no number would make a threshold or a distance that is none."""
    if not (math.isfinite(found.score) and np.isfinite(found.embedding).all()):
        raise InputError(
            f"{found.path} has a score or an embedding that is no number; train the model again, or "
            "calibrate without that picture"
        )


def _refuse_constant(scores: Sequence[float]) -> None:
    """Scores that are all the same come from copies of one picture, or from a model that sees nothing."""
    if len(scores) > 1 and len(set(scores)) == 1:
        raise InputError(
            f"all {len(scores)} held-out good pictures have the same score {scores[0]:g}; calibrate with "
            "pictures that differ, or train the model again"
        )


def _report(calibration: Calibration, counts: Mapping[str, int], reporter: Reporter) -> None:
    """Say what was set, what it promises, and which categories have no thresholds of their own."""
    t = calibration.thresholds
    reporter.say(
        f"thresholds from {t.n_good} held-out good pictures: FAIL above {t.fail_above:.4f}, "
        f"REVIEW above {t.review_above:.4f}; defects are regions of {calibration.min_area} pixels of the map "
        f"above {calibration.masks.overall:.4f}"
    )
    reporter.say(calibration.promise)
    reporter.say(promise(t.n_good, t.review_rate, "are no PASS"))
    unknown = promise(t.n_good, calibration.distances.rate, "are taken for an unknown product")
    reporter.say(f"where the category is not said: {unknown}")
    without = [f"{name} ({n})" for name, n in counts.items() if name not in calibration.categories]
    if without:
        reporter.say(
            f"too few held-out good pictures for thresholds of their own, so those for all apply: "
            f"{', '.join(without)}; {good_pictures_needed(t.false_alarm_rate)} of a category are needed"
        )
