"""Pictures -> maps, scores and embeddings: decoded ahead, in batches; a broken one never stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy.errors import PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.decision import Calibration, Prototypes, distances_to, recognise
from understudy.runtime.graph import Answers, Network
from understudy.runtime.images import Mask, Picture, unit
from understudy.runtime.preprocess import Corner, Preprocess
from understudy.runtime.roi import NO_ROIS, Rois, uses_valid_mask
from understudy.runtime.sources import (
    Decoded,
    PictureInput,
    decode_ahead,
    decode_one_by_one,
    is_stream,
    list_sources,
)

__all__ = ["Scored", "Scorer"]

_FEW = 2  # large canvases decoded ahead, which is what memory is bounded by


@dataclass(frozen=True)
class Scored:
    """What was measured on one picture, before anything is decided.

    Attributes:
        path: its file.
        size: its own (height, width).
        digest: of its file.
        score: image-level anomaly score, the maximum of the map.
        anomaly_map: (h, w) float32, of the size of its canvas; where nothing counts, its lowest value.
        embedding: (D,) float32 of length one; see :mod:`understudy.runtime.decision`. Where regions of
            interest depend on the category it is that of the whole picture.
        category: whose region of interest was taken, as said or recognised; ``None`` for an unknown one,
            or where regions do not depend on it.
        valid: (h, w), false where nothing counts; ``None`` if all does.
    """

    path: Path
    size: tuple[int, int]
    digest: str
    score: float
    anomaly_map: NDArray[np.float32]
    embedding: NDArray[np.float32]
    category: str | None = None
    valid: Mask | None = None


@dataclass(frozen=True)
class Scorer:
    """A network with all that turns pictures into its input and its answers into results.

    Attributes:
        network: scores windows.
        preprocess: how pictures become windows.
        prototypes: mean embedding of each category, by which it is recognised.
        calibration: sets how far from its category a picture may be; ``None`` takes the nearest.
        rois: which pixels count.
    """

    network: Network
    preprocess: Preprocess
    prototypes: Prototypes
    calibration: Calibration | None = None
    rois: Rois = NO_ROIS

    @property
    def uses_valid_mask(self) -> bool:
        """Whether some pixels of its windows may not count."""
        return uses_valid_mask(self.preprocess, self.rois)

    def score(
        self,
        pictures: PictureInput,
        batch_size: int = 8,
        categories: Iterable[str | None] | None = None,
        lap: Lap = untimed,
    ) -> Iterator[Scored | PictureError]:
        """Yield one result a picture, in order: a score, or why it could not be read.

        A picture of a stream is scored before the next is asked for; others are decoded ahead.

        Args:
            pictures: to score.
            batch_size: windows scored at once.
            categories: of each picture, where they are known. Where regions of interest depend on the
                category, the whole picture is looked at first, to recognise it.
            lap: times the parts of the work.

        Raises:
            InputError: a path does not exist, or no picture is found.
        """
        stream = is_stream(pictures)
        sources = list_sources(pictures)
        ahead = _FEW if self.preprocess.tile else 2 * batch_size
        decoded = (
            decode_one_by_one(sources, self.preprocess, lap)
            if stream
            else decode_ahead(sources, self.preprocess, ahead, lap)
        )
        said = iter(categories) if categories is not None else repeat(None)
        return self._scored(decoded, said, batch_size, lap, wait_for_more=not stream)

    def score_windows(
        self, windows: Iterable[Picture | NDArray[np.float32]], batch_size: int = 8
    ) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """Yield score and (S, S) map of each (S, S, 3) window, uint8 or float32 in [0, 1], in order.

        Windows are taken a batch at a time, so many that are made on the way never lie in memory together.
        """
        waiting = iter(windows)
        while batch := list(islice(waiting, batch_size)):
            answers = self.network(
                self.preprocess.normalise(np.stack([unit(w) for w in batch])), None, untimed
            )
            for score, anomaly_map in zip(answers.scores, answers.maps, strict=True):
                yield float(score), anomaly_map.copy()

    def recognise(self, embedding: NDArray[np.float32]) -> str | None:
        """The category that a picture of this embedding shows, ``None`` for a product that is like none.

        Without calibration, which sets how far from a category its pictures are, it is the nearest.
        """
        limits = self.calibration.distances if self.calibration else None
        return recognise(distances_to(embedding, self.prototypes), limits)

    def _scored(
        self,
        decoded: Iterator[Decoded | PictureError],
        said: Iterator[str | None],
        batch_size: int,
        lap: Lap,
        wait_for_more: bool,
    ) -> Iterator[Scored | PictureError]:
        """Score full batches of windows; at the end of each picture too, unless more is waited for."""
        waiting: deque[_Picture | PictureError] = deque()
        batch: list[tuple[_Picture, Corner]] = []
        for result in decoded:
            picture = self._prepared(result, next(said), batch_size, lap)
            waiting.append(picture)
            windows = [] if isinstance(picture, PictureError) else [(picture, at) for at in picture.corners]
            for window in windows:
                batch.append(window)
                if len(batch) == batch_size:
                    self._answer(batch, lap)
                    batch = []
                    yield from _finished(waiting)
            if not wait_for_more:
                self._answer(batch, lap)
                batch = []
                yield from _finished(waiting)
        self._answer(batch, lap)
        yield from _finished(waiting)

    def _prepared(
        self, result: Decoded | PictureError, category: str | None, batch_size: int, lap: Lap
    ) -> _Picture | PictureError:
        if isinstance(result, PictureError):
            return result
        canvas, seen_whole = result.picture.shape[:2], None
        if self.rois.depend_on_category:
            whole = _Picture(result, np.ones(canvas, dtype=bool), self.preprocess)
            for at in range(0, len(whole.corners), batch_size):
                self._answer([(whole, corner) for corner in whole.corners[at : at + batch_size]], lap)
            seen_whole = whole.embedding
            category = category or self.recognise(seen_whole)
        try:
            valid = self.rois.valid(category, result.size, canvas, result.path)
        except PictureError as error:
            return error
        return _Picture(result, valid, self.preprocess, category, seen_whole)

    def _answer(self, batch: Sequence[tuple[_Picture, Corner]], lap: Lap) -> None:
        """Score some windows and give each picture its own."""
        if not batch:
            return
        with lap("normalise", len(batch)):
            images, valid = self.preprocess.inputs(np.stack([p.window(corner) for p, corner in batch]))
        answers = self.network(images, valid, lap)
        for i, (picture, corner) in enumerate(batch):
            picture.take(corner, answers, i)


def _finished(waiting: deque[_Picture | PictureError]) -> Iterator[Scored | PictureError]:
    """Those from the front on that lack nothing."""
    while waiting and (isinstance(waiting[0], PictureError) or waiting[0].is_done):
        first = waiting.popleft()
        yield first if isinstance(first, PictureError) else first.scored()


@dataclass
class _Picture:
    """A picture on its way: its windows and what the network has said of them."""

    decoded: Decoded
    valid: Mask | None
    preprocess: Preprocess
    category: str | None = None
    seen_whole: NDArray[np.float32] | None = None
    corners: list[Corner] = field(init=False)
    maps: dict[Corner, NDArray[np.float32]] = field(default_factory=dict)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.corners = self.preprocess.corners(self.decoded.picture.shape[:2], self.valid)

    def window(self, corner: Corner) -> Picture:
        """The window at a corner."""
        return self.preprocess.cut(self.decoded.picture, corner, self.valid)

    def take(self, corner: Corner, answers: Answers, place: int) -> None:
        """Keep what was said of a window."""
        self.maps[corner] = answers.maps[place].copy()
        self.embeddings.append(answers.embeddings[place].copy())

    @property
    def is_done(self) -> bool:
        """Whether every window has been scored."""
        return len(self.maps) == len(self.corners)

    @property
    def embedding(self) -> NDArray[np.float32]:
        """Mean over the windows, of length one, or of a pass before."""
        if self.seen_whole is not None:
            return self.seen_whole
        if len(self.embeddings) == 1:
            return self.embeddings[0]
        mean = np.mean(self.embeddings, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def scored(self) -> Scored:
        """The whole result."""
        path, canvas, digest, size = self.decoded
        joined = self.preprocess.join(
            [self.maps[corner] for corner in self.corners], self.corners, canvas.shape[:2]
        )
        if self.valid is not None:
            joined[~self.valid] = joined.min(where=self.valid, initial=np.inf)
        return Scored(
            path, size, digest, float(joined.max()), joined, self.embedding, self.category, self.valid
        )
