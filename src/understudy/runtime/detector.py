"""Pictures -> predictions: score, verdict, category and where the defect is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy.errors import InputError, PictureError
from understudy.runtime import bundle
from understudy.runtime.decision import Calibration, Thresholds, judge
from understudy.runtime.decode import Source
from understudy.runtime.graph import open_graph
from understudy.runtime.images import Mask, find_pictures
from understudy.runtime.regions import find_regions, large_regions
from understudy.runtime.scoring import Scored, Scorer
from understudy.stopwatch import Lap, untimed
from understudy.types import Prediction, Region

__all__ = ["Inspector", "Pictures"]

Pictures = str | Path | NDArray[np.generic] | Sequence[str | Path | NDArray[np.generic]]
"""A file, a folder that is searched for pictures, a picture as an array, or several of these.

A picture as an array is (H, W), (H, W, 3) or (H, W, 4) uint8, or (H, W) uint16; several colour pictures of
one size may be one array of four axes.
"""


@dataclass(frozen=True)
class Inspector:
    """A model that inspects pictures; may be used by several threads at once.

    Attributes:
        scorer: pictures -> scores.
        categories: names of the products that it knows, sorted.

    Example:
        >>> inspector = Inspector.load("exported/")                    # doctest: +SKIP
        >>> for found in inspector.inspect("new_pictures/"):           # doctest: +SKIP
        ...     print(found.path, found.verdict, found.regions)
    """

    scorer: Scorer
    categories: Sequence[str]

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None, *, calibrated: bool = True) -> Inspector:
        """Open what ``understudy export`` wrote; needs no torch.

        Args:
            folder: of the exported model.
            threads: that score; ``None`` for one a core.
            calibrated: read its thresholds, which may be damaged or missing.

        Raises:
            BundleError: no exported model is there, or it is incomplete, altered, of another version or
                one that this machine cannot run.
        """
        folder = Path(folder)
        manifest = bundle.read_manifest(folder)
        scorer = Scorer(
            network=open_graph(folder, manifest, threads),
            preprocess=manifest.preprocess,
            prototypes=bundle.read_prototypes(folder),
            calibration=bundle.read_calibration(folder, manifest) if calibrated else None,
            rois=bundle.read_rois(folder),
        )
        return cls(scorer, sorted(manifest.training.categories))

    @property
    def calibration(self) -> Calibration | None:
        """``None`` while the model is not calibrated."""
        return self.scorer.calibration

    @property
    def thresholds(self) -> Thresholds | None:
        """For a picture of any category; ``None`` while the model is not calibrated."""
        return self.calibration.thresholds if self.calibration else None

    def named(self, category: str) -> str | None:
        """A category by the model's own name, ``None`` for another product.

        A model of one product takes every folder for it, whatever the folder's name.
        """
        if category in self.categories:
            return category
        return self.categories[0] if len(self.categories) == 1 else None

    def inspect(
        self, pictures: Pictures, batch_size: int = 8, category: str | None = None, lap: Lap = untimed
    ) -> Iterator[Prediction | PictureError]:
        """One result a picture, in order.

        Args:
            pictures: what to inspect.
            batch_size: windows scored at once.
            category: that all of them show; where it is not said, each picture's is recognised, and
                one like no category that the model knows is a REVIEW.
            lap: times the parts of the work; see :class:`understudy.stopwatch.Stopwatch`.

        Returns:
            An iterator of Predictions; a picture that cannot be read gives its PictureError instead.

        Raises:
            InputError: a path does not exist, no picture is found, or the category is none that the
                model was trained on.
        """
        if category is not None and category not in self.categories:
            raise InputError(
                f"the model was not trained on category {category!r}; it knows {', '.join(self.categories)}"
            )
        return self._predictions(_sources(pictures), batch_size, category, lap)

    def defect_mask(self, found: Prediction) -> Mask:
        """Where the defect is: (h, w), true in regions above the pixel threshold and of the least area.

        Raises:
            InputError: the model is not calibrated.
        """
        if self.calibration is None:
            raise InputError("a mask needs a pixel threshold and the model has none; calibrate it first")
        above = self.calibration.masks.of(found.category)
        return large_regions(found.anomaly_map > above, self.calibration.min_area)

    def _predictions(
        self, sources: Sequence[Source], batch_size: int, category: str | None, lap: Lap
    ) -> Iterator[Prediction | PictureError]:
        said = [category] * len(sources) if category else None
        for result in self.scorer.score(sources, batch_size, said, lap):
            yield result if isinstance(result, PictureError) else self._judged(result, category)

    def _judged(self, found: Scored, category: str | None) -> Prediction:
        shown = category or found.category or self.scorer.recognise(found.embedding)
        verdict, reason = judge(found.score, self.calibration, shown)
        regions: tuple[Region, ...] = ()
        if self.calibration:
            above, least = self.calibration.masks.of(shown), self.calibration.min_area
            regions = find_regions(found.anomaly_map, above, least, found.size)
        return Prediction(
            found.path, found.score, found.anomaly_map, found.size, verdict, shown, reason, regions
        )


def _sources(pictures: Pictures) -> list[Source]:
    asked: Sequence[str | Path | NDArray[np.generic]]
    if isinstance(pictures, str | Path):
        asked = [pictures]
    elif isinstance(pictures, np.ndarray):
        asked = list(pictures) if pictures.ndim == 4 else [pictures]
    else:
        asked = pictures
    found: list[Source] = []
    for each in asked:
        found.extend([each] if isinstance(each, np.ndarray) else find_pictures(Path(each)))
    if not found:
        raise InputError(f"no pictures in {', '.join(map(str, asked)) or 'an empty list'}")
    return found
