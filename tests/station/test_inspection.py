"""Records are written once: they refuse what is no record, and never change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from understudy.station.inspection import InspectionRecord, Mark, Review

Make = Callable[..., InspectionRecord]


def test_a_record_survives_json(inspection: Make) -> None:
    record = inspection(score=None, verdict=None, reason="größer")
    assert InspectionRecord.model_validate_json(record.model_dump_json()) == record


def test_a_record_does_not_change(inspection: Make) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        inspection().verdict = "PASS"  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong", [{"id": "../x"}, {"verdict": "GOOD"}, {"time": "2026-01-01T00:00"}, {"other": 1}]
)
def test_what_is_no_record_is_refused(inspection: Make, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        inspection(**wrong)


def test_a_review_has_a_name_and_a_bounded_note(inspection: Make) -> None:
    fields = {"inspection": "0" * 32, "time": inspection().time, "answer": "good"}
    for wrong in (
        {"who": ""},
        {"who": "x" * 101},
        {"who": "Ada", "note": "x" * 2001},
        {"who": "Ada", "answer": "?"},
    ):
        with pytest.raises(ValidationError):
            Review.model_validate({**fields, **wrong})
    marks = [Mark(left=0, top=0, right=1, bottom=1)] * 101
    with pytest.raises(ValidationError):
        Review.model_validate({**fields, "who": "Ada", "marks": marks})
