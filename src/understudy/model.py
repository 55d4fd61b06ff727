"""A trained model. ``understudy.fit`` returns one, and ``understudy.load`` of its folder does too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import torch

from understudy.calibrate.job import calibrate, calibrate_fresh, seen_pictures
from understudy.calibrate.thresholds import MIN_AREA, REVIEW_BUDGET, Rates
from understudy.data.records import PictureData, Record
from understudy.distill.distiller import Distiller
from understudy.distill.network import resolve_device
from understudy.errors import InputError, UnderstudyError
from understudy.evaluate.explain import Explanation, explain
from understudy.evaluate.job import Evaluation, MapResolution, evaluate
from understudy.evaluate.marks import ThresholdChoice
from understudy.export.job import export
from understudy.files import named_path, write_json
from understudy.lab.diagnose import Diagnosis, diagnose
from understudy.methods.saved import load_trained
from understudy.metrics import AUPRO_LIMIT
from understudy.progress import Lap, Progress, Reporter, reporting, untimed
from understudy.results import results_in
from understudy.runtime.decision import Calibration, Thresholds
from understudy.runtime.images import Mask
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import Manifest
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.sources import PictureInput
from understudy.train.job import train_model
from understudy.train.options import FitOptions, fit_options
from understudy.train.plan import recipe_of
from understudy.train.processes import is_first_process
from understudy.train.split import Parts
from understudy.train.trackers import Trackers, tracking
from understudy.types import Basis, DeviceChoice, GraphFormat, GraphPrecision, Result

__all__ = ["FitCall", "Model", "fit"]

_REPORT = ("metrics.json", "report.html")


class FitCall(FitOptions):
    """Keywords of :func:`understudy.fit`: the options of a training, the output folder and the progress."""

    out: str | Path
    """Folder for the model, new or empty. An unfinished training keeps its state in a private subfolder."""
    progress: Progress = True
    """Show a progress bar in a terminal or notebook; ``False`` shows nothing."""


Options = ParamSpec("Options")


def _takes(
    options: Callable[Options, FitCall],
) -> Callable[[Callable[[PictureData, FitCall], Model]], Callable[Concatenate[PictureData, Options], Model]]:
    """Give a function of (data, options) the names, types and defaults of the options as keywords."""

    def decorate(
        function: Callable[[PictureData, FitCall], Model],
    ) -> Callable[Concatenate[PictureData, Options], Model]:
        @wraps(function)
        def call(data: PictureData, out: str | Path, *, progress: Progress = True, **keywords: Any) -> Model:
            return function(data, FitCall(**dict(fit_options(keywords)), out=out, progress=progress))

        keywords = dict(signature(FitCall).parameters)
        first = [
            Parameter("data", Parameter.POSITIONAL_OR_KEYWORD, annotation=PictureData),
            keywords.pop("out").replace(kind=Parameter.POSITIONAL_OR_KEYWORD),
        ]
        shown = signature(function).replace(parameters=[*first, *keywords.values()])
        call.__signature__ = shown  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[PictureData, Options], Model]", call)

    return decorate


class Model:
    """A trained model: fit, load, predict, calibrate, evaluate, diagnose, export.

    Args:
        distiller: teacher and student.
        inspector: judges pictures with them.
        device: device that scores pictures.

    Example:
        >>> model = Model.fit("pictures", out="model", seed=0)        # doctest: +SKIP
        >>> for result in model.predict("new_pictures"):              # doctest: +SKIP
        ...     print(result.path, result.verdict, result.score)
    """

    def __init__(self, distiller: Distiller, inspector: Inspector, device: torch.device) -> None:
        self.distiller, self.inspector, self.device = distiller, inspector, device

    @staticmethod
    @_takes(FitCall)
    def fit(data: PictureData, asked: FitCall) -> Model:
        """Train one model over all categories of a folder, calibrate it on held-out pictures, save it.

        Args:
            data: folder or list of pictures, or what :func:`understudy.open_pictures` returned for it, where
                the layouts are named.
            asked: options, given as keywords; see :class:`understudy.train.options.FitOptions`. ``out``, the
                folder for the model, is required.

        Returns:
            The model. It is calibrated if there were held-out pictures.

        Raises:
            InputError: an option, the data or the teacher cannot be used.
            WorkError: the work failed; the last checkpoint is kept.
        """
        out = named_path(asked.out, "the folder for the model")
        rates, image_score = Rates(asked.false_alarm_rate, asked.review_budget), recipe_of(asked).image_score
        first = is_first_process(asked)
        with (
            reporting(asked.progress if first else False) as told,
            tracking(asked if first else asked.model_copy(update={"logger": None}), out, told) as trackers,
        ):
            tried, reporter = not first, trackers.following

            def calibrate_in(folder: Path, parts: Parts) -> Inspector:
                nonlocal tried
                tried = True
                inspector = Model.load(folder, asked.device, calibrated=False).inspector
                calibrate_fresh(inspector, parts.learn, parts.held_out, image_score, rates, reporter)
                return inspector

            parts = train_model(data, out, asked, reporter, calibrate_in)
            model = Model.load(out, asked.device)
            if (
                model.calibration is None and not tried
            ):  # trained already, and stopped before its thresholds were set
                learned = seen_pictures(model.inspector.seen, parts.learn)
                _refuse_other_products(learned, model.inspector.categories)
                model.inspector = calibrate_in(out, replace(parts, learn=learned))
            if trackers.loggers:
                trackers.result(model.manifest, model.calibration)
                trackers.model(out, model.manifest)
                _track_test_pictures(model, data, trackers, told)
        return model

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: DeviceChoice = "auto",
        *,
        calibrated: bool = True,
        require_signature: str | Path | None = None,
    ) -> Model:
        """Load a trained model.

        Args:
            folder: folder that ``fit`` wrote.
            device: device that scores pictures; ``auto`` takes a GPU if there is one.
            calibrated: also read the thresholds; ``False`` if that file may be damaged or missing.
            require_signature: file of a public key (PEM); a model that was not signed with it is refused.

        Raises:
            BundleError: the folder holds no trained model, or the model is incomplete, altered, of another
                version, or not signed as required.
            InputError: the device is not there.
        """
        place = resolve_device(device)
        distiller, inspector = load_trained(
            Path(folder), place, calibrated=calibrated, require_signature=require_signature
        )
        return cls(distiller, inspector, place)

    @property
    def folder(self) -> Path:
        """Folder of the saved model."""
        return self.inspector.folder

    @property
    def manifest(self) -> Manifest:
        """Method, settings, teacher, preprocessing, training and versions of the model."""
        return self.inspector.manifest

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes the network's input."""
        return self.manifest.preprocess

    @property
    def categories(self) -> list[str]:
        """Names of the products that the model was trained on, sorted."""
        return self.inspector.categories

    @property
    def calibration(self) -> Calibration | None:
        """Thresholds and limits; ``None`` if the model is not calibrated."""
        return self.inspector.calibration

    @property
    def thresholds(self) -> Thresholds | None:
        """Thresholds for a picture of any category; ``None`` if the model is not calibrated."""
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
        """Return the mask of the defects of a result; see :meth:`understudy.Inspector.defect_mask`."""
        return self.inspector.defect_mask(result)

    def calibrate(
        self,
        data: PictureData,
        *,
        false_alarm_rate: float = 0.01,
        review_budget: float = REVIEW_BUDGET,
        min_area: int = MIN_AREA,
        basis: Basis | None = None,
        defects: PictureData | None = None,
        progress: Progress = True,
    ) -> Calibration:
        """Set thresholds from good pictures that the training has not seen; they take effect at once.

        See :func:`understudy.calibrate.calibrate`.
        """
        return calibrate(
            self.inspector,
            data,
            false_alarm_rate=false_alarm_rate,
            review_budget=review_budget,
            min_area=min_area,
            basis=basis,
            defects=defects,
            progress=progress,
        )

    def evaluate(
        self,
        data: PictureData,
        *,
        categories: Sequence[str] | None = None,
        map_resolution: MapResolution = "model",
        aupro_limit: float = AUPRO_LIMIT,
        thresholds: ThresholdChoice = "auto",
        progress: Progress = True,
    ) -> Evaluation:
        """Score test pictures and compute metrics; see :func:`understudy.evaluate.evaluate`."""
        return evaluate(
            self.inspector,
            data,
            categories=categories,
            map_resolution=map_resolution,
            aupro_limit=aupro_limit,
            thresholds=thresholds,
            progress=progress,
        )

    def explain(
        self,
        pictures: PictureInput,
        *,
        data: PictureData | None = None,
        category: str | None = None,
        batch_size: int = 8,
        progress: Progress = True,
    ) -> Iterator[Explanation]:
        """Judge pictures and say why; see :func:`understudy.evaluate.explain.explain`."""
        return explain(
            self.inspector,
            pictures,
            data=data,
            category=category,
            batch_size=batch_size,
            progress=progress,
        )

    def diagnose(
        self,
        data: PictureData,
        *,
        one_class: str | Path | None = None,
        pairs: Sequence[tuple[str, str]] | None = None,
        pictures: int = 100,
        seed: int = 0,
        progress: Progress = True,
    ) -> Diagnosis:
        """Measure how far categories disturb each other; see :func:`understudy.lab.diagnose.diagnose`."""
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
        data: PictureData | None = None,
        batch_size: int = 8,
        overwrite: bool = False,
        require_signature: str | Path | None = None,
        progress: Progress = True,
    ) -> Manifest:
        """Write the model as a graph that needs no torch; see :func:`understudy.export.export`."""
        return export(
            self.folder,
            out,
            format=format,
            precision=precision,
            data=data,
            batch_size=batch_size,
            overwrite=overwrite,
            require_signature=require_signature,
            progress=progress,
        )


def _track_test_pictures(model: Model, data: PictureData, trackers: Trackers, reporter: Reporter) -> None:
    """Evaluate a new model as ``understudy evaluate`` does, and give trackers the figures and the report."""
    from understudy.evaluate.report import write_report

    folder = model.folder / "evaluation"
    try:
        with results_in(folder, _REPORT) as draft:
            found = model.evaluate(data, categories=model.categories, progress=reporter)
            write_json(draft / "metrics.json", found.metrics)
            write_report(draft / "report.html", model.inspector, found)
    except UnderstudyError as error:
        reporter.say(f"trackers get no figures of test pictures: {error}")
        return
    at = {rate: judged["mean"] for rate, judged in (found.metrics["found_at"] or {}).items()}
    figures = {"test": {"mean": found.metrics["mean"], "pooled": found.metrics["pooled"], "found_at": at}}
    trackers.figures(figures, model.manifest.training.steps)
    trackers.artefacts([folder / name for name in _REPORT], "evaluation")


def _refuse_other_products(learned: Sequence[Record], categories: Sequence[str]) -> None:
    """Make sure that the pictures a model learned from are still there, for each of its products."""
    found = sorted({record.category for record in learned})
    if found != list(categories):
        raise InputError(
            f"the model learned from pictures of {', '.join(categories)}, and those that are still there are "
            f"of {', '.join(found) or 'none of them'}; put the pictures back, or set thresholds by "
            "understudy calibrate"
        )


fit = Model.fit
