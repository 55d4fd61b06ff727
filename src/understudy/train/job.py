"""The steps of a training: divide the pictures, load them, train, save the model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from understudy.data.bit_depth import find_depth
from understudy.data.layouts import as_picture_set
from understudy.data.overview import announce
from understudy.data.records import PictureData, PictureSet, Record
from understudy.data.store import PictureStore
from understudy.distill.fusion import Fusion
from understudy.distill.precision import describe_precision
from understudy.distill.teacher import default_strides
from understudy.distill.weights import architecture_of, load_teacher
from understudy.errors import UnderstudyError
from understudy.methods import build, settings_for
from understudy.methods.recipe import Recipe
from understudy.methods.saved import save_trained
from understudy.progress import Reporter
from understudy.runtime.bundle import SeenPictures
from understudy.runtime.manifest import TeacherCard, TrainingCard
from understudy.runtime.roi import NO_ROIS, Rois, read_roi_masks
from understudy.train.cache import load_training_data, store_of, windows_of
from understudy.train.finish import fill_codebook, fill_composition, learn_prototypes, scale_maps
from understudy.train.loop import begun_measured, begun_precision, journal_file, train
from understudy.train.options import FitOptions
from understudy.train.output import draft_model, is_finished, owned, prepare_output
from understudy.train.plan import plan_for, preprocess_for, recipe_of
from understudy.train.processes import Group, join_group
from understudy.train.split import Parts, divide, keep_what_is_seen
from understudy.train.standardise import prepare_student

__all__ = ["train_model"]

Calibrate = Callable[[Path, Parts], object]
"""Calibrates the model in a folder with the pictures that it learned from and those held out."""


def train_model(
    data: PictureData,
    out: Path,
    asked: FitOptions,
    reporter: Reporter,
    calibrate: Calibrate | None = None,
) -> Parts:
    """Train one model over all categories of a folder, calibrate it, and save it.

    An old model in the folder stays until the new one is whole. If torchrun or SLURM started several
    processes, each calls this; the first one alone reports, and writes into the folder.

    Args:
        data: folder or list of pictures.
        out: folder for the model; an unfinished training keeps its state in a private subfolder.
        asked: options of the training.
        reporter: takes messages and progress.
        calibrate: sets the thresholds of the new model before it is put in place; ``None`` sets none.

    Returns:
        The good pictures by their use.

    Raises:
        InputError: an option, the data or the teacher cannot be used, or ``out`` holds what must not be lost.
        WorkError: the work failed; the last checkpoint is kept.
    """
    recipe = recipe_of(asked)
    everything = as_picture_set(data)
    picture_set = everything.only(asked.categories)
    rois = NO_ROIS
    if asked.roi:
        rois = read_roi_masks(asked.roi, everything.categories).only(picture_set.categories)
    parts = divide(picture_set, asked.holdout, recipe.validation, asked.seed)
    with join_group(asked) as group:
        reporter = reporter if group.is_first else Reporter()
        if group.agree(asked.resume and is_finished(out)):
            reporter.say(f"{out} is trained already; there is nothing to resume")
        else:
            group.first(partial(prepare_output, out, resume=asked.resume, overwrite=asked.overwrite))
            _train_and_save(asked, recipe, picture_set, rois, parts, out, group, reporter, calibrate)
    return parts


def _train_and_save(
    asked: FitOptions,
    recipe: Recipe,
    picture_set: PictureSet,
    rois: Rois,
    parts: Parts,
    out: Path,
    group: Group,
    reporter: Reporter,
    calibrate: Calibrate | None,
) -> None:
    settings = settings_for(asked.method, recipe.settings)
    strides = asked.strides or default_strides(architecture_of(asked.teacher), asked.image_size)
    torch.manual_seed(asked.seed)  # for a teacher with random weights
    teacher, look, source = load_teacher(asked.teacher, strides, asked.teacher_weights, asked.image_size)
    card = TeacherCard(name=teacher.name, strides=strides, blocks=teacher.blocks, **asdict(source))
    found = find_depth([record.path for record in picture_set.records], asked.bit_depth)
    preprocess = preprocess_for(asked, look, found.depth)
    if found.statement:
        reporter.say(found.statement)
    announce(picture_set, reporter.say)
    reporter.say(
        f"{len(parts.learn)} good pictures to learn from, {len(parts.held_out)} held out"
        + (f", {len(parts.validation)} to validate with" if parts.validation else "")
    )
    count = partial(windows_of, preprocess=preprocess, rois=rois)
    windows = count(parts.learn)
    if windows > len(parts.learn):
        reporter.say(f"{windows} tiles of {preprocess.tile} pixels to learn from")
    if asked.resume and asked.precision == "auto":  # what is faster can be measured otherwise the next time
        asked = asked.model_copy(update={"precision": begun_precision(out)})
    plan = plan_for(asked, recipe, windows, len(picture_set.categories), teacher.levels)
    if asked.resume:
        plan = replace(plan, measured=begun_measured(out))
    plan = group.place(plan)
    balanced = recipe.sampling == "balanced" and len(picture_set.categories) > 1
    room = windows if asked.epochs else plan.steps * plan.batch_size  # an epoch goes over all
    parts, unseen = keep_what_is_seen(parts, room, count, balanced, asked.seed)
    if unseen:
        windows = count(parts.learn)
        reporter.say(
            f"{plan.steps} steps of {plan.batch_size} see {len(parts.learn)} of these pictures; {unseen} are "
            "not learned from (--epochs 1 learns from all); understudy calibrate with the same pictures sets "
            "thresholds from them"
        )
    torch.manual_seed(asked.seed)  # the student starts the same, whatever the teacher drew
    distiller = build(asked.method, teacher, settings)
    given = load_training_data(
        asked, parts, distiller, card, preprocess, rois, windows, plan, group, reporter
    )
    pictures, validation = given.pictures, given.validation
    kept_away = store_of(parts.held_out, preprocess, rois, budget=0)
    reporter.say(
        f"{asked.method} on {teacher.name}, recipe {asked.recipe}: {plan.steps} steps of {plan.batch_size} "
        f"{'tiles' if preprocess.tile else 'pictures'}, {plan.device.type}, "
        + (f"{plan.processes} processes, " if plan.processes > 1 else "")
        + f"{describe_precision(plan.precision, plan.measured)}, seed {plan.seed}"
        + (", every category equally often" if balanced else "")
        + (f", mean of the weights kept ({plan.averaging:g})" if plan.averaging else "")
    )
    if recipe.choose_epoch and not parts.validation:
        reporter.say("no picture is left to validate with: the last epoch is kept")
    categories = _categories(parts.learn, pictures)
    with ExitStack() as held:
        own = owned(out, resume=asked.resume, overwrite=asked.overwrite)
        group.first(lambda: held.enter_context(own))
        began = time.monotonic()
        if not asked.resume:  # a checkpoint has what is prepared
            inputs = (pictures, preprocess, plan.device, plan.seed, reporter)
            group.first(partial(prepare_student, distiller, *inputs))
        prepared = time.monotonic() - began
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
            group=group,
        )

        def save() -> None:
            ended = time.monotonic()
            if isinstance(distiller.to_map, Fusion):
                if not parts.validation:
                    reporter.say("no picture is left to validate with: maps are scaled on those learned from")
                scale_maps(distiller, validation if parts.validation else pictures, preprocess, plan.device)
            if distiller.codebook is not None:
                fill_codebook(distiller, pictures, categories, preprocess, plan.device, reporter.advance)
            if distiller.composition is not None:
                fill_composition(distiller, pictures, categories, preprocess, plan.device, reporter.advance)
            # If regions of interest depend on the category, it is recognised from the whole picture.
            whole = (
                store_of(parts.learn, preprocess, NO_ROIS, budget=0) if rois.depend_on_category else pictures
            )
            prototypes = learn_prototypes(
                teacher, whole, _categories(parts.learn, whole), preprocess, plan.device
            )
            training = TrainingCard(
                recipe=asked.recipe,
                seed=plan.seed,
                steps=plan.steps,
                batch_size=plan.batch_size,
                optimiser={"name": type(plan.optimiser).__name__.lower(), "schedule": plan.schedule}
                | asdict(plan.optimiser),
                precision=plan.precision,
                device=plan.device.type,
                seconds=round(given.seconds + prepared + trained.seconds + time.monotonic() - ended, 1),
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
                measured=None if plan.measured is None else dict(plan.measured),
            )
            seen = SeenPictures(
                trained=pictures.digests, validation=validation.digests, held_out=kept_away.digests
            )
            with draft_model(out) as draft:
                save_trained(
                    draft,
                    distiller,
                    seen,
                    prototypes,
                    rois,
                    method=asked.method,
                    settings=settings.model_dump(mode="json"),
                    teacher=card,
                    preprocess=preprocess,
                    training=training,
                    image_score="own" if recipe.image_score == "own" else "maximum",
                    journal=journal_file(out),
                )
                failed = _failure(calibrate, draft, parts) if calibrate else None
            if failed:  # the model is kept
                reporter.say(
                    f"{out} is trained and has no thresholds; the same command with --resume sets them"
                )
                raise failed

        group.first(save)


def _failure(calibrate: Calibrate, draft: Path, parts: Parts) -> UnderstudyError | None:
    """Calibrate a model; return the error if that fails."""
    try:
        calibrate(draft, parts)
    except UnderstudyError as error:
        return error
    return None


def _categories(records: Sequence[Record], windows: PictureStore) -> list[str]:
    """Return the category of each window."""
    return [records[owner].category for owner in windows.owners]
