"""Pictures -> results: score, verdict, category and where the defect is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np

from understudy.errors import InputError, PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.decision import Calibration, Thresholds, judge
from understudy.runtime.graph import open_graph
from understudy.runtime.images import Mask
from understudy.runtime.manifest import (
    Manifest,
    SeenPictures,
    load_rois,
    read_calibration,
    read_manifest,
    read_pictures,
    read_prototypes,
)
from understudy.runtime.regions import find_regions, large_regions
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.sources import PictureInput
from understudy.types import Region, Result

__all__ = ["Inspector"]


@dataclass
class Inspector:
    """A model that inspects pictures; may be used by several threads at once.

    An exported model is opened as one, without torch. A trained :class:`understudy.Model` holds one.

    Attributes:
        scorer: pictures -> scores.
        manifest: what the model is.
        seen: digests of the pictures that its training has seen, and of those held out.
        folder: where it is saved.

    Example:
        >>> inspector = Inspector.load("line")                         # doctest: +SKIP
        >>> for result in inspector.predict("new_pictures"):           # doctest: +SKIP
        ...     print(result.path, result.verdict, result.regions)
    """

    scorer: Scorer
    manifest: Manifest
    seen: SeenPictures
    folder: Path

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None, *, calibrated: bool = True) -> Self:
        """Open what ``understudy export`` wrote; needs no torch.

        Args:
            folder: of the exported model.
            threads: that score; ``None`` for one a core.
            calibrated: read its thresholds too; ``False`` where they may be damaged or missing.

        Raises:
            BundleError: no exported model is there, or it is incomplete, altered, of another version or
                one that this machine cannot run.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        scorer = Scorer(
            network=open_graph(folder, manifest, threads),
            preprocess=manifest.preprocess,
            prototypes=read_prototypes(folder),
            calibration=read_calibration(folder, manifest) if calibrated else None,
            rois=load_rois(folder),
        )
        return cls(scorer, manifest, read_pictures(folder), folder)

    @property
    def categories(self) -> list[str]:
        """Names of the products that it knows, sorted."""
        return sorted(self.manifest.training.categories)

    @property
    def calibration(self) -> Calibration | None:
        """Thresholds and limits; ``None`` while the model is not calibrated."""
        return self.scorer.calibration

    @calibration.setter
    def calibration(self, calibration: Calibration | None) -> None:
        self.scorer = replace(self.scorer, calibration=calibration)

    @property
    def thresholds(self) -> Thresholds | None:
        """For a picture of any category; ``None`` while the model is not calibrated."""
        return self.calibration.thresholds if self.calibration else None

    def match_category(self, name: str) -> str | None:
        """A category by the model's own name, ``None`` for another product.

        A model of one product takes every folder for it, whatever the folder's name.
        """
        if name in self.categories:
            return name
        return self.categories[0] if len(self.categories) == 1 else None

    def predict(
        self,
        pictures: PictureInput,
        *,
        category: str | None = None,
        batch_size: int = 8,
        lap: Lap = untimed,
    ) -> Iterator[Result]:
        """Judge pictures, one result each, in order and as they come.

        Args:
            pictures: a file, a folder that is searched for pictures, a picture (PIL image or array), or several of
                these as a list or an iterator. A picture of an iterator is judged before the next is asked for, so
                a camera may be one.
            category: that all of them show. Where it is not said, each picture's is recognised, and one like no
                category that the model knows is a REVIEW.
            batch_size: windows scored at once.
            lap: times the parts of the work; see :class:`understudy.progress.Stopwatch`.

        Returns:
            An iterator. A picture that could not be judged has its ``error`` set.

        Raises:
            InputError: a path does not exist, no picture is found, or the category is none that the
                model was trained on.
        """
        if category is not None and category not in self.categories:
            raise InputError(
                f"the model was not trained on category {category!r}; it knows {', '.join(self.categories)}"
            )
        scored = self.scorer.score(pictures, batch_size, repeat(category), lap)
        return (self._judged(each, category) for each in scored)

    def defect_mask(self, result: Result) -> Mask:
        """Where the defect is: (h, w), true in regions above the pixel threshold and of the least area.

        Raises:
            InputError: the model is not calibrated.
        """
        if self.calibration is None:
            raise InputError("a mask needs a pixel threshold and the model has none; calibrate it first")
        above = self.calibration.masks.of(result.category)
        return large_regions(result.anomaly_map > above, self.calibration.min_area)

    def _judged(self, scored: Scored | PictureError, category: str | None) -> Result:
        if isinstance(scored, PictureError):
            return Result(scored.path, np.nan, np.zeros((0, 0), np.float32), (0, 0), error=str(scored))
        shown = category or scored.category or self.scorer.recognise(scored.embedding)
        verdict, reason = judge(scored.score, self.calibration, shown)
        regions: tuple[Region, ...] = ()
        if self.calibration:
            above, least = self.calibration.masks.of(shown), self.calibration.min_area
            regions = find_regions(scored.anomaly_map, above, least, scored.size)
        return Result(
            scored.path, scored.score, scored.anomaly_map, scored.size, verdict, shown, reason, regions
        )
