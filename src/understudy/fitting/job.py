"""The steps of a fit: divide, gather, train, save, calibrate."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from pydantic import ValidationError

from understudy.calibration import Rates, calibrate_on, unseen_pictures
from understudy.conformal import smallest_rate
from understudy.data.folder import describe, open_pictures
from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.device import resolve_device, resolve_precision
from understudy.distill.fusion import Fusion
from understudy.distill.teacher import default_strides
from understudy.distill.weights import Normalisation, load_teacher
from understudy.errors import InputError
from understudy.fitting.compiling import require_compiler
from understudy.fitting.dividing import Parts, divide
from understudy.fitting.gathering import gather, store_of, windows_of
from understudy.fitting.options import FitOptions, fit_options, recipe_of
from understudy.fitting.scaling import scale_maps
from understudy.fitting.training import Plan, checkpoint_file, train
from understudy.methods import Recipe, build, settings_for
from understudy.model import TrainedModel, load, save
from understudy.prototypes import learn_prototypes
from understudy.reporter import Reporter
from understudy.runtime import bundle
from understudy.runtime.decision import Calibration
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS, Rois, read_rois

__all__ = ["fit"]


def fit(
    data: str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    **options: object,
) -> TrainedModel:
    """Train one model over all categories of a folder, calibrate it on held-out pictures, save it.

    Args:
        data: folder in MVTec AD, MVTec LOCO or VisA layout, one category of it, good pictures alone, or a
            list of pictures (.csv, .parquet).
        out: folder for the model; an unfinished training lives in its subfolder ``training``.
        resume: go on with the unfinished training in ``out``.
        overwrite: discard what ``out`` holds.
        reporter: where progress goes.
        options: see :class:`understudy.fitting.options.FitOptions`.

    Raises:
        InputError: an option, the data or the teacher cannot be used.
        WorkError: the work itself failed; the last checkpoint is kept.

    Example:
        >>> model = fit("parts/", "model/", method="snl-rd", seed=0)  # doctest: +SKIP
    """
    asked, out, reporter = fit_options(options), Path(out), reporter or Reporter()
    if resume and overwrite:
        raise InputError("--resume keeps what the folder holds and --overwrite discards it; choose one")
    everything = open_pictures(Path(data))
    found = everything.only(asked.categories)
    rois = read_rois(asked.roi, everything.categories).among(found.categories) if asked.roi else NO_ROIS
    parts = divide(found, asked)
    if resume and bundle.holds_model(out):
        model = load(out, asked.device)
        reporter.say(f"{out} is trained already; there is nothing to resume")
    else:
        _refuse_to_lose(out, resume=resume, overwrite=overwrite)
        _train_and_save(asked, found, rois, parts, out, resume, reporter)
        model = load(out, asked.device)
    if model.calibration is None:
        calibration = _first_calibration(model, out, parts.held_out, asked.false_alarm_rate, reporter)
        model = replace(model, calibration=calibration)
    shutil.rmtree(checkpoint_file(out).parent, ignore_errors=True)
    return model


def _train_and_save(
    asked: FitOptions,
    found: PictureSet,
    rois: Rois,
    parts: Parts,
    out: Path,
    resume: bool,
    reporter: Reporter,
) -> None:
    recipe = recipe_of(asked)
    settings = settings_for(asked.method, recipe.settings)
    strides = asked.strides or default_strides(asked.teacher, asked.image_size)
    torch.manual_seed(asked.seed)  # for a teacher of random weights
    teacher, look, source = load_teacher(asked.teacher, strides, asked.teacher_weights, asked.image_size)
    card = bundle.TeacherCard(name=teacher.name, strides=strides, **asdict(source))
    preprocess = _preprocess(asked, look)
    reporter.say(describe(found))
    reporter.say(
        f"{len(parts.learn)} good pictures to learn from, {len(parts.held_out)} held out"
        + (f", {len(parts.validation)} to validate with" if parts.validation else "")
    )
    windows = windows_of(parts.learn, preprocess, rois)
    if windows > len(parts.learn):
        reporter.say(f"{windows} tiles of {preprocess.tile} pixels to learn from")
    plan = _plan(asked, recipe, windows, len(found.categories))
    balanced = recipe.sampling == "balanced" and len(found.categories) > 1
    torch.manual_seed(asked.seed)  # the student starts alike, whatever the teacher drew
    distiller = build(asked.method, teacher, settings)
    given = gather(asked, parts, distiller, card, preprocess, rois, windows, plan, reporter)
    pictures, validation = given.pictures, given.validation
    kept_away = store_of(parts.held_out, preprocess, rois, budget=0)
    reporter.say(
        f"{asked.method} on {teacher.name}, recipe {asked.recipe}: {plan.steps} steps of {plan.batch_size} "
        f"{'tiles' if preprocess.tile else 'pictures'}, {plan.device}, {plan.precision}, seed {plan.seed}"
        + (", every category equally often" if balanced else "")
        + (f", mean of the weights kept ({plan.averaging:g})" if plan.averaging else "")
    )
    if not resume:
        _clear(out)
    if recipe.choose_epoch and not parts.validation:
        reporter.say("no picture is left to validate with: the last epoch is kept")
    categories = _categories(parts.learn, pictures)
    trained = train(
        distiller,
        pictures,
        preprocess,
        plan,
        out,
        description=repr((asked.method, settings.model_dump(), card, preprocess, rois.digest)),
        categories=categories if balanced else None,
        validation=validation if recipe.choose_epoch and parts.validation else None,
        features=given.features,
        resume=resume,
        advance=reporter.advance,
    )
    ended = time.monotonic()
    if isinstance(distiller.to_map, Fusion):
        if not parts.validation:
            reporter.say("no picture is left to validate with: maps are scaled on those learned from")
        scale_maps(distiller, validation if parts.validation else pictures, preprocess, plan.device)
    # Where regions depend on the category, it is recognised from the whole picture.
    whole = store_of(parts.learn, preprocess, NO_ROIS, budget=0) if rois.depend_on_category else pictures
    save(
        out,
        distiller,
        bundle.Pictures(trained=pictures.digests, validation=validation.digests, held_out=kept_away.digests),
        learn_prototypes(teacher, whole, _categories(parts.learn, whole), preprocess, plan.device),
        rois,
        method=asked.method,
        settings=settings.model_dump(mode="json"),
        teacher=card,
        preprocess=preprocess,
        training=bundle.TrainingCard(
            recipe=asked.recipe,
            seed=plan.seed,
            steps=plan.steps,
            batch_size=plan.batch_size,
            optimiser={"name": type(plan.optimiser).__name__.lower(), "schedule": plan.schedule}
            | asdict(plan.optimiser),
            precision=plan.precision,
            device=str(plan.device),
            seconds=round(given.seconds + trained.seconds + time.monotonic() - ended, 1),
            loss=trained.loss,
            kept_step=trained.step,
            layout=found.layout,
            categories=dict(Counter(r.category for r in parts.learn)),
            validation=len(parts.validation),
            held_out=len(parts.held_out),
            holdout_share=asked.holdout,
            sampling="balanced" if balanced else "natural",
            statistics=plan.statistics,
            averaging=plan.averaging,
        ),
    )


def _categories(records: Sequence[Record], windows: PictureStore) -> list[str]:
    """Of each window."""
    return [records[owner].category for owner in windows.owners]


def _first_calibration(
    model: TrainedModel, out: Path, held_out: Sequence[Record], asked_rate: float, reporter: Reporter
) -> Calibration | None:
    """Calibrate a fresh model at the asked rate, or at the smallest that its held-out pictures allow."""
    unseen = unseen_pictures(model.pictures, held_out)
    if not unseen:
        return None
    rate = max(asked_rate, smallest_rate(len(unseen)))
    if rate > asked_rate:
        reporter.say(
            f"a false-alarm rate of {asked_rate:g} was asked for; {len(unseen)} held-out pictures can "
            f"promise {rate:.3g} at best: hold out more, or calibrate with further good pictures"
        )
    return calibrate_on(model.inspector, model.manifest, out, unseen, Rates(rate), reporter)


def _refuse_to_lose(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make sure that ``out`` can be written and that nothing of worth is lost there unasked."""
    if not overwrite and bundle.holds_model(out):
        raise InputError(f"{out} already holds a trained model; choose another --out, or --overwrite it")
    if not overwrite and not resume and checkpoint_file(out).is_file():
        raise InputError(f"{out} holds an unfinished training; go on with --resume, or --overwrite it")
    bundle.prepare_folder(out)


def _clear(out: Path) -> None:
    """Take away an older model and its results; only once everything for the new one is at hand."""
    bundle.clear(out)
    for folder in (checkpoint_file(out).parent, out / "evaluation", out / "diagnosis"):
        shutil.rmtree(folder, ignore_errors=True)


def _preprocess(asked: FitOptions, look: Normalisation) -> Preprocess:
    try:
        return Preprocess(
            image_size=asked.image_size,
            mean=look.mean,
            std=look.std,
            keep_aspect=asked.keep_aspect,
            tile=asked.tile,
            overlap=asked.overlap,
        )
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _plan(asked: FitOptions, recipe: Recipe, n_pictures: int, n_categories: int) -> Plan:
    device = resolve_device(asked.device)
    if asked.compile:
        require_compiler(device)
    batch_size = min(recipe.batch_size, n_pictures)
    steps = asked.max_steps or max(1, recipe.seen(n_categories) // batch_size)
    if asked.epochs:
        steps = asked.epochs * (n_pictures // batch_size)
    return Plan(
        steps=steps,
        batch_size=batch_size,
        optimiser=recipe.optimiser,
        schedule=recipe.schedule,
        seed=asked.seed,
        precision=resolve_precision(asked.precision, device),
        device=device,
        checkpoint_every=asked.checkpoint_every,
        compiled=asked.compile,
        statistics=recipe.statistics,
        averaging=recipe.averaging,
    )
