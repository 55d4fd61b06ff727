"""Pictures -> results: score, verdict, category, and where the defects are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np

from understudy.errors import InputError, PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.bundle import (
    SeenPictures,
    load_rois,
    read_calibration,
    read_pictures,
    read_prototypes,
    read_settled,
    read_usual,
)
from understudy.runtime.decision import Calibration, Thresholds, judge
from understudy.runtime.graph import Network, open_graph
from understudy.runtime.heatmap import colour_span
from understudy.runtime.images import Mask
from understudy.runtime.manifest import Manifest
from understudy.runtime.regions import find_regions, large_regions
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.signature import read_trusted_manifest
from understudy.runtime.sources import PictureInput, list_sources
from understudy.types import ProviderChoice, Region, Result

__all__ = ["Inspector"]


@dataclass
class Inspector:
    """Judges pictures with a model, trained or exported; safe for several threads.

    :meth:`load` opens an exported model, without torch. A trained :class:`understudy.Model` holds an
    inspector.

    Attributes:
        scorer: computes maps, scores and embeddings.
        manifest: what the model is and how it was made.
        seen: digests of the pictures that the training used, and of the held-out pictures.
        folder: folder of the saved model.

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
    def load(
        cls,
        folder: str | Path,
        threads: int | None = None,
        *,
        calibrated: bool = True,
        require_signature: str | Path | None = None,
        provider: ProviderChoice = "cpu",
    ) -> Self:
        """Open a model that ``understudy export`` wrote; needs no torch.

        Args:
            folder: folder of the exported model.
            threads: number of threads that score; one per usable core by default.
            calibrated: also read the thresholds; ``False`` if that file may be damaged or missing.
            require_signature: file of a public key (PEM); a model that was not signed with it is refused.
            provider: execution provider of ONNX Runtime that scores, such as ``cuda``. Another one than the
                model was calibrated with rounds otherwise, so calibrate again.

        Raises:
            BundleError: the folder holds no exported model; or the model is incomplete, altered, of another
                version, not signed as required, or cannot run on this machine.
            InputError: the installed ONNX Runtime does not have the provider, or cannot start it.
        """
        folder = Path(folder)
        return read_settled(
            folder, lambda: cls._read(folder, threads, calibrated, require_signature, provider)
        )

    @classmethod
    def _read(
        cls,
        folder: Path,
        threads: int | None,
        calibrated: bool,
        require_signature: str | Path | None,
        provider: ProviderChoice,
    ) -> Self:
        manifest = read_trusted_manifest(folder, require_signature, calibrated=calibrated)
        network = open_graph(folder, manifest, threads, provider)
        return cls.around(network, folder, manifest, calibrated=calibrated)

    @classmethod
    def around(cls, network: Network, folder: Path, manifest: Manifest, *, calibrated: bool) -> Self:
        """Make an inspector of a network and the files beside it.

        Args:
            network: scores windows.
            folder: folder of the model.
            manifest: its manifest.
            calibrated: also read the thresholds.

        Raises:
            BundleError: a file is damaged or of another version.
        """
        scorer = Scorer(
            network=network,
            preprocess=manifest.preprocess,
            prototypes=read_prototypes(folder),
            calibration=read_calibration(folder, manifest) if calibrated else None,
            rois=load_rois(folder, manifest),
            usual=read_usual(folder, manifest),
            own_score=manifest.image_score == "own",
        )
        return cls(scorer, manifest, read_pictures(folder), folder)

    @property
    def categories(self) -> list[str]:
        """Names of the products that the model was trained on, sorted."""
        return sorted(self.manifest.training.categories)

    @property
    def calibration(self) -> Calibration | None:
        """Thresholds and limits; ``None`` if the model is not calibrated."""
        return self.scorer.calibration

    @calibration.setter
    def calibration(self, calibration: Calibration | None) -> None:
        self.scorer = replace(self.scorer, calibration=calibration)

    @property
    def thresholds(self) -> Thresholds | None:
        """Thresholds for a picture of any category; ``None`` if the model is not calibrated."""
        return self.calibration.thresholds if self.calibration else None

    def match_category(self, name: str) -> str | None:
        """Return the model's category for the name of a folder; ``None`` for a product that it does not know.

        A model of one product matches every name.
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
        """Judge pictures: one result each, in order, as soon as it is known.

        Args:
            pictures: a file, a folder that is searched for pictures, a picture (PIL image or array), or a
                list or an iterator of these. An iterator is asked for its next picture only after the last
                one is judged, so it may be a camera.
            category: product that all pictures show. Without it, the product of each picture is recognised,
                and a picture of an unknown product is a REVIEW.
            batch_size: number of windows scored at once.
            lap: times the parts of the work; see :class:`understudy.progress.Stopwatch`.

        Returns:
            An iterator of results. A result has its ``error`` set if its picture cannot be judged.

        Raises:
            InputError: a path does not exist, there is no picture, or the model was not trained on the
                category.
        """
        self.require_category(category)
        sources = list_sources(pictures)
        steady = isinstance(sources, Sized) and len(sources) > 1
        scored = self.scorer.score(sources, batch_size, repeat(category), lap, steady=steady)
        return (self.judged(each, category) for each in scored)

    def require_category(self, category: str | None) -> None:
        """Check that the model knows a product, if one is named.

        Raises:
            InputError: the model was not trained on it.
        """
        if category is not None and category not in self.categories:
            raise InputError(
                f"the model was not trained on category {category!r}; it knows {', '.join(self.categories)}"
            )

    def colour_span(self, category: str | None, peaks: Sequence[float]) -> tuple[float, float]:
        """Return the map values of the darkest and the brightest colour of a heat map.

        Args:
            category: product that the picture shows.
            peaks: highest values of the maps to compare; they set the span if the model is not calibrated.
        """
        limit = self.calibration.masks.of(category) if self.calibration else None
        return colour_span(limit, peaks)

    def defect_mask(self, result: Result) -> Mask:
        """Return the (h, w) mask of the defects: true in regions above the pixel threshold.

        Regions smaller than the calibration's ``min_area`` are left out.

        Raises:
            InputError: the model is not calibrated.
        """
        if self.calibration is None:
            raise InputError("a mask needs a pixel threshold and the model has none; calibrate it first")
        above = self.calibration.masks.of(result.category)
        return large_regions(result.anomaly_map > above, self.calibration.min_area)

    def judged(self, scored: Scored | PictureError, category: str | None) -> Result:
        """Decide on a picture that was scored.

        Args:
            scored: what was measured on it, or why it cannot be read.
            category: product that it shows; ``None`` to recognise it.
        """
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
