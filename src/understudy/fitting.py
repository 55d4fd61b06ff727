"""From a folder of good pictures to a saved, calibrated model: what ``understudy fit`` does."""

from __future__ import annotations

import math
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from understudy.calibration import calibrate_on, smallest_rate, unseen_pictures
from understudy.data.folder import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.device import resolve_device, resolve_precision
from understudy.distill.teacher import default_strides
from understudy.distill.weights import load_teacher
from understudy.errors import InputError
from understudy.methods import METHODS, build, settings_for
from understudy.model import TrainedModel, load, save
from understudy.options import FitOptions, fit_options
from understudy.reporter import Reporter
from understudy.runtime import bundle
from understudy.runtime.decision import Thresholds
from understudy.runtime.images import Preprocess
from understudy.training import Plan, checkpoint_file, train

__all__ = ["fit", "split_holdout"]


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
        data: folder in MVTec AD layout, one category of it, or good pictures alone.
        out: folder for the model; an unfinished training lives in its subfolder ``training``.
        resume: go on with the unfinished training in ``out``.
        overwrite: discard what ``out`` holds.
        reporter: where progress goes.
        options: see :class:`understudy.options.FitOptions`.

    Raises:
        InputError: an option, the data or the teacher cannot be used.
        WorkError: the work itself failed; the last checkpoint is kept.

    Example:
        >>> model = fit("parts/", "model/", method="snl-rd", seed=0)  # doctest: +SKIP
    """
    asked, out, reporter = fit_options(options), Path(out), reporter or Reporter()
    if resume and overwrite:
        raise InputError("--resume keeps what the folder holds and --overwrite discards it; choose one")
    found = open_pictures(Path(data)).only(asked.categories)
    learn, held_out = split_holdout(found.train(), asked.holdout, asked.seed)
    if resume and bundle.holds_model(out):
        reporter.say(f"{out} is trained already; there is nothing to resume")
        model = load(out, asked.device)
    else:
        _refuse_to_lose(out, resume=resume, overwrite=overwrite)
        _train_and_save(asked, found, learn, held_out, out, resume, reporter)
        model = load(out, asked.device)
    if model.thresholds is None:
        thresholds = _first_thresholds(model, out, held_out, asked.false_alarm_rate, reporter)
        model = replace(model, thresholds=thresholds)
    shutil.rmtree(checkpoint_file(out).parent, ignore_errors=True)
    return model


def _train_and_save(
    asked: FitOptions,
    found: PictureSet,
    learn: Sequence[Record],
    held_out: Sequence[Record],
    out: Path,
    resume: bool,
    reporter: Reporter,
) -> None:
    settings = settings_for(asked.method, asked.settings)
    strides = asked.strides or default_strides(asked.teacher)
    torch.manual_seed(asked.seed)  # for a teacher of random weights
    teacher, look, source = load_teacher(asked.teacher, strides, asked.teacher_weights, asked.image_size)
    card = bundle.TeacherCard(name=teacher.name, strides=strides, **asdict(source))
    preprocess = Preprocess(image_size=asked.image_size, mean=look.mean, std=look.std)
    reporter.say(
        f"{found.root}: {found.layout}, {len(found.categories)} categories, "
        f"{len(learn)} good pictures to learn from, {len(held_out)} held out"
    )
    pictures = PictureStore([r.path for r in learn], preprocess, advance=reporter.advance)
    kept_away = PictureStore([r.path for r in held_out], preprocess, budget=0)
    plan = _plan(asked, len(pictures))
    if plan.batch_size == 1 and asked.image_size <= 2 * strides[-1]:
        raise InputError(
            f"batches of one picture of {asked.image_size} pixels leave batch normalisation nothing to "
            "average; add good pictures, or ask for a larger --batch-size or --image-size"
        )
    reporter.say(
        f"{asked.method} on {teacher.name}: {plan.steps} steps of {plan.batch_size} pictures, "
        f"{plan.device}, {plan.precision}, seed {plan.seed}"
    )
    torch.manual_seed(asked.seed)  # the student starts alike, whatever the teacher drew
    distiller = build(asked.method, teacher, settings)
    if not resume:
        _clear(out)
    began = time.monotonic()
    loss = train(
        distiller,
        pictures,
        preprocess,
        plan,
        out,
        description=repr((asked.method, settings.model_dump(), card, preprocess)),
        resume=resume,
        advance=reporter.advance,
    )
    save(
        out,
        distiller,
        bundle.Pictures(trained=pictures.digests, held_out=kept_away.digests),
        method=asked.method,
        settings=settings.model_dump(mode="json"),
        teacher=card,
        preprocess=preprocess,
        training=bundle.TrainingCard(
            seed=plan.seed,
            steps=plan.steps,
            batch_size=plan.batch_size,
            lr=plan.lr,
            precision=plan.precision,
            device=str(plan.device),
            seconds=round(time.monotonic() - began, 1),
            loss=loss,
            layout=found.layout,
            categories=dict(Counter(r.category for r in learn)),
            held_out=len(held_out),
            holdout_share=asked.holdout,
        ),
    )


def _first_thresholds(
    model: TrainedModel, out: Path, held_out: Sequence[Record], asked_rate: float, reporter: Reporter
) -> Thresholds | None:
    """Calibrate a fresh model at the asked rate, or at the smallest that its held-out pictures allow."""
    unseen = unseen_pictures(model, [r.path for r in held_out])
    if not unseen:
        return None
    rate = max(asked_rate, smallest_rate(len(unseen)))
    if rate > asked_rate:
        reporter.say(
            f"a false-alarm rate of {asked_rate:g} was asked for; {len(unseen)} held-out pictures can "
            f"promise {rate:.3g} at best: hold out more, or calibrate with further good pictures"
        )
    return calibrate_on(model, out, unseen, rate, reporter=reporter)


def split_holdout(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Keep a seeded share of every category from training: (to learn from, held out), both sorted.

    A category's choice depends on its own pictures, its name and the seed alone; one picture at
    least is left to learn from.
    """
    held: set[Record] = set()
    for category in {r.category for r in records}:
        own = sorted(r for r in records if r.category == category)
        rng = np.random.default_rng([seed, zlib.crc32(category.encode())])
        held.update(own[i] for i in rng.permutation(len(own))[: min(round(share * len(own)), len(own) - 1)])
    return sorted(r for r in records if r not in held), sorted(held)


def _refuse_to_lose(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make sure that ``out`` can be written and that nothing of worth is lost there unasked."""
    if not overwrite and bundle.holds_model(out):
        raise InputError(f"{out} already holds a trained model; choose another --out, or --overwrite it")
    if not overwrite and not resume and checkpoint_file(out).is_file():
        raise InputError(f"{out} holds an unfinished training; go on with --resume, or --overwrite it")
    bundle.prepare_folder(out)


def _clear(out: Path) -> None:
    """Take away an older model and its results; only once everything for the new one is at hand."""
    for name in (bundle.MANIFEST, bundle.CALIBRATION):
        (out / name).unlink(missing_ok=True)
    for folder in (checkpoint_file(out).parent, out / "evaluation"):
        shutil.rmtree(folder, ignore_errors=True)


def _plan(asked: FitOptions, n_pictures: int) -> Plan:
    recipe = METHODS[asked.method].recipe
    device = resolve_device(asked.device)
    batch_size = min(asked.batch_size or recipe.batch_size, n_pictures)
    steps = asked.max_steps or recipe.steps
    if asked.epochs:
        steps = math.ceil(asked.epochs * (n_pictures // batch_size))
    return Plan(
        steps=steps,
        batch_size=batch_size,
        lr=asked.lr or recipe.lr,
        betas=recipe.betas,
        seed=asked.seed,
        precision=resolve_precision(asked.precision, device),
        device=device,
        checkpoint_every=asked.checkpoint_every,
    )
