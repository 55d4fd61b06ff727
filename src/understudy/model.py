"""A trained model: what ``understudy.fit`` gives back, and ``understudy.load`` of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import torch

from understudy.calibrate.job import MIN_AREA, calibrate, calibrate_fresh
from understudy.distill.distiller import Distiller
from understudy.distill.network import resolve_device
from understudy.evaluate.job import Evaluation, MapResolution, evaluate
from understudy.evaluate.marks import ThresholdChoice
from understudy.export.job import export
from understudy.lab.diagnose import Diagnosis, diagnose
from understudy.methods.saved import load_trained
from understudy.metrics import AUPRO_LIMIT
from understudy.progress import Lap, Progress, reporting, untimed
from understudy.runtime.decision import Calibration, Thresholds
from understudy.runtime.images import Mask
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import Manifest
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.sources import PictureInput
from understudy.train.job import forget_checkpoints, train_model
from understudy.train.options import FitOptions, fit_options
from understudy.types import DeviceChoice, GraphFormat, GraphPrecision, Result

__all__ = ["FitCall", "Model"]


class FitCall(FitOptions):
    """Keywords of :func:`understudy.fit`: its options, where the model goes, and whether progress is shown."""

    out: str | Path
    """Folder for the model; an unfinished training lives in its subfolder ``training``."""
    progress: Progress = True
    """Show a progress bar in a terminal or notebook; ``False`` shows nothing."""


Options = ParamSpec("Options")


def _takes(
    options: Callable[Options, FitCall],
) -> Callable[[Callable[[str | Path, FitCall], Model]], Callable[Concatenate[str | Path, Options], Model]]:
    """Give a function of (data, options) the options' own names, types and defaults as keywords."""

    def decorate(
        function: Callable[[str | Path, FitCall], Model],
    ) -> Callable[Concatenate[str | Path, Options], Model]:
        @wraps(function)
        def call(data: str | Path, out: str | Path, *, progress: Progress = True, **keywords: Any) -> Model:
            return function(data, FitCall(**dict(fit_options(keywords)), out=out, progress=progress))

        data = Parameter("data", Parameter.POSITIONAL_OR_KEYWORD, annotation=str | Path)
        shown = signature(FitCall).parameters.values()
        call.__signature__ = signature(function).replace(parameters=[data, *shown])  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[str | Path, Options], Model]", call)

    return decorate


class Model:
    """A trained model.

    Args:
        distiller: teacher and student.
        inspector: judges pictures with them.
        device: what it scores on.

    Example:
        >>> model = Model.fit("pictures", out="model", seed=0)        # doctest: +SKIP
        >>> for result in model.predict("new_pictures"):              # doctest: +SKIP
        ...     print(result.path, result.verdict, result.score)
    """

    def __init__(self, distiller: Distiller, inspector: Inspector, device: torch.device) -> None:
        self.distiller, self.inspector, self.device = distiller, inspector, device

    @staticmethod
    @_takes(FitCall)
    def fit(data: str | Path, asked: FitCall) -> Model:
        """Train one model over all categories of a folder, calibrate it on held-out pictures, save it.

        Args:
            data: Folder in MVTec AD, MVTec LOCO or VisA layout, one category of it, good pictures alone, or a
                list of pictures (.csv, .parquet).
            asked: the options, given as keywords; see :class:`understudy.train.options.FitOptions`. ``out``, the
                folder for the model, must be given.

        Raises:
            InputError: an option, the data or the teacher cannot be used.
            WorkError: the work itself failed; the last checkpoint is kept.
        """
        out = Path(asked.out)
        with reporting(asked.progress) as reporter:
            held_out = train_model(data, out, asked, reporter)
            model = Model.load(out, asked.device)
            if model.calibration is None:
                calibrate_fresh(model.inspector, held_out, asked.false_alarm_rate, reporter)
            forget_checkpoints(out)
        return model

    @classmethod
    def load(cls, folder: str | Path, device: DeviceChoice = "auto", *, calibrated: bool = True) -> Model:
        """Load a saved model.

        Args:
            folder: that ``fit`` wrote.
            device: ``auto`` takes a GPU where there is one.
            calibrated: read its thresholds too; ``False`` where they may be damaged or missing.

        Raises:
            BundleError: no model is there, or it is exported, incomplete, altered or of a newer version.
            InputError: the device is not there.
        """
        place = resolve_device(device)
        distiller, inspector = load_trained(Path(folder), place, calibrated=calibrated)
        return cls(distiller, inspector, place)

    @property
    def folder(self) -> Path:
        """Where it is saved."""
        return self.inspector.folder

    @property
    def manifest(self) -> Manifest:
        """Method, settings, teacher, preprocessing, training and versions."""
        return self.inspector.manifest

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes input."""
        return self.manifest.preprocess

    @property
    def categories(self) -> list[str]:
        """Names of the products that it was trained on, sorted."""
        return self.inspector.categories

    @property
    def calibration(self) -> Calibration | None:
        """Thresholds and limits; ``None`` while the model is not calibrated."""
        return self.inspector.calibration

    @property
    def thresholds(self) -> Thresholds | None:
        """For a picture of any category; ``None`` while the model is not calibrated."""
        return self.inspector.thresholds

    def predict(
        self,
        pictures: PictureInput,
        *,
        category: str | None = None,
        batch_size: int = 8,
        lap: Lap = untimed,
    ) -> Iterator[Result]:
        """Judge pictures, one result each; see :meth:`understudy.Inspector.predict`."""
        return self.inspector.predict(pictures, category=category, batch_size=batch_size, lap=lap)

    def defect_mask(self, result: Result) -> Mask:
        """Where the defect is; see :meth:`understudy.Inspector.defect_mask`."""
        return self.inspector.defect_mask(result)

    def calibrate(
        self,
        data: str | Path,
        *,
        false_alarm_rate: float = 0.01,
        review_rate: float | None = None,
        unknown_rate: float | None = None,
        min_area: int = MIN_AREA,
        progress: Progress = True,
    ) -> Calibration:
        """Set thresholds that hold at once; see :func:`understudy.calibrate.calibrate`."""
        return calibrate(
            self.inspector,
            data,
            false_alarm_rate=false_alarm_rate,
            review_rate=review_rate,
            unknown_rate=unknown_rate,
            min_area=min_area,
            progress=progress,
        )

    def evaluate(
        self,
        data: str | Path,
        *,
        categories: Sequence[str] | None = None,
        map_resolution: MapResolution = "model",
        aupro_limit: float = AUPRO_LIMIT,
        thresholds: ThresholdChoice = "auto",
        progress: Progress = True,
    ) -> Evaluation:
        """Score test pictures and measure; see :func:`understudy.evaluate.evaluate`."""
        return evaluate(
            self.inspector,
            data,
            categories=categories,
            map_resolution=map_resolution,
            aupro_limit=aupro_limit,
            thresholds=thresholds,
            progress=progress,
        )

    def diagnose(
        self,
        data: str | Path,
        *,
        one_class: str | Path | None = None,
        pairs: Sequence[tuple[str, str]] | None = None,
        pictures: int = 100,
        seed: int = 0,
        progress: Progress = True,
    ) -> Diagnosis:
        """Show it mixtures of its categories; see :func:`understudy.lab.diagnose.diagnose`."""
        return diagnose(
            self.inspector,
            data,
            one_class=one_class,
            pairs=pairs,
            pictures=pictures,
            seed=seed,
            device=self.device,
            progress=progress,
        )

    def export(
        self,
        out: str | Path,
        *,
        format: GraphFormat = "onnx",
        precision: GraphPrecision = "float32",
        data: str | Path | None = None,
        batch_size: int = 8,
        overwrite: bool = False,
        progress: Progress = True,
    ) -> Manifest:
        """Write it as a graph that needs no torch; see :func:`understudy.export.export`."""
        return export(
            self.folder,
            out,
            format=format,
            precision=precision,
            data=data,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=progress,
        )
