"""What people said about inspections: a data set of their pictures, and how the station does by week."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from understudy.calibrate.estimate import NORMAL_95
from understudy.data.kinds import split_name
from understudy.data.weeks import Share, Week, write_weeks
from understudy.errors import InputError
from understudy.files import write_text, writing
from understudy.results import results_in
from understudy.runtime.images import PICTURE_SUFFIXES
from understudy.station.archive import Daily, Store
from understudy.station.inspection import InspectionRecord, Review
from understudy.station.keeping import Keeper
from understudy.station.queries import Query, Row

__all__ = ["NOTE", "Exported", "export_reviewed", "weeks"]

NOTE = "reviewed.jsonl"
"""File of an exported data set that says where each picture came from, a line each."""

_FORBIDDEN = frozenset('/\\:*?"<>|')
_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True)
class Exported:
    """What became a data set.

    Attributes:
        good: pictures in ``train/good``.
        defective: pictures in ``test/defect``.
        masks: of these, those with a mask.
        gone: reviewed inspections whose picture is not kept, or no longer.
        unknown: reviewed pictures of an unknown product, which stand in no folder.
        repeated: reviewed inspections of a picture that was inspected again later; the later one counts.
    """

    good: int = 0
    defective: int = 0
    masks: int = 0
    gone: int = 0
    unknown: int = 0
    repeated: int = 0


def export_reviewed(
    store: Store,
    keeper: Keeper,
    out: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Exported:
    """Write the reviewed pictures as a data set in MVTec AD layout; the last review of a picture counts.

    Beside them stand :data:`NOTE` and the figures of all weeks; see :mod:`understudy.data.weeks`.

    Args:
        store: the store.
        keeper: keeper of the pictures.
        out: folder of the data set; its last export there is replaced when the new one is whole.
        since: earliest time of the inspections.
        until: time before which they were.

    Raises:
        BundleError: the folder cannot be written.
        InputError: no reviewed picture is kept, or the folder holds other files.
        StoreError: the database cannot be read.
        WorkError: the disk is full; the last export is still there.
    """
    query = Query(station=keeper.station, since=since, until=until, answered=True)
    done, seen, lines = Exported(), set(), list[str]()
    with results_in(out) as draft:
        for row in _rows(store, query):
            inspection, review = row.inspection, row.review
            picture = keeper.path(inspection.picture or "")
            key = inspection.product, inspection.picture_sha256
            if review is None or picture is None:
                done = replace(done, gone=done.gone + 1)
            elif inspection.product is None:
                done = replace(done, unknown=done.unknown + 1)
            elif key in seen:
                done = replace(done, repeated=done.repeated + 1)
            elif made := _placed(draft, out, picture, inspection, review):
                seen.add(key)
                lines.append(_line(made, inspection, review))
                done = _counted(done, review, made)
            else:
                done = replace(done, gone=done.gone + 1)
        write_text(draft / NOTE, "".join(lines))
        write_weeks(draft, weeks(store, station=keeper.station))
        if not done.good + done.defective:
            raise InputError(_nothing(done))
    return done


def _rows(store: Store, query: Query) -> Iterator[Row]:
    """Yield all rows of a query, the last stored first."""
    while True:
        page = store.search(query, limit=200)
        yield from page.rows
        if page.next is None:
            return
        query = replace(query, before=page.next)


def _placed(
    draft: Path, out: Path, picture: Path, inspection: InspectionRecord, review: Review
) -> dict[str, str | None] | None:
    """Copy a picture and draw its mask; return their names, or ``None`` if the picture is gone by now."""
    product = _folder_name(inspection.product or "")
    suffix = picture.suffix if picture.suffix in PICTURE_SUFFIXES else ".png"  # readers look into the file
    kind = "train/good" if review.answer == "good" else "test/defect"
    name, mask = f"{product}/{kind}/{inspection.id}{suffix}", None
    with writing(out):
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(picture, draft / name)
        except FileNotFoundError:
            return None
        if review.answer == "defective" and review.marks:
            mask = f"{product}/ground_truth/defect/{inspection.id}_mask.png"
            (draft / mask).parent.mkdir(parents=True, exist_ok=True)
            _draw(inspection, review).save(draft / mask)
    return {"picture": name, "mask": mask}


def _draw(inspection: InspectionRecord, review: Review) -> Image.Image:
    """Draw the marks of a review as (height, width) mask; what lies outside of the picture is cut off."""
    mask = np.zeros((inspection.height, inspection.width), np.uint8)
    for mark in review.marks:
        mask[mark.top : mark.bottom, mark.left : mark.right] = 255
    return Image.fromarray(mask)


def _folder_name(product: str) -> str:
    """Return a name for a product's folder that every disk can hold and that means nothing else."""
    name = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in product)[:_LONGEST].strip(
        ". "
    )
    if name and name == product and split_name(name) is None:
        return name
    return f"{name or 'product'}_{sha256(product.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _line(made: dict[str, str | None], inspection: InspectionRecord, review: Review) -> str:
    origin = {
        **made,
        "inspection": inspection.id,
        "station": inspection.station,
        "time": inspection.time.isoformat(),
        "name": inspection.name,
        "product": inspection.product,
        "job": inspection.job,
        "verdict": inspection.verdict,
        "score": _finite(inspection.score),
        "answer": review.answer,
        "who": review.who,
        "reviewed": review.time.isoformat(),
        "note": review.note,
        "sha256": inspection.picture_sha256,
    }
    return json.dumps(origin, ensure_ascii=True) + "\n"


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def _counted(done: Exported, review: Review, made: dict[str, str | None]) -> Exported:
    if review.answer == "good":
        return replace(done, good=done.good + 1)
    return replace(done, defective=done.defective + 1, masks=done.masks + (made["mask"] is not None))


def _nothing(done: Exported) -> str:
    if done.gone:
        return f"none of the {done.gone} reviewed pictures is kept; review newer ones, or allow more room"
    if done.unknown:
        return "all reviewed pictures are of unknown products; name the product with each picture"
    return "nothing is reviewed yet; review some pictures first"


def weeks(store: Store, *, station: str | None = None, since: datetime | None = None) -> list[Week]:
    """Count what people found by ISO week in UTC, the first week first.

    Args:
        store: the store.
        station: station; ``None`` for all.
        since: a time in the first week that counts; ``None`` for all weeks.

    Raises:
        StoreError: the database cannot be read.
    """
    if since is not None:
        day = since.astimezone(UTC).date()
        since = datetime.combine(_monday(day), time(), UTC)
    found: dict[date, list[Daily]] = defaultdict(list)
    for each in store.daily(station, since):
        found[_monday(each.day)].append(each)
    return [_week(start, found[start]) for start in sorted(found)]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _week(start: date, counted: list[Daily]) -> Week:
    alarms: dict[str | None, int] = defaultdict(int)
    passes: dict[str | None, int] = defaultdict(int)
    for each in counted:
        if each.verdict in ("REVIEW", "FAIL"):
            alarms[each.answer] += each.count
        elif each.verdict == "PASS":
            passes[each.answer] += each.count
    inspected = sum(each.count for each in counted)
    looked_at = alarms["defective"] + alarms["good"]
    year, week, _ = start.isocalendar()
    return Week(
        week=f"{year}-W{week:02d}",
        start=start,
        inspected=inspected,
        alarms=_share(sum(alarms.values()), inspected),
        reviewed=sum(each.count for each in counted if each.answer),
        found=_share(alarms["defective"], looked_at),
        false_alarms=_share(alarms["good"], looked_at),
        missed=_share(passes["defective"], passes["defective"] + passes["good"]),
    )


def _share(count: int, of: int) -> Share:
    """Return a share with its 95 % interval by Wilson's score method, as in the report of ``evaluate``."""
    if not of:
        return Share(count=count, of=of)
    p, z2 = count / of, NORMAL_95**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_95 * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    low, high = 0.0 if not count else centre - half, 1.0 if count == of else centre + half
    return Share(count=count, of=of, share=p, low=low, high=high)
