"""Score and category -> verdict, from what stands beside the model. Pure Python."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator

from understudy.types import Verdict

__all__ = ["Calibration", "Thresholds", "decide", "thresholds_for"]


class Thresholds(BaseModel):
    """Where PASS ends and FAIL begins, on raw image-level scores.

    Attributes:
        fail_above: a larger score is a FAIL.
        review_above: a larger score is a REVIEW at least; equal to ``fail_above`` for no such band.
        false_alarm_rate: promised share of good pictures that FAIL, at most, on average over
            calibrations.
        review_rate: promised share of good pictures that are no PASS.
        n_good: held-out good pictures that the thresholds come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fail_above: float
    review_above: float
    false_alarm_rate: float = Field(gt=0, lt=1)
    review_rate: float = Field(gt=0, lt=1)
    n_good: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.review_above > self.fail_above:
            raise ValueError("review_above must not exceed fail_above")
        return self


class Calibration(BaseModel):
    """All that held-out good pictures have set.

    Attributes:
        thresholds: for every picture whose category has none of its own.
        categories: thresholds by category, of those that had good pictures enough.
        promise: what the thresholds for all promise, for whoever opens the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: Thresholds
    categories: dict[str, Thresholds]
    promise: str


def thresholds_for(calibration: Calibration, category: str | None) -> Thresholds:
    """A known category's own thresholds where it has any, else those for all."""
    if category is None:
        return calibration.thresholds
    return calibration.categories.get(category, calibration.thresholds)


def decide(score: float, thresholds: Thresholds | None) -> Verdict | None:
    """PASS, REVIEW or FAIL; ``None`` without thresholds. A score that is no number is a REVIEW."""
    if thresholds is None:
        return None
    if math.isnan(score):
        return "REVIEW"
    if score > thresholds.fail_above:
        return "FAIL"
    return "REVIEW" if score > thresholds.review_above else "PASS"
