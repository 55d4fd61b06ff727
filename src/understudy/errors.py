"""Errors that a user can act on: one sentence that names the file and the way out."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BundleError",
    "InputError",
    "PictureError",
    "UnderstudyError",
    "WorkError",
    "extra_needed",
]


class UnderstudyError(Exception):
    """Base of every error that the command line prints as one line, without a traceback."""

    exit_code = 1


class InputError(UnderstudyError):
    """What was asked or given cannot be used; exit code 2."""

    exit_code = 2


class PictureError(InputError):
    """One picture or mask, ``path``, cannot be used; the work on the others goes on."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path


class BundleError(InputError):
    """A saved model is incomplete, altered, or of another version."""


class WorkError(UnderstudyError):
    """The input was good and the work failed all the same (a full disk, say); exit code 1."""


def extra_needed(extra: str, what: str) -> InputError:
    """The error for a part that is not installed, with its cure."""
    return InputError(f"{what} needs more than the light runtime: pip install 'understudy[{extra}]'")
