"""A repeated call is harmless: the same client id gets the same record, and no second one."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from serving import Served, serving

from understudy.station.archive import Store, StoreError
from understudy.station.config import CallLimits


def test_a_repeated_call_gets_the_same_record_and_no_second_one(served: Served, pictures: list[Path]) -> None:
    first = served.inspect(*pictures[:2], id="part 17").json["results"]
    again = served.inspect(*pictures[:2], id="part 17").json["results"]
    assert [each["inspection"] for each in first] == [each["inspection"] for each in again]
    assert [each["repeated"] for each in first + again] == [False, False, True, True]
    assert len(served.call("api/inspections").json["rows"]) == 2
    other = served.inspect(*pictures[1:3], id="part 17")
    assert other.status == 409
    assert "'part 17/0' belongs to another picture" in other.error


def test_calls_at_the_same_time_with_one_id_make_one_record(served: Served, pictures: list[Path]) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: served.inspect(pictures[0], id="x").json, range(16)))
    assert len({each["results"][0]["inspection"]["id"] for each in answers}) == 1
    assert len(served.call("api/inspections").json["rows"]) == 1


def test_an_id_belongs_to_its_picture_and_its_product(served: Served, pictures: list[Path]) -> None:
    assert served.inspect(pictures[0], id="x", product="nut").status == 200
    other = served.inspect(pictures[0], id="x", product="capsule")
    assert (other.status, "'x' belongs to another product" in other.error) == (409, True)


def test_the_place_of_a_picture_in_its_call_makes_its_id(exported: Path, tmp_path: Path) -> None:
    small, large = b"small", b"much too large"
    limits = CallLimits(picture_bytes=len(small) + 2000)
    pictures = [("a.png", large * 1000)]
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(file, "PNG")
    pictures += [("b.png", file.getvalue())]
    with serving(exported, tmp_path / "s", limits=limits) as served:
        first, second = served.inspect(*pictures, id="A").json["results"]
        assert first["error"].startswith("a.png has ")
        assert second["inspection"]["client_id"] == "A/1"


def test_long_texts_are_refused_and_never_cut(served: Served, pictures: list[Path]) -> None:
    for field in ("id", "job", "product"):
        answer = served.inspect(pictures[0], **{field: "z" * 201})
        assert (answer.status, answer.error) == (422, f"{field} has 201 letters, and the most is 200")


def test_a_picture_that_could_not_be_stored_keeps_its_id(
    served: Served, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Store, *given: object) -> None:
        raise StoreError("the database cannot be reached")

    monkeypatch.setattr("understudy.station.recorder.RETRY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", gone)
        tries = [served.inspect(pictures[0], id="x").json["results"][0] for _ in range(3)]
    assert [each["stored"] for each in tries] == [False] * 3
    stored = served.inspect(pictures[0], id="x").json["results"][0]
    assert stored["stored"]
    assert {each["inspection"]["id"] for each in tries} == {stored["inspection"]["id"]}
    files = [path for path in (served.station.options.folder / "kept").rglob("*") if path.is_file()]
    assert len(files) == 2  # one picture, one heat map
