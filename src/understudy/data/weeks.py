"""How a station did by week: its export writes it beside the reviewed pictures, and the report shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from understudy.errors import InputError
from understudy.files import write_text

__all__ = ["WEEKS", "Share", "Week", "read_weeks", "write_weeks"]

WEEKS = "weeks.json"
"""Name of the file in a data set."""


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Figures):
    """A share, with what it was counted from.

    Attributes:
        count: number that counts.
        of: number of all.
        share: ``count / of``; ``None`` of nothing.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    share: float | None = None
    low: float | None = None
    high: float | None = None


class Week(_Figures):
    """How the station did in a week, as far as people looked.

    An *alarm* is REVIEW or FAIL. What is missed is known only of PASS pictures that were reviewed, which are
    those that were kept as a sample; so the shares are not of all pictures.

    Attributes:
        week: ISO week, such as ``2026-W05``.
        start: its Monday.
        inspected: inspections, in UTC days.
        alarms: share of inspections that were alarms.
        reviewed: inspections that a person answered.
        found: alarms that were defective, of the reviewed alarms.
        false_alarms: alarms that were good, of the reviewed alarms.
        missed: PASS that were defective, of the reviewed PASS.
    """

    week: str
    start: date
    inspected: int = Field(ge=0)
    alarms: Share
    reviewed: int = Field(ge=0)
    found: Share
    false_alarms: Share
    missed: Share


_LIST = TypeAdapter(list[Week])


def write_weeks(root: Path, weeks: Sequence[Week]) -> None:
    """Write the weeks of a station into its data set.

    Raises:
        WorkError: the file cannot be written.
    """
    write_text(root / WEEKS, _LIST.dump_json(list(weeks), indent=1).decode() + "\n")


def read_weeks(root: Path) -> list[Week]:
    """Return the weeks that stand in a data set, the first week first; none if it is no export of a station.

    Raises:
        InputError: the file is damaged.
    """
    try:
        text = (root / WEEKS).read_bytes()
    except OSError:
        return []
    try:
        return _LIST.validate_json(text)
    except ValidationError as error:
        raise InputError(f"{root / WEEKS} is damaged; export the reviewed pictures again") from error
