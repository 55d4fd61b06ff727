"""Thresholds that a person sets at the station, and what they would have done to the kept history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from understudy.errors import InputError
from understudy.runtime.decision import (
    NO_NUMBER,
    UNKNOWN_PRODUCT,
    Calibration,
    Thresholds,
    decide,
    thresholds_for,
)

__all__ = ["Chosen", "changed", "in_force", "what_if"]

_LEAST = 1e-6  # a rate is above 0


class Chosen(BaseModel):
    """Thresholds that a person chose for one product.

    Attributes:
        product: the product; ``None`` for every product without thresholds of its own.
        review_above: a score above this is a REVIEW.
        fail_above: a score above this is a FAIL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    product: str | None = Field(default=None, max_length=200)
    review_above: float
    fail_above: float

    @model_validator(mode="after")
    def _ordered(self) -> Chosen:
        if self.review_above > self.fail_above:
            raise ValueError("review_above must not exceed fail_above")
        return self


def changed(calibration: Calibration, chosen: Iterable[Chosen]) -> Calibration:
    """Return a calibration with thresholds that a person chose; its other limits stay.

    A chosen threshold has no promise. Its rates are estimates, from the calibration's own good pictures.
    """
    for each in chosen:
        if each.product is None:
            calibration = calibration.model_copy(update={"thresholds": _thresholds(calibration, each)})
        else:
            own = calibration.categories | {each.product: _thresholds(calibration, each)}
            calibration = calibration.model_copy(update={"categories": own})
    return calibration


def _thresholds(calibration: Calibration, chosen: Chosen) -> Thresholds:
    scores = [
        score
        for product, own in calibration.scores.items()
        if chosen.product in (None, product)
        for score in own
    ]

    def rate(limit: float) -> float:
        above = sum(score > limit for score in scores)
        return min(max((above + 1) / (len(scores) + 2), _LEAST), 1 - _LEAST)

    before = thresholds_for(calibration, chosen.product)
    return Thresholds(
        fail_above=chosen.fail_above,
        review_above=chosen.review_above,
        false_alarm_rate=rate(chosen.fail_above),
        review_rate=rate(chosen.review_above),
        n_good=len(scores) or before.n_good,
        basis="estimated",
    )


def in_force(calibration: Calibration, products: Iterable[str]) -> list[dict[str, Any]]:
    """List the thresholds of every product, as the page shows them."""
    return [
        {"product": product, "own": product in calibration.categories}
        | thresholds_for(calibration, product).model_dump(
            include={"review_above", "fail_above", "false_alarm_rate", "basis"}
        )
        for product in products
    ]


Row = tuple[float | None, str | None, str | None, str | None, str | None]
"""Score, verdict, reason, product and a person's answer of a kept inspection."""


def what_if(calibration: Calibration, chosen: Chosen, rows: Iterable[Row]) -> Mapping[str, Any]:
    """Say what chosen thresholds would have done to kept inspections, beside those in force.

    Args:
        calibration: thresholds in force.
        chosen: thresholds to try.
        rows: kept inspections of the product, as :meth:`Store.scores` yields them.
    """
    then = changed(calibration, [chosen])
    counts: dict[str, Counter[str]] = {"now": Counter(), "then": Counter()}
    reviewed: Counter[str] = Counter()
    n = 0
    for score, _, reason, product, answer in rows:
        if reason in (UNKNOWN_PRODUCT, NO_NUMBER) or score is None:
            continue  # a REVIEW whatever the thresholds are
        n += 1
        for when, used in (("now", calibration), ("then", then)):
            verdict = decide(score, thresholds_for(used, product)) or ""
            counts[when][verdict] += 1
            if answer == "defective":
                reviewed[f"defective_found_{when}"] += verdict != "PASS"
            elif answer == "good":
                reviewed[f"good_failed_{when}"] += verdict == "FAIL"
        reviewed[answer or ""] += 1
    names = [f"{what}_{when}" for what in ("defective_found", "good_failed") for when in ("now", "then")]
    names += ["defective", "good"]
    return {
        "n": n,
        **{when: {v: found[v] for v in ("PASS", "REVIEW", "FAIL")} for when, found in counts.items()},
        "reviewed": {name: reviewed[name] for name in names},
    }


def require_product(calibration: Calibration | None, products: Iterable[str], chosen: Chosen) -> Calibration:
    """Check that thresholds can be chosen for a product.

    Raises:
        InputError: the model is not calibrated, or does not know the product.
    """
    if calibration is None:
        raise InputError("the model is not calibrated, so it has no thresholds; run understudy calibrate")
    if chosen.product is not None and chosen.product not in products:
        raise InputError(f"the model does not know the product {chosen.product!r}")
    return calibration
