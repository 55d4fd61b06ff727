"""Folders of results: never mixed with those of an older run, and no file of the user is touched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from understudy.errors import InputError, WorkError
from understudy.files import check_writable, sha256_of, writing
from understudy.folders import (
    BEGUN,
    RESULTS,
    begun_files,
    clear_own,
    draft_in,
    files_below,
    foreign_files,
    locked,
    own_files,
    publish,
    write_sealed,
)

__all__ = ["Claim", "filling", "results_in"]


@contextmanager
def results_in(folder: Path, names: Iterable[str] | None = None) -> Iterator[Path]:
    """Yield a draft; when the block ends well, its files take the place of those of the last run.

    Args:
        folder: folder of the results; created if it is missing.
        names: names of the files that will be written; none of them may be a file of the user, and other
            files may lie beside them. ``None`` refuses every file of the user.

    Raises:
        BundleError: the folder cannot be written.
        InputError: it holds files of the user in the way, or another process writes there.
        WorkError: the block or the folder failed; the last run's files are still there.
    """
    check_writable(folder)
    with locked(folder):
        _refuse_foreign(folder, names)
        with draft_in(folder) as draft:
            yield draft
            new = {name: sha256_of(draft / name) for name in files_below(draft)}
            write_sealed(draft / RESULTS, {"files": _others(folder, names) | new})
            publish(draft, folder)


@contextmanager
def filling(folder: Path, names: Iterable[str], *, overwrite: bool = False) -> Iterator[Claim]:
    """Yield a function that returns the path for a new file; files stand in the folder as they are written.

    For results that come one by one, and that must not be lost if the run is stopped.

    Args:
        folder: folder of the results; created if it is missing.
        names: names of all files and subfolders that runs of this kind write.
        overwrite: remove the files of the last run first; else a folder with results is refused.

    Raises:
        BundleError: the folder cannot be written.
        InputError: it holds an earlier run's results or files of the user in the way, or another process
            writes there.
    """
    check_writable(folder)
    with locked(folder):
        others = _others(folder, names)
        if not overwrite and (own_files(folder).keys() > others.keys() or begun_files(folder)):
            raise InputError(
                f"{folder} holds the results of an earlier run; choose another --out, or --overwrite them"
            )
        _refuse_foreign(folder, names)
        clear_own(folder, keep=others)
        claim = Claim(folder)
        try:
            yield claim
        finally:
            claim.close()


class Claim:
    """Notes the name of a new file in a folder before it is written, and returns its path.

    Args:
        folder: folder of the results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str) -> Path:
        """Return the path of a new file.

        Args:
            name: relative name, with ``/`` between subfolders.

        Raises:
            WorkError: there is such a file already, or the folder cannot be written.
        """
        path = self._folder / name
        with writing(path):
            if path.exists():
                raise WorkError(f"{path} appeared while results were written; choose another folder")
            with (self._folder / BEGUN).open("a", encoding="utf-8", errors="surrogateescape") as begun:
                begun.write(json.dumps(name) + "\n")
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Write the list of the files, with their hashes."""
        names = [name for name in begun_files(self._folder) if (self._folder / name).is_file()]
        new = {name: sha256_of(self._folder / name) for name in names}
        with suppress(WorkError):  # a full disk: the names that were noted stay
            write_sealed(self._folder / RESULTS, {"files": own_files(self._folder) | new})
            (self._folder / BEGUN).unlink(missing_ok=True)


def _others(folder: Path, names: Iterable[str] | None) -> dict[str, str]:
    """Return the files on a folder's list that other verbs wrote, with their hashes."""
    if names is None:
        return {}
    own = set(names)
    return {name: digest for name, digest in own_files(folder).items() if Path(name).parts[0] not in own}


def _refuse_foreign(folder: Path, names: Iterable[str] | None) -> None:
    tops = [folder] if names is None else [folder / name for name in names]
    foreign = min((name for top in tops for name in foreign_files(folder, below=top)), default=None)
    if foreign:
        raise InputError(
            f"{folder / foreign} is not on understudy's list of its files there, or was changed since; "
            "move it away, or choose another folder with --out"
        )
