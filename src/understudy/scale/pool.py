"""Score pictures in several processes of this machine, in order, with the scores that one process gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from understudy.errors import PictureError, WorkError
from understudy.runtime.scoring import ScoreAll, Scored
from understudy.scale.batch import open_exported

__all__ = ["scoring_pool"]

_CHUNK = 16  # pictures that a process scores before it sends their maps
_AHEAD = 2  # chunks for each process that are under way; bounds the memory


@contextmanager
def scoring_pool(
    model: Path, workers: int, *, require_signature: str | Path | None = None
) -> Iterator[ScoreAll]:
    """Yield a function that scores pictures in several processes.

    Args:
        model: folder of an exported model.
        workers: number of processes; each opens the model and scores in one thread.
        require_signature: file of a public key (PEM) that the model must be signed with.

    Raises:
        BundleError: the folder holds no model, or one that is damaged or not signed as required.
        InputError: the model is not exported.
        WorkError: a process ended before its work, such as for want of memory.
    """
    open_exported(model, 1, require_signature)  # one clear error here, not one in each process
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_open, initargs=(model, require_signature)
    )

    def score(paths: Sequence[Path], categories: Sequence[str | None]) -> Iterator[Scored | PictureError]:
        chunks = (
            pool.submit(_score, paths[at : at + _CHUNK], categories[at : at + _CHUNK])
            for at in range(0, len(paths), _CHUNK)
        )
        waiting: deque[Future[list[Scored | PictureError]]] = deque(islice(chunks, _AHEAD * workers))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(islice(chunks, 1))

    try:
        yield score
    except BrokenProcessPool as error:
        raise WorkError(
            "a process of --workers ended before its work; give fewer workers if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Opened:
    """The model of this process."""

    score: ScoreAll


def _open(model: Path, require_signature: str | Path | None) -> None:
    scorer = open_exported(model, 1, require_signature).scorer

    def score(paths: Sequence[Path], categories: Sequence[str | None]) -> Iterator[Scored | PictureError]:
        return scorer.score(paths, categories=categories, steady=True, threads=1)

    _Opened.score = staticmethod(score)


def _score(paths: Sequence[Path], categories: Sequence[str | None]) -> list[Scored | PictureError]:
    return list(_Opened.score(paths, categories))
