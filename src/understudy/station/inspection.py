"""What the station keeps of an inspection and of a person's answer to it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from understudy.types import Verdict

__all__ = ["Answer", "Box", "Change", "InspectionRecord", "Mark", "Review", "State"]

Answer: TypeAlias = Literal["good", "defective"]
"""What a person says about a picture."""

State: TypeAlias = Literal["green", "yellow", "red"]
"""State of the station. ``yellow``: a person should look. ``red``: inspections are not kept."""


class _Kept(BaseModel):
    """Something that is written once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Box(_Kept):
    """One defect as the model found it; see :class:`understudy.types.Region`."""

    left: int
    top: int
    right: int
    bottom: int
    area: int
    peak: float


class Mark(_Kept):
    """A box that a person drew, in pixels of the picture; ``right`` and ``bottom`` lie outside of it."""

    left: int = Field(ge=0)
    top: int = Field(ge=0)
    right: int = Field(ge=1)
    bottom: int = Field(ge=1)


class InspectionRecord(_Kept):
    """One judged picture: the result record of OPC 40100-1.

    Attributes:
        id: result id: 32 hexadecimal digits, unique over all stations.
        client_id: id that the client gave, unique within a station; a call that repeats it with the same
            picture gets this record again. ``None`` if it gave none.
        time: time of the verdict, in UTC.
        station: name of the station.
        job: job id of the client, such as an order number; ``None`` if it gave none.
        name: name of the picture's file as the client gave it; empty if it gave none.
        product_given: product that the client named.
        product: product as given or recognised; ``None`` for an unknown product.
        score: image-level anomaly score; ``None`` if it is no number.
        review_above: threshold of REVIEW in force; ``None`` if the model is not calibrated.
        fail_above: threshold of FAIL in force.
        false_alarm_rate: rate that the thresholds stand for, in (0, 1).
        calibration: SHA-256 of the calibration in force.
        verdict: PASS, REVIEW or FAIL; ``None`` if the model is not calibrated.
        reason: why the verdict does not follow from the score.
        regions: defects, the highest peak first.
        model: name of the model.
        version: version of the model, from 1.
        model_sha256: SHA-256 of the model's manifest.
        picture_sha256: SHA-256 of the picture's file.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        picture: name of the kept picture within the station's folder; ``None`` if it was not kept.
        heatmap: name of the kept heat map; ``None`` if it was not kept.
        milliseconds: time from the picture's arrival to its verdict.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    client_id: str | None = None
    time: AwareDatetime
    station: str
    job: str | None = None
    name: str = ""
    product_given: str | None = None
    product: str | None = None
    score: float | None = None
    review_above: float | None = None
    fail_above: float | None = None
    false_alarm_rate: float | None = None
    calibration: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    regions: tuple[Box, ...] = ()
    model: str
    version: int
    model_sha256: str
    picture_sha256: str
    width: int
    height: int
    picture: str | None = None
    heatmap: str | None = None
    milliseconds: float


class Review(_Kept):
    """What a person said about a kept inspection. A later review counts; earlier ones stay.

    Attributes:
        inspection: id of the inspection.
        time: when, in UTC.
        who: name of the person.
        answer: good or defective.
        marks: where the defects are, if the person drew them.
        note: free text.
    """

    inspection: str
    time: AwareDatetime
    who: str = Field(min_length=1, max_length=100)
    answer: Answer
    marks: tuple[Mark, ...] = Field(default=(), max_length=100)
    note: str = Field(default="", max_length=2000)


class Change(_Kept):
    """One line of the audit log: a change of the station, who made it, and what it was.

    Attributes:
        time: when, in UTC.
        station: name of the station.
        who: name of the person or token; ``station`` if nobody asked for it.
        action: what was done, such as ``thresholds``, ``model`` or ``review``.
        detail: what it was before and after, in words and numbers.
    """

    time: datetime
    station: str
    who: str
    action: str
    detail: dict[str, object]
