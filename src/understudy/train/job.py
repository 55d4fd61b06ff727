"""The steps of a training: divide the pictures, load them, train, save the model."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from understudy import files
from understudy.data.layouts import describe, open_pictures
from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.distill.fusion import Fusion
from understudy.distill.teacher import default_strides
from understudy.distill.weights import architecture_of, load_teacher
from understudy.errors import InputError
from understudy.methods import build, settings_for
from understudy.methods.recipe import Recipe
from understudy.methods.saved import save_trained
from understudy.progress import Reporter
from understudy.runtime import manifest as manifests
from understudy.runtime.roi import NO_ROIS, Rois, read_roi_masks
from understudy.train.cache import load_training_data, store_of, windows_of
from understudy.train.finish import learn_prototypes, scale_maps
from understudy.train.loop import checkpoint_file, train
from understudy.train.options import FitOptions
from understudy.train.plan import plan_for, preprocess_for, recipe_of
from understudy.train.split import Parts, divide

__all__ = ["forget_checkpoints", "train_model"]

_RESULTS = {  # what evaluate and diagnose write into a model's folder unless another is named
    "evaluation": ("metrics.json", "report.html"),
    "diagnosis": ("diagnosis.json", "diagnosis.html"),
}


def train_model(data: str | Path, out: Path, asked: FitOptions, reporter: Reporter) -> list[Record]:
    """Train one model over all categories of a folder and save it, not yet calibrated.

    Args:
        data: folder or list of pictures.
        out: folder for the model; an unfinished training keeps its state in a private subfolder.
        asked: options of the training.
        reporter: takes messages and progress.

    Returns:
        The good pictures that were held out for the thresholds.

    Raises:
        InputError: an option, the data or the teacher cannot be used.
        WorkError: the work failed; the last checkpoint is kept.
    """
    recipe = recipe_of(asked)
    everything = open_pictures(Path(data))
    picture_set = everything.only(asked.categories)
    rois = NO_ROIS
    if asked.roi:
        rois = read_roi_masks(asked.roi, everything.categories).only(picture_set.categories)
    parts = divide(picture_set, asked.holdout, recipe.validation, asked.seed)
    if asked.resume and manifests.holds_model(out):
        reporter.say(f"{out} is trained already; there is nothing to resume")
    else:
        _refuse_to_lose(out, resume=asked.resume, overwrite=asked.overwrite)
        _train_and_save(asked, recipe, picture_set, rois, parts, out, reporter)
    return parts.held_out


def forget_checkpoints(out: Path) -> None:
    """Remove the state of a training whose model is saved."""
    shutil.rmtree(checkpoint_file(out).parent, ignore_errors=True)


def _train_and_save(
    asked: FitOptions,
    recipe: Recipe,
    picture_set: PictureSet,
    rois: Rois,
    parts: Parts,
    out: Path,
    reporter: Reporter,
) -> None:
    settings = settings_for(asked.method, recipe.settings)
    strides = asked.strides or default_strides(architecture_of(asked.teacher), asked.image_size)
    torch.manual_seed(asked.seed)  # for a teacher with random weights
    teacher, look, source = load_teacher(asked.teacher, strides, asked.teacher_weights, asked.image_size)
    card = manifests.TeacherCard(name=teacher.name, strides=strides, **asdict(source))
    preprocess = preprocess_for(asked, look)
    reporter.say(describe(picture_set))
    reporter.say(
        f"{len(parts.learn)} good pictures to learn from, {len(parts.held_out)} held out"
        + (f", {len(parts.validation)} to validate with" if parts.validation else "")
    )
    windows = windows_of(parts.learn, preprocess, rois)
    if windows > len(parts.learn):
        reporter.say(f"{windows} tiles of {preprocess.tile} pixels to learn from")
    plan = plan_for(asked, recipe, windows, len(picture_set.categories))
    balanced = recipe.sampling == "balanced" and len(picture_set.categories) > 1
    torch.manual_seed(asked.seed)  # the student starts the same, whatever the teacher drew
    distiller = build(asked.method, teacher, settings)
    given = load_training_data(asked, parts, distiller, card, preprocess, rois, windows, plan, reporter)
    pictures, validation = given.pictures, given.validation
    kept_away = store_of(parts.held_out, preprocess, rois, budget=0)
    reporter.say(
        f"{asked.method} on {teacher.name}, recipe {asked.recipe}: {plan.steps} steps of {plan.batch_size} "
        f"{'tiles' if preprocess.tile else 'pictures'}, {plan.device}, {plan.precision}, seed {plan.seed}"
        + (", every category equally often" if balanced else "")
        + (f", mean of the weights kept ({plan.averaging:g})" if plan.averaging else "")
    )
    if not asked.resume:
        _clear(out)
    with files.writing(out):
        checkpoint_file(out).parent.mkdir(exist_ok=True)  # from now on the folder is ours
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
        resume=asked.resume,
        advance=reporter.advance,
    )
    ended = time.monotonic()
    if isinstance(distiller.to_map, Fusion):
        if not parts.validation:
            reporter.say("no picture is left to validate with: maps are scaled on those learned from")
        scale_maps(distiller, validation if parts.validation else pictures, preprocess, plan.device)
    # If regions of interest depend on the category, it is recognised from the whole picture.
    whole = store_of(parts.learn, preprocess, NO_ROIS, budget=0) if rois.depend_on_category else pictures
    save_trained(
        out,
        distiller,
        manifests.SeenPictures(
            trained=pictures.digests, validation=validation.digests, held_out=kept_away.digests
        ),
        learn_prototypes(teacher, whole, _categories(parts.learn, whole), preprocess, plan.device),
        rois,
        method=asked.method,
        settings=settings.model_dump(mode="json"),
        teacher=card,
        preprocess=preprocess,
        training=manifests.TrainingCard(
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
            layout=picture_set.layout,
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
    """Return the category of each window."""
    return [records[owner].category for owner in windows.owners]


def _refuse_to_lose(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that ``out`` can be written, that no model is lost unasked, and no foreign file at all."""
    if out.is_dir() and any(out.iterdir()) and not manifests.is_ours(out):
        raise InputError(
            f"{out} holds files that understudy did not write, and they must not be lost; "
            "choose a new or empty folder with --out"
        )
    if not overwrite and manifests.holds_model(out):
        raise InputError(f"{out} already holds a trained model; choose another --out, or --overwrite it")
    if not overwrite and not resume and checkpoint_file(out).is_file():
        raise InputError(f"{out} holds an unfinished training; go on with --resume, or --overwrite it")
    files.prepare_folder(out)


def _clear(out: Path) -> None:
    """Remove an older model and its results; call it when everything for the new one is ready."""
    manifests.clear(out)
    forget_checkpoints(out)
    for folder, names in _RESULTS.items():
        for name in names:
            (out / folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # whatever else lies there is the user's
            (out / folder).rmdir()
