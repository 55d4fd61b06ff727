"""Pictures -> why each got its verdict: its product, its place among good pictures, the nearest of them.

Needs no torch for an exported model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy.data.layouts import as_picture_set
from understudy.data.records import PictureData, PictureSet
from understudy.errors import PictureError
from understudy.progress import Progress, reporting
from understudy.runtime.decision import (
    Calibration,
    Thresholds,
    distances_to,
    recognise,
    thresholds_for,
)
from understudy.runtime.inspector import Inspector
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import PictureInput, list_sources
from understudy.types import Result

__all__ = ["LOOKED_AT", "Explanation", "NearestGood", "ProductMatch", "Standing", "explain", "standing_of"]

LOOKED_AT = 200
"""Good pictures of a product among which the nearest is searched, at most."""
_NAMED = 5  # products of the data, at most


@dataclass(frozen=True)
class Standing:
    """Place of a score among those of good pictures of the same product.

    Attributes:
        below: number of good pictures with a lower score, from 0 to ``n``.
        n: number of good pictures, at least 1.
    """

    below: int
    n: int

    def words(self) -> str:
        """Return the place in a few words, such as ``higher than 99.4 % of 160 good pictures``.

        Below a hundred pictures it is counted, because a percentage would look more exact than it is.
        """
        if self.below == 0:
            return "not higher than " + (
                f"any of {self.n} good pictures" if self.n > 1 else "the one good picture"
            )
        if self.below == self.n:
            return "higher than " + (f"all {self.n} good pictures" if self.n > 1 else "the one good picture")
        if self.n < 100:
            return f"higher than {self.below} of {self.n} good pictures"
        permille = 1000 * self.below // self.n  # rounded down: 100 % would be all of them
        return f"higher than {permille / 10:g} % of {self.n} good pictures"


def standing_of(calibration: Calibration | None, category: str | None, score: float) -> Standing | None:
    """Return the place of a score among the good pictures that set the thresholds.

    Args:
        calibration: thresholds and scores of good pictures; ``None`` if the model is not calibrated.
        category: product; ``None`` for an unknown one.
        score: image-level anomaly score.

    Returns:
        The place; ``None`` if it is not known, or if the score is not a number.
    """
    return _among(_good_scores(calibration, category), score)


def _among(scores: tuple[float, ...], score: float) -> Standing | None:
    """Return the place of a score among sorted ones; ``None`` if there are none, or it is NaN."""
    return Standing(bisect_left(scores, score), len(scores)) if scores and not np.isnan(score) else None


def _good_scores(calibration: Calibration | None, category: str | None) -> tuple[float, ...]:
    return calibration.scores.get(category, ()) if calibration and category is not None else ()


@dataclass(frozen=True)
class ProductMatch:
    """Which product a picture shows, and how that is known.

    Attributes:
        name: the product; for an unknown product, the nearest one that the model knows.
        how: ``said`` by the caller, ``recognised`` by its look, or ``unknown``.
        distance: distance of the picture from the product's prototype, in [0, 2].
        limit: largest distance of a picture that shows the product; ``None`` if the model is not calibrated.
        looks_like: product that its look alone says; ``None`` for none that the model knows.
    """

    name: str
    how: Literal["said", "recognised", "unknown"]
    distance: float
    limit: float | None
    looks_like: str | None


@dataclass(frozen=True)
class NearestGood:
    """The good picture that looks most like a picture, and what the model says about it.

    Attributes:
        result: the good picture, judged as a picture of its product.
        distance: distance between the two embeddings, in [0, 2].
        looked_at: number of good pictures that were compared.
        of: number of good pictures of the product, without the picture itself. If it is larger, those that
            were compared are spread evenly over all in the order of their names; what cannot be read is not
            compared.
    """

    result: Result
    distance: float
    looked_at: int
    of: int


@dataclass(frozen=True)
class Explanation:
    """Why a picture got its verdict.

    Attributes:
        result: what the model says about it. If its ``error`` is set, all that follows is empty.
        product: the product that it shows; ``None`` if the picture cannot be read.
        thresholds: thresholds that its score is compared with; ``None`` if the model is not calibrated, or
            the product unknown.
        good_scores: scores of the good pictures of its product that set the thresholds, sorted.
        no_good_pictures: whether the last calibration had no good pictures of its product, so that no rate is
            known of the thresholds; ``False`` for a calibration that keeps no scores at all.
        map_limit: map value above which a region is a defect; ``None`` if the model is not calibrated.
        min_area: smallest area of a defect in pixels of the map; ``None`` if the model is not calibrated.
        nearest: the nearest good picture; ``None`` if there is none.
        no_nearest: why there is no nearest good picture; ``None`` if there is one.
    """

    result: Result
    product: ProductMatch | None = None
    thresholds: Thresholds | None = None
    good_scores: tuple[float, ...] = ()
    no_good_pictures: bool = False
    map_limit: float | None = None
    min_area: int | None = None
    nearest: NearestGood | None = None
    no_nearest: str | None = None

    @property
    def standing(self) -> Standing | None:
        """Place of the score among ``good_scores``; ``None`` if there are none, or the score is NaN."""
        return _among(self.good_scores, self.result.score)


def explain(
    inspector: Inspector,
    pictures: PictureInput,
    *,
    data: PictureData | None = None,
    category: str | None = None,
    batch_size: int = 8,
    progress: Progress = True,
) -> Iterator[Explanation]:
    """Judge pictures as :meth:`understudy.Inspector.predict` does, and say why; one explanation each.

    Args:
        inspector: model, trained or exported. It may be without thresholds.
        pictures: see :data:`understudy.runtime.sources.PictureInput`.
        data: folder or list with good pictures, among which the nearest one is searched; at most
            :data:`LOOKED_AT` of a product are looked at. ``None`` for no such search.
        category: product that all pictures show; recognised for each picture by default.
        batch_size: number of windows scored at once.
        progress: see :data:`understudy.progress.Progress`.

    Returns:
        An iterator of explanations. That of a picture that cannot be read has ``result.error`` set.

    Raises:
        InputError: a path does not exist, there is no picture, the data cannot be used, or the model was not
            trained on the category.

    Example:
        >>> for each in explain(inspector, "new", data="pictures"):          # doctest: +SKIP
        ...     print(each.result.path, each.result.verdict, each.standing)
    """
    inspector.require_category(category)
    sources = list_sources(pictures)
    good = _GoodPictures(inspector, None if data is None else as_picture_set(data), batch_size, progress)
    scored = inspector.scorer.score(sources, batch_size, repeat(category))
    return (_explained(inspector, each, category, good) for each in scored)


def _explained(
    inspector: Inspector, scored: Scored | PictureError, category: str | None, good: _GoodPictures
) -> Explanation:
    result, calibration = inspector.judged(scored, category), inspector.calibration
    if isinstance(scored, PictureError):
        return Explanation(result)
    product = _product(inspector, scored.embedding, category, result.category)
    nearest = good.nearest_to(scored, product.name)
    known = calibration is not None and result.category is not None
    return Explanation(
        result,
        product,
        thresholds=thresholds_for(calibration, result.category) if calibration and known else None,
        good_scores=_good_scores(calibration, result.category),
        no_good_pictures=bool(
            calibration and known and calibration.scores and result.category not in calibration.scores
        ),
        map_limit=calibration.masks.of(result.category) if calibration else None,
        min_area=calibration.min_area if calibration else None,
        nearest=None if isinstance(nearest, str) else nearest,
        no_nearest=nearest if isinstance(nearest, str) else None,
    )


def _product(
    inspector: Inspector, embedding: NDArray[np.float32], said: str | None, shown: str | None
) -> ProductMatch:
    distances = distances_to(embedding, inspector.scorer.prototypes)
    name = shown or recognise(distances, None) or min(distances)  # no number is near nothing
    limits = inspector.calibration.distances if inspector.calibration else None
    return ProductMatch(
        name,
        "said" if said else "recognised" if shown else "unknown",
        distances[name],
        limits.of(name) if limits else None,
        recognise(distances, limits),
    )


@dataclass(frozen=True)
class _Compared:
    """Good pictures of a product: (N, D) embeddings, their files, their digests, and the number of all."""

    embeddings: NDArray[np.float32]
    paths: list[Path]
    digests: list[str]
    of: int


class _GoodPictures:
    """Good pictures to compare with; those of a product are scored when the first picture needs them."""

    def __init__(
        self, inspector: Inspector, data: PictureSet | None, batch_size: int, progress: Progress
    ) -> None:
        self._inspector, self._batch_size, self._progress = inspector, batch_size, progress
        self._compared: dict[str, _Compared] = {}
        self._paths: dict[str, list[Path]] | None = None
        if data is not None:
            self._root, self._paths, self._names = data.root, {}, data.categories
            for record in data.records:
                name = inspector.match_category(record.category) if record.is_good else None
                if name is not None:
                    self._paths.setdefault(name, []).append(record.path)

    def nearest_to(self, scored: Scored, product: str) -> NearestGood | str:
        """Return the nearest good picture of a product, or in words why there is none."""
        if self._paths is None:
            return "not looked for; --data names good pictures to compare with"
        if not np.isfinite(scored.embedding).all():
            return "not known, because the picture's features are no numbers; train the model again"
        if product not in self._compared:
            self._compared[product] = self._compare(product, sorted(self._paths.get(product, [])))
        compared = self._compared[product]
        distances = np.linalg.norm(compared.embeddings - scored.embedding, axis=1)
        others = [i for i in np.argsort(distances, kind="stable") if compared.digests[i] != scored.digest]
        for i in others:
            again = next(iter(self._inspector.scorer.score([compared.paths[i]], self._batch_size, [product])))
            if isinstance(again, Scored):  # else the file has gone since
                result = self._inspector.judged(again, product)
                of = compared.of - (len(distances) - len(others))
                return NearestGood(result, float(distances[i]), len(others), of)
        other = "other " if compared.paths else ""
        return (
            f"{self._root} holds no {other}good picture of {product} that can be read{self._instead(product)}"
        )

    def _instead(self, product: str) -> str:
        """Return in words what the data holds if it is of other products alone."""
        if self._paths is None or product in self._paths or not self._names:
            return ""
        more = ", ..." if len(self._names) > _NAMED else ""
        return f"; its products are {', '.join(self._names[:_NAMED])}{more}"

    def _compare(self, product: str, paths: list[Path]) -> _Compared:
        """Score some of the good pictures of a product, spread evenly; leave out what cannot be read.

        No map is kept: :data:`LOOKED_AT` maps of large pictures would fill the memory.
        """
        n = min(LOOKED_AT, len(paths))
        chosen = [paths[int((i + 0.5) * len(paths) / n)] for i in range(n)]
        embeddings: list[NDArray[np.float32]] = []
        read: list[Path] = []
        digests: list[str] = []
        with reporting(self._progress) as reporter:
            scored = self._inspector.scorer.score(chosen, self._batch_size, repeat(product))
            for done, each in enumerate(scored, start=1):
                reporter.advance(f"good {product}", done, n, "")
                if isinstance(each, Scored):
                    embeddings.append(each.embedding)
                    read.append(each.path)
                    digests.append(each.digest)
        size = len(next(iter(self._inspector.scorer.prototypes.values())))
        together = np.array(embeddings, np.float32).reshape(len(read), size)
        return _Compared(together, read, digests, len(paths))
