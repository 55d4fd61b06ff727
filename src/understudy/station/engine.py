"""Pictures of many callers -> results, scored together. The queue is bounded, and a full one says so."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from understudy.errors import PictureError, UnderstudyError
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import EncodedPicture, Source
from understudy.station.versions import Loaded
from understudy.types import Result

__all__ = ["BusyError", "Engine", "JudgedPicture"]


class BusyError(UnderstudyError):
    """As many pictures wait for the model as may; try again in a moment."""


@dataclass(frozen=True)
class JudgedPicture:
    """A picture that was judged, and by what.

    Attributes:
        result: what the model says.
        scored: what was measured; ``None`` if the picture cannot be judged.
        loaded: version of the model, with the thresholds in force.
    """

    result: Result
    scored: Scored | None
    loaded: Loaded


@dataclass
class _Waiting:
    picture: EncodedPicture
    product: str | None
    answer: Future[JudgedPicture] = field(default_factory=Future)


@dataclass(frozen=True)
class _Batch:
    """Pictures that one thread judges, by a version; in a lane there is one, and one core for it."""

    loaded: Loaded
    pictures: tuple[_Waiting, ...]
    in_lane: bool


class Engine:
    """Scores pictures: few of them in one batch by all cores, many side by side with one core each.

    Cores that share a picture wait for each other, so that many pictures are done sooner side by side; one
    picture alone is done sooner by all cores. A picture waits for others only while calls are on their way,
    and never longer than ``wait``.

    Args:
        current: returns the version of the model in force; asked once a batch.
        batch_size: most pictures that are scored at once by all cores.
        wait: longest time in seconds that a picture waits for others.
        most_waiting: most pictures in the queue.
        lanes: most pictures that are scored side by side; 1 scores all by all cores.
    """

    def __init__(
        self,
        current: Callable[[], Loaded],
        *,
        batch_size: int = 8,
        wait: float = 0.002,
        most_waiting: int = 256,
        lanes: int = 1,
    ) -> None:
        self._current = current
        self._batch_size = batch_size
        self._wait = wait
        self._most = most_waiting
        self._lanes = lanes
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._coming = 0
        self._in_lanes = 0
        self._all_cores = False  # a batch has them
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"engine-{i}") for i in range(lanes)]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether pictures are judged."""
        return not self._closed and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Number of pictures in the queue."""
        return len(self._queue)

    def expect(self, change: int) -> None:
        """Tell that so many more calls are on their way, or fewer if the number is negative."""
        with self._changed:
            self._coming += change
            self._changed.notify_all()

    def submit(self, pictures: Sequence[EncodedPicture], product: str | None) -> list[Future[JudgedPicture]]:
        """Queue pictures; each gets a future of what is said about it.

        Raises:
            BusyError: they do not fit into the queue, or the engine is closing.
        """
        added = [_Waiting(picture, product) for picture in pictures]
        with self._changed:
            if self._closed or len(self._queue) + len(added) > self._most:
                raise BusyError("the station is busy; send the pictures again in a second")
            self._queue += added
            self._changed.notify_all()
        return [each.answer for each in added]

    def close(self) -> None:
        """Answer what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self._answer(batch)
            finally:
                self._release(batch)

    def _answer(self, batch: _Batch) -> None:
        """Judge a batch. If it fails, judge its pictures one by one, so that one does not fail the others."""
        try:
            found = list(_judge(batch))  # all at once, so that their records share a transaction
            for each, judged in zip(batch.pictures, found, strict=True):
                each.answer.set_result(judged)
        except BaseException as error:  # a caller waits for every picture, whatever happens
            left = [each for each in batch.pictures if not each.answer.done()]
            if len(batch.pictures) == 1:
                batch.pictures[0].answer.set_exception(error)
                return
            for each in left:
                self._answer(replace(batch, pictures=(each,)))

    def _next_batch(self) -> _Batch | None:
        """Wait for pictures and take some; ``None`` ends the thread."""
        with self._changed:
            until: float | None = None
            while True:
                if not self._queue:
                    if self._closed:
                        return None
                    until = None
                    self._changed.wait()
                elif self._is_lane_due():
                    self._in_lanes += 1
                    return self._taken(1, in_lane=True)
                elif self._all_cores or self._in_lanes:
                    until = None
                    self._changed.wait()
                else:
                    until = until or time.monotonic() + self._wait
                    left = until - time.monotonic()
                    more = len(self._queue) < self._batch_size and self._coming > 0 and not self._closed
                    if not more or left <= 0:
                        self._all_cores = True
                        return self._taken(self._batch_size, in_lane=False)
                    self._changed.wait(left)  # and look again: another thread may have taken them

    def _is_lane_due(self) -> bool:
        """Whether there are pictures enough to keep every core busy with one of its own."""
        enough = len(self._queue) + self._in_lanes >= self._lanes > 1
        return enough and self._current().lane is not None

    def _taken(self, most: int, *, in_lane: bool) -> _Batch:
        pictures = tuple(self._queue.popleft() for _ in range(min(most, len(self._queue))))
        return _Batch(self._current(), pictures, in_lane)

    def _release(self, batch: _Batch) -> None:
        with self._changed:
            if batch.in_lane:
                self._in_lanes -= 1
            else:
                self._all_cores = False
            self._changed.notify_all()


def _judge(batch: _Batch) -> Iterator[JudgedPicture]:
    """Judge pictures; a product that the version in force does not know is recognised instead."""
    loaded, waiting = batch.loaded, batch.pictures
    inspector = (loaded.lane if batch.in_lane else None) or loaded.inspector
    pictures: Iterable[Source] = [each.picture for each in waiting]
    if len(waiting) == 1:
        pictures = iter(pictures)  # decoded in this thread: threads for one picture would only cost time
    products = [each.product if each.product in inspector.categories else None for each in waiting]
    scored = inspector.scorer.score(pictures, len(waiting), products)
    for each, product in zip(scored, products, strict=True):
        if isinstance(each, PictureError):
            yield JudgedPicture(inspector.judged(each, product), None, loaded)
        else:
            yield JudgedPicture(inspector.judged(each, product), each, loaded)


def named(name: str) -> str:
    """Return a client's name for a picture without folders and control characters; ``picture`` if none."""
    last = Path(name.replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable())[:200] or "picture"
