"""``understudy station``: tokens, upgrade, export and figures of a station's folder."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from understudy.cli import main
from understudy.station.archive import Store
from understudy.station.config import StationOptions
from understudy.station.inspection import InspectionRecord, Review
from understudy.station.keeping import Keeper
from understudy.station.tokens import Tokens


def fill(folder: Path, picture: Path) -> None:
    """Make a station's folder with one reviewed picture."""
    folder.mkdir()
    store = Store.open(StationOptions(folder=folder).database_url)
    id, now = uuid.uuid4().hex, datetime.now(UTC)
    name, _ = Keeper(folder, store).keep(id, now, picture.read_bytes(), None)
    store.add(
        [
            InspectionRecord(
                id=id,
                time=now,
                station="station",
                product="nut",
                score=1.0,
                verdict="FAIL",
                model="m",
                version=1,
                model_sha256="0" * 64,
                picture_sha256="0" * 64,
                width=64,
                height=64,
                picture=name,
                milliseconds=1.0,
            )
        ]
    )
    store.add_review(Review(inspection=id, time=now, who="Ada", answer="good"))
    store.close()


def test_a_token_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "s")
    assert main(["station", "token", folder, "--name", "line3", "--scope", "review"]) == 0
    secret = capsys.readouterr().out.strip()
    found = Tokens(tmp_path / "s").find(secret)
    assert found is not None
    assert found.scope == "review"
    assert main(["station", "tokens", folder]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("line3\treview\t")
    assert secret not in listed
    assert main(["station", "revoke", folder, "--name", "line3"]) == 0
    assert Tokens(tmp_path / "s").find(secret) is None


def test_reviewed_pictures_become_a_data_set(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(factory.glob("*/test/good/*.png"))
    fill(tmp_path / "s", picture)
    assert main(["station", "export", str(tmp_path / "s"), "--out", str(tmp_path / "out")]) == 0
    (written,) = (tmp_path / "out" / "nut" / "train" / "good").iterdir()
    assert written.read_bytes() == picture.read_bytes()
    assert "1 good" in capsys.readouterr().out
    assert main(["data", "inspect", str(tmp_path / "out")]) in (0, 1)


def test_weeks_are_printed_with_what_is_known(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "s", next(factory.glob("*/test/good/*.png")))
    assert main(["station", "weeks", str(tmp_path / "s")]) == 0
    printed = capsys.readouterr().out
    year, week, _ = datetime.now(UTC).isocalendar()
    assert f"{year}-W{week:02d}" in printed
    assert "1 of 1" in printed


def test_upgrading_a_database_of_today_changes_nothing(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "s", next(factory.glob("*/test/good/*.png")))
    assert main(["station", "upgrade", str(tmp_path / "s")]) == 0
    assert capsys.readouterr().out == "the database is up to date\n"


@pytest.mark.parametrize("verb", ["upgrade", "weeks"])
def test_another_folder_is_refused(tmp_path: Path, the_error: Callable[[], str], verb: str) -> None:
    assert main(["station", verb, str(tmp_path)]) == 2
    assert "is no folder of a station" in the_error()
    assert list(tmp_path.iterdir()) == []
