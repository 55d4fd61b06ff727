"""The steps of a calibration: score good pictures, set thresholds, save them, say what they mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from understudy.calibrate.advice import advice
from understudy.calibrate.conformal import conformal_threshold, good_pictures_needed
from understudy.calibrate.estimate import MOST_VIEWS, Numbers, ProductFigures
from understudy.calibrate.known_defects import find_defects, list_defects
from understudy.calibrate.learn import Learned, learn_usual
from understudy.calibrate.references import with_references
from understudy.calibrate.thresholds import (
    MIN_AREA,
    REVIEW_BUDGET,
    TIMES_FOR_OWN,
    HeldOut,
    Rates,
    estimated,
    figures_by_category,
    keep_others,
    promised,
)
from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce
from understudy.data.records import PictureData, Record
from understudy.errors import BundleError, InputError, PictureError
from understudy.progress import Progress, Reporter, reporting
from understudy.runtime.bundle import SeenPictures, read_calibration, save_calibration
from understudy.runtime.decision import Calibration, distances_to
from understudy.runtime.images import read_bytes
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import TrainingCard
from understudy.runtime.regions import highest_threshold_with_region
from understudy.runtime.scoring import Scored
from understudy.runtime.signature import is_signed
from understudy.runtime.sources import digest_of
from understudy.types import Basis, ImageScore

__all__ = ["calibrate", "calibrate_fresh", "calibrate_on", "seen_pictures", "unseen_pictures"]


FEWEST = 20  # unseen pictures that rates can be estimated from, where they are too few for a promise


def calibrate(
    inspector: Inspector,
    data: PictureData,
    *,
    false_alarm_rate: float = 0.01,
    review_budget: float = REVIEW_BUDGET,
    min_area: int = MIN_AREA,
    basis: Basis | None = None,
    defects: PictureData | None = None,
    progress: Progress = True,
) -> Calibration:
    """Set thresholds, for all categories and for each, from good pictures that the training has not seen.

    The thresholds take effect in the model at once and replace ``calibration.json`` in its folder. With
    1 / ``false_alarm_rate`` pictures or more the rate is promised, with fewer it is estimated.

    Args:
        inspector: model, trained or exported.
        data: folder or list of good pictures. Categories that the model does not know are left out. Test
            pictures are never used.
        false_alarm_rate: largest share of good pictures that may FAIL, in (0, 1).
        review_budget: share of good pictures that a person can look at, in (0, 1): a REVIEW by its score, or
            a picture taken for an unknown product.
        min_area: smallest area of a defect, in pixels of the anomaly map.
        basis: ``promised`` insists on a promise, ``estimated`` sets limits for each category from the same
            pictures by a fitted tail, which finds more and promises nothing; by default a promise where
            there are enough pictures, else an estimate.
        defects: folder or list of known defective pictures. What is found of them at several rates is said;
            no threshold depends on them.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        The new calibration.

    Raises:
        InputError: the data cannot be used, there are too few pictures, or a rate or the area is out of
            range.
    """
    rates = Rates(false_alarm_rate, review_budget)
    if min_area < 1:
        raise InputError(f"the least area of a defect is a pixel or more, got {min_area}; see --min-area")
    with reporting(progress) as reporter:
        known = as_picture_set(data).keep_known(inspector.categories)
        announce(known, reporter.say)
        defective = None if defects is None else list_defects(inspector, defects, reporter)
        unseen = unseen_pictures(inspector.seen, known.train() + known.validation(), reporter)
        calibration = calibrate_on(inspector, unseen, rates, reporter, min_area, basis)
        if defective:
            for line in find_defects(inspector, defective, reporter).lines():
                reporter.say(line)
        return calibration


def calibrate_fresh(
    inspector: Inspector,
    learned: Sequence[Record],
    held_out: Sequence[Record],
    image_score: ImageScore,
    rates: Rates,
    reporter: Reporter,
) -> Calibration | None:
    """Learn what is usual in the maps of a new model, and set its thresholds, as estimated.

    Args:
        inspector: model.
        learned: good pictures that it learned from.
        held_out: good pictures that were held out from its training; may be empty.
        image_score: which scores the model is to have.
        rates: rates to reach.
        reporter: takes progress.

    Returns:
        The calibration; ``None``, after a line that says why, if there are fewer than ten good pictures.
    """
    figures = learn_usual(inspector, learned, image_score, MIN_AREA, reporter)
    unseen = unseen_pictures(inspector.seen, held_out, reporter)
    measured = _measure(inspector, unseen, MIN_AREA, reporter)
    n = sum(len(f.scores) for f in figures.values() if len(f.scores) > 1) + len(measured)
    if n < 10:  # a product's only picture has nothing to be compared with
        reporter.say(f"{n} good pictures are too few for thresholds, which take ten")
        return None
    training = inspector.manifest.training
    views = _views(training, {c: f.windows for c, f in figures.items()})
    calibration = with_references(estimated(_together(figures, measured, views), rates), measured, figures)
    _save(inspector, calibration, reporter)
    held = Counter(each.category for each in measured)
    reporter.say(advice({c: n + held[c] for c, n in training.categories.items()}))
    return calibration


def _together(
    learned: Mapping[str, Learned], measured: Sequence[HeldOut], views: Mapping[str, float]
) -> dict[str, dict[str, ProductFigures]]:
    """Figures of pictures that were learned from and of held-out ones, by name and category."""

    def of(
        seen: Callable[[Learned], Numbers], new: Callable[[HeldOut], float], views: Mapping[str, float]
    ) -> dict[str, ProductFigures]:
        unseen, none = figures_by_category(measured, new), np.zeros(0)
        return {
            c: ProductFigures(
                seen(learned[c]) if c in learned else none,
                np.asarray(unseen.get(c, none), np.float64),
                views.get(c, 0.0),
            )
            for c in sorted({*learned, *unseen})
        }

    return {
        "score": of(lambda x: x.scores, lambda h: h.score, views),
        "level": of(lambda x: x.levels, lambda h: h.level, views),
        "distance": of(lambda x: x.distances, lambda h: h.distance, {}),  # the student has no part in it
    }


def _views(training: TrainingCard, windows: Mapping[str, float]) -> dict[str, float]:
    """How often a training has seen each window of a category, on average; more than counts is cut off.

    Args:
        training: how the model was trained.
        windows: number of windows of a picture of each category, on average.
    """
    shown, numbers = training.steps * training.batch_size, training.categories
    of_category = {c: n * windows.get(c, 1.0) for c, n in numbers.items()}
    if training.sampling == "balanced":
        views = {c: shown / len(numbers) / n for c, n in of_category.items()}
    else:
        views = dict.fromkeys(numbers, shown / sum(of_category.values()))
    return {c: min(each, MOST_VIEWS) for c, each in views.items()}


def seen_pictures(pictures: SeenPictures, records: Sequence[Record]) -> list[Record]:
    """Return the pictures that a training has learned from."""
    trained = set(pictures.trained)
    return [record for record in records if digest_of(read_bytes(record.path)) in trained]


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
    basis: Basis | None = None,
) -> Calibration:
    """Score good pictures that the training has not seen, set the thresholds and save them.

    Args:
        inspector: model; gets the calibration at once.
        unseen: good pictures that the training has not seen.
        rates: rates to promise or to estimate.
        reporter: takes progress.
        min_area: smallest area of a defect, in pixels of the map.
        basis: see :func:`calibrate`.

    Raises:
        InputError: there are too few pictures, a picture cannot be used, or the area is out of range.
    """
    need, n = good_pictures_needed(rates.false_alarm), len(unseen)
    if n < need and (basis == "promised" or not n):  # fail before the work, not after it
        conformal_threshold([0.0] * n, rates.false_alarm)
    if n < min(need, FEWEST):
        raise InputError(
            f"{n} good pictures that the training has not seen are too few: {FEWEST} are the least for an "
            f"estimate, and {need} promise a rate of {rates.false_alarm:g}; add pictures"
        )
    figures = _measure(inspector, unseen, min_area, reporter)
    _refuse_constant([each.score for each in figures])
    if n >= need and basis != "estimated":
        calibration = promised(figures, rates, min_area)
    else:
        if basis is None:
            reporter.say(
                f"{n} good pictures that the training has not seen are too few to promise "
                f"{rates.false_alarm:g}, which takes {need}: the rate is estimated"
            )
        calibration = estimated(_together({}, figures, {}), rates, min_area)
    calibration = with_references(calibration, figures)
    old = _calibration_before(inspector)
    _save(inspector, keep_others(calibration, old, inspector.categories), reporter)
    _report_others(calibration, old, inspector.categories, reporter)
    return inspector.calibration or calibration


def _calibration_before(inspector: Inspector) -> Calibration | None:
    """Return the calibration that the model has; ``None`` if it has none or it is damaged."""
    if inspector.calibration:
        return inspector.calibration
    try:
        return read_calibration(inspector.folder, inspector.manifest)
    except BundleError:
        return None


def _report_others(
    new: Calibration, old: Calibration | None, categories: Sequence[str], reporter: Reporter
) -> None:
    """Report which products have no pictures in a new calibration, and whether the old one was surer."""
    others = [c for c in categories if c not in new.scores]
    if others:
        what = "keep the thresholds that they had" if old else "have thresholds that rest on other products"
        reporter.say(f"no good pictures were given of {', '.join(others)}: they {what}")
    if old and new.interval and new.thresholds.n_good < old.thresholds.n_good:
        reporter.say(
            f"the thresholds before came from {old.thresholds.n_good} good pictures, these from "
            f"{new.thresholds.n_good}, so they are less sure"
        )


def _measure(
    inspector: Inspector, unseen: Sequence[Record], min_area: int, reporter: Reporter
) -> list[HeldOut]:
    """Score good pictures that the training has not seen."""
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
        light = result.brightness, result.sharpness
        figures.append(HeldOut(category, result.score, distance, level, *light))
        reporter.advance("calibrate", len(figures), len(unseen), "")
    return figures


def _save(inspector: Inspector, calibration: Calibration, reporter: Reporter) -> None:
    """Save a calibration, let it take effect, and say what it means."""
    inspector.manifest = save_calibration(inspector.folder, inspector.manifest, calibration)
    inspector.calibration = calibration
    if is_signed(inspector.folder):
        reporter.say(f"{inspector.folder} was signed, and its signature no longer fits: sign it again")
    _report(calibration, reporter)


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


def _report(calibration: Calibration, reporter: Reporter) -> None:
    """Report what was set, and what it promises or estimates."""
    t = calibration.thresholds
    reporter.say(calibration.promise)
    budget = t.review_rate - t.false_alarm_rate + calibration.distances.rate
    how = "no more than" if t.basis == "promised" else "about"
    reporter.say(
        f"a person looks at {how} {100 * budget:.3g} % of good pictures (REVIEW): "
        f"{100 * (t.review_rate - t.false_alarm_rate):.3g} % by their score, and "
        f"{100 * calibration.distances.rate:.3g} % because they look like no known product"
    )
    if t.basis == "promised" and len(calibration.scores) > 1:
        without = [
            f"{c} ({len(x)})" for c, x in calibration.scores.items() if c not in calibration.categories
        ]
        if without:
            need = TIMES_FOR_OWN * good_pictures_needed(t.false_alarm_rate)
            reporter.say(
                f"these share the thresholds of all pictures, and the promise holds for them together: "
                f"{', '.join(without)}; {need} pictures of a category give it its own"
            )
