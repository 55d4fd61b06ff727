"""What the page asks for: history, pictures, reviews, thresholds, the data set of reviewed pictures."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image
from serving import Served, serving
from waiting import until


def test_what_was_answered_is_in_the_history(served: Served, pictures: list[Path]) -> None:
    records = [each["inspection"] for each in served.inspect(*pictures[:5], job="shift 2").json["results"]]
    rows = served.call("api/inspections?job=shift%202&limit=3").json
    assert [row["inspection"] for row in rows["rows"]] == records[:1:-1]
    rest = served.call(f"api/inspections?before={rows['next']}").json
    assert [row["inspection"] for row in rest["rows"]] == records[1::-1]
    one = served.call(f"api/inspections/{records[0]['id']}").json
    assert one == {"inspection": records[0], "recent": True, "reviews": []}
    assert served.call("api/inspections/" + "0" * 32).status == 404


def test_kept_pictures_come_back_as_they_were(served: Served, pictures: list[Path]) -> None:
    record = served.inspect(pictures[0]).json["results"][0]["inspection"]
    picture = served.call(f"api/inspections/{record['id']}/picture")
    assert picture.body == pictures[0].read_bytes()
    assert picture.headers["Content-Type"] == "image/png"
    heatmap = Image.open(io.BytesIO(served.call(f"api/inspections/{record['id']}/heatmap").body))
    assert heatmap.convert("RGBA").getextrema()[3][0] == 0  # transparent where nothing is found


def test_a_review_is_kept_with_who_and_when(served: Served, pictures: list[Path]) -> None:
    records = [each["inspection"] for each in served.inspect(*pictures).json["results"]]
    wait = served.call("api/waiting").json
    to_see = [each for each in records if each["verdict"] != "PASS"]
    assert [row["inspection"]["id"] for row in wait["rows"]] == [each["id"] for each in to_see]
    path = f"api/inspections/{to_see[0]['id']}"
    marks = [{"left": 2, "top": 3, "right": 9999, "bottom": 9}]
    said = served.post(f"{path}/reviews", {"answer": "defective", "who": "Ada", "marks": marks}).json
    assert said["marks"] == [{"left": 2, "top": 3, "right": to_see[0]["width"], "bottom": 9}]
    served.post(f"{path}/reviews", {"answer": "good", "who": "Bo", "note": "a hair"})
    assert [(r["who"], r["answer"]) for r in served.call(path).json["reviews"]] == [
        ("Ada", "defective"),
        ("Bo", "good"),
    ]
    assert served.call("api/waiting").json["waiting"] == wait["waiting"] - 1
    assert [c["action"] for c in served.call("api/changes").json["changes"]] == ["review", "review"]
    for bad in ({"answer": "maybe"}, {}, {"answer": "good", "marks": [{"left": -1}]}):
        assert served.post(f"{path}/reviews", bad).status == 422


def test_reviewed_pictures_are_a_data_set(served: Served, pictures: list[Path], tmp_path: Path) -> None:
    from understudy.data.layouts import open_pictures

    for picture in pictures:
        product, kind = picture.parts[-4], picture.parts[-2]
        (said,) = served.inspect(picture, product=product).json["results"]
        answer = "good" if kind == "good" else "defective"
        served.post(f"api/inspections/{said['inspection']['id']}/reviews", {"answer": answer, "who": "Ada"})
    archive = served.call("api/reviewed.zip")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as zipped:
        zipped.extractall(tmp_path)
    folder = served.station.options.folder
    until(lambda: not list(folder.glob(".understudy-reviewed-*")))  # removed once the answer is sent
    reviewed = open_pictures(tmp_path / "reviewed")
    told = [(r.category, r.is_good, r.path.read_bytes()) for r in reviewed.records]
    assert sorted(told) == sorted((p.parts[-4], p.parts[-2] == "good", p.read_bytes()) for p in pictures)
    assert len(served.call("api/weeks").json["weeks"]) == 1


def test_thresholds_change_at_once_and_survive_a_restart(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    with serving(exported, tmp_path / "s") as served:
        record = served.inspect(pictures[0]).json["results"][0]["inspection"]
        new = {"product": record["product"], "review_above": -99.0, "fail_above": -98.0}
        tried = served.post("api/thresholds/what-if", new).json
        assert (tried["n"], tried["then"]["FAIL"]) == (1, 1)
        assert served.inspect(pictures[0]).json["results"][0]["inspection"]["verdict"] == record["verdict"]
        assert served.post("api/thresholds", {**new, "who": "Ada"}).status == 200
        after = served.inspect(pictures[0]).json["results"][0]["inspection"]
        assert (after["verdict"], after["fail_above"]) == ("FAIL", -98.0)
        assert after["calibration"] != record["calibration"]
        change = served.call("api/changes").json["changes"][0]
        assert (change["who"], change["action"], change["detail"]["after"]["fail_above"]) == (
            "Ada",
            "thresholds",
            -98.0,
        )
    with serving(None, tmp_path / "s") as served:
        again = served.inspect(pictures[0]).json["results"][0]["inspection"]
        assert (again["verdict"], again["calibration"]) == ("FAIL", after["calibration"])
