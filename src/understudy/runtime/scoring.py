"""Pictures -> maps, scores and embeddings, in batches of windows. A broken picture does not stop the rest."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy.errors import PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.decision import Calibration, Prototypes, distances_to, recognise
from understudy.runtime.graph import Answers, Network
from understudy.runtime.images import Mask, Picture, lower_ignored, unit
from understudy.runtime.light import brightness, sharpness
from understudy.runtime.preprocess import Corner, Preprocess
from understudy.runtime.roi import NO_ROIS, Rois, uses_valid_mask
from understudy.runtime.sources import Decoded, Source, decode_ahead, decode_one_by_one, is_stream
from understudy.runtime.usual import Usual

__all__ = ["ScoreAll", "Scored", "Scorer"]

_FEW = 2  # canvases decoded ahead if they are large; bounds the memory


@dataclass(frozen=True)
class Scored:
    """What was measured on one picture, before any decision.

    Attributes:
        path: file of the picture.
        size: (height, width) of the picture in pixels.
        digest: digest of the file; see :func:`understudy.runtime.sources.digest_of`.
        score: image-level anomaly score; larger is more abnormal.
        anomaly_map: (h, w) float32 map of the size of the canvas, relative to what is usual if the scorer
            knows it; pixels that do not count have its lowest value.
        embedding: (D,) float32 of unit length; see :mod:`understudy.runtime.decision`. If regions of interest
            depend on the category, it is the embedding of the whole picture.
        category: category as given, or as recognised for a region of interest that depends on it; else
            ``None``.
        valid: (h, w) mask, false where a pixel does not count; ``None`` if all pixels count.
        brightness: mean luminance of the pixels of the canvas that count, in [0, 1].
        sharpness: see :func:`understudy.runtime.light.sharpness`.
        composition: (N,) float32 composition of the picture; ``None`` if the network gives none.
    """

    path: Path
    size: tuple[int, int]
    digest: str
    score: float
    anomaly_map: NDArray[np.float32]
    embedding: NDArray[np.float32]
    category: str | None = None
    valid: Mask | None = None
    brightness: float = math.nan
    sharpness: float = math.nan
    composition: NDArray[np.float32] | None = None


ScoreAll = Callable[[Sequence[Path], Sequence[str | None]], Iterator[Scored | PictureError]]
"""Scores files of pictures, whose categories are given where they are known, in order."""


@dataclass(frozen=True)
class Scorer:
    """Scores pictures with a network.

    Attributes:
        network: scores windows.
        preprocess: turns pictures into windows.
        prototypes: mean embedding of each category, to recognise it.
        calibration: limits the distance from a prototype; ``None`` takes the nearest category at any
            distance.
        rois: which pixels count.
        usual: what is usual in the maps of each category; ``None`` makes the score the maximum of the map.
        own_score: without ``usual``, the score is the highest one that the network gives a window instead.
    """

    network: Network
    preprocess: Preprocess
    prototypes: Prototypes
    calibration: Calibration | None = None
    rois: Rois = NO_ROIS
    usual: Usual | None = None
    own_score: bool = False

    @property
    def uses_valid_mask(self) -> bool:
        """Whether some pixels of the windows may not count."""
        return uses_valid_mask(self.preprocess, self.rois)

    def score(
        self,
        sources: Iterable[Source],
        batch_size: int = 8,
        categories: Iterable[str | None] | None = None,
        lap: Lap = untimed,
        *,
        steady: bool = False,
        threads: int | None = None,
    ) -> Iterator[Scored | PictureError]:
        """Yield one result per picture, in order: its score, or the error if it cannot be read.

        A stream is asked for its next picture only after the last one is scored; other pictures are decoded
        ahead.

        Args:
            sources: files, or pictures themselves; see :func:`understudy.runtime.sources.list_sources`.
            batch_size: number of windows scored at once.
            categories: category of each picture, if known. If regions of interest depend on the category and
                it is not known, the whole picture is scored first to recognise it.
            lap: times the parts of the work.
            steady: score a last window that is alone in its batch together with its twin. Runtimes compute a
                batch of one in another way, so its last bits would tell how many pictures came before.
            threads: number of threads that decode; 1 decodes in this thread, between batches. One per usable
                core by default.
        """
        stream = is_stream(sources)
        ahead = _FEW if self.preprocess.tile else 2 * batch_size
        decoded = (
            decode_one_by_one(sources, self.preprocess, lap)
            if stream or threads == 1
            else decode_ahead(sources, self.preprocess, ahead, lap)
        )
        said = iter(categories) if categories is not None else repeat(None)
        twin = steady and batch_size > 1
        return self._scored(decoded, said, batch_size, lap, wait_for_more=not stream, twin=twin)

    def score_windows(
        self, windows: Iterable[Picture | NDArray[np.float32]], batch_size: int = 8
    ) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """(S, S, 3) windows, uint8 or float32 in [0, 1] -> (S, S) map and own score of each, in order.

        Windows are taken one batch at a time, so windows from a generator are never all in memory.
        """
        waiting = iter(windows)
        while batch := list(islice(waiting, batch_size)):
            answers = self.network(
                self.preprocess.normalise(np.stack([unit(w) for w in batch])), None, untimed
            )
            for score, anomaly_map in zip(answers.scores, answers.maps, strict=True):
                yield float(score), anomaly_map.copy()

    def recognise(self, embedding: NDArray[np.float32]) -> str | None:
        """Return the category that a picture with this embedding shows; ``None`` for an unknown product.

        Without a calibration the nearest category is returned at any distance.
        """
        limits = self.calibration.distances if self.calibration else None
        return recognise(distances_to(embedding, self.prototypes), limits)

    def nearest(self, embedding: NDArray[np.float32]) -> str:
        """Return the category that the score is compared with: the recognised one, else the nearest."""
        nearest = self.recognise(embedding) or recognise(distances_to(embedding, self.prototypes), None)
        return nearest or min(self.prototypes)  # an embedding that is not a number is near nothing

    def _scored(
        self,
        decoded: Iterator[Decoded | PictureError],
        said: Iterator[str | None],
        batch_size: int,
        lap: Lap,
        wait_for_more: bool,
        twin: bool,
    ) -> Iterator[Scored | PictureError]:
        """Score full batches of windows; unless ``wait_for_more``, also score the rest after each picture."""
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
                    yield from self._finished(waiting)
            if not wait_for_more:
                self._answer(batch, lap)
                batch = []
                yield from self._finished(waiting)
        self._answer(batch, lap, twin)
        yield from self._finished(waiting)

    def _prepared(
        self, result: Decoded | PictureError, category: str | None, batch_size: int, lap: Lap
    ) -> _Picture | PictureError:
        """Return a decoded picture with its valid mask, ready to be cut into windows, or the error."""
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

    def _answer(self, batch: Sequence[tuple[_Picture, Corner]], lap: Lap, twin: bool = False) -> None:
        """Score some windows and give each answer to its picture; ``twin`` doubles a window that is alone."""
        if not batch:
            return
        with lap("normalise", len(batch)):
            windows = [p.window(corner) for p, corner in batch] * (2 if twin and len(batch) == 1 else 1)
            images, valid = self.preprocess.inputs(np.stack(windows))
        answers = self.network(images, valid, lap)
        for i, (picture, corner) in enumerate(batch):
            picture.take(corner, answers, i)

    def _finished(self, waiting: deque[_Picture | PictureError]) -> Iterator[Scored | PictureError]:
        """Take the pictures that are done, and the errors, from the front of the queue."""
        while waiting and (isinstance(waiting[0], PictureError) or waiting[0].is_done):
            first = waiting.popleft()
            yield first if isinstance(first, PictureError) else self._measured(first)

    def _measured(self, picture: _Picture) -> Scored:
        """Return the score and the map of a picture whose windows have all been scored."""
        path, _, digest, size = picture.decoded
        anomaly_map, embedding, valid = picture.joined(), picture.embedding, picture.valid
        usual = self.usual and self.usual[picture.category or self.nearest(embedding)]
        if usual:
            side, composition = self.preprocess.image_size, picture.composition
            score = usual.score(anomaly_map, valid, side, composition)
            anomaly_map = usual.relative(anomaly_map)
        anomaly_map = lower_ignored(anomaly_map, valid)
        if not usual:
            score = float(np.max(picture.scores) if self.own_score else anomaly_map.max())
        canvas = picture.decoded.picture
        return Scored(
            path,
            size,
            digest,
            score,
            anomaly_map,
            embedding,
            picture.category,
            valid,
            brightness(canvas, valid),
            sharpness(canvas, valid),
            picture.composition,
        )


@dataclass
class _Picture:
    """A picture whose windows are being scored."""

    decoded: Decoded
    valid: Mask | None
    preprocess: Preprocess
    category: str | None = None
    seen_whole: NDArray[np.float32] | None = None
    corners: list[Corner] = field(init=False)
    maps: dict[Corner, NDArray[np.float32]] = field(default_factory=dict)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    composition: NDArray[np.float32] | None = None  # of its only window: tiles have none

    def __post_init__(self) -> None:
        self.corners = self.preprocess.corners(self.decoded.picture.shape[:2], self.valid)

    def window(self, corner: Corner) -> Picture:
        """Return the window at a corner."""
        return self.preprocess.cut(self.decoded.picture, corner, self.valid)

    def take(self, corner: Corner, answers: Answers, place: int) -> None:
        """Keep the answer for the window at a corner; ``place`` is its row in the batch."""
        self.maps[corner] = answers.maps[place].copy()
        self.embeddings.append(answers.embeddings[place].copy())
        self.scores.append(float(answers.scores[place]))
        if answers.compositions.size:
            self.composition = answers.compositions[place].copy()

    @property
    def is_done(self) -> bool:
        """Whether all windows have been scored."""
        return len(self.maps) == len(self.corners)

    @property
    def embedding(self) -> NDArray[np.float32]:
        """Mean embedding of the windows, of unit length; or that of the whole picture from a pass before."""
        if self.seen_whole is not None:
            return self.seen_whole
        if len(self.embeddings) == 1:
            return self.embeddings[0]
        mean = np.mean(self.embeddings, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def joined(self) -> NDArray[np.float32]:
        """Return the map of the picture; call it when all windows have been scored."""
        canvas = self.decoded.picture.shape[:2]
        return self.preprocess.join([self.maps[corner] for corner in self.corners], self.corners, canvas)
