"""The steps of a calibration: score good pictures that the training has not seen, set thresholds, save."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from understudy.calibrate.conformal import (
    conformal_threshold,
    good_pictures_needed,
    promise,
    smallest_rate,
)
from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce
from understudy.data.records import PictureData, Record
from understudy.errors import InputError, PictureError
from understudy.progress import Progress, Reporter, reporting
from understudy.runtime.bundle import SeenPictures, save_calibration
from understudy.runtime.decision import Calibration, Limits, Thresholds, distances_to
from understudy.runtime.images import read_bytes
from understudy.runtime.inspector import Inspector
from understudy.runtime.regions import highest_threshold_with_region
from understudy.runtime.scoring import Scored
from understudy.runtime.signature import is_signed
from understudy.runtime.sources import digest_of
from understudy.types import LEAST_RATE

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


REVIEW_FACTOR = 5  # default review rate, as a multiple of the false-alarm rate
MIN_AREA = 16  # default: regions of fewer pixels of the map are no defect


@dataclass(frozen=True)
class HeldOut:
    """Figures of one good picture that the training has not seen.

    Attributes:
        category: category of the model that the picture shows; ``None`` for a product that the model does not
            know.
        score: image-level anomaly score; larger is more abnormal.
        distance: distance from the prototype of the category, in [0, 2]; for an unknown product, from the
            nearest prototype.
        level: highest threshold at which the map has a region of the smallest defect area; see
            :func:`understudy.runtime.regions.highest_threshold_with_region`.
    """

    category: str | None
    score: float
    distance: float
    level: float


@dataclass(frozen=True)
class Rates:
    """Promised upper bounds on shares of good pictures, each in (0, 1).

    Attributes:
        false_alarm: share that FAIL; also the share with a defect mask that is not empty.
        review: share that do not PASS; by default five times ``false_alarm``, but at most 0.5.
        unknown: share taken for an unknown product if the category is not given; ``false_alarm`` by default.

    Raises:
        InputError: a rate is out of range, or the review rate is below the false-alarm rate.
    """

    false_alarm: float
    review: float | None = None
    unknown: float | None = None

    def __post_init__(self) -> None:
        for rate in (self.false_alarm, self.review, self.unknown):
            if rate is not None and not LEAST_RATE <= rate <= 1 - LEAST_RATE:
                raise InputError(
                    f"a rate lies between 0 and 1, got {rate:g}; 0.01 is one picture in a hundred, and "
                    f"{LEAST_RATE:g} is the least"
                )
        if self.review is not None:
            _refuse_below(self.review, self.false_alarm)


def thresholds_from(
    scores: Sequence[float], false_alarm_rate: float, review_rate: float | None = None
) -> Thresholds:
    """Compute both thresholds from the scores of held-out good pictures.

    Args:
        scores: scores of good pictures that the training has not seen.
        false_alarm_rate: promised upper bound on the share of good pictures that FAIL, in (0, 1).
        review_rate: the same for good pictures that do not PASS; by default five times the false-alarm rate,
            but at most 0.5.

    Raises:
        InputError: there are too few scores or a rate is out of range (see
            :func:`understudy.calibrate.conformal.conformal_threshold`), or the review rate is below the
            false-alarm rate.
    """
    if review_rate is None:
        review_rate = max(false_alarm_rate, min(REVIEW_FACTOR * false_alarm_rate, 0.5))
    _refuse_below(review_rate, false_alarm_rate)
    return Thresholds(
        fail_above=conformal_threshold(scores, false_alarm_rate),
        review_above=conformal_threshold(scores, review_rate),
        false_alarm_rate=false_alarm_rate,
        review_rate=review_rate,
        n_good=len(scores),
    )


def _refuse_below(review_rate: float, false_alarm_rate: float) -> None:
    if review_rate < false_alarm_rate:
        raise InputError(
            f"the review rate {review_rate:g} must not be below the false-alarm rate {false_alarm_rate:g}"
        )


def calibration_from(held_out: Sequence[HeldOut], rates: Rates, min_area: int = MIN_AREA) -> Calibration:
    """Compute thresholds and limits for all categories together, and for each with enough pictures.

    Args:
        held_out: figures of held-out good pictures.
        rates: rates to promise.
        min_area: smallest area of a defect, in pixels of the map.

    Raises:
        InputError: see :func:`thresholds_from`.
    """
    thresholds = thresholds_from([each.score for each in held_out], rates.false_alarm, rates.review)
    unknown = rates.false_alarm if rates.unknown is None else rates.unknown
    return Calibration(
        thresholds=thresholds,
        categories={
            category: thresholds_from([each.score for each in members], rates.false_alarm, rates.review)
            for category, members in _enough(held_out, rates.false_alarm).items()
        },
        masks=_limits(held_out, rates.false_alarm, lambda each: each.level),
        min_area=min_area,
        distances=_limits(held_out, unknown, lambda each: each.distance),
        promise=promise(thresholds.n_good, rates.false_alarm),
    )


def _limits(pictures: Sequence[HeldOut], rate: float, figure: Callable[[HeldOut], float]) -> Limits:
    return Limits(
        rate=rate,
        overall=conformal_threshold([figure(each) for each in pictures], rate),
        categories={
            category: conformal_threshold([figure(each) for each in members], rate)
            for category, members in _enough(pictures, rate).items()
        },
    )


def _enough(pictures: Sequence[HeldOut], rate: float) -> dict[str, list[HeldOut]]:
    """Return the pictures of each category that has enough of them to promise a rate."""
    need = good_pictures_needed(rate)
    return {name: members for name, members in _by_category(pictures).items() if len(members) >= need}


def _by_category(pictures: Sequence[HeldOut]) -> dict[str, list[HeldOut]]:
    """Return the pictures of each category that the model knows, sorted by name."""
    names = sorted({each.category for each in pictures if each.category is not None})
    return {name: [each for each in pictures if each.category == name] for name in names}


def calibrate(
    inspector: Inspector,
    data: PictureData,
    *,
    false_alarm_rate: float = 0.01,
    review_rate: float | None = None,
    unknown_rate: float | None = None,
    min_area: int = MIN_AREA,
    progress: Progress = True,
) -> Calibration:
    """Set thresholds, for all categories and for each, from good pictures that the training has not seen.

    The thresholds take effect in the model at once and replace ``calibration.json`` in its folder.

    Args:
        inspector: model, trained or exported.
        data: folder or list of good pictures. Categories that the model does not know are left out. Test
            pictures are never used.
        false_alarm_rate: promised upper bound on the share of good pictures that FAIL, in (0, 1).
        review_rate: the same for good pictures that do not PASS; by default five times the false-alarm rate,
            but at most 0.5.
        unknown_rate: the same for good pictures taken for an unknown product; the false-alarm rate by
            default.
        min_area: smallest area of a defect, in pixels of the anomaly map.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        The new calibration.

    Raises:
        InputError: the data cannot be used, there are too few pictures, or a rate or the area is out of
            range.
    """
    rates = Rates(false_alarm_rate, review_rate, unknown_rate)
    if min_area < 1:
        raise InputError(f"the least area of a defect is a pixel or more, got {min_area}; see --min-area")
    with reporting(progress) as reporter:
        known = as_picture_set(data).keep_known(inspector.categories)
        announce(known, reporter.say)
        unseen = unseen_pictures(inspector.seen, known.train() + known.validation(), reporter)
        return calibrate_on(inspector, unseen, rates, reporter, min_area)


def calibrate_fresh(
    inspector: Inspector, held_out: Sequence[Record], asked_rate: float, reporter: Reporter
) -> Calibration | None:
    """Calibrate a new model at the asked rate, or at the smallest rate that its held-out pictures allow.

    Args:
        inspector: model.
        held_out: good pictures that were held out from its training.
        asked_rate: false-alarm rate, in (0, 1).
        reporter: takes progress, and a line if another rate is used.

    Returns:
        The calibration; ``None`` if no picture was held out.
    """
    unseen = unseen_pictures(inspector.seen, held_out, reporter)
    if not unseen:
        return None
    rate = max(asked_rate, smallest_rate(len(unseen)))
    if rate > asked_rate:
        reporter.say(
            f"a false-alarm rate of {asked_rate:g} was asked for; {len(unseen)} held-out pictures can "
            f"promise {rate:.3g} at best: hold out more, or calibrate with further good pictures"
        )
    return calibrate_on(inspector, unseen, Rates(rate), reporter)


def unseen_pictures(
    pictures: SeenPictures, records: Sequence[Record], reporter: Reporter | None = None
) -> list[Record]:
    """Return the pictures whose content the training has not seen, whatever their file names; each once.

    Args:
        pictures: digests of the pictures that the training used.
        records: good pictures.
        reporter: takes a line if some are copies of others.
    """
    seen = {*pictures.trained, *pictures.validation}
    unseen: dict[str, Record] = {}
    copies = 0
    for record in records:
        digest = digest_of(read_bytes(record.path))
        if digest in unseen:
            copies += 1
        elif digest not in seen:
            unseen[digest] = record
    if copies and reporter:
        reporter.say(f"{copies} copies of other pictures count once: they prove nothing more")
    return list(unseen.values())


def calibrate_on(
    inspector: Inspector,
    unseen: Sequence[Record],
    rates: Rates,
    reporter: Reporter,
    min_area: int = MIN_AREA,
) -> Calibration:
    """Score good pictures that the training has not seen, set the thresholds and save them.

    Args:
        inspector: model; gets the calibration at once.
        unseen: good pictures that the training has not seen.
        rates: rates to promise.
        reporter: takes progress.
        min_area: smallest area of a defect, in pixels of the map.

    Raises:
        InputError: there are too few pictures, a picture cannot be used, or the area is out of range.
    """
    if len(unseen) < good_pictures_needed(rates.false_alarm):  # fail before the work, not after it
        conformal_threshold([0.0] * len(unseen), rates.false_alarm)
    figures: list[HeldOut] = []
    named = [inspector.match_category(record.category) for record in unseen]
    scorer = replace(inspector.scorer, calibration=None)  # the old calibration must not matter
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
        figures.append(HeldOut(category, result.score, distance, level))
        reporter.advance("calibrate", len(figures), len(unseen), "")
    _refuse_constant([each.score for each in figures])
    calibration = calibration_from(figures, rates, min_area)
    inspector.manifest = save_calibration(inspector.folder, inspector.manifest, calibration)
    inspector.calibration = calibration
    if is_signed(inspector.folder):
        reporter.say(f"{inspector.folder} was signed, and its signature no longer fits: sign it again")
    counts = Counter(each.category for each in figures)
    _report(calibration, {c: counts[c] for c in inspector.categories}, reporter)
    return calibration


def _refuse_no_number(scored: Scored) -> None:
    """Refuse a score or an embedding that is infinite or NaN: no threshold can come from it."""
    if not (math.isfinite(scored.score) and np.isfinite(scored.embedding).all()):
        raise InputError(
            f"{scored.path} has a score or an embedding that is not a number (NaN); train the model again, "
            "or calibrate without that picture"
        )


def _refuse_constant(scores: Sequence[float]) -> None:
    """Refuse equal scores: they come from copies of one picture, or from a model that sees nothing."""
    if len(scores) > 1 and len(set(scores)) == 1:
        raise InputError(
            f"all {len(scores)} held-out good pictures have the same score {scores[0]:g}; calibrate with "
            "pictures that differ, or train the model again"
        )


def _report(calibration: Calibration, counts: Mapping[str, int], reporter: Reporter) -> None:
    """Report what was set, what it promises, and which categories have no thresholds of their own."""
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
