"""Options of a station: where it can be reached from, where its database is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from understudy.station.config import StationOptions, is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("station.local", False), ("", False)],
)  # fmt: skip
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_database_is_a_file_in_the_folder_unless_named() -> None:
    assert StationOptions(folder=Path("/x")).database_url == "sqlite:////x/station.db"
    named = StationOptions(folder=Path("/x"), database="postgresql+psycopg://h/d")
    assert named.database_url == "postgresql+psycopg://h/d"


@pytest.mark.parametrize("name", ["", "a b", "ü", "a/b", "x" * 65])
def test_a_station_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError):
        StationOptions(folder=Path("x"), station=name)
