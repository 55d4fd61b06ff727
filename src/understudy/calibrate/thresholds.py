"""Figures of good pictures -> thresholds and limits, promised or estimated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from understudy.calibrate.conformal import (
    conformal_threshold,
    good_pictures_needed,
    promise,
    smallest_rate,
)
from understudy.calibrate.estimate import Pool, ProductFigures, Tail, fit_tail, pool_figures
from understudy.errors import InputError
from understudy.runtime.decision import Calibration, Limits, Thresholds, thresholds_for
from understudy.types import LEAST_RATE

__all__ = [
    "MIN_AREA",
    "RATES_SHOWN",
    "REVIEW_BUDGET",
    "TIMES_FOR_OWN",
    "HeldOut",
    "Rates",
    "estimated",
    "figures_by_category",
    "keep_others",
    "promised",
]


REVIEW_BUDGET = 0.05  # default: share of good pictures that a person looks at
UNKNOWN = 0.2  # part of the review budget that pictures of unknown products take
MIN_AREA = 16  # default: regions of fewer pixels of the map are no defect
RATES_SHOWN = (0.005, 0.01, 0.02, 0.05)  # false-alarm rates that reports compare
TIMES_FOR_OWN = 3  # a category has limits of its own with so many times the pictures that its promise needs


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
        brightness: mean luminance of the canvas, in [0, 1].
        sharpness: see :func:`understudy.runtime.light.sharpness`.
    """

    category: str | None
    score: float
    distance: float
    level: float
    brightness: float = math.nan
    sharpness: float = math.nan


@dataclass(frozen=True)
class Rates:
    """Shares of good pictures that may be stopped, each in (0, 1).

    Attributes:
        false_alarm: share that FAIL; also the share with a defect mask that is not empty.
        budget: share that a person looks at, because it is a REVIEW: by its score, or because it is taken for
            an unknown product.

    Raises:
        InputError: a rate is out of range, or both together are 1 or more.
    """

    false_alarm: float
    budget: float = REVIEW_BUDGET

    def __post_init__(self) -> None:
        for rate in (self.false_alarm, self.budget):
            if not LEAST_RATE <= rate <= 1 - LEAST_RATE:
                raise InputError(
                    f"a rate lies between 0 and 1, got {rate:g}; 0.01 is one picture in a hundred, and "
                    f"{LEAST_RATE:g} is the least"
                )
        if self.false_alarm + self.budget > 1 - LEAST_RATE:
            raise InputError(
                f"false alarms ({self.false_alarm:g}) and the review budget ({self.budget:g}) are all good "
                "pictures together; choose smaller rates"
            )

    @property
    def unknown(self) -> float:
        """Share taken for an unknown product if the category is not given."""
        return UNKNOWN * self.budget

    @property
    def review(self) -> float:
        """Share that does not PASS because of its score."""
        return self.false_alarm + self.budget - self.unknown


def promised(held_out: Sequence[HeldOut], rates: Rates, min_area: int = MIN_AREA) -> Calibration:
    """Set thresholds and limits by split conformal prediction, from unseen pictures alone.

    A category with :data:`TIMES_FOR_OWN` times the pictures that the rate needs has limits of its own. The
    others share those of all pictures, or higher ones, so that the rate also holds for the others together.
    If they have too few pictures for that, the smallest category with limits of its own shares theirs.

    Args:
        held_out: figures of good pictures that the training has not seen.
        rates: rates to promise. The review budget is raised to what the pictures can promise.
        min_area: smallest area of a defect, in pixels of the map.

    Raises:
        InputError: there are too few pictures; see
            :func:`understudy.calibrate.conformal.conformal_threshold`.
    """
    n, least = len(held_out), smallest_rate(len(held_out))

    def limits(figure: Callable[[HeldOut], float], rate: float) -> Limits:
        return _conformal(held_out, figure, rate, _with_own_limits(held_out, rate))

    fail, review_rate = limits(_score, rates.false_alarm), max(rates.review, rates.false_alarm + least)
    review_rate = min(review_rate, 1 - LEAST_RATE)  # of few pictures and a high rate
    # With the same categories as FAIL; else REVIEW, which lies between, exceeds its budget.
    review = _conformal(held_out, _score, review_rate, list(fail.categories))
    return _calibration(
        fail,
        review,
        masks=limits(lambda h: h.level, rates.false_alarm),
        distances=_generous(limits(lambda h: h.distance, max(rates.unknown, least))),
        min_area=min_area,
        n=n,
        sentence=promise(n, rates.false_alarm),
        rates=tuple(limits(_score, rate) for rate in RATES_SHOWN if rate >= least),
        scores=figures_by_category(held_out, _score),
    )


def figures_by_category(
    pictures: Sequence[HeldOut], figure: Callable[[HeldOut], float]
) -> dict[str, list[float]]:
    """Return a figure of the pictures of each category that the model knows, sorted by name."""
    names = sorted({each.category for each in pictures if each.category is not None})
    return {name: [figure(each) for each in pictures if each.category == name] for name in names}


def _score(picture: HeldOut) -> float:
    return picture.score


def _with_own_limits(held_out: Sequence[HeldOut], rate: float) -> list[str]:
    """Return the categories with a limit of their own; the others keep enough pictures for theirs."""
    sizes = Counter(h.category for h in held_out if h.category is not None)
    need = good_pictures_needed(rate)
    enough = TIMES_FOR_OWN * need if len(sizes) > 1 else need
    own = [c for c, n in sorted(sizes.items(), key=lambda item: (item[1], item[0])) if n >= enough]
    others = sizes.total() - sum(sizes[c] for c in own)
    return own[1:] if 0 < others < need else own


def _conformal(
    held_out: Sequence[HeldOut], figure: Callable[[HeldOut], float], rate: float, own: Sequence[str]
) -> Limits:
    """Set limits that keep the rate for each category of ``own``, and for all others together."""
    by_category = figures_by_category(held_out, figure)
    overall = conformal_threshold([figure(h) for h in held_out], rate)
    others = [x for c, figures in by_category.items() if c not in own for x in figures]
    if own and others:
        overall = max(overall, conformal_threshold(others, rate))
    return Limits(
        rate=rate,
        overall=overall,
        categories={c: conformal_threshold(by_category[c], rate) for c in sorted(own)},
    )


def estimated(
    figures: Mapping[str, Mapping[str, ProductFigures]], rates: Rates, min_area: int = MIN_AREA
) -> Calibration:
    """Set thresholds and limits at rates that a fitted tail estimates; see :mod:`.estimate`.

    Args:
        figures: figures of each category, by ``score``, ``level`` and ``distance``.
        rates: rates to reach.
        min_area: smallest area of a defect, in pixels of the map.

    Raises:
        InputError: there are fewer than ten pictures, or a figure is not finite.
    """
    pools = {name: pool_figures(of_category) for name, of_category in figures.items()}
    tails = {name: fit_tail(pool.figures) for name, pool in pools.items()}

    def limits(name: str, rate: float) -> Limits:
        return _limits(pools[name], tails[name], rate)

    pool, tail = pools["score"], tails["score"]
    fail = limits("score", rates.false_alarm)
    interval = tail.interval(tail.limit(rates.false_alarm), pool.error * _mean_views(figures["score"]))
    checked = None
    n_unseen = sum(len(f.unseen) for f in figures["score"].values())
    if n_unseen < tail.n and n_unseen:  # else the unseen ones set the limits alone
        failed = sum(int((f.unseen > fail.of(c)).sum()) for c, f in figures["score"].items())
        checked = (failed, n_unseen)
    return _calibration(
        fail,
        limits("score", rates.review),
        masks=limits("level", rates.false_alarm),
        distances=_generous(limits("distance", rates.unknown)),
        min_area=min_area,
        n=tail.n,
        sentence=_estimate(rates.false_alarm, interval, tail.n, checked),
        rates=tuple(limits("score", rate) for rate in RATES_SHOWN),
        scores={c: [pool.norms[c].back(float(z)) for z in x] for c, x in pool.figures.items()},
        interval=interval,
        checked=checked,
    )


def _limits(pool: Pool, tail: Tail, rate: float) -> Limits:
    """Limits of every category, in units of the figure, and one for all, which so many figures exceed."""
    own = {name: norm.back(tail.limit(rate, name)) for name, norm in pool.norms.items()}
    everything = sorted(norm.back(float(z)) for name, norm in pool.norms.items() for z in pool.figures[name])
    rank = min(math.ceil(round((len(everything) + 1) * (1 - rate), 9)), len(everything))
    return Limits(rate=rate, overall=everything[rank - 1], categories=own)


def _generous(limits: Limits) -> Limits:
    """Give no category a lower limit than all have together.

    A defect moves a picture away from its prototype. With a tight limit of its own it would often be an
    unknown product, hence a REVIEW in place of a FAIL.
    """
    generous = {c: max(limit, limits.overall) for c, limit in limits.categories.items()}
    return limits.model_copy(update={"categories": generous})


def _mean_views(figures: Mapping[str, ProductFigures]) -> float:
    """How often a picture of the pool was seen, on average; held-out ones were not."""
    n = sum(len(f.learned) + len(f.unseen) for f in figures.values())
    return sum(f.views * len(f.learned) for f in figures.values()) / max(n, 1)


def _estimate(rate: float, interval: tuple[float, float], n: int, checked: tuple[int, int] | None) -> str:
    low, high = map(_in_percent, interval)
    of_unseen = f"; of {checked[1]} that the training never saw, {checked[0]} FAIL" if checked else ""
    return (
        f"about {100 * rate:.3g} % of good pictures fail, as estimated from {n} of them ({low} to {high} by "
        f"their number alone); this is no promise{of_unseen}"
    )


def _in_percent(share: float) -> str:
    """Write a share with two digits; very small ones as below a hundredth of a percent."""
    return "under 0.01 %" if share < 1e-4 else f"{float(f'{100 * share:.2g}'):g} %"


def _calibration(
    fail: Limits,
    review: Limits,
    *,
    masks: Limits,
    distances: Limits,
    min_area: int,
    n: int,
    sentence: str,
    rates: tuple[Limits, ...],
    scores: Mapping[str, Sequence[float]],
    interval: tuple[float, float] | None = None,
    checked: tuple[int, int] | None = None,
) -> Calibration:
    def thresholds(category: str | None, n_good: int) -> Thresholds:
        return Thresholds(
            fail_above=fail.of(category),
            review_above=min(review.of(category), fail.of(category)),
            false_alarm_rate=fail.rate,
            review_rate=review.rate,
            n_good=n_good,
            basis="estimated" if interval else "promised",
        )

    return Calibration(
        thresholds=thresholds(None, n),
        categories={
            c: thresholds(c, n if interval else len(scores[c]))
            for c in sorted({*fail.categories, *review.categories})
        },
        masks=masks,
        min_area=min_area,
        distances=distances,
        promise=sentence,
        rates=rates,
        scores={c: tuple(sorted(float(f"{s:.6g}") for s in x)) for c, x in scores.items()},
        interval=interval,
        checked=checked,
    )


def keep_others(new: Calibration, old: Calibration | None, categories: Sequence[str]) -> Calibration:
    """Give categories that no picture of a new calibration shows the thresholds and limits of the old one.

    Args:
        new: calibration from good pictures of some categories.
        old: calibration before; ``None`` keeps nothing.
        categories: categories of the model.
    """
    kept = [c for c in categories if c not in new.scores] if old else []
    if old is None or not kept:
        return new

    def limits(ours: Limits, theirs: Limits) -> Limits:
        return ours.model_copy(update={"categories": ours.categories | {c: theirs.of(c) for c in kept}})

    before = {each.rate: each for each in old.rates}
    references = {c: old.references[c] for c in kept if c in old.references}
    return new.model_copy(
        update={
            "categories": new.categories | {c: thresholds_for(old, c) for c in kept},
            "masks": limits(new.masks, old.masks) if new.min_area == old.min_area else new.masks,
            "distances": limits(new.distances, old.distances),
            "rates": tuple(limits(r, before[r.rate]) if r.rate in before else r for r in new.rates),
            "references": new.references | references,
        }
    )
