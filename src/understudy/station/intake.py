"""Pictures of one call -> kept records: judged once, stored once, told to all who listen."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from understudy.errors import PictureError, UnderstudyError
from understudy.runtime.decision import thresholds_for
from understudy.runtime.sources import EncodedPicture
from understudy.station.config import CallLimits
from understudy.station.engine import Engine, JudgedPicture, named
from understudy.station.inspection import Box, InspectionRecord
from understudy.station.keeping import Keeper
from understudy.station.recent import Recent, heatmap_of
from understudy.station.recorder import Recorder
from understudy.station.size_limit import require_size
from understudy.station.turns import Turns
from understudy.station.versions import Versions

__all__ = ["LONGEST_TEXT", "ConflictError", "Incoming", "Intake", "Reply"]

LONGEST_TEXT = 200
"""Most letters of a product, a job or an id that a client gives."""


class ConflictError(UnderstudyError):
    """The call contradicts what the station holds."""


@dataclass(frozen=True)
class Incoming:
    """A picture as a client sends it.

    Attributes:
        name: name of its file; may be empty.
        data: content of its file.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Reply:
    """What the station answers about a picture.

    Attributes:
        name: the client's name of the picture.
        inspection: the record; ``None`` if the picture cannot be judged.
        error: why not, in a sentence.
        stored: whether the record stands in the database.
        repeated: whether the record is that of an earlier call with the same client id.
        judged: the judgement itself; ``None`` if it was not made now.
    """

    name: str
    inspection: InspectionRecord | None = None
    error: str | None = None
    stored: bool = False
    repeated: bool = False
    judged: JudgedPicture | None = None


@dataclass(frozen=True)
class Intake:
    """Takes pictures in. Safe for several threads.

    Attributes:
        station: name of the station.
        limits: what a call may ask for.
        versions: versions of the model.
        engine: judges pictures.
        keeper: keeps pictures.
        recorder: stores inspections, and finds earlier ones.
        recent: holds the last pictures for the page.
        told: is called with each new record, what was judged, and whether the record is stored.
        failed: is called for each picture that cannot be judged.
        turns: lets calls with the same client id go one after the other.
    """

    station: str
    limits: CallLimits
    versions: Versions
    engine: Engine
    keeper: Keeper
    recorder: Recorder
    recent: Recent
    told: Callable[[InspectionRecord, JudgedPicture, bool], None]
    failed: Callable[[], None]
    turns: Turns = field(default_factory=Turns)

    def inspect(
        self,
        pictures: Sequence[Incoming],
        *,
        product: str | None = None,
        job: str | None = None,
        client_id: str | None = None,
        arrived: float | None = None,
    ) -> list[Reply]:
        """Judge pictures of one call and keep the inspections; one reply a picture, in order.

        Args:
            pictures: the pictures.
            product: product that all of them show; recognised by default.
            job: job id of the client.
            client_id: makes a repeated call harmless: the same id with the same picture gets the same record.
                The pictures of a call with several get ``/0``, ``/1`` and so on behind it.
            arrived: ``time.perf_counter()`` when the call arrived.

        Raises:
            BusyError: too many pictures wait.
            ConflictError: the client id belongs to another picture.
            InputError: the model does not know the product.
        """
        arrived = arrived if arrived is not None else time.perf_counter()
        self.versions.current.inspector.require_category(product)
        with self.turns.of(client_id):
            return self._inspect(pictures, product, job, client_id, arrived)

    def _inspect(
        self,
        pictures: Sequence[Incoming],
        product: str | None,
        job: str | None,
        client_id: str | None,
        arrived: float,
    ) -> list[Reply]:
        digests = [hashlib.sha256(each.data).hexdigest() for each in pictures]
        ids = _client_ids(client_id, len(pictures))
        known = self.recorder.find(self.station, [own for own in ids if own is not None])
        replies: list[Reply | None] = [None] * len(pictures)
        ask: list[int] = []
        for i, (picture, digest, own) in enumerate(zip(pictures, digests, ids, strict=True)):
            name = named(picture.name)
            try:
                require_size(picture.data, name, self.limits)
                if own in known:
                    replies[i] = _repeat(name, known[own], digest, product)
                else:
                    ask.append(i)
            except PictureError as error:
                replies[i] = Reply(name, error=str(error))
                self.failed()
        encoded = [EncodedPicture(named(pictures[i].name), pictures[i].data) for i in ask]
        futures = self.engine.submit(encoded, product) if encoded else []
        for i, future in zip(ask, futures, strict=True):
            judged = future.result()
            name = named(pictures[i].name)
            if judged.scored is None:
                replies[i] = Reply(name, error=judged.result.error)
                self.failed()
                continue
            record = self._record(judged, name, ids[i], digests[i], product, job, arrived)
            self.recent.add(record.id, pictures[i].data, judged)
            replies[i] = Reply(name, self._kept(record, judged, pictures[i].data), judged=judged)
        return self._stored([each for each in replies if each is not None])

    def _record(
        self,
        judged: JudgedPicture,
        name: str,
        client_id: str | None,
        digest: str,
        given: str | None,
        job: str | None,
        arrived: float,
    ) -> InspectionRecord:
        result, loaded = judged.result, judged.loaded
        calibration = loaded.inspector.calibration
        used = None if calibration is None else thresholds_for(calibration, result.category)
        return InspectionRecord(
            id=_result_id(self.station, client_id, digest, given),
            client_id=client_id,
            time=datetime.now(UTC),
            station=self.station,
            job=job,
            name=name,
            product_given=given,
            product=result.category,
            score=result.score if result.score == result.score else None,
            review_above=None if used is None else used.review_above,
            fail_above=None if used is None else used.fail_above,
            false_alarm_rate=None if used is None else used.false_alarm_rate,
            calibration=loaded.calibration_sha256,
            verdict=result.verdict,
            reason=result.reason,
            regions=tuple(Box(**region._asdict()) for region in result.regions),
            model=loaded.name,
            version=loaded.version,
            model_sha256=loaded.sha256,
            picture_sha256=digest,
            width=result.size[1],
            height=result.size[0],
            milliseconds=round(1000 * (time.perf_counter() - arrived), 3),
        )

    def _kept(self, record: InspectionRecord, judged: JudgedPicture, data: bytes) -> InspectionRecord:
        """Keep the picture and its heat map if the policy wants them; return the record with their names."""
        if not self.keeper.wants(record.verdict):
            return record
        picture, heatmap = self.keeper.keep(record.id, record.time, data, heatmap_of(judged))
        return record.model_copy(update={"picture": picture, "heatmap": heatmap})

    def _stored(self, replies: list[Reply]) -> list[Reply]:
        """Store the new records of a call; tell everybody who wants to know."""
        new = [each for each in replies if each.inspection and not each.repeated]
        rows = self.recorder.add([each.inspection for each in new if each.inspection])
        told = {id(each): self._told(each, row) for each, row in zip(new, rows, strict=True)}
        done = [told.get(id(each), each) for each in replies]
        for reply in done:
            if isinstance(reply, ConflictError):
                raise reply
        return [reply for reply in done if isinstance(reply, Reply)]

    def _told(self, reply: Reply, row: InspectionRecord | None) -> Reply | ConflictError:
        record, judged = reply.inspection, reply.judged
        assert record is not None
        assert judged is not None
        if row in (None, record):
            self.told(record, judged, row is not None)
            return Reply(reply.name, record, stored=row is not None, judged=judged)
        assert row is not None  # stored by a call before, whose answer could not say so
        self.keeper.discard(*({record.picture, record.heatmap} - {row.picture, row.heatmap}))
        try:
            return _repeat(reply.name, row, record.picture_sha256, record.product_given)
        except ConflictError as conflict:
            return conflict


def _client_ids(client_id: str | None, n: int) -> list[str | None]:
    if client_id is None or n == 1:
        return [client_id] * n
    return [f"{client_id}/{i}" for i in range(n)]


def _result_id(station: str, client_id: str | None, digest: str, product: str | None) -> str:
    """Return the id of a record; a call that is repeated has the same, also if it could not be stored."""
    if client_id is None:
        return uuid.uuid4().hex
    parts = "\0".join((station, client_id, digest, product or ""))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _repeat(name: str, earlier: InspectionRecord, digest: str, product: str | None) -> Reply:
    same = earlier.picture_sha256 == digest and earlier.product_given == product
    if not same:
        what = "picture" if earlier.picture_sha256 != digest else "product"
        raise ConflictError(
            f"the id {earlier.client_id!r} belongs to another {what}, inspected at "
            f"{earlier.time.isoformat(timespec='seconds')}; give every picture an id of its own"
        )
    return Reply(name, earlier, stored=True, repeated=True)
