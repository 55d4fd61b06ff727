"""Questions to the kept inspections, and their answers: which rows, in which order, from where on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from understudy.station.database import SERVER
from understudy.station.inspection import InspectionRecord, Review
from understudy.station.tables import INSPECTIONS, REVIEWS, inspection_of, review_of, searchable

__all__ = ["Page", "Query", "Row", "filtered", "row_of", "rows_with_reviews"]

_LAST = "last_"
_I = INSPECTIONS.c


@dataclass(frozen=True)
class Query:
    """Which inspections to find; what is not given does not restrict.

    Attributes:
        verdicts: PASS, REVIEW, FAIL, or ``NONE`` for a model that was not calibrated.
        product: name of the product.
        station: name of the station.
        job: job id.
        text: part of the picture's name, of the id, of the client's id, of the job or of the reason; case
            does not matter.
        since: earliest time.
        until: time before which it was.
        answered: whether a person has reviewed it.
        before: sequence below which to look; ``next`` of the last page.
    """

    verdicts: tuple[str, ...] = ()
    product: str | None = None
    station: str | None = None
    job: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    answered: bool | None = None
    before: int | None = None


@dataclass(frozen=True)
class Row:
    """An inspection as it is kept.

    Attributes:
        sequence: place in the order of storing, from 1, with gaps.
        inspection: the inspection.
        review: last review; ``None`` if there is none.
    """

    sequence: int
    inspection: InspectionRecord
    review: Review | None


@dataclass(frozen=True)
class Page:
    """Some of the rows that a query finds.

    Attributes:
        rows: the rows.
        next: ``before`` of the query for the next page; ``None`` on the last one.
    """

    rows: list[Row]
    next: int | None


def rows_with_reviews() -> Select[Any]:
    """Select inspections, each with its last review; see :func:`row_of`."""
    last = [column.label(f"{_LAST}{column.name}") for column in REVIEWS.c]
    return select(INSPECTIONS, *last).outerjoin(REVIEWS, REVIEWS.c.sequence == _I.review)


def row_of(found: Any) -> Row:
    """Mapping of a selected row -> row."""
    review = None
    if found[f"{_LAST}sequence"] is not None:
        review = review_of({name: found[f"{_LAST}{name}"] for name in Review.model_fields})
    return Row(found["sequence"], inspection_of(found), review)


def filtered(statement: Select[Any], query: Query, dialect: str) -> Select[Any]:
    """Restrict a selection of inspections to what a query asks for.

    Args:
        statement: selection.
        query: query.
        dialect: name of the database's dialect.
    """
    conditions: list[ColumnElement[bool]] = []
    if query.verdicts:
        conditions.append(_has_verdict(query.verdicts))
    for name in ("product", "station", "job"):
        if (value := getattr(query, name)) is not None:
            conditions.append(_I[name] == value)
    if query.text:
        place = func.strpos if dialect == SERVER else func.instr
        conditions.append(place(_I.words, searchable(query.text)) > 0)
    if query.since is not None:
        conditions.append(_I.time >= query.since)
    if query.until is not None:
        conditions.append(_I.time < query.until)
    if query.answered is not None:
        conditions.append(_I.review.is_not(None) if query.answered else _I.review.is_(None))
    if query.before is not None:
        conditions.append(_I.sequence < query.before)
    return statement.where(*conditions)


def _has_verdict(verdicts: tuple[str, ...]) -> ColumnElement[bool]:
    named = [each for each in verdicts if each != "NONE"]
    if len(named) == len(verdicts):
        return _I.verdict.in_(named)
    return or_(_I.verdict.is_(None), _I.verdict.in_(named)) if named else _I.verdict.is_(None)
