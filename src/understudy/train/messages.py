"""Messages of Lightning and its data loaders: translated where they matter, muted otherwise."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.utilities.warnings import PossibleUserWarning

from understudy.errors import InputError, WorkError
from understudy.files import missing_room

__all__ = ["mute_lightning", "translate_errors"]


@contextmanager
def translate_errors(folder: Path) -> Iterator[None]:
    """Turn an error that stops a training into one sentence with the way out.

    Args:
        folder: folder of the training.
    """
    try:
        yield
    except SystemExit as stopped:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from stopped
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "batches of one picture leave this method's batch normalisation nothing to average; add "
            "good pictures, or ask for a larger --batch-size"
        ) from error
    except OSError as error:
        mend = "mend that"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mend = f"make room there ({missing_room(folder)})"
        raise WorkError(
            f"the training in {folder} stopped: {error.strerror or error}; {mend}, then go on with --resume"
        ) from error
    except RuntimeError as error:
        lines = str(error).strip().splitlines() or [""]
        if "DataLoader worker" not in lines[0]:
            raise
        if "PictureError" in lines[0]:  # its message is the last line of the worker's traceback
            raise InputError(lines[-1].partition(": ")[2]) from error
        raise WorkError(
            f"the training in {folder} stopped, for a process that decodes pictures was killed (too little "
            "memory, or shared memory?); go on with --resume --workers 0"
        ) from error


@contextmanager
def mute_lightning() -> Iterator[None]:
    """Mute Lightning's advice about workers, loggers and hardware; errors still come through."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            warnings.filterwarnings("ignore", r".*treespec", FutureWarning, "lightning")
            for advice in (r"Checkpoint directory .* exists", r"This DataLoader will create .* worker"):
                warnings.filterwarnings("ignore", advice, UserWarning)
            warnings.filterwarnings("ignore", r".*use of fork\(\)", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
