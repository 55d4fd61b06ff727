"""Reviewed pictures become a data set that the other verbs read, and weeks that say only what is known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.data.layouts import open_pictures
from understudy.data.weeks import read_weeks
from understudy.errors import InputError, WorkError
from understudy.evaluate.rates import share_interval
from understudy.runtime.images import read_picture
from understudy.runtime.masks import read_mask
from understudy.station.archive import Store
from understudy.station.inspection import InspectionRecord, Mark, Review
from understudy.station.keeping import Keeper
from understudy.station.reviewed import NOTE, Exported, export_reviewed, weeks

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Make = Callable[..., InspectionRecord]
Reviewed = Callable[..., InspectionRecord]


@pytest.fixture
def keeper(tmp_path: Path, store: Store) -> Keeper:
    return Keeper(tmp_path / "station", store)


@pytest.fixture
def reviewed(keeper: Keeper, store: Store, inspection: Make) -> Reviewed:
    """Keep a picture of 40x30, store its inspection and answers to it."""
    made = 0

    def make(
        *answers: str, marks: tuple[Mark, ...] = (), keep: bool = True, **given: object
    ) -> InspectionRecord:
        nonlocal made
        made += 1
        record = inspection(**{"verdict": "FAIL", **given})
        if keep:
            picture, _ = keeper.keep(record.id, record.time, _png(made), None)
            record = record.model_copy(update={"picture": picture})
        store.add([record])
        for answer in answers:
            store.add_review(
                Review(inspection=record.id, time=NOON, who="Ada", answer=answer, marks=marks, note="a dent")
            )
        return record

    return make


def _png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_the_export_is_read_as_a_data_set_with_masks(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path
) -> None:
    good = reviewed("defective", "good", verdict="PASS")
    marks = (Mark(left=2, top=3, right=10, bottom=5), Mark(left=38, top=28, right=90, bottom=90))
    marked = reviewed("good", "defective", marks=marks)
    bare = reviewed("defective", product="nut")
    reviewed()
    done = export_reviewed(store, keeper, tmp_path / "out")
    assert done == Exported(good=1, defective=2, masks=1)
    found = open_pictures(tmp_path / "out")
    records = {record.path.stem: record for record in found.records}
    assert records.keys() == {good.id, marked.id, bare.id}
    assert [
        (records[r.id].category, records[r.id].split, records[r.id].defect) for r in (good, marked, bare)
    ] == [
        ("bottle", "train", "good"),
        ("bottle", "test", "defect"),
        ("nut", "test", "defect"),
    ]
    mask = read_mask(records[marked.id].masks[0], read_picture(records[marked.id].path).shape[:2])
    wanted = np.zeros((30, 40), bool)
    wanted[3:5, 2:10] = wanted[28:, 38:] = True
    assert (mask == wanted).all()
    assert records[bare.id].masks == ()


def test_the_note_says_where_each_picture_came_from(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path
) -> None:
    record = reviewed("defective", job="7", score=0.0, name="=cmd\n.png")
    export_reviewed(store, keeper, tmp_path / "out")
    (line,) = map(json.loads, (tmp_path / "out" / NOTE).read_text().splitlines())
    assert (tmp_path / "out" / line["picture"]).is_file()
    told = {
        name: line[name]
        for name in ("inspection", "station", "job", "score", "name", "who", "answer", "note")
    }
    assert told == {
        "inspection": record.id,
        "station": "line 3",
        "job": "7",
        "score": 0.0,
        "name": "=cmd\n.png",
        "who": "Ada",
        "answer": "defective",
        "note": "a dent",
    }


def test_what_is_left_out_is_counted(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path
) -> None:
    reviewed("good", picture_sha256="d" * 64)
    later = reviewed("defective", picture_sha256="d" * 64)
    reviewed("good", keep=False)
    reviewed("good", product=None)
    gone = reviewed("good")
    path = keeper.path(gone.picture or "")
    assert path is not None
    path.unlink()
    done = export_reviewed(store, keeper, tmp_path / "out")
    assert done == Exported(defective=1, gone=2, unknown=1, repeated=1)
    assert [each.path.stem for each in open_pictures(tmp_path / "out").records] == [later.id]


def test_the_times_bound_the_export_across_pages(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(6):
        reviewed("good", time=NOON + timedelta(hours=hour))
    monkeypatch.setattr(store, "search", lambda query, limit, search=store.search: search(query, 2))
    since, until = NOON + timedelta(hours=1), NOON + timedelta(hours=5)
    assert export_reviewed(store, keeper, tmp_path / "out", since=since, until=until).good == 4
    assert export_reviewed(store, keeper, tmp_path / "all").good == 6


def test_a_new_export_replaces_the_last_one_and_leaves_files_of_the_user(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = reviewed("good")
    export_reviewed(store, keeper, out)
    store.add_review(Review(inspection=first.id, time=NOON, who="Bo", answer="defective"))
    export_reviewed(store, keeper, out)
    assert [str(path.relative_to(out)) for path in out.rglob("*.png")] == [
        f"bottle/test/defect/{first.id}.png"
    ]
    (out / "bottle" / "mine.png").touch()
    with pytest.raises(InputError, match=r"mine\.png is not on understudy's list"):
        export_reviewed(store, keeper, out)
    assert (out / "bottle" / "mine.png").exists()


def test_a_full_disk_leaves_the_last_export(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import shutil

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    first = reviewed("good")
    export_reviewed(store, keeper, tmp_path / "out")
    reviewed("good")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(WorkError, match="make room"):
        export_reviewed(store, keeper, tmp_path / "out")
    assert [path.stem for path in (tmp_path / "out").rglob("*.png")] == [first.id]


@pytest.mark.parametrize(
    "product", ["../../up", "a/b", "test", "ground_truth", ".", "", "nul\0", "con?", "x" * 300]
)
def test_products_with_odd_names_stay_inside_and_apart(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path, product: str
) -> None:
    reviewed("good", product=product)
    reviewed("good", product="bottle")
    out = tmp_path / "a" / "out"
    assert export_reviewed(store, keeper, out).good == 2
    assert len(open_pictures(out).categories) == 2
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"out"}


@pytest.mark.parametrize(
    ("answers", "given", "sentence"),
    [
        ((), {}, "nothing is reviewed yet"),
        (("good",), {"keep": False}, "none of the 1 reviewed pictures is kept"),
        (("good",), {"product": None}, "unknown products"),
    ],
)
def test_an_export_of_nothing_is_refused_and_leaves_no_folder(
    store: Store,
    keeper: Keeper,
    reviewed: Reviewed,
    tmp_path: Path,
    answers: tuple[str, ...],
    given: dict[str, object],
    sentence: str,
) -> None:
    reviewed(*answers, **given)
    with pytest.raises(InputError, match=sentence):
        export_reviewed(store, keeper, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weeks_count_what_people_found_with_intervals(store: Store, reviewed: Reviewed) -> None:
    old = datetime(2025, 12, 31, 12, tzinfo=UTC)  # of the first week of 2026
    reviewed(time=old, keep=False)
    for verdict, *answers in [
        ("FAIL", "defective"),
        ("FAIL", "good", "defective"),
        ("REVIEW", "good"),
        ("REVIEW",),
        ("PASS", "good"),
        ("PASS", "defective"),
        ("PASS",),
        (None, "good"),
    ]:
        reviewed(*answers, verdict=verdict, keep=False)
    first, second = weeks(store)
    assert (first.week, first.start) == ("2026-W01", date(2025, 12, 29))
    assert (first.inspected, first.reviewed, first.alarms.count) == (1, 0, 1)
    assert (first.found.of, first.found.share, first.found.low, first.missed.high) == (0, None, None, None)
    assert (second.week, second.inspected, second.reviewed) == ("2026-W10", 8, 6)
    for share, count, of in [
        (second.alarms, 4, 8),
        (second.found, 2, 3),
        (second.false_alarms, 1, 3),
        (second.missed, 1, 2),
    ]:
        assert (share.count, share.of, share.share) == (count, of, count / of)
        assert (share.low, share.high) == pytest.approx(share_interval(count, of))


def test_weeks_begin_with_the_whole_week_that_was_asked_for(store: Store, inspection: Make) -> None:
    sunday, monday = datetime(2026, 3, 1, 23, 59, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    store.add([inspection(time=sunday), inspection(time=monday), inspection(time=NOON, station="line 4")])
    assert [(week.week, week.inspected) for week in weeks(store, since=NOON)] == [("2026-W10", 2)]
    assert [week.inspected for week in weeks(store, station="line 3")] == [1, 1]
    assert weeks(store, station="line 5") == []


def test_the_export_holds_the_weeks_that_the_report_shows(
    store: Store, keeper: Keeper, reviewed: Reviewed, tmp_path: Path
) -> None:
    reviewed("defective")
    reviewed("good")
    export_reviewed(store, keeper, tmp_path / "out")
    (week,) = read_weeks(tmp_path / "out")
    assert [week] == weeks(store)
    assert (week.found.count, week.found.of, week.false_alarms.count) == (1, 2, 1)
