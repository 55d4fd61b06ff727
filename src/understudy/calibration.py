"""Held-out good pictures -> thresholds with a promise: what ``understudy calibrate`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from understudy.conformal import conformal_threshold, good_pictures_needed, promise
from understudy.data.decode import digest_of
from understudy.data.folder import describe, open_pictures
from understudy.errors import InputError, PictureError
from understudy.model import TrainedModel, load_uncalibrated
from understudy.reporter import Reporter
from understudy.runtime import bundle
from understudy.runtime.decision import Thresholds
from understudy.runtime.images import read_bytes

__all__ = [
    "calibrate",
    "calibrate_on",
    "thresholds_from",
    "unseen_pictures",
]

REVIEW_FACTOR = 5  # the REVIEW band ends at this multiple of the false-alarm rate unless asked otherwise


def thresholds_from(
    scores: Sequence[float], false_alarm_rate: float, review_rate: float | None = None
) -> Thresholds:
    """Both thresholds from one set of held-out good scores.

    Args:
        scores: of good pictures that no training has seen.
        false_alarm_rate: promised share of good pictures that FAIL, at most.
        review_rate: promised share that is no PASS; five times the former by default, 0.5 at most.

    Raises:
        InputError: see :func:`conformal_threshold`; or the review rate is the smaller one.
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


def calibrate(
    model: str | Path,
    data: str | Path,
    false_alarm_rate: float,
    review_rate: float | None = None,
    reporter: Reporter | None = None,
) -> Thresholds:
    """Set a saved model's thresholds from those good pictures of a folder that it was not trained on.

    Args:
        model: folder of the model; its ``calibration.json`` is replaced.
        data: folder of pictures; of several categories those that the model knows are taken, and test
            pictures never.
        false_alarm_rate: see :func:`thresholds_from`.
        review_rate: see :func:`thresholds_from`.
        reporter: where progress goes.

    Raises:
        InputError: the model or the data cannot be used, or there are too few pictures.
    """
    loaded = load_uncalibrated(model)
    reporter = reporter or Reporter()
    known = loaded.known(open_pictures(Path(data)))
    reporter.say(describe(known))
    good = [r.path for r in known.train() + known.validation()]
    unseen = unseen_pictures(loaded, good)
    return calibrate_on(loaded, Path(model), unseen, false_alarm_rate, review_rate, reporter)


def unseen_pictures(model: TrainedModel, paths: Sequence[Path]) -> list[Path]:
    """Those pictures whose content the training has not seen, under whatever name."""
    seen = {*model.pictures.trained, *model.pictures.validation}
    return [path for path in paths if digest_of(read_bytes(path)) not in seen]


def calibrate_on(
    model: TrainedModel,
    folder: Path,
    unseen: Sequence[Path],
    false_alarm_rate: float,
    review_rate: float | None = None,
    reporter: Reporter | None = None,
) -> Thresholds:
    """Score good pictures that the model has not seen; write thresholds into its folder."""
    reporter = reporter or Reporter()
    if len(unseen) < good_pictures_needed(false_alarm_rate):  # say so before the work, not after
        conformal_threshold([0.0] * len(unseen), false_alarm_rate)
    scores = []
    for done, result in enumerate(model.score(unseen), start=1):
        if isinstance(result, PictureError):
            raise result
        scores.append(result.score)
        reporter.advance("calibrate", done, len(unseen), "")
    thresholds = thresholds_from(scores, false_alarm_rate, review_rate)
    bundle.write_calibration(folder, model.manifest, thresholds)
    reporter.say(
        f"thresholds from {len(scores)} held-out good pictures: FAIL above {thresholds.fail_above:.4f}, "
        f"REVIEW above {thresholds.review_above:.4f}"
    )
    reporter.say(promise(len(scores), false_alarm_rate))
    reporter.say(promise(len(scores), thresholds.review_rate, "are no PASS"))
    return thresholds
