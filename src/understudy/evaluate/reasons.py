"""Explanation -> rows of a label and a text, in words for the people at the line."""

from __future__ import annotations

import math
from collections.abc import Iterator

from understudy.evaluate.explain import Explanation, ProductMatch
from understudy.runtime.decision import NO_NUMBER, UNKNOWN_PRODUCT, Thresholds
from understudy.types import Region

__all__ = ["reasons_for"]

_REGIONS = 10  # described, at most
_NO_THRESHOLDS = "none, because the model has no thresholds; understudy calibrate sets them"

Row = tuple[str, str]
"""Label, empty if it is that of the row before, and text."""


def reasons_for(explanation: Explanation) -> list[Row]:
    """Return the rows that say why a picture got its verdict.

    Args:
        explanation: explanation of a picture that was judged.
    """
    product = explanation.product
    if product is None:
        return [("error", explanation.result.error or "")]
    return [
        ("verdict", _verdict(explanation)),
        ("product", _product(product)),
        ("score", _score(explanation, product)),
        *_limits(explanation, product),
        *_regions(explanation),
        ("nearest", _nearest(explanation, product) or explanation.no_nearest or ""),
    ]


def _verdict(explanation: Explanation) -> str:
    result, limits = explanation.result, explanation.thresholds
    if result.verdict is None:
        return _NO_THRESHOLDS
    if limits is None or result.reason == UNKNOWN_PRODUCT:
        return f"{result.verdict}: it looks like no product that the model knows"
    if result.reason == NO_NUMBER:
        return f"{result.verdict}: its score is no number; train the model again"
    if result.verdict == "FAIL":
        return "FAIL: its score is above the limit of FAIL"
    if result.verdict == "REVIEW":
        return "REVIEW: its score is above the limit of REVIEW, but not above that of FAIL"
    alone = "; a region alone does not decide" if result.regions else ""
    return f"PASS: its score is above no limit{alone}"


def _product(product: ProductMatch) -> str:
    distance = f"distance {product.distance:.3f}"
    measured = distance if product.limit is None else f"{distance}, limit {product.limit:.3f}"
    if product.how == "unknown":
        return f"unknown; {product.name} is nearest: {measured}"
    if product.how == "recognised":
        means = "recognised" if product.limit is not None else "the nearest one that the model knows"
        return f"{product.name}, {means}: {measured}"
    look = product.looks_like
    doubt = "" if look == product.name else f"; by its look it would be {look or 'an unknown product'}"
    return f"{product.name}, as was said: {measured}{doubt}"


def _score(explanation: Explanation, product: ProductMatch) -> str:
    score, limits, standing = explanation.result.score, explanation.thresholds, explanation.standing
    number = number_of(score, limits)
    if product.how == "unknown":
        return f"{number}, which means nothing for an unknown product"
    if standing is None:
        missing = "" if math.isnan(score) or explanation.good_scores else _no_scores(explanation, product)
        return number + missing
    text = f"{number}, {standing.words()} of {product.name}"
    if limits and standing.below == standing.n and standing.n * limits.false_alarm_rate < 1:
        needed = math.ceil(round(1 / limits.false_alarm_rate, 6))
        return f"{text}; it takes {needed} to see what is rare at {100 * limits.false_alarm_rate:.3g} %"
    return text


def _no_scores(explanation: Explanation, product: ProductMatch) -> str:
    if explanation.result.verdict is None:
        return ""
    if explanation.no_good_pictures:
        return f"; the last calibration had no good pictures of {product.name} to compare it with"
    return "; the calibration keeps no scores of good pictures to compare it with"


def _limits(explanation: Explanation, product: ProductMatch) -> Iterator[Row]:
    limits, score = explanation.thresholds, explanation.result.score
    if limits is None:
        return
    pairs = [("FAIL", limits.fail_above, limits.false_alarm_rate)]
    if limits.review_above < limits.fail_above:
        pairs.append(("REVIEW", limits.review_above, limits.review_rate))
    for i, (name, limit, rate) in enumerate(pairs):
        says = _share(rate, limits)
        if explanation.no_good_pictures:
            says = f"the last calibration had no good pictures of {product.name}"
        yield "limits" if i == 0 else "", _limit(name, limit, says, score, limits)


def _share(rate: float, limits: Thresholds) -> str:
    share = f"{100 * rate:.3g} % of good pictures"
    return f"at most {share}, promised" if limits.basis == "promised" else f"about {share}, estimated"


def _limit(name: str, limit: float, says: str, score: float, limits: Thresholds) -> str:
    text = f"{name} above {number_of(limit, limits, score)} ({says})"
    if math.isnan(score):
        return text
    apart = f"{abs(score - limit):.{_decimals(limits, score)}f}"
    return f"{text}: the score is " + (f"{apart} above it" if score > limit else f"{apart} below it")


def number_of(number: float, limits: Thresholds | None, score: float | None = None) -> str:
    """Format a score or a limit with as many decimals as it takes to tell the score from the limits.

    Args:
        number: score or limit.
        limits: thresholds of the product, if there are any.
        score: score of the picture, if ``number`` is a limit.
    """
    if math.isnan(number):
        return "not a number"
    decimals = _decimals(limits, number if score is None else score)
    return f"{round(number, decimals) + 0.0:.{decimals}f}"  # no -0.00


def _decimals(limits: Thresholds | None, score: float) -> int:
    """Decimals that show two digits of the smallest distance between the score and a limit; 2 to 9."""
    compared = [score] if limits is None else [score - limits.fail_above, score - limits.review_above]
    apart = min((abs(each) for each in compared if math.isfinite(each) and each), default=1.0)
    return min(9, max(2, 1 - math.floor(math.log10(apart))))


def _regions(explanation: Explanation) -> Iterator[Row]:
    regions, limit = explanation.result.regions, explanation.map_limit
    if limit is None:
        yield "regions", _NO_THRESHOLDS
        return
    if not regions:
        yield (
            "regions",
            f"none: in no place are {explanation.min_area} pixels of the map above {_plain(limit)}",
        )
    for place, region in enumerate(regions[:_REGIONS], start=1):
        yield f"region {place}", _region(region, limit)
    if len(regions) > _REGIONS:
        yield "", f"and {len(regions) - _REGIONS} more with lower peaks"


def _region(region: Region, limit: float) -> str:
    wide, tall = region.right - region.left, region.bottom - region.top
    return (
        f"{wide} x {tall} pixels from column {region.left}, row {region.top}; area {region.area}; "
        f"peak {_plain(region.peak)}, limit {_plain(limit)}"
    )


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _nearest(explanation: Explanation, product: ProductMatch) -> str:
    nearest = explanation.nearest
    if nearest is None:
        return ""
    n, of, good = nearest.looked_at, nearest.of, f"of {product.name}"
    among = f"the only good picture {good}" if n == 1 else f"the nearest of {n} good pictures {good}"
    if of > n:
        among = f"{n} of {of} good pictures {good} were looked at, spread evenly"
    return (
        f"{nearest.result.path}; distance {nearest.distance:.3f}, score "
        f"{number_of(nearest.result.score, explanation.thresholds)} ({among})"
    )
