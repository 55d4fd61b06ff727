"""Score and embedding -> category and verdict, by the thresholds and limits of a calibration."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from understudy.types import Basis, Verdict

__all__ = [
    "Calibration",
    "Judgement",
    "Limits",
    "Prototypes",
    "Reference",
    "Thresholds",
    "decide",
    "distances_to",
    "judge",
    "recognise",
    "thresholds_for",
]


UNKNOWN_PRODUCT, NO_NUMBER = "unknown product", "score is not a number (NaN)"


class Thresholds(BaseModel):
    """Where PASS ends and FAIL begins, on image-level anomaly scores.

    Attributes:
        fail_above: a score above this is a FAIL. In units of the score.
        review_above: a score above this, up to ``fail_above``, is a REVIEW. At most ``fail_above``; if both
            are equal, no score is a REVIEW.
        false_alarm_rate: share of good pictures that FAIL, in (0, 1): an upper bound on average over
            calibrations if promised, else an estimate.
        review_rate: the same for good pictures that do not PASS, in (0, 1).
        n_good: number of good pictures that set the thresholds, at least 1.
        basis: what the rates rest on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fail_above: float
    review_above: float
    false_alarm_rate: float = Field(gt=0, lt=1)
    review_rate: float = Field(gt=0, lt=1)
    n_good: int = Field(ge=1)
    basis: Basis = "promised"

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.review_above > self.fail_above:
            raise ValueError("review_above must not exceed fail_above")
        return self


class Limits(BaseModel):
    """Limits on one figure of a picture, such as its distance from a prototype.

    Attributes:
        rate: share of good pictures above their limit, in (0, 1): an upper bound on average over calibrations
            if promised, else an estimate.
        overall: limit for every category that is not in ``categories``. In units of the figure.
        categories: limits by category, for categories with enough held-out good pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: float = Field(gt=0, lt=1)
    overall: float
    categories: dict[str, float]

    def of(self, category: str | None) -> float:
        """Return the limit of a category: its own if it has one, else the overall limit."""
        return self.overall if category is None else self.categories.get(category, self.overall)


class Judgement(NamedTuple):
    """A verdict and its reason.

    Attributes:
        verdict: PASS, REVIEW or FAIL; ``None`` if the model is not calibrated.
        reason: why the verdict does not follow from the score; ``None`` if it does.
    """

    verdict: Verdict | None
    reason: str | None


class Reference(BaseModel):
    """Figures of good pictures of one product, each sorted, that the pictures of a line are compared with.

    A figure has one value for each picture. ``score`` and ``distance`` are of pictures that the training has
    not seen, because it makes both smaller. ``brightness`` and ``sharpness`` are of all pictures, because no
    training changes them.

    Attributes:
        score: image-level anomaly scores.
        distance: distances from the prototype of the product, in [0, 2].
        brightness: mean luminances of the canvas, in [0, 1].
        sharpness: see :func:`understudy.runtime.light.sharpness`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    score: tuple[float, ...] = ()
    distance: tuple[float, ...] = ()
    brightness: tuple[float, ...] = ()
    sharpness: tuple[float, ...] = ()


class Calibration(BaseModel):
    """Everything that good pictures set: thresholds, limits and what they promise.

    Attributes:
        thresholds: score thresholds for every category that is not in ``categories``.
        categories: score thresholds by category, for categories with enough held-out good pictures.
        masks: limits on map values. A defect is a region of the map above the limit.
        min_area: smallest area of a region that counts as a defect, in pixels of the anomaly map, at least 1.
        distances: limits on the distance from a category's prototype, in [0, 2]. A picture beyond the limit
            does not show that category.
        promise: what ``thresholds`` promise or estimate, as a sentence for people who open the file.
        rates: limits on the score at some rates, smallest rate first, so that reports can compare them.
        scores: scores of good pictures by category, sorted, as if the training had seen none of them.
        interval: 95 % interval of an estimated false-alarm rate, in [0, 1]; ``None`` if it is promised.
        checked: of the pictures that the training has not seen, the number that FAIL, and the number of all;
            ``None`` if they set the thresholds alone.
        references: figures of good pictures by category, to notice drift; empty, and left out of the file, in
            calibrations of older versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: Thresholds
    categories: dict[str, Thresholds]
    masks: Limits
    min_area: int = Field(ge=1)
    distances: Limits
    promise: str
    rates: tuple[Limits, ...] = ()
    scores: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    interval: tuple[float, float] | None = None
    checked: tuple[int, int] | None = None
    references: dict[str, Reference] = Field(default_factory=dict, exclude_if=operator.not_)


def thresholds_for(calibration: Calibration, category: str | None) -> Thresholds:
    """Return the thresholds of a category: its own if it has any, else those for all."""
    if category is None:
        return calibration.thresholds
    return calibration.categories.get(category, calibration.thresholds)


def decide(score: float, thresholds: Thresholds | None) -> Verdict | None:
    """Return PASS, REVIEW or FAIL; ``None`` without thresholds. A score of NaN is a REVIEW."""
    if thresholds is None:
        return None
    if math.isnan(score):
        return "REVIEW"
    if score > thresholds.fail_above:
        return "FAIL"
    return "REVIEW" if score > thresholds.review_above else "PASS"


def judge(score: float, calibration: Calibration | None, category: str | None) -> Judgement:
    """Return the verdict on one picture.

    Args:
        score: image-level anomaly score.
        calibration: thresholds; ``None`` if the model is not calibrated.
        category: product that the picture shows, as given or recognised; ``None`` for an unknown product. The
            score of an unknown product means nothing, so the verdict is REVIEW.
    """
    if calibration is None:
        return Judgement(None, None)
    if category is None:
        return Judgement("REVIEW", UNKNOWN_PRODUCT)
    verdict = decide(score, thresholds_for(calibration, category))
    return Judgement(verdict, NO_NUMBER if math.isnan(score) else None)


Prototypes = Mapping[str, NDArray[np.float32]]
"""Mean embedding of the good pictures of each category: (D,) float32, unit length, by category."""


def distances_to(embedding: NDArray[np.float32], prototypes: Prototypes) -> dict[str, float]:
    """(D,) embedding of unit length -> Euclidean distance to each category's prototype, in [0, 2]."""
    return {name: float(np.linalg.norm(embedding - prototype)) for name, prototype in prototypes.items()}


def recognise(distances: Mapping[str, float], limits: Limits | None) -> str | None:
    """Return the nearest category whose limit the picture keeps; ``None`` if there is none.

    Each category has its own limit, so the promise of a limit holds whatever the other categories are.

    Args:
        distances: distance of the picture from the prototype of each category.
        limits: largest allowed distances; ``None`` allows any distance.
    """
    near = {c: d for c, d in distances.items() if d <= (limits.of(c) if limits else math.inf)}
    return min(near, key=lambda c: (near[c], c), default=None)
