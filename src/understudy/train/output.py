"""The folder that a training writes: what it may hold before, its private state, and the new model's place.

A new model is written and calibrated in a private subfolder. When it is whole, it takes the place of an old
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from understudy.errors import InputError
from understudy.files import check_writable, writing
from understudy.folders import STATE, TRAINING, clear_own, draft_in, foreign_files, locked, publish
from understudy.runtime.manifest import MANIFEST, holds_model, is_ours, list_all, refuse_changed
from understudy.train.loop import checkpoint_file

__all__ = ["draft_model", "is_finished", "owned", "prepare_output"]

_RESULTS = ("evaluation", "diagnosis")  # what evaluate and diagnose write into a model's folder


def is_finished(out: Path) -> bool:
    """Tell whether a folder holds a model and no unfinished training."""
    return holds_model(out) and not any((out / TRAINING / name).exists() for name in STATE)


def prepare_output(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that a model can be written into a folder, that none is lost unasked, and no foreign file at all.

    Args:
        out: folder for the model; nothing is left there.
        resume: whether an unfinished training goes on.
        overwrite: whether a model there may be replaced, or an unfinished training begun anew.

    Raises:
        BundleError: the folder cannot be written.
        InputError: it holds files of the user, or a model or a training that must not be lost.
    """
    if out.is_dir() and not is_ours(out) and (foreign := next(foreign_files(out, MANIFEST), None)):
        raise InputError(
            f"{out} holds files that understudy did not write, such as {foreign}, and they must not be "
            "lost; choose a new or empty folder with --out"
        )
    begun = checkpoint_file(out).is_file()
    if not (overwrite or resume) and holds_model(out):
        raise InputError(f"{out} already holds a trained model; choose another --out, or --overwrite it")
    if not overwrite and not resume and begun:
        raise InputError(f"{out} holds an unfinished training; go on with --resume, or --overwrite it")
    refuse_changed(out)
    check_writable(out)


@contextmanager
def owned(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Keep other processes out of a folder while a model is trained into it.

    Args:
        out: folder for the model; created if it is missing.
        resume: whether an unfinished training goes on; else its state is removed.
        overwrite: see :func:`prepare_output`.

    Raises:
        InputError: another process writes there, or did since :func:`prepare_output`.
        WorkError: the folder cannot be written.
    """
    with locked(out, MANIFEST):
        prepare_output(out, resume=resume, overwrite=overwrite)
        list_all(out)
        if not resume:
            _forget_training(out)
        with writing(out):
            (out / TRAINING).mkdir(exist_ok=True)  # from now on the folder is ours
        yield


@contextmanager
def draft_model(out: Path) -> Iterator[Path]:
    """Yield a private folder for a new model; when the block ends well, it replaces the one in ``out``.

    The training's state and the results of the old model are removed then. Call it within :func:`owned`.

    Raises:
        WorkError: the folder cannot be written; the old model and the training's state are still there.
    """
    with draft_in(out / TRAINING) as draft:
        yield draft
        publish(draft, out, MANIFEST)
    _forget_training(out)
    for name in _RESULTS:
        clear_own(out / name)


def _forget_training(out: Path) -> None:
    """Remove the state of a training; any other file there stays."""
    for name in STATE:
        (out / TRAINING / name).unlink(missing_ok=True)
    with suppress(OSError):
        (out / TRAINING).rmdir()
