"""Score and embedding -> category and verdict, by the limits that stand beside the model. Needs numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from understudy.types import Verdict

__all__ = [
    "Calibration",
    "Judgement",
    "Limits",
    "Prototypes",
    "Thresholds",
    "decide",
    "distances_to",
    "judge",
    "recognise",
    "thresholds_for",
]


UNKNOWN_PRODUCT, NO_NUMBER = "unknown product", "score is no number"


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


class Limits(BaseModel):
    """What a figure of a good picture exceeds at a promised rate at most.

    Attributes:
        rate: promised, on average over calibrations.
        overall: for every category that has none of its own.
        categories: of those that had good pictures enough.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: float = Field(gt=0, lt=1)
    overall: float
    categories: dict[str, float]

    def of(self, category: str | None) -> float:
        """A category's own limit where it has one, else that for all."""
        return self.overall if category is None else self.categories.get(category, self.overall)


class Judgement(NamedTuple):
    """A verdict, ``None`` while the model is not calibrated, and its reason where that is not the score."""

    verdict: Verdict | None
    reason: str | None


class Calibration(BaseModel):
    """All that held-out good pictures have set.

    Attributes:
        thresholds: for every picture whose category has none of its own.
        categories: thresholds by category, of those that had good pictures enough.
        masks: map values, above which a region of a good picture's map lies at the rate at most.
        min_area: pixels of the map that such a region, and one of a defect's mask, has at least.
        distances: from a category's prototype, beyond which a picture does not show it.
        promise: what the thresholds for all promise, for whoever opens the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: Thresholds
    categories: dict[str, Thresholds]
    masks: Limits
    min_area: int = Field(ge=1)
    distances: Limits
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


def judge(score: float, calibration: Calibration | None, category: str | None) -> Judgement:
    """Verdict on one picture.

    Args:
        score: image-level anomaly score.
        calibration: ``None`` while the model is not calibrated.
        category: that the picture shows, known or recognised; ``None`` if it is like none that the
            model knows, whose score then tells nothing: a REVIEW, whatever it is.
    """
    if calibration is None:
        return Judgement(None, None)
    if category is None:
        return Judgement("REVIEW", UNKNOWN_PRODUCT)
    verdict = decide(score, thresholds_for(calibration, category))
    return Judgement(verdict, NO_NUMBER if math.isnan(score) else None)


Prototypes = Mapping[str, NDArray[np.float32]]
"""(D,) mean embedding of each category's good pictures, of length one."""


def distances_to(embedding: NDArray[np.float32], prototypes: Prototypes) -> dict[str, float]:
    """(D,) embedding of length one -> its distance to each category's prototype, in [0, 2]."""
    return {name: float(np.linalg.norm(embedding - prototype)) for name, prototype in prototypes.items()}


def recognise(distances: Mapping[str, float], limits: Limits | None) -> str | None:
    """The nearest of those categories that a picture is within the limit of; ``None`` if there is none.

    So a good picture of a category is taken for unknown only if it is beyond its own category's limit,
    and that limit's promise holds whatever the other categories are. Without limits it is the nearest.
    """
    near = {c: d for c, d in distances.items() if d <= (limits.of(c) if limits else math.inf)}
    return min(near, key=lambda c: (near[c], c), default=None)
