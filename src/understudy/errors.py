"""Errors that a user can act on: one sentence each, with the file and the way out."""

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
    """Base class of the errors that the command line prints as one line, without a traceback.

    Attributes:
        exit_code: exit code of the command line: 1 if the work failed, 2 for bad arguments or input.
    """

    exit_code = 1


class InputError(UnderstudyError):
    """An argument, an option or the data cannot be used; exit code 2."""

    exit_code = 2


class PictureError(InputError):
    """One picture or mask cannot be used; the work on the others goes on.

    Args:
        path: file of the picture or mask.
        reason: the rest of the sentence that begins with the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path, self._reason = path, reason

    def __reduce__(self) -> tuple[type[PictureError], tuple[Path, str]]:
        """Let the error cross from one process to another."""
        return type(self), (self.path, self._reason)


class BundleError(InputError):
    """A saved model is incomplete, altered or of another version; exit code 2."""


class WorkError(UnderstudyError):
    """The input was good, but the work failed, for example because the disk is full; exit code 1."""


def extra_needed(extra: str, what: str) -> InputError:
    """Return the error for a package that is not installed; it names the extra to install.

    Args:
        extra: extra of the distribution, such as ``train``.
        what: feature that needs it; the subject of the sentence.
    """
    return InputError(f"{what} needs more than the light runtime: pip install 'understudy[{extra}]'")
